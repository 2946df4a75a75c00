"""Scores of a trained translator on rendered pages of a corpus.

Every pair of the split counts: a source text that does not fit its page has an empty answer. Texts are compared block
by block, each found by its place on the page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from translatotron_v.config import Config
from translatotron_v.evaluation.generation import (
    GeneratedPage,
    Generation,
    Page,
    generate_pages,
    left_blocks,
    to_image,
)
from translatotron_v.evaluation.reading import Boxes, PageOcr
from translatotron_v.evaluation.regions import answered, in_reading_order, texts_in
from translatotron_v.evaluation.rendering import TestPage as TestPage
from translatotron_v.evaluation.rendering import TestPages, redrawn
from translatotron_v.evaluation.rendering import render_split as render_split
from translatotron_v.evaluation.report import Line, Report, Row, worst_of
from translatotron_v.evaluation.scoring import Scorer, TextPairs, similarity, similarity_lines
from translatotron_v.inference.pictures import open_picture
from translatotron_v.metrics import Score

TITLES = ("source", "generated", "reference")  # columns of the sheet

# What the lines of the report compare; the names by which `Report.value` finds them.
TRANSLATION = "model's text against reference"
PICTURE = "generated pictures against reference"
OWN_TEXT = "generated pictures against model's own text"
STRUCTURE = "paragraphs of generated and reference pages"
PIXELS = "generated against reference pages"
TOKENIZER = "tokenizer's reconstruction of reference pages"
READER = "source text as the model reads it"
COST = "per picture"

_BETWEEN = " / "  # blocks of one page in the table of samples


class PageModel(Protocol):
    """A translator of pages; a test puts a fake in its place."""

    config: Config
    identity: dict[str, Any]  # what its answers depend on, JSON values

    def translate(self, pages: Sequence[Page]) -> list[GeneratedPage]:
        """Translate a batch of source pages."""
        ...

    def reconstruct(self, pages: Sequence[Page]) -> list[Page]:
        """Pages after the image tokenizer's encoder and decoder."""
        ...


@dataclass(frozen=True)
class Options:
    """How a checkpoint is scored."""

    split: str
    limit: int = 0  # only the first pairs; 0 takes all
    blank_source: bool = False  # show the model white pages instead
    batch_size: int = 8
    lower_case: bool = True
    worst: int = 12  # samples on the sheet
    quiet: bool = False  # no progress bars
    test_pages: TestPages = field(default_factory=TestPages)  # of the pages that are scored


@dataclass(frozen=True)
class _Found:
    """Everything that is known of the pages, in their order; a reading holds the lines of one picture."""

    pages: Sequence[TestPage]
    answers: Sequence[GeneratedPage | None]
    readings: Sequence[Boxes]  # of the generated pictures
    originals: Sequence[Boxes]  # of the reference pages
    rebuilt: Sequence[Boxes] | None  # of the reference pages after the tokenizer, if it is for such pages

    @property
    def references(self) -> list[str]:
        """The reference texts of all blocks."""
        return [text for page in self.pages for text in page.references]

    def own(self) -> list[tuple[str, str]]:
        """The model's own text and what it read, of all blocks."""
        return [texts for index in range(len(self.pages)) for texts in self.own_on(index)]

    def own_on(self, index: int) -> list[tuple[str, str]]:
        """The same, of the blocks of one page."""
        return answered(self.pages[index].regions, self.answers[index])

    def read(self, readings: Sequence[Boxes]) -> list[str]:
        """What was read in all blocks."""
        pages = zip(self.pages, readings, strict=True)
        return [text for page, boxes in pages for text in texts_in(page.regions, boxes)]

    def where(self, present: Sequence[Any]) -> list[bool]:
        """For all blocks: whether their page has what is None elsewhere."""
        pages = zip(self.pages, present, strict=True)
        return [item is not None for page, item in pages for _ in page.references]

    def references_read(self, readings: Sequence[Boxes]) -> TextPairs | None:
        """What was read where there is a reference page, and what should have been; None if there is no such page."""
        shown = self.where([page.reference_page for page in self.pages])
        return _chosen(self.read(readings), self.references, shown)


def _chosen(hypotheses: Sequence[str], references: Sequence[str], chosen: Sequence[bool]) -> TextPairs | None:
    """The pairs of texts that are chosen; None if there are none."""
    pairs = [pair for *pair, take in zip(hypotheses, references, chosen, strict=True) if take]
    return TextPairs([text for text, _ in pairs], [text for _, text in pairs]) if pairs else None


def score_checkpoint(
    model: PageModel, pages: Sequence[TestPage], reader: PageOcr, folder: Path, options: Options
) -> Report:
    """Translate the pages, read them, and compare everything with everything that it should equal.

    Args:
        folder: keeps the generated pages under `generated/`, so that an interrupted run goes on.
    """
    sources = [page.source_page for page in pages]
    generations = generate_pages(
        model.translate, sources, folder / "generated", model.identity, options.batch_size, options.quiet
    )
    answers = [None if generation is None else generation.page for generation in generations]
    pictures = [None if answer is None else answer.picture for answer in answers]
    found = _Found(
        pages,
        answers,
        originals=reader.read_all((page.reference_page for page in pages), len(pages), "reading references"),
        rebuilt=reader.read_all(_reconstruct(model, pages, options.batch_size), len(pages), "reading reconstructions")
        if options.test_pages.pages == "strips" and not redrawn(model.config.page)
        else None,
        readings=reader.read_all(pictures, len(pages), "reading pictures"),
    )
    scorer = Scorer(reader.signature, options.lower_case)
    alike = [
        None if page.reference_page is None else similarity(picture, page.reference_page)
        for page, picture in zip(pages, pictures, strict=True)
    ]
    measured = [values for values in alike if values is not None]
    lines = [
        *_translation_lines(scorer, found),
        *_structure_lines(scorer, found),
        *(similarity_lines(measured, PIXELS) if measured else []),
        *_part_lines(scorer, found),
        cost_line(generations, options.batch_size),
    ]
    rows = _rows(scorer, found, alike)
    return Report(
        title=_title(model, options, found),
        settings={
            **model.identity,
            "data": model.config.data.folder,
            "split": options.split,
            "languages": f"{model.config.data.source_language} to {model.config.data.target_language}",
            **options.test_pages.settings(model.config),
            "blank source": options.blank_source,
            "lower case": options.lower_case,
            "limit": options.limit,
            "batch size": options.batch_size,
        },
        lines=lines,
        notes=[*_notes(pages), *left_blocks(answers)],
        rows=rows,
        worst=worst_of(rows, options.worst),
    )


def sheet_pictures(pages: Sequence[TestPage], folder: Path) -> Callable[[str], list[Image.Image | None]]:
    """What shows a sample on the sheet, by the name that the report gives it."""

    def pictures(name: str) -> list[Image.Image | None]:
        page, generated = pages[int(name)], folder / "generated" / f"{name}.png"
        source, reference = (
            None if shown is None else to_image(shown) for shown in (page.source_page, page.reference_page)
        )
        return [source, open_picture(generated) if page.source_page is not None else None, reference]

    return pictures


def _title(model: PageModel, options: Options, found: _Found) -> str:
    kind = options.test_pages.pages
    drawn = "" if kind == "strips" else f" on {len(found.pages):,} pages of {kind}"
    counted = f"{len(found.references):,} pairs{drawn}{', source blanked' if options.blank_source else ''}"
    return f"{model.identity['checkpoint']} on {model.config.data.folder} {options.split}: {counted}"


def _translation_lines(scorer: Scorer, found: _Found) -> list[Line]:
    """Translation quality, of the text and of the pictures, over all pairs; and how well pictures show the text."""
    references, read, written = found.references, found.read(found.readings), [text for text, _ in found.own()]
    texts = TextPairs(written, references)
    pictures, ceiling = TextPairs(read, references), TextPairs(found.read(found.originals), references)
    lines = [scorer.text("BLEU", texts, TRANSLATION), scorer.text("chrF", texts, TRANSLATION)]
    lines += [scorer.read("BLEU", pictures, PICTURE, ceiling), scorer.read("chrF", pictures, PICTURE, ceiling)]
    if (drawn := _chosen(read, written, found.where(found.answers))) is not None:
        best = found.references_read(found.originals)
        lines.append(scorer.read("CER", drawn, OWN_TEXT, best))
        if (said := _chosen(read, written, [bool(text) for text in written])) is not None:  # blocks left: not drawn
            lines.append(scorer.read("exact", said, OWN_TEXT, best))
    return lines


def _structure_lines(scorer: Scorer, found: _Found) -> list[Line]:
    """Structure-BLEU, over the pages whose reference exists."""
    kept = [index for index, page in enumerate(found.pages) if page.reference_page is not None]
    if not kept:
        return []
    readings, originals = ([boxes[index] for index in kept] for boxes in (found.readings, found.originals))
    pages = [found.pages[index] for index in kept]
    texts = [" ".join(in_reading_order(page.regions, page.references)) for page in pages]
    return scorer.structure(readings, originals, STRUCTURE, texts)


def _part_lines(scorer: Scorer, found: _Found) -> list[Line]:
    """The tokenizer and the reader by themselves, over the pages that exist."""
    lines = []
    if found.rebuilt is not None and (rebuilt := found.references_read(found.rebuilt)) is not None:
        lines.append(scorer.read("CER", rebuilt, TOKENIZER, found.references_read(found.originals)))
    sources = [text for page in found.pages for text in page.sources]
    if (seen := _chosen([text for _, text in found.own()], sources, found.where(found.answers))) is not None:
        lines.append(scorer.text("CER", seen, READER))
    return lines


def cost_line(generations: Sequence[Generation | None], batch_size: int) -> Line:
    """CPU-seconds of a picture, of those that were translated so many at a time."""
    costs = [generation.cpu_seconds for generation in generations if generation is not None]
    mean = float(np.mean(costs)) if costs else 0.0
    return Line(Score("CPU-seconds", mean, f"process time, all threads|batch:{batch_size}"), COST, count=len(costs))


def _reconstruct(model: PageModel, pages: Sequence[TestPage], batch_size: int) -> list[Page | None]:
    rebuilt: list[Page | None] = [None] * len(pages)
    present = [(index, page.reference_page) for index, page in enumerate(pages) if page.reference_page is not None]
    for start in range(0, len(present), batch_size):
        indices, originals = zip(*present[start : start + batch_size], strict=True)
        for index, page in zip(indices, model.reconstruct(originals), strict=True):
            rebuilt[index] = page
    return rebuilt


def _rows(scorer: Scorer, found: _Found, alike: Sequence[dict[str, float] | None]) -> list[Row]:
    """One for each page, its blocks one after the other; BLEU and CER are those of the picture."""
    rows: list[Row] = []
    for index, (page, answer, values) in enumerate(zip(found.pages, found.answers, alike, strict=True)):
        read, own = texts_in(page.regions, found.readings[index]), found.own_on(index)
        written = [text for text, _ in own]
        rows.append(
            {
                "name": f"{index:05d}",
                **scorer.sample(" ".join(read), " ".join(page.references)),
                "CER against own text": scorer.sample(" ".join(read), " ".join(written))["CER"] if answer else None,
                **(values or {"SSIM": None, "PSNR": None}),
                "source": _BETWEEN.join(page.sources),
                "read by the model": _BETWEEN.join(text for _, text in own),
                "model's text": _BETWEEN.join(written),
                "read on the picture": _BETWEEN.join(read),
                "reference": _BETWEEN.join(page.references),
            }
        )
    return rows


def _notes(pages: Sequence[TestPage]) -> list[str]:
    notes = []
    if sources := sum(page.source_page is None for page in pages):
        notes.append(f"{sources} source texts do not fit the page; their answers count as empty.")
    if references := sum(page.reference_page is None for page in pages):
        notes.append(
            f"{references} reference texts do not fit the page: they count in BLEU and chrF (empty in the ceiling), "
            "not where a reference page is needed."
        )
    return notes
