"""What does each part contribute? Parts of the tiny model taken away or replaced, against three seeds of the whole.

Four groups, each with one budget and a control of its own: what draws (behind frozen reading and translating parts, so
that all arms write the same texts), what reads, the image tokenizer, and training without text labels. Figures are
taken on validation captions.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments import scores
from experiments.arms import cpu_seconds, curve, seeded, varied
from experiments.harness import Experiment, finish, run
from translatotron_v.evaluation.report import Cell, Difference, Page, bar_plot, difference, line_plot, mean_and_spread
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
LONG = "no_teacher_long"  # the one arm of that group with another budget
READING = {
    "-no-ocr": ("no OCR head", ("loss.ocr=0",)),
    "-no-ctc": ("no CTC head's loss", ("loss.ctc=0",)),
}
TOKENIZERS = {
    "-256": ("256 codes", ("model.tokenizer.codes=256",)),
    "-1024": ("1,024 codes", ("model.tokenizer.codes=1024",)),
    "-4096": ("4,096 codes", ("model.tokenizer.codes=4096",)),
    "-quarter": ("1,024 codes, a quarter of the steps", ("trainer.steps=50",)),
}

Values = Mapping[str, Sequence[Mapping[str, float]]]  # arm -> what was measured, once for each seed


class Measure(NamedTuple):
    """One column: what it is called in a measurement, and how it is shown."""

    key: str
    scale: float
    digits: int


PICTURES, CROSS_ENTROPY, TEXTS = Measure("bleu", 1, 1), Measure("image_cross_entropy", 1, 3), Measure("bleu", 1, 1)
DRAWN = {
    "BLEU of the pictures": PICTURES,
    "CER against own text, %": Measure("own_cer", 100, 1),
    "SSIM": Measure("ssim", 1, 3),
    "token cross-entropy, nats": CROSS_ENTROPY,
    "token accuracy, %": Measure("image_accuracy", 100, 1),
}
READ = {"reading accuracy (CTC), %": Measure("ctc_accuracy", 100, 1), "BLEU of the text": TEXTS}
TOKENIZED = {"tokenizer CER, %": Measure("tokenizer_cer", 100, 1), **dict(list(DRAWN.items())[:3])}
UNKNOWN = {  # arm -> what its measurements cannot say
    "unlabelled": ("own_cer", "text_bleu"),  # its text decoder is untrained
    "translating-no-ctc": ("ctc_accuracy",),  # so is its head
}
PARTS = {  # what is taken away -> (arm, control, measure); of these the verdict speaks
    "the target text": ("alone", "full", PICTURES),
    "the teacher": ("no_teacher", "full", PICTURES),
    "the gate (a sum instead)": ("sum", "full", PICTURES),
    "the gate (one map instead)": ("concat", "full", PICTURES),
    "the OCR head": ("translating-no-ocr", "translating", TEXTS),
    "the CTC head's loss": ("translating-no-ctc", "translating", TEXTS),
}


def body(experiment: Experiment) -> None:
    """Train the arms, measure them and write the report."""
    arms = all_arms(experiment)
    experiment.train(list(arms.values()))
    values = collected(measured(experiment, arms))
    report = experiment.report("What each part contributes", verdict(values))
    report.text(
        f"Mean and standard deviation over {len(experiment.seeds)} seeds of each control, one of each other arm, on "
        f"the first {experiment.limited(LIMIT)} validation captions, rendered as the training pages are. *Inside the "
        "spread*: a difference no larger than what the control shows between its own seeds. One that lies just outside "
        "is weak evidence, for the arm's own spread is not known."
    )
    report_drawing(report, experiment, arms, values)
    report_reading(report, arms, values)
    report_tokenizers(report, arms, values)
    report.section("Without text labels", f"Pairs of pictures alone, from nothing. {budget([arms['unlabelled']])}")
    report.table(["arm", *DRAWN], rows(values, {"full": "full model", "unlabelled": "no labels"}, DRAWN))
    finish(report)


# --- arms and their measurements --------------------------------------------------------------------------------------


def all_arms(experiment: Experiment) -> dict[str, Step]:
    """Every arm by its name, variants and seeds included."""
    steps = experiment.arms
    reader, translating, tokenizer = steps["reader"], steps["translating"], steps["tokenizer"]
    arms: list[Step] = []
    for seed in experiment.seeds:
        arms += [seeded(steps["full"], seed), seeded(reader, seed), seeded(translating, seed, also=[reader])]
    arms += [steps[name] for name in (*DRAWING, "unlabelled")]
    for suffix, (_, settings) in READING.items():
        arms += [varied(reader, suffix, *settings), varied(translating, suffix, *settings, also=[reader])]
    for suffix, (_, settings) in TOKENIZERS.items():
        own = [setting for setting in settings if setting.startswith("model.")]
        arms += [varied(tokenizer, suffix, *settings), varied(steps["codes"], suffix, *own, also=[tokenizer])]
    return {step.name: step for step in arms}


def measured(experiment: Experiment, arms: Mapping[str, Step]) -> dict[str, dict[str, float]]:
    """Arm -> figures of its pictures and tokens, or of its texts; those that only lead to another arm are left out."""
    readings = str(experiment.folder / "readings")
    common = (experiment.data, experiment.limited(LIMIT))
    tasks: dict[str, list[tuple[Any, ...]]] = {}
    for name, step in arms.items():
        if name.startswith("translating"):
            tasks[name] = [(step.run, f"{name}-texts", scores.reader, *common)]
        elif not name.startswith(("reader", "tokenizer")):
            tasks[name] = [(step.run, f"{name}-pictures", scores.pictures, *common, readings)]
            if not name.startswith("codes"):  # tokens of another tokenizer do not compare
                tasks[name].append((step.run, f"{name}-tokens", scores.tokens, *common))
    every = [task for of_arm in tasks.values() for task in of_arm]
    experiment.measure(every[:1])  # OCR of the reference pages, which the others then find
    found = experiment.measure(every)
    return {name: {k: v for task in of_arm for k, v in found[task[1]].items()} for name, of_arm in tasks.items()}


def collected(found: Mapping[str, Mapping[str, float]]) -> dict[str, list[dict[str, float]]]:
    """The figures with the seeds of a control together under its name, without those that mean nothing."""
    values: dict[str, list[dict[str, float]]] = {}
    for name, figures in found.items():
        arm = name.partition("-seed")[0]
        known = {key: value for key, value in figures.items() if key not in UNKNOWN.get(arm, ())}
        values.setdefault(arm, []).append(known)
    return values


# --- numbers ----------------------------------------------------------------------------------------------------------


def taken(values: Values, arm: str, measure: Measure) -> list[float]:
    """What an arm's seeds have reached; empty where it cannot be said."""
    return [measure.scale * one[measure.key] for one in values[arm] if measure.key in one]


def reached(values: Values, arm: str, measure: Measure) -> str | None:
    """The same as a cell."""
    found = taken(values, arm, measure)
    return mean_and_spread(found, measure.digits) if found else None


def compared(values: Values, arm: str, control: str, measure: Measure) -> Difference:
    """An arm less its control."""
    return difference(taken(values, arm, measure), taken(values, control, measure))


def rows(values: Values, arms: Mapping[str, str], measures: Mapping[str, Measure]) -> list[list[Cell]]:
    """One row for each arm under its name in the report."""
    return [[label, *(reached(values, arm, measure) for measure in measures.values())] for arm, label in arms.items()]


def differences(
    values: Values, arms: Mapping[str, str], control: str, measures: Mapping[str, Measure]
) -> list[list[Cell]]:
    """The same less the control, marked where the difference lies inside the spread."""

    def shown(arm: str, measure: Measure) -> str | None:
        if not taken(values, arm, measure):
            return None
        return compared(values, arm, control, measure).shown(measure.digits)

    return [[label, *(shown(arm, measure) for measure in measures.values())] for arm, label in arms.items()]


def verdict(values: Values) -> str:
    """The first sentences, from the figures alone: without which parts the result is worse than by another seed."""
    needed: list[str] = []
    others: list[str] = []
    for part, (arm, control, measure) in PARTS.items():
        delta, inside = compared(values, arm, control, measure)
        (needed if delta < 0 and not inside else others).append(f"{part} ({delta:+.1f})")
    worse = f"BLEU falls by more than another seed changes it without {', '.join(needed)}"
    not_worse = f"it does not without {', '.join(others)}"
    if not others:
        first = f"Reproduced: every part is needed; {worse}."
    elif needed:
        first = f"Partly: {worse}; {not_worse}."
    else:
        first = f"Not reproduced: no part is needed; {not_worse.replace('it does', 'BLEU does', 1)}."
    bleu = reached(values, "unlabelled", PICTURES)
    return f"{first} From parallel pictures alone, without any text, the pictures reach BLEU {bleu}."


def budget(steps: Sequence[Step]) -> str:
    """What a group of arms was given."""
    sizes = sorted({(step.config.trainer.steps, step.config.trainer.batch_size) for step in steps})
    told = " or ".join(f"{count:,} steps of {batch} pages" for count, batch in sizes)
    arms = f"{len(steps)} arms, each" if len(steps) > 1 else "One arm"
    return f"{arms} of {told}; {cpu_seconds(steps) / len(steps):,.0f} CPU-seconds on average."


# --- the groups of the report -----------------------------------------------------------------------------------------


def report_drawing(report: Page, experiment: Experiment, arms: Mapping[str, Step], values: Values) -> None:
    """Gate, target text, teacher."""
    controls = [arms[f"full-seed{seed}"] for seed in experiment.seeds]
    report.section("Drawing")
    report.text(
        f"{budget([*controls, *(arms[name] for name in DRAWING if name != LONG)])} One arm more "
        f"({DRAWING[LONG]}) has {arms[LONG].config.trainer.steps:,} steps. What reads and translates is that of the "
        f"shipped `tiny`, frozen. {texts_line(values)} Token cross-entropy and accuracy are those of the gold page's "
        "image tokens under teacher forcing; most of them are blank paper. The arms that do not start from the teacher "
        "begin their drawing from nothing, so that they say what its start is worth at this budget, not in the end."
    )
    names = {"full": "full model: gate, teacher as start", **DRAWING}
    costs = [cpu_seconds(controls) / len(controls), *(cpu_seconds([arms[name]]) for name in DRAWING)]
    figures = [[*row, round(cost)] for row, cost in zip(rows(values, names, DRAWN), costs, strict=True)]
    report.table(["arm", *DRAWN, "CPU-s"], figures)
    report.text("Less the full model:")
    report.table(["arm", *DRAWN], differences(values, DRAWING, "full", DRAWN))
    bars = {arm: {"pictures": taken(values, arm, PICTURES)} for arm in names}
    bars["own text"] = {"pictures": taken(values, "full", Measure("text_bleu", 1, 1))}
    report.figure(bar_plot(experiment.picture("drawing.png"), bars, "BLEU"), "BLEU of the pictures, and of the texts")
    curves = {"full": curve(controls[0].run, "image"), **{name: curve(arms[name].run, "image") for name in DRAWING}}
    plot = line_plot(experiment.picture("losses.png"), curves, "step", "cross-entropy of image tokens, nats")
    report.figure(plot, "Training: cross-entropy of the image tokens")


def texts_line(values: Values) -> str:
    """Whether all arms that draw have written the same, and what that is worth."""
    texts = sorted({round(figures["text_bleu"], 6) for arm in ("full", *DRAWING) for figures in values[arm]})
    ceiling = max(figures["bleu_ceiling"] for figures in values["full"])
    if len(texts) == 1:
        told = f"All arms write the same texts, whose BLEU of {texts[0]:.1f} bounds that of the pictures"
    else:
        told = f"The arms' texts differ (BLEU {texts[0]:.1f} to {texts[-1]:.1f}), though nothing of them was trained"
    return f"{told}; OCR reads the reference pages at {ceiling:.1f}."


def report_reading(report: Page, arms: Mapping[str, Step], values: Values) -> None:
    """OCR head and CTC head."""
    names = {f"translating{suffix}": label for suffix, (label, _) in READING.items()}
    readers, others = ([arms[name] for name in arms if name.startswith(kind)] for kind in ("reader", "translating"))
    report.section("Reading")
    report.text(
        f"The image encoder learns to read from nothing: {budget(readers)} Then it learns to translate, with the text "
        f"mode of `tiny`: {budget(others)} A part that is left out is left out of both. Nothing is drawn; BLEU is that "
        "of the text answers. A CTC head without its loss reads nothing."
    )
    report.table(["arm", *READ], rows(values, {"translating": "CTC head and OCR head", **names}, READ))
    report.text("Less the arm with both:")
    report.table(["arm", *READ], differences(values, names, "translating", READ))


def report_tokenizers(report: Page, arms: Mapping[str, Step], values: Values) -> None:
    """Codes and quality of the tokenizer against the pictures drawn with it."""
    names = {f"codes{suffix}": label for suffix, (label, _) in TOKENIZERS.items()}
    report.section("The image tokenizer")
    report.text(
        f"Tokenizers: {budget([arms[f'tokenizer{suffix}'] for suffix in TOKENIZERS])} With each the full model, whose "
        f"image decoder begins its tables of codes anew: {budget([arms[name] for name in names])} Tokenizer CER is "
        "what OCR gets wrong on reconstructed reference pages. The decoders have not learnt their new tables in so few "
        "steps: their pictures say how hard tokens are to learn more than how good they are."
    )
    report.table(["tokenizer", *TOKENIZED], rows(values, names, TOKENIZED))
    report.table(["tokenizer", *TOKENIZED], rows(values, {"full": "shipped, decoder's tables kept"}, TOKENIZED))


if __name__ == "__main__":
    sys.exit(run("ablations", __doc__, body))
