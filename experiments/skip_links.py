"""Do skip links help a reader, and does it help to detach the shallow ones? (arXiv 2603.20020, with R-Probe)

An image encoder learns from nothing to read (CTC), while its states are translated and transcribed by a trained text
model: without fusion, with shallow and deep blocks fused by concatenation and an MLP from the first step, and with the
same fusion whose shallow links carry no gradient. Several seeds of each at four blocks, and one at eight.
"""

import sys
from pathlib import Path
from typing import Any

from experiments import scores
from experiments.harness import Experiment, finish, run
from experiments.variants import curve, seeded
from translatotron_v.evaluation.plots import line_plot
from translatotron_v.evaluation.report import Difference, difference, mean_and_spread, write_whole
from translatotron_v.training.recipe import Step

STARTS = {"text": "weights/tiny"}
LIMIT, PROBE_PAGES, PROBE_STEPS, GRADIENT_PAGES = 200, 48, 200, 64
VARIANTS = {"none": "no fusion", "fused": "fusion", "detached": "fusion, shallow links detached"}
DEEP = "_deep"  # the same with eight blocks
PAIRS = (("fused", "none"), ("detached", "none"), ("detached", "fused"))
MEASURES = {  # name in the report -> (decimals, whether more is better)
    "BLEU": (1, True),
    "reading accuracy (CTC), %": (2, True),
    "reading accuracy (text decoder), %": (2, True),
    "probe MSE": (4, False),
    "probe PSNR, dB": (2, True),
    "probe SSIM": (3, True),
    "probe CER": (3, False),
}
JUDGED = ("BLEU", "reading accuracy (CTC), %", "reading accuracy (text decoder), %", "probe MSE")


def body(experiment: Experiment) -> None:
    """Train the seeds of each variant, probe them and write the report."""
    seeds = experiment.seeds
    variants: dict[tuple[str, int], Step] = {}
    for name in VARIANTS:
        variants |= {(name, seed): seeded(experiment.variants[name], seed) for seed in seeds}
        variants[name + DEEP, seeds[0]] = seeded(experiment.variants[name + DEEP], seeds[0])
    experiment.train(list(variants.values()))
    measured = experiment.measure([task for key, step in variants.items() for task in tasks_of(experiment, *key, step)])
    values = {name: [row(measured, f"{name}-{seed}") for seed in seeds] for name in VARIANTS}
    deep = {name: [row(measured, f"{name}{DEEP}-{seeds[0]}")] for name in VARIANTS}
    found = f"{verdict(values)} {deep_verdict(deep)} {interference(measured, seeds)}"
    report = experiment.report("Skip links, live and detached, and what R-Probe sees", found)
    limit, pages = experiment.limited(LIMIT), experiment.limited(PROBE_PAGES)
    ceiling = measured[f"none-{seeds[0]}-probe"]["cer_ceiling"]
    report.text(
        f"Mean and standard deviation over {len(seeds)} seeds, on validation pages. BLEU of the text answers "
        "and reading "
        f"accuracy, of the CTC head and of the text decoder under the OCR tag, on {limit} captions; R-Probe on {pages} "
        f"pages, OCR ceiling (CER of the pages themselves) {ceiling:.3f}."
    )
    report.table(["measure", *VARIANTS.values()], table_of(values))
    report.text(
        "Differences of the means; *inside the spread* if no larger than what one variant shows between its seeds:"
    )
    report.table(
        ["measure", *(f"{one} less {other}" for one, other in PAIRS)],
        [
            [name, *(compared(values, name, *pair).shown(digits) for pair in PAIRS)]
            for name, (digits, _) in MEASURES.items()
        ],
    )
    report.section("Eight blocks", "One seed, so that differences are held against the spread above.")
    report.table(["measure", *VARIANTS.values()], table_of(deep))
    report.section("Gradients of the blocks", GRADIENTS)
    for suffix, of_seeds in (("", seeds), (DEEP, seeds[:1])):
        report.table(["gradient", *VARIANTS.values()], gradient_rows(measured, suffix, of_seeds))
    curves = {
        f"{name}, {blocks} blocks": curve(variants[key, seeds[0]].run, "loss")
        for short, name in VARIANTS.items()
        for key, blocks in ((short, 4), (short + DEEP, 8))
    }
    report.figure(
        line_plot(experiment.picture("losses.png"), curves, "step", "training loss"),
        f"Training loss of all variants, seed {seeds[0]}",
    )
    report.section("What the probe draws")
    for name, title in VARIANTS.items():
        place = experiment.picture(f"probe-{name}.png")
        write_whole(place, (experiment.folder / "probes" / f"{name}-{seeds[0]}" / "pages.png").read_bytes())
        report.figure(place, f"R-Probe, {title}: pages, each above its reconstruction")
    report.section("Set-up", SET_UP)
    finish(report)


def tasks_of(experiment: Experiment, variant: str, seed: int, step: Step) -> list[tuple[Any, ...]]:
    """What is measured of a run."""
    name, limit = f"{variant}-{seed}", experiment.limited(LIMIT)
    probes, pages = str(experiment.folder / "probes" / name), experiment.limited(PROBE_PAGES)
    gradient_pages = experiment.limited(GRADIENT_PAGES)
    return [
        (step.run, f"{name}-texts", scores.reader, experiment.data, limit),
        (step.run, f"{name}-ocr", scores.texts, experiment.data, "ocr", "", limit),
        (step.run, f"{name}-probe", probe, experiment.data, probes, experiment.limited(PROBE_STEPS), pages, seed),
        (step.run, f"{name}-before", gradients, experiment.data, gradient_pages, True),
        (step.run, f"{name}-after", gradients, experiment.data, gradient_pages, False),
    ]


def row(measured: dict[str, Any], name: str) -> dict[str, float]:
    """What one run is judged by."""
    probed = measured[f"{name}-probe"]
    return {
        "BLEU": measured[f"{name}-texts"]["bleu"],
        "reading accuracy (CTC), %": 100 * measured[f"{name}-texts"]["ctc_accuracy"],
        "reading accuracy (text decoder), %": 100 * measured[f"{name}-ocr"]["ocr_accuracy"],
        **{f"probe {key}": probed[key.split(",")[0].lower()] for key in ("MSE", "PSNR, dB", "SSIM", "CER")},
    }


def table_of(values: dict[str, list[dict[str, float]]]) -> list[list[str]]:
    """A row for each measure."""
    return [
        [name, *(mean_and_spread([one[name] for one in values[variant]], digits) for variant in VARIANTS)]
        for name, (digits, _) in MEASURES.items()
    ]


def gradient_rows(measured: dict[str, Any], suffix: str, seeds: list[int]) -> list[list[str]]:
    """A row for each share and each cosine of each block, before and after training."""
    found = {
        (variant, when): [measured[f"{variant}{suffix}-{seed}-{when}"] for seed in seeds]
        for variant in VARIANTS
        for when in ("before", "after")
    }
    keys = sorted({key for of in found.values() for key in of[0]}, key=lambda key: (key[:5] == "confl", key))
    names = {"share": "share of the link of block", "conflict": "cosine of reading and meaning at block"}
    return [
        [
            f"{names[key.partition('_')[0]]} {key.partition('_')[2]}, {when} training",
            *(
                mean_and_spread([one[key] for one in found[variant, when]], 3) if key in found[variant, when][0] else ""
                for variant in VARIANTS
            ),
        ]
        for key in keys
        if key.partition("_")[0] in names
        for when in ("before", "after")
    ]


def probe(weights: Path, data: str, folder: str, steps: int, pages: int, seed: int) -> dict[str, float]:
    """R-Probe of a checkpoint; its pictures stay in the folder."""
    from translatotron_v.evaluation.r_probe import probe_checkpoint

    return probe_checkpoint(weights, Path(folder), data=data, steps=steps, limit=pages, seed=seed, quiet=True).scores


def gradients(weights: Path, data: str, pages: int, begun: bool) -> dict[str, float]:
    """Gradients at the blocks of the image encoder, with the weights of the end or those that training began with."""
    from translatotron_v.evaluation.link_gradients import link_gradients

    return link_gradients(weights, data, pages, begun)


def compared(values: dict[str, list[dict[str, float]]], name: str, variant: str, baseline: str) -> Difference:
    """Two variants by one measure."""
    return difference([one[name] for one in values[variant]], [one[name] for one in values[baseline]])


def verdict(values: dict[str, list[dict[str, float]]]) -> str:
    """The first sentence, from the figures alone."""

    def outcome(variant: str, baseline: str, name: str) -> int:
        delta, inside = compared(values, name, variant, baseline)
        return 0 if inside else (1 if (delta > 0) == MEASURES[name][1] else -1)

    fused, detached, between = ([outcome(*pair, name) for name in JUDGED] for pair in PAIRS)
    words = {1: "better", 0: "inside the spread", -1: "worse"}
    told = "; ".join(
        f"{label}: " + ", ".join(f"{name} {words[result]}" for name, result in zip(JUDGED, results, strict=True))
        for label, results in (
            ("fusion against none", fused),
            ("detached against none", detached),
            ("detached against live", between),
        )
    )
    if min(fused) >= 0 and max(fused) > 0 and min(between) >= 0 and max(between) > 0:
        return f"Reproduced: fusion helps and detaching the shallow links helps more ({told})."
    if max(*fused, *detached, *between) > 0:
        return f"Partly: {told}."
    return f"Not reproduced: {told}."


def deep_verdict(deep: dict[str, list[dict[str, float]]]) -> str:
    """What eight blocks read, from the figures alone."""
    name = "reading accuracy (CTC), %"
    read = ", ".join(f"{title} {deep[variant][0][name]:.1f} %" for variant, title in VARIANTS.items())
    return f"With eight blocks, of which one seed says little, the CTC head reads: {read}."


def interference(measured: dict[str, Any], seeds: list[int]) -> str:
    """Whether reading and translating pull blocks apart, which detaching is to end."""
    lowest = min(
        value
        for suffix, own in (("", seeds), (DEEP, seeds[:1]))
        for seed in own
        for key, value in measured[f"fused{suffix}-{seed}-after"].items()
        if key.startswith("conflict")
    )
    if lowest > 0:
        return (
            "After training with live links reading and translating pull every block the same way (cosine "
            f"{lowest:.2f} or more), so there is no interference that detaching could end."
        )
    return f"Reading and translating pull some block apart (lowest cosine {lowest:.2f})."


GRADIENTS = f"""\
Of the loss, with respect to the states after each block, on {GRADIENT_PAGES} validation pages (`evaluate.py
link-gradients`). The share of a link is what comes through it along the whole gradient, <g_link, g> / <g, g>: what
detaching it takes away. The cosine is that between what the losses that read (CTC, transcription) send to a block and
what the translation's sends: below zero, they pull it apart. Before training: the weights that the run began with."""
SET_UP = """\
- The image encoder (convolutional stem, four or eight blocks), its links and the CTC head begin from nothing; the
  text model, and the connector into it, are the shipped `tiny`'s. CTC, transcription by the text decoder and
  translation are learnt together for 600 steps of 24 pages, all modules live; the rate falls to zero.
- Fusion: z = norm(MLP([h4; h1; h3])) in place of the final states, for both decoders and the CTC head; of eight
  blocks, [h8; h1; h2; h6]. Detached: no gradient through the links of block 1 (of eight: 1 and 2). No parameter more
  or less.
- R-Probe: the first layer of the text decoder and a linear map, trained for 200 steps of 16 training pages on the
  frozen states; the same for all variants."""


if __name__ == "__main__":
    sys.exit(run("skip_links", __doc__, body, starts=STARTS))
