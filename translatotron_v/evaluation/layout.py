"""How well lines are grouped into blocks and put in order, on pages whose layout is known.

A found block is the truth's where their boxes overlap by at least half of what they cover together (IoU .5), each
block being counted once, the best overlaps first. F1 is of blocks found and blocks there. Order is the share of pairs
of matched blocks of one page that stand in the truth's order; "next" the share of neighbours in the truth, both
matched, that are neighbours in what was found. "Aligned" is the share of matched blocks that are set as in the truth:
to the left (justified or not), to the right or centred.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

from translatotron_v.arguments import not_negative, positive
from translatotron_v.evaluation.options import OUT, add_results, name_list
from translatotron_v.evaluation.report import Line, Report, Row, table
from translatotron_v.metrics.score import Score

if TYPE_CHECKING:
    from translatotron_v.evaluation.rendering import LayoutPage
    from translatotron_v.ocr import LineDetector
    from translatotron_v.page.blocks import Block

Bounds = tuple[float, float, float, float]

OVERLAP = 0.5  # intersection over union from which two boxes are one block's
BARS = {"F1": 0.95, "order": 0.97}
SETS = ("held-out", "tuning")
TITLES = ("page", "truth (green: not found) and blocks (blue, red: not there)")
_WORST = 12  # pages on the sheet


@dataclass(frozen=True)
class Counts:
    """What was found on pages.

    Attributes:
        truth, found, matched: blocks.
        pairs, ordered: pairs of matched blocks, and those in the truth's order.
        neighbours, next: matched blocks that follow one another in the truth, and those that do so in what was found.
        merged: found blocks that hold the middles of several of the truth's.
        split: blocks of the truth that hold the middles of several found ones.
        aligned: matched blocks that are set as in the truth.
    """

    truth: int = 0
    found: int = 0
    matched: int = 0
    pairs: int = 0
    ordered: int = 0
    neighbours: int = 0
    next: int = 0
    merged: int = 0
    split: int = 0
    aligned: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        ours, theirs = asdict(self), asdict(other)
        return Counts(**{name: ours[name] + theirs[name] for name in ours})

    @property
    def f1(self) -> float:
        """Of blocks; 1 where there are none and none is found."""
        total = self.truth + self.found
        return 2 * self.matched / total if total else 1.0

    @property
    def order(self) -> float:
        """Share of pairs in the truth's order; 1 where there is no pair."""
        return self.ordered / self.pairs if self.pairs else 1.0


def overlap(one: Bounds, two: Bounds) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (one, two)]
    return width * height / (sum(areas) - width * height)


def match(truth: Sequence[Bounds], found: Sequence[Bounds]) -> dict[int, int]:
    """Number of a block of the truth -> number of the found one, the best overlaps first."""
    overlaps = sorted(
        (
            (overlap(box, other), -place, -number)
            for place, box in enumerate(truth)
            for number, other in enumerate(found)
        ),
        reverse=True,
    )
    answer: dict[int, int] = {}
    taken: set[int] = set()
    for share, place, number in overlaps:
        if share >= OVERLAP and -place not in answer and -number not in taken:
            answer[-place] = -number
            taken.add(-number)
    return answer


def compare(
    truth: Sequence[Bounds], found: Sequence[Bounds], alignments: tuple[Sequence[str], Sequence[str]]
) -> Counts:
    """Blocks of a page, both in reading order.

    Args:
        truth, found: their boxes.
        alignments: of the truth's blocks and of those found.
    """
    matched = match(truth, found)
    places = [matched[place] for place in sorted(matched)]
    neighbours = [(matched[a], matched[b]) for a, b in pairwise(range(len(truth))) if a in matched and b in matched]

    def holds(outer: Bounds, inner: Bounds) -> bool:
        x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
        return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]

    return Counts(
        truth=len(truth),
        found=len(found),
        matched=len(matched),
        pairs=len(places) * (len(places) - 1) // 2,
        ordered=sum(first < second for first, second in combinations(places, 2)),
        neighbours=len(neighbours),
        next=sum(after == before + 1 for before, after in neighbours),
        merged=sum(sum(holds(box, other) for other in truth) > 1 for box in found),
        split=sum(sum(holds(box, other) for other in found) > 1 for box in truth),
        aligned=sum(_edge(alignments[0][own]) == _edge(alignments[1][other]) for own, other in matched.items()),
    )


def _edge(alignment: str) -> str:
    return "left" if alignment == "justified" else alignment


def bounds_of(block: "Block") -> Bounds:
    """The upright rectangle around a found block."""
    columns, rows = zip(*block.quad, strict=True)
    return min(columns), min(rows), max(columns), max(rows)


def find_on(page: "LayoutPage", detector: "LineDetector") -> list["Block"]:
    """The blocks that are found on a page, in reading order."""
    from translatotron_v.page.blocks import find_blocks
    from translatotron_v.page.search import find_lines

    lines = find_lines(page.pixels, detector)
    return find_blocks(lines, page.pixels.shape[1], page.pixels)


class LayoutReport(Report):
    """F1 and order by layout."""

    def screen(self) -> str:
        """A row for each layout, and one for all."""
        head = ["layout", "pages", "F1", "order", "next", "aligned", "blocks", "found", "matched", "merged", "split"]
        rows = [[str(value) for value in row.values()] for row in self.settings["by layout"]]
        return "\n".join([self.title, "", table(head, rows), "", *self.notes]).rstrip()


def report_of(
    title: str, settings: dict[str, Any], names: Sequence[str], kinds: Sequence[str], counts: Sequence[Counts]
) -> LayoutReport:
    """Scores of pages, by layout and in all."""
    groups = {
        kind: [own for own, other in zip(counts, kinds, strict=True) if other == kind] for kind in dict.fromkeys(kinds)
    }
    groups["all"] = list(counts)
    lines, rows = [], []
    for kind, own in groups.items():
        total = sum(own, Counts())
        signature = f"iou:{OVERLAP}|detector:{settings['detector']}"
        lines.append(Line(Score("F1", total.f1, signature), kind, None, total.truth))
        lines.append(Line(Score("order", total.order, f"pairs|{signature}"), kind, None, total.pairs))
        follow = total.next / total.neighbours if total.neighbours else 1.0
        rows.append(
            {
                "layout": kind,
                "pages": len(own),
                "F1": round(total.f1, 4),
                "order": round(total.order, 4),
                "next": round(follow, 4),
                "aligned": round(total.aligned / total.matched if total.matched else 1.0, 4),
                "blocks": total.truth,
                "found": total.found,
                "matched": total.matched,
                "merged": total.merged,
                "split": total.split,
            }
        )
    total = sum(counts, Counts())
    notes = [
        f"{name} {value:.4f}: {'reaches' if value >= BARS[name] else 'is below'} the bar of {BARS[name]}."
        for name, value in (("F1", total.f1), ("order", total.order))
    ]
    samples: list[Row] = [{"name": name, **asdict(own)} for name, own in zip(names, counts, strict=True)]
    worst = sorted(zip(names, counts, strict=True), key=lambda one: (one[1].f1, one[1].order))[:_WORST]
    return LayoutReport(title, settings | {"by layout": rows}, lines, notes, samples, [name for name, _ in worst])


def add_command(commands: Any) -> None:
    """Add ``layout`` to the sub-parsers of ``evaluate.py``."""
    parser = commands.add_parser(
        "layout",
        help="how well lines are grouped into blocks and put in order",
        description="Render menus, forms, receipts and other layouts of known blocks, find lines and blocks, and score "
        "blocks (F1 at IoU .5), reading order and alignment. Thresholds were chosen on --set tuning alone.",
    )
    parser.add_argument("--set", choices=SETS, default=SETS[0], dest="part", help=f"of measures and faces ({SETS[0]})")
    parser.add_argument("--layouts", type=name_list, default=(), metavar="LIST", help="some of them (all)")
    parser.add_argument("--limit", type=positive, default=8, metavar="N", help="pages of each layout (8)")
    parser.add_argument("--seed", type=not_negative, default=0, metavar="N", help="of the pages (0)")
    parser.add_argument("--faces", default="configs/faces.yaml", metavar="FILE", help="of faces (configs/faces.yaml)")
    add_results(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Draw, find, score, write everything, and print the table and where everything went."""
    from importlib.metadata import version

    from PIL import Image, ImageDraw

    from translatotron_v.evaluation.rendering import layout_pages
    from translatotron_v.ocr import LineDetector

    detector = LineDetector()
    pages: dict[str, tuple[LayoutPage, list[Bounds], list[Bounds]]] = {}
    counts = []
    held_out = options.part == SETS[0]
    drawn = layout_pages(options.layouts, options.faces, held_out, options.limit, options.seed)
    for number, page in enumerate(drawn):
        truth: list[Bounds] = [block.frame for block in page.blocks]
        blocks = find_on(page, detector)
        found = [bounds_of(block) for block in blocks]
        alignments = [block.alignment for block in page.blocks], [block.alignment for block in blocks]
        pages[f"{page.kind}-{number % options.limit}"] = page, truth, found
        counts.append(compare(truth, found, alignments))
    names = list(pages)
    settings = {
        "set": options.part,
        "pages of each layout": options.limit,
        "seed": options.seed,
        "faces": options.faces,
        "detector": f"rapidocr-{version('rapidocr')}",
    }
    title = f"Layout: {len(pages)} pages of the {options.part} set"
    report = report_of(title, settings, names, [page.kind for page, _, _ in pages.values()], counts)
    options.out = options.out or OUT / f"layout-{options.part}"

    def pictures(name: str) -> list[Image.Image]:
        page, truth, found = pages[name]
        shown = Image.fromarray(page.pixels)
        marked, pen = shown.copy(), None
        pen = ImageDraw.Draw(marked)
        matched = match(truth, found)
        for place, box in enumerate(truth):
            if place not in matched:
                pen.rectangle(box, outline=(0, 180, 0), width=2)
        for number, box in enumerate(found):
            pen.rectangle(box, outline=(90, 90, 255) if number in matched.values() else (255, 0, 0))
        return [shown, marked]

    report.finish(options.out, options.command, pictures, TITLES)
