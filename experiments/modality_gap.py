"""Does a reader translate better when it learns from its own text mode? (modality gap, arXiv 2603.09095)

The broad reader, joined to the broad text mode by its states, is measured in text mode and in image mode: on a grid of
faces, sizes, blur and noise that it can read, and off natural pages against rendered strips. Then its image mode
learns the texts that its text mode writes (by sequence, by token, and by token with text mode frozen) or, as the
control, the gold translations for as many CPU-seconds. All that is begun twice: with an image mode that has learnt to
translate before, and with one that has only learnt to read.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments.harness import Experiment, finish, run
from experiments.variants import seeded
from translatotron_v.evaluation.gap_report import GapReport
from translatotron_v.evaluation.plots import bar_plot
from translatotron_v.evaluation.report import Cell, as_png, mean_and_spread, write_whole

STARTS = {"text": "runs/small/text2", "reader": "runs/small/reader"}
LIMIT, NATURAL = 48, 64  # sentences in every cell of the grid, and on natural pages
FONTS = (
    "DejaVuSans",
    "DejaVuSerif",
    "NotoSans-Regular",
    "Ubuntu-Regular",
    "FiraGO-Regular",
    "DejaVuSansMono",
    "UbuntuMono-Regular",
    "SpaceMono-Regular",
)
SIZES = (16, 20, 24)  # pixels per em, on lines of 32 pixels
BLUR, NOISE = 1.5, 25.0  # radius in pixels, standard deviation in grey levels
SEEDS = 2
VARIANTS = {
    "gold": "gold (control)",
    "sequence": "self, by sequence",
    "token": "self, by token",
    "token_beside": "self, by token, text mode frozen",
}
SELF = ("sequence", "token", "token_beside")
READS = {"reads_gold": VARIANTS["gold"], "reads_sequence": VARIANTS["sequence"]}  # from where pages were only read
READABLE = 0.05  # CER of the start's CTC head in a cell: what remains there is no gap of reading
HALF, HARM = 0.5, 0.5  # share of the gap that is to go; BLEU that text mode may lose


def body(experiment: Experiment) -> None:
    """Train the variants, measure grid and natural pages for each and write the report."""
    others = experiment.seeds[1:SEEDS]
    starts = {name: [experiment.variants[name]] for name in ("start", "reads")}
    tuned = {
        name: [experiment.variants[name], *(seeded(experiment.variants[name], seed) for seed in others)]
        for name in (*VARIANTS, *READS)
    }
    steps = starts | tuned
    experiment.train([step for of in steps.values() for step in of])
    runs = [step.run for of in steps.values() for step in of]
    limit, natural = experiment.limited(LIMIT), experiment.limited(NATURAL)
    split = experiment.variants["start"].config.data.test
    measured = experiment.measure(
        [(run, f"{run.name}-grid", grid, experiment.data, split, limit) for run in runs]
        + [(run, f"{run.name}-natural", off_natural_pages, experiment.data, split, natural) for run in runs]
    )
    gaps = {name: [GapReport.of(measured[f"{step.run.name}-grid"]) for step in of] for name, of in steps.items()}
    pages = {name: [measured[f"{step.run.name}-natural"] for step in of] for name, of in steps.items()}
    report = experiment.report("The modality gap, and what self-distillation does to it", verdict(gaps))
    before = gaps["start"][0]
    report.text(
        f"{before.sentences} captions of `{split}` that fit in every cell; {len(before.fonts)} faces, of which four "
        "were tuned on, by three sizes, and blur and noise at the size of training. The gap is BLEU of text mode less "
        f"BLEU of image mode. Mean and standard deviation over {len(steps['token'])} seeds."
    )
    report.section("Before")
    best = max(SELF, key=lambda name: fmean(gap.mean("bleu") for gap in gaps[name]))
    for name, gap in {"before": before, "after": gaps[best][0]}.items():
        write_whole(experiment.picture(f"{name}.png"), as_png(gap.heat_map()))
    report.figure(experiment.picture("before.png"), "Gap of the start in each cell")
    readable = sum(cell.cer <= READABLE for cell in before.cells)
    report.text(
        f"Text mode {before.text_bleu:.1f} BLEU. The start reads {readable} of {len(before.cells)} cells with a CER of "
        f"{READABLE:.2f} or less. Gaps, their means, length ratios and CER of the CTC head:"
    )
    report.text(before.gaps())
    report.section("After")
    report.text(
        "BLEU, mean over the cells that the start can read; gaps are those to the text mode of the start. The length "
        "ratio is words of image mode's answers by words of text mode's."
    )
    report.table(*after(gaps, "start", VARIANTS))
    bars = {
        name: {
            "text mode": fmean(gap.text_bleu for gap in gaps[key]),
            "image, tuned faces": fmean(readable_mean(gap, before, False) for gap in gaps[key]),
            "image, held-out faces": fmean(readable_mean(gap, before, True) for gap in gaps[key]),
        }
        for key, name in {"start": "start", **VARIANTS}.items()
    }
    report.figure(bar_plot(experiment.picture("variants.png"), bars, "BLEU", "cells that can be read"), "BLEU of each")
    report.figure(experiment.picture("after.png"), f"Gap after {VARIANTS[best]} in each cell")
    report.section("From a start that only reads", FROM_READING)
    report.table(*after(gaps, "reads", READS))
    report.section("Natural pages", NATURAL_PAGES)
    for start, variants in (("start", VARIANTS), ("reads", READS)):
        report.table(*on_natural_pages(pages, start, variants))
    report.section("Set-up", SET_UP)
    finish(report)


def after(
    gaps: Mapping[str, Sequence[GapReport]], start: str, variants: Mapping[str, str]
) -> tuple[list[str], list[list[Cell]]]:
    """Header and rows: a start, and what became of it."""
    before = gaps[start][0]
    header = ["variant", "text mode", "image, tuned faces", "image, held-out faces"]
    rows: list[list[Cell]] = [
        [
            name,
            shown([gap.text_bleu for gap in gaps[key]]),
            *(shown([readable_mean(gap, before, out) for gap in gaps[key]]) for out in (False, True)),
            *(
                shown([before.text_bleu - readable_mean(gap, before, out) for gap in gaps[key]])
                for out in (False, True)
            ),
            f"{fmean(gap.mean('length_ratio') for gap in gaps[key]):.2f}",
        ]
        for key, name in {start: "start", **variants}.items()
    ]
    return [*header, "gap, tuned", "gap, held out", "length ratio"], rows


def on_natural_pages(
    pages: Mapping[str, Sequence[Mapping[str, float]]], start: str, variants: Mapping[str, str]
) -> tuple[list[str], list[list[Cell]]]:
    """Header and rows of the same on natural pages."""
    rows: list[list[Cell]] = [
        [
            name,
            *(shown([one[column] for one in pages[key]]) for column in ("text_bleu", "rendered_bleu", "natural_bleu")),
            *(f"{fmean(one[column] for one in pages[key]):.3f}" for column in ("rendered_cer", "natural_cer")),
        ]
        for key, name in {start: "start", **variants}.items()
    ]
    return ["variant", "text mode", "rendered strips", "natural pages", "CER, rendered", "CER, natural"], rows


def grid(folder: Path, data: str, split: str, limit: int) -> dict[str, Any]:
    """The grid of a reader, as JSON."""
    from translatotron_v.evaluation.modality_gap import measure_gap
    from translatotron_v.inference.loaded import load_translator

    looks: dict[str, Any] = {"fonts": FONTS, "sizes": SIZES, "blur": BLUR, "noise": NOISE}
    report = measure_gap(load_translator(folder), data=data, split=split, limit=limit, quiet=True, **looks)
    return dataclasses.asdict(report)


def off_natural_pages(folder: Path, data: str, split: str, limit: int) -> dict[str, Any]:
    """Natural pages against rendered strips, as JSON."""
    from translatotron_v.evaluation.natural_pages import measure_natural
    from translatotron_v.inference.loaded import load_translator

    return dataclasses.asdict(measure_natural(load_translator(folder), data=data, split=split, limit=limit, quiet=True))


def readable_mean(gap: GapReport, start: GapReport, held_out: bool | None = None) -> float:
    """Mean BLEU over the cells that the start can read, of tuned or of held-out faces; zero where it can read none."""
    values = [
        cell.bleu
        for cell, begun in zip(gap.cells, start.cells, strict=True)
        if begun.cer <= READABLE and held_out in (None, cell.held_out)
    ]
    return fmean(values) if values else 0.0


def shown(values: Sequence[float]) -> str:
    """The value, or mean and spread of the seeds."""
    return mean_and_spread(list(values), 1)


def verdict(gaps: Mapping[str, Sequence[GapReport]]) -> str:
    """The first sentences, from the figures alone: self-distillation at its best against each start and its control.

    Gaps are those to the text mode of the start: one that shrinks since text mode fell is no gain.
    """
    translates = judged(gaps, "start", "gold", SELF)
    reads = judged(gaps, "reads", "reads_gold", ("reads_sequence",))
    words = {found.partition(":")[0] for found in (translates, reads)}
    word = words.pop().capitalize() if len(words) == 1 else "Partly"
    return f"{word}: from a start that translates pages {translates} From one that only reads them {reads}"


def judged(gaps: Mapping[str, Sequence[GapReport]], begun: str, control: str, ways: Sequence[str]) -> str:
    """What self-distillation, by the best of some ways, does to a start, beside what gold translations do."""
    start = gaps[begun][0]
    if not any(cell.cer <= READABLE and not cell.held_out for cell in start.cells):
        return f"not tested: the start reads no cell of a tuned face with a CER of {READABLE:.2f} or less."

    def gap(name: str, held_out: bool) -> float:
        return start.text_bleu - fmean(readable_mean(one, start, held_out) for one in gaps[name])

    best = min(ways, key=lambda name: gap(name, False))
    text, gold_text = (fmean(one.text_bleu for one in gaps[name]) for name in (best, control))
    tuned, others = ((gap(begun, out), gap(best, out), gap(control, out)) for out in (False, True))
    figures = (
        f"In the cells that the start can read, the gap goes from {tuned[0]:.1f} to {tuned[1]:.1f} BLEU in tuned faces "
        f"({(VARIANTS | READS)[best]}; gold translations: {tuned[2]:.1f}) and from {others[0]:.1f} to {others[1]:.1f} "
        f"in held-out faces (gold: {others[2]:.1f}); text mode from {start.text_bleu:.1f} to {text:.1f} (gold: "
        f"{gold_text:.1f})."
    )
    halved = [after <= HALF * before for before, after, _ in (tuned, others)]
    unharmed = text >= start.text_bleu - HARM
    as_good = tuned[2] <= tuned[1] and gold_text >= start.text_bleu - HARM  # gold translations, and at no cost
    if all(halved) and unharmed and not as_good:
        return (
            f"reproduced: self-distillation halves the gap, in faces never tuned on too, and text mode keeps. {figures}"
        )
    if tuned[1] >= tuned[0]:
        return f"not reproduced: self-distillation does not narrow the gap even in the faces of training. {figures}"
    limits = (
        [] if all(halved) else ["by less than half" if not halved[0] else "in faces never tuned on by less than half"]
    )
    limits += [] if unharmed else ["text mode loses"]
    limits += ["gold translations do as much at no more cost"] if as_good else []
    return f"partly: self-distillation narrows the gap, but {', and '.join(limits)}. {figures}"


FROM_READING = """\
As the paper has it: text mode knows the task, and image mode reads, but was never asked to do it. Image mode of this
start learnt to transcribe, and no translation of a page; both variants then have as many CPU-seconds."""
NATURAL_PAGES = """\
The same sentences as text, as strips rendered in the face of the page, and as strips that the pipeline of whole pages
cuts out of menus, slides, comics, columns, ... in faces and measures that nothing was chosen on (`evaluate.py
natural-pages`). Lines are taken where they are known to stand."""
SET_UP = """\
- The start: the broad reader's states go through the layers of broad text mode by a connector that is new
  (`model.connector=states`); image mode learns to transcribe and the gold translations, CTC and text mode go on.
- Each variant takes as many CPU-seconds on strips in the four faces; nothing but the loss differs. The texts of
  self-distillation are those of the start's own text mode, greedy and without dropout; no gradient flows into them.
- By sequence: cross-entropy of that text. By token: KL to text mode's distribution along that text. With text mode
  frozen, the image encoder and what joins it to text mode are all that moves."""


if __name__ == "__main__":
    sys.exit(run("modality_gap", __doc__, body, starts=STARTS))
