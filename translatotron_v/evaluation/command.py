"""The command line of `evaluate.py`."""

import argparse
import functools
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.arguments import BASELINES, PRECISIONS, not_negative, positive
from translatotron_v.evaluation import (
    calibration,
    layout,
    literals,
    modality_gap,
    r_probe,
    reader,
    removal,
    style,
    terms,
    texts,
)
from translatotron_v.evaluation.options import OUT, add_checkpoint, add_results, add_test_pages, out_folder
from translatotron_v.generation_config import TOKENS, WORDS
from translatotron_v.ocr import make_ocr_engine
from translatotron_v.terminal import guarded

if TYPE_CHECKING:  # torch takes seconds: `--help` does not wait for it
    from translatotron_v.evaluation.checkpoint import Options


def main(argv: Sequence[str] | None = None) -> int:
    """Run one evaluation; returns the exit status (0 done, 2 bad input, 130 interrupted)."""
    arguments = list(sys.argv[1:] if argv is None else argv)

    def run() -> int:
        options = build_parser().parse_args(arguments)
        options.command = shlex.join(["python", "evaluate.py", *arguments])
        options.run(options)
        return 0

    return guarded(run, "interrupted: the same command goes on from here")


def build_parser() -> argparse.ArgumentParser:
    """The options of every kind of evaluation."""
    parser = argparse.ArgumentParser(prog="evaluate.py", description="Score pictures, or a trained translator.")
    commands = parser.add_subparsers(metavar="WHAT", required=True)

    pictures = commands.add_parser(
        "pictures",
        help="a folder of pictures against a folder of references",
        description="Score the pictures of one folder against those of the same names (extensions aside) in another.",
    )
    pictures.add_argument("hypotheses", type=Path, metavar="PICTURES", help="folder of the pictures to score")
    pictures.add_argument("references", type=Path, metavar="REFERENCES", help="folder of the pictures they should be")
    pictures.add_argument(
        "--texts", type=Path, metavar="FILE",
        help="reference texts: lines of name TAB text, or a JSON object (default: what OCR reads on the references)",
    )  # fmt: skip
    pictures.set_defaults(run=_pictures)

    checkpoint = commands.add_parser(
        "checkpoint",
        help="a trained translator on rendered pages",
        description="Render the pages of a split, translate and score them all. By default they look as those that the "
        "checkpoint was trained on; fonts and photographs that it never saw show how far it carries.",
    )
    add_checkpoint(checkpoint, split="test", batch_size=8)
    add_test_pages(checkpoint)
    checkpoint.add_argument("--blank-source", action="store_true", help="show the model white pages instead")
    checkpoint.add_argument(
        "--beams", type=positive, metavar="N", help="beams of the text, 1: greedy (as the weights say)"
    )
    checkpoint.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the arithmetic (fp32)")
    checkpoint.add_argument(
        "--image-steps", type=not_negative, metavar="N",
        help="passes that draw a picture, 0: token by token (as the weights were made for)",
    )  # fmt: skip
    checkpoint.add_argument(
        "--drawing",
        choices=(TOKENS, WORDS),
        help="of image tokens: one by one, or all words at once (as the weights say)",
    )
    checkpoint.add_argument(
        "--baseline", choices=BASELINES, default=BASELINES[0],
        help="the model as it is, or a baseline built around its weights (docs/experiments/comparison.md)",
    )  # fmt: skip
    checkpoint.add_argument("--baseline-weights", default="", metavar="RUN", help="of the baseline's own model")
    checkpoint.set_defaults(run=_checkpoint)

    for command in (pictures, checkpoint):
        add_results(command, cased=True, ocr=True)
        command.add_argument(
            "--languages", default="en,de", metavar="LIST", help="of the pictures, for tesserocr only (en,de)"
        )
        command.add_argument("--worst", type=positive, default=12, metavar="N", help="samples on the sheet (12)")
    for module in (texts, reader, layout, literals, terms, style, removal, calibration, modality_gap, r_probe):
        module.add_command(commands)
    return parser


def _pictures(options: argparse.Namespace) -> None:
    from translatotron_v.evaluation.pictures import TITLES, PictureFolder, score_pictures

    hypotheses, references = PictureFolder(options.hypotheses), PictureFolder(options.references)
    options.out = options.out or OUT / options.hypotheses.resolve().name
    reader = _reader(options)
    report = score_pictures(
        hypotheses, references, reader, options.texts, lower_case=not options.cased, worst=options.worst
    )

    def sheet(name: str) -> list[Any]:
        return [hypotheses.find(name), references.open(name)]

    report.finish(options.out, options.command, sheet, TITLES)


def _checkpoint(options: argparse.Namespace) -> None:
    from translatotron_v.baselines import baseline
    from translatotron_v.evaluation.checkpoint import TITLES, Options, score_checkpoint, sheet_pictures
    from translatotron_v.evaluation.loading import TranslatorModel
    from translatotron_v.evaluation.rendering import TestPages, render_split
    from translatotron_v.inference.pipeline import Translator

    test_pages = TestPages(
        options.pages, options.fonts, options.photographs, options.seed, options.backgrounds, options.degraded
    )
    translator = Translator.from_pretrained(
        options.checkpoint,
        device=options.device,
        threads=options.threads,
        precision=options.precision,
        baseline=baseline(options.baseline, options.baseline_weights),
    )
    model = TranslatorModel(translator, options.checkpoint, options.beams, options.image_steps, options.drawing)
    if options.data:
        model.config.data.folder = options.data
    chosen = Options(
        split=options.split or model.config.data.test,
        limit=options.limit,
        blank_source=options.blank_source,
        batch_size=options.batch_size,
        lower_case=not options.cased,
        worst=options.worst,
        test_pages=test_pages,
    )
    options.out = out_folder(options, _name(chosen, options.baseline))
    pages = render_split(model.config, chosen.split, chosen.limit, chosen.blank_source, test_pages)
    report = score_checkpoint(model, pages, _reader(options), options.out, chosen)
    report.finish(options.out, options.command, sheet_pictures(pages, options.out), TITLES)


def _name(chosen: "Options", baseline: str) -> str:
    """Of the folder of results: the split, and in what it differs from plain strips by the end-to-end model."""
    test_pages = chosen.test_pages
    parts = {
        baseline: baseline != BASELINES[0],
        "blank": chosen.blank_source,
        test_pages.pages: test_pages.pages != "strips",
        "fonts": test_pages.fonts,
        "photographs": test_pages.photographs,
        "backgrounds": test_pages.backgrounds,
        f"degraded{test_pages.degraded:g}": test_pages.degraded,
    }
    return "-".join([chosen.split, *(name for name, differs in parts.items() if differs)])


def _reader(options: argparse.Namespace) -> Any:
    from translatotron_v.evaluation.reading import PageOcr

    languages = tuple(language.strip() for language in options.languages.split(","))
    make = functools.partial(make_ocr_engine, options.engine, languages)
    return PageOcr(make, options.out, options.workers)
