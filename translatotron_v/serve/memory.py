"""Memory that a long run gives back: what has been freed goes to the system, and caches by shape stay small."""

import ctypes
import os
from collections.abc import Callable

PRIMITIVES = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"


def keep_caches_small() -> None:
    """Let oneDNN remember fewer shapes; takes effect before PyTorch is first imported.

    It keeps the code of 1024 convolutions, half a megabyte for each new size of a crop, and crops are seldom of one
    size twice.
    """
    os.environ.setdefault(PRIMITIVES, "64")


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
