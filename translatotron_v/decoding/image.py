"""Drawing: image tokens one after the other, greedily or from the top k, or in a few passes over the whole page.

Shapes: B batch, C text states, S image states, N image tokens, D width, K codes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from translatotron_v.decoding.arrays import Array, inference, largest, like, log_softmax, take, to_numpy
from translatotron_v.errors import UserError
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig

if TYPE_CHECKING:
    from translatotron_v.models.image_decoder import ImageDecoder


@dataclass(frozen=True)
class Words:
    """What the rows of a batch are, where each is a word that is drawn alone.

    Attributes:
        owners: for each row the page that it belongs to, whose image states it reads.
        paper: the token of paper; a word ends where it is written twice.
        longest: tokens that a word takes at most.
    """

    owners: Sequence[int]
    paper: int
    longest: int


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
    words: Words | None = None,
) -> tuple[Array, list[float]]:
    """Write a page's tokens one after the other from text states (B, C, D) and image states (B, S, D).

    Args:
        generation: its ``top_k``, ``temperature`` and ``seed`` count here; a seed draws the same everywhere.
        cached: ``False`` recomputes the whole prefix at each step, for comparison.
        static: steps of static shapes, on a GPU replayed as one CUDA graph; by default on GPUs alone. Words have none.
        words: the rows are words, each with a page of its own, which are written to their ends and no further.

    Returns:
        Ids (B, N), and for each page the mean log-probability (nats) of its tokens, as far as they were written. Of
        words as many ids as the longest of them took.
    """
    batch, length = text.shape[0], decoder.length if words is None else min(words.longest, decoder.length)
    ids = like(np.full((batch, length), 0 if words is None else words.paper, dtype=np.int64), text)
    total = like(np.zeros(batch, dtype=np.float32), text)
    chance = None
    if generation.top_k > 1:
        chance = like(np.random.default_rng(generation.seed).random((length, batch), dtype=np.float32), text)
    steps = _steps(decoder, text, text_mask, image, static, words) if cached else None
    rows: Any = slice(None)  # of the batch, those that are still written
    ending = None if words is None else _Ending(words.paper, batch, text)
    for position in range(length):
        if steps is not None:
            logits = steps(ids[rows, position - 1] if position else None)
        else:
            owners = None if words is None else like(np.asarray(words.owners), text)
            logits = decoder(ids[:, : position + 1], text, text_mask, image, owners)[rows, -1]
        scores = log_softmax(logits)
        if chance is None:
            chosen = scores.argmax(-1)
        else:
            chosen = _draw(scores / generation.temperature, generation.top_k, chance[position][rows])
        gained = take(scores, chosen)
        if ending is not None:
            chosen, gained = ending.after_end(chosen, gained)
        ids[rows, position] = chosen
        total[rows] += gained
        if ending is None:
            continue
        if ending.see(chosen):
            ids = ids[:, : position + 1]
            break
        if (kept := ending.worth_keeping()) is not None:
            rows = kept if isinstance(rows, slice) else rows[kept]
            if steps is not None:
                steps.keep(kept)
    counts = [length] * batch if words is None else [written(row, words.paper) for row in to_numpy(ids)]
    return ids, [one / count for one, count in zip(total.tolist(), counts, strict=True)]


class _Ending:
    """Which rows of words are at their ends: two tokens of paper, which no word has between its letters.

    Args:
        paper: the token of paper.
        rows: how many there are, where ``like`` is.
    """

    def __init__(self, paper: int, rows: int, other: Array) -> None:
        self.paper, self.other = paper, other
        self.over = like(np.zeros(rows, dtype=bool), other)
        self.before = like(np.full(rows, -1), other)  # the last tokens

    def after_end(self, chosen: Array, gained: Array) -> tuple[Array, Array]:
        """Nothing is written after an end, and nothing gained (R,)."""
        chosen[self.over] = self.paper
        return chosen, gained * ~self.over

    def see(self, chosen: Array) -> bool:
        """Take note of the next tokens (R,); whether all rows are at their ends."""
        self.over = self.over | ((chosen == self.paper) & (self.before == self.paper))
        self.before = chosen
        return bool(self.over.all())

    def worth_keeping(self) -> Array | None:
        """The numbers of the rows that go on, where enough do not for the others to be rid of them."""
        on = np.flatnonzero(~to_numpy(self.over))
        if len(on) > len(self.over) * 7 / 8:
            return None
        kept = like(on, self.other)
        self.over, self.before = self.over[kept], self.before[kept]
        return kept


def written(tokens: np.ndarray, paper: int) -> int:
    """How many tokens (T,) of a word were written, its end of two included."""
    return min(int(np.flatnonzero(tokens != paper).max(initial=-1)) + 3, len(tokens))


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


def _steps(
    decoder: Any,
    text: Array,
    text_mask: Array | None,
    image: Array | None,
    static: bool | None,
    words: Words | None,
) -> Any:
    """Steps with caches, by whoever computes them: the previous tokens (B,), None at first -> logits (B, K)."""
    if isinstance(text, np.ndarray):  # of an ONNX graph
        seen = image if words is None or image is None else image[np.asarray(words.owners)]
        return decoder.start(text, text_mask, seen)
    from translatotron_v.decoding.graphs import StaticSteps
    from translatotron_v.decoding.steps import ImageSteps

    if words is not None:  # rows leave: shapes change
        owners = like(np.asarray(words.owners), text)
        return ImageSteps(decoder, text, text_mask, image, owners=owners, length=words.longest)
    static = text.is_cuda if static is None else static
    steps = ImageSteps(decoder, text, text_mask, image, static)
    return StaticSteps(steps) if static else steps


def _draw(scores: Array, top_k: int, chance: Array) -> Array:
    """One id of each row (B, K), of the best ``top_k`` the one on which chance (B,) in [0, 1) falls."""
    best, ids = largest(scores, min(top_k, scores.shape[-1]))
    reached = (math.e ** log_softmax(best)).cumsum(-1)
    place = (reached <= chance[:, None] * reached[:, -1:]).sum(-1)
    return take(ids, place.clip(max=ids.shape[-1] - 1))
