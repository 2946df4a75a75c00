"""What does each part contribute? Every part of the tiny model taken away or replaced, against three seeds of the whole.

Four groups, each with one budget and a control of its own: what draws (behind frozen reading and translating parts, so
that all arms write the same texts), what reads, the image tokenizer, and training without text labels. Figures are
taken on validation captions.
"""

import sys
from pathlib import Path

from experiments import pseudo_text, scores
from experiments.arms import varied
from experiments.harness import Experiment, run, seeded
from translatotron_v.training.recipe import Step

LIMIT = 200  # captions that pictures and texts are scored on
LABELLED = 6000  # pages that our own OCR labels
DRAWING = {
    "sum": "no gate: sum",
    "concat": "no gate: one map over both",
    "alone": "no target text for the image decoder",
    "no_teacher": "no teacher",
    "kl": "teacher as soft targets alone",
    "both": "teacher as start and soft targets",
}
READING = {
    "-no-ocr": ("no OCR head", ("loss.ocr=0",)),
    "-no-ctc": ("no CTC head's loss", ("loss.ctc=0",)),
    "-neither": ("neither", ("loss.ocr=0", "loss.ctc=0")),
}
TOKENIZERS = {
    "-256": ("256 codes", ("model.tokenizer.codes=256",)),
    "-1024": ("1,024 codes", ("model.tokenizer.codes=1024",)),
    "-4096": ("4,096 codes", ("model.tokenizer.codes=4096",)),
    "-half": ("1,024 codes, half the steps", ("trainer.steps=100",)),
    "-quarter": ("1,024 codes, a quarter of the steps", ("trainer.steps=50",)),
}


def main() -> int:
    """Run the experiment from the command line."""
    return run("ablations", __doc__, body)


def body(experiment: Experiment) -> None:
    """Train the arms, measure them and write the report."""
    arms = all_arms(experiment)
    experiment.train(list(arms.values()))


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


if __name__ == "__main__":
    sys.exit(main())
