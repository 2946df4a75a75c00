"""Scores of a trained translator on rendered pages of a corpus.

Every pair of the split counts: a source text that does not fit its page has an empty answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from translatotron_v.config import Config
from translatotron_v.data import pages as data_pages
from translatotron_v.data import shards
from translatotron_v.data.pairs import read_split
from translatotron_v.errors import UserError
from translatotron_v.evaluation.generation import GeneratedPage, Generation, Page, generate_pages, to_image
from translatotron_v.evaluation.reading import Boxes, PageReader
from translatotron_v.evaluation.report import Line, Report
from translatotron_v.evaluation.scoring import Scorer, TextPairs, similarity, similarity_lines, texts_of
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


@dataclass(frozen=True)
class TestPage:
    """One pair of a split, folded and rendered as the checkpoint's pages are; a page that does not fit is None."""

    source: str
    reference: str
    source_page: Page | None
    reference_page: Page | None


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


def render_split(config: Config, split: str, limit: int = 0, blank_source: bool = False) -> list[TestPage]:
    """Render the pairs of a split, the fonts of training in turn, or take its pages from shards (only those that fit).

    Raises:
        UserError: the corpus or the split is missing.
    """
    pairs = read_split(config, split)
    pairs = pairs[:limit] if limit else pairs
    if not pairs:
        raise UserError(f"{config.data.folder}: split {split!r} is empty")
    layout = data_pages.page_layout(config.model.canvas)
    rendered = []
    for sample in data_pages.plain_samples(pairs, config):
        source_page, reference_page = (_page(sample, layout, side) for side in (0, 1))
        if source_page is not None and blank_source:
            source_page = np.full_like(source_page, 255)
        rendered.append(TestPage(sample.source, sample.target, source_page, reference_page))
    return rendered


def _page(sample: data_pages.Sample, layout: data_pages.PageLayout, side: int) -> Page | None:
    """The source (0) or target (1) page, as it is stored or else rendered; None if its text does not fit."""
    if sample.pictures is not None:
        return shards.decode(sample.pictures[side])
    rendered = data_pages.render_page((sample.source, sample.target)[side], layout, sample.style)
    return None if rendered is None else rendered.pixels


@dataclass(frozen=True)
class _Found:
    """Everything that is known of the pages, in their order."""

    pages: Sequence[TestPage]
    answers: Sequence[GeneratedPage | None]
    readings: Sequence[Boxes]  # of the generated pictures
    originals: Sequence[Boxes]  # of the reference pages
    rebuilt: Sequence[Boxes]  # of the reference pages after the tokenizer

    def references_read(self, readings: Sequence[Boxes]) -> TextPairs | None:
        """What was read where there is a reference page, and what should have been; None if there is no such page."""
        pairs = [
            (text, page.reference)
            for text, page in zip(texts_of(readings), self.pages, strict=True)
            if page.reference_page is not None
        ]
        return TextPairs([text for text, _ in pairs], [text for _, text in pairs]) if pairs else None


def score_checkpoint(
    model: PageModel, pages: Sequence[TestPage], reader: PageReader, folder: Path, options: Options
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
        rebuilt=reader.read_all(_reconstruct(model, pages, options.batch_size), len(pages), "reading reconstructions"),
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
        _cost_line(generations, options),
    ]
    rows = _rows(scorer, found, alike)
    by_error = sorted(rows, key=lambda row: (-float(row["CER"] or 0), str(row["name"])))
    return Report(
        title=_title(model, options, len(pages)),
        settings={
            **model.identity,
            "data": model.config.data.folder,
            "split": options.split,
            "languages": f"{model.config.data.source_language} to {model.config.data.target_language}",
            "fonts": ", ".join(model.config.page.fonts),
            "blank source": options.blank_source,
            "lower case": options.lower_case,
            "limit": options.limit,
            "batch size": options.batch_size,
        },
        lines=lines,
        notes=_notes(pages),
        rows=list(rows),
        worst=[str(row["name"]) for row in by_error[: options.worst]],
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


def _title(model: PageModel, options: Options, count: int) -> str:
    blank = ", source blanked" if options.blank_source else ""
    return f"{model.identity['checkpoint']} on {model.config.data.folder} {options.split}: {count:,} pairs{blank}"


def _translation_lines(scorer: Scorer, found: _Found) -> list[Line]:
    """Translation quality, of the text and of the pictures, over all pairs; and how well pictures show the text."""
    references = [page.reference for page in found.pages]
    read = texts_of(found.readings)
    texts = TextPairs([answer.text if answer else "" for answer in found.answers], references)
    pictures, ceiling = TextPairs(read, references), TextPairs(texts_of(found.originals), references)
    lines = [scorer.text("BLEU", texts, TRANSLATION), scorer.text("chrF", texts, TRANSLATION)]
    lines += [scorer.read("BLEU", pictures, PICTURE, ceiling), scorer.read("chrF", pictures, PICTURE, ceiling)]
    drawn = [(text, answer.text) for text, answer in zip(read, found.answers, strict=True) if answer]
    if drawn:
        own = TextPairs([text for text, _ in drawn], [text for _, text in drawn])
        lines.append(scorer.read("CER", own, OWN_TEXT, found.references_read(found.originals)))
    return lines


def _structure_lines(scorer: Scorer, found: _Found) -> list[Line]:
    """Structure-BLEU, over the pairs whose reference page exists."""
    kept = [index for index, page in enumerate(found.pages) if page.reference_page is not None]
    if not kept:
        return []
    readings, originals = ([boxes[index] for index in kept] for boxes in (found.readings, found.originals))
    return scorer.structure(readings, originals, STRUCTURE, [found.pages[index].reference for index in kept])


def _part_lines(scorer: Scorer, found: _Found) -> list[Line]:
    """The tokenizer and the reader by themselves, over the pages that exist."""
    lines = []
    if (rebuilt := found.references_read(found.rebuilt)) is not None:
        lines.append(scorer.read("CER", rebuilt, TOKENIZER, found.references_read(found.originals)))
    seen = [
        (answer.source_text, page.source) for page, answer in zip(found.pages, found.answers, strict=True) if answer
    ]
    if seen:
        lines.append(scorer.text("CER", TextPairs([text for text, _ in seen], [text for _, text in seen]), READER))
    return lines


def _cost_line(generations: Sequence[Generation | None], options: Options) -> Line:
    costs = [generation.cpu_seconds for generation in generations if generation is not None]
    mean = float(np.mean(costs)) if costs else 0.0
    return Line(
        Score("CPU-seconds", mean, f"process time, all threads|batch:{options.batch_size}"), COST, count=len(costs)
    )


def _reconstruct(model: PageModel, pages: Sequence[TestPage], batch_size: int) -> list[Page | None]:
    rebuilt: list[Page | None] = [None] * len(pages)
    present = [(index, page.reference_page) for index, page in enumerate(pages) if page.reference_page is not None]
    for start in range(0, len(present), batch_size):
        indices, originals = zip(*present[start : start + batch_size], strict=True)
        for index, page in zip(indices, model.reconstruct(originals), strict=True):
            rebuilt[index] = page
    return rebuilt


def _rows(
    scorer: Scorer, found: _Found, alike: Sequence[dict[str, float] | None]
) -> list[dict[str, str | float | None]]:
    """One for each pair; BLEU and CER are those of the picture."""
    rows: list[dict[str, str | float | None]] = []
    read = texts_of(found.readings)
    for index, (page, answer, text, values) in enumerate(zip(found.pages, found.answers, read, alike, strict=True)):
        rows.append(
            {
                "name": f"{index:05d}",
                **scorer.sample(text, page.reference),
                "CER against own text": scorer.sample(text, answer.text)["CER"] if answer else None,
                **(values or {"SSIM": None, "PSNR": None}),
                "source": page.source,
                "read by the model": answer.source_text if answer else "",
                "model's text": answer.text if answer else "",
                "read on the picture": text,
                "reference": page.reference,
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
