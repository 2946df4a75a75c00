"""Options that several commands share, and what is done before any of them loads a model."""

import argparse
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from translatotron_v.arguments import BASELINES, ENGINES, PRECISIONS, option, positive
from translatotron_v.generation_config import AS_TRAINED, TOKENS, WORDS
from translatotron_v.shipped import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from translatotron_v.inference.glossary import Glossary


def add_output(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Where to write."""
    parser.add_argument(
        "-o", "--output", metavar="OUT", default=default, required=default is None,
        help="where to write" + (f" (default: {default})" if default else "; a file's extension decides its format"),
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="overwrite what exists")


def add_text_options(group: "argparse._ArgumentGroup") -> None:
    """Which weights write the text, in which language, and how."""
    group.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME|DIR",
                       help=f"shipped weights, a checkpoint, or one of the Hub ({DEFAULT_WEIGHTS})")  # fmt: skip
    group.add_argument("--to", dest="target_language", metavar="LANG", help="target language (as trained)")
    group.add_argument(
        "--beams", type=option("beams", int), metavar="N", help="beam width, 1: greedy (as the weights say)"
    )
    group.add_argument(
        "--numbers", choices=("keep", "localize"),
        help="write 12,50 and 14.30 as in the source, or as the target language does: 12.50, 14:30 "
        f"({AS_TRAINED.numbers})",
    )  # fmt: skip
    group.add_argument(
        "--glossary", metavar="FILE",
        help="translate the words of FILE (TSV or CSV: source, target; an empty target leaves the word) as it says",
    )  # fmt: skip


def add_device_options(group: "argparse._ArgumentGroup") -> None:
    """Where the model runs."""
    group.add_argument(
        "--engine", choices=("auto", *ENGINES), default="auto",
        help="torch, or onnx: the graphs beside the weights, without PyTorch (auto: torch where it is installed)",
    )  # fmt: skip
    group.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ... (auto)")
    group.add_argument(
        "--threads", type=positive, default=1, metavar="N", help="CPU threads (1; more help large models only)"
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """All of the model that translates pictures, and how fast it is to go."""
    model = parser.add_argument_group("model")
    add_text_options(model)
    model.add_argument("--from", dest="source_language", metavar="LANG", help="source language (as trained)")
    model.add_argument(
        "--baseline", choices=BASELINES, default=BASELINES[0], metavar="NAME",
        help="for comparison, a baseline in the model's place: cascade-{reader,rapidocr,tit}-{draw,render} or pixels "
        "(end-to-end)",
    )  # fmt: skip
    model.add_argument(
        "--baseline-weights", default="", metavar="RUN",
        help="of its text-to-image or pixel model (runs/small/text_to_image, runs/small/pixels)",
    )  # fmt: skip
    model.add_argument(
        "--painter", metavar="FILE.onnx",
        help="on whole pages, a model of yours that fills the ground under text where it is not smooth, such as LaMa: "
        "picture and mask in, picture out",
    )  # fmt: skip
    model.add_argument(
        "--min-confidence", type=option("min_confidence", float), metavar="P",
        help="leave blocks as they are whose translation is right with a smaller probability "
        f"({AS_TRAINED.min_confidence:g}: translate all)",
    )  # fmt: skip
    model.add_argument(
        "--redraws", type=option("redraws", int), metavar="N",
        help="on whole pages, read what was drawn, draw words that say something else up to N times again, and leave "
        "blocks in which one still does (as the weights say)",
    )  # fmt: skip
    model.add_argument(
        "--top-k", type=option("top_k", int), metavar="K",
        help=f"sample image tokens from the best K ({AS_TRAINED.top_k})",
    )  # fmt: skip
    model.add_argument(
        "--temperature", type=option("temperature", float), metavar="T",
        help=f"of that sampling ({AS_TRAINED.temperature})",
    )  # fmt: skip
    model.add_argument("--seed", type=option("seed", int), metavar="N", help="of that sampling (another one each time)")
    speed = parser.add_argument_group("speed")
    speed.add_argument(
        "--batch-size", type=positive, metavar="N",
        help="pictures at a time (64 for the shipped model, fewer where pages are larger)",
    )  # fmt: skip
    add_device_options(speed)
    speed.add_argument(
        "--precision", choices=PRECISIONS, default="fp32",
        help="fp32; bf16 for GPUs; int8 halves the time of large models on a CPU (fp32)",
    )  # fmt: skip
    speed.add_argument(
        "--drawing", choices=(TOKENS, WORDS),
        help="write image tokens one after the other, or those of all words at once (as the weights say)",
    )  # fmt: skip
    speed.add_argument(
        "--image-steps", type=option("image_steps", int), metavar="N",
        help="passes that draw a picture, 0: token by token (as the weights say)",
    )  # fmt: skip


@contextmanager
def loading() -> Iterator[None]:
    """Leave what is imported and loaded here out of Python's search for garbage, until the command ends.

    Half a million objects come in and all of them stay; searching them again and again takes about a second.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def read_glossary(options: argparse.Namespace) -> "Glossary | None":
    """The glossary, where one is given; read before the weights are loaded."""
    from translatotron_v.inference.glossary import Glossary

    return None if options.glossary is None else Glossary.from_file(options.glossary)
