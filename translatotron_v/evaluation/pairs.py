"""Scores of a translator on pictures of anyone's: those of one language are translated, those of another are the aim.

What `pictures` measures of two folders, and beside it the model's own text, what it read, and its cost.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from translatotron_v.arguments import positive
from translatotron_v.errors import UserError
from translatotron_v.evaluation.folders import (
    PictureFolder,
    aligned,
    check_paired,
    find_sides,
    texts_beside,
    texts_for,
)
from translatotron_v.evaluation.generation import GeneratedPage, Page, generate_pages, left_blocks, to_page
from translatotron_v.evaluation.options import add_model, add_references, add_results, comet_of, out_folder
from translatotron_v.evaluation.reading import PageOcr, page_ocr
from translatotron_v.evaluation.report import Line, Report, Row, worst_of
from translatotron_v.evaluation.scoring import Scorer, TextPairs, texts_of

if TYPE_CHECKING:  # scores and models take seconds to import: `--help` does not wait for them
    from translatotron_v.evaluation.checkpoint import PageModel
    from translatotron_v.evaluation.pictures import Expected, Scored

TITLES = ("source", "generated", "reference")  # columns of the sheet

# What the lines of the report compare, beside those of `pictures`.
TRANSLATION = "model's text against reference texts"
OWN_TEXT = "pictures against model's own text"
READER = "source text as the model reads it"


@dataclass(frozen=True)
class PairOptions:
    """How pairs of pictures are scored."""

    batch_size: int = 8
    lower_case: bool = True
    worst: int = 12  # samples on the sheet
    quiet: bool = False  # no progress bars


class _Sources(Sequence[Page]):
    """The source pictures as pages, opened when they are asked for."""

    def __init__(self, folder: PictureFolder, names: Sequence[str]) -> None:
        self._folder, self._names = folder, names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: Any) -> Any:
        return to_page(self._folder.open(self._names[index]))

    def __iter__(self) -> Iterator[Page]:
        return (to_page(self._folder.open(name)) for name in self._names)


def score_pairs(
    model: "PageModel",
    sources: PictureFolder,
    expected: "Expected",
    reader: PageOcr,
    folder: Path,
    source_texts: Path | None = None,
    options: PairOptions | None = None,
) -> Report:
    """Translate the source pictures and compare what comes out with the pictures and texts that were expected.

    Args:
        sources: with the names of the reference folders.
        folder: keeps the generated pictures under `generated/`, so that an interrupted run goes on.
        source_texts: what stands on the sources, see `texts_for`; without it, COMET gets what OCR reads there, and how
            well the model reads is not known.

    Raises:
        UserError: folders whose names differ, a broken source or reference picture, a text that is missing.
    """
    from translatotron_v.evaluation.checkpoint import cost_line
    from translatotron_v.evaluation.pictures import compare, settings_of

    options = options or PairOptions()
    check_paired([sources, *expected.folders])
    names = expected.names
    known = None if source_texts is None else expected.first(texts_for(source_texts, sources))
    made = folder / "generated"
    pages = _Sources(sources, names)
    generations = [
        generation
        for generation in generate_pages(
            model.translate, pages, made, model.identity, options.batch_size, options.quiet
        )
        if generation is not None
    ]
    source_read = None
    if known is not None or expected.comet is not None:
        opened = (sources.open(name) for name in names)
        source_read = texts_of(reader.read_all(opened, len(names), "reading sources"))
    pictures = PictureFolder(made, {name: made / f"{index:05d}.png" for index, name in enumerate(names)})
    found = compare(
        pictures,
        replace(expected, sources=known or source_read),
        reader,
        lower_case=options.lower_case,
        quiet=options.quiet,
    )
    answers = [generation.page for generation in generations]
    written = [" ".join(answer.text.split()) for answer in answers]
    lines = [
        *_text_lines(found, expected, written, known or source_read),
        *found.lines,
        *_own_lines(found, answers, written, known, source_read),
        cost_line(generations, options.batch_size),
    ]
    notes = [*left_blocks(answers), *found.notes]
    if expected.comet is not None and known is None:
        notes.append("COMET got the source texts from OCR; --source-texts FILE gives the true ones.")
    rows = _rows(found, answers, written, known)
    settings = {
        **model.identity,
        "sources": str(sources.folder),
        **settings_of(expected),
        "source texts": str(source_texts or "unknown"),
        "lower case": options.lower_case,
        "batch size": options.batch_size,
    }
    title = f"{model.identity['checkpoint']} on {sources.folder}: {len(names):,} pictures"
    return Report(title, settings, lines, notes, rows, worst_of(rows, options.worst))


def _text_lines(
    found: "Scored", expected: "Expected", written: Sequence[str], sources: Sequence[str] | None
) -> list[Line]:
    """How well the model's text translates, before anything is drawn."""
    from translatotron_v.evaluation.pictures import comet_line

    pairs = TextPairs(written, found.wanted[0], found.wanted[1:])
    lines = [found.scorer.text("BLEU", pairs, TRANSLATION), found.scorer.text("chrF", pairs, TRANSLATION)]
    if expected.comet is not None and sources is not None:
        lines.append(comet_line(expected.comet, sources, pairs, TRANSLATION)[0])
    return lines


def _own_lines(
    found: "Scored",
    answers: Sequence[GeneratedPage],
    written: Sequence[str],
    known: Sequence[str] | None,
    source_read: Sequence[str] | None,
) -> list[Line]:
    """How well pictures show the model's text, and how well the sources were read, beside what OCR reads there."""
    scorer: Scorer = found.scorer
    lines = [scorer.read("CER", TextPairs(found.read, written), OWN_TEXT)]
    if known is not None and source_read is not None:
        seen = scorer.text("CER", TextPairs([answer.source_text for answer in answers], known), READER)
        lines.append(replace(seen, ceiling=scorer.read("CER", TextPairs(source_read, known), READER).score))
    return lines


def _rows(
    found: "Scored", answers: Sequence[GeneratedPage], written: Sequence[str], known: Sequence[str] | None
) -> list[Row]:
    rows: list[Row] = []
    for index, (row, answer, text) in enumerate(zip(found.rows, answers, written, strict=True)):
        source = {} if known is None else {"source": known[index]}
        seen = " ".join(answer.source_text.split())
        rows.append({**row, "model's text": text, "read by the model": seen, **source})
    return rows


def sheet_pictures(
    sources: PictureFolder, references: PictureFolder, names: Sequence[str], folder: Path
) -> Callable[[str], list[Image.Image | None]]:
    """What shows a sample on the sheet, by its name."""
    made = {name: folder / "generated" / f"{index:05d}.png" for index, name in enumerate(names)}
    generated = PictureFolder(folder / "generated", made)
    return lambda name: [sources.find(name), generated.find(name), references.find(name)]


# --- command ----------------------------------------------------------------------------------------------------------


def add_command(commands: Any) -> None:
    """Add ``pairs`` to the sub-parsers of ``evaluate.py``."""
    parser = commands.add_parser(
        "pairs",
        help="a trained translator on pictures in two languages, yours or a published set",
        description="Translate the pictures of one language and score what comes out against those of the other, "
        "paired by name. One folder that has both is enough: with folders de and en in it (E2E-IIMT, IIMT30k), or with "
        "files such as menu.de.png beside menu.en.png (docs/field.md).",
    )
    parser.add_argument("checkpoint", metavar="NAME|DIR", help="shipped weights, a checkpoint or a run")
    parser.add_argument("sources", type=Path, metavar="SOURCES", help="folder of pictures, or one that has both sides")
    parser.add_argument(
        "references", type=Path, nargs="*", metavar="REFERENCES", help="folders of what they should become"
    )
    parser.add_argument("--source", default="", metavar="LANG", help="language of the sources (that of the weights)")
    parser.add_argument("--target", default="", metavar="LANG", help="language of the references (that of the weights)")
    parser.add_argument("--limit", type=positive, default=0, metavar="N", help="only the first N pictures (all)")
    parser.add_argument("--batch-size", type=positive, default=8, metavar="N", help="pictures at a time (8)")
    add_references(parser)
    add_model(parser)
    add_results(parser, cased=True, ocr=True, sheet=True)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Find the pairs, translate, compare, write everything, and print the scores and where everything went."""
    from translatotron_v.evaluation.loading import load_model
    from translatotron_v.evaluation.pictures import Expected

    comet = comet_of(options)
    folders = []
    if options.references:
        folders = aligned([PictureFolder(path) for path in (options.sources, *options.references)])
        check_paired(folders)
    elif not options.sources.is_dir():
        raise UserError(f"{options.sources}: no such folder")
    model = load_model(options, (options.source, options.target))
    if not options.references:
        data = model.config.data
        source, target = options.source or data.source_language, options.target or data.target_language
        folders = find_sides(options.sources, source, target)
    sources, *references = folders
    texts = options.texts or texts_beside(references)
    source_texts = options.source_texts or sources.texts_beside()
    expected = Expected(references, texts, comet=comet, limit=options.limit)
    name = options.sources.resolve().name
    options.out = out_folder(options, name if options.baseline == "end-to-end" else f"{name}-{options.baseline}")
    chosen = PairOptions(options.batch_size, not options.cased, options.worst)
    report = score_pairs(model, sources, expected, page_ocr(options), options.out, source_texts, chosen)
    shown = sheet_pictures(sources, references[0], expected.names, options.out)
    report.finish(options.out, options.command, shown, TITLES)
