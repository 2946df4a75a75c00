"""The command line of `evaluate.py`."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.arguments import BASELINES
from translatotron_v.errors import UserError
from translatotron_v.evaluation import (
    calibration,
    layout,
    link_gradients,
    literals,
    modality_gap,
    natural_pages,
    pairs,
    r_probe,
    reader,
    removal,
    style,
    terms,
    texts,
)
from translatotron_v.evaluation.options import (
    OUT,
    add_checkpoint,
    add_model,
    add_references,
    add_results,
    add_test_pages,
    comet_of,
    out_folder,
)
from translatotron_v.evaluation.reading import page_ocr
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
    pictures.add_argument(
        "references", type=Path, nargs="+", metavar="REFERENCES",
        help="folder of the pictures they should be; of several, texts are compared with all, layout and pixels with "
        "the first",
    )  # fmt: skip
    add_references(pictures)
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
    add_model(checkpoint, device=False)
    checkpoint.set_defaults(run=_checkpoint)

    for command in (pictures, checkpoint):
        add_results(command, cased=True, ocr=True, sheet=True)
    scored = (pairs, texts, reader, layout, literals, terms, style, removal, calibration)
    for module in (*scored, modality_gap, natural_pages, r_probe, link_gradients):
        module.add_command(commands)
    return parser


def _pictures(options: argparse.Namespace) -> None:
    from translatotron_v.evaluation.folders import (
        PictureFolder,
        aligned,
        check_some_paired,
        texts_beside,
        texts_for,
    )
    from translatotron_v.evaluation.pictures import TITLES, Expected, score_pictures

    if options.comet and not options.source_texts:
        raise UserError("--comet: COMET reads the source as well; give its texts with --source-texts FILE")
    comet = comet_of(options)
    hypotheses, *references = aligned([PictureFolder(path) for path in (options.hypotheses, *options.references)])
    check_some_paired(hypotheses, references[0])
    sources = texts_for(options.source_texts, references[0]) if options.source_texts else None
    expected = Expected(references, options.texts or texts_beside(references), sources, comet)
    options.out = options.out or OUT / options.hypotheses.resolve().name
    report = score_pictures(hypotheses, expected, page_ocr(options), lower_case=not options.cased, worst=options.worst)

    def sheet(name: str) -> list[Any]:
        return [hypotheses.find(name), references[0].open(name)]

    report.finish(options.out, options.command, sheet, TITLES)


def _checkpoint(options: argparse.Namespace) -> None:
    from translatotron_v.evaluation.checkpoint import TITLES, Options, score_checkpoint, sheet_pictures
    from translatotron_v.evaluation.loading import load_model
    from translatotron_v.evaluation.rendering import TestPages, missing_of, render_split

    test_pages = TestPages(
        options.pages, options.fonts, options.photographs, options.seed, options.backgrounds, options.degraded
    )
    model = load_model(options)
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
    report = score_checkpoint(model, pages, page_ocr(options), options.out, chosen)
    if missing := missing_of(model.config, chosen.split):
        report.notes.append(
            f"Test sets that {model.config.data.folder} lacks, so that they are left out: {', '.join(missing)}."
        )
    report.finish(options.out, options.command, sheet_pictures(pages, options.out), TITLES)


def _name(chosen: "Options", baseline: str) -> str:
    """Of the folder of results: the split, and in what it differs from plain strips by the end-to-end model."""
    test_pages = chosen.test_pages
    parts = {
        baseline: baseline != BASELINES[0],
        "blank": chosen.blank_source,
        "-".join(Path(test_pages.pages).with_suffix("").parts[-2:]): test_pages.pages != "strips",
        "fonts": test_pages.fonts,
        "photographs": test_pages.photographs,
        "backgrounds": test_pages.backgrounds,
        f"degraded{test_pages.degraded:g}": test_pages.degraded,
    }
    return "-".join([chosen.split, *(name for name, differs in parts.items() if differs)])
