"""Options that several commands of `evaluate.py` share."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from translatotron_v.arguments import BASELINES, PRECISIONS, not_negative, positive
from translatotron_v.generation_config import TOKENS, WORDS
from translatotron_v.ocr import ENGINES

if TYPE_CHECKING:
    from translatotron_v.metrics import Comet

OUT = Path("out") / "evaluate"
PAGES = ("strips", "mix", "blocks", "layouts")  # how test pages are drawn (see `evaluation.rendering`)
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
        _add_device(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ... (auto)")
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="CPU threads of the model (1)")


def add_model(parser: argparse.ArgumentParser, *, device: bool = True) -> None:
    """How a checkpoint translates pictures (`loading.load_model`); with ``device``, where it runs."""
    if device:
        _add_device(parser)
    parser.add_argument("--beams", type=positive, metavar="N", help="beams of the text, 1: greedy (as the weights say)")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the arithmetic (fp32)")
    parser.add_argument(
        "--image-steps", type=not_negative, metavar="N",
        help="passes that draw a picture, 0: token by token (as the weights were made for)",
    )  # fmt: skip
    parser.add_argument(
        "--drawing", choices=(TOKENS, WORDS),
        help="of image tokens: one by one, or all words at once (as the weights were made for)",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", choices=BASELINES, default=BASELINES[0],
        help="the model as it is, or a baseline built around its weights (docs/experiments/comparison.md)",
    )  # fmt: skip
    parser.add_argument("--baseline-weights", default="", metavar="RUN", help="of the baseline's own model")


def add_references(parser: argparse.ArgumentParser) -> None:
    """Texts of pictures, and a COMET model."""
    parser.add_argument(
        "--texts", type=Path, action="append", default=[], metavar="FILE",
        help="reference texts: lines of name TAB text, a JSON object, or a line for each picture in the order of "
        "names; again for each further reference (default: the file that comes with the pictures, else what OCR reads)",
    )  # fmt: skip
    parser.add_argument(
        "--source-texts", type=Path, metavar="FILE", help="texts of the source pictures, in the same forms"
    )
    parser.add_argument(
        "--comet", type=Path, metavar="PATH",
        help="folder of a COMET model on this machine (needs the package unbabel-comet)",
    )  # fmt: skip


def comet_of(options: argparse.Namespace) -> "Comet | None":
    """The model of ``--comet``."""
    from translatotron_v.metrics import Comet

    return None if options.comet is None else Comet(options.comet)


def add_test_pages(parser: argparse.ArgumentParser) -> None:
    """How the test pages are drawn."""
    parser.add_argument(
        "--pages", default="strips", metavar="KIND|FILE",
        help="strips: black on white, of the size of the model's canvas; mix: colour pages of one paragraph, 192x640, "
        "text of 10 to 28 pixels on plain paper, gradients and photographs; blocks: the same with one to four "
        "captions on 512x512, text of 12 to 24 pixels, scored block by block; layouts: menus, forms, tables, screens, "
        "... with captions for sentences, a page for four of them, scored block by block; or a configuration (.yaml), "
        "whose canvas and page they have: configs/iwslt14/pages.yaml (strips)",
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
        "--seed", type=not_negative, default=0, metavar="N", help="of all but plain strips (0)"
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


def add_results(
    parser: argparse.ArgumentParser, *, cased: bool = False, ocr: bool = False, sheet: bool = False
) -> None:
    """Where the results go; on request the case of letters, the OCR that reads pictures, and the sheet of samples."""
    parser.add_argument("-o", "--out", type=Path, metavar="DIR", help="results (out/evaluate/ and a name)")
    if cased:
        parser.add_argument("--cased", action="store_true", help="tell upper from lower case (default: fold both)")
    if ocr:
        parser.add_argument("--engine", choices=ENGINES, default="rapidocr", help="OCR engine (rapidocr)")
        parser.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that run OCR (1)")
    if sheet:
        parser.add_argument(
            "--languages", default="en,de", metavar="LIST", help="of the pictures, for tesserocr only (en,de)"
        )
        parser.add_argument("--worst", type=positive, default=12, metavar="N", help="samples on the sheet (12)")


def out_folder(options: argparse.Namespace, what: str) -> Path:
    """``--out``, or a folder named after the checkpoint and what was measured."""
    return options.out or OUT / f"{Path(options.checkpoint).resolve().name}-{what}"
