"""Types and values of command-line arguments that several commands take."""

import argparse
from collections.abc import Callable
from typing import Any

from translatotron_v.generation_config import GenerationConfig
from translatotron_v.ranges import refusal_of

# of inference: float32; bfloat16 arithmetic (autocast); bytes as weights and inputs of linear maps, on a CPU
PRECISIONS = ("fp32", "bf16", "int8")

# of inference: PyTorch; or ONNX graphs (`translatotron-v export --onnx`), on a CPU, which need no PyTorch
TORCH, ONNX = "torch", "onnx"
ENGINES = (TORCH, ONNX)

# of translation: the model as it is, picture to picture; cascades by who reads (our reader, rapidocr, or nobody where
# the model's image-to-text half translates) and who draws (our text-to-image model, or a renderer); pixels to pixels
BASELINES = (
    "end-to-end",
    "cascade-reader-draw",
    "cascade-reader-render",
    "cascade-rapidocr-draw",
    "cascade-rapidocr-render",
    "cascade-tit-draw",
    "cascade-tit-render",
    "pixels",
)


def option(name: str, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """What ``GenerationConfig`` takes under a name, for ``type=``; a value out of its range is named."""

    def parsed(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            what = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"{text!r} is no {what}") from None
        if refusal := refusal_of(GenerationConfig, name, value):
            raise argparse.ArgumentTypeError(refusal)
        return value

    return parsed


def positive(text: str) -> int:
    """A whole number of at least 1, for ``type=``."""
    return _whole(text, 1)


def not_negative(text: str) -> int:
    """A whole number of at least 0, for ``type=``."""
    return _whole(text, 0)


def between(least: int, most: int) -> Callable[[str], int]:
    """A whole number in a range, for ``type=``."""

    def parsed(text: str) -> int:
        value = _whole(text, least)
        if value > most:
            raise argparse.ArgumentTypeError(f"{text!r} is more than {most}")
        return value

    return parsed


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
    return value
