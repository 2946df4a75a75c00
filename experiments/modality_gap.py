"""Does a reader translate better when it learns from its own text mode? (modality gap, arXiv 2603.09095)

A reader of four fonts is measured in text mode and in image mode, on a grid of fonts, sizes, blur and noise. Then its
image mode learns the texts that its text mode writes (by sequence, and by token) or, as the control, the gold
translations for as many steps.
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments.harness import Experiment, finish, run
from experiments.variants import seeded
from translatotron_v.evaluation.gap_report import GapReport
from translatotron_v.evaluation.plots import bar_plot
from translatotron_v.evaluation.report import as_png, difference, write_whole

LIMIT = 64  # sentences in every cell of the grid
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
VARIANTS = {
    "start": "start",
    "gold": "gold (control)",
    "sequence": "self, by sequence",
    "token": "self, by token",
    "drift": "self, by sequence, texts of every step",
}
AGAIN = 2  # a second seed
CLEAR = 0.5  # BLEU, means over hundreds of sentences: what a difference must exceed to be called one


def body(experiment: Experiment) -> None:
    """Train the variants, measure the grid for each and write the report."""
    again = {variant: seeded(experiment.variants[variant], AGAIN) for variant in ("token",)}
    experiment.train([*experiment.variants.values(), *again.values()])
    limit = experiment.limited(LIMIT)
    runs = {variant: experiment.variants[variant].run for variant in VARIANTS} | {
        f"{variant}-again": again[variant].run for variant in again
    }
    measured = experiment.measure(
        [(run, f"{variant}-grid", grid, experiment.data, limit) for variant, run in runs.items()]
    )
    gaps = {variant: GapReport.of(measured[f"{variant}-grid"]) for variant in runs}
    size = experiment.variants["start"].config.page.font_size
    report = experiment.report("The modality gap, and what self-distillation does to it", verdict(gaps, f"{size} px"))
    start = gaps["start"]
    report.text(
        f"{start.sentences} validation captions that fit in every cell; {len(start.fonts)} fonts, of which four were "
        "seen in training (at 10 pixels), by three sizes, and blur and noise at the size of training. The gap is BLEU "
        "of text mode less BLEU of image mode. One seed, and a second one for self-distillation by token."
    )
    report.section("Before")
    best = max(("sequence", "token"), key=lambda variant: gaps[variant].mean("bleu"))
    for name, gap in {"before": start, "after": gaps[best]}.items():
        write_whole(experiment.picture(f"{name}.png"), as_png(gap.heat_map()))
    report.figure(experiment.picture("before.png"), "Gap of the start in each cell")
    report.text(f"Text mode {start.text_bleu:.1f} BLEU. Gaps, their means, length ratios and CER of the CTC head:")
    report.text(start.gaps())
    report.section("After")
    report.text(
        "200 steps each from the start. BLEU, mean over the cells; in brackets the gap to its own text mode. The "
        "length ratio is words of image mode's answers by words of text mode's."
    )
    report.table(
        ["variant", "text mode", "image, seen fonts", "image, held-out fonts", "length ratio"],
        [
            [
                name,
                f"{gaps[variant].text_bleu:.1f}",
                *(
                    f"{gaps[variant].mean('bleu', held_out=out):.1f} ({gaps[variant].mean('gap', held_out=out):.1f})"
                    for out in (False, True)
                ),
                f"{gaps[variant].mean('length_ratio'):.2f}",
            ]
            for variant, name in VARIANTS.items()
        ],
    )
    report.text(
        f"The same at {size} pixels alone, the size of training, without blur or noise; two values where there are two "
        "seeds:"
    )
    report.table(
        ["variant", "text mode", "image, seen fonts", "image, held-out fonts"],
        [
            [name, *(shown(gaps, variant, value) for value in columns(f"{size} px").values())]
            for variant, name in VARIANTS.items()
        ],
    )
    bars = {
        variant: {column: value(gaps[variant]) for column, value in columns(f"{size} px").items()}
        for variant in VARIANTS
    }
    report.figure(
        bar_plot(experiment.picture("variants.png"), bars, "BLEU", f"{size} px"),
        f"BLEU of each variant at {size} pixels",
    )
    report.figure(experiment.picture("after.png"), f"Gap after {VARIANTS[best]} in each cell")
    report.section("Set-up", SET_UP)
    finish(report)


def grid(folder: Path, data: str, limit: int) -> dict[str, Any]:
    """The grid of a reader, as JSON."""
    from translatotron_v.evaluation.modality_gap import measure_gap
    from translatotron_v.inference.loaded import load_translator

    report = measure_gap(load_translator(folder), data=data, limit=limit, fonts=FONTS, quiet=True)
    return dataclasses.asdict(report)


def columns(condition: str) -> dict[str, Callable[[GapReport], float]]:
    """What the variants are compared by under one condition."""
    return {
        "text mode": lambda gap: gap.text_bleu,
        "image, seen fonts": lambda gap: gap.mean("bleu", held_out=False, condition=condition),
        "image, held-out fonts": lambda gap: gap.mean("bleu", held_out=True, condition=condition),
    }


def of_seeds(gaps: dict[str, GapReport], variant: str, value: Callable[[GapReport], float]) -> list[float]:
    """A value of a variant for each of its seeds."""
    return [value(gaps[name]) for name in (variant, f"{variant}-again") if name in gaps]


def shown(gaps: dict[str, GapReport], variant: str, value: Callable[[GapReport], float]) -> str:
    """The value of each seed."""
    return ", ".join(f"{one:.1f}" for one in of_seeds(gaps, variant, value))


def verdict(gaps: dict[str, GapReport], condition: str) -> str:
    """The first sentence, from the figures alone: by token against start and control, at the size of training."""
    text, seen, unseen = (
        {variant: of_seeds(gaps, variant, value) for variant in ("start", "gold", "token")}
        for value in columns(condition).values()
    )

    def gain(values: dict[str, list[float]], baseline: str) -> float:
        return fmean(values["token"]) - fmean(values[baseline])

    over_gold, inside = difference(seen["token"], seen["gold"])
    mean = {
        f"{kind} {variant}": f"{fmean(values[variant]):.1f}"
        for kind, values in (("text", text), ("seen", seen), ("unseen", unseen))
        for variant in values
    }
    figures = (
        f"At {condition} without blur or noise, image mode goes from {mean['seen start']} to {mean['seen token']} BLEU "
        f"in seen fonts by token (two seeds; gold translations: {mean['seen gold']}) and from "
        f"{mean['unseen start']} to {mean['unseen token']} in held-out fonts (gold: {mean['unseen gold']}); text mode "
        f"from {mean['text start']} to {mean['text token']} (gold: {mean['text gold']})."
    )
    if gain(seen, "start") <= CLEAR:
        return f"Not reproduced: self-distillation does not narrow the gap even in the fonts of training. {figures}"
    limits = [] if gain(unseen, "start") > CLEAR else ["held-out fonts do not gain"]
    limits += [] if gain(text, "start") >= -CLEAR else ["text mode loses a little"]
    limits += ["what it gains over gold translations is inside the spread"] if inside else []
    limits += ["gold translations do more"] if not inside and over_gold < 0 else []
    if not limits:
        return f"Reproduced: self-distillation narrows the gap, in held-out fonts too. {figures}"
    return f"Partly: self-distillation narrows the gap in the fonts of training, but {', and '.join(limits)}. {figures}"


SET_UP = """\
- The start is the shipped `tiny`, continued for 250 steps on pages in four fonts of 10 pixels.
- Each variant takes 200 steps of 32 pages in the four fonts; nothing but the loss differs. The texts of
  self-distillation are those of the start's own text mode, greedy and without dropout; no gradient flows into them.
- By sequence: cross-entropy of that text. By token: KL to text mode's distribution along that text.
- The last variant learns the texts that the weights of each step write. Image mode and text mode share their layers, so
  the targets drift with what learns them."""


if __name__ == "__main__":
    sys.exit(run("modality_gap", __doc__, body))
