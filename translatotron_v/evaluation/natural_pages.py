"""The modality gap on natural pages: menus, slides, comics, columns, ... against clean strips of the same sentences.

Each sentence is translated three times: as text, as a strip that is rendered in its face (what the grid of
`modality_gap` shows), and as a strip that is cut out of a page of known layout by the pipeline of whole pages. Lines
are taken where they are known to stand, so that no error of layout is mixed in (`evaluate.py layout` measures those).

Shapes: H and W pixels of a strip.
"""

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from translatotron_v.errors import UserError
from translatotron_v.evaluation.modality_gap import Condition, render_cell
from translatotron_v.evaluation.options import add_checkpoint, add_results, out_folder
from translatotron_v.evaluation.report import as_json, table, write_files

if TYPE_CHECKING:  # torch takes seconds: `--help` does not wait for it
    from translatotron_v.data.pairs import TextPair
    from translatotron_v.evaluation.generation import Page
    from translatotron_v.evaluation.rendering import LayoutPage
    from translatotron_v.inference.loaded import LoadedTranslator
    from translatotron_v.inference.whole_pages import PageTranslator
    from translatotron_v.ocr import LineDetector
    from translatotron_v.page.blocks import Block

LIMIT = 64  # sentences
FACES, MATTING = "configs/faces.yaml", "small"
_ASCENT, _DESCENT = 0.85, 0.27  # ems above and below a baseline, of the box in which a detector finds a line
_ROUNDS = 64  # pages of each layout that are drawn at most


@dataclass(frozen=True)
class NaturalStrip:
    """A sentence on a page.

    Attributes:
        pixels: (H, W, 1) uint8, as the pipeline of whole pages cuts it out.
        rendered: (H, W, 1) uint8, the same sentence rendered in the same face.
        source, target: the sentence, and what it means.
        layout: kind of the page.
        font: its face.
    """

    pixels: "Page"
    rendered: "Page"
    source: str
    target: str
    layout: str
    font: str


@dataclass(frozen=True)
class NaturalGap:
    """Scores of the same sentences as text, on rendered strips, and on strips of natural pages; CER of the CTC head."""

    sentences: int
    text_bleu: float
    rendered_bleu: float
    natural_bleu: float
    rendered_cer: float
    natural_cer: float
    layouts: dict[str, int]  # how many of the sentences stand on each kind
    signature: str  # of BLEU

    def screen(self) -> str:
        """A row for each way."""
        rows: list[list[str | float | None]] = [
            ["text", self.text_bleu, 0.0, None],
            ["rendered strips", self.rendered_bleu, self.text_bleu - self.rendered_bleu, self.rendered_cer],
            ["natural pages", self.natural_bleu, self.text_bleu - self.natural_bleu, self.natural_cer],
        ]
        pages = ", ".join(f"{count} on {layout}" for layout, count in self.layouts.items())
        return f"{table(['given as', 'BLEU', 'gap', 'CER'], rows, digits=3)}\n\n{self.sentences} sentences: {pages}."


def measure_natural(
    loaded: "LoadedTranslator",
    *,
    data: str = "",
    split: str = "",
    limit: int = LIMIT,
    faces: str = FACES,
    matting: str | Path = MATTING,
    held_out: bool = True,
    seed: int = 0,
    batch_size: int = 32,
    quiet: bool = False,
) -> NaturalGap:
    """Translate sentences as text, as rendered strips and off natural pages, greedily.

    Args:
        data, split: corpus, and what of it; empty takes those of the checkpoint's config.
        limit: at most so many sentences that fit one strip both ways.
        faces: file of faces; ``held_out`` takes its unseen ones and measures that no threshold was chosen on.
        matting: weights that take ink off its ground: a run or shipped weights by name.

    Raises:
        UserError: no text mode, a model of other strips, or a corpus of which no sentence can be drawn.
    """
    from translatotron_v.data.pairs import read_split
    from translatotron_v.inference.answers import ctc_readings, image_answers, text_answers
    from translatotron_v.inference.loaded import require_text_mode
    from translatotron_v.metrics import bleu, cer

    require_text_mode(loaded)
    config = dataclasses.replace(
        loaded.config, data=dataclasses.replace(loaded.config.data, folder=data or loaded.config.data.folder)
    )
    pairs = read_split(config, split or config.data.validation)
    strips = list(natural_strips(loaded, pairs, faces, matting, held_out, limit, seed))
    if not strips:
        raise UserError(f"{config.data.folder}: no sentence fits a strip of a natural page")
    references, sources = [strip.target for strip in strips], [strip.source for strip in strips]
    texts = text_answers(loaded, sources, batch_size=batch_size, quiet=quiet).texts
    scores: dict[str, tuple[float, float]] = {}
    for name in ("rendered", "pixels"):
        shown = [getattr(strip, name) for strip in strips]
        answers = image_answers(loaded, shown, batch_size=batch_size, quiet=quiet).texts
        read = ctc_readings(loaded, shown, batch_size=batch_size, quiet=quiet)
        scores[name] = bleu(answers, references).value, cer(read, sources).value
    kinds = [strip.layout for strip in strips]
    score = bleu(texts, references)
    return NaturalGap(
        sentences=len(strips),
        text_bleu=score.value,
        rendered_bleu=scores["rendered"][0],
        natural_bleu=scores["pixels"][0],
        rendered_cer=scores["rendered"][1],
        natural_cer=scores["pixels"][1],
        layouts={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        signature=score.signature,
    )


def natural_strips(
    loaded: "LoadedTranslator",
    pairs: "Sequence[TextPair]",
    faces: str,
    matting: str | Path,
    held_out: bool,
    limit: int,
    seed: int,
) -> Iterator[NaturalStrip]:
    """Sentences that stand alone in a block, each once, on pages of all layouts in turn.

    Raises:
        UserError: a model of other strips than the pipeline cuts, or no face is installed.
    """
    from translatotron_v.evaluation.rendering import LAYOUTS, layout_pages
    from translatotron_v.inference.whole_pages import EndToEnd, PageTranslator
    from translatotron_v.page.separate import load_matting
    from translatotron_v.page.strips import HEIGHT, WIDTH
    from translatotron_v.shipped import find_weights

    canvas = loaded.config.model.canvas
    if (canvas.height, canvas.width, canvas.channels) != (HEIGHT, WIDTH, 1):
        raise UserError(
            f"{loaded.folder}: natural pages are cut into grey strips of {HEIGHT}x{WIDTH} pixels, this model reads "
            f"{canvas.height}x{canvas.width}"
        )
    no_detector = cast("LineDetector", None)  # lines are known: none is searched
    translator = PageTranslator(EndToEnd(loaded), load_matting(find_weights(matting)), no_detector)
    waiting = {pair.source: pair.target for pair in pairs if len(pair.source.split()) >= 5}
    count = 0
    for index in range(_ROUNDS):
        for page in layout_pages(LAYOUTS, faces, held_out, 1, seed + index, pairs):
            for strip in _strips_of(page, translator, loaded, waiting):
                waiting.pop(strip.source)
                yield strip
                count += 1
                if count == limit:
                    return


def _strips_of(
    page: "LayoutPage", translator: "PageTranslator", loaded: "LoadedTranslator", waiting: dict[str, str]
) -> Iterator[NaturalStrip]:
    """The blocks of a page that hold one sentence of those that are waited for, and fit one strip both ways."""
    import numpy as np

    from translatotron_v.page.strips import pack

    seen: set[str] = set()
    for known in page.blocks:
        if known.text not in waiting or known.text in seen:
            continue
        boxes = [box for _, box in known.lines]
        lines = [(left, base, right) for (left, _, right, _), base in zip(boxes, known.baselines, strict=True)]
        try:
            [rendered] = render_cell(
                [known.text], loaded.config, known.font, Condition("", loaded.config.page.font_size)
            )
        except ValueError:  # it does not fit a strip at this size
            continue
        state = translator.prepare_block(page.pixels, _block(lines, known.em))
        strips = pack(state.paragraph.runs)
        if len(strips) != 1:
            continue
        seen.add(known.text)
        pixels = np.round(255 * (1 - strips[0].text_alpha)).astype(np.uint8)[:, :, None]
        yield NaturalStrip(pixels, rendered, known.text, waiting[known.text], page.kind, known.font)


def _block(lines: Sequence[tuple[int, int, int]], em: int) -> "Block":
    """A block as a detector that makes no error finds it: left edge, baseline and right edge of each line, pixels."""
    from translatotron_v.page.blocks import Block
    from translatotron_v.page.lines import Line

    rows = []
    for left, base, right in lines:
        top, bottom = base - _ASCENT * em, base + _DESCENT * em
        quad = ((left, top), (right, top), (right, bottom), (left, bottom))
        rows.append((Line(quad, 0.0, bottom - top),))
    return Block(tuple(rows), 0.0)


def add_command(commands: Any) -> None:
    """Add `natural-pages` to the commands of `evaluate.py`."""
    parser = commands.add_parser(
        "natural-pages",
        help="image mode off menus, slides, comics, ... against rendered strips and text mode",
        description="Translate the same sentences as text, as rendered strips, and off pages of known layout.",
    )
    add_checkpoint(parser, limit=LIMIT, limited="sentences", batch_size=32, batch="strips at a time")
    parser.add_argument("--faces", default=FACES, metavar="FILE", help=f"of the pages ({FACES})")
    parser.add_argument("--matting", default=MATTING, metavar="RUN", help=f"what separates ink and ground ({MATTING})")
    parser.add_argument("--seen", action="store_true", help="faces and measures of training, not the held-out ones")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the pages (0)")
    add_results(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Measure, write JSON and Markdown, and print the table."""
    from translatotron_v.evaluation.report import origin
    from translatotron_v.inference.pipeline import Translator

    loaded = Translator.from_pretrained(options.checkpoint, device=options.device, threads=options.threads).loaded
    names = ("data", "split", "limit", "faces", "matting", "seed", "batch_size")
    found = measure_natural(loaded, held_out=not options.seen, **{name: getattr(options, name) for name in names})
    content = {**dataclasses.asdict(found), "settings": {"checkpoint": options.checkpoint} | origin(options.command)}
    files = {"natural.json": as_json(content), "natural.md": f"{found.screen()}\n"}
    written = write_files(out_folder(options, "natural-pages"), files)
    print(f"{found.screen()}\n\n{written}")
