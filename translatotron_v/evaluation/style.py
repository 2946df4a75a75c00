"""How well a block's style is given back: pages whose style is known, their own words drawn in the regular face.

No translation and no drawer takes part. The words of a page are drawn in its family's regular face at a strip's size,
as a drawer would, brought to what was measured on the page, and put in the place of the page's own; then both pages
are compared with what is known.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from translatotron_v.arguments import not_negative, positive
from translatotron_v.evaluation.options import OUT, add_results
from translatotron_v.evaluation.report import Line, Report, Row
from translatotron_v.evaluation.style_pages import (
    KINDS,
    StyledPage,
    drawn_words,
    face_file_families,
    fine_ink,
    styled_faces,
    styled_pages,
)
from translatotron_v.metrics.score import Score

if TYPE_CHECKING:  # torch takes seconds: only an evaluation pays for it
    from translatotron_v.models.matting import TextMatting
    from translatotron_v.page.style import Style

_FINE = 10.0  # times a strip's size, at which the slant of what is put back is measured
STEM, SLANT, COLOUR = 0.15, 3.0, 6.0  # what is wanted: share of the width, degrees, units of CIEDE2000
_SHARPER = 0.1  # pixels by which an edge may be softer than the source's: what the same edge differs by with its place
_WORST = 12


@dataclass(frozen=True)
class Given:
    """What became of a page.

    Attributes:
        page: as it was, and in ``pixels`` as it is now.
        errors: by name, each without sign; a name that is missing does not apply.
    """

    page: StyledPage
    pixels: np.ndarray
    errors: dict[str, float]


def give_back(page: StyledPage, matting: "TextMatting | None") -> Given:
    """Measure a page's style, put its words drawn in the regular face back in that style, and compare."""
    from translatotron_v.page.blocks import Block
    from translatotron_v.page.compose import compose
    from translatotron_v.page.lines import Line as TextLine
    from translatotron_v.page.separate import separate
    from translatotron_v.page.straighten import straighten
    from translatotron_v.page.style import dress, measure_style

    left, top, right, bottom = map(float, page.bounds)
    line = TextLine(((left, top), (right, top), (right, bottom), (left, bottom)), 0.0, bottom - top)
    crop = straighten(page.pixels, Block(((line,),), 0.0, "left"))
    layers = separate(crop.pixels.astype(np.float32) / 255, matting, crop.where())
    letters, setting, style = measure_style(crop, layers)
    words, gap = dress(drawn_words(page), style)
    composed = compose(page.pixels, crop, letters, setting, words, "left", gap=gap, style=style)
    errors = {"left as it was": float(bool(composed.skip_reason)), "colour": colour_error(letters.colour, page.ink)}
    baseline = setting.baselines[0] - float(crop.matrix[1, 2])
    if page.kind in ("face", "shear", "large"):
        errors |= _shape_errors(page, composed.pixels, baseline) | {"slant": _slant_error(page, style)}
    errors |= _extra_errors(page, style)
    return Given(page, composed.pixels, errors)


def colour_error(one: Sequence[float], other: Sequence[float]) -> float:
    """CIEDE2000 between two colours, RGB in [0, 1]."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    pair = rgb2lab(np.array([[one, other]], dtype=np.float64))[0]
    return float(deltaE_ciede2000(pair[0], pair[1]))


def coverage(pixels: np.ndarray, page: StyledPage) -> np.ndarray:
    """How much of each pixel (H, W) is ink, on a plain ground of known colours."""
    ground = np.array(page.ground, dtype=np.float32)
    towards = np.array(page.ink, dtype=np.float32) - ground
    share = (pixels.astype(np.float32) / 255 - ground) @ towards / float(towards @ towards)
    return np.asarray(np.clip(share, 0, 1))


def _slant_error(page: StyledPage, style: "Style") -> float:
    """Degrees between the page's slant and that of its words as they are put back, measured at a large size."""
    from translatotron_v.page.shapes import Line as InkLine
    from translatotron_v.page.shapes import slant
    from translatotron_v.page.shaping import ShapedWord
    from translatotron_v.page.strips import EM, frame
    from translatotron_v.page.style import shape_for

    words = drawn_words(page)
    shape = shape_for(words, style)
    got = slant([InkLine(ShapedWord(word, shape)(_FINE), frame(_FINE)[0], _FINE * EM) for word in words])
    ink, base, em = fine_ink(page.words, page.face.face)
    return abs(got - page.truth.get("lean", slant([InkLine(ink, base, em)])))


def _shape_errors(page: StyledPage, pixels: np.ndarray, baseline: float) -> dict[str, float]:
    from translatotron_v.page.shapes import Line as InkLine
    from translatotron_v.page.shapes import edge_width, stem_width

    ink, base, em = fine_ink(page.words, page.face.face)
    true = InkLine(ink, base, em)
    new, old = coverage(pixels, page), coverage(page.pixels, page)
    put = InkLine(new, baseline, float(page.em))
    errors: dict[str, float] = {}
    wanted, got = stem_width([true]), stem_width([put])
    if page.kind != "shear":
        errors["stem"] = abs(got / wanted - 1)
        drawn, base, em = fine_ink(page.words, page.face.regular)
        errors["stem before"] = abs(stem_width([InkLine(drawn, base, em)]) / wanted - 1)
    before, after = edge_width(old), edge_width(new)
    if before and after and page.kind != "shear":
        errors |= {"edge": after, "edge of source": before, "softer": max(after - before, 0.0)}
    return errors


def _extra_errors(page: StyledPage, style: "Style") -> dict[str, float]:
    """What was asked of one kind of page, and what was seen where nothing is."""
    truth = page.truth
    seen = {
        "line": len(style.decorations),
        "outline": int(style.outline is not None),
        "shadow": int(style.shadow is not None),
        "tint": len(style.tints),
    }
    asked = {"underline": "line", "underlined word": "line", "strike": "line"}.get(page.kind, page.kind)
    errors = {"seen where nothing is": float(any(count for name, count in seen.items() if name != asked))}
    if asked in seen:
        errors["missed"] = float(not seen[asked])
    if asked in seen and not seen[asked]:
        return errors
    if asked == "line":
        line = style.decorations[0]
        errors |= {"line: place": abs(line.below - truth["below"])}
        errors |= {"line: thickness": abs(line.thickness - truth["thickness"])}
        errors |= {"line: words": float(not _same_words(page, line.spans))}
        errors |= {"line: colour": colour_error(line.colour, page.ink)}
    elif asked == "tint":
        errors |= {"tint: colour": colour_error(style.tints[0][1], truth["tint"])}
        errors |= {"tint: words": float(not _same_words(page, [span for span, _ in style.tints]))}
    elif asked == "outline" and style.outline is not None:
        errors |= {"outline: width": abs(style.outline.width - truth["width"])}
        errors |= {"outline: colour": colour_error(style.outline.colour, truth["outline"])}
    elif asked == "shadow" and style.shadow is not None:
        away = np.hypot(style.shadow.right - truth["move"], style.shadow.down - truth["move"])
        errors |= {"shadow: place": float(away), "shadow: blur": abs(style.shadow.blur - truth["blur"])}
    elif asked == "spacing":
        errors |= _spacing_error(page, style)
    return errors


def _same_words(page: StyledPage, spans: Sequence[Any]) -> bool:
    """Whether the words that are marked when the page's own are put back are those that were."""
    from translatotron_v.page.style import marked

    widths = [word.shape[1] for word in drawn_words(page)]
    return {number for span in spans for number in marked(span, widths)} == set(page.truth["words"])


def _spacing_error(page: StyledPage, style: "Style") -> dict[str, float]:
    """By how many ems letters that are put back stand closer or further apart than the page's."""
    from translatotron_v.page.shapes import Line as InkLine
    from translatotron_v.page.shapes import letter_gaps
    from translatotron_v.page.shaping import ShapedWord
    from translatotron_v.page.strips import EM, frame
    from translatotron_v.page.style import shape_for

    left, _, right, _ = page.bounds
    old = coverage(page.pixels, page)[:, left:right]
    gaps = letter_gaps([InkLine(old, page.baseline, page.em)])
    words = drawn_words(page)
    shape = shape_for(words, style)
    scale = page.em / EM
    lines = [InkLine(ShapedWord(word, shape)(scale), frame(scale)[0], page.em) for word in words]
    return {"spacing": abs(float(np.median(letter_gaps(lines))) - float(np.median(gaps[: -len(words) + 1 or None])))}


# --- report -----------------------------------------------------------------------------------------------------------


def style_report(title: str, settings: dict[str, Any], given: Sequence[Given]) -> Report:
    """The errors of pages, by kind and all together, and the shares that are within what is wanted."""
    lines: list[Line] = []

    def add(name: str, what: str, unit: str, select: Callable[[Given], float | None], limit: float = 0.0) -> None:
        values = [value for one in given if (value := select(one)) is not None]
        if not values:
            return
        lines.append(Line(Score(f"{name}, mean", float(np.mean(values)), f"unit:{unit}"), what, count=len(values)))
        if limit:
            within = float(np.mean([value <= limit for value in values]))
            lines.append(
                Line(Score("accuracy", within, f"within:{limit}|unit:{unit}"), f"{what}: {name}", None, len(values))
            )

    add("stem width", "faces and large text", "share", _error("stem"), STEM)
    add("stem width as drawn", "the same, not given back", "share", _error("stem before"), STEM)
    add("slant", "faces, sheared and large text", "degrees", _error("slant"), SLANT)
    add("colour", "all pages", "CIEDE2000", _error("colour"), COLOUR)
    add("edge of the source", "faces and large text", "pixels", _error("edge of source"))
    add("edge given back", "faces and large text", "pixels", _error("edge"))
    add("softer than the source", "faces and large text", "pixels", _error("softer"), _SHARPER)
    names = dict.fromkeys(name for one in given for name in one.errors)
    for name in names:
        if ": " in name or name == "spacing":
            unit = "CIEDE2000" if "colour" in name else "share" if "words" in name else "ems"
            add(name, "pages of that kind", unit, _error(name), COLOUR if "colour" in name else 0.0)
    for name in ("missed", "seen where nothing is", "left as it was"):
        add(name, "pages", "share", _error(name))
    rows: list[Row] = [_row(one, list(names)) for one in given]
    worst = sorted(given, key=lambda one: -_badness(one))[:_WORST]
    return Report(title, settings, lines, rows=rows, worst=[one.page.name for one in worst])


def _error(name: str) -> Callable[[Given], float | None]:
    return lambda given: given.errors.get(name)


def _row(given: Given, names: Sequence[str]) -> Row:
    page = given.page
    row: dict[str, str | int | float | None] = {
        "name": page.name, "kind": page.kind, "face": page.face.face, "size": page.em,
    }  # fmt: skip
    return row | {name: given.errors.get(name) for name in names}


def _badness(given: Given) -> float:
    """How far the worst of a page's errors is beyond what is wanted."""
    limits = {"stem": STEM, "slant": SLANT, "colour": COLOUR, "missed": 0.5, "seen where nothing is": 0.5}
    return max(given.errors.get(name, 0.0) / limit for name, limit in limits.items())


# --- command ----------------------------------------------------------------------------------------------------------


def add_command(commands: Any) -> None:
    """Add ``style`` to the sub-parsers of ``evaluate.py``."""
    parser = commands.add_parser(
        "style",
        help="how well weight, slant, colour, lines, outline and shadow of text are given back",
        description="Draw pages in faces that no training page has, put their own words, drawn in the regular face, "
        "in their place, and measure stems, slant, colour and edges against what is known.",
    )
    parser.add_argument("--weights", default="small", metavar="NAME|DIR", help="whose text matting is used (small)")
    parser.add_argument(
        "--faces", default="configs/faces.yaml", metavar="FILE", help="file of faces (configs/faces.yaml)"
    )
    parser.add_argument("--part", default="unseen", metavar="NAME", help="of that file: unseen or training (unseen)")
    parser.add_argument("--most", type=positive, default=60, metavar="N", help="faces at most, drawn by the seed (60)")
    parser.add_argument("--count", type=positive, default=2, metavar="N", help="pages of each face (2)")
    parser.add_argument("--seed", type=not_negative, default=0, metavar="N", help="of words, colours and measures (0)")
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="CPU threads (1)")
    add_results(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Draw, give back, compare, write everything, and print the table and where everything went."""
    import torch
    from PIL import Image

    from translatotron_v.page.separate import load_matting
    from translatotron_v.shipped import find_weights

    torch.set_num_threads(options.threads)
    families = face_file_families(options.faces, options.part)
    faces = styled_faces(families)
    if len(faces) > options.most:
        chosen = np.random.default_rng(options.seed).permutation(len(faces))[: options.most]
        faces = [faces[number] for number in sorted(chosen)]
    matting = load_matting(find_weights(options.weights))
    given = [give_back(page, matting) for page in styled_pages(faces, options.count, options.seed)]
    settings = {
        "weights": options.weights,
        "faces": ", ".join(face.face for face in faces),
        "part": options.part,
        "kinds": ", ".join(KINDS),
        "pages of each face": options.count,
        "seed": options.seed,
    }
    report = style_report(f"Style of {len(given)} pages in {len(faces)} faces", settings, given)
    options.out = options.out or Path(OUT) / f"style-{options.part}"
    pictures = {one.page.name: [Image.fromarray(one.page.pixels), Image.fromarray(one.pixels)] for one in given}
    report.finish(options.out, options.command, lambda name: pictures[name], ("source", "given back"))
