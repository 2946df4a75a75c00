"""Does a share of text-only batches keep a reader from answering in the wrong language? (arXiv 2503.22577)

Broad text mode learns German into English, French, Czech and Romanian; image mode of the broad model is then tuned on
German pages into English alone, with 0, 10, 25 and 50 % text-only batches. The image model is asked for all four
languages. Merging the tuned weights with the text-only start is the alternative. The corpus needs a file for each
language: `python -m experiments.pivot` makes one out of the broad corpora.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from experiments import scores
from experiments.harness import Experiment, finish, run
from experiments.measurements import Task
from translatotron_v.evaluation.plots import line_plot

STARTS = {"text": "runs/small/text2", "reader": "runs/small/reader"}
LIMIT = 160  # validation sentences
SHARES = {"none": 0, "text_10": 10, "text_25": 25, "text_50": 50}  # variant -> % of batches
WEIGHTS = (0.2, 0.3, 0.5, 0.7)  # of the text-only start, linear
TIES_WEIGHTS = (0.5, 1.0)  # of the tuned weights' task vector
CLEAR = 10.0  # percent points of LF that are more than chance


def body(experiment: Experiment) -> None:
    """Train the variants, merge, measure and write the report."""
    experiment.train()
    limit = experiment.limited(LIMIT)
    languages = experiment.variants["none"].config.data.text_languages  # that of the tuning first
    start, tuned = experiment.variants["text"].run, experiment.variants["none"].run
    tasks: list[Task] = [
        (experiment.variants[variant].run, f"{variant}-{mode}", by_language, experiment.data, mode, limit, languages)
        for variant in SHARES
        for mode in ("image", "text")
    ]
    merges = [("linear", weight) for weight in WEIGHTS] + [("ties", weight) for weight in TIES_WEIGHTS]
    tasks += [
        ([tuned, start], f"{method}-{weight}", merged, experiment.data, method, weight, limit, languages)
        for method, weight in merges
    ]
    measured = experiment.measure(tasks)
    image = {variant: measured[f"{variant}-image"] for variant in SHARES}
    report = experiment.report("Text-only batches against the wrong language", verdict(image, languages))
    report.text(
        f"The first {limit} German validation sentences as pictures, asked for in {len(languages)} languages; image "
        "mode was tuned on German to English alone. LF: share of answers in the language asked for. LF+: in "
        "it, and sentence chrF of "
        "40 or more. One seed."
    )
    report.section("A share of text-only batches")
    report.table(
        header("text-only, %", languages),
        [row(str(share), image[variant], languages) for variant, share in SHARES.items()],
        digits=1,
    )
    report.text("The same models in text mode:")
    report.table(
        header("text-only, %", languages),
        [row(str(share), measured[f"{variant}-text"], languages) for variant, share in SHARES.items()],
        digits=1,
    )
    fidelity = {
        f"{name} {language}": (list(SHARES.values()), [image[variant][language][key] for variant in SHARES])
        for name, key in (("LF", "lf"), ("BLEU", "bleu"))
        for language in languages
    }
    plot = line_plot(experiment.picture("shares.png"), fidelity, "text-only batches, %", "% and BLEU", "Image mode")
    report.figure(plot, "LF and BLEU by the share of text-only batches")
    report.section("Merging instead")
    report.text(
        "`translatotron-v merge`: the model tuned without text, joined with the text-only start. Linear: W is the "
        "weight of the start, 0 is the tuned model. TIES: the tuned model's task vector against the start, trimmed to "
        "a fifth, times W."
    )
    report.table(
        header("method and W", languages),
        [row("none", image["none"], languages)]
        + [row(f"{method} {weight}", measured[f"{method}-{weight}"], languages) for method, weight in merges],
        digits=1,
    )
    report.section("Set-up", SET_UP)
    finish(report)


def merged(
    tuned: Path, start: Path, data: str, method: str, weight: float, limit: int, languages: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Scores in all languages of a merged model; the model itself is not kept."""
    from translatotron_v.training.merging import merge_checkpoints

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "merged"
        merge_checkpoints(tuned, start, out, method, weight, base=start if method == "ties" else None)
        return by_language(out, data, "image", limit, languages)


def by_language(
    folder: Path, data: str, mode: str, limit: int, languages: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Scores of a model in each language."""
    return {language: scores.texts(folder, data, mode, language, limit) for language in languages}


def row(name: str, found: dict[str, dict[str, float]], languages: Sequence[str]) -> list[str | float]:
    """One row of the tables."""
    return [name, *(found[language][key] for key in ("lf", "lf_plus", "bleu") for language in languages)]


def header(first: str, languages: Sequence[str]) -> list[str]:
    """Of the tables."""
    return [first, *(f"{name} {language}" for name in ("LF", "LF+", "BLEU") for language in languages)]


def foreign(found: dict[str, dict[str, float]], languages: Sequence[str], key: str = "lf") -> float:
    """Mean over the languages that image mode was not tuned for."""
    return fmean(found[language][key] for language in languages[1:])


def verdict(image: dict[str, dict[str, dict[str, float]]], languages: Sequence[str]) -> str:
    """The first sentence, from the figures alone."""
    without = foreign(image["none"], languages)
    best = max(list(SHARES)[1:], key=lambda variant: foreign(image[variant], languages))
    gained = foreign(image[best], languages) - without
    cost = image["none"]["en"]["bleu"] - image[best]["en"]["bleu"]
    figures = (
        f"LF of {', '.join(languages[1:])} is {without:.1f} % without text-only batches and "
        f"{foreign(image[best], languages):.1f} % with "
        f"{SHARES[best]} %; BLEU of German to English goes from {image['none']['en']['bleu']:.1f} to "
        f"{image[best]['en']['bleu']:.1f}."
    )
    if 100 - without < CLEAR:
        return f"Not reproduced: image tuning in one language hardly loses the others here. {figures}"
    if gained < CLEAR:
        return f"Not reproduced: text-only batches do not bring the languages back. {figures}"
    if cost > 1.0:
        return f"Partly: text-only batches bring the languages back, at a cost in the tuned one. {figures}"
    return f"Reproduced: text-only batches bring the languages back. {figures}"


SET_UP = """\
- Text mode: broad text mode of `small`, which knows German to English, goes on with German into all four languages,
  for 1,000 CPU-seconds. The corpus: strings that programs have in all five languages, joined by their English side
  (`python -m experiments.pivot DATA OUT`), 4 to 16 words.
- Visual tuning: 300 steps of 32, German pages into English. What reads is the broad reader, frozen; the text encoder
  gets what it reads (`model.connector=read`). A text-only batch takes the place of a batch of pages, so that all
  variants take the same number of steps.
- The language identifier is py3langid, choosing among de, en, fr, ro and cs. Sentences that do not fit the page have
  empty answers, which are unfaithful."""


if __name__ == "__main__":
    sys.exit(run("textual_regularization", __doc__, body, starts=STARTS))
