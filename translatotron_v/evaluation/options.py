"""Options that several commands of `evaluate.py` share."""

import argparse
from pathlib import Path

from translatotron_v.arguments import positive
from translatotron_v.ocr import ENGINES

OUT = Path("out") / "evaluate"


def add_checkpoint(
    parser: argparse.ArgumentParser,
    *,
    split: str = "validation",
    limit: int = 0,
    limited: str = "only the first N pairs",
    batch_size: int,
    batch: str = "pages at a time",
    device: bool = True,
) -> None:
    """The checkpoint, the corpus and what of it to score, and (with ``device``) where the model runs.

    Args:
        split: of the checkpoint's config, scored where none is given.
        limit, batch_size: defaults; a limit of 0 takes all.
        limited, batch: what the two count.
    """
    parser.add_argument("checkpoint", metavar="NAME|DIR", help="shipped weights, a checkpoint or a run")
    parser.add_argument(
        "--data", default="", metavar="FOLDER", help="corpus (as trained), or grammar for the built-in phrases"
    )
    parser.add_argument(
        "--split", default="", metavar="NAME", help=f"to score (the {split} split of the checkpoint's config)"
    )
    parser.add_argument("--limit", type=positive, default=limit, metavar="N", help=f"{limited} ({limit or 'all'})")
    parser.add_argument("--batch-size", type=positive, default=batch_size, metavar="N", help=f"{batch} ({batch_size})")
    if device:
        parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ... (auto)")
        parser.add_argument("--threads", type=positive, default=1, metavar="N", help="CPU threads of the model (1)")


def add_results(parser: argparse.ArgumentParser, *, cased: bool = False, ocr: bool = False) -> None:
    """Where the results go; on request the case of letters, and the OCR that reads the pictures."""
    parser.add_argument("-o", "--out", type=Path, metavar="DIR", help="results (out/evaluate/ and a name)")
    if cased:
        parser.add_argument("--cased", action="store_true", help="tell upper from lower case (default: fold both)")
    if ocr:
        parser.add_argument("--engine", choices=ENGINES, default="rapidocr", help="OCR engine (rapidocr)")
        parser.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that run OCR (1)")


def out_folder(options: argparse.Namespace, what: str) -> Path:
    """``--out``, or a folder named after the checkpoint and what was measured."""
    return options.out or OUT / f"{Path(options.checkpoint).resolve().name}-{what}"
