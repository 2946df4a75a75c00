"""Strips as a model takes them, and which word of a reading stands on which run."""

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from translatotron_v.config import ModelConfig
from translatotron_v.inference.literal_inks import place_of
from translatotron_v.page.strips import Strip

Item = TypeVar("Item")


def assign(texts: list[str], strip: Strip, read: str, frames: Sequence[int], config: ModelConfig) -> None:
    """Add each word that was read off a strip to the text of the run that stands where it was read.

    Characters are read a few columns before or after they stand; the median of a word is surely on it.
    """
    for match in re.finditer(r"\S+", read):
        row, column = place_of(frames[(match.start() + match.end() - 1) // 2], config)
        run = strip.run_at(row, column)
        if run is not None:
            texts[run] = f"{texts[run]} {match.group()}".strip()


def pixels_of(strips: Sequence[Strip]) -> np.ndarray:
    """Strips as the model sees them: (B, 1, 96, 512) float32, black on white."""
    return (1 - np.stack([strip.text_alpha for strip in strips]))[:, None].astype(np.float32)


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Items in runs of a size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
