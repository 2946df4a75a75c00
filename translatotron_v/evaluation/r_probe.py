"""`evaluate.py r-probe`: how much of a page the fused tokens of a checkpoint still hold (R-Probe, arXiv 2603.20020).

The probe is trained on the training split, through the same loop as everything else, with the image encoder frozen;
then it draws the pages of another split. OCR on its pages is to be held against OCR on the original ones.
"""

import argparse
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.arguments import positive
from translatotron_v.errors import UserError
from translatotron_v.evaluation.options import add_checkpoint, add_results, out_folder
from translatotron_v.evaluation.report import Line, Report, origin, write_files
from translatotron_v.ocr import make_ocr_engine

if TYPE_CHECKING:  # torch and timm take seconds to import: only a command that runs pays for them
    from PIL import Image
    from torch import Tensor

    from translatotron_v.config import Config
    from translatotron_v.data.pages import Sample
    from translatotron_v.evaluation.reading import PageOcr
    from translatotron_v.training.stages.probe import ProbeStage

SHEET_PAGES = 12  # on pages.png
_BATCH = 32  # pages that the probe draws at a time

# What the lines of the report compare; the names by which `Report.value` finds them.
RECONSTRUCTION = "reconstructed pages against the original ones"
TEXT = "OCR of reconstructed pages against their text"
WHITE = "white pages against the original ones"


@dataclass(frozen=True)
class ProbeOptions:
    """How a probe is trained and scored."""

    data: str = ""  # corpus; empty: that of the checkpoint
    split: str = ""  # to score; empty: the validation split of the checkpoint's config
    steps: int = 300
    batch_size: int = 16
    learning_rate: float = 1e-3
    limit: int = 128  # pages to score
    seed: int = 1
    engine: str = "rapidocr"
    workers: int = 1  # processes that run OCR
    quiet: bool = False  # no progress bar of the OCR


@dataclass(frozen=True)
class Probed:
    """The scores, and original pages each above its reconstruction."""

    report: Report
    sheet: "Image.Image"

    @property
    def scores(self) -> dict[str, float]:
        """``mse`` (pixels in [0, 1]), ``psnr`` (dB), ``ssim``, ``cer`` and ``cer_ceiling`` (shares)."""
        values = {name.lower(): self.report.value(RECONSTRUCTION, name) for name in ("MSE", "PSNR", "SSIM")}
        reading = next(line for line in self.report.lines if line.what == TEXT)
        assert reading.ceiling is not None
        return values | {"cer": reading.score.value, "cer_ceiling": reading.ceiling.value}

    def write(self, folder: Path) -> str:
        """Write `scores.json`, `scores.md` and `pages.png`, and say so; a UserError where that fails."""
        scores = {"scores.json": self.report.as_json(), "scores.md": self.report.markdown()}
        return write_files(folder, {**scores, "pages.png": self.sheet})


def add_command(commands: Any) -> None:
    """Add `r-probe` to the commands of `evaluate.py`."""
    defaults = ProbeOptions()
    parser = commands.add_parser(
        "r-probe",
        help="what of a page is left in a checkpoint's image states",
        description="Train a shallow decoder to draw pages again from the frozen image states, and score its pages.",
    )
    add_checkpoint(
        parser,
        limit=defaults.limit,
        limited="pages to score",
        batch_size=defaults.batch_size,
        batch="pages",
        device=False,  # the trainer chooses it
    )
    parser.add_argument("--steps", type=positive, default=defaults.steps, metavar="N", help="of training (300)")
    parser.add_argument(
        "--learning-rate", type=float, default=defaults.learning_rate, metavar="R", help="its peak (0.001)"
    )
    parser.add_argument("--seed", type=int, default=defaults.seed, metavar="N", help="of the probe and its batches (1)")
    add_results(parser, ocr=True)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """What the command does: train, score, write, and print one table."""
    chosen = {name: getattr(options, name) for name in asdict(ProbeOptions()) if name != "quiet"}
    out = out_folder(options, f"r-probe-{options.split}" if options.split else "r-probe")
    probed = probe_checkpoint(options.checkpoint, out, **chosen)
    probed.report.settings |= origin(options.command)
    written = probed.write(out)
    print(f"{probed.report.screen()}\n\n{written}")


def probe_checkpoint(checkpoint: str | Path, folder: Path, **chosen: Any) -> Probed:
    """Train a probe of a checkpoint and score it; the same call goes on where an interrupted one stopped.

    Args:
        checkpoint: shipped weights by name, a checkpoint or a run.
        folder: gets `scores.json`, `scores.md` and `pages.png`, and keeps the training and what OCR has read.
        chosen: see `ProbeOptions`.

    Raises:
        UserError: no such checkpoint, or one without an image encoder or text decoder; a missing corpus or split;
            an OCR engine that is not installed.
    """
    from translatotron_v.checkpoint import load_module, resolve, weights_digest
    from translatotron_v.data.pages import fitting, plain_samples
    from translatotron_v.data.pairs import read_split
    from translatotron_v.evaluation.reading import PageOcr
    from translatotron_v.training.build import build_stage
    from translatotron_v.training.trainer import Trainer

    options = ProbeOptions(**chosen)
    if options.learning_rate <= 0:
        raise UserError(f"the learning rate must be positive, not {options.learning_rate:g}")
    source = find_probed(checkpoint)
    config = probe_config(source, options)
    split = options.split or config.data.validation
    pairs = read_split(config, split)
    samples = plain_samples(fitting(pairs, config)[: options.limit], config)
    if not samples:
        raise UserError(f"{config.data.folder}: no pair of {split!r} fits the page")
    reader = PageOcr(
        functools.partial(make_ocr_engine, options.engine, (config.data.source_language,)),
        folder,
        options.workers,
        options.quiet,
    )
    identity = {
        "weights": weights_digest(source),
        "data": config.data.folder,
        "training split": config.data.train,
        "steps": options.steps,
        "batch size": options.batch_size,
        "learning rate": options.learning_rate,
        "seed": options.seed,
    }
    # a folder for each identity: no other probe is continued or scored by mistake
    run = folder / f"run-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]}"
    config.run = str(run)
    stage: Any = build_stage(config)
    Trainer(stage, config.trainer, run).fit()
    for name, module in stage.modules_to_save.items():  # a run that was finished before has not been loaded
        load_module(module, resolve(run), name)
    report, sheet = score(stage.eval(), samples, reader)
    report.title = f"R-Probe of {checkpoint} on {config.data.folder} {split}: {len(samples):,} pages"
    encoder = config.model.image_encoder
    report.settings = {
        "checkpoint": str(checkpoint),
        **identity,
        "split": split,
        "limit": options.limit,
        "fonts": ", ".join(config.page.fonts),
        "layers of the probe": len(stage.probe.layers),
        "fused blocks": ", ".join(map(str, encoder.fuse)) or "none",
        "detached blocks": ", ".join(map(str, encoder.detach)) or "none",
    }
    probed = Probed(report, sheet)
    probed.write(folder)
    return probed


def find_probed(checkpoint: str | Path) -> Path:
    """The folder of a checkpoint that holds what the probe needs.

    Raises:
        UserError: there is no such checkpoint, or it lacks the image encoder or the text decoder.
    """
    from translatotron_v.checkpoint import read_info, resolve
    from translatotron_v.shipped import find_weights

    folder = resolve(find_weights(checkpoint))
    read_info(folder)
    for name in ("image_encoder", "text_decoder"):
        if not (folder / f"{name}.safetensors").is_file():
            raise UserError(
                f"{folder}: holds no {name}.safetensors; the probe needs a checkpoint with an image encoder and a text "
                "decoder, such as those of the stage translator"
            )
    return folder


def probe_config(source: Path, options: ProbeOptions) -> "Config":
    """Settings that train the probe of a checkpoint's folder: its model and pages, whole texts, a loop of its own."""
    from translatotron_v.config import LossConfig, SsrConfig, TrainerConfig, load_config

    config = load_config(source / "config.yaml")
    data = replace(
        config.data,
        folder=options.data or config.data.folder,
        validation_limit=min(64, options.limit),  # the scores come later; this is for the log of the run
        sort_window=0,
        spans=0.0,
        shuffled=0.0,
        curriculum_steps=0,
        both_languages=False,
        translated=1.0,
        text_share=0.0,
    )
    trainer = TrainerConfig(
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_steps=min(20, options.steps // 10),
        evaluate_every=options.steps,
        checkpoint_every=100,
        seed=options.seed,
    )
    return replace(
        config,
        stage="probe",
        data=data,
        loss=LossConfig(),
        ssr=SsrConfig(),
        trainer=trainer,
        vocabulary=str(source),
        start={"image_encoder": str(source), "text_decoder": str(source)},
        freeze=[],
    )


def score(stage: "ProbeStage", samples: Sequence["Sample"], reader: "PageOcr") -> tuple[Report, "Image.Image"]:
    """Compare the source pages of samples with what the probe makes of them, pixel by pixel and as OCR reads them.

    Returns:
        A report without title and settings, and the sheet.
    """
    import torch
    from torch.nn import functional as F

    from translatotron_v.evaluation.scoring import Scorer, TextPairs, similarity, similarity_lines, texts_of
    from translatotron_v.metrics import Score
    from translatotron_v.training.sheets import as_picture, contact_sheet

    device = next(stage.parameters()).device
    batches = [samples[start : start + _BATCH] for start in range(0, len(samples), _BATCH)]
    originals = torch.cat([stage.collator.pixels(batch, 0) for batch in batches])  # (B, C, H, W)
    answers = torch.cat([stage.reconstruct(part.to(device)).cpu() for part in originals.split(_BATCH)])

    def error(pages: "Tensor", what: str) -> Line:
        return Line(Score("MSE", float(F.mse_loss(pages, originals)), "range:0..1"), what, count=len(samples))

    pictures, references = ([as_picture(page) for page in pages] for pages in (answers, originals))
    alike = [similarity(*pair) for pair in zip(pictures, references, strict=True)]
    texts = [sample.source for sample in samples]
    read = TextPairs(texts_of(reader.read_all(pictures, len(pictures), "reading reconstructions")), texts)
    ceiling = TextPairs(texts_of(reader.read_all(references, len(references), "reading originals")), texts)
    lines = [
        error(answers, RECONSTRUCTION),
        *similarity_lines(alike, RECONSTRUCTION),
        Scorer(reader.signature, lower_case=True).read("CER", read, TEXT, ceiling),
        error(torch.ones_like(originals), WHITE),  # what a probe that learned nothing would reach
    ]
    shown = torch.stack((originals[:SHEET_PAGES], answers[:SHEET_PAGES]), dim=1).flatten(0, 1)
    return Report("", {}, lines), contact_sheet([shown])
