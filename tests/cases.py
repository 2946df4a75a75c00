"""Small inputs of the kinds that real pages are of, led through the pipeline with words that are known beforehand.

`python -m tests.cases OUT` writes the inputs, what came out and `cases.md`, the table of both; `tests/test_cases.py`
asserts it. Words stand in a table (`baselines.known_texts`), so that what is looked at is how pages are handled.
"""

import argparse
import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageSequence
from torch import nn

from tests.page.pages import FACE
from translatotron_v.baselines.known_texts import KnownTexts
from translatotron_v.config import Config
from translatotron_v.inference.files import translate_jobs
from translatotron_v.inference.jobs import plan_jobs
from translatotron_v.inference.loaded import LoadedTranslator, Translation
from translatotron_v.inference.pipeline import Translator
from translatotron_v.inference.whole_pages import PageTranslator
from translatotron_v.ocr import LineDetector
from translatotron_v.page.residue import grow
from translatotron_v.page.separate import load_matting
from translatotron_v.page.shapes import edge_width
from translatotron_v.shipped import shipped_folder, shipped_weights

Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

SENTENCES = {
    "Am Abend kocht mein Onkel eine Suppe.": "In the evening my uncle cooks a soup.",
    "Der Zug nach Norden hat Verspätung.": "The train to the north is late.",
    "Unsere Katze schläft auf dem Sofa.": "Our cat is sleeping on the sofa.",
    "Im Garten blühen schon die Rosen.": "The roses are blooming in the garden.",
}
TEXTS = dict(SENTENCES)


@dataclass
class Run:
    """What became of one input.

    Attributes:
        source, answer: frames or pages as arrays (H, W, C).
        modes: of source and answer.
        durations: of the frames of both, milliseconds.
        translations: one a frame.
    """

    source: list[np.ndarray]
    answer: list[np.ndarray]
    modes: tuple[str, str]
    durations: tuple[list[int], list[int]]
    translations: list[Translation]

    def written(self, frame: int = 0) -> list[str]:
        return [block.text for block in self.translations[frame].blocks if not block.skip_reason]

    def left(self, frame: int = 0) -> list[str]:
        return [
            f"{block.source_text} ({block.skip_reason})"
            for block in self.translations[frame].blocks
            if block.skip_reason
        ]

    def changed(self, frame: int = 0) -> np.ndarray:
        """Where (H, W) bool the picture is another one."""
        return (self.source[frame] != self.answer[frame]).any(axis=2)


Check = Callable[[Run], str]  # what is wrong; empty where nothing is


@dataclass(frozen=True)
class Case:
    """An input: how it is made, what should come out, and what else is looked at besides its words."""

    kind: str
    should: str
    make: Callable[[Path], None]
    words: Mapping[int, Sequence[str]]  # of each frame, what is to be written on it, in reading order
    checks: tuple[Check, ...] = ()
    suffix: str = ".png"
    stays: int = 0  # blocks of the first frame that are left as they are


@dataclass
class Row:
    """A line of the table."""

    kind: str
    came: str
    should: str
    wrong: list[str] = field(default_factory=list)


def face(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FACE), size)


def sheet(
    size: tuple[int, int],
    rows: Sequence[str],
    em: int,
    at: tuple[int, int] = (24, 20),
    paper: Colour = WHITE,
    ink: Colour = BLACK,
    gap: float = 1.3,
) -> Image.Image:
    """Rows of text on plain paper."""
    page = Image.new("RGB", size, paper)
    for number, row in enumerate(rows):
        ImageDraw.Draw(page).text((at[0], at[1] + number * round(gap * em)), row, font=face(em), fill=ink)
    return page


def saved(page: Image.Image, **how: object) -> Callable[[Path], None]:
    return lambda path: page.save(path, **how)  # type: ignore[arg-type]


# --- checks ---------------------------------------------------------------------------------------------------------


def untouched(*boxes: Box, but: bool = False) -> Check:
    """Not a bit differs in boxes; with `but`, outside all of them."""

    def check(run: Run) -> str:
        changed = run.changed()
        inside = np.zeros(changed.shape, dtype=bool)
        for left, top, right, bottom in boxes:
            inside[top:bottom, left:right] = True
        count = np.count_nonzero(changed & (~inside if but else inside))
        return f"{count} pixels that should stay differ" if count else ""

    return check


def sharp(run: Run) -> str:
    before, after = (edge_width(1 - pixels[0].astype(np.float32)[..., 0] / 255) for pixels in (run.source, run.answer))
    return "" if after <= before + 0.35 else f"edges rise over {after:.1f} pixels, {before:.1f} in the source"


def clean(ground: Image.Image, least: float = 40.0, most: float = 2.0) -> Check:
    """Where old ink was and no new ink is, the picture is its ground."""

    def check(run: Run) -> str:
        truth = np.asarray(ground.convert("RGB")).astype(np.float32)
        old = np.abs(run.source[0].astype(np.float32) - truth).max(axis=2) > least
        off = np.abs(run.answer[0].astype(np.float32) - truth).max(axis=2)
        seen = np.abs(run.answer[0].astype(np.float32) - truth).mean(axis=2)[old & ~grow(off > least, 3)]
        mean = float(seen.mean()) if seen.size else 0.0
        return "" if mean <= most else f"the ground under old letters is {mean:.1f} levels off"

    return check


def centred(*boxes: Box) -> Check:
    """The ink in each box stands in its middle, and is as high as in the others."""

    def check(run: Run) -> str:
        heights, wrong = [], []
        for left, top, right, bottom in boxes:
            part = run.answer[0][top:bottom, left:right].astype(int)
            columns, rows = (
                np.flatnonzero((np.abs(part - part[0, 0]).max(axis=2) > 90).any(axis=axis)) for axis in (0, 1)
            )
            if not len(columns):
                return "a box is empty"
            heights.append(rows[-1] - rows[0])
            off = (columns[0] + columns[-1] + 1) / 2 - (right - left) / 2
            wrong += [f"a label is {off:.0f} pixels off its middle"] if abs(off) > 3 else []
        return "; ".join(wrong) or (
            "" if max(heights) - min(heights) <= 2 else f"labels are {[int(height) for height in heights]} pixels high"
        )

    return check


def angles(*wanted: float) -> Check:
    def check(run: Run) -> str:
        found = [block.angle for block in run.translations[0].blocks]
        near = len(found) == len(wanted) and all(abs(a - b) < 0.7 for a, b in zip(found, wanted, strict=True))
        return "" if near else f"angles {found}"

    return check


def like(box: Box, colour: Colour, least: float = 0.5) -> Check:
    """In a box as much of a colour is seen as in the source, or a share of it."""

    def check(run: Run) -> str:
        left, top, right, bottom = box
        before, after = (
            np.count_nonzero(np.abs(one[0][top:bottom, left:right].astype(int) - colour).max(axis=2) < 60)
            for one in (run.source, run.answer)
        )
        return "" if before and after >= least * before else f"{colour}: {before} pixels before, {after} after"

    return check


def kept(modes: str, timed: bool = False) -> Check:
    def check(run: Run) -> str:
        wrong = [] if run.modes == (modes, modes) else [f"mode {run.modes[0]} became {run.modes[1]}"]
        if len(run.source) != len(run.answer):
            wrong.append(f"{len(run.answer)} of {len(run.source)} frames")
        if timed and run.durations[0] != run.durations[1]:
            wrong.append(f"durations {run.durations}")
        return "; ".join(wrong)

    return check


def transparent(run: Run) -> str:
    before, after = run.source[0][..., 3], run.answer[0][..., 3]
    clear = float((after == 0).mean())
    ok = clear > 0.8 and after.max() == 255 and (before != after).any()
    return "" if ok else f"{clear:.0%} of the ground is transparent"


# --- inputs ---------------------------------------------------------------------------------------------------------


def shapes_and_sizes() -> list[Case]:
    TEXTS.update({"Bitte leise": "Quiet please", "Offen": "Open"})
    german, english = list(SENTENCES), list(SENTENCES.values())
    tall = Image.new("RGB", (460, 9000), WHITE)
    for number in range(10):
        ImageDraw.Draw(tall).text((20, 60 + 900 * number), german[number % 4], font=face(22), fill=0)
    wide = Image.new("RGB", (7000, 120), WHITE)
    for number in range(4):
        ImageDraw.Draw(wide).text((60 + 1700 * number, 40), german[number], font=face(22), fill=0)
    page = sheet((700, 60), german[:1], 24)
    ink = page.convert("L").point(lambda level: 255 * (level < 200)).getbbox()
    passage = "Der Zug nach Norden hat Verspätung, und auf dem Bahnsteig warten viele Leute auf die Abfahrt."
    TEXTS[passage] = "The train to the north is late, and many people are waiting on the platform for its departure."
    upright = sheet((480, 150), [passage[:36], passage[36:69], passage[69:]], 24)
    tilts = Image.new("RGB", (760, 420), WHITE)
    for degrees, at, row in ((5, (30, 40), german[2]), (-7, (40, 230), german[3])):
        piece = Image.new("RGBA", (620, 60), (0, 0, 0, 0))
        ImageDraw.Draw(piece).text((5, 10), row, font=face(28), fill="black")
        turned = piece.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
        tilts.paste(turned, at, turned)
    cases = [
        Case(
            "160 pixels per em",
            "translated, edges as sharp",
            saved(sheet((1300, 320), ["Bitte leise"], 160, (60, 60))),
            {0: ["Quiet please"]},
            (sharp,),
        ),
        Case(
            "340 pixels per em",
            "translated, edges as sharp",
            saved(sheet((1300, 560), ["Offen"], 340, (80, 80))),
            {0: ["Open"]},
            (sharp,),
        ),
        Case("tall strip", "all ten lines", saved(tall), {0: [english[number % 4] for number in range(10)]}),
        Case("wide strip", "all four lines", saved(wide), {0: english}),
        Case("tight crop", "the line", saved(page.crop(ink)), {0: english[:1]}),
        Case("two tilts", "each keeps its angle", saved(tilts), {0: english[2:]}, (angles(-5, 7),)),
    ]
    for degrees in (90, 180, 270):
        name = f"turned by {degrees}"
        cases.append(
            Case(
                name,
                "translated and turned back",
                saved(upright.rotate(degrees, expand=True)),
                {0: [TEXTS[passage]]},
                (angles({90: -90.0, 180: 180.0, 270: 90.0}[degrees]),),
            )
        )
    return cases


def layouts() -> list[Case]:
    dishes = {
        "Gulasch mit Knödeln": ("Goulash with dumplings", "12,80 €"),
        "Linseneintopf": ("Lentil stew", "7,40 €"),
        "Bratkartoffeln": ("Fried potatoes", "5,90 €"),
        "Apfelkuchen": ("Apple pie", "3,60 €"),
        "Kleines Bier": ("Small beer", "2,70 €"),
        "Kamillentee": ("Camomile tea", "2,20 €"),
    }
    TEXTS.update({name: english for name, (english, _) in dishes.items()})
    menu, prices = Image.new("RGB", (520, 270), WHITE), []
    for number, (name, (_, price)) in enumerate(dishes.items()):
        pen, y = ImageDraw.Draw(menu), 20 + 40 * number
        pen.text((24, y), name, font=face(24), fill=0)
        left = 496 - pen.textlength(price, font=face(24))
        pen.text((left, y), price, font=face(24), fill=0)
        prices.append((int(left) - 2, y, 500, y + 34))
    rows = (
        [
            "Gestern war es noch warm,",
            "heute liegt überall Schnee",
            "und die Kinder bauen vor",
            "der Schule einen Mann.",
        ],
        [
            "Der Bus fährt nicht mehr,",
            "darum gehen wir zu Fuß am",
            "Fluss entlang nach Hause",
            "und trinken dort Kakao.",
        ],
    )
    english = (
        "Yesterday it was still warm, today there is snow everywhere and the children are building a snowman.",
        "The bus no longer runs, so we walk home along the river and drink cocoa there.",
    )
    TEXTS.update({" ".join(one): other for one, other in zip(rows, english, strict=True)})
    columns = Image.new("RGB", (660, 190), WHITE)
    for x, column in zip((20, 340), rows, strict=True):
        for number, row in enumerate(column):
            ImageDraw.Draw(columns).text((x, 24 + number * 31), row, font=face(24), fill=0)
    items = {
        "Für die Wanderung:": "For the hike:",
        "• ein warmer Pullover": "• a warm jumper",
        "• genug Wasser": "• enough water",
        "1. Treffpunkt am Rathaus": "1. Meeting point at the town hall",
        "2. Rückfahrt mit dem Bus": "2. Return by bus",
    }
    labels = {"Schließen": "Close", "Löschen": "Delete", "Hinweis": "Hint", "Bearbeiten": "Edit"}
    TEXTS.update(items | labels)
    buttons, boxes = Image.new("RGB", (700, 110), (236, 236, 236)), []
    for number, label in enumerate(labels):
        pen, left = ImageDraw.Draw(buttons), 18 + 170 * number
        pen.rounded_rectangle((left, 26, left + 154, 84), 10, fill=(20, 90, 60))
        pen.text((left + 77, 55), label, font=face(22), fill="white", anchor="mm")
        boxes.append((left + 6, 32, left + 149, 79))
    spoken = {
        "Kommst du heute mit ins Kino?": "Are you coming to the cinema today?",
        "Leider nein, ich muss lernen!": "Sorry no, I have to study!",
    }
    TEXTS.update(spoken)
    bubbles, inner = Image.new("RGB", (620, 240), (225, 238, 250)), []
    for left, lines in ((16, ["Kommst du heute", "mit ins Kino?"]), (316, ["Leider nein, ich", "muss lernen!"])):
        pen = ImageDraw.Draw(bubbles)
        pen.ellipse((left, 24, left + 286, 216), fill="white", outline="black", width=2)
        for number, line in enumerate(lines):
            pen.text((left + 143, 103 + 34 * number), line, font=face(25), fill=0, anchor="mm")
        inner.append((left + 4, 28, left + 283, 213))
    framed = sheet((600, 116), ["Am Montag bleibt die", "Küche geschlossen."], 38, (16, 11), gap=1.2)
    ImageDraw.Draw(framed).rectangle((10, 8, 588, 106), outline=0)
    TEXTS["Am Montag bleibt die Küche geschlossen."] = "On Monday the kitchen is closed."
    rule = ((10, 8, 589, 9), (10, 106, 589, 107), (10, 8, 11, 107), (588, 8, 589, 107))
    under = ["Die Gäste kommen um acht, wir decken schon", "den Tisch und zünden die Kerzen an."]
    TEXTS.update(
        {"Das Fest": "The party", " ".join(under): "The guests come at eight, we are already laying the table."}
    )
    heading = sheet((480, 120), ["Das Fest"], 36, (20, 10), ink=(160, 20, 20))
    for number, row in enumerate(under):
        ImageDraw.Draw(heading).text((20, 60 + 19 * number), row, font=face(14), fill=0)
    return [
        Case(
            "menu",
            "six rows, each price beside its dish, bit for bit",
            saved(menu),
            {0: [one for one, _ in dishes.values()]},
            (untouched(*prices),),
            stays=6,
        ),
        Case("two columns", "two blocks", saved(columns), {0: english}),
        Case(
            "list", "five entries, markers kept", saved(sheet((420, 200), list(items), 24)), {0: list(items.values())}
        ),
        Case(
            "buttons",
            "inside their buttons, one size, in the middle",
            saved(buttons),
            {0: list(labels.values())},
            (untouched(*boxes, but=True), centred(*boxes)),
        ),
        Case(
            "bubbles",
            "inside their ellipses, marks as they are",
            saved(bubbles),
            {0: list(spoken.values())},
            (untouched(*inner, but=True),),
        ),
        Case(
            "frame",
            "rule untouched, text inside",
            saved(framed),
            {0: ["On Monday the kitchen is closed."]},
            (untouched(*rule), untouched((11, 9, 588, 106), but=True)),
        ),
        Case("heading", "heading and paragraph apart", saved(heading), {0: ["The party", TEXTS[" ".join(under)]]}),
    ]


def texts() -> list[Case]:
    broken = ["Im Herbst sam-", "meln die Nach-", "barn Brenn- und", "Bauholz."]
    signs = {
        "★ Neu im Laden ✓": "★ New in the shop ✓",
        "→ Zur Kasse • rechts": "→ To the till • right",
        "Dauer: 45 Min. * (ca. 3 km)": "Duration: 45 min. * (about 3 km)",
    }
    exact = "Fragen an hallo@kurse.example oder 040 7654321, bis 3.10.2024 nur 89,50 €."
    capitals = {"HEUTE KEIN VERKAUF AM FENSTER": "NO SALE AT THE WINDOW TODAY", "R U H E T A G": "D A Y O F F"}
    TEXTS.update(signs | capitals | {" ".join(broken): "In autumn the neighbours gather firewood and timber."})
    TEXTS[exact] = "Questions to hallo@kurse.example or 040 7654321, until 3.10.2024 only 89,50 €."
    return [
        Case(
            "hyphens", "one block of four lines", saved(sheet((260, 160), broken, 24)), {0: [TEXTS[" ".join(broken)]]}
        ),
        Case("literals", "one block", saved(sheet((1000, 60), [exact], 22, (16, 14))), {0: [TEXTS[exact]]}),
        Case(
            "capitals",
            "two blocks, the second set apart",
            saved(sheet((760, 130), ["HEUTE KEIN VERKAUF AM FENSTER", "R U H E T A G"], 28, gap=1.6)),
            {0: list(capitals.values())},
        ),
        Case("symbols", "three lines", saved(sheet((480, 140), list(signs), 26)), {0: list(signs.values())}),
        Case(
            "numbers alone",
            "left as they are",
            saved(sheet((300, 60), ["17,50 / 0,75"], 28, (20, 12))),
            {0: []},
            (untouched((0, 0, 300, 60)),),
            stays=1,
        ),
    ]


def grounds() -> list[Case]:
    disc = Image.new("RGB", (480, 240), (238, 238, 244))
    y, x = np.mgrid[:240, :480]
    far = np.hypot((x - 240) / 222, (y - 120) / 106)
    glow = np.stack([255 - 0 * far, 250 - 140 * far, 150 - 100 * far], axis=2).clip(0, 255)
    disc = Image.fromarray(np.where(far[..., None] < 1, glow, np.asarray(disc)).astype(np.uint8))
    shout = ["Vorsicht, Glatteis!", "Bitte gehen Sie auf der", "anderen Straßenseite."]
    TEXTS[" ".join(shout)] = "Caution, black ice! Please walk on the other side of the street."
    on_disc = disc.copy()
    for number, row in enumerate(shout):
        ImageDraw.Draw(on_disc).text((240, 76 + 42 * number), row, font=face(32), fill=(40, 0, 0), anchor="mm")
    ramp = np.linspace(0, 255, 140).astype(np.uint8)[:, None].repeat(720, axis=1)
    ground = Image.fromarray(np.stack([ramp, 255 - ramp, np.full_like(ramp, 130)], axis=2))
    row, english = next(iter(SENTENCES.items()))
    outlined, shadow = ground.copy(), ground.copy()
    ImageDraw.Draw(outlined).text((30, 40), row, font=face(34), fill="white", stroke_width=3, stroke_fill="black")
    ImageDraw.Draw(shadow).text((33, 43), row, font=face(34), fill=(50, 50, 50))
    ImageDraw.Draw(shadow).text((30, 40), row, font=face(34), fill="white")
    paper = (205, 188, 160)
    grainy = sheet((620, 100), [row], 28, (20, 30), paper=paper, ink=(20, 20, 70))
    return [
        Case("gradient disc", "clean ground", saved(on_disc), {0: [TEXTS[" ".join(shout)]]}, (clean(disc),)),
        Case(
            "outlined",
            "clean ground, outline given back",
            saved(outlined),
            {0: [english]},
            (clean(ground), like((0, 20, 720, 100), BLACK)),
        ),
        Case(
            "shadow",
            "clean ground, shadow given back",
            saved(shadow),
            {0: [english]},
            (clean(ground), like((0, 20, 720, 100), (50, 50, 50), 0.4)),
        ),
        Case(
            "JPEG of quality 30",
            "clean ground, the ink's hue",
            saved(grainy, quality=30),
            {0: [english]},
            (clean(Image.new("RGB", (620, 100), paper), most=3.0), like((0, 20, 620, 80), (20, 20, 70), 0.3)),
            ".jpg",
        ),
    ]


def containers() -> list[Case]:
    (first, one), (second, two) = list(SENTENCES.items())[:2]
    size = (560, 100)
    blank, left, right = Image.new("RGB", size, WHITE), sheet(size, [first], 24), sheet(size, [second], 24)
    words: dict[int, Sequence[str]] = {0: [], 1: [one], 2: [two]}
    animated = {"save_all": True, "append_images": [left, right], "duration": 300}
    pages = {"save_all": True, "append_images": [right]}
    ink = Image.new("RGBA", size, (0, 0, 0, 0))
    ImageDraw.Draw(ink).text((24, 30), first, font=face(24), fill=(0, 0, 0, 255))
    press = sheet(size, [first], 24, paper=(230, 214, 130)).convert("CMYK")
    return [
        Case("frames of a GIF", "every frame, its timing", saved(blank, **animated), words, (kept("P", True),), ".gif"),
        Case(
            "frames of a WebP",
            "every frame, its timing",
            saved(blank, **animated),
            words,
            (kept("RGBA", True),),
            ".webp",
        ),
        Case("frames of a PNG", "every frame, its timing", saved(blank, **animated), words, (kept("RGB", True),)),
        Case("pages of a TIFF", "both pages", saved(left, **pages), {0: [one], 1: [two]}, (kept("RGB"),), ".tif"),
        Case("pages of a PDF", "both pages", saved(left, **pages), {0: [one], 1: [two]}, (), ".pdf"),
        Case("ink on nothing", "transparent ground, new ink", saved(ink), {0: [one]}, (kept("RGBA"), transparent)),
        Case("CMYK", "CMYK again", saved(press, quality=95), {0: [one]}, (kept("CMYK"),), ".jpg"),
    ]


def all_cases() -> list[Case]:
    return [*shapes_and_sizes(), *layouts(), *texts(), *grounds(), *containers()]


# --- running --------------------------------------------------------------------------------------------------------


def make_translator(detector: LineDetector | None = None) -> tuple[Translator, KnownTexts]:
    """The page pipeline with known words, and the separator of the shipped weights."""
    known = KnownTexts(TEXTS)
    loaded = LoadedTranslator(nn.Linear(1, 1), SimpleNamespace(), Config(), Path())  # type: ignore[arg-type]
    matting = load_matting(shipped_folder("weights") / "small") if "small" in shipped_weights() else None
    return Translator(loaded, pages=PageTranslator(known, matting, detector or LineDetector())), known


def run_case(case: Case, translator: Translator, folder: Path) -> Row:
    """Write the input, translate it, and look at what came out."""
    name = case.kind.replace(" ", "-") + case.suffix
    source, target = folder / "in" / name, folder / "out" / name
    source.parent.mkdir(parents=True, exist_ok=True)
    case.make(source)
    (outcome,) = translate_jobs(translator, plan_jobs([str(source)], target), force=True)
    if outcome.error:
        return Row(case.kind, outcome.error, case.should, [outcome.error])
    translations = list(outcome.translations)
    run = _opened(source, target, translations)
    wrong = []
    for frame, words in case.words.items():
        found = run.written(frame) if frame < len(translations) else []
        if sorted(found) != sorted(words):
            wrong.append(f"written: {' / '.join(found) or 'nothing'}")
    if len(run.left()) != case.stays:
        wrong.append(f"left: {' / '.join(run.left()) or 'nothing'}")
    wrong += [said for check in case.checks if (said := check(run))]
    written = sum(len(run.written(frame)) for frame in range(len(translations)))
    came = f"{written} blocks written" + (f", {len(run.left())} left" if run.left() else "")
    return Row(case.kind, came, case.should, wrong)


def _opened(source: Path, target: Path, translations: list[Translation]) -> Run:
    if source.suffix == ".pdf":
        return Run([], [], ("", ""), ([], []), translations)
    frames: list[list[np.ndarray]] = []
    modes, durations = [], []
    for path in (source, target):
        with Image.open(path) as picture:
            modes.append(picture.mode)
            wanted = picture.mode if picture.mode in ("RGBA", "CMYK") else "RGB"
            each = [
                (np.asarray(one.convert(wanted)), round(one.info.get("duration", 0)))
                for one in ImageSequence.Iterator(picture)
            ]
        frames.append([pixels for pixels, _ in each])
        durations.append([duration for _, duration in each])
    return Run(frames[0], frames[1], (modes[0], modes[1]), (durations[0], durations[1]), translations)


def as_table(rows: Sequence[Row]) -> str:
    """Kind, what came out, what should, and whether it did."""
    lines = ["| kind | should | came out | as it should |", "|---|---|---|---|"]
    for row in rows:
        lines.append(f"| {row.kind} | {row.should} | {row.came} | {'; '.join(row.wrong).replace('|', '/') or 'yes'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="a folder for inputs, outputs and the table")
    folder = parser.parse_args().out
    torch.set_num_threads(1)
    cases = all_cases()
    translator, _ = make_translator()
    rows = []
    for case in cases:
        started = time.process_time()
        rows.append(run_case(case, translator, folder))
        print(
            f"{case.kind}: {'; '.join(rows[-1].wrong) or 'as it should'} ({time.process_time() - started:.1f} s)",
            flush=True,
        )
    (folder / "cases.md").write_text(f"{datetime.date.today()}\n\n{as_table(rows)}", encoding="utf-8")
    failed = sum(bool(row.wrong) for row in rows)
    print(f"{folder / 'cases.md'}: {len(rows) - failed} of {len(rows)} kinds as they should be")


if __name__ == "__main__":
    main()
