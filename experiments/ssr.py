"""Does self-review keep the OCR that fine-tuning on translation makes a reader forget? (SSR, arXiv 2507.08309)

A start that transcribes German pages is fine-tuned to translate other pages into French, a language it has never seen:
by plain fine-tuning on the translation (SFT), and by SSR on its own transcript and then the translation. Then both once
more with a tenth of the translations. OCR accuracy is that of the text decoder prompted with the OCR tag.
"""

import sys
from pathlib import Path

from experiments import scores
from experiments.harness import Experiment, finish, run
from translatotron_v.evaluation.plots import bar_plot

LIMIT = 400  # validation captions
VARIANTS = {  # name of the variant -> how the report calls it
    "start": "start",
    "sft": "SFT",
    "ssr": "SSR",
    "ssr_long": "SSR, twice the steps",
    "sft_tenth": "SFT, a tenth",
    "ssr_tenth": "SSR, a tenth",
}
KEPT, LOST, NOISE = 0.9, 0.5, 1.0  # shares of the start's accuracy; BLEU that another seed may change


def body(experiment: Experiment) -> None:
    """Train the variants, measure them and write the report."""
    experiment.train()
    limit = experiment.limited(LIMIT)
    measured = experiment.measure(
        [
            (experiment.variants["start"].run, "floor", accuracy_of_translations, experiment.data, limit),
            *(
                (experiment.variants[variant].run, f"{variant}-{mode}", scores.texts, experiment.data, mode, "", limit)
                for variant in VARIANTS
                for mode in ("ocr", "image")
            ),
        ]
    )
    ocr = {variant: 100 * measured[f"{variant}-ocr"]["ocr_accuracy"] for variant in VARIANTS}
    image = {variant: measured[f"{variant}-image"] for variant in VARIANTS}
    bleu = {variant: values["bleu"] for variant, values in image.items()}
    report = experiment.report("Self-review and the reading (SSR)", verdict(ocr, bleu))
    report.text(
        f"Character accuracy (1 - CER) and BLEU of the text answers on the first {limit} validation captions, rendered "
        "as the training pages are; one seed. The accuracy is that of the text decoder prompted with the OCR tag, not "
        "of the CTC head. *In the answer* is the transcript that an SSR model writes before its translation."
    )
    rows = [
        [
            name,
            ocr[variant],
            100 * image[variant]["transcript_accuracy"] if "transcript_accuracy" in image[variant] else None,
            bleu[variant],
        ]
        for variant, name in VARIANTS.items()
    ]
    report.table(
        ["variant", "OCR accuracy, %", "in the answer, %", "BLEU, image mode"],
        [*rows, ["the references, taken for transcripts", 100 * measured["floor"], None, None]],
        digits=1,
    )
    bars = {
        name: {"OCR accuracy, %": ocr[variant], "BLEU, image mode": bleu[variant]} for variant, name in VARIANTS.items()
    }
    report.figure(
        bar_plot(experiment.picture("accuracy.png"), bars, "% and BLEU", "Before and after fine-tuning"),
        "OCR accuracy and BLEU of each variant",
    )
    report.section("Set-up", SET_UP)
    finish(report)


def accuracy_of_translations(folder: Path, data: str, limit: int) -> float:
    """What a reader gets who writes the right translation instead of the source: the floor of the accuracy."""
    from translatotron_v.config import load_config
    from translatotron_v.data.pairs import read_split
    from translatotron_v.metrics import cer

    config = load_config(folder / "config.yaml", [f"data.folder={data}"])
    pairs = read_split(config, config.data.validation)[:limit]
    return max(0.0, 1 - cer([pair.target for pair in pairs], [pair.source for pair in pairs]).value)


def verdict(ocr: dict[str, float], bleu: dict[str, float]) -> str:
    """The first sentence, from the figures alone."""
    forgets = ocr["sft"] < LOST * ocr["start"]
    keeps = ocr["ssr"] >= KEPT * ocr["start"]
    translates = bleu["ssr"] >= bleu["sft"] - NOISE
    figures = (
        f"OCR accuracy is {ocr['start']:.1f} % before, {ocr['sft']:.1f} % after SFT and {ocr['ssr']:.1f} % after SSR; "
        f"BLEU is {bleu['sft']:.1f} with SFT and {bleu['ssr']:.1f} with SSR. With a tenth of the translations: "
        f"{ocr['sft_tenth']:.1f} % and {ocr['ssr_tenth']:.1f} %, BLEU {bleu['sft_tenth']:.1f} and "
        f"{bleu['ssr_tenth']:.1f}. SSR with twice the steps: {ocr['ssr_long']:.1f} %, BLEU {bleu['ssr_long']:.1f}."
    )
    if forgets and keeps and translates:
        return f"Reproduced: plain fine-tuning forgets to read, self-review does not and translates as well. {figures}"
    if forgets and ocr["ssr"] > ocr["sft"]:
        cost = "" if translates else ", at a cost in BLEU"
        kept = "keeps the reading" if keeps else "keeps more of the reading"
        return f"Partly: plain fine-tuning forgets to read and self-review {kept}{cost}. {figures}"
    return f"Not reproduced: {figures}"


SET_UP = """\
- The start has the layers of the shipped `tiny` and a vocabulary of German and French; pieces that both vocabularies
  know keep their embeddings. It took 450 steps on the transcription of 21,000 pages. It has seen no French, so the
  low-resource case is one. The image encoder, tiny's, is frozen throughout.
- Every variant takes 300 steps of 32 of the other 8,000 pages, but for the one with twice as many. In the low-resource
  case SFT sees the 800 pages that have a translation, SSR the other 7,200 as well: one batch in four has pages with
  their transcript alone.
- The transcripts are the start's own, errors included, written once and cached."""


if __name__ == "__main__":
    sys.exit(run("ssr", __doc__, body))
