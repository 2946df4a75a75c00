"""Do skip links help a reader, and does it help to detach the shallow ones? (arXiv 2603.20020, with R-Probe)

One image encoder that has just learned to read joins a trained text model, three times over: without fusion, with a
shallow and a deep block fused, and with the same fusion whose shallow link carries no gradient. Three seeds each.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from experiments import scores
from experiments.harness import Experiment, finish, run
from experiments.variants import curve, seeded
from translatotron_v.evaluation.plots import line_plot
from translatotron_v.evaluation.report import Difference, difference, mean_and_spread, write_whole

LIMIT, PROBE_PAGES, PROBE_STEPS, GRADIENT_BATCHES = 200, 48, 200, 4
VARIANTS = {"none": "no fusion", "fused": "fusion", "detached": "fusion, shallow link detached"}
MEASURES = {  # name in the report -> (decimals, whether more is better)
    "BLEU": (1, True),
    "reading accuracy (CTC), %": (2, True),
    "probe MSE": (4, False),
    "probe PSNR, dB": (2, True),
    "probe SSIM": (3, True),
    "probe CER": (3, False),
}


def body(experiment: Experiment) -> None:
    """Train three seeds of each variant, probe them and write the report."""
    variants = {
        (variant, seed): seeded(experiment.variants[variant], seed) for seed in experiment.seeds for variant in VARIANTS
    }
    experiment.train([experiment.variants["reader"], *variants.values()])
    limit, pages = experiment.limited(LIMIT), experiment.limited(PROBE_PAGES)
    tasks: list[tuple[Any, ...]] = []
    for (variant, seed), step in variants.items():
        name = f"{variant}-{seed}"
        folder = str(experiment.folder / "probes" / name)
        tasks += [
            (step.run, f"{name}-texts", scores.reader, experiment.data, limit),
            (step.run, f"{name}-probe", probe, experiment.data, folder, experiment.limited(PROBE_STEPS), pages, seed),
            (step.run, f"{name}-gradients", gradients, experiment.data),
        ]
    measured = experiment.measure(tasks)
    values = {variant: [row(measured, f"{variant}-{seed}") for seed in experiment.seeds] for variant in VARIANTS}
    report = experiment.report("Skip links, live and detached, and what R-Probe sees", verdict(values))
    ceiling = measured[f"none-{experiment.seeds[0]}-probe"]["cer_ceiling"]
    report.text(
        f"Mean and standard deviation over {len(experiment.seeds)} seeds, on validation pages. BLEU of the text "
        f"answers and reading accuracy of the CTC head on {limit} captions; R-Probe on {pages} pages, OCR ceiling (CER "
        f"of the pages themselves) {ceiling:.3f}."
    )
    report.table(
        ["measure", *VARIANTS.values()],
        [
            [name, *(mean_and_spread([one[name] for one in values[variant]], digits) for variant in VARIANTS)]
            for name, (digits, _) in MEASURES.items()
        ],
    )
    report.text(
        "Differences of the means; *inside the spread* if no larger than what one variant shows between its seeds:"
    )
    report.table(
        ["measure", "fusion less none", "detached less none", "detached less fusion"],
        [
            [
                name,
                *(
                    compared(values, name, *pair).shown(digits)
                    for pair in (("fused", "none"), ("detached", "none"), ("detached", "fused"))
                ),
            ]
            for name, (digits, _) in MEASURES.items()
        ],
    )
    norms = {variant: [measured[f"{variant}-{seed}-gradients"] for seed in experiment.seeds] for variant in VARIANTS}
    report.section("Gradients of the shallow blocks", GRADIENTS)
    report.table(
        ["gradient norm", *VARIANTS.values()],
        [
            [key, *(mean_and_spread([one[key] for one in of], 4) if key in of[0] else "" for of in norms.values())]
            for key in sorted({key for of in norms.values() for key in of[0]})
        ],
    )
    curves = {
        f"{name}, seed {seed}": curve(variants[variant, seed].run, "loss")
        for variant, name in VARIANTS.items()
        for seed in experiment.seeds
    }
    plot = line_plot(experiment.picture("losses.png"), curves, "step", "training loss")
    report.figure(plot, "Training loss of all runs")
    report.section("What the probe draws")
    for variant, name in VARIANTS.items():
        place = experiment.picture(f"probe-{variant}.png")
        drawn = experiment.folder / "probes" / f"{variant}-{experiment.seeds[0]}" / "pages.png"
        write_whole(place, drawn.read_bytes())
        report.figure(place, f"R-Probe, {name}: pages, each above its reconstruction")
    report.section("Set-up", SET_UP)
    finish(report)


def row(measured: dict[str, Any], name: str) -> dict[str, float]:
    """What one run is judged by."""
    probed = measured[f"{name}-probe"]
    return {
        "BLEU": measured[f"{name}-texts"]["bleu"],
        "reading accuracy (CTC), %": 100 * measured[f"{name}-texts"]["ctc_accuracy"],
        **{f"probe {key}": probed[key.split(",")[0].lower()] for key in ("MSE", "PSNR, dB", "SSIM", "CER")},
    }


def probe(weights: Path, data: str, folder: str, steps: int, pages: int, seed: int) -> dict[str, float]:
    """R-Probe of a checkpoint; its pictures stay in the folder."""
    from translatotron_v.evaluation.r_probe import probe_checkpoint

    return probe_checkpoint(weights, Path(folder), data=data, steps=steps, limit=pages, seed=seed, quiet=True).scores


def gradients(weights: Path, data: str) -> dict[str, float]:
    """Gradient norms of each block of the image encoder, and through each link, on validation pages; no dropout.

    The share of a link in the gradient of its block bounds what detaching it can change.
    """
    import torch

    from translatotron_v.config import load_config
    from translatotron_v.training.build import build_stage

    config = load_config(weights / "config.yaml")
    config.start = dict.fromkeys(("image_encoder", "ctc_head", "text_encoder", "text_decoder"), str(weights))
    config.data.folder, config.data.validation_limit = data, GRADIENT_BATCHES * 32
    with tempfile.TemporaryDirectory() as empty:
        config.run = empty
        stage: Any = build_stage(config).eval()
    encoder = stage.translator.image_encoder
    links: dict[int, list[torch.Tensor]] = {}

    def tap(_: Any, given: tuple[Any, Any]) -> tuple[Any, Any]:
        """Put a copy of each state in front of its link, so that what comes back through the link can be told apart."""
        final, states = given
        copies = {number: states[number].clone() for number in encoder.fusion.layers}
        for number, copy in copies.items():
            copy.retain_grad()
            links.setdefault(number, []).append(copy)
        return final, states | copies

    if encoder.fusion is not None:
        encoder.fusion.register_forward_pre_hook(tap)
    for batch in stage.validation_batches():
        loss, _ = stage(batch, "main", 0)
        (loss / GRADIENT_BATCHES).backward()
    blocks = {f"block {n}": [p.grad for p in block.parameters()] for n, block in enumerate(encoder.vit.blocks, start=1)}
    blocks |= {f"link of block {n}": [copy.grad for copy in copies] for n, copies in links.items()}
    return {
        name: sum(float(grad.square().sum()) for grad in of if grad is not None) ** 0.5 for name, of in blocks.items()
    }


def compared(values: dict[str, list[dict[str, float]]], name: str, variant: str, baseline: str) -> Difference:
    """Two variants by one measure."""
    return difference([one[name] for one in values[variant]], [one[name] for one in values[baseline]])


def verdict(values: dict[str, list[dict[str, float]]]) -> str:
    """The first sentence, from the figures alone."""

    def outcome(variant: str, baseline: str, name: str) -> int:
        delta, inside = compared(values, name, variant, baseline)
        return 0 if inside else (1 if (delta > 0) == MEASURES[name][1] else -1)

    names = ("BLEU", "reading accuracy (CTC), %", "probe MSE")
    fused, detached, between = (
        [outcome(*pair, name) for name in names]
        for pair in (("fused", "none"), ("detached", "none"), ("detached", "fused"))
    )
    words = {1: "better", 0: "inside the spread", -1: "worse"}
    told = "; ".join(
        f"{label}: " + ", ".join(f"{name} {words[result]}" for name, result in zip(names, results, strict=True))
        for label, results in (
            ("fusion against none", fused),
            ("detached against none", detached),
            ("detached against live", between),
        )
    )
    if min(fused) >= 0 and max(fused) > 0 and min(between) >= 0 and max(between) > 0:
        return f"Reproduced: fusion helps and detaching the shallow link helps more ({told})."
    if max(*fused, *detached, *between) > 0:
        return f"Partly: {told}."
    return f"Not reproduced: {told}."


GRADIENTS = f"""\
Norm of the gradient of each block after training, over {GRADIENT_BATCHES} batches of validation pages, and of what
flows through each link, which bounds what detaching it can change."""
SET_UP = """\
- The image encoder is trained from nothing to read (CTC) for 220 steps, once; the text model is that of the shipped
  `tiny`. From there each variant takes 130 steps of 24 pages on the translation and CTC, the image encoder live.
- Fusion: z = h4 + MLP([h4; h1; h3]) of the four blocks' states, the MLP starting at zero, so that all variants start as
  the same function. Detached: no gradient through the link of block 1. Both have the same number of parameters.
- R-Probe: the first layer of the text decoder and a linear map, trained for 200 steps of 16 training pages on the
  frozen states; the same for all variants."""


if __name__ == "__main__":
    sys.exit(run("skip_links", __doc__, body))
