"""Types of command-line arguments that several commands take."""

import argparse


def positive(text: str) -> int:
    """A whole number of at least 1, for ``type=``."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return value
