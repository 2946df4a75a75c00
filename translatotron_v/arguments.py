"""Types and values of command-line arguments that several commands take."""

import argparse

# of inference: float32; bfloat16 arithmetic (autocast); bytes as weights and inputs of linear maps, on a CPU
PRECISIONS = ("fp32", "bf16", "int8")

# of translation: the model as it is, picture to picture; cascades by who reads (our reader, rapidocr, or nobody where
# the model's image-to-text half translates) and who draws (our text-to-image model, or a renderer); pixels to pixels
SYSTEMS = (
    "end-to-end",
    "cascade-reader-draw",
    "cascade-reader-render",
    "cascade-rapidocr-draw",
    "cascade-rapidocr-render",
    "cascade-tit-draw",
    "cascade-tit-render",
    "pixels",
)


def positive(text: str) -> int:
    """A whole number of at least 1, for ``type=``."""
    return _whole(text, 1)


def not_negative(text: str) -> int:
    """A whole number of at least 0, for ``type=``."""
    return _whole(text, 0)


def probability(text: str) -> float:
    """A number from 0 to 1, for ``type=``."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {least}")
    return value
