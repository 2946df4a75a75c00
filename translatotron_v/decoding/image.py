"""Drawing: image tokens one after the other, greedily or from the top k, or in a few passes over the whole page.

Shapes: B batch, C text states, S image states, N image tokens, D width, K codes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from translatotron_v.decoding.graphs import StaticSteps
from translatotron_v.decoding.steps import ImageSteps
from translatotron_v.errors import UserError
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig
from translatotron_v.models.image_decoder import ImageDecoder


@torch.inference_mode()
def generate_image(
    decoder: ImageDecoder,
    text: Tensor,
    text_mask: Tensor | None,
    image: Tensor | None = None,
    generation: GenerationConfig = AS_TRAINED,
    *,
    cached: bool = True,
    static: bool | None = None,
) -> tuple[Tensor, list[float]]:
    """Write a page's tokens one after the other from text states (B, C, D) and image states (B, S, D).

    Args:
        generation: its ``top_k``, ``temperature`` and ``seed`` count here.
        cached: ``False`` recomputes the whole prefix at each step, for comparison.
        static: steps of static shapes, on a GPU replayed as one CUDA graph; by default on GPUs alone.

    Returns:
        Ids (B, N), and for each page the mean log-probability (nats) of its tokens.
    """
    random = torch.Generator(device=text.device)
    if generation.seed is not None:
        random.manual_seed(generation.seed)
    else:
        random.seed()
    batch = text.shape[0]
    ids = torch.zeros(batch, decoder.length, dtype=torch.long, device=text.device)
    total = torch.zeros(batch, device=text.device)
    if static is None:
        static = text.is_cuda
    steps: StaticSteps | ImageSteps | None = None
    if cached:
        steps = ImageSteps(decoder, text, text_mask, image, static)
        steps = StaticSteps(steps) if static else steps
    for position in range(decoder.length):
        if steps is not None:
            logits = steps(ids[:, position - 1] if position else None)
        else:
            logits = decoder(ids[:, : position + 1], text, text_mask, image)[:, -1]
        scores = F.log_softmax(logits.float(), dim=-1)
        ids[:, position] = _draw(scores / generation.temperature, generation.top_k, random)
        total += scores.gather(1, ids[:, position : position + 1])[:, 0]
    return ids, (total / decoder.length).tolist()


@torch.inference_mode()
def fill_image(
    decoder: ImageDecoder, text: Tensor, text_mask: Tensor | None, image: Tensor | None = None, *, steps: int
) -> tuple[Tensor, list[float]]:
    """Write a page's tokens in a few passes over all of them: parallel decoding by masked prediction.

    Each pass scores all missing tokens and keeps those it is surest of (MaskGIT, Chang et al. 2022, section 3.2,
    without its random choice of tokens); (1 - s/S)^2 of the tokens are still missing after pass s of S. MaskGIT's
    cosine keeps few tokens at first, as suits pictures of the world; on a page most tokens are paper, which is certain
    at once, and the glyphs want the later passes (docs/performance.md). For a decoder trained with ``loss.masked``.

    Returns:
        Ids (B, N), and for each page the mean log-probability (nats) of its tokens when they were kept.

    Raises:
        UserError: ``steps`` is not between 1 and the number of tokens.
    """
    if not 1 <= steps <= decoder.length:
        raise UserError(f"image steps must be between 1 and the {decoder.length} tokens of a page, not {steps}")
    memories = decoder.remember(text, text_mask, image)
    ids = torch.zeros(text.shape[0], decoder.length, dtype=torch.long, device=text.device)
    known = torch.zeros_like(ids, dtype=torch.bool)
    kept = torch.zeros(ids.shape, device=text.device)  # log-probability of each token when it was kept
    for step in range(1, steps + 1):
        best, best_ids = decoder.fill(ids, known, memories).float().log_softmax(-1).max(-1)
        ids, kept = torch.where(known, ids, best_ids), torch.where(known, kept, best)
        missing = int(decoder.length * (1 - step / steps) ** 2)
        surest = best.masked_fill(known, float("inf")).argsort(dim=1, descending=True)
        known = torch.zeros_like(known).scatter(1, surest[:, : decoder.length - missing], True)
    return ids, kept.mean(1).tolist()


def _draw(scores: Tensor, top_k: int, random: torch.Generator) -> Tensor:
    """One id of each row (B, K): the best, or one of the best ``top_k`` by chance."""
    if top_k == 1:
        return scores.argmax(-1)
    best, ids = scores.topk(min(top_k, scores.shape[-1]))
    return ids.gather(1, torch.multinomial(best.softmax(-1), 1, generator=random))[:, 0]
