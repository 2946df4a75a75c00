"""Pages of known layout as they should look in translation: what the pictures of a translator are held against."""

from collections.abc import Iterator, Sequence

import numpy as np

from data_synth.backgrounds import Pixels
from data_synth.faces import Family
from data_synth.layout_parts import LayoutBlock, Texts
from data_synth.layout_sheet import extent
from data_synth.layouts import HELD_OUT, LAYOUTS, LayoutPage, draw_layout, paint
from data_synth.typeset import Face, Mask, load_face

_ATTEMPTS = 16  # how often a page is drawn while a translation does not fit it
_ANEW = 2**20  # each time the page that is so many further on
_SMALLEST = 0.5  # of its size, in which a translation may stand
_BEARINGS = 0.15  # ems by which pens may start before and end behind a frame: what is between them and the ink
_ABOVE, _BELOW = 0.76, 0.25  # ems of a line, as `LayoutBlock.frame` has them


def translated_pages(
    texts: Texts, families: Sequence[Family], count: int, seed: int
) -> Iterator[tuple[LayoutPage, Pixels | None]]:
    """Pages of all layouts in turn, in measures that no threshold was chosen on, each with its translation.

    Args:
        texts: what may stand there.
        families: of faces, drawn alike.
        count: of pages.
    """
    for number in range(count):
        for attempt in range(_ATTEMPTS):
            index = number + attempt * _ANEW
            page = draw_layout(LAYOUTS[number % len(LAYOUTS)], texts, families, HELD_OUT, seed, index)
            translated = draw_translated(page)
            if translated is not None:
                break
        yield page, translated


def draw_translated(page: LayoutPage) -> Pixels | None:
    """The page (H, W, 3) with the translation of each block in the block's frame, in its face, colour and alignment.

    What does not fit at the block's size is set smaller, down to half of it. Noise and JPEG of the page are left out.

    Returns:
        None where a translation does not fit.
    """
    pixels = page.ground.copy()
    for block in page.blocks:
        mask = _set(block, page.mask.shape)
        if mask is None:
            return None
        height, width = mask.shape
        paint(pixels, mask, (0, 0, width, height), block.colour)
    return pixels


def _set(block: LayoutBlock, shape: tuple[int, ...]) -> Mask | None:
    """The ink of a block's translation on an empty page, as large as fits; None if it does not."""
    left, top, right, bottom = block.frame
    words = block.target.split()
    for em in range(block.em, max(1, round(_SMALLEST * block.em)) - 1, -1):
        face, pitch = load_face(block.font, em), max(round(block.pitch * em / block.em), 1)
        line = (_ABOVE + _BELOW) * em
        lines = face.wrap(words, right - left + round(_BEARINGS * em), 1 + max(0, int((bottom - top - line) / pitch)))
        if lines is None:
            continue
        free = bottom - top - line - (len(lines) - 1) * pitch
        centred = block.container is not None or len(block.lines) == 1
        first = round(top + (max(free, 0) / 2 if centred else 0) + _ABOVE * em) - face.baseline
        if first < 0 or first + (len(lines) - 1) * pitch + face.line_height > shape[0]:
            return None
        mask: Mask = np.zeros(shape[:2], dtype=np.uint8)
        for number, row in enumerate(lines):
            _set_row(mask, face, row, block, first + number * pitch)
        return mask
    return None


def _set_row(mask: Mask, face: Face, words: list[str], block: LayoutBlock, top: int) -> None:
    """One line, where the block's alignment puts it between the block's edges."""
    left, _, right, _ = block.frame
    free = max(right - left - extent(face, words) + face.word(words[0]).left, 0)
    pen = left - face.word(words[0]).left
    face.set_line(mask, words, pen + {"centre": free // 2, "right": free}.get(block.alignment, 0), top)
