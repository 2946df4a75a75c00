"""ViT-VQGAN image tokenizer (Yu et al. 2022): encode, decode, encode_to_ids, decode_from_ids.

Shapes: B batch, C channels, N tokens of a page, P pixels of a patch and its channels, D width, K codes, W code width.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from translatotron_v import ranks
from translatotron_v.config import CanvasConfig, TokenizerConfig
from translatotron_v.models.layers import EncoderLayer, FeedForward, initialise

_BLANK = 0.02  # a patch whose darkest pixel is lighter than this is paper


@dataclass
class TokenizerOutput:
    """What a training pass of the tokenizer gives.

    Attributes:
        pixels: (B, C, H, W), reconstruction, not clamped.
        commitment: scalar, how far the encoder is from its codes; zero while nothing is quantised.
        ids: (B, N), or ``None`` while nothing is quantised.
    """

    pixels: Tensor
    commitment: Tensor
    ids: Tensor | None


def make_tokenizer(config: TokenizerConfig, canvas: CanvasConfig) -> "ImageTokenizer | PatchTokenizer":
    """The kind of tokenizer that the settings ask for."""
    return PatchTokenizer(config, canvas) if config.encoder == "patch_codebook" else ImageTokenizer(config, canvas)


class PatchTokenizer(nn.Module):
    """Patches are their own code vectors: a token is the patch of the codebook that is nearest in its pixels.

    There is no network to train: the codebook is the patches of rendered pages, or k-means of them where they are more
    than codes. Code 0 is blank paper.

    Args:
        config: patch and number of codes.
        canvas: size of the page.
    """

    codebook: Tensor  # (K, P), ink of each code: 0 paper, 1 ink

    def __init__(self, config: TokenizerConfig, canvas: CanvasConfig):
        super().__init__()
        self.rows, self.columns = canvas.height // config.patch[0], canvas.width // config.patch[1]
        self.patch = tuple(config.patch)
        self.codes = config.codes
        self.register_buffer("codebook", torch.zeros(config.codes, canvas.channels * config.patch[0] * config.patch[1]))

    def levels(self) -> Tensor:
        """The codebook (K, P) in bytes: 0 paper, 255 ink."""
        return (self.codebook * 255).round().to(torch.uint8)

    def patches(self, pixels: Tensor) -> Tensor:
        """Pixels (B, C, H, W) in [0, 1] -> ink of each patch (B, N, P), rows from the top, each from the left."""
        height, width = self.patch
        return 1 - rearrange(pixels, "b c (r h) (k w) -> b (r k) (c h w)", h=height, w=width)

    def nearest(self, patches: Tensor) -> Tensor:
        """Numbers (M,) of the codes that are nearest to patches (M, P)."""
        return (patches @ self.codebook.T - self.codebook.square().sum(1) / 2).argmax(1)

    def encode_to_ids(self, pixels: Tensor) -> Tensor:
        """Pixels (B, C, H, W) in [0, 1] -> token ids (B, N), rows from the top, each from the left."""
        patches = self.patches(pixels)
        ids = torch.zeros(patches.shape[:2], dtype=torch.long, device=pixels.device)
        inked = patches.amax(-1) > _BLANK  # much of a page is blank: code 0 without looking
        ids[inked] = self.nearest(patches[inked])
        return ids

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (B, C, H, W) in [0, 1] -> codes (B, N, P) and their ids (B, N)."""
        ids = self.encode_to_ids(pixels)
        return self.codebook[ids], ids

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, N, P) -> pixels (B, C, H, W)."""
        height, width = self.patch
        return rearrange(1 - codes, "b (r k) (c h w) -> b c (r h) (k w)", r=self.rows, h=height, w=width)

    def decode_from_ids(self, ids: Tensor) -> Tensor:
        """Token ids (B, N) -> pixels (B, C, H, W) in [0, 1]."""
        return self.decode(self.codebook[ids])


class ImageTokenizer(nn.Module):
    """Page to a grid of discrete tokens and back.

    The ``mlp`` encoder looks at one patch at a time: its tokens do not depend on what stands around them, which makes
    them an easy language to write. The ``vit`` encoder is that of the paper.

    Args:
        config: size.
        canvas: size of the page.
    """

    idle_steps: Tensor

    def __init__(self, config: TokenizerConfig, canvas: CanvasConfig):
        super().__init__()
        self.rows, self.columns = canvas.height // config.patch[0], canvas.width // config.patch[1]
        self.patch = tuple(config.patch)
        self.codes = config.codes
        self.restart_after = config.restart_after
        width, tokens = config.width, self.rows * self.columns
        patch_pixels = canvas.channels * config.patch[0] * config.patch[1]
        self.patch_in = nn.Linear(patch_pixels, width)
        self.looks_around = config.encoder == "vit"
        if self.looks_around:
            self.encoder_positions = nn.Parameter(torch.randn(tokens, width) * 0.02)
            self.encoder = self._blocks(config.encoder_layers, width, config.heads)
        else:
            self.encoder = nn.ModuleList(FeedForward(width, 4 * width) for _ in range(config.encoder_layers))
        self.encoder_norm = nn.LayerNorm(width)
        self.to_code = nn.Linear(width, config.code_width)
        from vector_quantize_pytorch import VectorQuantize  # takes seconds, and patch codebooks do without

        self.quantizer = VectorQuantize(
            dim=config.code_width,
            codebook_size=config.codes,
            decay=config.decay,
            use_cosine_sim=True,
            kmeans_init=config.kmeans,
            commitment_weight=1.0,
            rotation_trick=False,
            sync_kmeans=False,  # see _start_codebook
        )
        # Whether there are ranks is known when it is trained, not when it is built.
        self.quantizer._codebook.all_reduce_fn = ranks.add_up
        self.register_buffer("idle_steps", torch.zeros(config.codes))
        self.from_code = nn.Linear(config.code_width, width)
        self.decoder_positions = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.decoder = self._blocks(config.decoder_layers, width, config.heads)
        self.decoder_norm = nn.LayerNorm(width)
        self.patch_out = nn.Linear(width, patch_pixels)
        for part in (self.patch_in, self.encoder, self.to_code, self.from_code, self.decoder, self.patch_out):
            initialise(part)
        nn.init.xavier_uniform_(self.patch_in.weight)
        nn.init.xavier_uniform_(self.to_code.weight)
        nn.init.xavier_uniform_(self.from_code.weight)
        nn.init.normal_(self.to_code.bias, std=0.02)  # blank paper maps to this alone: a zero vector has no direction

    @staticmethod
    def _blocks(count: int, width: int, heads: int) -> nn.ModuleList:
        return nn.ModuleList(EncoderLayer(width, heads, 4 * width, dropout=0.0) for _ in range(count))

    @property
    def last_layer(self) -> Tensor:
        """Weight of the map to pixels: the adaptive weight of the GAN loss compares gradients here."""
        return self.patch_out.weight

    def _latents(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> unit vectors (B, N, W)."""
        height, width = self.patch
        x = rearrange(pixels, "b c (r h) (k w) -> b (r k) (c h w)", h=height, w=width)  # (B, N, P)
        x = self.patch_in(1 - x)  # white paper is zero
        if self.looks_around:
            x = x + self.encoder_positions
            for block in self.encoder:
                x = block(x)
        else:
            for block in self.encoder:
                x = x + block(x)
        return F.normalize(self.to_code(self.encoder_norm(x)), dim=-1)

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (B, C, H, W) in [0, 1] -> codes (B, N, W) and their ids (B, N)."""
        latents = self._latents(pixels)
        ids = (latents @ self.quantizer.codebook.T).argmax(-1)
        return self.quantizer.get_codes_from_indices(ids), ids

    def used(self, ids: Tensor) -> Tensor:
        """Which codes (K,) stand among the ids (B, N) of a micro-batch, over all ranks."""
        return ranks.add_up(torch.bincount(ids.flatten(), minlength=self.codes)) > 0

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, N, W) -> pixels (B, C, H, W), not clamped."""
        x = self.from_code(codes) + self.decoder_positions  # (B, N, D)
        for block in self.decoder:
            x = block(x)
        x = 1 - self.patch_out(self.decoder_norm(x))  # (B, N, P)
        height, width = self.patch
        return rearrange(x, "b (r k) (c h w) -> b c (r h) (k w)", r=self.rows, h=height, w=width)

    def encode_to_ids(self, pixels: Tensor) -> Tensor:
        """Pixels (B, C, H, W) in [0, 1] -> token ids (B, N), rows from the top, each from the left."""
        return self.encode(pixels)[1]

    def decode_from_ids(self, ids: Tensor) -> Tensor:
        """Token ids (B, N) -> pixels (B, C, H, W) in [0, 1]."""
        return self.decode(self.quantizer.get_codes_from_indices(ids)).clamp(0, 1)

    def forward(self, pixels: Tensor, quantise: bool = True) -> TokenizerOutput:
        """Reconstruct a page; in training mode this also moves the codebook.

        Args:
            pixels: (B, C, H, W) in [0, 1].
            quantise: ``False`` trains a plain autoencoder, the way to start.
        """
        latents = self._latents(pixels)
        if not quantise:
            return TokenizerOutput(self.decode(latents), pixels.new_zeros(()), None)
        if self.training:
            self._start_codebook(latents.detach())
        codes, ids, commitment = self.quantizer(latents)
        if self.training and self.restart_after:
            self._restart_dead_codes(latents.detach(), ids)
        return TokenizerOutput(self.decode(codes), commitment.sum(), ids)

    @torch.no_grad()
    def _start_codebook(self, latents: Tensor) -> None:
        """K-means on what all ranks have, by the first of them; in a process of its own the library does it."""
        book = self.quantizer._codebook
        if ranks.count() == 1 or book.initted:
            return
        vectors = ranks.whole(latents)
        if ranks.number() == 0:
            book.init_embed_(vectors.flatten(0, 1)[None])
        ranks.from_first([book.embed, book.embed_avg, book.cluster_size])
        book.initted.fill_(True)

    @torch.no_grad()
    def _restart_dead_codes(self, latents: Tensor, ids: Tensor) -> None:
        """Move codes that nothing has used for a while onto the vectors that are quantised worst.

        Random vectors of the batch, the library's own choice, are mostly blank paper on a page of text. Ranks count
        their use and choose their vectors together, so that all restart alike.
        """
        used = self.used(ids)
        self.idle_steps.add_(1).masked_fill_(used, 0)
        dead = (self.idle_steps > self.restart_after).nonzero().flatten()
        if not len(dead):
            return
        vectors = ranks.whole(latents).flatten(0, 1)
        codebook = self.quantizer.codebook
        similarity = (vectors * codebook[ranks.whole(ids).flatten()]).sum(-1)
        worst = similarity.argsort()[: 8 * len(dead)]
        distinct = torch.unique((vectors[worst] * 1e3).round(), dim=0, return_inverse=True)[1]
        first = torch.full((int(distinct.max()) + 1,), len(worst), device=worst.device)
        first.scatter_reduce_(0, distinct, torch.arange(len(worst), device=worst.device), "amin")
        chosen = vectors[worst[first.sort().values]][: len(dead)]
        dead = dead[: len(chosen)]
        book = self.quantizer._codebook
        book.embed[0, dead] = chosen
        book.embed_avg[0, dead] = chosen
        book.cluster_size[0, dead] = 1.0
        self.idle_steps[dead] = 0
