"""What a model sees and reads of pages: image states, the CTC reading, and the text encoder's states of what was read.

Shapes: B batch, S image states, T pieces.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from translatotron_v.data.ids import pad
from translatotron_v.data.marks import LITERALS
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.decoding.arrays import Array, like, to_numpy
from translatotron_v.decoding.text_mode import Insertions, Prepared, as_it_is, prepare

if TYPE_CHECKING:
    from translatotron_v.models.states import SourceStates
    from translatotron_v.models.translator import TranslatotronV

_NEAR = 2  # frames that a character may be read before or after its place
_NEGLIGIBLE = 0.02  # probability of anything at all, below which a frame is not looked at
# What is to become of the reading of a page, given its number in the batch, the text, and the frame at which each
# character was read; spans of what comes back are those of that text.
Prepare = Callable[[int, str, Sequence[int]], Prepared]


def read_ctc(logits: Array, vocabulary: Vocabulary) -> list[str]:
    """Best path of CTC logits (B, frames, characters): repeats merged, blanks dropped, spaces made single."""
    return [text for text, _ in read_ctc_frames(logits, vocabulary)]


def read_ctc_frames(logits: Array, vocabulary: Vocabulary) -> list[tuple[str, list[int]]]:
    """As ``read_ctc``, with the frame at which each character was read."""
    read = []
    for row in to_numpy(logits.argmax(-1)):
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        text, frames = "", []
        for index, frame in zip(row[starts].tolist(), starts.tolist(), strict=True):
            character = vocabulary.decode_characters([index])
            if character.strip() or (character and text and text[-1] != " "):
                text += character
                frames.append(frame)
        if text.endswith(" "):
            text, frames = text[:-1], frames[:-1]
        read.append((text, frames))
    return read


def reading_scores(logits: Array) -> list[float]:
    """How sure the best path of CTC logits (B, frames, characters) is: mean log-probability (nats) of its letters.

    Minus infinity where nothing is read.
    """
    values = to_numpy(logits)
    best = -np.log(np.exp(values - values.max(-1, keepdims=True)).sum(-1))  # log-softmax of the largest
    read = values.argmax(-1) != PAD
    count = read.sum(1)
    means: list[float] = np.where(count > 0, (best * read).sum(1) / count.clip(min=1), -np.inf).tolist()
    return means


def reading_doubts(logits: Array) -> np.ndarray:
    """How probable CTC logits (B, frames, characters) hold it that something else stands at each frame (B, frames).

    Something else is neither nothing nor a character of the best path up to two frames away: where a letter is read a
    little earlier or later, none doubts it. At the first frame of a letter it is at least what that letter lacks, at
    its best frame, to certainty.
    """
    values = to_numpy(logits)
    probable = np.exp(values - values.max(-1, keepdims=True))
    probable /= probable.sum(-1, keepdims=True)
    path = probable.argmax(-1)
    doubts: np.ndarray = np.zeros(path.shape, dtype=probable.dtype)
    for row, doubted, best in zip(probable, doubts, path, strict=True):
        for frame in np.flatnonzero(row[:, PAD] < 1 - _NEGLIGIBLE).tolist():
            near = {PAD, *best[max(0, frame - _NEAR) : frame + _NEAR + 1].tolist()}
            doubted[frame] = 1 - row[frame, list(near)].sum()
        starts = np.flatnonzero(np.diff(best, prepend=-1))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(best)], strict=True):
            if best[start] != PAD:
                doubted[start] = max(doubted[start], 1 - row[start:end, best[start]].max())
    return doubts


def masks_readings(model: "TranslatotronV", vocabulary: Vocabulary) -> bool:
    """Whether what is read is folded and masked before it is understood: a model that reads, and knows marks."""
    return model.config.connector == "read" and vocabulary.knows(LITERALS[0])


def encode_source(model: "TranslatotronV", vocabulary: Vocabulary, pixels: Array) -> "SourceStates":
    """Image mode: what the decoders and heads see of pages (B, channels, H, W) in [0, 1], nothing folded or masked."""
    return encode_and_read(model, vocabulary, pixels)[0]


def encode_and_read(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    pixels: Array,
    language: str = "",
    prepared: Prepare | None = None,
    insertions: Insertions | None = None,
    numbers_for: str = "",
) -> "tuple[SourceStates, list[Prepared]]":
    """What the decoders and heads see of pages, and what was read on them.

    With ``model.connector=read`` the text encoder gets the pieces of what the CTC head reads, with the places where it
    did; a placeholder has all places of its literal. With ``model.reading=soft`` it gets expected pieces (``bridge``).

    Args:
        language: of what is read: with a vocabulary that has marks it is folded and masked. "": it is taken as it is.
        prepared: what becomes of a reading instead.
        insertions, numbers_for: see ``text_mode.prepare``; for a vocabulary with marks.

    Returns:
        The states, and what became of each reading; none for a model that does not read first.
    """
    source = model.encode_image(pixels)
    if model.config.connector != "read":
        return source, []
    logits = model.ctc_logits(source)
    read = read_ctc_frames(logits, vocabulary)
    masks = bool(language) and masks_readings(model, vocabulary)
    sentences = []
    for number, (text, frames) in enumerate(read):
        if prepared is not None:
            sentences.append(prepared(number, text, frames))
        else:
            sentences.append(prepare(text, language, "", insertions, numbers_for) if masks else as_it_is(text))
    longest = model.config.text_encoder.max_length
    spans = [vocabulary.encode_spans(sentence.text)[: longest - 1] for sentence in sentences]
    rows = []
    for sentence, (_, frames), row in zip(sentences, read, spans, strict=True):
        places = [frame // model.config.ctc_frames for frame in frames]
        rows.append([*((piece, *_states(sentence, start, end, places)) for piece, start, end in row), (EOS, 1, 0)])
    pieces, first, last = (like(pad([[span[part] for span in row] for row in rows]), pixels) for part in range(3))
    if model.config.reading == "hard":
        return model.encode_reading(source, pieces, pieces != PAD, first, last), sentences
    from translatotron_v.decoding.bridge import alternatives

    ends = [[*row, (EOS, 0, 0)] for row in spans]
    others = alternatives(logits, vocabulary, read, sentences, ends, pieces.shape[1])
    weights = others.weights(logits)
    return model.encode_reading(source, others.pieces, pieces != PAD, first, last, weights), sentences


def _states(sentence: Prepared, start: int, end: int, places: Sequence[int]) -> tuple[int, int]:
    """The first and the last image state of the characters [start, end) of a prepared reading."""
    spans = sentence.spans[start:end]
    there = places[spans[0][0] : spans[-1][1]] if spans else ()
    return (there[0], there[-1]) if there else (1, 0)
