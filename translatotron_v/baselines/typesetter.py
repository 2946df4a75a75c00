"""A renderer in the model's place: words set in the nearest font; no network takes part."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from data_synth.typeset import load_face
from translatotron_v.config import Config
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig
from translatotron_v.inference.block_state import BlockState
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.page.strips import EM, LINE, Run, frame

_WIDTHS = 2.0  # what a width that is wrong by so much (log) counts beside coverage that differs by a share of the ink
_FALLBACK = "DejaVuSans"  # the font of words for which the block's own lacks a glyph


class Typesetter:
    """Sets translations in the nearest font at the size they will have; no network takes part.

    What stood there is taken off, and colour and place are chosen, when the words are put back (`page.compose`).
    """

    folder: ClassVar[Path | None] = None

    def __init__(self, loaded: LoadedTranslator) -> None:
        self.config = loaded.config

    def draw(self, states: Sequence[BlockState], batch_size: int, generation: GenerationConfig = AS_TRAINED) -> None:
        """See `Drawer.draw`; sampling means nothing here."""
        for state in states:
            paragraph = state.paragraph
            font = paragraph.font or self.config.page.fonts[0]
            paragraph.words = [partial(set_word, word, font) for word in paragraph.translation.split()]
            paragraph.scores += [{"image": 0.0}]  # what is set is what was meant


def nearest_font(runs: Sequence[Run], text: str, config: Config) -> str:
    """The font of the model's fonts in which a text, set word by word, looks most like the ink of a block.

    The widths of all words together are compared and, where there are as many words as runs of ink, each word's
    coverage, brought to the width of its run: a block's size is known to a few percent only. Otherwise all their ink
    together. "" where the model knows one font.
    """
    fonts = config.model.fonts
    if not fonts:
        return ""
    words = text.split()
    if not words or not runs:
        return fonts[0]

    def unlike(font: str) -> float:
        made = [set_word(word, font, bearing=False) for word in words]
        ink = sum(float(run.text_alpha.sum()) for run in runs)
        widths = abs(math.log(sum(word.shape[1] for word in made) / sum(run.width for run in runs)))
        if len(made) == len(runs):
            apart = sum(_difference(word, run.text_alpha) for word, run in zip(made, runs, strict=True)) / ink
        else:
            apart = abs(math.log(sum(float(word.sum()) for word in made) / ink))
        return _WIDTHS * widths + apart

    return min(fonts, key=unlike)


def _difference(word: np.ndarray, ink: np.ndarray) -> float:
    """Sum of the absolute differences of two words' coverage (32, w), the first brought to the width of the second."""
    same = Image.fromarray(word).resize((ink.shape[1], LINE), Image.Resampling.BICUBIC)
    return float(np.abs(np.asarray(same) - ink).sum())


def set_word(word: str, font: str, scale: float = 1.0, bearing: bool = True) -> np.ndarray:
    """A word set in a font (`data_synth.fonts`), at a scale from a strip's size: coverage, see `compose.Word`.

    With `bearing` it keeps the empty columns before its first letter, which part an "n" from what stands before it more
    than an "A".
    """
    above, below = frame(scale)
    face = load_face(font, max(round(EM * scale), 1))
    if face.lacks(word) and font != _FALLBACK:
        face = load_face(_FALLBACK, max(round(EM * scale), 1))
    set_ink = face.word(word)
    mask, left = set_ink.mask, max(set_ink.left, 0) if bearing else 0
    ink = np.zeros((above + below, max(left + mask.shape[1], 1)), dtype=np.float32)
    shift = above - face.baseline  # from a row of the mask to that of the frame
    first, last = max(shift, 0), min(shift + len(mask), len(ink))
    ink[first:last, left : left + mask.shape[1]] = mask[first - shift : last - shift].astype(np.float32) / 255
    return ink
