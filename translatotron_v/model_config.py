"""Settings of the modules: what a model is, and what values it takes.

A part of ``config.py``, which everything imports them from.
"""

from dataclasses import dataclass, field
from typing import Annotated

from translatotron_v.ranges import (
    BelowOne,
    Count,
    Entries,
    Heads,
    Items,
    Layers,
    LayersOrNone,
    OneOf,
    Pair,
    Pixels,
    Range,
    Width,
    require,
)


@dataclass
class CanvasConfig:
    """The picture that a model reads and writes."""

    height: Pixels = 48
    width: Pixels = 256
    channels: int = 1  # 1 for grey, 3 for RGB

    def check(self, key: str) -> None:
        """What the ranges of single fields do not say."""
        require(self.channels in (1, 3), f"{key}.channels must be 1 or 3, not {self.channels}")


@dataclass
class VocabularyConfig:
    """How text becomes ids."""

    subwords: Entries = 4000  # size of the joint byte-pair vocabulary; 0 writes characters instead
    languages: list[str] = field(default_factory=lambda: ["de", "en"])  # whose text the vocabulary is built from
    symbols: Entries = 0  # pad the table to this many entries (256 in the paper); 0 leaves it as it is
    # blocks of characters (data/vocabulary.py: ascii, latin-1, ...) that pages may hold; empty: those of the texts
    characters: list[str] = field(default_factory=list)
    marks: bool = False  # pieces for the marks of text mode (data/marks.py): literals and terms; digits stand alone


@dataclass
class ImageEncoderConfig:
    """A timm ViT (ViT-B/16 in the paper)."""

    width: Width = 192  # size of a state
    layers: Layers = 4  # transformer blocks
    heads: Heads = 4
    patch: Pair = field(default_factory=lambda: [16, 8])  # rows and columns of pixels
    # kernel of an overlapping stem; empty: the patch itself
    stem: Annotated[list[Pixels], Items((0, 2))] = field(default_factory=list)
    # channels of 3x3 convolutions of stride 2 before the patches are taken from what they give; empty: none
    stem_channels: Annotated[list[Width], Items((0,))] = field(default_factory=list)
    class_token: bool = False
    ocr_layer: Layers = 4  # states after this block feed the OCR head and the CTC head
    dropout: BelowOne = 0.0
    fuse: list[int] = field(default_factory=list)  # blocks (from 1) whose states join the final ones by skip links
    detach: list[int] = field(default_factory=list)  # those of them through whose link no gradient flows back
    # how they join: "add", a correction that starts at zero, for an encoder that is trained already; or "concat", an
    # MLP over all of them in place of the final states (paper), for one that begins with it
    fuse_by: Annotated[str, OneOf(("add", "concat"))] = "add"

    def check(self, key: str) -> None:
        """What the ranges of single fields do not say."""
        require(
            not (self.stem and self.stem_channels),
            "model.image_encoder: stem and stem_channels are two kinds of stem; set one of them to []",
        )
        stride = 2 ** len(self.stem_channels)
        require(
            all(channels > 0 for channels in self.stem_channels) and not any(size % stride for size in self.patch),
            f"model.image_encoder.stem_channels {self.stem_channels}: patch {self.patch} must be divisible by "
            f"{stride}, two for each convolution",
        )
        require(
            1 <= self.ocr_layer <= self.layers,
            f"model.image_encoder.ocr_layer must be 1 to {self.layers} (layers), not {self.ocr_layer}",
        )
        for layer in self.fuse:
            require(
                1 <= layer < self.layers,
                f"model.image_encoder.fuse: block {layer} cannot be fused; it must be 1 to {self.layers - 1}: the last "
                f"block ({self.layers}) always takes part",
            )
        require(len(set(self.fuse)) == len(self.fuse), f"model.image_encoder.fuse names a block twice: {self.fuse}")
        for layer in self.detach:
            require(
                layer in self.fuse,
                f"model.image_encoder.detach: block {layer} is not fused; model.image_encoder.fuse is {self.fuse}",
            )


@dataclass
class TransformerConfig:
    """A stack of transformer layers that reads or writes text."""

    width: Width = 192
    layers: LayersOrNone = 2
    heads: Heads = 4
    feed_forward: Width = 768
    dropout: BelowOne = 0.1
    # longest sequence, tags and end included; longer text is cut, its end kept
    max_length: Annotated[int, Range(3, 65_536)] = 128
    beams: Annotated[int, Range(1, 1024)] = 1  # of a decoder: beam width of translations unless another is asked for
    # of the feed-forward layers: "gelu", or "relu2", the square of ReLU (So et al. 2021)
    activation: Annotated[str, OneOf(("gelu", "relu2"))] = "gelu"


@dataclass
class ImageDecoderConfig:
    """Writes image tokens from image states and text states."""

    width: Width = 192
    layers: LayersOrNone = 3
    heads: Heads = 4
    kv_heads: Heads = 1  # 1 is multi-query attention, the paper's choice
    feed_forward: Width = 768
    dropout: BelowOne = 0.1
    # how a layer joins what it reads of text and image: "gated" (paper), "add" or "concat" (both through one
    # projection); or what it reads alone: "text" (the teacher) or "image"
    fusion: Annotated[str, OneOf(("gated", "add", "concat", "text", "image"))] = "gated"
    # how that starts: "text", with the gate open to the text and nothing read from the image yet, for weights from a
    # text-to-image teacher; or "even", where no side is favoured, for a decoder that starts from nothing (paper)
    fusion_start: Annotated[str, OneOf(("text", "even"))] = "text"
    # how pages are drawn unless it is asked otherwise: "tokens", one after the other, or "words", all words at once,
    # for a decoder trained with loss.words
    drawing: Annotated[str, OneOf(("tokens", "words"))] = "tokens"
    # passes of parallel decoding that pages are drawn in unless another number is asked for, for a decoder trained with
    # loss.masked; 0 draws token by token
    passes: Count = 0
    # how often a word that is read as something else is drawn again unless another number is asked for; 0: what is
    # drawn is not read
    redraws: Annotated[int, Range(0, 16)] = 0

    def check(self, key: str) -> None:
        """What the ranges of single fields do not say."""
        require(
            self.heads % self.kv_heads == 0,
            f"{key}.heads {self.heads} must be a multiple of {key}.kv_heads {self.kv_heads}",
        )
        require(not self.passes or self.drawing == "tokens", f"{key}: passes and drawing=words are two ways: take one")


@dataclass
class TokenizerConfig:
    """ViT-VQGAN image tokenizer."""

    patch: Pair = field(default_factory=lambda: [16, 4])  # rows and columns of pixels of one token
    # "mlp" looks at one patch at a time, "vit" at the whole page; "patch_codebook" is no network: codes are patches of
    # ink
    encoder: Annotated[str, OneOf(("mlp", "vit", "patch_codebook"))] = "mlp"
    width: Width = 128
    heads: Heads = 4
    encoder_layers: LayersOrNone = 2  # hidden layers of the MLP, or transformer blocks
    decoder_layers: LayersOrNone = 2  # transformer blocks
    codes: Annotated[int, Range(1, 10**6)] = 1024
    code_width: Width = 32
    decay: BelowOne = 0.98  # of the codebook's moving average
    kmeans: bool = True  # start the codebook from k-means on the first batch that is quantised
    restart_after: Count = 50  # steps without use after which a code restarts on the worst-quantised vector; 0: never


@dataclass
class DiscriminatorConfig:
    """The adversary of stage 1."""

    width: Width = 64
    layers: Annotated[int, Range(1, 8)] = 3  # each halves rows and columns


@dataclass
class TeacherConfig:
    """Text-to-image teacher: target text and the source page's layout in, image tokens out."""

    layout: str = "none"  # a timm model's name (resnet50 in the paper), or "none"
    layout_width: Width = 64  # size of the projected layout vector that joins every text state


@dataclass
class TextMattingConfig:
    """A U-Net that finds the ink on a page."""

    # of its levels; each halves rows and columns
    widths: Annotated[list[Width], Items((1,))] = field(default_factory=lambda: [16, 24, 32, 48])


@dataclass
class PixelBaselineConfig:
    """The baseline that knows no text: segments of source pixels in, segments of target pixels out."""

    segment: Pair = field(default_factory=lambda: [32, 8])  # rows and columns of pixels
    width: Width = 256
    encoder_layers: Layers = 3
    decoder_layers: Layers = 3
    heads: Heads = 4
    feed_forward: Width = 768
    dropout: BelowOne = 0.0

    def grid(self, canvas: CanvasConfig) -> tuple[int, int]:
        """Rows and columns of segments; a ``ConfigError`` where they do not divide the canvas."""
        rows, columns = self.segment
        require(
            canvas.height % rows == 0 and canvas.width % columns == 0,
            f"model.pixel_baseline.segment {rows}x{columns} does not divide the canvas {canvas.height}x{canvas.width}",
        )
        return canvas.height // rows, canvas.width // columns


@dataclass
class ModelConfig:
    """All modules of a translator; ``translatotron-v info`` counts their parameters."""

    canvas: CanvasConfig = field(default_factory=CanvasConfig)
    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    image_encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    text_encoder: TransformerConfig = field(default_factory=lambda: TransformerConfig(layers=3))
    text_decoder: TransformerConfig = field(default_factory=TransformerConfig)
    ocr_head: TransformerConfig = field(  # no layers: none, where a CTC head reads
        default_factory=lambda: TransformerConfig(width=128, layers=1, feed_forward=512)
    )
    # frames that the CTC head reads from one image state; 0 leaves the head out
    ctc_frames: Annotated[int, Range(0, 64)] = 2
    # what the text encoder gets of a page: "states" of the image encoder (paper), or the pieces that the CTC head has
    # "read", each with the image states that it was read from
    connector: Annotated[str, OneOf(("states", "read"))] = "states"
    # what a text encoder that gets pieces is told of a reading: the "hard" best path of the CTC head, or a "soft" one,
    # expected embeddings of what each piece may have been, through which gradients reach the reader
    reading: Annotated[str, OneOf(("hard", "soft"))] = "hard"
    tie_embeddings: bool = False  # text encoder and text decoder share one table of pieces
    # fonts that pages are drawn in, by name: the model tells them apart and draws in the source's; empty: one font
    fonts: list[str] = field(default_factory=list)
    character_encoder: TransformerConfig = field(default_factory=lambda: TransformerConfig(max_length=256))
    image_decoder: ImageDecoderConfig = field(default_factory=ImageDecoderConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    matting: TextMattingConfig = field(default_factory=TextMattingConfig)
    pixel_baseline: PixelBaselineConfig = field(default_factory=PixelBaselineConfig)
    teacher_encoder: TransformerConfig = field(default_factory=lambda: TransformerConfig(max_length=256))
    teacher_decoder: ImageDecoderConfig = field(default_factory=lambda: ImageDecoderConfig(fusion="text"))

    def check(self, key: str) -> None:
        """What the ranges of single fields do not say."""
        require(
            self.connector == "states" or (self.ctc_frames > 0 and self.text_encoder.layers > 0),
            "model.connector=read needs a CTC head (model.ctc_frames) and a text encoder (model.text_encoder.layers)",
        )
        require(
            self.reading == "hard" or self.connector == "read",
            "model.reading=soft is between reading and translating: it needs model.connector=read",
        )
        require(
            self.ocr_head.layers > 0 or self.ctc_frames > 0,
            "model.ocr_head.layers=0 leaves out the OCR head: a CTC head must read then (model.ctc_frames)",
        )
        require(
            not self.tie_embeddings or self.text_encoder.width == self.text_decoder.width,
            "model.tie_embeddings needs text_encoder.width and text_decoder.width to be the same",
        )
        for name, patch in (("image_encoder", self.image_encoder.patch), ("tokenizer", self.tokenizer.patch)):
            divides = self.canvas.height % patch[0] == 0 and self.canvas.width % patch[1] == 0
            require(
                divides,
                f"model.{name}.patch {patch[0]}x{patch[1]} does not divide the canvas "
                f"{self.canvas.height}x{self.canvas.width}",
            )
        require(
            self.character_encoder.layers > 0 or self.vocabulary.subwords == 0,
            "model.character_encoder needs layers when the vocabulary writes subwords: pictures are drawn by character",
        )

    @property
    def token_grid(self) -> tuple[int, int]:
        """Rows and columns of image tokens."""
        rows, columns = self.tokenizer.patch
        return self.canvas.height // rows, self.canvas.width // columns
