"""Drawing: image tokens one after the other, greedily or from the top k, or in a few passes over the whole page.

Shapes: B batch, C text states, S image states, N image tokens, D width, K codes.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from translatotron_v.decoding.arrays import Array, inference, largest, like, log_softmax, take
from translatotron_v.errors import UserError
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig

if TYPE_CHECKING:
    from translatotron_v.models.image_decoder import ImageDecoder

Steps = Callable[[Array | None], Array]  # the previous tokens (B,), None at first -> logits (B, K) of the next


@inference
def generate_image(
    decoder: "ImageDecoder",
    text: Array,
    text_mask: Array | None,
    image: Array | None = None,
    generation: GenerationConfig = AS_TRAINED,
    *,
    cached: bool = True,
    static: bool | None = None,
) -> tuple[Array, list[float]]:
    """Write a page's tokens one after the other from text states (B, C, D) and image states (B, S, D).

    Args:
        generation: its ``top_k``, ``temperature`` and ``seed`` count here; a seed draws the same everywhere.
        cached: ``False`` recomputes the whole prefix at each step, for comparison.
        static: steps of static shapes, on a GPU replayed as one CUDA graph; by default on GPUs alone.

    Returns:
        Ids (B, N), and for each page the mean log-probability (nats) of its tokens.
    """
    batch, length = text.shape[0], decoder.length
    ids = like(np.zeros((batch, length), dtype=np.int64), text)
    total = like(np.zeros(batch, dtype=np.float32), text)
    chance = None
    if generation.top_k > 1:
        chance = like(np.random.default_rng(generation.seed).random((length, batch), dtype=np.float32), text)
    steps = _steps(decoder, text, text_mask, image, static) if cached else None
    for position in range(length):
        if steps is not None:
            logits = steps(ids[:, position - 1] if position else None)
        else:
            logits = decoder(ids[:, : position + 1], text, text_mask, image)[:, -1]
        scores = log_softmax(logits)
        if chance is None:
            ids[:, position] = scores.argmax(-1)
        else:
            ids[:, position] = _draw(scores / generation.temperature, generation.top_k, chance[position])
        total += take(scores, ids[:, position])
    return ids, (total / length).tolist()


def generate_image_masked(
    decoder: "ImageDecoder", text: Array, text_mask: Array | None, image: Array | None = None, *, steps: int
) -> tuple[Array, list[float]]:
    """Write a page's tokens in a few passes over all of them; see ``masked.draw_in_passes``.

    Raises:
        UserError: ``steps`` is not between 1 and the number of tokens, or the model runs without PyTorch.
    """
    if isinstance(text, np.ndarray):
        raise UserError(f"{steps} image steps: ONNX graphs draw token by token; take image steps 0, or engine torch")
    from translatotron_v.decoding.masked import draw_in_passes

    return draw_in_passes(decoder, text, text_mask, image, steps=steps)


def _steps(decoder: Any, text: Array, text_mask: Array | None, image: Array | None, static: bool | None) -> Steps:
    """Steps with caches, by whoever computes them."""
    if isinstance(text, np.ndarray):
        started: Steps = decoder.start(text, text_mask, image)  # of an ONNX graph
        return started
    from translatotron_v.decoding.graphs import StaticSteps
    from translatotron_v.decoding.steps import ImageSteps

    static = text.is_cuda if static is None else static
    steps = ImageSteps(decoder, text, text_mask, image, static)
    return StaticSteps(steps) if static else steps


def _draw(scores: Array, top_k: int, chance: Array) -> Array:
    """One id of each row (B, K), of the best ``top_k`` the one on which chance (B,) in [0, 1) falls."""
    best, ids = largest(scores, min(top_k, scores.shape[-1]))
    reached = (math.e ** log_softmax(best)).cumsum(-1)
    place = (reached <= chance[:, None] * reached[:, -1:]).sum(-1)
    return take(ids, place.clip(max=ids.shape[-1] - 1))
