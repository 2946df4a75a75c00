"""What goes wrong through no fault of the code: the commands print such an error as one line and exit with status 2."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A setting, a file or a request that cannot be used; the message names it and says what to do."""


@contextmanager
def building_a_model() -> Iterator[None]:
    """A context in which modules are made: what PyTorch or timm have against the sizes becomes a `UserError`."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, AssertionError, MemoryError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise UserError(f"these settings make no model: {reason}") from error
