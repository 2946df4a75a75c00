"""Structure-BLEU: is the right text in the right place?

Boxes are paragraphs, merged here from the lines that an OCR engine finds (`merge_lines`), on both pictures.
"""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from translatotron_v.metrics.score import Score
from translatotron_v.metrics.text import bleu
from translatotron_v.ocr import TextBox, box_from_bounds, boxes_to_text

Boxes = Sequence[TextBox]

THRESHOLD = 0.5  # the paper's: boxes that overlap less do not answer each other
_LINE_GAP = 0.7  # largest gap between the lines of a paragraph, in heights of the lower of the two
_PIECE_GAP = 1.0  # largest gap between two pieces of one line, likewise
_LIKE_HEIGHT = 1.6  # lines of one paragraph differ in height by this factor at most
_COLUMN_SHARE = 0.3  # the narrower of two lines must share this much of its width with the other


def structure_bleu(
    generated: Sequence[Boxes],
    references: Sequence[Boxes],
    *,
    one_to_one: bool = False,
    threshold: float = THRESHOLD,
    lower_case: bool = True,
) -> Score:
    """Corpus Structure-BLEU over pages, 0..100.

    The paper's definition (one_to_one=False): each reference box is answered by the generated box of highest IoU, if
    that exceeds the threshold, otherwise by an empty string; answers and references are joined in reference order, and
    corpus BLEU compares them. So one generated box may answer several reference boxes, and generated boxes that answer
    none cost nothing.

    The one-to-one variant pairs boxes by the assignment of highest total IoU, each box once, and counts every word of
    an unmatched generated box as wrong.

    Args:
        generated: the paragraphs of each generated page.
        references: the paragraphs of each reference page, as many pages.
        one_to_one: which variant.
        threshold: IoU that a pair of boxes must exceed.
        lower_case: see `bleu`.
    """
    if len(generated) != len(references) or not references:
        raise ValueError(f"{len(generated)} pages and {len(references)} references: give as many, at least one")
    hypotheses, targets, surplus = [], [], []
    for page, reference in zip(generated, references, strict=True):
        answers, unmatched = match_boxes(page, reference, one_to_one=one_to_one, threshold=threshold)
        hypotheses.append(_joined(answers))
        targets.append(_joined([box.text for box in reference]))
        if one_to_one and unmatched:
            surplus.append(_joined([box.text for box in unmatched]))
    score = bleu(hypotheses + surplus, targets + [""] * len(surplus), lower_case=lower_case)
    match = "one-to-one,surplus:wrong" if one_to_one else "best,surplus:free"
    signature = f"match:{match}|iou:>{threshold:g}|{score.signature}|opencv:{version('opencv-python-headless')}"
    return Score("Structure-BLEU 1:1" if one_to_one else "Structure-BLEU", score.value, signature)


def match_boxes(
    generated: Boxes, reference: Boxes, *, one_to_one: bool = False, threshold: float = THRESHOLD
) -> tuple[list[str], list[TextBox]]:
    """What answers each reference box of one page ("" if nothing does), and the generated boxes that answer none."""
    if not generated or not reference:
        return [""] * len(reference), list(generated)
    overlap = np.array([[iou(box, other) for other in generated] for box in reference])
    kept = np.where(overlap > threshold, overlap, 0.0)
    if one_to_one:
        from scipy.optimize import linear_sum_assignment

        pairs = [(int(row), int(column)) for row, column in zip(*linear_sum_assignment(-kept), strict=True)]
    else:
        pairs = [(row, int(column)) for row, column in enumerate(kept.argmax(axis=1))]
    answered = {row: column for row, column in pairs if kept[row, column] > 0}
    used = set(answered.values())
    answers = [generated[answered[row]].text if row in answered else "" for row in range(len(reference))]
    return answers, [box for column, box in enumerate(generated) if column not in used]


def iou(first: TextBox, second: TextBox) -> float:
    """Intersection over union of the hulls of two polygons, 0..1; 0 for one without an area."""
    import cv2

    one, other = (cv2.convexHull(np.array(box.polygon, dtype=np.float32)) for box in (first, second))
    shared, _ = cv2.intersectConvexConvex(one, other)
    union = cv2.contourArea(one) + cv2.contourArea(other) - shared
    return float(shared / union) if union > 0 else 0.0


def merge_lines(lines: Boxes) -> list[TextBox]:
    """Paragraphs out of lines: upright boxes, ordered by their top left corners from top to bottom.

    Two lines belong together when they are about equally high and either stand under each other, closer than 0.7 of a
    line's height and in one column, or are pieces of one row, closer than a line's height. A paragraph's score is the
    mean of its lines'.
    """
    groups: list[list[TextBox]] = []
    for line in lines:
        apart, merged = [], [line]
        for group in groups:
            if any(_together(line, other) for other in group):
                merged += group
            else:
                apart.append(group)
        groups = [*apart, merged]
    paragraphs = []
    for group in groups:
        left, top, right, bottom = zip(*(line.bounds for line in group), strict=True)
        score = sum(line.score for line in group) / len(group)
        paragraphs.append(box_from_bounds(min(left), min(top), max(right), max(bottom), boxes_to_text(group), score))
    return sorted(paragraphs, key=lambda box: (box.bounds[1], box.bounds[0]))


def _together(first: TextBox, second: TextBox) -> bool:
    """Whether two lines belong to one paragraph."""
    left, top, right, bottom = first.bounds
    left2, top2, right2, bottom2 = second.bounds
    low, high = sorted((bottom - top, bottom2 - top2))
    if high > _LIKE_HEIGHT * low:
        return False
    across = max(left, left2) - min(right, right2)  # gap if positive, shared columns if negative
    down = max(top, top2) - min(bottom, bottom2)
    if -down > 0.5 * low:  # one row
        return across <= _PIECE_GAP * low
    return down <= _LINE_GAP * low and -across >= _COLUMN_SHARE * min(right - left, right2 - left2)


def _joined(texts: Sequence[str]) -> str:
    return " ".join(text for text in texts if text)
