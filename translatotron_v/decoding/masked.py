"""Drawing in a few passes over the whole page: parallel decoding by masked prediction, with PyTorch alone.

Shapes: B batch, C text states, S image states, N image tokens, D width.
"""

import torch
from torch import Tensor

from translatotron_v.errors import UserError
from translatotron_v.models.image_decoder import ImageDecoder


@torch.inference_mode()
def draw_in_passes(
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
    cross_caches = decoder.project_kv(text, text_mask, image)
    ids = torch.zeros(text.shape[0], decoder.length, dtype=torch.long, device=text.device)
    known = torch.zeros_like(ids, dtype=torch.bool)
    kept = torch.zeros(ids.shape, device=text.device)  # log-probability of each token when it was kept
    for step in range(1, steps + 1):
        best, best_ids = decoder.predict_masked(ids, known, cross_caches).float().log_softmax(-1).max(-1)
        ids, kept = torch.where(known, ids, best_ids), torch.where(known, kept, best)
        missing = int(decoder.length * (1 - step / steps) ** 2)
        surest = best.masked_fill(known, float("inf")).argsort(dim=1, descending=True)
        known = torch.zeros_like(known).scatter(1, surest[:, : decoder.length - missing], True)
    return ids, kept.mean(1).tolist()
