"""Which of the four methods improve the shipped model together?

The shipped `tiny`, continued for as many steps with each method alone and with all of them: self-distillation,
text-only batches, skip links; the control goes on as it was trained. BLEU of the text answers on validation pages;
nothing is drawn. SSR is left out: the text decoder of `tiny` cannot transcribe, and its own experiment says what SSR
does to BLEU.
"""

import sys

from experiments import scores
from experiments.harness import Experiment, finish, run
from translatotron_v.evaluation.report import bar_plot

ARMS = {
    "control": "control: more of the same",
    "self": "self-distillation, by token",
    "text": "text-only batches, 25 %",
    "skip": "skip links 1 and 3, 1 detached",
    "all": "all three",
}
CLEAR = 0.3  # BLEU over about a thousand captions that another order of the batches may change


def body(experiment: Experiment) -> None:
    """Train the arms, measure them and write the report."""
    experiment.train()
    limit = experiment.limited(2000)  # all of them
    weights = {"shipped": "weights/tiny", **{arm: experiment.arms[arm].run for arm in ARMS}}
    measured = experiment.measure(
        [
            (place, f"{arm}-{mode}", scores.texts, experiment.data, mode, "", limit)
            for arm, place in weights.items()
            for mode in ("image", "text")
        ]
    )
    names = {"shipped": "shipped, not continued", **ARMS}
    bleu = {arm: measured[f"{arm}-image"]["bleu"] for arm in names}
    report = experiment.report("The methods on the shipped model", verdict(bleu))
    report.text(
        "All validation captions; those that do not fit the page count as empty answers. One seed, 200 steps of 24. "
        "The control's loss has a KL to text mode along the gold translation (`loss.text_distillation`), as the recipe "
        "of the shipped weights; self-distillation takes its place."
    )
    report.table(
        ["arm", "BLEU, image mode", "less control", "BLEU, text mode"],
        [
            [
                name,
                bleu[arm],
                None if arm in ("shipped", "control") else f"{bleu[arm] - bleu['control']:+.2f}",
                measured[f"{arm}-text"]["bleu"],
            ]
            for arm, name in names.items()
        ],
    )
    bars = {arm: {"BLEU, image mode": bleu[arm]} for arm in names}
    report.figure(bar_plot(experiment.picture("arms.png"), bars, "BLEU"), "BLEU of each arm")
    finish(report)


def verdict(bleu: dict[str, float]) -> str:
    """The first sentence, from the figures alone."""
    gains = {arm: bleu[arm] - bleu["control"] for arm in list(ARMS)[1:]}
    helping = [f"{ARMS[arm]} ({gain:+.2f} BLEU)" for arm, gain in gains.items() if gain > CLEAR]
    others = [f"{ARMS[arm]} ({gain:+.2f})" for arm, gain in gains.items() if gain <= CLEAR]
    start = f"The shipped weights have {bleu['shipped']:.2f} BLEU, as many steps of the same {bleu['control']:.2f}."
    if not helping:
        return f"Not reproduced: none of them helps beyond more steps of the same. {start} {', '.join(others)}."
    kind = "Partly" if others else "Reproduced"
    rest = f" Not beyond {CLEAR}: {', '.join(others)}." if others else ""
    return f"{kind}: these help beyond more steps of the same: {', '.join(helping)}.{rest} {start}"


if __name__ == "__main__":
    sys.exit(run("combined", __doc__, body))
