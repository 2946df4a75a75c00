"""`evaluate.py link-gradients`: what flows back into an image encoder's blocks, before and after training.

How much of a block's gradient comes through its skip link, and whether reading and translating pull it apart
(``training/link_gradients.py`` says what is measured).
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from translatotron_v.arguments import positive
from translatotron_v.errors import UserError
from translatotron_v.evaluation.report import as_json, table

PAGES, BATCH = 64, 16


def link_gradients(checkpoint: str | Path, data: str = "", limit: int = PAGES, begun: bool = False) -> dict[str, float]:
    """Gradients of a translator's own training losses on validation pages; no dropout.

    Args:
        checkpoint: of the stage `translator`: a run, a checkpoint or shipped weights by name.
        data: corpus; empty takes that of the checkpoint's config.
        limit: the first pages.
        begun: those of the weights that its training began with, made anew from its seed and its ``start``.

    Returns:
        As of ``training.link_gradients.measure``.

    Raises:
        UserError: no such checkpoint, one of another stage, or losses that reach no state of the image encoder.
    """
    from translatotron_v.checkpoint import read_info, resolve
    from translatotron_v.config import load_config
    from translatotron_v.shipped import find_weights
    from translatotron_v.training.build import build_stage
    from translatotron_v.training.link_gradients import measure
    from translatotron_v.training.stages.translator import TranslatorStage

    folder = resolve(find_weights(checkpoint))
    read_info(folder)
    config = load_config(folder / "config.yaml")
    if config.stage != "translator":
        raise UserError(f"{folder}: a checkpoint of the stage {config.stage!r}; gradients are those of a translator")
    config.data.folder, config.data.validation_limit = data or config.data.folder, limit
    config.data.text_share, config.data.mixture, config.ssr.reader = 0.0, "" if data else config.data.mixture, ""
    config.freeze = [name for name in config.freeze if name != "image_encoder"]
    with tempfile.TemporaryDirectory() as empty:  # a run that has no checkpoint: the stage starts from ``start``
        config.run = empty
        config.vocabulary = str(folder)
        if not begun:
            config.start = {
                name: str(folder) for name in TranslatorStage.MODULES if (folder / f"{name}.safetensors").is_file()
            }
        stage = build_stage(config)
    assert isinstance(stage, TranslatorStage)
    batches = stage.validation_batches(BATCH)
    if not batches:
        raise UserError(f"{config.data.folder}: no validation page fits")
    return measure(stage, batches)


def add_command(commands: Any) -> None:
    """Add `link-gradients` to the commands of `evaluate.py`."""
    parser = commands.add_parser(
        "link-gradients",
        help="how much of an image encoder's gradient comes through its skip links",
        description="Measure the gradients of a translator's training losses at the blocks of its image encoder.",
    )
    parser.add_argument("checkpoint", metavar="NAME|DIR", help="shipped weights, a checkpoint or a run")
    parser.add_argument("--data", default="", metavar="FOLDER", help="corpus (as trained)")
    parser.add_argument("--limit", type=positive, default=PAGES, metavar="N", help=f"validation pages ({PAGES})")
    parser.add_argument("--begun", action="store_true", help="of the weights that its training began with")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Measure and print a row for each block."""
    found = link_gradients(options.checkpoint, options.data, options.limit, options.begun)
    if options.json:
        print(as_json(found), end="")
        return
    columns = ("block", "link", "share", "conflict")
    blocks = [name.partition("_")[2] for name in found if name.startswith("block_")]
    rows = [[number, *(_shown(found.get(f"{name}_{number}")) for name in columns)] for number in blocks]
    print(table(["block", "gradient", "by its link", "share", "cosine of reading and meaning"], rows))


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
