"""The soft bridge from reading to translating: what else the pieces that were read may have been, and how likely.

A CTC head's best path is a sequence of runs: frames of one character, or blank frames between two. Each run may have
meant something else: all its frames another character, or none; one blank frame a character. A piece's alternatives are
the entries of the vocabulary that its letters become by one such change. The odds of each against the piece itself are
the product of p(other) / p(read) over the frames that differ, so that the expected embedding of a piece is a smooth
function of what the head says, and what is learnt behind it reaches the reader. Where the head is sure of every letter
there are no alternatives, and the bridge is the hard one.

Shapes: B batch, T pieces, A alternatives, E frames that differ, F frames, V characters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from translatotron_v.data.vocabulary import PAD, Vocabulary
from translatotron_v.decoding.text_mode import Prepared

LEAST_ODDS = 0.01  # of an alternative against what was read; others do not count
MOST = 8  # alternatives of a piece, itself among them
_LABELS = 4  # of a run that are looked at beside the one that was read


@dataclass(frozen=True)
class Change:
    """Frames that would have to say something else.

    Attributes:
        frames: numbers of them.
        label: of the character that they would say, or blank.
        read: what they say.
        odds: logarithm of the change's odds.
    """

    frames: tuple[int, ...]
    label: int
    read: int
    odds: float


@dataclass
class Alternatives:
    """The alternatives of the pieces of some pages.

    Attributes:
        pieces: (B, T, A), the first of each the piece that was read.
        changes: for each page and piece those that lead to its alternatives but the first.
    """

    pieces: Tensor
    changes: list[list[list[Change]]] = field(default_factory=list)

    def weights(self, logits: Tensor) -> Tensor:
        """How likely each alternative is (B, T, A), of a piece 1 in all, from the CTC head's logits (B, F, V)."""
        places = [
            (page, piece, number, frame, change.label, change.read)
            for page, row in enumerate(self.changes)
            for piece, changes in enumerate(row)
            for number, change in enumerate(changes, 1)
            for frame in change.frames
        ]
        odds = torch.full(self.pieces.shape, float("-inf"), device=logits.device)
        odds[:, :, 0] = 0.0
        if not places:
            return odds.softmax(-1)
        page, piece, number, frame, label, read = torch.tensor(places, device=logits.device).T
        found = logits.float().log_softmax(-1)
        gained = found[page, frame, label] - found[page, frame, read]
        _, count, most = self.pieces.shape
        where = (page * count + piece) * most + number
        odds = odds.flatten()
        odds[where] = 0.0
        return odds.index_add(0, where, gained).view(self.pieces.shape).softmax(-1)


def alternatives(
    logits: Tensor,
    vocabulary: Vocabulary,
    read: Sequence[tuple[str, Sequence[int]]],
    sentences: Sequence[Prepared],
    spans: Sequence[Sequence[tuple[int, int, int]]],
    length: int,
) -> Alternatives:
    """What the pieces of pages may have been.

    Args:
        logits: (B, F, V) of the CTC head.
        read: text and frames of each page, as of ``read_ctc_frames``.
        sentences: what became of each text.
        spans: of each page, its pieces with the first and the last (exclusive) of their characters in the sentence.
        length: T, pieces and the end; at least as many as any page has.
    """
    found: list[list[tuple[int, list[tuple[int, Change]]]]] = []
    scores = logits.detach().float().log_softmax(-1).cpu().numpy()
    for page, ((text, frames), sentence) in enumerate(zip(read, sentences, strict=True)):
        runs = _Runs(scores[page], text, frames, vocabulary)
        found.append([(piece, _others(runs, vocabulary, piece, sentence, span)) for piece, *span in spans[page]])
    most = 1 + max((len(others) for row in found for _, others in row), default=0)
    pieces = torch.full((len(found), length, most), PAD, dtype=torch.long)
    for page, row in enumerate(found):
        for place, (piece, others) in enumerate(row):
            pieces[page, place, : 1 + len(others)] = torch.tensor([piece, *(other for other, _ in others)])
    return Alternatives(pieces.to(logits.device), [[[one for _, one in others] for _, others in row] for row in found])


class _Runs:
    """What the frames of a page say beside what was read of them.

    Args:
        scores: log-probabilities (F, V).
        text, frames: the reading, and the first frame of each of its characters.
        vocabulary: for the characters.
    """

    def __init__(self, scores: np.ndarray, text: str, frames: Sequence[int], vocabulary: Vocabulary) -> None:
        self.scores, self.text, self.frames, self.vocabulary = scores, text, frames, vocabulary
        self.path = scores.argmax(1)
        self.ends = np.append(np.flatnonzero(np.diff(self.path)) + 1, len(self.path))  # of runs, exclusive

    def end(self, frame: int) -> int:
        """One past the last frame of the run that a frame is in."""
        return int(self.ends[np.searchsorted(self.ends, frame, side="right")])

    def instead(self, number: int) -> Iterator[Change]:
        """What a character of the text may have been: another, or none."""
        first, last = self.frames[number], self.end(self.frames[number])
        label = int(self.path[first])
        sums = self.scores[first:last].sum(0)
        yield from self._changes(tuple(range(first, last)), label, sums - sums[label], blank=True)

    def between(self, number: int) -> Iterator[Change]:
        """What may stand between a character of the text and the next."""
        first, last = self.end(self.frames[number]), self.frames[number + 1]
        neighbours = self.path[self.frames[number]], self.path[last]
        for frame in range(first, last):
            if self.path[frame] == PAD and self.scores[frame, PAD] < np.log1p(-LEAST_ODDS / 2):
                for change in self._changes((frame,), PAD, self.scores[frame] - self.scores[frame, PAD]):
                    touches = (frame == first and change.label == neighbours[0]) or (
                        frame == last - 1 and change.label == neighbours[1]
                    )
                    if not touches:  # the run would only be longer
                        yield change

    def _changes(self, frames: tuple[int, ...], read: int, odds: np.ndarray, blank: bool = False) -> Iterator[Change]:
        count = min(_LABELS + 1, len(odds))
        for label in np.argpartition(-odds, count - 1)[:count].tolist():
            least = odds[label] < np.log(LEAST_ODDS)
            if label == read or least or (label == PAD and not blank):
                continue
            if label == PAD or self.character(label).strip():
                yield Change(frames, label, read, float(odds[label]))

    def character(self, label: int) -> str:
        """What a label stands for; "" for blank and for symbols."""
        return self.vocabulary.decode_characters([label])


def _others(
    runs: _Runs, vocabulary: Vocabulary, piece: int, sentence: Prepared, span: Sequence[int]
) -> list[tuple[int, Change]]:
    """The alternatives of a piece that was read, the likeliest first, each with the change that leads to it."""
    names, numbers = vocabulary.piece_table
    letters = [place for place in range(*span) if not sentence.text[place].isspace()]
    written = "".join(sentence.text[place] for place in letters)
    begins, body = ("", names[piece]) if names[piece] == written else (names[piece][:1], names[piece][1:])
    if body != written or not written:  # a mark, or what the vocabulary does not know
        return []
    found: list[tuple[int, Change]] = []

    def note(letters_: str, change: Change) -> None:
        other = numbers.get(begins + letters_)
        if other is not None and other != piece:
            found.append((other, change))

    for number, place in enumerate(letters):
        first, last = sentence.spans[place]
        if last - first != 1:
            continue
        folded = runs.text[first] != sentence.text[place]
        for change in runs.instead(first):
            note(written[:number] + _fold(runs.character(change.label), folded) + written[number + 1 :], change)
        following = sentence.spans[letters[number + 1]] if number + 1 < len(letters) else (0, 0)
        if following == (first + 1, first + 2):
            for change in runs.between(first):
                note(
                    written[: number + 1] + _fold(runs.character(change.label), folded) + written[number + 1 :], change
                )
    return sorted(found, key=lambda one: -one[1].odds)[: MOST - 1]


def _fold(character: str, folded: bool) -> str:
    return character.lower() if folded else character
