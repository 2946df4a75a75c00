"""Memory that a long run gives back, or keeps where that makes it faster; caches by shape stay small."""

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

# How many shapes oneDNN and what PyTorch puts before it remember; 1024 each, where nothing is said.
CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
SERVING, TRAINING = 32, 128

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # names of mallopt(3)


def keep_caches_small(shapes: int) -> None:
    """Let fewer shapes of convolutions and products be remembered; takes effect before PyTorch is first imported.

    Crops and batches of text are seldom of one size twice: a crop's takes half a megabyte, a training batch's in
    bfloat16 eight, so that 1024 of them take as much as a laptop has.
    """
    for name in CACHES:
        os.environ.setdefault(name, str(shapes))


def prepare_to_train() -> None:
    """Keep few shapes, and let glibc keep freed memory instead of faulting it in again at every step.

    Activations of a training step are larger than malloc's mmap threshold, so that each would be mapped and zeroed
    anew: fills and softmaxes of a small model take several times as long. The latter does nothing on other systems.
    Both want to come before PyTorch is first imported.
    """
    keep_caches_small(TRAINING)
    mallopt = _of_glibc("mallopt")
    if not sys.platform.startswith("linux") or mallopt is None:  # musl has no such knob
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 64 * 2**20)


def give_back() -> None:
    """Hand what has been freed to the system, which takes milliseconds.

    Pictures of many sizes leave gaps between what is still in use, and glibc keeps them.
    """
    if _trim is not None:
        _trim(0)


def _of_glibc(name: str) -> Callable[..., Any] | None:
    """A function of the C library; None where the C library is another one."""
    try:
        function: Callable[..., Any] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
    return function


_trim = _of_glibc("malloc_trim")
