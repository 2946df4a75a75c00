"""Memory settings of the C library that make training on a CPU faster."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # names of mallopt(3)


def keep_freed_memory() -> None:
    """Let glibc keep freed memory instead of returning it to the system and faulting it in again at every step.

    Activations of a training step are larger than malloc's mmap threshold, so that each would be mapped and zeroed
    anew: fills and softmaxes of a small model take several times as long. Does nothing on other systems.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl has no such knob
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 64 * 2**20)
