"""What the modality gap is reported as: tables, JSON, CSV and a heat map, fonts as rows and conditions as columns."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.evaluation.report import as_csv, as_json, as_settings, listed, table, write_files

if TYPE_CHECKING:  # matplotlib takes a second: only drawing pays for it
    from matplotlib.figure import Figure


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

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "GapReport":
        """The report whose fields, as JSON values, these are."""
        return cls(**{**values, "cells": [Cell(**cell) for cell in values["cells"]]})

    @property
    def fonts(self) -> list[str]:
        """Rows: the seen fonts first, then those held out."""
        return list(dict.fromkeys(cell.font for cell in sorted(self.cells, key=lambda cell: cell.held_out)))

    @property
    def conditions(self) -> list[str]:
        """Columns."""
        return list(dict.fromkeys(cell.condition for cell in self.cells))

    @property
    def title(self) -> str:
        """One line."""
        return (
            f"{self.settings['checkpoint']} on {self.settings['data']} {self.settings['split']}: text mode BLEU "
            f"{self.text_bleu:.2f}, length {self.text_reference_ratio:.2f} of the references"
        )

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

    def gaps(self) -> str:
        """A table of gaps, their mean, and means of length ratio and CER, by fonts and by kinds of fonts."""
        rows: dict[str, dict[str, Any]] = {_label(self, font): {"font": font} for font in self.fonts}
        kinds = sorted({cell.held_out for cell in self.cells})
        rows |= {f"mean, {_kind(held_out)}": {"held_out": held_out} for held_out in kinds}
        cells = [
            [
                head,
                *(f"{self.mean(**which, condition=condition):.1f}" for condition in (*self.conditions, "")),
                f"{self.mean('length_ratio', **which):.2f}",
                f"{self.mean('cer', **which):.3f}",
            ]
            for head, which in rows.items()
        ]
        return table(["gap in BLEU", *self.conditions, "mean", "length", "CER"], cells)

    def screen(self) -> str:
        """The gaps for a terminal."""
        return "\n".join([self.title, "", self.gaps(), "", *self.notes])

    def markdown(self) -> str:
        """The gaps, notes and settings; all cells are in the CSV."""
        parts = [f"# {self.title}", "Gap: BLEU of text mode minus that of image mode.", self.gaps(), listed(self.notes)]
        return "\n\n".join([*parts, "## Settings", as_settings(self.settings)]) + "\n"

    def write(self, folder: Path) -> str:
        """Write `gap.json`, `gap.md`, `gap.csv` (a line for each cell) and the heat map `gap.png`, and say so.

        Raises:
            UserError: the folder cannot be written.
        """
        content = {
            "gap.json": as_json(dataclasses.asdict(self)),
            "gap.md": self.markdown(),
            "gap.csv": as_csv([dataclasses.asdict(cell) for cell in self.cells]),
        }
        return write_files(folder, {**content, "gap.png": self.heat_map()})

    def heat_map(self) -> "Figure":
        """A figure; colours run from no gap to all of text mode's BLEU, so that maps of like text modes compare."""
        import numpy as np
        from matplotlib.figure import Figure

        fonts, conditions = self.fonts, self.conditions
        gaps = np.array([[self.cell(font, condition).gap for condition in conditions] for font in fonts])
        held_out = sum(self.cell(font, conditions[0]).held_out for font in fonts)
        lowest, highest = min(0.0, float(gaps.min())), max(1.0, self.text_bleu, float(gaps.max()))

        figure = Figure((3.6 + 0.9 * len(conditions), 1.5 + 0.4 * len(fonts)), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        picture = axes.imshow(gaps, cmap="OrRd", vmin=lowest, vmax=highest, aspect="auto")
        for (row, column), gap in np.ndenumerate(gaps):
            dark = (gap - lowest) / (highest - lowest) > 0.6
            axes.text(column, row, f"{gap:.1f}", ha="center", va="center", color="white" if dark else "black")
        axes.set_xticks(range(len(conditions)), [_column(self, condition) for condition in conditions])
        axes.set_yticks(range(len(fonts)), [_label(self, font) for font in fonts])
        if 0 < held_out < len(fonts):  # a line between the seen fonts above and those held out below
            axes.axhline(len(fonts) - held_out - 0.5, color="black", linewidth=1.5)
        axes.set_title(f"text mode (BLEU {self.text_bleu:.1f}) minus image mode", fontsize="medium")
        figure.colorbar(picture, ax=axes, label="gap, BLEU")
        return figure


def _label(report: GapReport, font: str) -> str:
    return f"{Path(font).stem} ({_kind(report.cell(font, report.conditions[0]).held_out)})"


def _kind(held_out: bool) -> str:
    return "held out" if held_out else "seen"


def _column(report: GapReport, condition: str) -> str:
    """The name of a condition, with the size of its letters where it does not say it."""
    size = f"{report.cell(report.fonts[0], condition).size} px"
    return condition if condition == size else f"{condition}\n{size}"
