"""The one writer of results: tables, signatures and pages of evaluations, experiments and benchmarks; `plots.py` draws.

`Report` is what an evaluation found, `Page` a page of Markdown that opens with a verdict; both are made of `table` and
written by `write_whole`.
"""

import csv
import datetime
import io
import json
import math
import os
import platform
import re
import statistics
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from translatotron_v import __version__
from translatotron_v.errors import UserError
from translatotron_v.sheets import contact_sheet

if TYPE_CHECKING:  # matplotlib takes a second: only plots pay for it
    from matplotlib.figure import Figure

    from translatotron_v.metrics import Score

Cell = str | int | float | None
Row = Mapping[str, Cell]  # of a CSV
Pictures = Callable[[str], Sequence[Image.Image | None]]  # those of a sample, by its name

VERDICTS = ("Reproduced: ", "Not reproduced: ", "Partly: ", "Not tested: ")
_DECIMALS = {
    "CER": 4,
    "MSE": 4,
    "SSIM": 4,
    "accuracy": 4,
    "ECE": 4,
    "length ratio": 3,
}  # by metric; the others show two
_NUMBER = re.compile(r"[-+−±]?\d[\d,.]*(e[-+]?\d+)?( ?%)?( ± \d[\d.]*( ?%)?)?")
_COLOURS = 64  # of a plot's palette, which makes its file a third as large


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    score: "Score"
    what: str  # what is compared with what
    ceiling: "Score | None" = None  # the same score of the reference pictures' OCR against the reference texts
    count: int | None = None  # samples that it covers


@dataclass
class Report:
    """Everything that is written of an evaluation.

    Attributes:
        title: one line.
        settings: what was scored and how, JSON values.
        lines: the scores.
        notes: sentences for the reader, such as which pictures are missing.
        rows: one for each sample, all with the same keys, "name" first.
        worst: names of the samples on the sheet, the worst first.
    """

    title: str
    settings: dict[str, Any]
    lines: list[Line]
    notes: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    worst: list[str] = field(default_factory=list)

    def value(self, what: str, name: str) -> float:
        """The value of one line, by what it compares and the name of its metric."""
        return next(line.score.value for line in self.lines if (line.what, line.score.name) == (what, name))

    @property
    def scores(self) -> str:
        """Their table."""
        return table(["score", "value", "OCR ceiling", "of"], [_cells(line) for line in self.lines])

    def screen(self) -> str:
        """The scores for a terminal."""
        return "\n".join([self.title, "", self.scores, "", *self.notes]).rstrip()

    def markdown(self) -> str:
        """The scores, their signatures, the settings and the worst samples."""
        parts = [f"# {self.title}", self.scores, listed(self.notes), "## Settings", as_settings(self.settings)]
        signatures = dict.fromkeys(f"{line.score.name}: `{line.score.signature}`" for line in self.lines)
        parts += ["## Signatures", listed(signatures)]
        rows = {row["name"]: row for row in self.rows}
        parts += ["## The worst, as on the sheet"] if self.worst else []
        for name in self.worst:
            texts = {key: value for key, value in rows[name].items() if isinstance(value, str) and key != "name"}
            parts += [name, listed(f"{key}: {value}" for key, value in texts.items())]
        return "\n\n".join(part for part in parts if part) + "\n"

    def as_json(self) -> str:
        """Scores, signatures, settings and notes; values are not rounded."""
        scores = [
            {"of": one.what, **asdict(one.score), "ceiling": one.ceiling and one.ceiling.value, "samples": one.count}
            for one in self.lines
        ]
        return as_json({"title": self.title, "settings": self.settings, "scores": scores, "notes": self.notes})

    def write(self, folder: Path, pictures: Pictures | None = None, titles: Sequence[str] = ()) -> str:
        """Write `scores.json`, `scores.md`, `samples.csv` and, where pictures show the worst samples, `worst.png`.

        Args:
            folder: is made if need be.
            pictures: gives the pictures of a sample on the sheet, one under each of the titles.

        Returns:
            A sentence that says where they are.

        Raises:
            UserError: the folder cannot be written.
        """
        files: dict[str, str | Image.Image | Figure] = {
            "scores.json": self.as_json(),
            "scores.md": self.markdown(),
            "samples.csv": as_csv(self.rows),
        }
        if pictures is not None and self.worst:
            files["worst.png"] = contact_sheet([pictures(name) for name in self.worst], titles, 512)
        return write_files(folder, files)

    def finish(self, folder: Path, command: str, pictures: Pictures | None = None, titles: Sequence[str] = ()) -> None:
        """Complete the settings by `origin`, `write`, and print the scores and where everything went."""
        self.settings |= origin(command)
        written = self.write(folder, pictures, titles)
        print(f"{self.screen()}\n\n{written}")


class Page:
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

    def section(self, title: str, text: str = "") -> None:
        """A heading, and a paragraph below it."""
        self._parts.append(f"## {title}")
        self.text(text)

    def text(self, text: str) -> None:
        """A paragraph, a list, or anything else in Markdown; none where there is no text."""
        self._parts += [text.strip()] if text.strip() else []

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


# --- text -------------------------------------------------------------------------------------------------------------


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


def listed(items: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {item}" for item in items)


def as_settings(settings: Mapping[str, Any]) -> str:
    """Settings as a list in Markdown."""
    return listed(f"{key}: `{value}`" for key, value in settings.items())


def as_json(content: Any) -> str:
    """JSON for people."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """A CSV with a head; all rows have the same keys."""
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(lines, list(rows[0]) if rows else ["name"])
    writer.writeheader()
    writer.writerows(rows)
    return lines.getvalue()


def worst_of(rows: Sequence[Row], count: int) -> list[str]:
    """Names of the samples with the highest CER."""
    by_error = sorted(rows, key=lambda row: (-float(row["CER"] or 0), str(row["name"])))
    return [str(row["name"]) for row in by_error[:count]]


def shown(score: "Score") -> str:
    """The value with as many decimals as its metric deserves."""
    return f"{score.value:.{_DECIMALS.get(score.name, 2)}f}"


def origin(command: str) -> dict[str, str]:
    """What the settings of every report end with: the command, the date and the version."""
    return {"command": command, "date": today("%Y-%m-%d %H:%M UTC"), "translatotron-v": __version__}


def today(form: str = "%Y-%m-%d (UTC)") -> str:
    """The date."""
    return datetime.datetime.now(datetime.timezone.utc).strftime(form)


def versions(*packages: str) -> str:
    """Versions of installed packages, of this project and of Python: a part of a sentence."""
    from importlib.metadata import version

    found = [f"{package} {version(package)}" for package in packages]
    return ", ".join([*found, f"translatotron-v {__version__}", f"Python {platform.python_version()}"])


def _cells(line: Line) -> tuple[str, str, str, str]:
    ceiling = "" if line.ceiling is None else shown(line.ceiling)
    count = "" if line.count is None else f" ({line.count:,})"
    return line.score.name, shown(line.score), ceiling, line.what + count


def _shown(cell: Cell, digits: int) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float):
        return f"{cell:.{digits}f}"
    return f"{cell:,}" if isinstance(cell, int) else cell.replace("|", "\\|").replace("\n", " ")


# --- files ------------------------------------------------------------------------------------------------------------


def write_files(folder: Path, contents: Mapping[str, "str | Image.Image | Figure"]) -> str:
    """Write texts, pictures and figures under their names, and return a sentence that says so.

    Raises:
        UserError: the folder cannot be written.
    """
    for name, content in contents.items():
        write_whole(folder / name, content.encode() if isinstance(content, str) else as_png(content))
    return f"Written to {folder}: {', '.join(contents)}"


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
        if aside.parent.is_dir():
            aside.unlink(missing_ok=True)


def as_png(picture: "Image.Image | Figure", colours: int = 0) -> bytes:
    """The bytes of a PNG file; with a palette of so many colours, by default for figures alone."""
    file = io.BytesIO()
    if not isinstance(picture, Image.Image):
        picture.savefig(file, format="png")
        picture, colours = Image.open(file), colours or _COLOURS
        file = io.BytesIO()
    reduced = picture.convert("RGB").quantize(colours) if colours else picture
    reduced.save(file, "PNG", optimize=True)
    return file.getvalue()


# --- numbers with their spread ----------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """Two sets of values, one for each seed, set against each other."""

    delta: float  # mean of the values less mean of the baseline
    inside_spread: bool  # no larger than what another seed would change

    def shown(self, digits: int) -> str:
        """With its sign, and marked where it lies inside the spread."""
        return f"{self.delta:+.{digits}f}{' (inside the spread)' if self.inside_spread else ''}"


def mean_and_spread(values: Sequence[float], digits: int = 1) -> str:
    """``12.3 ± 0.4``: mean and sample standard deviation (n - 1); the value alone where there is one only."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def difference(values: Sequence[float], baseline: Sequence[float]) -> Difference:
    """The difference of two means, and whether it lies inside the spread over the seeds.

    It does if it is not larger than the larger of the two ranges (largest value less smallest). The range, not the
    standard deviation: three seeds tell little about the latter, and a difference that is smaller than what one variant
    shows between its own seeds is none. Where neither side has two values nothing is known of the spread, and no
    difference is claimed either.
    """
    delta = statistics.fmean(values) - statistics.fmean(baseline)
    if max(len(values), len(baseline)) < 2:
        return Difference(delta, True)
    return Difference(delta, abs(delta) <= max(max(side) - min(side) for side in (values, baseline)))
