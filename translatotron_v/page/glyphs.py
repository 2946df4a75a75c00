"""What one shape of ink is: a colon, a hyphen, a bullet, or an icon that is no text at all.

Ink is bool, h rows and w columns; lengths are ems unless they are said to be pixels.
"""

import cv2
import numpy as np

_COLON = 0.65  # ems: the highest colon
FULL_STOP = 0.24  # ems: the largest full stop
_BULLET_HIGH = 0.62  # ems: the highest bullet
_HYPHEN = (0.15, 0.48)  # ems: widths of hyphens
_HYPHEN_HIGH, _HYPHEN_AT = 0.17, (0.13, 0.42)  # ems: the highest, and where it stands above the baseline
_NEARLY_SQUARE = 2.2  # times its height that the box of an icon is wide at most
_SYMBOL, _SQUARE = (0.45, 1.5), 1.25  # ems of a symbol's sides; how much longer one of a box's is than the other
_FULL, _BETWEEN = 0.85, 0.1  # share of a row that a bar fills, and that of the rows between them
_THICK = 0.26  # ems of half the thickness that icons have somewhere, and no stroke


def is_colon(ink: np.ndarray, base: float, em: float) -> bool:
    """Whether columns of ink (h, w) hold two dots, one on the baseline and one above it, and nothing else."""
    if ink.shape[1] > FULL_STOP * em + 1:
        return False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ink.any(axis=1), [False]]).astype(np.int8)))
    if len(edges) != 4:
        return False
    (top, middle, again, low) = edges.tolist()
    dots = max(middle - top, low - again) <= FULL_STOP * em + 1 and again - middle >= min(middle - top, low - again)
    return dots and abs(low - base) <= 0.12 * em + 1 and low - top < _COLON * em


def is_icon(ink: np.ndarray, em: float) -> bool:
    """Whether what stands in a box (h, w) is thicker than any letter's strokes, as a square, a disc or a switch is.

    Of a box that a disc fills the corners are what differs from most of it.
    """
    if is_symbol(ink, em):
        return True
    height, width = ink.shape
    if width < _NEARLY_SQUARE * height and all(ink[row, column] for row in (0, -1) for column in (0, -1)):
        return True
    room = np.pad(ink.astype(np.uint8), 1)
    thick = float(cv2.distanceTransform(room, cv2.DIST_L2, 3).max()) > _THICK * em
    return thick and int(cv2.connectedComponents(ink.astype(np.uint8), connectivity=8)[0]) == 2


def is_symbol(ink: np.ndarray, em: float) -> bool:
    """Whether all ink (h, w) is three bars above one another, as of a menu, or a box to tick, whatever is in it."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return False
    shape = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = shape.shape
    if not all(_SYMBOL[0] * em <= side <= _SYMBOL[1] * em for side in (height, width)):
        return False
    filled = shape.mean(axis=1)
    bars = np.count_nonzero(np.diff(np.concatenate([[0], (filled > _FULL).astype(np.int8)])) == 1)
    if bars == 3 and float(np.median(filled[filled <= _FULL])) < _BETWEEN:
        return True
    edges = (shape[:2].any(axis=0), shape[-2:].any(axis=0), shape[:, :2].any(axis=1), shape[:, -2:].any(axis=1))
    square = max(height, width) <= _SQUARE * min(height, width)
    return square and all(float(edge.mean()) > _FULL for edge in edges)


def is_hyphen(run: tuple[int, int, int, int], base: float, em: float) -> bool:
    """Whether a run of columns (from, to, and the rows that its ink is in) is a short bar at a hyphen's height."""
    start, end, top, low = run
    flat = low - top <= _HYPHEN_HIGH * em + 1 and low - top < end - start
    at = base - (top + low) / 2
    return flat and _HYPHEN[0] * em <= end - start <= _HYPHEN[1] * em and _HYPHEN_AT[0] * em <= at <= _HYPHEN_AT[1] * em


def is_bullet(ink: np.ndarray, em: float) -> bool:
    """Whether narrow ink (h, w) in a line's box is a filled shape about the middle."""
    rows = np.flatnonzero(ink.any(axis=1))
    if not len(rows):
        return False
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    middle = (top + bottom) / 2 / len(ink)
    filled = float(ink[top:bottom].mean())
    return bottom - top <= _BULLET_HIGH * em and 0.3 < middle < 0.75 and filled > 0.55
