"""What an experiment says: a page of Markdown that opens with its verdict, small plots, numbers with their spread."""

import io
import math
import os
import re
import statistics
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from translatotron_v.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cell = str | int | float | None

VERDICTS = ("Reproduced: ", "Not reproduced: ", "Partly: ")
_NUMBER = re.compile(r"[-+−±]?\d[\d,.]*(e[-+]?\d+)?( ?%)?( ± \d[\d.]*( ?%)?)?")
_INCHES, _DOTS = (6.4, 3.6), 100  # of a plot: 640 x 360 pixels
_COLOURS = 64  # of a plot's palette, which makes its file a third as large


class Difference(NamedTuple):
    """Two sets of values, one for each seed, set against each other."""

    delta: float  # mean of the values less mean of the baseline
    inside_spread: bool  # no larger than what another seed would change


def mean_and_spread(values: Sequence[float], digits: int = 1) -> str:
    """``12.3 ± 0.4``: mean and sample standard deviation (n - 1); the value alone where there is one only."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def difference(values: Sequence[float], baseline: Sequence[float]) -> Difference:
    """The difference of two means, and whether it lies inside the spread over the seeds.

    It does if it is not larger than the larger of the two ranges (largest value less smallest). The range, not the
    standard deviation: three seeds tell little about the latter, and a difference that is smaller than what one arm
    shows between its own seeds is none. Where neither side has two values nothing is known of the spread, and no
    difference is claimed either.
    """
    delta = statistics.fmean(values) - statistics.fmean(baseline)
    if max(len(values), len(baseline)) < 2:
        return Difference(delta, True)
    return Difference(delta, abs(delta) <= max(max(side) - min(side) for side in (values, baseline)))


class Report:
    """A page of Markdown, written whole or not at all.

    Args:
        path: of the page.
        title: its heading.
        verdict: its first sentence; begins with one of `VERDICTS`.
        facts: sentences below: date, data, seeds, versions, cost.
        command: that makes the page again.
    """

    def __init__(self, path: Path, title: str, verdict: str, facts: Sequence[str] = (), command: str = "") -> None:
        if not verdict.startswith(VERDICTS):
            raise ValueError(f"a verdict begins with {', '.join(repr(word) for word in VERDICTS)}, not {verdict!r}")
        self.path = path
        self._parts = [f"# {title}", verdict]
        if facts:
            self.text(" ".join(facts))
        if command:
            self.text(f"```sh\n{command}\n```")

    def section(self, title: str) -> None:
        """A heading."""
        self._parts.append(f"## {title}")

    def text(self, text: str) -> None:
        """A paragraph, a list, or anything else in Markdown."""
        self._parts.append(text.strip())

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Cell]], digits: int = 2) -> None:
        """A table; see `table`."""
        self._parts.append(table(header, rows, digits))

    def figure(self, path: Path, caption: str) -> None:
        """A picture that lies beside the page or below its folder."""
        place = Path(os.path.relpath(path, self.path.parent)).as_posix()
        self._parts.append(f"![{caption}]({place})")

    def __str__(self) -> str:
        return "\n\n".join(self._parts) + "\n"

    def write(self) -> Path:
        """Write the page; raises UserError where it cannot be written."""
        write_whole(self.path, str(self).encode())
        return self.path


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]], digits: int = 2) -> str:
    """A Markdown table whose columns line up; those of numbers are set flush right.

    Args:
        header: names of the columns.
        rows: floats are shown with `digits` decimals, whole numbers in groups of three digits, None as nothing.
        digits: decimals.
    """
    cells = [[_shown(cell, digits) for cell in row] for row in (header, *rows)]
    if any(len(row) != len(header) for row in cells):
        raise ValueError(f"a row has not {len(header)} cells: {rows}")
    columns = list(zip(*cells, strict=True))
    widths = [max(3, *(len(cell) for cell in column)) for column in columns]
    right = [any(column[1:]) and all(not c or _NUMBER.fullmatch(c) for c in column[1:]) for column in columns]
    lines = [
        "| " + " | ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def line_plot(
    path: Path, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str, title: str = ""
) -> Path:
    """Curves, each under its name with its x and y values, as a PNG file."""
    figure, axes = _figure(xlabel, ylabel, title)
    for name, (x, y) in series.items():
        axes.plot(x, y, label=name, linewidth=1.3, marker="o" if len(x) <= 12 else "", markersize=3.5)
    return _save(figure, axes, path, len(series))


def bar_plot(
    path: Path,
    groups: Mapping[str, Mapping[str, float | Sequence[float]]],
    ylabel: str,
    title: str = "",
    xlabel: str = "",
) -> Path:
    """Groups of bars as a PNG file.

    Args:
        path: of the file.
        groups: name of a group -> name of a bar -> its value, or one value for each seed: the bar is their mean, the
            whisker reaches from the smallest to the largest.
        ylabel: of the values, with the unit.
        title: above the plot.
        xlabel: of the groups.
    """
    figure, axes = _figure(xlabel, ylabel, title)
    names = list(dict.fromkeys(name for bars in groups.values() for name in bars))
    width = 0.8 / max(1, len(names))
    for number, name in enumerate(names):
        present = [place for place, bars in enumerate(groups.values()) if name in bars]
        values = [_as_list(bars[name]) for bars in groups.values() if name in bars]
        means = [statistics.fmean(one) for one in values]
        whiskers = [
            [mean - min(one) for mean, one in zip(means, values, strict=True)],
            [max(one) - mean for mean, one in zip(means, values, strict=True)],
        ]
        places = [place + (number - (len(names) - 1) / 2) * width for place in present]
        several = any(len(one) > 1 for one in values)
        axes.bar(places, means, width * 0.92, label=name, yerr=whiskers if several else None, capsize=2.5)
    axes.set_xticks(range(len(groups)), list(groups))
    return _save(figure, axes, path, len(names))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file aside and rename it, so that whatever bears its name is whole; raises UserError if that fails."""
    aside = path.with_name(f".tmp-{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        aside.unlink(missing_ok=True)


def _shown(cell: Cell, digits: int) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float):
        return f"{cell:.{digits}f}"
    if isinstance(cell, int):
        return f"{cell:,}"
    return cell.replace("|", "\\|").replace("\n", " ")


def _as_list(value: float | Sequence[float]) -> list[float]:
    return list(value) if isinstance(value, Sequence) else [value]


def _figure(xlabel: str, ylabel: str, title: str) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure  # takes a second to import

    figure = Figure(figsize=_INCHES, dpi=_DOTS, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: "Figure", axes: "Axes", path: Path, names: int) -> Path:
    from PIL import Image

    if names > 1:
        axes.legend(fontsize=8, frameon=False)
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(_COLOURS).save(small, "PNG", optimize=True)
    write_whole(path, small.getvalue())
    return path
