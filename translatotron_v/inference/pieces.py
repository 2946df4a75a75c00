"""A paragraph on its way through a model that reads strips, and the pieces that it consists of."""

import math
from dataclasses import dataclass, field

import numpy as np

from translatotron_v.inference.certainty import Calibration
from translatotron_v.inference.glossary import Term
from translatotron_v.page.shaping import Word
from translatotron_v.page.strips import BlockAlpha, Run, Strip

_TELLING = 100  # columns of letters, about nine, whose width tells how wide a face is


@dataclass(eq=False)
class Piece:
    """A part of a paragraph: a strip that is translated, or what stays as it is.

    Attributes:
        strip: a sentence, or part of one that fits; None for what is kept.
        runs: its ink.
        kept: what was read of what is kept.
        begins: whether a line begins with it, as with an entry of a list.
        sentence: the whole sentence that a strip is of, as it was read, and its number in the paragraph.
    """

    strip: Strip | None
    runs: list[Run]
    kept: str = ""
    begins: bool = False
    sentence: tuple[int, str] = (0, "")


@dataclass
class Paragraph:
    """A block of text on its way through the model.

    Attributes:
        runs: its ink at the strips' size, in reading order; ``text_alpha`` is what they were cut from, at its own size.
        readings: what was read on each run.
        text: all of it; ``font`` is the one it is set in, "" where the model knows one only.
        font_scores: logits (F,) of the fonts that the model knows, where it has told them.
        sentences: strips that are translated, one for each sentence or part of one that fits a strip.
        translations: of the sentences.
        words: of the translation: pictures (32, w), ink in [0, 1], or what sets them.
        drawn: the strips (96, 512) that the model wrote, ink in [0, 1].
        scores: of each sentence or part of one: "text" and "image", mean log-probability (nats), and "drawing", the
            logarithm of the share of its characters that were read on the drawn strip as they were meant.
        reading: mean log-probability (nats) of the letters that were read; None: unread.
        read_widths: columns of its ink at the strips' size, and of what was read on it in an average face.
        drawn_widths: columns of the words that were drawn, and the same of their letters.
        terms: what a glossary asked for.
        pieces: what it consists of, in order, where sentences are masked; empty otherwise.
        breaks: numbers of the words with which a line begins: entries of a list.
        wordless: nothing but literals and symbols was read.
        unwritable: characters of the translation that the vocabulary cannot write.
        misdrawn: words whose pictures were read as something else to the last.
    """

    runs: list[Run]
    text_alpha: BlockAlpha | None = None
    readings: list[str] = field(default_factory=list)
    text: str = ""
    font: str = ""
    font_scores: np.ndarray | None = None
    sentences: list[Strip] = field(default_factory=list)
    translations: list[str] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    drawn: list[np.ndarray] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    reading: float | None = None
    read_widths: tuple[int, float] = (0, 0.0)
    drawn_widths: tuple[int, float] = (0, 0.0)
    terms: list[Term] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    wordless: bool = False
    unwritable: list[str] = field(default_factory=list)
    misdrawn: list[str] = field(default_factory=list)

    @property
    def translation(self) -> str:
        """The whole of it."""
        texts = iter(self.translations)
        parts = [piece.kept if piece.strip is None else next(texts, "") for piece in self.pieces] or texts
        return " ".join(text for text in parts if text)

    @property
    def letter_width(self) -> float | None:
        """How wide a letter of the source is, in parts of a drawn one, on average; None where few letters tell."""
        (source, read), (columns, drawn) = self.read_widths, self.drawn_widths
        if min(read, drawn) < _TELLING or not columns:
            return None
        return (source / read) / (columns / drawn)

    @property
    def confidence(self) -> dict[str, float]:
        """Scores in [0, 1], each that of the worst sentence.

        Geometric means of the probabilities of what was read, of the pieces and of the image tokens, and the share of
        the characters that are drawn as they were meant.
        """
        names = dict.fromkeys(name for scores in self.scores for name in scores)
        worst = {name: min(scores[name] for scores in self.scores if name in scores) for name in names}
        if self.reading is not None:
            worst["reading"] = self.reading
        return {name: math.exp(value) for name, value in worst.items()}

    def certainty(self, calibration: Calibration) -> float | None:
        """How probable it is that its translation is right: as that of its worst sentence; None without any."""
        if self.reading is None:
            return None
        known = [
            calibration.probability(self.reading, scores["text"], len(text.split()))
            for text, scores in zip(self.translations, self.scores, strict=True)
            if "text" in scores
        ]
        return min(known, default=None)
