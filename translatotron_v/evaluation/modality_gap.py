"""The modality gap (arXiv 2603.09095): how much worse a translator does on a picture of a text than on the text itself.

The same sentences go through text mode once and through image mode in every cell of a grid: fonts by sizes, and at the
size of training also blurred and with noise. Fonts that the checkpoint was not trained on are called held out.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.errors import UserError
from translatotron_v.evaluation.gap_report import Cell, GapReport
from translatotron_v.evaluation.options import add_checkpoint, add_results, name_list, number_list, out_folder

if TYPE_CHECKING:  # torch takes seconds: `--help` does not wait for it
    from translatotron_v.config import Config, PageConfig
    from translatotron_v.data.pages import PageStyle
    from translatotron_v.data.pairs import TextPair
    from translatotron_v.evaluation.generation import Page
    from translatotron_v.inference.loaded import LoadedTranslator

SIZES = (9, 10, 12)  # pixels per em
BLUR = 1.0  # radius, pixels
NOISE = 25.0  # standard deviation, grey levels
LIMIT = 100  # sentences
SMALLEST = 4  # pixels per em; below it no letter is left


@dataclass(frozen=True)
class Condition:
    """A column of the grid: how the letters look, whatever their font."""

    name: str
    size: int  # pixels per em
    blur: float = 0.0  # radius, pixels
    noise: float = 0.0  # standard deviation, grey levels


def measure_gap(
    loaded: "LoadedTranslator",
    *,
    data: str = "",
    split: str = "",
    limit: int = LIMIT,
    fonts: Sequence[str] = (),
    sizes: Sequence[int] = SIZES,
    blur: float = BLUR,
    noise: float = NOISE,
    batch_size: int = 32,
    quiet: bool = False,
) -> GapReport:
    """Translate the same sentences in text mode and in every cell of the grid, greedily.

    Args:
        data: corpus; empty takes that of the checkpoint's config.
        split: of the corpus; empty takes the validation split.
        limit: this many sentences, the first that fit the page in every font and size.
        fonts: names or paths; empty takes those of training and every bundled family.
        sizes: pixels per em; lines keep the height of training.
        blur, noise: of one more column each at the size of training; 0 leaves it out.
        quiet: show no progress.

    Raises:
        UserError: no text mode, an unknown font, a size at which nothing fits, or no such corpus or split.
    """
    from translatotron_v.checkpoint import weights_digest
    from translatotron_v.data.pairs import read_split
    from translatotron_v.inference.answers import ctc_readings, image_answers, text_answers
    from translatotron_v.inference.loaded import require_text_mode
    from translatotron_v.metrics import bleu, cer
    from translatotron_v.terminal import progress

    require_text_mode(loaded)
    config = dataclasses.replace(
        loaded.config, data=dataclasses.replace(loaded.config.data, folder=data or loaded.config.data.folder)
    )
    split = split or config.data.validation
    columns = _conditions(config.page, sizes, blur, noise)
    rows = _fonts(config.page, fonts)
    pairs = read_split(config, split)
    kept, passed_over = _fitting(pairs, config, rows, columns, limit, f"split {split!r} of {config.data.folder}")
    sources, references = [pair.source for pair in kept], [pair.target for pair in kept]

    texts = text_answers(loaded, sources, batch_size=batch_size, title="text mode", quiet=quiet).texts
    text_score = bleu(texts, references)
    cells = []
    seen = {_plain_name(font) for font in config.page.fonts}
    with progress(len(rows) * len(columns), "image mode, cells", quiet) as bar:
        for font in rows:
            for condition in columns:
                pages = render_cell(sources, config, font, condition)
                answers = image_answers(loaded, pages, batch_size=batch_size, quiet=True).texts
                readings = ctc_readings(loaded, pages, batch_size=batch_size, quiet=True)
                score = bleu(answers, references).value
                cells.append(
                    Cell(
                        font=font,
                        condition=condition.name,
                        size=condition.size,
                        held_out=_plain_name(font) not in seen,
                        bleu=score,
                        gap=text_score.value - score,
                        length_ratio=_words(answers) / max(_words(texts), 1),
                        reference_ratio=_words(answers) / max(_words(references), 1),
                        cer=cer(readings, sources).value,
                    )
                )
                bar.update()
    return GapReport(
        settings={
            "checkpoint": str(loaded.folder),
            "weights": weights_digest(loaded.folder),
            "data": config.data.folder,
            "split": split,
            "languages": f"{config.data.source_language} to {config.data.target_language}",
            "fonts of training": ", ".join(config.page.fonts),
            "size of training": config.page.font_size,
            "line height": config.page.line_height,
            "precision": loaded.precision,
            "batch size": batch_size,
            "BLEU": text_score.signature,
            "CER": cer(sources, sources).signature,
        },
        text_bleu=text_score.value,
        text_reference_ratio=_words(texts) / max(_words(references), 1),
        sentences=len(kept),
        cells=cells,
        notes=_notes(config, len(kept), passed_over, limit),
    )


def render_cell(sources: Sequence[str], config: "Config", font: str, condition: Condition) -> "list[Page]":
    """The pages of a cell, (H, W, C) uint8; the noise of a page depends on its place alone, not on font or size.

    Raises:
        ValueError: a text does not fit; sentences are chosen so that they do.
    """
    from translatotron_v.data import pages as data_pages

    layout = data_pages.page_layout(config.model.canvas)
    style = _style(config.page, font, condition)
    pages = []
    for place, source in enumerate(sources):
        page = data_pages.render_page(source, layout, dataclasses.replace(style, seed=place))
        if page is None:
            raise ValueError(f"does not fit the page in {font} at {condition.size} px: {source!r}")
        pages.append(page.pixels)
    return pages


def _style(page: "PageConfig", font: str, condition: Condition) -> "PageStyle":
    from translatotron_v.data.pages import page_style

    return dataclasses.replace(
        page_style(page, font), font_size=condition.size, blur=condition.blur, noise=condition.noise
    )


def _conditions(page: "PageConfig", sizes: Sequence[int], blur: float, noise: float) -> list[Condition]:
    """The columns: sizes as they are given, then blur and noise."""
    if not sizes:
        raise UserError("--sizes: name at least one size in pixels, such as 9,10,12")
    for size in sizes:
        if size < SMALLEST:
            raise UserError(f"--sizes: {size} px is too small for letters; take {SMALLEST} or more")
    for name, value in (("blur", blur), ("noise", noise)):
        if not 0 <= value < float("inf"):
            raise UserError(f"--{name} must be 0 (left out) or more, not {value:g}")
    columns = [Condition(f"{size} px", size) for size in dict.fromkeys(sizes)]
    if blur:
        columns.append(Condition(f"blur {blur:g}", page.font_size, blur=blur))
    if noise:
        columns.append(Condition(f"noise {noise:g}", page.font_size, noise=noise))
    return columns


def _fonts(page: "PageConfig", fonts: Sequence[str]) -> list[str]:
    """The rows, each font once under the first of its names."""
    from translatotron_v.data.pages import default_fonts

    rows: dict[str, str] = {}
    for font in fonts or (*page.fonts, *default_fonts()):
        rows.setdefault(_plain_name(font), font)
    return list(rows.values())


def _plain_name(font: str) -> str:
    """What names of one font have in common: "FiraGO", "FiraGO-Regular" and a path of FiraGO-Regular.ttf are alike."""
    name = Path(font).name
    return (Path(name).stem if Path(name).suffix.lower() in (".ttf", ".otf", ".ttc") else name).removesuffix("-Regular")


def _fitting(
    pairs: "Sequence[TextPair]", config: "Config", fonts: Sequence[str], columns: Sequence[Condition], limit: int,
    where: str,
) -> "tuple[list[TextPair], int]":  # fmt: skip
    """The first pairs whose source fits in every font and size, and how many were passed over on the way.

    Raises:
        UserError: an unknown font, or there is no such pair; the message names a font and size at which nothing fits.
    """
    from translatotron_v.data import pages as data_pages
    from translatotron_v.data.pairs import one_family_of_errors

    if not pairs:
        raise UserError(f"{where} is empty")
    layout = data_pages.page_layout(config.model.canvas)
    sharp = {condition.size: Condition("", condition.size) for condition in columns}
    styles = [_style(config.page, font, condition) for font in fonts for condition in sharp.values()]
    with one_family_of_errors():  # an unknown font is the renderer's to report
        for style in styles:
            if not any(data_pages.fits(pair.source, layout, style) for pair in pairs):
                raise UserError(
                    f"{where}: no sentence fits a page of {layout.height}x{layout.width} pixels in {style.font} at "
                    f"{style.font_size} px on lines of {style.line_height}; take other --sizes or --fonts"
                )
        kept: list[TextPair] = []
        passed_over = waiting = 0  # those after the last that is kept count only once another follows
        for pair in pairs:
            if all(data_pages.fits(pair.source, layout, style) for style in styles):
                kept.append(pair)
                passed_over, waiting = passed_over + waiting, 0
            else:
                waiting += 1
            if len(kept) == limit:
                return kept, passed_over
    if not kept:
        raise UserError(f"{where}: no sentence fits the page in every font and size; take fewer --sizes or --fonts")
    return kept, passed_over + waiting


def _words(texts: Sequence[str]) -> int:
    return sum(len(text.split()) for text in texts)


def _notes(config: "Config", count: int, passed_over: int, limit: int) -> list[str]:
    notes = [f"{count} sentences, the same in every cell; {passed_over} passed over that do not fit every page."]
    if count < limit:
        notes.append(f"The split has no more of them; --limit was {limit}.")
    if not config.model.ctc_frames:
        notes.append("The model has no CTC head: CER is that of the OCR head.")
    return notes


def add_command(commands: Any) -> None:
    """Add `modality-gap` to the commands of `evaluate.py` (argparse subparsers)."""
    parser = commands.add_parser(
        "modality-gap",
        help="image mode against text mode, over fonts and sizes",
        description="Translate the same sentences as text and as pictures in every font and size, and report the gap.",
    )
    add_checkpoint(parser, limit=LIMIT, limited="sentences", batch_size=32, batch="sentences at a time")
    parser.add_argument(
        "--fonts", type=name_list, default=(), metavar="LIST", help="names or paths (those of training and all bundled)"
    )
    parser.add_argument(
        "--sizes", type=number_list, default=SIZES, metavar="LIST", help=f"in pixels ({','.join(map(str, SIZES))})"
    )
    parser.add_argument(
        "--blur", type=float, default=BLUR, metavar="PIXELS",
        help=f"radius, at the size of training; 0: none ({BLUR:g})",
    )  # fmt: skip
    parser.add_argument(
        "--noise", type=float, default=NOISE, metavar="LEVELS",
        help=f"standard deviation in grey levels, at the size of training; 0: none ({NOISE:g})",
    )  # fmt: skip
    add_results(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Measure, write, and print the table and where everything went."""
    from translatotron_v.evaluation.report import origin
    from translatotron_v.inference.pipeline import Translator

    loaded = Translator.from_pretrained(options.checkpoint, device=options.device, threads=options.threads).loaded
    names = ("data", "split", "limit", "fonts", "sizes", "blur", "noise", "batch_size")
    report = measure_gap(loaded, **{name: getattr(options, name) for name in names})
    report.settings |= {"checkpoint": options.checkpoint} | origin(options.command)
    written = report.write(out_folder(options, "modality-gap"))
    print(f"{report.screen()}\n\n{written}")
