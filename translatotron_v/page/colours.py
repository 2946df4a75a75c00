"""How different two colours look: CIELAB, and CIEDE2000 (Sharma, Wu and Dalal 2005)."""

import numpy as np

_TO_XYZ = np.array(((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227)))
_WHITE = np.array((0.95047, 1.0, 1.08883))  # D65, as sRGB has it
_FAR = 25.0**7


def rgb_to_lab(colours: np.ndarray) -> np.ndarray:
    """sRGB (..., 3) in [0, 1] -> L from 0 to 100, a and b (..., 3)."""
    linear = np.where(colours > 0.04045, ((colours + 0.055) / 1.055) ** 2.4, colours / 12.92)
    part = linear @ _TO_XYZ.T / _WHITE
    x, y, z = np.moveaxis(np.where(part > 0.008856, np.cbrt(part), 7.787 * part + 16 / 116), -1, 0)
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-1)


def ciede2000(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The difference (...) of colours in CIELAB (..., 3): about 1 can just be seen, 100 is black to white.

    Equations (2) to (22) of the paper, with all weights 1.
    """
    chroma = (np.hypot(*_ab(one)) + np.hypot(*_ab(other))) / 2
    stretch = 1.5 - 0.5 * np.sqrt(chroma**7 / (chroma**7 + _FAR))
    (lightness, chromas, hues) = zip(*(_lch(lab, stretch) for lab in (one, other)), strict=True)
    colourless = chromas[0] * chromas[1] == 0
    turn = (hues[1] - hues[0] + 180) % 360 - 180
    turn = np.where(colourless, 0, np.where(turn == -180, 180, turn))
    middle = np.where(colourless, hues[0] + hues[1], (hues[0] + turn / 2) % 360)
    light, chroma = (lightness[0] + lightness[1]) / 2, (chromas[0] + chromas[1]) / 2
    waves = ((0.17, 1, -30, -1), (0.24, 2, 0, 1), (0.32, 3, 6, 1), (0.20, 4, -63, -1))
    t = 1 + sum(sign * share * np.cos(np.deg2rad(times * middle + shift)) for share, times, shift, sign in waves)
    by_light = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    d_light = (lightness[1] - lightness[0]) / by_light
    d_chroma = (chromas[1] - chromas[0]) / (1 + 0.045 * chroma)
    d_hue = 2 * np.sqrt(chromas[0] * chromas[1]) * np.sin(np.deg2rad(turn / 2)) / (1 + 0.015 * chroma * t)
    turned = np.deg2rad(60 * np.exp(-(((middle - 275) / 25) ** 2)))
    blue = -2 * np.sqrt(chroma**7 / (chroma**7 + _FAR)) * np.sin(turned)
    squared = d_light**2 + d_chroma**2 + d_hue**2 + blue * d_chroma * d_hue
    difference: np.ndarray = np.sqrt(np.maximum(squared, 0))
    return difference


def _ab(lab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return lab[..., 1], lab[..., 2]


def _lch(lab: np.ndarray, stretch: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lightness, chroma and hue (degrees), with a stretched."""
    a, b = _ab(lab)
    return lab[..., 0], np.hypot(a * stretch, b), np.rad2deg(np.arctan2(b, a * stretch)) % 360
