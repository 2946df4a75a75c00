"""Does a reader translate better when it learns from its own text mode? (modality gap, arXiv 2603.09095)

A reader of four fonts is measured in text mode and in image mode, on a grid of fonts, sizes, blur and noise. Then its
image mode learns the texts that its text mode writes (by sequence, and by token) or, as the control, the gold
translations for as many steps.
"""

import json
import sys
from pathlib import Path
from typing import Any

from experiments.harness import Experiment, run
from experiments.report import bar_plot
from translatotron_v.evaluation.gap_report import GapReport, heat_map

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
ARMS = {
    "start": "start",
    "gold": "gold (control)",
    "sequence": "self, by sequence",
    "token": "self, by token",
    "drift": "self, by sequence, texts of every step",
}
COLUMNS = {
    "image, seen fonts": lambda gap: gap.mean("bleu", held_out=False),
    "image, held-out fonts": lambda gap: gap.mean("bleu", held_out=True),
    "text mode": lambda gap: gap.text_bleu,
}
CLEAR = 0.5  # BLEU, means over hundreds of sentences: what a difference must exceed to be called one


def main() -> int:
    """Run the experiment from the command line."""
    return run("modality_gap", __doc__, body)


def body(experiment: Experiment) -> None:
    """Train the arms, measure the grid for each and write the report."""
    experiment.train()
    limit = experiment.limited(LIMIT)
    measured = experiment.measure_all(
        [(experiment.arms[arm].run, f"{arm}-grid", grid, experiment.data, limit) for arm in ARMS]
    )
    gaps = {arm: as_report(measured[f"{arm}-grid"]) for arm in ARMS}
    report = experiment.report("The modality gap, and what self-distillation does to it", verdict(gaps))
    start = gaps["start"]
    report.text(
        f"{start.sentences} validation captions that fit in every cell; {len(start.fonts)} fonts, of which four were "
        "seen in training (at 10 pixels), by three sizes, and blur and noise at the size of training. The gap is BLEU "
        "of text mode less BLEU of image mode. One seed."
    )
    report.section("Before")
    report.figure(picture(experiment, start, "before.png"), "Gap of the start in each cell")
    report.text(f"Text mode {start.text_bleu:.1f} BLEU. By font and by condition, means over the others:")
    report.table(
        ["font", "gap", "BLEU, image mode", "length ratio", "CER of the CTC head"],
        [
            [
                f"{font}{' (held out)' if start.mean('held_out', font=font) else ''}",
                *(start.mean(what, font=font) for what in ("gap", "bleu", "length_ratio", "cer")),
            ]
            for font in start.fonts
        ],
    )
    report.table(
        ["condition", "gap", "BLEU, image mode", "length ratio", "CER of the CTC head"],
        [
            [condition, *(start.mean(what, condition=condition) for what in ("gap", "bleu", "length_ratio", "cer"))]
            for condition in start.conditions
        ],
    )
    report.section("After")
    report.text(
        "200 steps each from the start. BLEU, mean over the cells; in brackets the gap to the arm's own text mode. The "
        "length ratio is words of image mode's answers by words of text mode's."
    )
    report.table(
        ["arm", "text mode", "image, seen fonts", "image, held-out fonts", "length ratio"],
        [
            [
                name,
                f"{gaps[arm].text_bleu:.1f}",
                *(
                    f"{gaps[arm].mean('bleu', held_out=held_out):.1f} ({gaps[arm].mean('gap', held_out=held_out):.1f})"
                    for held_out in (False, True)
                ),
                f"{gaps[arm].mean('length_ratio'):.2f}",
            ]
            for arm, name in ARMS.items()
        ],
    )
    bars = {name: {column: value(gaps[arm]) for column, value in COLUMNS.items()} for arm, name in ARMS.items()}
    report.figure(bar_plot(experiment.picture("arms.png"), bars, "BLEU"), "BLEU of each arm")
    best = best_arm(gaps)
    report.figure(picture(experiment, gaps[best], "after.png"), f"Gap after {ARMS[best]} in each cell")
    report.section("Set-up")
    report.text(SET_UP)
    report.write()
    print(report)


def grid(folder: Path, data: str, limit: int) -> dict[str, Any]:
    """The grid of a reader, as JSON."""
    from translatotron_v.evaluation.modality_gap import measure_gap
    from translatotron_v.inference.pipeline import load_translator

    report = measure_gap(load_translator(folder), data=data, limit=limit, fonts=FONTS, quiet=True)
    return json.loads(report.to_json())


def as_report(value: dict[str, Any]) -> GapReport:
    """The grid of an arm, from its measurement."""
    return GapReport.from_json(json.dumps(value))


def picture(experiment: Experiment, gap: GapReport, name: str) -> Path:
    """Draw a heat map beside the report."""
    path = experiment.picture(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    heat_map(gap, path)
    return path


def best_arm(gaps: dict[str, GapReport]) -> str:
    """The variant of self-distillation with the higher BLEU over all cells."""
    return max(("sequence", "token"), key=lambda arm: gaps[arm].mean("bleu"))


def verdict(gaps: dict[str, GapReport]) -> str:
    """The first sentence, from the figures alone."""
    best = best_arm(gaps)
    seen, unseen, text = (
        {arm: value(gap) for arm, gap in gaps.items()} for value in (COLUMNS[column] for column in COLUMNS)
    )
    figures = (
        f"Image mode goes from {seen['start']:.1f} to {seen[best]:.1f} BLEU on seen and from {unseen['start']:.1f} to "
        f"{unseen[best]:.1f} on held-out fonts ({ARMS[best]}); text mode from {text['start']:.1f} to {text[best]:.1f}. "
        f"As many steps on gold translations: {seen['gold']:.1f}, {unseen['gold']:.1f}, {text['gold']:.1f}."
    )
    helps = seen[best] - seen["start"] > CLEAR and unseen[best] - unseen["start"] > CLEAR
    unharmed = text[best] >= text["start"] - CLEAR
    beats = seen[best] - seen["gold"] > CLEAR
    if helps and unharmed and beats:
        return f"Reproduced: self-distillation narrows the gap more than gold translations, in new fonts too. {figures}"
    if helps:
        limits = [] if unharmed else ["text mode suffers"]
        limits += [] if beats else ["gold translations do as much"]
        return f"Partly: self-distillation narrows the gap, but {' and '.join(limits)}. {figures}"
    return f"Not reproduced: self-distillation does not narrow the gap on both seen and held-out fonts. {figures}"


SET_UP = """\
- The start is the shipped `tiny`, continued for 250 steps on pages in four fonts of 10 pixels.
- Each arm takes 200 steps of 32 pages in the four fonts; nothing but the loss differs. The texts of self-distillation
  are those of the start's own text mode, greedy and without dropout; no gradient flows into them.
- By sequence: cross-entropy of that text. By token: KL to text mode's distribution along that text.
- The last arm learns the texts that the weights of each step write. Image mode and text mode share their layers, so the
  targets drift with what learns them."""


if __name__ == "__main__":
    sys.exit(main())
