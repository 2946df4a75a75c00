"""What an evaluation found, as a table on one screen, JSON, Markdown, a CSV of the samples and a sheet of the worst."""

import csv
import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from translatotron_v import __version__
from translatotron_v.errors import UserError
from translatotron_v.inference.pictures import contact_sheet, save_picture
from translatotron_v.metrics import Score

Row = Mapping[str, str | float | None]  # of the CSV

_DECIMALS = {
    "CER": 4,
    "MSE": 4,
    "SSIM": 4,
    "accuracy": 4,
    "length ratio": 3,
    "ECE": 4,
}  # by metric; the others show two
_SHOWN = 10  # names that a note lists


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    score: Score
    what: str  # what is compared with what
    ceiling: Score | None = None  # the same score of the reference pictures' OCR against the reference texts
    count: int | None = None  # samples that it covers


@dataclass
class Report:
    """Everything that is written.

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


def named(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest


def table(report: Report) -> str:
    """The scores for a terminal."""
    cells = [("score", "value", "OCR ceiling", "of"), *(_cells(line) for line in report.lines)]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    lines = [report.title, ""]
    for name, value, ceiling, what in cells:
        lines.append(f"  {name:<{widths[0]}}  {value:>{widths[1]}}  {ceiling:>{widths[2]}}  {what}")
    return "\n".join([*lines, "", *report.notes]).rstrip()


def markdown(report: Report) -> str:
    """The scores, their signatures, the settings and the worst samples."""
    parts = [f"# {report.title}", "", "| score | value | OCR ceiling | of |", "|---|---:|---:|---|"]
    parts += ["| " + " | ".join(_cells(line)) + " |" for line in report.lines]
    parts += ["", *(f"- {note}" for note in report.notes)] if report.notes else []
    parts += ["", "## Settings", "", *(f"- {key}: `{value}`" for key, value in report.settings.items())]
    signatures = dict.fromkeys(f"- {line.score.name}: `{line.score.signature}`" for line in report.lines)
    parts += ["", "## Signatures", "", *signatures]
    rows = {row["name"]: row for row in report.rows}
    if report.worst:
        parts += ["", "## The worst, as on the sheet"]
    for name in report.worst:
        texts = [(key, value) for key, value in rows[name].items() if isinstance(value, str) and key != "name"]
        parts += ["", f"{name}", "", *(f"- {key}: {value}" for key, value in texts)]
    return "\n".join(parts) + "\n"


def as_json(report: Report) -> str:
    """Scores, signatures, settings and notes; values are not rounded."""
    scores = [
        {"of": line.what, **asdict(line.score), "ceiling": line.ceiling and line.ceiling.value, "samples": line.count}
        for line in report.lines
    ]
    content = {"title": report.title, "settings": report.settings, "scores": scores, "notes": report.notes}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write(
    report: Report, folder: Path, pictures: Callable[[str], Sequence[Image.Image | None]], titles: Sequence[str]
) -> list[Path]:
    """Write `scores.json`, `scores.md`, `samples.csv` and, where there are any worst samples, `worst.png`.

    Args:
        folder: is made if need be.
        pictures: gives the pictures of a sample on the sheet, one under each of the titles.

    Raises:
        UserError: the folder cannot be written.
    """
    paths = [folder / "scores.json", folder / "scores.md", folder / "samples.csv", folder / "worst.png"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths[0].write_text(as_json(report), encoding="utf-8")
        paths[1].write_text(markdown(report), encoding="utf-8")
        with open(paths[2], "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(report.rows[0]) if report.rows else ["name"])
            writer.writeheader()
            writer.writerows(report.rows)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
    if not report.worst:
        return paths[:3]
    save_picture(contact_sheet([pictures(name) for name in report.worst], titles), paths[3])
    return paths


def finish(
    report: Report,
    folder: Path,
    command: str,
    pictures: Callable[[str], Sequence[Image.Image | None]],
    titles: Sequence[str],
    screen: Callable[[Report], str] = table,
) -> None:
    """Complete the settings by `origin`, write everything, and print the scores and where everything went.

    Args:
        folder, pictures, titles: as of `write`.
        command: that was given, as text.
        screen: how the scores are printed.
    """
    report.settings |= origin(command)
    paths = write(report, folder, pictures, titles)
    print(screen(report))
    print(f"\nWritten to {folder}: {', '.join(path.name for path in paths)}")


def origin(command: str) -> dict[str, str]:
    """What the settings of every report end with: the command, the date and the version."""
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "translatotron-v": __version__,
    }


def shown(score: Score) -> str:
    """The value with as many decimals as its metric deserves."""
    return f"{score.value:.{_DECIMALS.get(score.name, 2)}f}"


def _cells(line: Line) -> tuple[str, str, str, str]:
    ceiling = "" if line.ceiling is None else shown(line.ceiling)
    count = "" if line.count is None else f" ({line.count:,})"
    return line.score.name, shown(line.score), ceiling, line.what + count
