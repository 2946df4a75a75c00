"""Plots of results: curves, and bars with the spread over seeds."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.evaluation.report import as_png, write_whole

if TYPE_CHECKING:  # matplotlib takes a second: only plots pay for it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Bars = Mapping[str, Mapping[str, float | Sequence[float]]]

_INCHES, _DOTS = (6.4, 3.6), 100  # of a plot: 640 x 360 pixels
_LEVEL = 75  # letters of the names of groups, beyond which bars lie, with a line for each name


def line_plot(
    path: Path, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str, title: str = ""
) -> Path:
    """Curves, each under its name with its x and y values, as a PNG file."""
    figure, axes = _figure(xlabel, ylabel, title)
    for name, (x, y) in series.items():
        axes.plot(x, y, label=name, linewidth=1.3, marker="o" if len(x) <= 12 else "", markersize=3.5)
    if len(series) > 1:
        axes.legend(fontsize=8, frameon=False)
    return _save(figure, path)


def bar_plot(path: Path, groups: Bars, ylabel: str, title: str = "") -> Path:
    """Groups of bars as a PNG file.

    Args:
        path: of the file.
        groups: name of a group -> name of a bar -> its value, or one value for each seed: the bar is their mean, the
            whisker reaches from the smallest to the largest.
        ylabel: of the values, with the unit.
        title: above the plot.
    """
    lying = sum(max(map(len, name.split("\n"))) for name in groups) > _LEVEL
    figure, axes = _figure(*((ylabel, "") if lying else ("", ylabel)), title)
    names = list(dict.fromkeys(name for bars in groups.values() for name in bars))
    width = 0.8 / max(1, len(names))
    for number, name in enumerate(names):
        present = [place for place, bars in enumerate(groups.values()) if name in bars]
        values = [_as_list(bars[name]) for bars in groups.values() if name in bars]
        means = [statistics.fmean(one) for one in values]
        below = [mean - min(one) for mean, one in zip(means, values, strict=True)]
        above = [max(one) - mean for mean, one in zip(means, values, strict=True)]
        places = [place + (number - (len(names) - 1) / 2) * width for place in present]
        spread: dict[str, Any] = (
            {"xerr" if lying else "yerr": [below, above]} if any(len(one) > 1 for one in values) else {}
        )
        (axes.barh if lying else axes.bar)(places, means, width * 0.92, label=name, capsize=2.5, **spread)
    if lying:
        axes.set_yticks(range(len(groups)), list(groups), fontsize=8)
        axes.invert_yaxis()
    else:
        axes.set_xticks(range(len(groups)), list(groups))
    if len(names) > 1:  # no corner of the axes is free of bars
        figure.legend(fontsize=8, frameon=False, loc="outside upper right", ncols=len(names))
    return _save(figure, path)


def _as_list(value: float | Sequence[float]) -> list[float]:
    return list(value) if isinstance(value, Sequence) else [value]


def _figure(xlabel: str, ylabel: str, title: str) -> tuple["Figure", "Axes"]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DOTS, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: "Figure", path: Path) -> Path:
    write_whole(path, as_png(figure))
    return path
