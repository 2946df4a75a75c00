"""What the modality gap is reported as: tables, JSON, CSV and a heat map, fonts as rows and conditions as columns."""

import csv
import dataclasses
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.errors import UserError

if TYPE_CHECKING:  # matplotlib takes a second: only drawing pays for it
    from matplotlib.figure import Figure

FILES = ("gap.json", "gap.md", "gap.csv", "gap.png")

_COLOURS = "OrRd"
_PIXELS_PER_INCH = 150


@dataclass(frozen=True)
class Cell:
    """Image mode in one font under one condition, over all sentences."""

    font: str
    condition: str
    size: int  # pixels per em
    held_out: bool  # the checkpoint's training pages do not show this font
    bleu: float  # of image mode against the references, 0..100
    gap: float  # BLEU of text mode minus that of image mode
    length_ratio: float  # words of image mode's answers by words of text mode's
    reference_ratio: float  # words of image mode's answers by words of the references
    cer: float  # of what the reading head reads on the pages, a share


@dataclass
class GapReport:
    """What `measure_gap` found.

    Attributes:
        settings: what was measured and how, JSON values.
        text_bleu: BLEU of text mode, 0..100; ``text_reference_ratio``: words of its answers by those of the references.
        sentences: how many stand in every cell.
        cells: font by font, in the order of ``fonts`` and ``conditions``.
        notes: sentences for the reader.
    """

    settings: dict[str, Any]
    text_bleu: float
    text_reference_ratio: float
    sentences: int
    cells: list[Cell]
    notes: list[str] = field(default_factory=list)

    @property
    def fonts(self) -> list[str]:
        """Rows: the seen fonts first, then those held out."""
        return list(dict.fromkeys(cell.font for cell in sorted(self.cells, key=lambda cell: cell.held_out)))

    @property
    def conditions(self) -> list[str]:
        """Columns."""
        return list(dict.fromkeys(cell.condition for cell in self.cells))

    def cell(self, font: str, condition: str) -> Cell:
        """One cell by its row and column."""
        return next(cell for cell in self.cells if (cell.font, cell.condition) == (font, condition))

    def mean(self, what: str = "gap", *, held_out: bool | None = None, font: str = "", condition: str = "") -> float:
        """Mean of a field of the cells over those of seen or of held-out fonts (None: both), of a row or a column.

        Not a number where there is no such cell.
        """
        values = [
            float(getattr(cell, what))
            for cell in self.cells
            if held_out in (None, cell.held_out) and font in ("", cell.font) and condition in ("", cell.condition)
        ]
        return sum(values) / len(values) if values else float("nan")

    def to_json(self) -> str:
        """Everything; values are not rounded."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str = "modality-gap report") -> "GapReport":
        """The report that `to_json` wrote; `origin` names it in the UserError that anything else raises."""
        try:
            content = json.loads(text)
            return cls(**{**content, "cells": [Cell(**cell) for cell in content["cells"]]})
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{origin}: not a report of evaluate.py modality-gap ({error})") from None


def table(report: GapReport) -> str:
    """The gaps for a terminal, fonts by conditions, with the means."""
    lines = [[head, *values] for head, values in _grid(report)]
    head = ["gap in BLEU", *report.conditions, "mean", "length", "CER"]
    widths = [max(len(line[place]) for line in (head, *lines)) for place in range(len(head))]
    shown = [
        "  "
        + f"{line[0]:<{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in (head, *lines)
    ]
    return "\n".join([_title(report), "", *shown, "", *report.notes])


def markdown(report: GapReport) -> str:
    """The gaps, all cells, notes and settings."""
    columns = [*report.conditions, "mean", "length ratio", "CER"]
    parts = [f"# {_title(report)}", "", "Gap: BLEU of text mode minus that of image mode.", ""]
    parts += ["| font | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    parts += [f"| {head} | " + " | ".join(values) + " |" for head, values in _grid(report)]
    parts += ["", *(f"- {note}" for note in report.notes), "", "## All cells", ""]
    parts += ["Lengths are words of image mode's answers, by text mode's and by the references'.", ""]
    parts += ["| font | | condition | px | BLEU | gap | length by text mode | length by references | CER |"]
    parts += ["|---|---|---|---:|---:|---:|---:|---:|---:|"]
    for cell in report.cells:
        where = f"{Path(cell.font).stem} | {_kind(cell.held_out)} | {cell.condition} | {cell.size}"
        numbers = f"{cell.bleu:.2f} | {cell.gap:.2f} | {cell.length_ratio:.3f} | {cell.reference_ratio:.3f}"
        parts.append(f"| {where} | {numbers} | {cell.cer:.4f} |")
    parts += ["", "## Settings", "", *(f"- {key}: `{value}`" for key, value in report.settings.items())]
    return "\n".join(parts) + "\n"


def draw(report: GapReport) -> "Figure":
    """The figure; colours run from no gap to all of text mode's BLEU, so that maps of like text modes compare."""
    import numpy as np
    from matplotlib.figure import Figure

    fonts, conditions = report.fonts, report.conditions
    gaps = np.array([[report.cell(font, condition).gap for condition in conditions] for font in fonts])
    held_out = [report.cell(font, conditions[0]).held_out for font in fonts]
    lowest, highest = min(0.0, float(gaps.min())), max(1.0, report.text_bleu, float(gaps.max()))

    figure = Figure(figsize=(3.6 + 0.9 * len(conditions), 1.5 + 0.4 * len(fonts)), layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(gaps, cmap=_COLOURS, vmin=lowest, vmax=highest, aspect="auto")
    for (row, column), gap in np.ndenumerate(gaps):
        dark = (gap - lowest) / (highest - lowest) > 0.6
        axes.text(column, row, f"{gap:.1f}", ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(len(conditions)), [_column(report, condition) for condition in conditions])
    axes.set_yticks(
        range(len(fonts)),
        [f"{Path(font).stem} ({_kind(out)})" for font, out in zip(fonts, held_out, strict=True)],
    )
    if 0 < sum(held_out) < len(fonts):  # a line between the seen fonts above and those held out below
        axes.axhline(len(fonts) - sum(held_out) - 0.5, color="black", linewidth=1.5)
    axes.set_title(f"text mode (BLEU {report.text_bleu:.1f}) minus image mode", fontsize="medium")
    figure.colorbar(picture, ax=axes, label="gap, BLEU")
    return figure


def heat_map(report: GapReport, path: Path) -> None:
    """Write the figure as a picture; a UserError where the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(report).savefig(path, dpi=_PIXELS_PER_INCH)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None


def write(report: GapReport, folder: Path) -> list[Path]:
    """Write `gap.json`, `gap.md`, `gap.csv` (a line for each cell) and the heat map `gap.png`.

    Raises:
        UserError: the folder cannot be written.
    """
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(lines, [item.name for item in dataclasses.fields(Cell)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(cell) for cell in report.cells)
    paths = [folder / name for name in FILES]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, (report.to_json(), markdown(report), lines.getvalue()), strict=False):
            path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
    heat_map(report, paths[-1])
    return paths


def _title(report: GapReport) -> str:
    settings = report.settings
    return (
        f"{settings['checkpoint']} on {settings['data']} {settings['split']}: text mode BLEU {report.text_bleu:.2f}, "
        f"length {report.text_reference_ratio:.2f} of the references"
    )


def _grid(report: GapReport) -> list[tuple[str, list[str]]]:
    """Head and values of each row: gaps, their mean, and means of length ratio and CER."""
    rows: list[tuple[str, dict[str, Any]]] = [
        (f"{Path(font).stem} ({_kind(report.cell(font, report.conditions[0]).held_out)})", {"font": font})
        for font in report.fonts
    ]
    kinds = {cell.held_out for cell in report.cells}
    rows += [(f"mean, {_kind(held_out)}", {"held_out": held_out}) for held_out in sorted(kinds)]
    return [
        (
            head,
            [
                *(f"{report.mean(**which, condition=condition):.1f}" for condition in report.conditions),
                f"{report.mean(**which):.1f}",
                f"{report.mean('length_ratio', **which):.2f}",
                f"{report.mean('cer', **which):.3f}",
            ],
        )
        for head, which in rows
    ]


def _kind(held_out: bool) -> str:
    return "held out" if held_out else "seen"


def _column(report: GapReport, condition: str) -> str:
    """The name of a condition, with the size of its letters where it does not say it."""
    size = f"{report.cell(report.fonts[0], condition).size} px"
    return condition if condition == size else f"{condition}\n{size}"
