"""Words to ink: one font at one size, with a cache of word bitmaps, and greedy line breaking.

Pillow's BASIC layout places a line's words at integer positions that depend on nothing but the words before them, so
pasting cached word bitmaps gives the same pixels as drawing the line anew, at a tenth of the time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from data_synth.errors import UserError
from data_synth.fonts import covered, find_font

Mask = npt.NDArray[np.uint8]

_CACHE_LIMIT = 60_000
_TALLEST = "ÅŮŘÂȘĂÇțgjpqy|Qß("


@dataclass(frozen=True)
class WordInk:
    """The bitmap of one word.

    Attributes:
        mask: coverage 0..255, shape (line height, ink width).
        left: column of the mask's first pixel, counted from the pen position.
        advance: how far the pen moves, in pixels.
        drawable: False if the font lacks a glyph or ink falls outside the line's rows: such a word is never printed.
    """

    mask: Mask
    left: int
    advance: int
    drawable: bool


class Face:
    """A font at one pixel size, set on lines of `line_height` rows (0: as many as its accented letters need).

    The baseline is placed so that ascent and descent are centred in the line.

    Args:
        font: bundled name or path.
        size: pixels per em.
        line_height: rows of a line.
        word_grid: words start at multiples of this many columns after the line's start; 0 sets them a space apart.
        advance_grid: letters advance by multiples of this many columns, without kerning; 1 leaves their advances alone.
    """

    def __init__(self, font: str, size: int, line_height: int = 0, word_grid: int = 0, advance_grid: int = 1) -> None:
        try:
            self.font = ImageFont.truetype(str(find_font(font)), size, layout_engine=ImageFont.Layout.BASIC)
        except OSError as error:
            raise UserError(f"cannot read font {font}: {error}") from error
        self._covered = covered(font)
        ascent, descent = self.font.getmetrics()
        if not line_height:
            tallest = self.font.getbbox(_TALLEST, anchor="ls")
            ascent, descent = max(ascent, -int(tallest[1])), max(descent, int(tallest[3]))
        self.line_height = line_height or ascent + descent
        self.baseline = (self.line_height + ascent - descent) // 2
        self.space = math.ceil(self.font.getlength(" "))
        self.word_grid, self.advance_grid = word_grid, advance_grid
        self._words: dict[str, WordInk] = {}
        self._letters: dict[str, WordInk] = {}

    def lacks(self, text: str) -> str:
        """The characters of a text that the font has no glyph for."""
        return "".join(sorted({letter for letter in text if letter != " " and ord(letter) not in self._covered}))

    def word(self, text: str) -> WordInk:
        """The bitmap of a word, from the cache where it has been drawn before."""
        ink = self._words.get(text)
        if ink is None:
            if len(self._words) >= _CACHE_LIMIT:
                self._words.clear()
            ink = self._words[text] = self._draw(text)
        return ink

    def after(self, pen: int) -> int:
        """Where the next word starts when a word ended with the pen at `pen`, both counted from the line's start."""
        if not self.word_grid:
            return pen + self.space
        return -(-(pen + self.space * 5 // 8) // self.word_grid) * self.word_grid  # on average as wide as a plain space

    def _draw(self, text: str) -> WordInk:
        return self._draw_plain(text) if self.advance_grid == 1 else self._draw_by_letters(text)

    def _draw_plain(self, text: str) -> WordInk:
        left, top, right, bottom = (int(edge) for edge in self.font.getbbox(text, anchor="ls"))
        inside = self.baseline + top >= 0 and self.baseline + bottom <= self.line_height
        image = Image.new("L", (max(right - left, 0), self.line_height))
        if right > left:
            ImageDraw.Draw(image).text((-left, self.baseline), text, fill=255, font=self.font, anchor="ls")
        mask = np.asarray(image, dtype=np.uint8).reshape(self.line_height, max(right - left, 0))
        inked = np.flatnonzero(mask.any(axis=0))
        if inked.size:
            mask, left = mask[:, inked[0] : inked[-1] + 1], left + int(inked[0])
        return WordInk(mask, left, math.ceil(self.font.getlength(text)), inside and not self.lacks(text))

    def _draw_by_letters(self, text: str) -> WordInk:
        """A word whose letters advance by multiples of the grid."""
        room = 2 * self.line_height  # for letters that reach back before the pen
        width = room + sum(self._advance(letter) for letter in text) + 2 * self.line_height
        image = np.zeros((self.line_height, width), dtype=np.uint8)
        pen, inside = room, True
        for letter in text:
            ink = self._letter(letter)
            inside &= ink.drawable
            target = image[:, pen + ink.left : pen + ink.left + ink.mask.shape[1]]
            np.maximum(target, ink.mask, out=target)
            pen += ink.advance
        inked = np.flatnonzero(image.any(axis=0))
        if not inked.size:
            return WordInk(image[:, :0], 0, pen - room, inside)
        return WordInk(image[:, inked[0] : inked[-1] + 1], int(inked[0]) - room, pen - room, inside)

    def _advance(self, letter: str) -> int:
        return max(1, round(self.font.getlength(letter) / self.advance_grid)) * self.advance_grid

    def _letter(self, letter: str) -> WordInk:
        ink = self._letters.get(letter)
        if ink is None:
            plain = self._draw_plain(letter)
            ink = self._letters[letter] = replace(plain, advance=self._advance(letter))
        return ink

    def wrap(self, words: Sequence[str], width: int, max_lines: int) -> list[list[str]] | None:
        """Break words greedily into lines at most `width` pixels wide.

        None if that takes more than `max_lines`, if one word is wider than a line, or if a word is not drawable.
        """
        lines: list[list[str]] = []
        pen = width + 1
        for word in words:
            ink = self.word(word)
            reach = max(ink.advance, ink.left + ink.mask.shape[1])
            if not ink.drawable or reach > width:
                return None
            start = self.after(pen)
            if lines and start + reach <= width:
                lines[-1].append(word)
                pen = start + ink.advance
            elif len(lines) >= max_lines:
                return None
            else:
                lines.append([word])
                pen = ink.advance
        return lines

    def pens(self, words: Sequence[str], left: int) -> list[int]:
        """The columns where the pen stands before each word of a line that starts at column `left`."""
        pens = []
        pen = left
        for number, word in enumerate(words):
            pens.append(left + self.after(pen - left) if number else left)
            pen = pens[-1] + self.word(word).advance
        return pens

    def set_line(self, mask: Mask, words: Sequence[str], left: int, top: int) -> tuple[int, int]:
        """Draw one line of words into `mask` (H, W), the pen starting at column `left`, the line's first row at `top`.

        Returns the columns its ink spans, first and one past the last.
        """
        first, last = mask.shape[1], 0
        for word, pen in zip(words, self.pens(words, left), strict=True):
            ink = self.word(word)
            start = max(pen + ink.left, 0)
            cut = start - (pen + ink.left)
            end = min(pen + ink.left + ink.mask.shape[1], mask.shape[1])
            target = mask[top : top + self.line_height, start:end]
            np.maximum(target, ink.mask[:, cut : cut + target.shape[1]], out=target)
            first, last = min(first, start), max(last, end)
        return first, last


@lru_cache(maxsize=64)
def load_face(font: str, size: int, line_height: int = 0, word_grid: int = 0, advance_grid: int = 1) -> Face:
    """The face for a font name or path at a size, shared so that its word bitmaps are drawn once per process."""
    return Face(font, size, line_height, word_grid, advance_grid)
