"""What goes wrong through no fault of the code: the commands print such an error as one line and exit with status 2."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UserError(Exception):
    """A setting, a file or a request that cannot be used; the message names it and says what to do."""


def named(names: Sequence[str], most: int = 10) -> str:
    """The first few names, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def first_line(error: Exception) -> str:
    """The first line of what an error says, or what it is called where it says nothing."""
    return str(error).strip().split("\n")[0] or type(error).__name__


@contextmanager
def building_a_model() -> Iterator[None]:
    """A context in which modules are made: what PyTorch or timm have against the sizes becomes a `UserError`."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, AssertionError, MemoryError) as error:
        raise UserError(f"these settings make no model: {first_line(error)}") from error
