"""Words that are known beforehand in the model's place, so that nothing is judged but how a page is handled.

What stands on a block is read by rapidocr's recogniser, line by line, on the ink that was taken off the page; so lines
that are missing, run together or stand on their heads are not read. What is read is looked up, and the words of its
translation are drawn in one face at a strip's size, as the model would draw them.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from data_synth.typeset import load_face
from translatotron_v.decoding.text_mode import prepare
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.block_state import BlockState
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.pieces import Paragraph
from translatotron_v.ocr import LineReader
from translatotron_v.page.shaping import Word
from translatotron_v.page.strips import EM, LINE

FACE = "DejaVuSansCondensed"  # lies in data_synth
_ALIKE = 0.8  # share of letters in which a reading agrees with the text that is meant


class KnownTexts:
    """Reads by rapidocr, and translates by looking up: a baseline, and how to build it (`BaselineMaker`).

    Args:
        texts: of whole blocks, to what is to be written in their place.
        face: in which it is drawn (`data_synth.fonts`).
        language: of the texts.

    Attributes:
        unknown: what was read on blocks but is none of the texts; such blocks are left, as having no words.
    """

    name: ClassVar[str] = "known-texts"
    reads: ClassVar[bool] = True
    folder: ClassVar[Path | None] = None

    def __init__(self, texts: Mapping[str, str], face: str = FACE, language: str = "de") -> None:
        self.texts = dict(texts)
        self.unknown: list[str] = []
        self._letters = {_letters(text): text for text in self.texts}
        self._face, self._language = face, language
        self._reader = LineReader()

    def __call__(self, loaded: LoadedTranslator) -> "KnownTexts":
        """Itself: it needs nothing of a model."""
        return self

    def read(self, pages: Sequence[np.ndarray], states: Sequence[Sequence[BlockState]], batch_size: int) -> None:
        """See `BlockTranslator.read`."""
        for state in (state for page in states for state in page):
            self._read(state.paragraph)

    def translate(self, states: Sequence[BlockState], batch_size: int, generation: GenerationConfig) -> None:
        """See `BlockTranslator.translate`."""
        for state in states:
            paragraph = state.paragraph
            target = self.texts.get(paragraph.text, "")
            if not target:
                self.unknown.append(paragraph.text)
            paragraph.translations = [target]
            paragraph.words = typeset_words(target, self._face)
            paragraph.scores = [{"text": 0.0, "image": 0.0}]

    def _read(self, paragraph: Paragraph) -> None:
        assert paragraph.text_alpha is not None
        seen = [self._reader.read(_page(line)) for line in paragraph.text_alpha.lines if line.shape[1] > 1]
        text = " ".join(one for one, _ in seen if one)
        sure = min((score for one, score in seen if one), default=0.0)
        paragraph.text, paragraph.reading, paragraph.font = text, math.log(max(sure, 1e-6)), self._face
        paragraph.wordless = bool(text) and prepare(text, self._language).wordless
        near = difflib.get_close_matches(_letters(text), self._letters, 1, _ALIKE)
        if near:
            paragraph.text, paragraph.reading = self._letters[near[0]], max(paragraph.reading, math.log(0.95))


def typeset_words(text: str, face: str = FACE) -> list[Word]:
    """The words of a text in a face at a strip's size: (32, w) each, ink in [0, 1]."""
    loaded = load_face(face, EM, LINE)
    return [loaded.word(word).mask.astype(np.float32) / 255 for word in text.split()]


def _page(line: np.ndarray) -> np.ndarray:
    """A strip's line (32, w), ink in [0, 1], as bytes with white around it."""
    return np.pad(np.rint(255 * (1 - line)).astype(np.uint8), 8, constant_values=255)


def _letters(text: str) -> str:
    """A text without what recognisers confuse or leave out."""
    return "".join(text.casefold().split())
