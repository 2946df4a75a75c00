"""An answer back in the mode of its source: alpha, palettes, CMYK, sixteen bits.

The system sees every picture as plain L or RGB (`pictures.to_plain`). What it has changed there is carried over to the
picture itself; every other pixel stays the source's, bit by bit.

Shapes: H and W are a picture's height and width, N the pixels that have changed.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from translatotron_v.inference.pictures import eight_bit_scale, ground_under, has_alpha, in_mode

_AROUND = 3  # pixels around a change that tell what it stands on
_OPAQUE = 250  # alpha from which the ground counts as solid


def changed(plain: Image.Image, answer: Image.Image) -> np.ndarray:
    """Where an answer differs from the plain picture that it answers: (H, W) bool."""
    different = np.asarray(plain) != np.asarray(in_mode(answer, plain.mode))
    return different if different.ndim == 2 else different.any(axis=-1)


def changes(where: np.ndarray, around: int) -> Iterator[np.ndarray]:
    """Changes (H, W) bool that lie near one another, with so many pixels around each: (H, W) bool, part by part."""
    near = cv2.dilate(where.astype(np.uint8), np.ones((2 * around + 1, 2 * around + 1), np.uint8))
    count, parts = cv2.connectedComponents(near, connectivity=8)
    return (parts == part for part in range(1, count))


def give_back(original: Image.Image, plain: Image.Image, answer: Image.Image) -> Image.Image:
    """The answer in the original's mode; of pixels that have not changed, the original's own values.

    Args:
        original: upright, in any mode.
        plain: what was made of it for the system (`pictures.to_plain`), of the same size.
        answer: what the system made of that, of the same size.

    Returns:
        The original itself where nothing has changed. A palette with transparent entries becomes RGBA.
    """
    where = changed(plain, answer)
    if not where.any():
        return original
    mode = original.mode
    if has_alpha(original):
        return _with_alpha(original, answer, where)
    if mode.startswith("I") or mode == "F":
        values = np.array(original)
        scale = eight_bit_scale(np.asarray(original, dtype=np.float64))
        new = np.asarray(answer.convert("L"), dtype=np.float64)[where] / scale
        values[where] = new if mode == "F" else np.rint(new)
        if mode == "I;16B":  # numpy's own order is the machine's
            return Image.fromarray(values.astype(np.uint16))
        return Image.fromarray(values)
    if mode == "P":
        return _with_palette(original, answer, where)
    if mode == "1":
        return Image.fromarray(np.where(where, np.asarray(answer.convert("L")) >= 128, np.asarray(original)))
    new = np.asarray(answer.convert("RGB").convert(mode))
    values = np.array(original)
    values[where] = new[where]
    return Image.frombytes(mode, original.size, values.tobytes())


def _with_alpha(original: Image.Image, answer: Image.Image, where: np.ndarray) -> Image.Image:
    """New ink on what lies under it: solid on solid ground, on nothing with an alpha of its own.

    The answer was drawn on the colour that transparency had been laid on (G). Where the ground around a change is
    solid, the answer's colours are taken as they are. Elsewhere each pixel T gets the least alpha a that a stroke of
    the change's own ink would have there, and the colour C with a C + (1 - a) G = T; what equals G becomes nothing.
    """
    rgba = original.convert("RGBA")
    ground = np.array(ground_under(rgba), dtype=np.float32)
    values = np.array(rgba)
    new = np.asarray(answer.convert("RGB"), dtype=np.float32)
    for own in changes(where, _AROUND):
        inside = own & where
        around = values[..., 3][own & ~where]
        under = float(np.median(around if len(around) else values[..., 3][inside]))
        colours = new[inside]  # (N, 3)
        if under >= _OPAQUE:
            values[inside] = np.concatenate([colours, np.full((len(colours), 1), 255)], axis=1)
            continue
        apart = colours - ground
        ink = apart[np.argmax((apart**2).sum(axis=1))]
        strength = apart @ ink / max(float(ink @ ink), 1.0)
        room = np.maximum(ground, 255 - ground)  # how far a colour can be from the ground
        least = (np.abs(apart) / room).max(axis=1)
        alpha = np.clip(np.maximum.reduce([strength, least, np.full_like(least, under / 255)]), 0, 1)
        solid = np.maximum(alpha, 1e-6)[:, None]
        drawn = np.clip(ground + apart / solid, 0, 255)
        values[inside] = np.rint(np.concatenate([drawn, 255 * alpha[:, None]], axis=1))
    made = Image.fromarray(values)
    return made.convert("LA") if original.mode in ("LA", "La") else made


def pack_colours(colours: np.ndarray) -> np.ndarray:
    """Bytes of red, green and blue (N, 3) as one number each (N,)."""
    red, green, blue = colours.astype(np.int32).T
    return red << 16 | green << 8 | blue


def _with_palette(original: Image.Image, answer: Image.Image, where: np.ndarray) -> Image.Image:
    """New colours take the entries of the palette that no other pixel uses; the nearest where there are too few."""
    places = np.array(original)
    palette = np.zeros((256, 3), dtype=np.uint8)
    own = np.frombuffer(bytes(original.getpalette("RGB") or []), dtype=np.uint8).reshape(-1, 3)
    palette[: len(own)] = own
    used = np.unique(places[~where])
    free = [place for place in range(256) if place not in set(used.tolist())]
    wanted = np.asarray(answer.convert("RGB"))[where]  # (N, 3)
    _, first, index = np.unique(pack_colours(wanted), return_index=True, return_inverse=True)
    colours = wanted[first]
    if len(colours) > len(free) and len(free) > 1:
        few = Image.fromarray(wanted[None]).quantize(len(free))
        index = np.asarray(few)[0]
        colours = np.frombuffer(bytes(few.getpalette("RGB") or []), dtype=np.uint8).reshape(-1, 3)[: len(free)]
    if len(colours) <= len(free):
        slots = np.array(free[: len(colours)])
        palette[slots] = colours
        places[where] = slots[index.reshape(-1)]
    else:
        distance = np.square(colours[:, None].astype(int) - palette[used][None].astype(int)).sum(axis=-1)
        places[where] = used[distance.argmin(axis=1)][index.reshape(-1)]
    made = Image.frombytes("P", original.size, places.tobytes())
    made.putpalette(palette.tobytes())
    return made
