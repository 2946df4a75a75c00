"""Memory that a long run gives back: what has been freed goes to the system, and caches by shape stay small."""

import ctypes
import os
from collections.abc import Callable

# How many shapes oneDNN and what PyTorch puts before it remember; 1024 each, where nothing is said.
CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
SHAPES = "32"


def keep_caches_small() -> None:
    """Let fewer shapes of convolutions be remembered; takes effect before PyTorch is first imported.

    Every new size of a crop takes half a megabyte, and crops are seldom of one size twice.
    """
    for name in CACHES:
        os.environ.setdefault(name, SHAPES)


def _find_trim() -> Callable[[int], int] | None:
    """glibc's `malloc_trim`; None where the C library is another one."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return trim


_trim = _find_trim()


def give_back() -> None:
    """Hand what has been freed to the system, which takes milliseconds.

    Pictures of many sizes leave gaps between what is still in use, and glibc keeps them.
    """
    if _trim is not None:
        _trim(0)
