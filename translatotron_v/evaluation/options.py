"""Options that several commands of `evaluate.py` share."""

import argparse
from pathlib import Path

from translatotron_v.arguments import not_negative, positive
from translatotron_v.ocr import ENGINES

OUT = Path("out") / "evaluate"
PAGES = ("strips", "mix", "blocks")  # how test pages are drawn (see `evaluation.rendering`)
BACKGROUNDS = ("plain", "gradient", "photo")  # behind the text of those that are not strips


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


def add_test_pages(parser: argparse.ArgumentParser) -> None:
    """How the test pages are drawn."""
    parser.add_argument(
        "--pages", choices=PAGES, default="strips",
        help="strips: black on white, of the size of the model's canvas; mix: colour pages of one paragraph, 192x640, "
        "text of 10 to 28 pixels on plain paper, gradients and photographs; blocks: the same with one to four "
        "captions on 512x512, text of 12 to 24 pixels, scored block by block (strips)",
    )  # fmt: skip
    parser.add_argument(
        "--fonts", type=name_list, default=(), metavar="LIST",
        help="bundled names or font files, with commas between them (those of training; the first of them for strips "
        "of weights that were trained on strips cut from pages or on a typography of their own)",
    )  # fmt: skip
    parser.add_argument(
        "--photographs", type=name_list, default=(), metavar="LIST",
        help="for mix and blocks: bundled ones (astronaut, chelsea, ...) with commas between them, or a folder of "
        "pictures (all bundled ones)",
    )  # fmt: skip
    parser.add_argument(
        "--backgrounds", type=name_list, default=(), metavar="LIST",
        help=f"for mix and blocks: some of {', '.join(BACKGROUNDS)} with commas between them (all of them)",
    )  # fmt: skip
    parser.add_argument(
        "--degraded", type=float, default=0.0, metavar="X",
        help="how hard source pages are to read, 0 to 1: blur, noise and JPEG (0)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=not_negative, default=0, metavar="N", help="of how mix, blocks and degraded pages look (0)"
    )  # fmt: skip


def name_list(text: str) -> tuple[str, ...]:
    """Names with commas between them; at least one."""
    names = tuple(name for part in text.split(",") if (name := part.strip()))
    if not names:
        raise argparse.ArgumentTypeError("names at least one, with commas between several")
    return names


def number_list(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between them; at least one."""
    for part in name_list(text):
        if not part.isdecimal():
            raise argparse.ArgumentTypeError(f"{part!r} is no whole number; write a list such as 9,10,12")
    return tuple(map(int, name_list(text)))


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
