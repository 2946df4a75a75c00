"""What values a setting may take: said in the type of its field, checked in one place.

``Annotated[int, Range(1, 8)]`` is an int to everyone but ``problems``, which walks a tree of dataclasses and names the
first value that its field does not take by its dotted key.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from translatotron_v.errors import UserError


class ConfigError(UserError):
    """A setting that cannot be used; the message names the key."""


def require(condition: bool, message: str) -> None:
    """Raise ``ConfigError`` with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class Range:
    """Finite numbers from ``low`` to ``high``, without ``low`` itself if ``above``, without ``high`` if ``below``."""

    low: float
    high: float
    above: bool = False
    below: bool = False

    def refusal(self, value: float) -> str:
        """Why not, or ""."""
        inside = self.low <= value <= self.high  # false for nan
        if inside and not (self.above and value == self.low) and not (self.below and value == self.high):
            return ""
        ends = f"{'(' if self.above else '['}{_plain(self.low)}, {_plain(self.high)}{')' if self.below else ']'}"
        span = ends if self.above or self.below else f"{_plain(self.low)}..{_plain(self.high)}"
        return f"must lie in {span}, not {value}"


@dataclass(frozen=True)
class OneOf:
    """One of some words."""

    words: tuple[str, ...]

    def refusal(self, value: str) -> str:
        """Why not, or ""."""
        *most, last = self.words
        return "" if value in self.words else f"must be {', '.join(most)} or {last}, not {value}"


@dataclass(frozen=True)
class Items:
    """A list of one of these lengths; a single number is the least."""

    lengths: tuple[int, ...]

    def refusal(self, value: list[Any]) -> str:
        """Why not, or ""."""
        if len(self.lengths) == 1:
            return "" if len(value) >= self.lengths[0] else f"needs at least {self.lengths[0]} entries, not {value}"
        wanted = " or ".join(str(length) for length in sorted(set(self.lengths)))
        return "" if len(value) in self.lengths else f"needs {wanted} entries, not {len(value)}: {value}"


Pixels = Annotated[int, Range(1, 16_384)]
PixelsOrNone = Annotated[int, Range(0, 16_384)]
Entries = Annotated[int, Range(0, 10**6)]  # of a table
Width = Annotated[int, Range(1, 16_384)]  # of a state, a layer, a table's entry
Layers = Annotated[int, Range(1, 256)]
LayersOrNone = Annotated[int, Range(0, 256)]
Heads = Annotated[int, Range(1, 256)]
Count = Annotated[int, Range(0, 10**9)]
AtLeastOne = Annotated[int, Range(1, 10**9)]
Share = Annotated[float, Range(0, 1)]
BelowOne = Annotated[float, Range(0, 1, below=True)]  # dropout, decays, smoothing
Weight = Annotated[float, Range(0, 10**6)]
Positive = Annotated[float, Range(0, 10**6, above=True)]
Pair = Annotated[list[Pixels], Items((2, 2))]  # rows and columns


def problems(section: Any, key: str = "") -> Iterator[str]:
    """What is wrong in a dataclass and in those that it holds: ``KEY must ..., not VALUE``."""
    for name, hint in _hints(type(section)).items():
        value, path = getattr(section, name), f"{key}.{name}" if key else name
        if is_dataclass(value):
            yield from problems(value, path)
        else:
            yield from (f"{path} {refusal}" for refusal in _refusals(hint, value))


def refusal_of(cls: type, name: str, value: Any) -> str:
    """Why the field of that name of a dataclass does not take a value, or ""."""
    return next(_refusals(_hints(cls)[name], value), "")


def sections(section: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """A dataclass and all that it holds, each with its dotted key, the inner ones first."""
    for name in _hints(type(section)):
        value = getattr(section, name)
        if is_dataclass(value):
            yield from sections(value, f"{key}.{name}" if key else name)
    yield key, section


def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _refusals(hint: Any, value: Any) -> Iterator[str]:
    rules: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        rules = tuple(rest)
    if type(None) in get_args(hint):  # X | None
        if value is not None:
            yield from _refusals(next(part for part in get_args(hint) if part is not type(None)), value)
        return
    if get_origin(hint) in (list, dict):
        if not isinstance(value, get_origin(hint)):
            yield f"must be a {get_origin(hint).__name__}, not {value!r}"
            return
        entries = value.values() if isinstance(value, dict) else value
        for entry in entries:
            yield from (f"has an entry that {refusal}" for refusal in _refusals(get_args(hint)[-1], entry))
    elif getattr(hint, "_is_protocol", False):
        if not isinstance(value, hint):
            yield f"must be of the type {hint.__name__}, not {value!r}"
        return
    elif type(value) is not hint and not (hint is float and type(value) is int):
        yield f"must be of the type {hint.__name__}, not {value!r}"
        return
    elif isinstance(value, str) and ("\0" in value or value != value.encode(errors="replace").decode()):
        yield f"must be text without zero bytes that UTF-8 can hold, not {value!r}"
    for rule in rules:
        if refusal := rule.refusal(value):
            yield refusal


def _plain(number: float) -> str:
    return f"{number:,.0f}" if math.isfinite(number) and number == int(number) else f"{number:g}"
