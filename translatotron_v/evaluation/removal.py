"""How well text is taken off pictures whose ground is known: error of the ground under it, texture, harm beside it.

Each page is drawn, given lines as a detector would box them, grouped, straightened and separated as any page is; what a
page that is put together again takes from the background is set against the ground before any JPEG.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from translatotron_v.arguments import not_negative, positive
from translatotron_v.errors import UserError
from translatotron_v.evaluation.options import OUT, add_results, name_list
from translatotron_v.evaluation.report import Cell, Line, Report, table
from translatotron_v.metrics.score import Score

if TYPE_CHECKING:  # torch and OpenCV take seconds: `--help` does not wait for them
    from translatotron_v.evaluation.rendering import GroundPage
    from translatotron_v.models.matting import TextMatting
    from translatotron_v.page.inpaint import Painter

COUNT = 5  # pages of each ground in each format: one in each look
QUALITIES = (0, 95, 75, 50, 30)  # 0: PNG
BARS = {"plain": 2.0, "gradient": 2.0, "disc": 2.0, "photo": 6.0}  # mean absolute error of the ground, grey levels
TEXTURE_BARS = (0.8, 1.25)  # of the local deviation under the text as a share of the ground's
TEXTURED = ("checker", "grain")
FURNISHED = ("rules", "frame", "button", "bubble")
_ERROR = ("ground MAE", "difference:absolute|levels:8 bit|channels:mean|where:alpha>0|ground:before JPEG")
_TEXTURE = ("texture", "deviation:local|window:9|where:alpha>0|over:ground in the same format")
_HARMED = ("pages harmed", "count:pages|change:any|where:rules, frames, edges")
_SIZES = (14, 56)  # pixels per em
_WINDOW = 9  # pixels a side, of a local deviation
_TEXTURED = 1.0  # local deviation of the ground from which there is a texture to keep
_TEXTS = (
    ("Zwei Männer spielen Fußball", "und gehen danach nach Hause."),
    ("Öffnungszeiten von Montag", "bis Freitag, 9 bis 17 Uhr"),
    ("Bitte nicht füttern!", "Die Tiere sind satt."),
    ("Heiße Schokolade",),
)


@dataclass(frozen=True)
class Removed:
    """What became of one page.

    Attributes:
        error: mean absolute difference from the clean ground where text stood, 8-bit levels, mean of the channels.
        same_format: the same from the ground that went through the same JPEG.
        texture: local standard deviation there, as a share of the ground's; None where it has none.
        harm: largest change of a pixel of a rule, frame or edge, levels.
        beyond: pixels that changed farther than four from the text, as a share of the text's.
    """

    error: float
    same_format: float
    texture: float | None
    harm: int
    beyond: float


def take_off(page: "GroundPage", matting: "TextMatting | None", painter: "Painter | None" = None) -> np.ndarray:
    """The page's picture (H, W, 3) with its text taken off."""
    from translatotron_v.page.blocks import find_blocks
    from translatotron_v.page.free_ground import panel
    from translatotron_v.page.lines import Line
    from translatotron_v.page.separate import separate
    from translatotron_v.page.straighten import straighten

    lines = [
        Line(((left, top), (right, top), (right, bottom), (left, bottom)), 0.0, bottom - top)
        for left, top, right, bottom in page.lines
    ]
    answer = page.pixels.copy()
    for block in find_blocks(lines, answer.shape[1], page.pixels):
        crop = straighten(page.pixels, block)
        within = panel(block.region, crop, block.em)
        layers = separate(crop.pixels.astype(np.float32) / 255, matting, crop.where(), block.em, painter, within)
        left, top = (-round(float(shift)) for shift in crop.matrix[:, 2])
        window = answer[top : top + crop.pixels.shape[0], left : left + crop.pixels.shape[1]]
        window[layers.hole] = np.rint(layers.background[layers.hole] * 255).astype(np.uint8)
    return answer


def measure(page: "GroundPage", taken_off: np.ndarray) -> Removed:
    """Compare a picture without its text with what was under it."""
    from translatotron_v.page.residue import grow

    under = page.text_alpha > 0
    changed = np.abs(taken_off.astype(np.int16) - page.pixels).max(axis=2)
    ground = _deviation(page.ground)[under].mean()
    near = grow(under, 4)
    return Removed(
        float(np.abs(taken_off.astype(np.float32) - page.clean)[under].mean()),
        float(np.abs(taken_off.astype(np.float32) - page.ground)[under].mean()),
        float(_deviation(taken_off)[under].mean() / ground) if ground > _TEXTURED else None,
        int(changed[page.fixed].max(initial=0)),
        float(np.count_nonzero((changed > 0) & ~near) / np.count_nonzero(under)),
    )


def _deviation(pixels: np.ndarray) -> np.ndarray:
    """Local standard deviation of brightness, levels: (H, W)."""
    import cv2

    grey = pixels.astype(np.float32).mean(axis=2)
    mean = cv2.blur(grey, (_WINDOW, _WINDOW))
    answer: np.ndarray = np.sqrt(np.maximum(cv2.blur(grey * grey, (_WINDOW, _WINDOW)) - mean * mean, 0))
    return answer


class RemovalReport(Report):
    """A report whose table has a row for each ground and a column for each format."""

    def add(self, ground: str, form: str, found: Sequence[Removed]) -> None:
        """Enter the pages of one ground in one format, and what of them is outside its bars."""
        error = float(np.mean([one.error for one in found]))
        self._enter(_ERROR, error, ground, form, len(found))
        if error > BARS.get(ground, np.inf):
            self.notes.append(f"Over its bar: {ground}, {form}, {error:.2f} > {BARS[ground]:g}.")
        textures = [one.texture for one in found if one.texture is not None]
        if ground in TEXTURED and textures:
            texture = float(np.mean(textures))
            self._enter(_TEXTURE, texture, ground, form, len(textures))
            if not TEXTURE_BARS[0] <= texture <= TEXTURE_BARS[1]:
                self.notes.append(f"Outside its bars: texture of {ground}, {form}, {texture:.2f}.")
        if ground in FURNISHED:
            harmed = sum(one.harm > 0 for one in found)
            self._enter(_HARMED, harmed, ground, form, len(found))

    def _enter(self, metric: tuple[str, str], value: float, ground: str, form: str, count: int) -> None:
        self.lines.append(Line(Score(metric[0], float(value), metric[1]), f"{ground}, {form}", count=count))

    @property
    def scores(self) -> str:
        """Their table."""
        values = {(line.score.name, *line.what.split(", ")): line.score.value for line in self.lines}
        forms = list(dict.fromkeys(form for _, _, form in values))
        rows: list[list[Cell]] = []
        for name, ground in dict.fromkeys((name, ground) for name, ground, _ in values):
            if name == _ERROR[0]:
                bar = f"<= {BARS[ground]:g}" if ground in BARS else ""
            else:
                bar = "0" if name == _HARMED[0] else f"{TEXTURE_BARS[0]:g} to {TEXTURE_BARS[1]:g}"
            rows.append([name, ground, bar, *(values.get((name, ground, form)) for form in forms)])
        return table(["score", "ground", "bar", *forms], rows)


def score_removal(
    matting: "TextMatting | None",
    grounds: Sequence[str] = (),
    count: int = COUNT,
    seed: int = 0,
    photographs: Sequence[str] = (),
    painter: "Painter | None" = None,
) -> RemovalReport:
    """Draw pages, take their text off, and report ground by ground and format by format.

    Args:
        grounds: some of `data_synth.grounds.GROUNDS`; none: all.
        count: pages of each ground in each format; they take the looks in turn, and are the same in every format.
        photographs: names of bundled ones; none: all.

    Raises:
        UserError: a ground that does not exist.
    """
    from translatotron_v.evaluation.rendering import GROUND_LOOKS, GROUNDS, draw_ground_page

    for name in grounds:
        if name not in GROUNDS:
            raise UserError(f"ground {name!r}: choose from {', '.join(GROUNDS)}")
    report = RemovalReport("Text taken off known ground", {}, [])
    for ground in grounds or GROUNDS:
        for quality in QUALITIES:
            form = f"JPEG {quality}" if quality else "PNG"
            found = []
            for number in range(count):
                page = draw_ground_page((seed, number), ground, _TEXTS, _SIZES, photographs, quality)
                one = measure(page, take_off(page, matting, painter))
                found.append(one)
                look = GROUND_LOOKS[number % len(GROUND_LOOKS)]
                report.rows.append({"name": f"{ground}-{form}-{number}", "look": look, "em": page.em, **vars(one)})
            report.add(ground, form, found)
    report.settings = {
        "grounds": list(grounds) or "all",
        "pages": count,
        "seed": seed,
        "photographs": list(photographs) or "all",
    }
    return report


def add_command(commands: Any) -> None:
    """Add ``removal`` to the sub-parsers of ``evaluate.py``."""
    parser = commands.add_parser(
        "removal",
        help="what is left of old text where it was taken off",
        description="Draw text in several looks on ground that is known, take it off, and compare.",
    )
    parser.add_argument(
        "checkpoint", nargs="?", default="small", metavar="NAME|DIR",
        help="weights with a matting network, or the run of one (small)",
    )  # fmt: skip
    parser.add_argument("--grounds", type=name_list, default=(), metavar="LIST", help="some of them (all)")
    parser.add_argument("--count", type=positive, default=COUNT, metavar="N", help=f"pages of each ({COUNT})")
    parser.add_argument("--seed", type=not_negative, default=0, metavar="N", help="of how the pages look (0)")
    parser.add_argument(
        "--photographs", type=name_list, default=(), metavar="LIST", help="bundled ones, such as coffee.png (all)"
    )
    parser.add_argument("--painter", metavar="FILE.onnx", help="a model that fills what is no smooth ground")
    add_results(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Measure, write everything, and print the table and where it went."""
    import torch

    from translatotron_v.page.painter import OnnxPainter
    from translatotron_v.page.separate import load_matting
    from translatotron_v.shipped import find_weights

    torch.set_num_threads(1)
    folder = Path(find_weights(options.checkpoint))
    painter = None if options.painter is None else OnnxPainter(options.painter)
    report = score_removal(
        load_matting(folder), options.grounds, options.count, options.seed, options.photographs, painter
    )
    report.settings = {"checkpoint": options.checkpoint, "painter": options.painter, **report.settings}
    report.finish(options.out or OUT / "removal", options.command)
