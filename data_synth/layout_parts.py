"""What is known of a page of known layout: its blocks, the ranges of its measures, the texts that stand on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_synth.corpora import TextPair
from data_synth.errors import UserError
from data_synth.render import Region, normalise
from data_synth.style import Colour

ALIGNMENTS = ("left", "centre", "right", "justified")
SHAPES = ("rectangle", "rounded", "ellipse", "diamond")


class NoRoomError(Exception):
    """A text does not fit where it should stand; the page is drawn anew."""


@dataclass(frozen=True)
class Container:
    """What encloses a block, such as a button or a bubble.

    Attributes:
        shape: one of `SHAPES`; a rounded one is a rectangle with round corners.
        box: of its inside, without its border.
    """

    shape: str
    box: Region


@dataclass(frozen=True)
class LayoutBlock:
    """What is known of one block of text.

    Attributes:
        text, target: what stands there, with single spaces, and what it means; the marker of a list's item is part.
        lines: the text of each line, and the box of its ink; a marker is part of the first.
        box: around the ink of all lines.
        order: when it is read, counted from 0.
        role: what it is: "heading", "paragraph", "item", "name", "price", "label", "value", "button", ...
        alignment: one of `ALIGNMENTS`.
        em: pixels per em.
        baselines: of its lines: the row of pixels below their letters.
        pitch: from one baseline to the next, pixels; of a single line what a second one would have.
        font: name of its face, as of `find_font`.
        colour: of its ink.
        container: None where it stands on the page itself.
        marker: of a list's item; empty otherwise.
    """

    text: str
    target: str
    lines: tuple[tuple[str, Region], ...]
    box: Region
    order: int
    role: str
    alignment: str
    em: int
    baselines: tuple[int, ...]
    pitch: int
    font: str
    colour: Colour
    container: Container | None = None
    marker: str = ""

    @property
    def frame(self) -> Region:
        """Its box with its lines whole, whatever letters they have: .76 em above baselines, .25 em below."""
        left, top, right, bottom = self.box
        first, last = self.baselines[0] - round(0.76 * self.em), self.baselines[-1] + round(0.25 * self.em)
        return left, min(top, first), right, max(bottom, last)


@dataclass(frozen=True)
class LayoutOptions:
    """The ranges from which a page's measures are drawn; lengths in ems are of the page's body text.

    Attributes:
        widths: of pages, pixels.
        ems: of body text, pixels.
        pitches: from line to line of a paragraph, in shares of what the face asks for.
        rows: from row to row of a menu, form, table or receipt, in ems.
        columns: between columns of text, in ems.
        headings: size of headings, in ems.
        gaps: between paragraphs beyond the pitch, in ems.
        paddings: between a box's border and its text, in ems.
        borders: of rules and borders, pixels.
        dark: share of pages with light text on dark ground.
        gradients, pictures: shares of pages on a gradient, and on a photograph that paper has made faint.
        jpeg: lowest JPEG quality; 0 leaves JPEG out.
        noise: largest deviation of noise, grey levels.
        photographs: names of bundled ones; none: all.
    """

    widths: tuple[int, int] = (480, 1400)
    ems: tuple[int, int] = (13, 26)
    pitches: tuple[float, float] = (1.0, 1.15)
    rows: tuple[float, float] = (1.5, 2.3)
    columns: tuple[float, float] = (0.8, 2.0)
    headings: tuple[float, float] = (1.3, 2.0)
    gaps: tuple[float, float] = (0.5, 1.2)
    paddings: tuple[float, float] = (0.4, 1.0)
    borders: tuple[int, int] = (1, 3)
    dark: float = 0.2
    gradients: float = 0.15
    pictures: float = 0.08
    jpeg: int = 60
    noise: float = 3.0
    photographs: tuple[str, ...] = ()


class Texts:
    """Text pairs by length: labels of few letters, titles of some words, sentences.

    Raises:
        UserError: pairs of one of these lengths are missing.
    """

    def __init__(self, pairs: Sequence[TextPair]) -> None:
        pairs = [TextPair(normalise(pair.source), normalise(pair.target)) for pair in pairs]
        words = [len(pair.source.split()) for pair in pairs]
        self.labels = [pair for pair, n in zip(pairs, words, strict=True) if n <= 2 and 3 <= len(pair.source) <= 18]
        self.titles = [pair for pair, n in zip(pairs, words, strict=True) if 2 <= n <= 4 and len(pair.source) <= 32]
        self.sentences = [pair for pair, n in zip(pairs, words, strict=True) if n >= 5]
        for name in ("labels", "titles", "sentences"):
            if not getattr(self, name):
                raise UserError(f"layouts need text pairs of several lengths: none can be {name}")

    def label(self, rng: np.random.Generator) -> TextPair:
        """One or two words."""
        return self.labels[int(rng.integers(len(self.labels)))]

    def title(self, rng: np.random.Generator) -> TextPair:
        """Two to four words."""
        return self.titles[int(rng.integers(len(self.titles)))]

    def passage(self, rng: np.random.Generator, sentences: int = 1) -> TextPair:
        """So many sentences, one after another."""
        chosen = [self.sentences[int(rng.integers(len(self.sentences)))] for _ in range(sentences)]
        return TextPair(" ".join(pair.source for pair in chosen), " ".join(pair.target for pair in chosen))
