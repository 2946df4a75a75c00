"""What does each part contribute? Parts of the tiny model taken away or replaced, against three seeds of the whole.

Three groups, each with one budget and a control of its own: what draws (behind frozen reading and translating parts, so
that all variants write the same texts), what reads, and training without text labels. Figures are taken on validation
captions.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments import scores
from experiments.harness import Experiment, finish, run
from experiments.variants import cpu_seconds, curve, seeded, varied
from translatotron_v.evaluation.plots import bar_plot, line_plot
from translatotron_v.evaluation.report import Cell, Difference, difference, mean_and_spread
from translatotron_v.training.recipe import Step

LIMIT = 150  # captions that pictures and texts are scored on
DRAWING = {
    "sum": "no gate: sum",
    "concat": "no gate: one map over both",
    "alone": "no target text for the image decoder",
    "no_teacher": "no teacher",
    "no_teacher_long": "no teacher, its cost spent here",
    "kl": "teacher as soft targets alone",
    "both": "teacher as start and soft targets",
}
READING = {
    "-no-ocr": ("no OCR head", ("loss.ocr=0",)),
    "-no-ctc": ("no CTC head's loss", ("loss.ctc=0",)),
}

Values = Mapping[str, Sequence[Mapping[str, float]]]  # variant -> what was measured, once for each seed


class Measure(NamedTuple):
    """One column: what it is called in a measurement, and how it is shown."""

    key: str
    scale: float
    digits: int


PICTURES = TEXTS = Measure("bleu", 1, 1)
DRAWN = {
    "BLEU of the pictures": PICTURES,
    "CER against own text, %": Measure("own_cer", 100, 1),
    "SSIM": Measure("ssim", 1, 3),
    "token cross-entropy, nats": Measure("image_cross_entropy", 1, 3),
    "token accuracy, %": Measure("image_accuracy", 100, 1),
}
READ = {"reading accuracy (CTC), %": Measure("ctc_accuracy", 100, 1), "BLEU of the text": TEXTS}
UNKNOWN = {  # variant -> what its measurements cannot say
    "unlabelled": ("own_cer", "text_bleu"),  # its text decoder is untrained
    "translating-no-ctc": ("ctc_accuracy",),  # so is its head
}
PARTS = {  # what is taken away -> (variant, control, measure); of these the verdict speaks
    "the target text": ("alone", "full", PICTURES),
    "the teacher": ("no_teacher", "full", PICTURES),
    "the gate (a sum instead)": ("sum", "full", PICTURES),
    "the gate (one map instead)": ("concat", "full", PICTURES),
    "the OCR head": ("translating-no-ocr", "translating", TEXTS),
    "the CTC head's loss": ("translating-no-ctc", "translating", TEXTS),
}


class Group(NamedTuple):
    """Variants of one budget under one heading, against a control."""

    title: str
    control: str
    variants: Mapping[str, str]  # name -> how the report calls it
    measures: Mapping[str, Measure]
    text: str


GROUPS = (
    Group(
        "Drawing", "full", DRAWING, DRAWN,
        "What reads and translates is that of the shipped `tiny`, frozen, so that all write the same texts. Token "
        "cross-entropy and accuracy are those of the gold page's image tokens under teacher forcing; most of them are "
        "blank paper. Those that do not start from the teacher begin their drawing from nothing, so that they say "
        "what its start is worth at this budget, not in the end.",
    ),
    Group(
        "Reading", "translating", {f"translating{suffix}": label for suffix, (label, _) in READING.items()}, READ,
        "The image encoder has learnt to read from nothing; now it learns to translate with the text mode of `tiny`. A "
        "part that is left out is left out of both. Nothing is drawn; BLEU is that of the text answers. A CTC head "
        "without its loss reads nothing.",
    ),
    Group(
        "Without text labels", "full", {"unlabelled": "no labels"}, DRAWN,
        "Pairs of pictures alone, from nothing, with the shipped tokenizer.",
    ),
)  # fmt: skip


def body(experiment: Experiment) -> None:
    """Train the variants, measure them and write the report."""
    variants = all_variants(experiment)
    experiment.train(list(variants.values()))
    values = collected(measured(experiment, variants))
    report = experiment.report("What each part contributes", verdict(values))
    report.text(
        f"Mean and standard deviation over {len(experiment.seeds)} seeds of each control, one of the others, on "
        f"the first {experiment.limited(LIMIT)} validation captions, rendered as the training pages are. *Inside the "
        "spread*: a difference no larger than what the control shows between its own seeds. One that lies just outside "
        "is weak evidence, for the variant's own spread is not known."
    )
    for group in GROUPS:
        report.section(group.title, f"{group.text} {budget([variants[name] for name in group.variants])}")
        report.table(
            ["variant", *group.measures], rows(values, {group.control: "control", **group.variants}, group.measures)
        )
        report.text("Less the control:")
        report.table(["variant", *group.measures], differences(values, group.variants, group.control, group.measures))
    bars = {variant: {"pictures": taken(values, variant, PICTURES)} for variant in ("full", *DRAWING)}
    bars["own text"] = {"pictures": taken(values, "full", Measure("text_bleu", 1, 1))}
    report.figure(bar_plot(experiment.picture("drawing.png"), bars, "BLEU"), "BLEU of the pictures, and of the texts")
    curves = {name: curve(variants[name].run, "image") for name in (f"full-seed{experiment.seeds[0]}", *DRAWING)}
    plot = line_plot(experiment.picture("losses.png"), curves, "step", "cross-entropy of image tokens, nats")
    report.figure(plot, "Training: cross-entropy of the image tokens")
    finish(report)


# --- variants and their measurements ----------------------------------------------------------------------------------


def all_variants(experiment: Experiment) -> dict[str, Step]:
    """Every variant by its name, with its variations and seeds."""
    steps = experiment.variants
    reader, translating = steps["reader"], steps["translating"]
    variants: list[Step] = []
    for seed in experiment.seeds:
        variants += [seeded(steps["full"], seed), seeded(reader, seed), seeded(translating, seed, also=[reader])]
    variants += [steps[name] for name in (*DRAWING, "unlabelled")]
    for suffix, (_, settings) in READING.items():
        variants += [varied(reader, suffix, *settings), varied(translating, suffix, *settings, also=[reader])]
    return {step.name: step for step in variants}


def measured(experiment: Experiment, variants: Mapping[str, Step]) -> dict[str, dict[str, float]]:
    """Variant -> figures of its pictures and tokens, or of its texts; those that only lead to another are left out."""
    readings = str(experiment.folder / "readings")
    common = (experiment.data, experiment.limited(LIMIT))
    tasks: dict[str, list[tuple[Any, ...]]] = {}
    for name, step in variants.items():
        if name.startswith("translating"):
            tasks[name] = [(step.run, f"{name}-texts", scores.reader, *common)]
        elif not name.startswith("reader"):
            tasks[name] = [(step.run, f"{name}-pictures", scores.pictures, *common, readings)]
            tasks[name].append((step.run, f"{name}-tokens", scores.tokens, *common))
    every = [task for of_variant in tasks.values() for task in of_variant]
    experiment.measure(every[:1])  # OCR of the reference pages, which the others then find
    found = experiment.measure(every)
    return {
        name: {k: v for task in of_variant for k, v in found[task[1]].items()} for name, of_variant in tasks.items()
    }


def collected(found: Mapping[str, Mapping[str, float]]) -> dict[str, list[dict[str, float]]]:
    """The figures with the seeds of a control together under its name, without those that mean nothing."""
    values: dict[str, list[dict[str, float]]] = {}
    for name, figures in found.items():
        variant = name.partition("-seed")[0]
        known = {key: value for key, value in figures.items() if key not in UNKNOWN.get(variant, ())}
        values.setdefault(variant, []).append(known)
    return values


# --- numbers ----------------------------------------------------------------------------------------------------------


def taken(values: Values, variant: str, measure: Measure) -> list[float]:
    """What a variant's seeds have reached; empty where it cannot be said."""
    return [measure.scale * one[measure.key] for one in values[variant] if measure.key in one]


def compared(values: Values, variant: str, control: str, measure: Measure) -> Difference:
    """A variant less its control."""
    return difference(taken(values, variant, measure), taken(values, control, measure))


def rows(values: Values, variants: Mapping[str, str], measures: Mapping[str, Measure]) -> list[list[Cell]]:
    """One row for each variant under its name in the report."""

    def shown(variant: str, measure: Measure) -> str | None:
        found = taken(values, variant, measure)
        return mean_and_spread(found, measure.digits) if found else None

    return [[label, *(shown(variant, measure) for measure in measures.values())] for variant, label in variants.items()]


def differences(
    values: Values, variants: Mapping[str, str], control: str, measures: Mapping[str, Measure]
) -> list[list[Cell]]:
    """The same less the control, marked where the difference lies inside the spread."""

    def shown(variant: str, measure: Measure) -> str | None:
        if not taken(values, variant, measure):
            return None
        return compared(values, variant, control, measure).shown(measure.digits)

    return [[label, *(shown(variant, measure) for measure in measures.values())] for variant, label in variants.items()]


def verdict(values: Values) -> str:
    """The first sentences, from the figures alone: without which parts the result is worse than by another seed."""
    needed: list[str] = []
    others: list[str] = []
    for part, (variant, control, measure) in PARTS.items():
        delta, inside = compared(values, variant, control, measure)
        (needed if delta < 0 and not inside else others).append(f"{part} ({delta:+.1f})")
    worse = f"BLEU falls by more than another seed changes it without {', '.join(needed)}"
    not_worse = f"it does not without {', '.join(others)}"
    if not others:
        first = f"Reproduced: every part is needed; {worse}."
    elif needed:
        first = f"Partly: {worse}; {not_worse}."
    else:
        first = f"Not reproduced: no part is needed; {not_worse.replace('it does', 'BLEU does', 1)}."
    bleu = mean_and_spread(taken(values, "unlabelled", PICTURES))
    return f"{first} From parallel pictures alone, without any text, the pictures reach BLEU {bleu}."


def budget(steps: Sequence[Step]) -> str:
    """What a group of variants was given."""
    sizes = sorted({(step.config.trainer.steps, step.config.trainer.batch_size) for step in steps})
    told = " or ".join(f"{count:,} steps of {batch} pages" for count, batch in sizes)
    variants = f"{len(steps)} variants, each" if len(steps) > 1 else "One variant"
    return f"{variants} of {told}; {cpu_seconds(steps) / len(steps):,.0f} CPU-seconds on average."


if __name__ == "__main__":
    sys.exit(run("ablations", __doc__, body))
