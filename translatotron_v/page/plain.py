"""Ink on a plain or smooth ground, where colours alone tell it: how far each pixel is from the ground to the ink.

A network sees text of the sizes, colours and contrasts that it was trained on. On such a ground nothing needs to be
guessed: a letter's pixels lie on the line between two colours. What does not, such as letters with an outline or a
picture, stays as it was seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from translatotron_v.page.ground import as_colour, largest, length, total, under
from translatotron_v.page.profile import EM_PER_HEIGHT, Bounds
from translatotron_v.page.residue import grow
from translatotron_v.page.separate import Layers

_EVEN = 0.02  # middle difference of a smooth ground's pixels from what is fitted to it
_FITTED = 4000  # pixels that it is fitted to, about
_CLEAR = 0.06  # difference of colours from which a pixel is no ground
_OFF_LINE = 0.04  # middle distance from the line between two colours up to which there are no more than two
_ONE_HUE = 0.985  # cosine between two differences from the ground that makes them one ink's
_THICKEST = 0.16  # ems of half a stroke; what is thicker is no letter
_SEEN = 0.4  # share of the ink that was seen, which parts that are letters hold where they tell its colour,
_FAR = 0.6  # even if they are weaker than it seemed by this factor
_SPECK = 0.3  # ems that what JPEG leaves beside letters is long at most,
_FAINT = 0.25  # and how strong it is against their ink
_UNSEEN = 0.2  # ink of a speck that was not taken for any
_TALLEST = 1.7  # ems that a letter is high at most, with accents, outline and what it touches
_OUTLINED = 0.6  # the same of letters with an outline, whose insides it may fill
_TWO_COLOURS = 0.4  # difference of an outline's colour from its letters'
_ON_LINE = 0.15  # its difference from colours between ground and letters, which edges have, too
_LEAST_SHARE = 0.1  # how far from the ground towards the letters they are at least
_BARE = 0.12  # share of letters with an outline that may seem to meet the ground
_FILLED = (0.12, 0.85)  # share of them that is no outline
_LEVEL, _LEVEL_SHARE = 0.05, 0.06  # of the strongest ink, within which pixels are full, and how many of those inked are
_ENOUGH, _SMEARS = 40, 4  # pixels of ink that tell a hue, and how far JPEG smears it
_TOLD = 0.15  # difference in brightness of ink and ground from which it tells how much ink there is
_LUMA = np.array((0.299, 0.587, 0.114))
_STRONGEST = 0.985  # share of inked pixels that are weaker than the ink of letters that are nowhere full
_MOST_GAIN = 1.35  # by which such ink is taken for stronger than it was seen


@dataclass(frozen=True)
class _Parts:
    """Connected parts of what is no ground.

    Attributes:
        labels: the part of each pixel (h, w); 0 is the ground.
        direction: of each part (N, 3), a unit vector of colour, away from the ground's.
        good: (N,) bool: of one colour, and no thicker than a letter.
        speck: (N,) bool: as small as a full stop or a trace of JPEG.
        whole: (N,) bool: not thicker than a letter with an outline.
    """

    labels: np.ndarray
    direction: np.ndarray
    good: np.ndarray
    speck: np.ndarray
    whole: np.ndarray


def settle(pixels: np.ndarray, layers: Layers, rows: Sequence[Bounds], where: np.ndarray) -> Layers:
    """Layers with ink, colour and background as colours tell them; the same layers where the ground is not smooth.

    Args:
        pixels: the crop (h, w, 3), float32 in [0, 1].
        rows: the box of each row of text.
        where: (h, w) bool, where ink may be.
    """
    plain = smooth_ground(pixels, (layers.text_alpha < 0.02) & ~grow(layers.text_alpha > 0.1, 2))
    if plain is None:
        return layers
    away = pixels - plain
    parts = _parts(away, where, rows)
    filled = _filled(pixels, layers, parts, plain)
    if filled is not None:
        return filled
    if not parts.good.any():
        return layers
    middle = _middle(plain, where)
    own = np.array(layers.colour, dtype=np.float32) - middle
    held = layers.text_alpha * parts.good[parts.labels]
    weight = np.bincount(parts.labels.ravel(), held.ravel(), len(parts.good))
    if weight.sum() < 4:
        return layers
    main = _main_direction(parts, weight, own)
    same = parts.good & (parts.direction @ main > _ONE_HUE)
    inked = same[parts.labels]
    share = away[inked] @ main
    full = _full_length(share[share > 0.3 * float(share.max(initial=0.0))], float(own @ main))
    # Where letters run into one another, or into what is no text, nothing but specks may be left to tell their colour.
    few = weight.sum() < _SEEN * float(layers.text_alpha.sum())
    if full <= 0 or (few and full < _FAR * float(own @ main)):
        return layers
    colour = np.clip(middle + main * full, 0, 1).astype(np.float32)
    towards = colour - plain[inked]
    covered = total(away[inked] * towards) / np.maximum(total(np.square(towards)), 1e-6)
    alpha = layers.text_alpha.copy()
    alpha[inked] = np.clip(covered, 0, 1)
    alpha = _others(alpha, away, parts, same, _FAINT * full)
    settled = grow(parts.good[parts.labels], 2) & where
    background = _with(layers.background, plain, settled)
    return replace(layers, text_alpha=alpha.astype(np.float32), colour=as_colour(colour), background=background)


def with_hue(pixels: np.ndarray, layers: Layers, where: np.ndarray) -> Layers:
    """Layers with their ink's hue as all of it tells, beside the letters too: JPEG keeps brightness, and smears hue.

    The same layers where the ground is not smooth, or nearly as bright as the ink.

    Args:
        pixels: the crop (h, w, 3), float32 in [0, 1].
        where: (h, w) bool, where ink may be, and what is smeared from it.
    """
    ink = layers.text_alpha
    if float(ink.sum()) < _ENOUGH:
        return layers
    around = grow(ink > 0.1, _SMEARS)
    ground = smooth_ground(pixels, ~around)
    if ground is None:
        return layers
    around &= where
    middle = _middle(ground, ink > 0.5)
    away = np.array(cv2.mean(pixels - ground, around.astype(np.uint8))[:3]) * np.count_nonzero(around)
    bright, seen = float(away @ _LUMA), float((np.array(layers.colour) - middle) @ _LUMA)
    if abs(seen) < _TOLD or bright * seen <= 0:
        return layers
    return replace(layers, colour=as_colour(np.clip(middle + away * seen / bright, 0, 1)))


def smooth_ground(pixels: np.ndarray, free: np.ndarray) -> np.ndarray | None:
    """The ground (h, w, 3) by the pixels that are free of text (h, w) bool, where it is of one colour or a gradient.

    A quadratic in both coordinates is fitted to each channel, twice, the second time without what lies far off.
    """
    places = np.flatnonzero(free)
    if len(places) < 16:
        return None
    height, width = free.shape
    rows, columns = np.divmod(places[:: max(len(places) // _FITTED, 1)], width)
    seen = pixels[rows, columns]
    middle = np.median(seen, axis=0)
    if float(np.quantile(largest(np.abs(seen - middle)), 0.75)) <= _EVEN / 2:
        return np.broadcast_to(middle.astype(np.float32), pixels.shape)

    def terms(down: np.ndarray, across: np.ndarray) -> np.ndarray:
        y, x = down / height - 0.5, across / width - 0.5
        return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)

    basis = terms(rows.astype(np.float64), columns.astype(np.float64))
    near = np.ones(len(rows), dtype=bool)
    for _ in range(2):
        if np.count_nonzero(near) < 16:
            return None
        weights, *_ = np.linalg.lstsq(basis[near], seen[near].astype(np.float64), rcond=None)
        off = largest(np.abs(seen - basis @ weights))
        near = off < max(3 * float(np.median(off)), 0.01)
    if float(np.median(off)) > _EVEN:
        return None
    down, across = np.arange(height, dtype=np.float64) / height - 0.5, np.arange(width, dtype=np.float64) / width - 0.5
    answer = np.empty(pixels.shape, dtype=np.float32)
    for channel, (mean, right, below, curve, twist, bend) in enumerate(weights.T):
        first = (mean + below * down + bend * down * down)[:, None]
        answer[..., channel] = first + (right + twist * down)[:, None] * across + (curve * across * across)[None]
    return np.clip(answer, 0, 1, out=answer)


def _middle(ground: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The median colour (3,) of smooth ground (h, w, 3) there, which a part of its pixels tells."""
    places = np.flatnonzero(where)
    rows, columns = np.divmod(places[:: max(len(places) // _FITTED, 1)], where.shape[1])
    answer: np.ndarray = np.median(ground[rows, columns], axis=0) if len(places) else ground[0, 0]
    return answer


def _with(picture: np.ndarray, other: np.ndarray, where: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) that is another one where a mask (h, w) is set."""
    return cv2.copyTo(np.ascontiguousarray(other), where.astype(np.uint8), picture.copy())


def _parts(away: np.ndarray, where: np.ndarray, rows: Sequence[Bounds]) -> _Parts:
    """What stands out from the ground, given each pixel's difference (h, w, 3) from it."""
    em = float(np.median([bottom - top for _, top, _, bottom in rows])) * EM_PER_HEIGHT
    clear = length(away) > _CLEAR
    count, labels, stats, _ = cv2.connectedComponentsWithStats(clear.astype(np.uint8), connectivity=8)
    off_ground = under(away, clear)  # of the pixels that are no ground, one after another,
    parts: np.ndarray = labels[clear]  # and the part of each
    sums = np.stack([np.bincount(parts, off_ground[:, channel], count) for channel in range(3)], axis=1)
    direction = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-6)
    own = direction[parts]
    along = total(off_ground * own)
    # What lies on the ground's other side, as black does beside white on grey, is no ink of the same colour either.
    off = length(off_ground - np.maximum(along, 0)[:, None] * own)
    size = np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    good = np.bincount(parts, off, count) / size < _OFF_LINE
    inside = np.bincount(parts, ~where[clear], count) / size < 0.3
    depth = cv2.distanceTransform(clear.astype(np.uint8), cv2.DIST_L2, 3)
    thick = np.zeros(count)
    np.maximum.at(thick, parts, depth[clear])
    inside &= stats[:, cv2.CC_STAT_HEIGHT] < _TALLEST * em  # a frame is no letter
    inside[0] = False
    good &= inside & (thick < max(_THICKEST * em, 2.0))
    speck = stats[:, (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT)].max(axis=1) < _SPECK * em
    return _Parts(labels, direction, good, speck, inside & ~good & (thick < max(_OUTLINED * em, 3.0)))


def _filled(pixels: np.ndarray, layers: Layers, parts: _Parts, plain: np.ndarray) -> Layers | None:
    """Letters with an outline: ink is what lies inside and never meets the ground; None where there are none.

    A network that takes outline and letters for one, or the outline for the letters, is put right.
    """
    region = parts.whole[parts.labels]
    if np.count_nonzero(region) < 0.6 * np.count_nonzero(parts.labels):
        return None
    depth = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 3)
    rim = region & (depth < 1.5)
    away = length(pixels - plain)
    low, high = np.quantile(away[rim], (0.4, 0.8))
    outline = np.median(pixels[rim & (away >= low) & (away <= high)], axis=0)
    inner = region & (depth > 1.5)
    if not inner.any():
        return None
    apart = length(pixels - outline)
    fill = np.median(pixels[inner & (apart >= np.quantile(apart[inner], 0.9))], axis=0)
    towards = fill - outline
    between = _between(outline, _middle(plain, region), fill)
    if float(np.linalg.norm(towards)) < _TWO_COLOURS or (between is not None and between > _LEAST_SHARE):
        return None
    share = np.clip((pixels - outline) @ towards / float(towards @ towards), 0, 1) * region
    full = share > 0.75
    if not full.any() or float((depth[full] < 1.2).mean()) > _BARE:
        return None
    share = np.where(depth > 1.3, share, np.float32(0))
    if not _FILLED[0] < float(share.sum()) / np.count_nonzero(region) < _FILLED[1]:
        return None
    if between is not None:  # no outline, but what JPEG left around some words: others have none
        share = np.where(region, share, layers.text_alpha)
    background = _with(layers.background, plain, grow(region, 2))
    return replace(layers, text_alpha=share.astype(np.float32), colour=as_colour(fill), background=background)


def _between(colour: np.ndarray, ground: np.ndarray, ink: np.ndarray) -> float | None:
    """How far a colour (3,) lies on the way from ground to ink; None where it lies elsewhere.

    On the way lies the edge of plain letters, which JPEG makes wide; near the ground all that coarse JPEG leaves
    between letters, in which they lie as in an outline.
    """
    towards = ink - ground
    share = float((colour - ground) @ towards) / max(float(towards @ towards), 1e-6)
    beside = float(np.linalg.norm(colour - ground - share * towards))
    return share if share < 1 and beside < _ON_LINE else None


def _main_direction(parts: _Parts, weight: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The direction (3,) in which most ink differs from the ground."""
    unit = own / max(float(np.linalg.norm(own)), 1e-6)
    alike = np.where(parts.direction @ unit > 0.9, weight, 0.0)
    alike = alike if alike.sum() > 0.3 * weight.sum() else weight
    seed = parts.direction[int(np.argmax(alike))]
    near = np.where(parts.direction @ seed > _ONE_HUE, weight, 0.0)
    mean = near @ parts.direction
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), dtype=np.float32)


def _full_length(shares: np.ndarray, seen: float) -> float:
    """How far full ink lies from the ground: where many pixels are, or else the strongest ones or what was seen."""
    if not len(shares):
        return 0.0
    top = float(np.quantile(shares, _STRONGEST))
    level = shares[shares > (1 - _LEVEL) * top]
    if len(level) >= max(_LEVEL_SHARE * len(shares), 8):
        return float(np.median(level))
    return max(top, min(seen, _MOST_GAIN * top))


def _others(alpha: np.ndarray, away: np.ndarray, parts: _Parts, same: np.ndarray, faint: float) -> np.ndarray:
    """Letters of other colours, each covered as far as it is of its own strongest colour.

    Specks stay as they were seen if they differ from the ground by less than ``faint``, as dots do, and what JPEG
    makes, or if they were not taken for ink, as stars behind the letters.
    """
    other = parts.good & ~same
    if not other.any():
        return alpha
    there = other[parts.labels]
    numbers = parts.labels[there]
    along = total(away[there] * parts.direction[numbers])
    strongest = np.zeros(len(parts.good))
    np.maximum.at(strongest, numbers, along)
    covered = np.clip(along / np.maximum(strongest, 1e-6)[numbers], 0, 1)
    seen = np.zeros(len(parts.good))
    np.maximum.at(seen, numbers, alpha[there])
    answer = alpha.copy()
    stays = parts.speck & ((strongest < faint) | (seen < _UNSEEN))
    answer[there] = np.where(stays[numbers], alpha[there], covered)
    return answer
