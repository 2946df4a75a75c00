"""Outlines and shadows of letters: measured on a picture, and laid under letters again.

Colours are RGB in [0, 1]; lengths are ems.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy import fft

from translatotron_v.page.ground import Colour, as_colour, length, total, under
from translatotron_v.page.inpaint import fill

_REACH = 0.3  # ems around letters in which effects are looked for
_OUTLINE, _SHADOW = 0.15, 0.05  # distance of colours from the ground, at which there is one
_AGREE = 0.25  # distance of colours within which an outline's four sides agree
_EXPLAINED = 0.6  # share of what is seen around letters that a shadow must explain
_SEARCH_EM = 24.0  # pixels per em at which a shadow is looked for,
_SEARCH_WIDTH = 30  # in so many ems of text,
_FARTHEST = 0.25  # so far away,
_BLURS = (0.0, 0.03, 0.06, 0.1, 0.15)  # and in these standard deviations
_TELLING = 20_000  # pixels that tell the ground's colour
_FAINT = 0.12  # change of colour that the widest shadows make at least
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))


@dataclass(frozen=True)
class Outline:
    """A line around letters."""

    width: float
    colour: Colour


@dataclass(frozen=True)
class Shadow:
    """What letters cast: moved to the right and down, blurred (standard deviation), and let through by its opacity."""

    right: float
    down: float
    blur: float
    colour: Colour
    opacity: float


@dataclass(frozen=True)
class Layer:
    """Coverage (h, w) in one colour, painted over what lies below."""

    coverage: np.ndarray
    colour: Colour


@dataclass(frozen=True)
class Around:
    """What surrounds letters.

    Attributes:
        reach: pixels by which it reaches beyond the letters.
        ground: (h, w, 3) the crop without it.
    """

    outline: Outline | None = None
    shadow: Shadow | None = None
    reach: float = 0.0
    ground: np.ndarray | None = None


def measure_around(pixels: np.ndarray, ink: np.ndarray, colour: Colour, em: float) -> Around:
    """Outline and shadow of the letters on a crop.

    Args:
        pixels: (h, w, 3) float32.
        ink: coverage (h, w) of the letters without either, and their colour.
        em: pixels per em.
    """
    inside = ink > 0.5
    if not inside.any() or inside.all():
        return Around()
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)
    near = _ring(distance, ink, 1.0, 2.9)
    if not _stands_out(pixels, ink, colour, near, distance, em):
        return Around()
    seen = _without_ink(pixels, ink, colour)
    reach = max(math.ceil(_REACH * em), 4)
    ground = fill(pixels, distance <= reach)
    rest = seen - ground
    outline, width = _outline(seen, rest, distance, ink, em)
    shadow = _shadow(rest, ground, ink, distance, width, em)
    if outline is None and shadow is None:
        return Around()
    far = 0.0 if shadow is None else em * (math.hypot(shadow.right, shadow.down) + 2.5 * shadow.blur)
    return Around(outline, shadow, width + far + 1, ground)


def _without_ink(pixels: np.ndarray, ink: np.ndarray, colour: Colour) -> np.ndarray:
    """Pixels (..., 3) without what letters add to them; where they are mostly letters it means nothing."""
    share = np.minimum(ink, 0.5)[..., None]
    return np.asarray((pixels - share * np.array(colour, dtype=np.float32)) / (1 - share), dtype=np.float32)


def _ring(distance: np.ndarray, ink: np.ndarray, least: float, most: float) -> np.ndarray:
    return (distance >= least) & (distance < most) & (ink < 0.3)


def _stands_out(
    pixels: np.ndarray, ink: np.ndarray, colour: Colour, near: np.ndarray, distance: np.ndarray, em: float
) -> bool:
    """Whether what is next to letters differs on some side from what is farther off; a quick look."""
    far = np.flatnonzero((distance > _REACH * em) & (distance < 2 * _REACH * em + 4))
    far = far[:: max(1, len(far) // _TELLING)]
    beside = np.flatnonzero(near)
    if not len(far) or not len(beside):
        return False
    around, beside = (_without_ink(pixels.reshape(-1, 3)[some], ink.ravel()[some], colour) for some in (far, beside))
    ground = np.median(around, axis=0)
    gradient = _unit(under(_gradient(distance), near))
    for side in _SIDES:
        there = gradient @ np.array(side, dtype=np.float32) > 0.7
        if there.any() and float(np.linalg.norm(np.median(beside[there], axis=0) - ground)) > _SHADOW:
            return True
    return False


def _directions(distance: np.ndarray) -> np.ndarray:
    """(h, w, 2): away from the letters, at each pixel."""
    return _unit(_gradient(distance))


def _gradient(distance: np.ndarray) -> np.ndarray:
    """(h, w, 2): to the right and down."""
    smooth = cv2.GaussianBlur(distance, (0, 0), 0.8)
    return cv2.merge([cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)])


def _unit(away: np.ndarray) -> np.ndarray:
    """Vectors (..., 2) made one long."""
    return away / np.maximum(np.hypot(away[..., 0], away[..., 1]), 1e-6)[..., None]


def _outline(
    pixels: np.ndarray, rest: np.ndarray, distance: np.ndarray, ink: np.ndarray, em: float
) -> tuple[Outline | None, float]:
    """An outline and its width in pixels, where all sides of letters have one of the same colour."""
    away = _directions(distance)
    sides = [away @ np.array(side, dtype=np.float32) > 0.7 for side in _SIDES]
    rings = [_ring(distance, ink, least, most) for least, most in ((1.0, 1.5), (1.5, 2.3))]
    near = max(rings, key=lambda ring: float(np.abs(rest[ring]).mean()) if ring.any() else 0.0)
    colours = [np.median(pixels[near & side], axis=0) for side in sides if (near & side).any()]
    strength = [float(np.linalg.norm(np.median(rest[near & side], axis=0))) for side in sides if (near & side).any()]
    if len(colours) < 4 or min(strength) < _OUTLINE:
        return None, 0.0
    colour = np.median(pixels[near], axis=0)
    if max(float(np.linalg.norm(one - colour)) for one in colours) > _AGREE:
        return None, 0.0
    towards = colour - (pixels - rest)
    share = np.clip(total(rest * towards) / np.maximum(total(np.square(towards)), 1e-6), 0, 1)
    edges = np.arange(1.0, _REACH * em, 0.5)
    widths = []
    for side in sides:
        ends = _REACH * em
        before = 1.0
        for edge in edges:
            there = side & _ring(distance, ink, edge, edge + 0.5)
            if not there.any():
                continue
            here = float(share[there].mean())
            if here < 0.5:
                ends = edge + 0.25 - 0.5 * (0.5 - here) / max(before - here, 1e-6)
                break
            before = here
        widths.append(ends - 0.5)
    width = float(sorted(widths)[1])  # a shadow lengthens two of them
    if width >= 0.8 * _REACH * em:
        return None, 0.0
    deep = _ring(distance, ink, 1.0, max(width, 1.6))
    return Outline(float(width / em), as_colour(np.clip(np.median(pixels[deep], axis=0), 0, 1))), width


def _shadow(
    rest: np.ndarray, ground: np.ndarray, ink: np.ndarray, distance: np.ndarray, width: float, em: float
) -> Shadow | None:
    """The shadow that explains best what is left outside letters and their outline."""
    outside = (distance > width + 0.8) & (distance < _REACH * em) & (ink < 0.1)
    strong = outside & (distance < width + 0.12 * em + 1)
    if not strong.any():
        return None
    weight = length(rest)
    mean = (rest * weight[..., None])[strong].sum(axis=0)
    size = float(np.linalg.norm(mean))
    if size < 1e-6:
        return None
    unit = mean / size
    seen = np.clip(rest @ unit, 0, None) * outside
    scale = min(1.0, _SEARCH_EM / em)
    columns = slice(0, max(round(_SEARCH_WIDTH * em), 1))
    caster = np.clip(width + 1 - distance, 0, 1) if width else ink

    def small(picture: np.ndarray) -> np.ndarray:
        cut = picture[:, columns].astype(np.float32)
        size = (max(round(cut.shape[1] * scale), 1), max(round(cut.shape[0] * scale), 1))
        return cv2.resize(cut, size, interpolation=cv2.INTER_AREA) if scale < 1 else cut

    seen, caster, window = small(seen), small(caster), small(outside.astype(np.float32))
    window = (window > 0.9).astype(np.float32)
    seen = seen * window
    total = float(np.square(seen).sum())
    if total / max(float(window.sum()), 1.0) < (_SHADOW / 3) ** 2:
        return None
    best = (math.inf, 0.0, 0.0, 0.0, 0.0)
    reach = math.ceil(_FARTHEST * em * scale)
    for blur in _BLURS:
        cast = cv2.GaussianBlur(caster, (0, 0), blur * em * scale) if blur else caster
        common = _shifted_sums(seen, cast, reach)
        power = np.maximum(_shifted_sums(window, np.square(cast), reach), 1e-6)
        gain = np.where(common > 0, np.square(common) / power, 0)
        place = np.unravel_index(int(np.argmax(gain)), gain.shape)
        error = total - float(gain[place])
        if error < best[0]:
            best = (error, blur, float(common[place] / power[place]), float(place[1] - reach), float(place[0] - reach))
    error, blur, amount, right, down = best
    if 1 - error / total < _EXPLAINED or amount < _SHADOW:
        return None
    if max(abs(right), abs(down)) >= reach or (blur == _BLURS[-1] and amount < _FAINT):
        return None  # the best lies beyond what a shadow is: unevenness of the ground
    change = unit * amount
    behind = ground[strong].mean(axis=0)
    room = np.where(change < 0, -behind, 1 - behind)  # how far each channel can go
    opacity = float(np.clip(np.max(np.abs(change) / np.maximum(np.abs(room), 1e-6)), 0.05, 1.0))
    if blur == 0:
        opacity = 1.0
    colour = as_colour(np.clip(behind + change / opacity, 0, 1))
    pixels = em * scale
    return Shadow(right / pixels, down / pixels, blur, colour, opacity)


def _shifted_sums(picture: np.ndarray, pattern: np.ndarray, reach: int) -> np.ndarray:
    """The sums of a picture times a pattern moved by -reach..reach rows and columns: (2 reach + 1, 2 reach + 1)."""
    rows, columns = (
        cv2.getOptimalDFTSize(max(sizes) + reach) for sizes in zip(picture.shape, pattern.shape, strict=True)
    )
    size = (rows, columns)  # the room beyond the larger of both keeps sums from running into one another
    sums = fft.irfft2(fft.rfft2(picture, size) * np.conj(fft.rfft2(pattern, size)), size)
    shifts = np.arange(-reach, reach + 1)
    return np.asarray(sums[np.ix_(shifts % rows, shifts % columns)])


# --- drawing ----------------------------------------------------------------------------------------------------------


def margin(outline: Outline | None, shadow: Shadow | None, em: float) -> int:
    """Pixels by which effects reach beyond letters of a size."""
    reach = 0.0 if outline is None else outline.width
    if shadow is not None:
        reach += max(abs(shadow.right), abs(shadow.down)) + 3 * shadow.blur
    return math.ceil(reach * em) + 1 if reach else 0


def layers_below(ink: np.ndarray, outline: Outline | None, shadow: Shadow | None, em: float) -> list[Layer]:
    """What is painted under letters (h, w), the lowest first."""
    layers = []
    caster = ink
    if outline is not None:
        caster = widened(ink, outline.width * em)
        layers.append(Layer(caster, outline.colour))
    if shadow is not None:
        matrix = np.array([[1, 0, shadow.right * em], [0, 1, shadow.down * em]])
        cast = cv2.warpAffine(caster, matrix, (ink.shape[1], ink.shape[0]), flags=cv2.INTER_LINEAR)
        if shadow.blur:
            cast = cv2.GaussianBlur(cast, (0, 0), max(shadow.blur * em, 0.3))
        layers.insert(0, Layer(cast * np.float32(shadow.opacity), shadow.colour))
    return layers


def widened(ink: np.ndarray, width: float) -> np.ndarray:
    """Coverage (h, w) and all that lies within so many pixels of it, with edges as sharp as a pixel."""
    factor = 4 if width < 4 else 2 if width < 10 else 1
    size = (ink.shape[1] * factor, ink.shape[0] * factor)
    large = cv2.resize(ink, size, interpolation=cv2.INTER_CUBIC) if factor > 1 else ink
    distance = cv2.distanceTransform((large < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    field = cv2.GaussianBlur(width * factor + 0.5 - distance, (0, 0), 0.35 * factor + 0.35)
    wide = np.clip(field + 0.5, 0, 1)
    wide = cv2.resize(wide, (ink.shape[1], ink.shape[0]), interpolation=cv2.INTER_AREA) if factor > 1 else wide
    return np.maximum(wide, ink)
