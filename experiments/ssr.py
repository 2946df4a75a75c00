"""Does self-review keep the OCR that fine-tuning on translation makes a reader forget? (SSR, arXiv 2507.08309)

What the broad reader reads goes through the broad text mode, whose text decoder first learns to transcribe it. It is
then fine-tuned to translate other pages into English: by plain fine-tuning (SFT), and by SSR on its own transcript and
then the translation; for the same CPU-seconds with several seeds, until neither's own validation gets better, and with
a tenth of the translations. Three more ways of SSR: a transcript that weighs little, answers of both kinds, and a
start that translates already. OCR accuracy is that of the text decoder prompted with the OCR tag.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from experiments import scores
from experiments.harness import Experiment, finish, run
from experiments.measurements import Task
from experiments.variants import seeded, taken
from translatotron_v.evaluation.plots import bar_plot
from translatotron_v.evaluation.report import mean_and_spread
from translatotron_v.training.recipe import Step

STARTS = {"text": "runs/small/text2", "reader": "runs/small/reader"}
LIMIT = 400  # captions of the test split: validation ends the runs
VARIANTS = {  # name of the variant -> how the report calls it
    "start": "start",
    "both": "start with both tags",
    "sft": "SFT",
    "ssr": "SSR",
    "sft_converged": "SFT, converged",
    "ssr_converged": "SSR, converged",
    "sft_tenth": "SFT, a tenth",
    "ssr_tenth": "SSR, a tenth",
    "ssr_soft": "SSR, transcript weighs 0.1",
    "ssr_dropped": "SSR, half without transcript",
    "ssr_both": "SSR, from the start with both tags",
}
MAIN = ("sft", "ssr", "ssr_dropped")  # those that are trained with several seeds
ALONE = "alone"  # the last of them, asked for the translation alone
READS, KEPT, LOST = 95.0, 2.0, 20.0  # %: what a start must read, how much SSR may lose, how much SFT must


def body(experiment: Experiment) -> None:
    """Train the variants, measure them and write the report."""
    others = experiment.seeds[1:]
    more = {name: [seeded(experiment.variants[name], seed) for seed in others] for name in MAIN}
    experiment.train([*experiment.variants.values(), *(step for steps in more.values() for step in steps)])
    limit, split = experiment.limited(LIMIT), experiment.variants["sft"].config.data.test
    steps = {name: [experiment.variants[name], *more.get(name, [])] for name in VARIANTS}
    asked = [(step, mode) for of in steps.values() for step in of for mode in ("ocr", "image")]
    tasks: list[Task] = [
        (step.run, f"{step.run.name}-{mode}", scores.texts, experiment.data, mode, "", limit, split)
        for step, mode in asked
    ]
    tasks += [
        (step.run, f"{step.run.name}-{ALONE}", scores.texts, experiment.data, "image", "", limit, split, True)
        for step in steps["ssr_dropped"]
    ]
    start = experiment.variants["start"].run
    tasks.append((start, "floor", accuracy_of_translations, experiment.data, limit, split))
    measured = experiment.measure(tasks)
    ocr = {name: [100 * measured[f"{step.run.name}-ocr"]["ocr_accuracy"] for step in of] for name, of in steps.items()}
    image = {name: [measured[f"{step.run.name}-image"] for step in of] for name, of in steps.items()}
    bleu = {name: [found["bleu"] for found in of] for name, of in image.items()}
    ocr[ALONE] = ocr["ssr_dropped"]
    bleu[ALONE] = [measured[f"{step.run.name}-{ALONE}"]["bleu"] for step in steps["ssr_dropped"]]
    report = experiment.report("Self-review and the reading (SSR)", verdict(ocr, bleu))
    report.text(
        f"Character accuracy (1 - CER) and BLEU of the text answers on the first {limit} captions of `{split}`, "
        "rendered as the training pages are; mean and standard deviation where there are several seeds "
        f"({len(experiment.seeds)} of SFT, SSR and SSR with half of the answers without transcript). The accuracy is "
        "that of the text decoder prompted with the OCR tag, not of the CTC head. *In the answer* is the transcript "
        "that an SSR model writes before its translation. Steps and CPU-seconds are those of the training loop, "
        "evaluations included."
    )
    report.table(
        ["variant", "OCR accuracy, %", "in the answer, %", "BLEU, image mode", "steps", "CPU-seconds"],
        [
            [
                name,
                shown(ocr[key]),
                answer(image[key]),
                shown(bleu[key]),
                *(f"{value:,.0f}" for value in cost(steps[key])),
            ]
            for key, name in VARIANTS.items()
        ]
        + [[f"{VARIANTS['ssr_dropped']}, asked for the translation alone", "", "", shown(bleu[ALONE]), "", ""]]
        + [["the references, taken for transcripts", f"{100 * measured['floor']:.1f}", "", "", "", ""]],
    )
    bars = {
        name: {"OCR accuracy, %": fmean(ocr[key]), "BLEU, image mode": fmean(bleu[key])}
        for key, name in VARIANTS.items()
    }
    report.figure(
        bar_plot(experiment.picture("accuracy.png"), bars, "% and BLEU", "Before and after fine-tuning"),
        "OCR accuracy and BLEU of each variant",
    )
    report.section("Set-up", SET_UP)
    finish(report)


def accuracy_of_translations(folder: Path, data: str, limit: int, split: str) -> float:
    """What a reader gets who writes the right translation instead of the source: the floor of the accuracy."""
    from translatotron_v.config import load_config
    from translatotron_v.data.pairs import read_split
    from translatotron_v.metrics import cer

    config = load_config(folder / "config.yaml", [f"data.folder={data}"])
    pairs = read_split(config, split)[:limit]
    return max(0.0, 1 - cer([pair.target for pair in pairs], [pair.source for pair in pairs]).value)


def cost(steps: Sequence[Step]) -> tuple[float, float]:
    """Steps and CPU seconds of the loop, means over the seeds."""
    found = [taken(step) for step in steps]
    return fmean(count for count, _ in found), fmean(seconds for _, seconds in found)


def shown(values: Sequence[float]) -> str:
    """A value, or the mean and spread of several."""
    return mean_and_spread(list(values), 1) if len(values) > 1 else f"{values[0]:.1f}"


def answer(found: Sequence[Mapping[str, float]]) -> str:
    """The accuracy of the transcripts in the answers, where there are any."""
    written = [100 * one["transcript_accuracy"] for one in found if "transcript_accuracy" in one]
    return shown(written) if written else ""


def verdict(ocr: Mapping[str, Sequence[float]], bleu: Mapping[str, Sequence[float]]) -> str:
    """The first sentence, from the figures alone: the main pair, the pair that has converged, answers of both kinds."""

    def holds(sft: str, ssr: str) -> tuple[bool, bool, bool]:
        """Whether SFT forgets, SSR keeps, and SSR translates no worse beyond what another seed changes."""
        translates = fmean(bleu[ssr]) >= fmean(bleu[sft]) - spread
        return fmean(ocr[sft]) < before - LOST, fmean(ocr[ssr]) >= before - KEPT, translates

    def told(sft: str, ssr: str) -> str:
        accuracy = f"OCR accuracy {fmean(ocr[sft]):.1f} % after SFT and {fmean(ocr[ssr]):.1f} % after SSR"
        return f"{accuracy}, BLEU {fmean(bleu[sft]):.1f} and {fmean(bleu[ssr]):.1f}"

    before = fmean(ocr["start"])
    spread = max(max(bleu[name]) - min(bleu[name]) for name in ("sft", "ssr"))  # between seeds of the same variant
    figures = (
        f"The start reads {before:.1f} %. At equal CPU-seconds: {told('sft', 'ssr')}. Converged: "
        f"{told('sft_converged', 'ssr_converged')}. With a tenth of the translations: "
        f"{told('sft_tenth', 'ssr_tenth')}. Half of the answers without transcript, and asked for the translation "
        f"alone: {told('sft', ALONE)}."
    )
    if before < READS:
        return f"Not tested: the start reads less than {READS:.0f} % of the characters. {figures}"
    main, converged, alone = (
        holds(*pair) for pair in (("sft", "ssr"), ("sft_converged", "ssr_converged"), ("sft", ALONE))
    )
    if all(main):
        return f"Reproduced: plain fine-tuning forgets to read, self-review does not and translates as well. {figures}"
    if all(converged):
        return f"Reproduced: once both have converged, what plain fine-tuning forgets self-review keeps. {figures}"
    if all(alone):
        return (
            "Reproduced: where half of the answers are learnt without transcript and the translation alone is asked "
            f"for; with a transcript in every answer it costs BLEU. {figures}"
        )
    forgets, keeps, translates = main
    if forgets and fmean(ocr["ssr"]) > fmean(ocr["sft"]):
        kept = "keeps the reading" if keeps else "keeps more of the reading"
        price = "" if translates else ", at a cost in BLEU"
        return f"Partly: plain fine-tuning forgets to read and self-review {kept}{price}. {figures}"
    return f"Not reproduced: {figures}"


SET_UP = """\
- What reads is the broad reader of `small` (frozen throughout), what writes is its broad text mode, joined as in
  `small`: the text encoder gets what the CTC head reads (`model.connector=read`). So forgetting is the text decoder's
  alone. Given the reader's states instead (`states`), it still transcribed with 20.6 % of the characters wrong after
  2,514 CPU-seconds. Pages are strips in one face.
- The start learns to transcribe 21,000 pages, until its own validation gets no better; the others learn to translate
  the 8,000 other pages of the corpus.
- Equal CPU-seconds are those of the loop, without its evaluations but the last: an answer of SSR is twice as long, so
  it takes fewer steps. Transcripts are the start's own, errors included, written once before and cached; that pass is
  not in the figures of the loop.
- Converged: the rate is constant, a run ends after three evaluations (BLEU of 128 validation captions) without a
  gain, and the weights of the best one count.
- In the low-resource case SFT sees the 800 pages that have a translation, SSR the other 7,200 as well: one batch in
  four has pages with their transcript alone."""


if __name__ == "__main__":
    sys.exit(run("ssr", __doc__, body, starts=STARTS))
