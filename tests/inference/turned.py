"""A translation without a model: one rectangle of each picture is inverted, so that all else has to stay as it was."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image

from translatotron_v.inference.containers import translate_frames
from translatotron_v.inference.loaded import Translation
from translatotron_v.inference.pictures import written
from translatotron_v.inference.sources import open_source

BOX = (8, 4, 24, 12)  # left, top, right, bottom
INSIDE = (slice(BOX[1], BOX[3]), slice(BOX[0], BOX[2]))


class Inverts:
    """Inverts `BOX`; remembers how many pictures came together, and their modes."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.modes: set[str] = set()

    def __call__(self, pictures: Sequence[Image.Image]) -> list[Translation]:
        self.calls.append(len(pictures))
        self.modes |= {picture.mode for picture in pictures}
        return [Translation(inverted(picture), "text", "source", {}) for picture in pictures]


def inverted(picture: Image.Image) -> Image.Image:
    values = np.array(picture)
    values[INSIDE] = 255 - values[INSIDE]
    return Image.fromarray(values)


def convert(source: Path, target: Path, translate: Inverts | None = None, **options: int) -> list[str]:
    """One file to another; what the writer says is lost."""
    with closing(open_source(source, **options)) as opened, written(target) as file:
        writer = opened.writer(file, target.suffix)
        for frame, answer in translate_frames(opened.frames(), translate or Inverts(), batch_size=4):
            writer.add(frame, answer.image)
        return writer.finish()


def outside(values: np.ndarray) -> np.ndarray:
    """What lies outside the rectangle of (H, W[, C])."""
    mask = np.ones(values.shape[:2], dtype=bool)
    mask[INSIDE] = False
    return values[mask]


def noise(seed: int = 0, size: tuple[int, int] = (40, 24), channels: int = 3) -> Image.Image:
    """A picture of which no two pixels need be alike."""
    shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def flat(colour: str, size: tuple[int, int] = (40, 24)) -> Image.Image:
    """A frame of few colours."""
    picture = Image.new("RGB", size, colour)
    picture.paste("navy", (2, 2, 30, 14))
    return picture
