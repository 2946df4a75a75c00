"""Does one model that is trained as a whole lose less to errors of reading than cascades of the same reader?

Reader, translator and drawer are trained on together from the shipped weights: with the reader frozen, at a low rate,
and with a soft bridge between reading and translating. Each variant is compared with cascades around its own weights,
on plain paper and on pages that are so hard to read that the shipped reader errs in 2 to 10 % of the letters.
"""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import comparison
from experiments.comparison import END_TO_END, LEVEL, MAIN, RESAMPLES
from experiments.harness import Experiment, finish, run
from experiments.variants import seeded
from translatotron_v.errors import UserError
from translatotron_v.evaluation.report import Cell, Page, listed, mean_and_spread, write_whole

CONTROL = "frozen"
RENDER, TIT, DRAW = "cascade-reader-render", "cascade-tit-render", "cascade-reader-draw"
CLEAN, HARD = "clean", "hard"
LEAST, WANTED, MOST = 0.02, 0.05, 0.10  # errors of reading on hard pages, a share of the letters
STRENGTHS = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)  # of degradation that are tried, on pages of validation
TRIED, PAGES = 60, 200  # pages for each of them, and pages of each test set
CLOSE = 0.5  # BLEU that the model may stay behind typesetting on plain paper


@dataclass
class Results:
    """What was measured.

    Attributes:
        scores: set -> run (variant and seed) -> system -> what `comparison.score` returns.
        against: set -> run -> system -> p, in BLEU, of the system against the end-to-end model of the same weights.
        against_control: set -> run -> p of its end-to-end model against that of the control under the same seed.
        errors: of the shipped reader by strength of degradation, on pages of validation.
        strength: the one that was chosen.
    """

    scores: dict[str, dict[str, dict[str, Any]]]
    against: dict[str, dict[str, dict[str, float]]]
    against_control: dict[str, dict[str, float]]
    errors: dict[float, float]
    strength: float

    def bleu(self, name: str, variant: str, system: str = END_TO_END) -> list[float]:
        """BLEU of a system's pictures on a set, seed by seed."""
        runs = self.scores[name]
        return [float(runs[one][system]["scores"]["bleu"]) for one in runs if variant_of(one) == variant]

    @property
    def variants(self) -> list[str]:
        """Names, in the order of the recipe."""
        return list(dict.fromkeys(map(variant_of, self.scores[CLEAN])))

    @property
    def cascades(self) -> list[str]:
        """Those that were measured."""
        return [system for system in next(iter(self.scores[CLEAN].values())) if system != END_TO_END]


def variant_of(name: str) -> str:
    """The variant of a run such as ``soft-seed2``."""
    return name.partition("-seed")[0]


def body(experiment: Experiment) -> None:
    """Train the variants, choose how hard pages are to be, measure, and write the report."""
    steps = [seeded(step, seed) for step in experiment.variants.values() for seed in experiment.seeds]
    experiment.train(steps)
    for step in steps:
        make_whole(step.run)
    finish(page(experiment, measured(experiment, {step.name: step.run for step in steps})))


def make_whole(run: Path) -> None:
    """Let a finished run translate whole pages: the shipped separator goes beside its weights, as an export has it."""
    from translatotron_v.checkpoint import resolve
    from translatotron_v.inference.loaded import MATTING

    place = resolve(run) / MATTING
    if not place.is_file():
        write_whole(place, (MAIN / MATTING).read_bytes())


# --- measurements -----------------------------------------------------------------------------------------------------


def measured(experiment: Experiment, runs: Mapping[str, Path]) -> Results:
    """All measurements; what is there already is not repeated."""
    tried = experiment.limited(TRIED)
    found = experiment.measure(
        [(MAIN, f"errors-{strength:g}", reading_errors, experiment.data, tried, strength) for strength in STRENGTHS]
    )
    errors = {strength: float(found[f"errors-{strength:g}"]) for strength in STRENGTHS}
    strength = nearest(errors) if experiment.quick else chosen(errors)
    clean = comparison.SETS["clean"]
    looks: dict[str, dict[str, Any]] = {CLEAN: clean, HARD: {**clean, "degraded": strength}}
    systems: dict[str, Path | None] = {END_TO_END: None, RENDER: None, TIT: None} | drawing_cascade()
    split = next(iter(experiment.variants.values())).config.data.test
    limit = experiment.limited(PAGES)
    values = experiment.measure(
        [
            (
                [weights, weights if own is None else own],
                f"{name}-{one}-{system}",
                comparison.score,
                system,
                look,
                experiment.data,
                split,
                limit,
                str(experiment.folder / "pages" / name / one),
            )
            for name, look in looks.items()
            for one, weights in runs.items()
            for system, own in systems.items()
        ]
    )
    scores = {
        name: {one: {system: values[f"{name}-{one}-{system}"] for system in systems} for one in runs} for name in looks
    }
    against = {
        name: {one: {system: p["bleu"] for system, p in comparison.significance(of_run).items()}
               for one, of_run in of_set.items()}
        for name, of_set in scores.items()
    }  # fmt: skip
    return Results(scores, against, {name: to_control(of_set) for name, of_set in scores.items()}, errors, strength)


def reading_errors(main: Path, data: str, limit: int, strength: float) -> float:
    """The share of letters that a reader gets wrong on degraded pages of validation, as whole pages are read.

    Args:
        main: weights that translate whole pages.
        data, limit: the corpus, and how many of its pairs.
        strength: of the degradation.
    """
    from translatotron_v.baselines import baseline
    from translatotron_v.evaluation.generation import to_image
    from translatotron_v.evaluation.rendering import TestPages, render_split
    from translatotron_v.inference.pipeline import Translator
    from translatotron_v.metrics import cer

    translator = Translator.from_pretrained(main, device="cpu", threads=1, baseline=baseline(RENDER))
    config = translator.loaded.config
    config.data.folder = data
    pages = render_split(
        config, config.data.validation, limit, test_pages=TestPages(**comparison.SETS["clean"], degraded=strength)
    )
    there = [one for one in pages if one.source_page is not None]
    if not there:
        raise UserError(f"{data}: none of {len(pages)} pairs of {config.data.validation!r} fits its page")
    answers = translator.translate([to_image(one.source_page) for one in there], batch_size=comparison.BATCH, beams=1)
    return cer([answer.source_text for answer in answers], [one.source for one in there]).value


def nearest(errors: Mapping[float, float]) -> float:
    """The strength at which a reader errs most nearly as often as is wanted."""
    return min(errors, key=lambda strength: abs(errors[strength] - WANTED))


def chosen(errors: Mapping[float, float]) -> float:
    """The same.

    Raises:
        UserError: it errs too rarely there, or too often, for anything to show.
    """
    strength = nearest(errors)
    if not LEAST <= errors[strength] <= MOST:
        found = ", ".join(f"{one:g}: {100 * error:.1f} %" for one, error in errors.items())
        raise UserError(
            f"no strength of degradation lets the reader err in {100 * LEAST:.0f} to {100 * MOST:.0f} % of the letters "
            f"({found}); change STRENGTHS in experiments/joint.py"
        )
    return strength


def drawing_cascade() -> dict[str, Path | None]:
    """The cascade that draws by a text-to-image model, with its run; none where that is not trained."""
    from translatotron_v.baselines import TEXT_TO_IMAGE
    from translatotron_v.checkpoint import INFO_FILE

    return {DRAW: Path(TEXT_TO_IMAGE)} if (Path(TEXT_TO_IMAGE) / "final" / INFO_FILE).is_file() else {}


def to_control(of_set: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Run -> p of its end-to-end model, in BLEU, against that of the control under the same seed."""
    found = {}
    for one, systems in of_set.items():
        if variant_of(one) != CONTROL:
            control = of_set[f"{CONTROL}{one.removeprefix(variant_of(one))}"]
            pair = {END_TO_END: control[END_TO_END], one: systems[END_TO_END]}
            found[one] = comparison.significance(pair)[one]["bleu"]
    return found


# --- the page ---------------------------------------------------------------------------------------------------------


def verdict(results: Results) -> str:
    """The first sentence, from the figures alone.

    The claim: trained as a whole, the model beats every cascade of its own reader on hard pages, in BLEU and with
    p < .05 under every seed, and stays within half a point of typesetting on plain paper.
    """
    variant = best(results)
    leads = {system: lead(results, HARD, variant, system) for system in results.cascades}
    won = [system for system in leads if beats(results, variant, system)]
    behind = -lead(results, CLEAN, variant, RENDER)
    control = statistics.fmean(results.bleu(HARD, variant)) - statistics.fmean(results.bleu(HARD, CONTROL))
    gaps = ", ".join(f"{gap:+.1f} BLEU to {name}" for name, gap in leads.items())
    figures = (
        f"on hard pages the variant `{variant}` is {gaps}"
        f" and {control:+.1f} to the frozen reader, on plain paper {-behind:+.1f} to {RENDER}"
    )
    word = ("Not reproduced", "Partly", "Reproduced")[(len(won) == len(leads)) + (behind <= CLOSE)]
    return f"{word}: {figures}; beaten with p < .05 under every seed: {', '.join(won) or 'none'}."


def best(results: Results) -> str:
    """The variant, other than the control, that does best on hard pages."""
    others = [variant for variant in results.variants if variant != CONTROL]
    return max(others, key=lambda variant: statistics.fmean(results.bleu(HARD, variant)))


def lead(results: Results, name: str, variant: str, system: str) -> float:
    """BLEU of the end-to-end model less that of a cascade of the same weights, mean over the seeds."""
    return statistics.fmean(results.bleu(name, variant)) - statistics.fmean(results.bleu(name, variant, system))


def beats(results: Results, variant: str, system: str) -> bool:
    """Whether the end-to-end model beats a cascade on hard pages under every seed, each time with p < .05."""
    pairs = zip(results.bleu(HARD, variant), results.bleu(HARD, variant, system), strict=True)
    tested = [results.against[HARD][one][system] for one in results.scores[HARD] if variant_of(one) == variant]
    return all(own > other for own, other in pairs) and all(p < LEVEL for p in tested)


def page(experiment: Experiment, results: Results) -> Page:
    """The report, not yet written."""
    made = experiment.report("One model, trained as a whole", verdict(results))
    made.text(EXPLAINED)
    made.section("How hard the pages are")
    made.text(
        "Errors of the shipped reader on pages of validation, by strength of degradation (`--degraded`): "
        + ", ".join(f"{strength:g}: {100 * error:.1f} %" for strength, error in results.errors.items())
        + f". The hard set has strength {results.strength:g}."
    )
    titles = {CLEAN: "DejaVu Sans on plain paper", HARD: "the same pages, degraded"}
    for name, title in titles.items():
        made.section(f"Set “{name}”: {title}")
        made.table(*rows(results, name))
    signatures = next(iter(next(iter(results.scores[CLEAN].values())).values()))["signatures"]
    made.section("Signatures", listed(f"{name}: `{signature}`" for name, signature in signatures.items()))
    return made


def rows(results: Results, name: str) -> tuple[list[str], list[list[Cell]]]:
    """Header and rows of a set: mean and standard deviation over the seeds, and p of each of them."""
    header = ["variant", "system", "BLEU", "p to end-to-end", "p to the frozen reader", "BLEU of the text"]
    table: list[list[Cell]] = []
    for variant in results.variants:
        runs = [one for one in results.scores[name] if variant_of(one) == variant]
        for system in (END_TO_END, *results.cascades):
            own = system == END_TO_END
            compared = [] if own else [results.against[name][one][system] for one in runs]
            control = [results.against_control[name][one] for one in runs] if own and variant != CONTROL else []
            text = [float(results.scores[name][one][system]["scores"]["text_bleu"]) for one in runs]
            table.append(
                [variant, system, mean_and_spread(results.bleu(name, variant, system)), tested(compared),
                 tested(control), mean_and_spread(text)]
            )  # fmt: skip
    return header, table


def tested(values: Sequence[float]) -> str:
    """p, seed by seed."""
    return ", ".join(f"{p:.3f}" for p in values)


EXPLAINED = f"""\
All variants start from the shipped `small` and take the same steps of the same pages. *frozen*: the reader stays as it
is. *joint*: image encoder and CTC head learn too, at a tenth of the rate and with the CTC loss. *soft*: the same, with
`model.reading=soft`: the text encoder gets expected embeddings of what each piece may have been, and its gradient
reaches the CTC head. The cascades of a variant are built around its own weights: *reader*: its CTC reader's text,
translated in text mode; *tit*: its image to text; *render*: typeset in the nearest font; *draw*: drawn by our
text-to-image model. Mean and standard deviation over the seeds; p: paired bootstrap resampling (Koehn 2004),
{RESAMPLES:,} resamples, by sacrebleu, seed by seed. BLEU: the pictures, read by rapidocr, against the references."""


if __name__ == "__main__":
    sys.exit(run("joint", __doc__, body))
