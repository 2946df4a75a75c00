"""The page of the comparison: its verdict, tables, plot and sheet of pictures, from what was measured."""

import argparse
import datetime
import io
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.comparison_measurements import BATCH, MEMORY_PAGES
from experiments.report import Report, bar_plot, write_whole
from translatotron_v.arguments import SYSTEMS

if TYPE_CHECKING:
    from PIL import Image

    from translatotron_v.config import Config

END_TO_END = SYSTEMS[0]

SETS: dict[str, dict[str, Any]] = {  # name -> arguments of `evaluation.rendering.Drawing`
    "clean": {"pages": "mix", "fonts": ["DejaVuSans"], "backgrounds": ["plain"]},
    "fonts": {"pages": "mix", "backgrounds": ["plain"]},
    "photo": {"pages": "mix", "backgrounds": ["photo"]},
}
LOOKS = {
    "clean": "DejaVu Sans on plain paper",
    "fonts": "the seven families of `small` on plain paper",
    "photo": "the seven families on photographs, all that are bundled",
}

MEMORY_SET = "photo"  # on whose pages the peak of memory is taken
LEVEL = 0.05  # of significance
MARK = " †"
SHOWN = (END_TO_END, "cascade-reader-draw", "cascade-rapidocr-render", "pixels")  # on the sheet, where measured
SAMPLES = 3  # pages of each set on the sheet
_SEARCHED = 50  # pages among which they are looked for
_SHEET_BYTES = 400_000
_COLUMN, _NARROWEST, _COLOURS = 400, 120, 128  # of the sheet: pixels of a column, colours of its palette
_MILLION = 1e6


@dataclass
class Results:
    """Everything that was measured.

    Attributes:
        pages: set -> "pages" and, of these, "whole": those with a source and a reference.
        sets: set -> system -> what `comparison_measurements.score` returns.
        memory: system -> GB.
        significance: set -> system -> metric ("BLEU", "chrF") -> p against the end-to-end model.
        parameters: system -> at inference, in the order of the tables.
        codebooks: system -> numbers in its codebook.
        shared: what serves all systems -> parameters.
        weights: run -> digest.
        cpu_seconds: of all measurements.
        training: sentences on how the opponents' own models were trained.
        paper: the paper's sizes.
    """

    pages: dict[str, dict[str, int]]
    sets: dict[str, dict[str, dict[str, Any]]]
    memory: dict[str, float]
    significance: dict[str, dict[str, dict[str, float]]]
    parameters: dict[str, int]
    codebooks: dict[str, int]
    shared: dict[str, int]
    weights: dict[str, str]
    cpu_seconds: float
    training: list[str] = field(default_factory=list)
    paper: "Config | None" = None

    @property
    def cascades(self) -> list[str]:
        """The systems that read, translate and draw one after the other."""
        return [system for system in self.parameters if system.startswith("cascade-")]

    def bleu(self, name: str, system: str) -> float:
        """BLEU of a system's pictures on a set."""
        return float(self.sets[name][system]["scores"]["BLEU"])

    def behind(self, name: str, system: str) -> float:
        """How many BLEU the end-to-end model is significantly behind a system on a set; 0 where it is not."""
        lead = self.bleu(name, system) - self.bleu(name, END_TO_END)
        return lead if lead > 0 and self.significance[name][system]["BLEU"] < LEVEL else 0.0


def verdict(results: Results) -> str:
    """The first sentence of the page: what the paper claims of cascades, from the figures.

    The claim: the end-to-end model matches or beats a cascade in BLEU, with fewer parameters. It matches where it is
    not behind with p < .05.
    """
    own = results.parameters[END_TO_END]
    lost = {system: {name: results.behind(name, system) for name in results.sets} for system in results.cascades}
    matched = [system for system in results.cascades if not any(lost[system].values())]
    smaller = [system for system in results.cascades if own < results.parameters[system]]
    both = [system for system in matched if system in smaller]
    count, sets = len(results.cascades), len(results.sets)
    size = f"{own / _MILLION:.1f} M parameters"
    if count and len(both) == count:
        return (
            f"Reproduced: with {size}, fewer than any of the {count} cascades, the end-to-end model matches or beats "
            f"all of them in BLEU of the pictures, on all {sets} sets."
        )
    parts = [
        f"the end-to-end model ({size}) matches or beats {len(matched)} of {count} cascades in BLEU on all {sets} sets"
    ]
    if worst := max(((gap, system, name) for system in lost for name, gap in lost[system].items()), default=None):
        gap, system, name = worst
        parts.append(f"it is behind {system} by {gap:.1f} on the set {name}" if gap else "it is nowhere behind")
    parts.append(f"it has fewer parameters than {_listed(smaller)}")
    word = "Partly" if both else "Not reproduced"
    return f"{word}: {'; '.join(parts)}. Both hold against {_listed(both)}."


def make_page(results: Results, options: argparse.Namespace, command: str, config: "Config") -> Report:
    """The whole page, not yet written.

    Args:
        results: what was measured.
        options: those of the command line.
        command: that makes the page again.
        config: of the end-to-end model's weights.
    """
    beside = options.report.with_suffix("")
    report = Report(options.report, "One model against cascades", verdict(results), _facts(results, options), command)
    report.text(_systems_explained(results))
    if results.training:
        report.text("\n".join(f"- {sentence}" for sentence in results.training))
    for name in results.sets:
        report.section(f"Set “{name}”: {LOOKS[name]}")
        _set_table(report, results, name)
        notes = dict.fromkeys(note for value in results.sets[name].values() for note in value["notes"])
        if notes:
            report.text(" ".join(notes))
    report.text(_columns_explained(results))
    report.figure(beside / "bleu.png", "BLEU of the pictures by system and set")
    report.section("Significance")
    _significance_table(report, results)
    report.section("Samples")
    report.text(
        f"The first {SAMPLES} pages of each set that have a source and a reference, in the order "
        f"{', '.join(results.sets)}; none was picked."
    )
    report.figure(beside / "samples.png", "Source, pictures of some systems, reference")
    discussion = beside / "discussion.md"
    if discussion.is_file():
        report.section("Where the end-to-end model loses, and why")
        report.text(discussion.read_text(encoding="utf-8"))
    if results.paper is not None:
        report.section("Parameters at the paper's size")
        _paper_tables(report, results.paper)
    report.section("Signatures")
    signed = results.sets[next(iter(results.sets))][END_TO_END]["signatures"]
    report.text("\n".join(f"- {name}: `{signature}`" for name, signature in signed.items()))
    return report


def make_pictures(results: Results, config: "Config", options: argparse.Namespace) -> None:
    """The plot and the sheet of pictures, beside the page."""
    folder = options.report.with_suffix("")
    groups = {
        _short(system): {name: results.bleu(name, system) for name in results.sets} for system in results.parameters
    }
    bar_plot(folder / "bleu.png", groups, "BLEU of the pictures")
    shown = [system for system in SHOWN if system in results.parameters]
    rows = [row for name in results.sets for row in _samples(name, shown, config, options)]
    write_whole(folder / "samples.png", small_sheet(rows, ["source", *shown, "reference"]))


def small_sheet(rows: Sequence[Sequence["Image.Image | None"]], titles: Sequence[str]) -> bytes:
    """A sheet of pictures as a PNG file of at most `_SHEET_BYTES`, its columns as wide as that allows."""
    from translatotron_v.inference.pictures import contact_sheet

    content = b""
    for column in range(_COLUMN, _NARROWEST - 1, -20):
        file = io.BytesIO()
        contact_sheet(rows, titles, column).convert("RGB").quantize(_COLOURS).save(file, "PNG", optimize=True)
        content = file.getvalue()
        if len(content) <= _SHEET_BYTES:
            break
    return content


def _samples(
    name: str, systems: Sequence[str], config: "Config", options: argparse.Namespace
) -> list[list["Image.Image | None"]]:
    """Rows of the sheet: source, what each system made of it, reference."""
    from translatotron_v.evaluation.generation import to_image
    from translatotron_v.evaluation.rendering import Drawing, render_split
    from translatotron_v.inference.pictures import open_picture

    searched = min(options.limit or _SEARCHED, _SEARCHED)
    rows: list[list[Image.Image | None]] = []
    for index, page in enumerate(render_split(config, options.split, searched, drawing=Drawing(**SETS[name]))):
        if page.source_page is None or page.reference_page is None or len(rows) == SAMPLES:
            continue
        made = [options.folder / name / system / "generated" / f"{index:05d}.png" for system in systems]
        drawn = [open_picture(path) if path.is_file() else None for path in made]
        rows.append([to_image(page.source_page), *drawn, to_image(page.reference_page)])
    return rows


def _set_table(report: Report, results: Results, name: str) -> None:
    found = results.sets[name]
    header = ["system", "parameters, M", "BLEU", "Structure-BLEU", "one-to-one", "SSIM", "chrF", "CER to own text, %",
              "CPU-seconds", "memory, GB"]  # fmt: skip
    rows: list[list[str | float | None]] = []
    for system, value in found.items():
        scores, p = value["scores"], results.significance[name].get(system, {})
        marks = {metric: MARK if p.get(metric, 1.0) < LEVEL else "" for metric in ("BLEU", "chrF")}
        codes = results.codebooks[system]
        rows.append(
            [
                system,
                f"{results.parameters[system] / _MILLION:.2f}" + (f" (+ {codes / _MILLION:.2f})" if codes else ""),
                f"{scores['BLEU']:.2f}{marks['BLEU']}",
                scores.get("Structure-BLEU"),
                scores.get("Structure-BLEU 1:1"),
                f"{scores['SSIM']:.3f}" if "SSIM" in scores else None,
                f"{scores['chrF']:.2f}{marks['chrF']}",
                100 * scores["CER"] if "CER" in scores and system != "pixels" else None,
                scores["seconds"],
                results.memory[system],
            ]
        )
    best = found[END_TO_END]["ceiling"]
    error = 100 * best["CER"] if "CER" in best else None
    rows.append(
        ["OCR ceiling", None, f"{best['BLEU']:.2f}", None, None, None, f"{best['chrF']:.2f}", error, None, None]
    )
    report.table(header, rows)


def _significance_table(report: Report, results: Results) -> None:
    report.text(
        "Paired bootstrap resampling (Koehn 2004), 1,000 resamples, by sacrebleu: each system's pictures, as OCR reads "
        f"them, against those of {END_TO_END}. A difference is the system's score less that of {END_TO_END}; † where "
        "p < .05."
    )
    columns = [(name, metric) for name in results.sets for metric in ("BLEU", "chrF")]
    rows = []
    for system in results.parameters:
        if system == END_TO_END:
            continue
        row: list[str | float | None] = [system]
        for name, metric in columns:
            of_set, p = results.sets[name], results.significance[name][system][metric]
            delta = of_set[system]["scores"][metric] - of_set[END_TO_END]["scores"][metric]
            row.append(f"{delta:+.2f}, p = {p:.3f}{MARK if p < LEVEL else ''}")
        rows.append(row)
    report.table(["system", *(f"{name}, {metric}" for name, metric in columns)], rows)


def _paper_tables(report: Report, config: "Config") -> None:
    from experiments.comparison_parameters import (
        codebook_values,
        paper_end_to_end,
        paper_readings,
        paper_share_sentence,
    )

    end_to_end, readings = paper_end_to_end(config), paper_readings(config)
    total = sum(end_to_end.values())
    report.text(paper_share_sentence(end_to_end, readings))
    names = list(dict.fromkeys(part for reading in readings[:1] for part in reading.cascade))
    rows: list[list[str | float | None]] = [
        ["end-to-end", part, count / _MILLION] for part, count in end_to_end.items()
    ]  # fmt: skip
    rows.append(["end-to-end", "sum", total / _MILLION])
    rows += [["cascade", part, readings[0].cascade[part] / _MILLION] for part in names]
    rows.append(["cascade", "sum", readings[0].sum / _MILLION])
    report.table(["side", "part", "parameters, M"], rows)
    report.table(
        ["cascade", "its parameters, M", "end-to-end / cascade, %"],
        [[reading.name, reading.sum / _MILLION, 100 * total / reading.sum] for reading in readings],
    )
    codes = codebook_values(END_TO_END, config) / _MILLION
    report.text(
        "Built from `configs/paper/model.yaml` without allocating anything. Not counted: the tokenizer's codebook "
        f"({codes:.2f} M numbers that no gradient trains), which both sides need, and what only training needs, that "
        "is the OCR head, the tokenizer's encoder and the discriminator."
    )


def _facts(results: Results, options: argparse.Namespace) -> list[str]:
    from importlib.metadata import version

    import torch

    counts = sorted({count["pages"] for count in results.pages.values()})
    counted = " to ".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1])))
    facts = [
        f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d} (UTC).",
        f"Data: {Path(options.data).name} `{options.split}`, German to English, {counted} pages in each set, true",
        "case; seed 0 of the pages, 12345 of the bootstrap.",
        "Weights: " + ", ".join(f"`{run}` ({digest[:8]})" for run, digest in results.weights.items()) + ".",
        f"{results.cpu_seconds:,.0f} CPU-seconds of measuring, one thread each;",
        f"torch {torch.__version__}, sacrebleu {version('sacrebleu')}, rapidocr {version('rapidocr')},",
        f"Python {platform.python_version()}.",
    ]
    return [*facts, "**Made with --quick: the figures mean nothing.**"] if options.quick else facts


def _systems_explained(results: Results) -> str:
    shared = ", ".join(f"{count / _MILLION:.2f} M ({part})" for part, count in results.shared.items())
    return (
        "All systems translate the same pages (`--pages mix`: 192 x 640 pixels, one paragraph of 10 to 28 pixels per "
        "em, colours that stay readable) by the same code that finds blocks, takes ink off its background and puts "
        "words back: rapidocr's detector and our separator serve all of them and are not counted below "
        f"({shared}). They differ in what lies between.\n\n"
        "- **end-to-end**: `small` as it is. It writes the translated text, and draws it in image tokens from the "
        "states of that text and of the source picture.\n"
        "- **cascade-READER-DRAWER**: the source is read by our CTC reader (*reader*) or by rapidocr's recognition "
        "(*rapidocr*), and its text translated by `small` in text mode; or `small` translates image to text in one "
        "step (*tit*). Then that text alone is drawn by our text-to-image model (*draw*) or typeset in the nearest "
        "font (*render*).\n"
        "- **pixels**: a Transformer from pixels to pixels, without text or image tokens (after Tian et al. 2023)."
    )


def _columns_explained(results: Results) -> str:
    sentences = [
        "Parameters are those of the modules that a system goes through from strip to strip; in brackets the numbers "
        "of the codebook that image tokens are drawn from, which no gradient trains. Those of rapidocr's recognition "
        "are the size of its file divided by four.",
        "BLEU and chrF: the pictures, read by rapidocr, against the reference texts. Structure-BLEU as the paper has "
        "it, and with one-to-one matches, where each surplus box counts as wrong. CER: the pictures against the text "
        "that the system meant to draw, of which pixels has none.",
        f"CPU-seconds are those of a picture in batches of {BATCH}, of one thread beside other measurements. Memory is "
        f"the peak of a process that translates {MEMORY_PAGES} pages of the set {MEMORY_SET} one at a time, libraries "
        "included.",
        "†: differs from end-to-end, p < .05. The ceiling is what OCR reads on the reference pages themselves.",
    ]
    if any("rapidocr" in system for system in results.parameters):
        sentences.append(
            "The engine that reads the pictures for the scores also reads the sources of the rapidocr cascades."
        )
    return " ".join(sentences)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none of them"


def _short(system: str) -> str:
    """A system's name below its bars."""
    return system.removeprefix("cascade-").replace("-", "\n")
