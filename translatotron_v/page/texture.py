"""Texture of the ground continued under text: what repeats is copied from where it repeats, grain from anywhere near.

Shapes: H and W pixels of a crop.
"""

import cv2
import numpy as np
from numpy import fft

from translatotron_v.page.ground import under

_VISIBLE = 2.5 / 255  # standard deviation from which ground has a texture
_OUTLYING = 4.5  # standard deviations from which a pixel is no part of it
_REPEATS = 0.6  # correlation with a shifted copy from which ground repeats itself
_BETWEEN = 0.3  # by how much more than with a copy shifted half as far
_WHITE = 0.6  # deviation of means of 4 x 4 pixels, as a share of that of pixels, up to which texture is grain
_FARTHEST = 2.0  # ems, of a shift
_LEAST = 4  # pixels, of a shift
_COPIES = 40  # shifts that are tried where the nearer ones lead to text
_WINDOW = 640  # rows and columns of a crop that are looked at
_KNOWN = 400  # pixels that are enough to see a texture


def continued(
    off: np.ndarray, hole: np.ndarray, near: np.ndarray, em: float, grain: bool
) -> tuple[np.ndarray, bool] | None:
    """Texture for a hole, as differences from smooth ground; None where there is none to continue.

    Args:
        off: (H, W, 3), the picture less its smooth ground.
        hole: (H, W) bool, what must be painted anew.
        near: (H, W) bool, what shows the ground around it.
        grain: whether texture that does not repeat is continued too.

    Returns:
        (H, W, 3), whole: the picture's own outside the hole; and whether it repeats itself, or is grain.
    """
    known = near & ~hole
    if np.count_nonzero(known) < _KNOWN:
        return None
    mask = known.astype(np.uint8)
    mean = np.array(cv2.mean(off, mask)[:3], dtype=np.float32)
    # Whatever the direction, it varies no more than three channels do.
    if sum(cv2.mean(np.abs(off - mean), mask)) / 3 < _VISIBLE / 10:
        return None
    shown = under(off, known) - mean
    most = np.linalg.eigh(shown.T @ shown)[1][:, -1]  # the direction of colours in which they differ most
    grey = off @ most.astype(np.float32)
    grey -= np.median(grey[known])
    spread = 1.25 * float(np.abs(grey[known]).mean())  # the median is 0 on tiles of two colours
    if spread < _VISIBLE:
        return None
    known &= np.abs(grey) < _OUTLYING * spread
    grey = np.where(known, grey, np.float32(0))
    shifts = _repeats(grey, known, em)
    if not shifts:
        if not grain or not _is_grain(grey, known, spread):
            return None
        shifts = _anywhere(em)
        return _copied(off, known, hole, shifts), False
    return _copied(off, known, hole, shifts), True


def _repeats(grey: np.ndarray, known: np.ndarray, em: float) -> list[tuple[int, int]]:
    """Shifts (rows, columns) under which the ground agrees with itself, the best first."""
    rows, columns = (min(side, _WINDOW) for side in grey.shape)
    top, left = (grey.shape[0] - rows) // 2, (grey.shape[1] - columns) // 2
    part = np.s_[top : top + rows, left : left + columns]
    values, mask = grey[part], known[part].astype(np.float32)
    size = [cv2.getOptimalDFTSize(2 * side) for side in values.shape]
    spectra = [fft.rfft2(one, size) for one in (values, mask, values * values)]

    def correlated(first: int, second: int) -> np.ndarray:
        return np.asarray(fft.irfft2(spectra[first] * np.conj(spectra[second]), size))

    count = correlated(1, 1)
    power = np.maximum(correlated(2, 1), 0) * np.maximum(correlated(1, 2), 0)
    agreement = correlated(0, 0) / np.sqrt(np.maximum(power, 1e-9))
    agreement[count < max(_KNOWN, 0.05 * mask.sum())] = 0
    down, across = (fft.fftfreq(side, 1 / side).round().astype(int) for side in size)
    far = np.hypot(down[:, None], across[None])
    # what varies slowly agrees with itself under every short shift; what repeats does not halfway
    halfway = agreement[(down // 2)[:, None], (across // 2)[None]]
    agreement[(far < max(_LEAST, 0.15 * em)) | (far > max(_FARTHEST * em, 48))] = 0
    peaks = agreement == cv2.dilate(agreement, np.ones((3, 3), np.uint8))
    places = np.argwhere(peaks & (agreement > _REPEATS) & (agreement > halfway + _BETWEEN))
    best = sorted(places.tolist(), key=lambda place: -float(agreement[place[0], place[1]]))[:_COPIES]
    return [(int(down[row]), int(across[column])) for row, column in best]


def _is_grain(grey: np.ndarray, known: np.ndarray, spread: float) -> bool:
    """Whether neighbouring pixels have little to do with one another."""
    share = cv2.blur(known.astype(np.float32), (4, 4))
    means = cv2.blur(grey, (4, 4))[share > 0.99]
    return len(means) > _KNOWN // 4 and float(means.std()) < _WHITE * spread


def _anywhere(em: float) -> list[tuple[int, int]]:
    """Shifts in all directions, short ones first."""
    rng = np.random.default_rng(0)
    lengths = np.linspace(0.6, _FARTHEST, _COPIES) * max(em, 12)
    angles = rng.uniform(0, 2 * np.pi, _COPIES)
    return [
        (round(far * np.sin(angle)), round(far * np.cos(angle))) for far, angle in zip(lengths, angles, strict=True)
    ]


def _copied(off: np.ndarray, known: np.ndarray, hole: np.ndarray, shifts: list[tuple[int, int]]) -> np.ndarray:
    """Differences (H, W, 3) with the hole filled from where shifts lead; nothing where none leads to known pixels."""
    answer = np.where(hole[..., None], np.float32(0), off)
    rows, columns = np.nonzero(hole)
    for down, across in shifts:
        there, aside = rows + down, columns + across
        inside = (there >= 0) & (there < len(off)) & (aside >= 0) & (aside < off.shape[1])
        inside[inside] = known[there[inside], aside[inside]]
        answer[rows[inside], columns[inside]] = off[there[inside], aside[inside]]
        rows, columns = rows[~inside], columns[~inside]
        if not len(rows):
            break
    return answer
