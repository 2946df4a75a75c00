"""What does each part contribute? Parts of the tiny model taken away or replaced, against three seeds of the whole.

Four groups, each with one budget and a control of its own: what draws (behind frozen reading and translating parts, so
that all arms write the same texts), what reads, the image tokenizer, and training without text labels. Figures are
taken on validation captions.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments import coarse_codebook, pseudo_text, scores
from experiments.arms import cpu_seconds, varied
from experiments.harness import Experiment, curve, run, seeded
from experiments.report import Cell, Difference, Report, bar_plot, difference, line_plot, mean_and_spread
from translatotron_v.training.recipe import Step

LIMIT = 150  # captions that pictures and texts are scored on
LABELLED = 6000  # pages that our own OCR labels
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
SHIPPED = "weights/tiny"
MERGED = (512, 448, 384, 256, 128)  # codes that are left of the shipped tokenizer's, whose pictures are drawn as ever
PAPER = {4096: "tokenizer_4096", 8192: "tokenizer", 16384: "tokenizer_16384"}  # codes -> file in configs/paper
SHOWN = {  # on the sheet of pictures
    "full-seed1": "full model",
    "sum": "no gate: sum",
    "alone": "no target text",
    "no_teacher": "no teacher",
    "codes-quarter": "tokenizer, 1/4 steps",
    "unlabelled": "no text labels at all",
}
CAPTIONS = 2  # on the sheet

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


def main() -> int:
    """Run the experiment from the command line."""
    return run("ablations", __doc__, body)


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
    report_tokenizers(report, experiment, arms, values)
    report_labels(report, experiment, arms, values)
    report.section("What it looks like")
    picture = sheet({label: arms[name].run for name, label in SHOWN.items()}, experiment.data, experiment.picture)
    report.figure(picture, "Two validation captions: the source page, what the arms draw, the reference page")
    report.write()
    print(report)


# --- arms and their measurements --------------------------------------------------------------------------------------


def all_arms(experiment: Experiment) -> dict[str, Step]:
    """Every arm by its name, variants and seeds included."""
    steps = experiment.arms
    reader, translating, tokenizer = steps["reader"], steps["translating"], steps["tokenizer"]
    arms: list[Step] = []
    for seed in experiment.seeds:
        first = seeded(reader, seed)
        arms += [seeded(steps["full"], seed), first, seeded(translating, seed, also=[reader])]
    arms += [steps[name] for name in DRAWING]
    for suffix, (_, settings) in READING.items():
        arms += [varied(reader, suffix, *settings), varied(translating, suffix, *settings, also=[reader])]
    for suffix, (_, settings) in TOKENIZERS.items():
        own = [setting for setting in settings if setting.startswith("model.")]
        arms += [varied(tokenizer, suffix, *settings), varied(steps["codes"], suffix, *own, also=[tokenizer])]
    arms.append(steps["unlabelled"])
    labelled = f"data.folder={pseudo_text.prepare(experiment, experiment.limited(LABELLED))}"
    arms += [
        varied(reader, "-pseudo", labelled),
        varied(translating, "-pseudo", labelled, also=[reader]),
        varied(steps["full"], "-pseudo", labelled),
    ]
    return {step.name: step for step in arms}


def measured(experiment: Experiment, arms: Mapping[str, Step]) -> dict[str, dict[str, float]]:
    """Arm -> figures of its pictures and tokens, or of its texts; those that only lead to another arm are left out."""
    limit, readings = experiment.limited(LIMIT), str(experiment.folder / "readings")
    common = (experiment.data, limit)
    tasks: dict[str, list[tuple[Any, ...]]] = {}
    for name, step in arms.items():
        if name.startswith("translating"):
            tasks[name] = [(step.run, f"{name}-texts", scores.reader, *common)]
        elif not name.startswith(("reader", "tokenizer")):
            tasks[name] = [(step.run, f"{name}-pictures", scores.pictures, *common, readings)]
            if not name.startswith("codes"):  # tokens of another tokenizer do not compare
                tasks[name].append((step.run, f"{name}-tokens", scores.tokens, *common))
    for codes in MERGED:
        coarse = coarse_codebook.coarsen(Path(SHIPPED), experiment.folder / "merged" / str(codes), codes)
        tasks[f"merged-{codes}"] = [(coarse, f"merged-{codes}-pictures", scores.pictures, *common, readings)]
    tasks["shipped"] = [(SHIPPED, "shipped-pictures", scores.pictures, *common, readings)]
    every = [task for of_arm in tasks.values() for task in of_arm]
    experiment.measure_all(every[:1])  # OCR of the reference pages, which the others then find
    found = experiment.measure_all(every)
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


def compared(values: Values, arm: str, control: str, measure: Measure) -> Difference:
    """An arm less its control."""
    return difference(taken(values, arm, measure), taken(values, control, measure))


def rows(values: Values, arms: Mapping[str, str], measures: Mapping[str, Measure]) -> list[list[Cell]]:
    """One row for each arm under its name in the report."""
    return [
        [
            label,
            *(mean_and_spread(one, m.digits) if (one := taken(values, arm, m)) else None for m in measures.values()),
        ]
        for arm, label in arms.items()
    ]


def differences(
    values: Values, arms: Mapping[str, str], control: str, measures: Mapping[str, Measure]
) -> list[list[Cell]]:
    """The same less the control, marked where the difference lies inside the spread."""
    return [
        [label, *(shown(values, arm, control, measure) for measure in measures.values())] for arm, label in arms.items()
    ]


def shown(values: Values, arm: str, control: str, measure: Measure) -> str | None:
    """A difference as a cell."""
    if not taken(values, arm, measure):
        return None
    delta, inside = compared(values, arm, control, measure)
    return f"{delta:+.{measure.digits}f}{' (inside the spread)' if inside else ''}"


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
    return f"{first} {labels_line(values)}"


def labels_line(values: Values) -> str:
    """What is left without gold texts."""
    gold, pseudo, none = (mean_and_spread(taken(values, a, PICTURES)) for a in ("full", "full-pseudo", "unlabelled"))
    text, read = (mean_and_spread(taken(values, arm, TEXTS)) for arm in ("translating", "translating-pseudo"))
    return (
        f"With labels by our own OCR the text reaches BLEU {read} (gold labels: {text}) and the pictures {pseudo} "
        f"({gold}); from parallel pictures alone, without any text, the pictures reach {none}."
    )


def budget(steps: Sequence[Step]) -> str:
    """What a group of arms was given."""
    sizes = sorted({(step.config.trainer.steps, step.config.trainer.batch_size) for step in steps})
    told = " or ".join(f"{count:,} steps of {batch} pages" for count, batch in sizes)
    arms = f"{len(steps)} arms, each" if len(steps) > 1 else "One arm"
    return f"{arms} of {told}; {cpu_seconds(steps) / len(steps):,.0f} CPU-seconds on average."


# --- the groups of the report -----------------------------------------------------------------------------------------


def report_drawing(report: Report, experiment: Experiment, arms: Mapping[str, Step], values: Values) -> None:
    """Gate, target text, teacher."""
    controls = [arms[f"full-seed{seed}"] for seed in experiment.seeds]
    report.section("Drawing")
    report.text(
        f"{budget([*controls, *(arms[name] for name in DRAWING if name != LONG)])} One arm more "
        f"({DRAWING[LONG]}) has {arms[LONG].config.trainer.steps:,} steps. What reads and translates is that of the "
        f"shipped `tiny`, frozen. {texts_line(values)} Token cross-entropy and accuracy are those of the gold page's "
        "image tokens under teacher forcing; most of them are blank paper."
    )
    names = {"full": "full model: gate, teacher as start", **DRAWING}
    costs = [cpu_seconds(controls) / len(controls), *(cpu_seconds([arms[name]]) for name in DRAWING)]
    figures = [[*row, round(cost)] for row, cost in zip(rows(values, names, DRAWN), costs, strict=True)]
    report.table(["arm", *DRAWN, "CPU-s"], figures)
    report.text("Less the full model:")
    report.table(["arm", *DRAWN], differences(values, DRAWING, "full", DRAWN))
    report.text(teacher_line(values, controls[0]))
    bars: dict[str, dict[str, float | Sequence[float]]] = {
        arm: {"pictures": taken(values, arm, PICTURES)} for arm in names
    }
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


def teacher_line(values: Values, full: Step) -> str:
    """What the teacher cost, and what its soft targets bring."""
    from translatotron_v.training.checkpoint import read_info, resolve

    info = read_info(resolve(full.config.start["image_decoder"].partition("#")[0]))
    long = mean_and_spread(taken(values, LONG, PICTURES))
    one = {arm: mean_and_spread(taken(values, arm, CROSS_ENTROPY), 3) for arm in ("full", "both", "kl", "no_teacher")}
    return (
        f"The teacher itself took {info['step']:,} steps and {info['cpu_seconds']:,.0f} CPU-seconds, once. The arms "
        "that do not start from it begin their drawing from nothing, so that *no teacher* and *soft targets alone* "
        "say what the start is worth at this budget, not in the end; with the teacher's cost spent on more of the same "
        f"training the pictures reach BLEU {long}. Soft targets bring token cross-entropy from {one['no_teacher']} to "
        f"{one['kl']} where the decoder begins from nothing, and from {one['full']} to "
        f"{one['both']} where it begins as the teacher."
    )


def report_reading(report: Report, arms: Mapping[str, Step], values: Values) -> None:
    """OCR head and CTC head."""
    names = {f"translating{suffix}": label for suffix, (label, _) in READING.items()}
    controls = [step for name, step in arms.items() if name.startswith("translating-seed")]
    readers = [step for name, step in arms.items() if name.startswith("reader") and name != "reader-pseudo"]
    report.section("Reading")
    report.text(
        f"The image encoder learns to read from nothing: {budget(readers)} Then it learns to translate, with the text "
        f"mode of `tiny`: {budget([*controls, *(arms[name] for name in names)])} A part that is left out is left out "
        "of both. Nothing is drawn; BLEU is that of the text answers. A CTC head without its loss reads nothing."
    )
    report.table(["arm", *READ], rows(values, {"translating": "CTC head and OCR head", **names}, READ))
    report.text("Less the arm with both:")
    report.table(["arm", *READ], differences(values, names, "translating", READ))


def report_tokenizers(report: Report, experiment: Experiment, arms: Mapping[str, Step], values: Values) -> None:
    """Codes and quality of the tokenizer against the pictures drawn with it."""
    report.section("The image tokenizer")
    drawers = [arms[f"codes{suffix}"] for suffix in TOKENIZERS]
    report.text(
        f"Tokenizers: {budget([arms[f'tokenizer{suffix}'] for suffix in TOKENIZERS])} With each the full model, whose "
        f"image decoder begins its tables of codes anew: {budget(drawers)} Tokenizer CER is what OCR gets wrong on "
        "reconstructed reference pages. The shipped tokenizer is that of the full model above, whose decoder keeps the "
        "teacher's tables."
    )
    figures = [tokenizer_row(arms[f"tokenizer{suffix}"], values[f"codes{suffix}"][0]) for suffix in TOKENIZERS]
    labels = [label for label, _ in TOKENIZERS.values()]
    table: list[list[Cell]] = [[label, *row] for label, row in zip(labels, figures, strict=True)]
    columns = (Measure("tokenizer_cer", 100, 1), *(DRAWN[name] for name in list(DRAWN)[:3]))
    full = [mean_and_spread(taken(values, "full", measure), measure.digits) for measure in columns]
    table.append(["shipped, decoder's tables kept", None, None, *full])
    report.table(["tokenizer", "steps", "codes in use", "tokenizer CER, %", *list(DRAWN)[:3]], table)
    report.text(tokenizer_line(values))
    report.text(
        "These decoders have not learnt their new tables in so few steps, so that their pictures say how hard tokens "
        "are to learn more than how good they are. The other way round nothing is trained: of the shipped `tiny` the "
        "codes in use are merged to fewer, the most alike first; its image decoder writes the tokens that it has "
        "learnt, and what they look like gets coarser."
    )
    kept = {"shipped": "shipped", **{f"merged-{codes}": f"merged to {codes}" for codes in MERGED}}
    columns = (Measure("tokenizer_cer", 100, 1), *(DRAWN[name] for name in list(DRAWN)[:3]))
    merged: list[list[Cell]] = [
        [label, *(f"{measure.scale * values[arm][0][measure.key]:.{measure.digits}f}" for measure in columns)]
        for arm, label in kept.items()
    ]
    report.table(["codes", "tokenizer CER, %", *list(DRAWN)[:3]], merged)
    report.text(merged_line(values))
    series = tokenizer_series(values)
    plot = line_plot(experiment.picture("tokenizer.png"), series, "tokenizer CER, %", "BLEU of the pictures")
    report.figure(plot, "Pictures against the tokenizer that they are drawn with")
    report.text(paper_line())
    report.table(["configs/paper", "codes", "codebook, M", "image decoder, M"], paper_rows())


def tokenizer_line(values: Values) -> str:
    """What the tokenizer is worth, against what another seed is."""
    figures = sorted((values[f"codes{suffix}"][0] for suffix in TOKENIZERS), key=lambda one: one["tokenizer_cer"])
    best, worst = figures[0], figures[-1]
    seeds = taken(values, "full", PICTURES)
    return (
        f"From the best of these tokenizers (CER {100 * best['tokenizer_cer']:.1f} %) to the worst "
        f"({100 * worst['tokenizer_cer']:.1f} %) BLEU of the pictures changes by {worst['bleu'] - best['bleu']:+.1f}; "
        f"between the seeds of the full model it differs by {max(seeds) - min(seeds):.1f}."
    )


def merged_line(values: Values) -> str:
    """How BLEU of the pictures falls while the tokenizer's CER grows, the drawn tokens being the same."""
    figures = [values[arm][0] for arm in ("shipped", *(f"merged-{codes}" for codes in MERGED))]
    points = sorted((100 * one["tokenizer_cer"], one["bleu"]) for one in figures)
    return f"BLEU of the pictures by the tokenizer's CER: {', '.join(f'{b:.1f} at {c:.1f} %' for c, b in points)}."


def tokenizer_row(tokenizer: Step, figures: Mapping[str, float]) -> list[Cell]:
    """Steps, codes in use, CER and what the pictures reach."""
    from translatotron_v.training.checkpoint import read_info, resolve

    used = read_info(resolve(tokenizer.run))["metrics"].get("codes_used")
    told: list[Cell] = [f"{100 * figures['tokenizer_cer']:.1f}"]
    told += [f"{m.scale * figures[m.key]:.{m.digits}f}" for m in list(DRAWN.values())[:3]]
    return [tokenizer.config.trainer.steps, None if used is None else int(used), *told]


def tokenizer_series(values: Values) -> dict[str, tuple[list[float], list[float]]]:
    """Points of the plot, from the best tokenizer of a series to the worst."""
    groups = {
        "shipped, codes merged; nothing trained": ["shipped", *(f"merged-{codes}" for codes in MERGED)],
        "tables trained anew, 160 steps": [f"codes{suffix}" for suffix in TOKENIZERS],
    }
    series = {}
    for name, arms in groups.items():
        points = sorted((100 * one["tokenizer_cer"], one["bleu"]) for arm in arms for one in values[arm])
        series[name] = [x for x, _ in points], [y for _, y in points]
    return series


def paper_line() -> str:
    """How to ask the same at the paper's size."""
    return (
        "At the paper's size, 4,096, 8,192 and 16,384 codes are `model.tokenizer.codes` of "
        "`configs/paper/tokenizer.yaml`, and of the model behind it; these were not trained here:"
    )


def paper_rows() -> list[list[Cell]]:
    """Sizes of the paper's model with each codebook, in millions, counted without allocating it."""
    from translatotron_v.config import load_config
    from translatotron_v.models.parameters import module_sizes

    table: list[list[Cell]] = []
    for codes, name in PAPER.items():
        config = load_config(Path("configs/paper") / f"{name}.yaml")
        sizes = {row.name: row for row in module_sizes(config)}
        book = config.model.tokenizer.codes * config.model.tokenizer.code_width
        table.append([f"`{name}.yaml`", codes, book / 1e6, sizes["image_decoder"].parameters / 1e6])
    return table


def report_labels(report: Report, experiment: Experiment, arms: Mapping[str, Step], values: Values) -> None:
    """Our own labels, and none."""
    labels = json.loads((experiment.folder / "pseudo" / "labels.json").read_text(encoding="utf-8"))
    wrong = ", ".join(f"{100 * value:.1f} % of the characters of {side} pages" for side, value in labels["cer"].items())
    report.section("Without text labels")
    report.text(
        f"Labels by our own OCR: the CTC head of `tiny` reads {labels['pages']:,} training pages, both sides, and gets "
        f"{wrong} wrong (it has learned to read German ones alone); arms train on these pages and labels. They keep "
        "what they start from: text mode, the frozen parts and the teacher have seen gold text. *No labels* trains "
        "image encoder and image decoder from nothing on pairs of pictures, with the shipped tokenizer, which has "
        f"learned from pictures alone. {budget([arms['unlabelled']])} "
        f"{budget([arms['translating-pseudo'], arms['full-pseudo']])}"
    )
    names = {"translating": "gold labels", "translating-pseudo": "our own labels"}
    report.table(["translating", *READ], rows(values, names, READ))
    names = {"full": "gold labels", "full-pseudo": "our own labels", "unlabelled": "no labels"}
    report.table(["drawing", *DRAWN], rows(values, names, DRAWN))
    told = differences(values, {"translating-pseudo": "translating, our own labels"}, "translating", READ)
    report.text("Less gold labels:")
    report.table(["arm", *READ], told)
    others = {"full-pseudo": "drawing, our own labels", "unlabelled": "drawing, no labels"}
    report.table(["arm", *DRAWN], differences(values, others, "full", DRAWN))


def sheet(runs: Mapping[str, Path], data: str, picture: Any) -> Path:
    """Draw captions with several models: a row for each, between the source pages and the references."""
    from translatotron_v.evaluation.checkpoint import render_split
    from translatotron_v.evaluation.generation import to_image
    from translatotron_v.inference.pictures import contact_sheet, save_picture
    from translatotron_v.inference.pipeline import Translator

    translators = {label: Translator.from_pretrained(place, device="cpu", threads=1) for label, place in runs.items()}
    config = next(iter(translators.values())).loaded.config
    config.data.folder = data
    found = [
        (one.source_page, one.reference_page) for one in render_split(config, config.data.validation, 8 * CAPTIONS)
    ]
    pages = [
        (to_image(source), to_image(target)) for source, target in found if source is not None and target is not None
    ]
    sources, references = zip(*pages[:CAPTIONS], strict=True)
    drawn = {label: [answer.image for answer in one.translate(list(sources))] for label, one in translators.items()}
    width, height = sources[0].size
    table = [
        [_caption(label, width, height), *row]
        for label, row in {"source": sources, **drawn, "reference": references}.items()
    ]
    place = picture("pictures.png")
    save_picture(contact_sheet(table, [""] * (1 + CAPTIONS), width), place)
    return place


def _caption(text: str, width: int, height: int) -> Any:
    """A label as large as a page."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (width, height), (208, 208, 208))
    ImageDraw.Draw(picture).text((4, height // 2), text, fill=(0, 0, 0), font=ImageFont.load_default(18), anchor="lm")
    return picture


if __name__ == "__main__":
    sys.exit(main())
