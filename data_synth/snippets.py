"""What people bring to be read: sentences, fragments, words, names, numbers, prices, dates, addresses, capitals, lists.

A reader that sees whole sentences alone learns that a full stop follows every word, and never learns to read a price.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data_synth.literals import draw_literal
from data_synth.render import normalise

# Kinds of text, and how often each is drawn for training.
KINDS: dict[str, float] = {
    "sentences": 0.34,  # as many as fill the lines
    "fragment": 0.2,  # a run of words without a full stop
    "words": 0.1,  # one to three words
    "literals": 0.12,  # numbers, prices, dates and the like, alone or among words
    "capitals": 0.08,
    "title": 0.04,  # Every Word With A Capital
    "spaced": 0.03,  # letters apart
    "list": 0.05,  # items with markers
    "symbols": 0.04,  # any characters of the table, so that none is unknown
}

_END = ".!?…"
_MARKERS = ("•", "–", "-", "·", "*", "►", "■", "✓", "☐", "→")


@dataclass(frozen=True)
class Snippet:
    """A text to be drawn.

    Attributes:
        text: single spaces.
        kind: one of ``KINDS``.
        tracking: space between its letters beyond the font's, ems.
    """

    text: str
    kind: str
    tracking: float = 0.0


def draw_snippet(
    sentence: Callable[[], str], rng: np.random.Generator, characters: Sequence[str] = (), kind: str = ""
) -> Snippet:
    """Draw a text for a strip of up to three lines; it may be longer than what fits.

    Args:
        sentence: gives another sentence of some corpus each time.
        rng: draws everything else.
        characters: those that kind "symbols" draws from.
        kind: one of ``KINDS``; by its share where not given.
    """
    if not kind:
        names = list(KINDS)
        kind = names[int(np.searchsorted(np.cumsum(list(KINDS.values())), rng.random() * sum(KINDS.values())))]
    if kind == "symbols" and not characters:
        kind = "sentences"
    tracking = 0.0
    words = normalise(sentence()).split()
    if kind == "sentences":
        most = int(rng.integers(1, 30))
        while len(words) < most:
            words += normalise(sentence()).split()
    elif kind == "fragment":
        words = _without_end(_run(words, int(rng.integers(2, 16)), rng))
    elif kind == "words":
        words = _without_end(_run(words, int(rng.integers(1, 4)), rng))
    elif kind == "literals":
        words = _with_literals(words, rng)
    elif kind == "capitals":
        words = [word.upper() for word in _maybe_without_end(_run(words, int(rng.integers(1, 16)), rng), rng)]
    elif kind == "title":
        words = [
            word[:1].upper() + word[1:] for word in _maybe_without_end(_run(words, int(rng.integers(1, 10)), rng), rng)
        ]
    elif kind == "spaced":
        words = _without_end(_run(words, int(rng.integers(1, 5)), rng))
        words = [word.upper() for word in words] if rng.random() < 0.7 else words
        tracking = float(rng.uniform(0.1, 0.4))
    elif kind == "list":
        words = _list(words, sentence, rng)
    elif kind == "symbols":
        words = _sprinkled(_run(words, int(rng.integers(1, 12)), rng), characters, rng)
    if not tracking and rng.random() < 0.12:
        tracking = float(rng.uniform(-0.02, 0.1))
    return Snippet(" ".join(word for word in words if word), kind, tracking)


def _run(words: Sequence[str], most: int, rng: np.random.Generator) -> list[str]:
    """A run of at most so many words."""
    start = int(rng.integers(0, max(len(words) - most, 0) + 1))
    return list(words[start : start + most])


def _without_end(words: Sequence[str]) -> list[str]:
    return [*words[:-1], words[-1].rstrip(_END + ",;:")] if words else []


def _maybe_without_end(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    return _without_end(words) if rng.random() < 0.6 else list(words)


def _with_literals(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Literals among words, or alone."""
    if rng.random() < 0.35:
        return [part for _ in range(int(rng.integers(1, 9))) for part in draw_literal(rng).split()]
    kept = _run(words, int(rng.integers(2, 14)), rng)
    for _ in range(int(rng.integers(1, 5))):
        place = int(rng.integers(0, len(kept) + 1))
        literal = draw_literal(rng)
        if rng.random() < 0.15:
            literal = f"({literal})"
        elif rng.random() < 0.2:
            literal += str(rng.choice([",", ";", ":", "."]))
        kept[place:place] = literal.split()
    return _maybe_without_end(kept, rng)


def _list(words: Sequence[str], sentence: Callable[[], str], rng: np.random.Generator) -> list[str]:
    sort = int(rng.integers(4))
    marker = str(rng.choice(_MARKERS))
    items: list[str] = []
    for number in range(1, int(rng.integers(2, 6))):
        mark = (marker, f"{number}.", f"{number})", f"{chr(96 + number)})")[sort]
        items += [mark, *_maybe_without_end(_run(words, int(rng.integers(1, 6)), rng), rng)]
        words = normalise(sentence()).split()
    return items


def _sprinkled(words: Sequence[str], characters: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Words with characters from the whole table among their letters and between them."""
    mixed = list(words)
    for _ in range(int(rng.integers(2, 12))):
        place = int(rng.integers(0, len(mixed) + 1))
        letters = "".join(rng.choice(list(characters), int(rng.integers(1, 4))))
        if mixed and place < len(mixed) and rng.random() < 0.5:
            cut = int(rng.integers(0, len(mixed[place]) + 1))
            mixed[place] = mixed[place][:cut] + letters + mixed[place][cut:]
        else:
            mixed.insert(place, letters)
    return " ".join(mixed).split()
