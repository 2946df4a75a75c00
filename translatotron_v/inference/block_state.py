"""One block of text on its way through a page: what was seen and read of it, whether it is translated, its report."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from translatotron_v.data.language import identify, plainly
from translatotron_v.inference.certainty import RIGHT
from translatotron_v.inference.loaded import BlockTranslation
from translatotron_v.inference.pieces import Paragraph
from translatotron_v.page.arrange import ground_of
from translatotron_v.page.blocks import Block
from translatotron_v.page.free_ground import Ground
from translatotron_v.page.lines import Point
from translatotron_v.page.profile import Setting
from translatotron_v.page.separate import Layers
from translatotron_v.page.straighten import Crop
from translatotron_v.page.style import Style, dress

# Geometric mean of the probabilities of what was read; less is other writing, or none. Of 640 strips as bad as they get
# 500 reach it, of which 7 have more than a fifth of their letters wrong; as many as with .88 where strips are read once
# instead of twice.
UNSURE = 0.89
TELLING = 24  # letters from which a text tells its language by itself
SPOKEN = ("cs", "de", "en", "es", "fr", "it", "nl", "pl", "ro")  # the languages that a block is told apart from


@dataclass
class BlockState:
    """One block on its way."""

    block: Block
    crop: Crop
    layers: Layers
    setting: Setting
    paragraph: Paragraph
    skip_reason: str = ""
    language: str = ""
    style: Style | None = None
    right: float | None = None  # how probable it is that its translation is right

    @cached_property
    def ground(self) -> Ground | None:
        """Where its words may stand."""
        return ground_of(self.block.region, self.crop, self.setting.em)

    def dressed(self) -> tuple[list[Callable[[float], np.ndarray]], float]:
        """Its new words in the look of the old ones: see `style.dress`."""
        return dress(self.paragraph.words, self.style, self.paragraph.letter_width)

    def forget_pixels(self) -> None:
        """Let go of what only composing needs: many blocks of large text take hundreds of megabytes."""
        nothing = np.zeros((0, 0), dtype=np.float32)
        self.crop = replace(self.crop, pixels=nothing)
        self.layers = replace(self.layers, text_alpha=nothing, background=nothing, hole=nothing)
        self.paragraph.text_alpha = None
        self.__dict__.pop("ground", None)

    def judge(self, source_language: str, target_language: str, whole: str) -> None:
        """Leave a block on which nothing sure, or nothing in the source language, was read.

        A word or two tell little of their language: what they seem to be must be what the whole page says. Where that
        says no more, they are taken for the source's unless they seem to be translated already.
        """
        paragraph, languages = self.paragraph, tuple(sorted({*SPOKEN, source_language}))
        self.language = plainly(paragraph.text, languages) or identify(paragraph.text, languages)
        if self.language != source_language and _letters(paragraph.text) < TELLING:
            self.language = identify(whole, languages) if self.language else ""
            if self.language not in ("", target_language) and _letters(whole) < TELLING:
                self.language = source_language
        if not paragraph.text or (paragraph.reading or 0.0) < math.log(UNSURE):
            self.skip_reason = "unreadable"
        elif paragraph.wordless:
            self.skip_reason = "numbers and symbols"
        elif not self.language:
            self.skip_reason = "no words"
        elif self.language != source_language:
            self.skip_reason = "another language"

    def report(self, words: tuple[tuple[Point, ...], ...] = ()) -> BlockTranslation:
        """What became of it; ``words``: corners of the words that stand there now."""
        paragraph = self.paragraph
        red, green, blue = (round(255 * level) for level in self.layers.colour)
        return BlockTranslation(
            quad=self.block.quad,
            source_text=paragraph.text,
            text="" if self.skip_reason else paragraph.translation,
            scores=({} if self.right is None else {RIGHT: self.right}) | paragraph.confidence,
            font=paragraph.font,
            size=round(self.setting.em, 1),
            colour=(red, green, blue),
            angle=round(self.block.angle, 1),
            language=self.language,
            skip_reason=self.skip_reason,
            terms=() if self.skip_reason else tuple(paragraph.terms),
            unwritable=() if self.skip_reason else tuple(paragraph.unwritable),
            rows=tuple(tuple(line.quad for line in row) for row in self.block.rows),
            alignment=self.block.alignment,
            weight=0.0 if self.style is None else round(self.style.stem, 3),
            words=words,
        )


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))
