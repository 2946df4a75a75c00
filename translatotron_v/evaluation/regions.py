"""Which block of a page a text belongs to: by its place, so that no score depends on the order of reading.

A page without regions is one block, to which everything on it belongs.
"""

import math
from collections.abc import Sequence

from translatotron_v.evaluation.generation import Bounds, GeneratedPage
from translatotron_v.evaluation.reading import Boxes
from translatotron_v.ocr import TextBox, box_from_bounds, boxes_to_text


def texts_in(regions: Sequence[Bounds], boxes: Sequence[TextBox]) -> list[str]:
    """The text of each block: what stands in its region or nearest to it, in reading order.

    Args:
        regions: left, top, right, bottom of each block, pixels; none for a page that is one block.
        boxes: of lines or of paragraphs, in any order; a box belongs where its middle lies.
    """
    if not regions:
        return [boxes_to_text(boxes)]
    found: list[Boxes] = [[] for _ in regions]
    for box in boxes:
        left, top, right, bottom = box.bounds
        x, y = (left + right) / 2, (top + bottom) / 2
        distances = [_distance(x, y, region) for region in regions]
        found[distances.index(min(distances))].append(box)
    return [boxes_to_text(own) for own in found]


def answered(regions: Sequence[Bounds], answer: GeneratedPage | None) -> list[tuple[str, str]]:
    """The model's own text and what it read, of each block; ("", "") where it says nothing.

    The whole text of an answer without blocks belongs to the page's first block, and so does what was read.
    """
    count = max(len(regions), 1)
    if answer is None:
        return [("", "")] * count
    if not answer.blocks:
        return [(answer.text, answer.source_text)] + [("", "")] * (count - 1)
    written = texts_in(regions, [box_from_bounds(*block.bounds, block.text) for block in answer.blocks])
    read = texts_in(regions, [box_from_bounds(*block.bounds, block.source_text) for block in answer.blocks])
    return list(zip(written, read, strict=True))


def in_reading_order(regions: Sequence[Bounds], texts: Sequence[str]) -> list[str]:
    """The texts of a page's blocks, by the top left corners of the blocks, from top to bottom."""
    if not regions:
        return list(texts)
    placed = sorted(zip(regions, texts, strict=True), key=lambda block: (block[0][1], block[0][0]))
    return [text for _, text in placed]


def _distance(x: float, y: float, region: Bounds) -> float:
    """From a point to a rectangle, pixels; 0 inside it."""
    left, top, right, bottom = region
    return math.hypot(max(left - x, 0.0, x - right), max(top - y, 0.0, y - bottom))
