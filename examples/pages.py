"""Draw the example pages again: German text as it is met with on menus, signs, screens, paper and photographs.

`python examples/pages.py` writes `pages/`. Each page is a picture of its own, described below: its paper, boxes on it,
and blocks of text with place, size, font and colour. The texts were written for this project and are in no training
set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_synth.fonts import find_font
from data_synth.photographs import bundled_photographs

HERE = Path(__file__).resolve().parent
Colour = tuple[int, int, int]
BLACK, WHITE = (20, 20, 20), (255, 255, 255)


@dataclass(frozen=True)
class Block:
    """Lines of text; (x, y) is the top of the first one, at its left, middle or right as aligned."""

    text: str
    at: tuple[int, int]
    size: int = 20  # pixels per em
    font: str = "DejaVuSans"
    colour: Colour = BLACK
    align: str = "l"  # l, m or r


@dataclass(frozen=True)
class Box:
    """A filled rectangle below the text; a rule where it is thin."""

    corners: tuple[int, int, int, int]  # left, top, right, bottom
    colour: Colour
    radius: int = 0
    outline: Colour | None = None


@dataclass(frozen=True)
class Sheet:
    """A page: its paper is one colour, a run from one colour to another from top to bottom, or a bundled photograph."""

    blocks: Sequence[Block]
    paper: Colour | tuple[Colour, Colour] | str = WHITE
    size: tuple[int, int] = (480, 320)  # of plain paper; photographs are fitted to it
    turned: float = 0.0  # degrees clockwise
    dimmed: float = 1.0  # what a photograph's values are multiplied with
    boxes: Sequence[Box] = ()


_INK, _GREY, _RED = (38, 34, 30), (110, 110, 116), (176, 32, 36)
_DISHES = (
    ("Tomatensuppe mit Brot", "5,50 €"),
    ("Gemischter Salat", "6,90 €"),
    ("Gebratener Fisch mit Reis", "14,50 €"),
    ("Nudeln mit Pilzen", "11,20 €"),
    ("Apfelkuchen mit Sahne", "4,80 €"),
)
_SETTINGS = (
    ("Sprache", "Deutsch"),
    ("Benachrichtigungen", "Ein"),
    ("Automatische Updates", "Aus"),
    ("Freier Speicherplatz", "12,4 GB"),
)
_HOURS = (("Montag bis Freitag", "9.00 - 18.30 Uhr"), ("Samstag", "10.00 - 14.00 Uhr"), ("Sonntag", "geschlossen"))
PAGES = {
    "menu": Sheet(
        [
            Block("Speisekarte", (260, 28), 34, "DejaVuSerif", _RED, "m"),
            *(Block(dish, (48, 100 + 40 * row), 20, "DejaVuSerif", _INK) for row, (dish, _) in enumerate(_DISHES)),
            *(
                Block(price, (472, 100 + 40 * row), 20, "DejaVuSerif", _INK, "r")
                for row, (_, price) in enumerate(_DISHES)
            ),
            Block("Alle Preise inklusive Mehrwertsteuer", (260, 316), 15, "DejaVuSerif", _GREY, "m"),
        ],
        (250, 244, 230),
        (520, 350),
        boxes=[Box((48, 78, 472, 79), _RED), Box((48, 302, 472, 303), _RED)],
    ),
    "hours": Sheet(
        [
            Block("Öffnungszeiten", (250, 26), 32, "FiraGO-Regular", WHITE, "m"),
            *(Block(day, (40, 100 + 38 * row), 21, "FiraGO-Regular", _INK) for row, (day, _) in enumerate(_HOURS)),
            *(
                Block(time, (460, 100 + 38 * row), 21, "FiraGO-Regular", _INK, "r")
                for row, (_, time) in enumerate(_HOURS)
            ),
            Block("Bitte klingeln Sie am Seiteneingang.", (250, 232), 18, "FiraGO-Regular", _GREY, "m"),
        ],
        (246, 248, 250),
        (500, 274),
        boxes=[Box((0, 0, 500, 78), (24, 92, 84))],
    ),
    "warning": Sheet(
        [
            Block("Vorsicht, Rutschgefahr!", (290, 40), 38, "DejaVuSans", BLACK, "m"),
            Block(
                "Bei Nässe ist der Boden glatt.\nBitte benutzen Sie den Handlauf.",
                (290, 112),
                24,
                "DejaVuSans",
                BLACK,
                "m",
            ),
        ],
        (250, 204, 20),
        (580, 200),
        boxes=[Box((10, 10, 569, 189), (250, 204, 20), 14, BLACK)],
    ),
    "app": Sheet(
        [
            Block("Einstellungen", (24, 24), 24, "Ubuntu-Regular", WHITE),
            *(Block(name, (24, 98 + 52 * row), 18, "Ubuntu-Regular", _INK) for row, (name, _) in enumerate(_SETTINGS)),
            *(
                Block(value, (336, 98 + 52 * row), 18, "Ubuntu-Regular", _GREY, "r")
                for row, (_, value) in enumerate(_SETTINGS)
            ),
            Block("Abbrechen", (100, 321), 18, "Ubuntu-Regular", (30, 90, 180), "m"),
            Block("Speichern", (262, 321), 18, "Ubuntu-Regular", WHITE, "m"),
        ],
        WHITE,
        (360, 372),
        boxes=[
            Box((0, 0, 360, 72), (30, 90, 180)),
            *(Box((24, 134 + 52 * row, 336, 134 + 52 * row), (222, 224, 228)) for row in range(3)),
            Box((26, 308, 174, 348), WHITE, 8, (30, 90, 180)),
            Box((188, 308, 336, 348), (30, 90, 180), 8),
        ],
    ),
    "letter": Sheet(
        [
            Block("Berlin, den 3. März 2025", (592, 40), 17, "NotoSans-Regular", _INK, "r"),
            Block("Sehr geehrte Frau Schneider,", (48, 96), 17, "NotoSans-Regular", _INK),
            Block(
                "vielen Dank für Ihre Anfrage. Wir haben Ihre Bestellung erhalten und\n"
                "senden Ihnen die Ware in der nächsten Woche. Die Rechnung liegt bei.",
                (48, 136),
                17,
                "NotoSans-Regular",
                _INK,
            ),
            Block(
                "Bei Fragen rufen Sie uns bitte an: 030 1234567 oder schreiben Sie\nan info@example.com.",
                (48, 206),
                17,
                "NotoSans-Regular",
                _INK,
            ),
            Block("Mit freundlichen Grüßen", (48, 276), 17, "NotoSans-Regular", _INK),
        ],
        WHITE,
        (640, 330),
    ),
    "train": Sheet(
        [
            Block("Fahrkarte", (28, 18), 26, "DejaVuSansCondensed", WHITE),
            Block("Von", (28, 82), 16, "DejaVuSansCondensed", _GREY),
            Block("Hamburg Hauptbahnhof", (28, 104), 22, "DejaVuSansCondensed", _INK),
            Block("Nach", (28, 144), 16, "DejaVuSansCondensed", _GREY),
            Block("München Hauptbahnhof", (28, 166), 22, "DejaVuSansCondensed", _INK),
            Block("Abfahrt 08:15 Uhr", (330, 82), 18, "DejaVuSansCondensed", _INK),
            Block("Gleis 14", (330, 112), 18, "DejaVuSansCondensed", _INK),
            Block("Wagen 7, Platz 52", (330, 142), 18, "DejaVuSansCondensed", _INK),
            Block("Gültig nur am Tag der Reise.", (28, 216), 16, "DejaVuSansCondensed", _GREY),
        ],
        (240, 244, 240),
        (520, 252),
        boxes=[Box((0, 0, 520, 60), (150, 20, 40)), Box((308, 76, 309, 200), (180, 184, 180))],
    ),
    "book": Sheet(
        [
            Block("Ein alter Mann sitzt auf einer Bank\nim Park und füttert die Vögel.", (48, 60), 22, "DejaVuSerif"),
            Block("Zwei kleine Kinder spielen mit einem\nroten Ball im Garten.", (48, 170), 22, "DejaVuSerif"),
        ],
        (247, 240, 222),
        (520, 280),
    ),
    "cat": Sheet(
        [
            Block(
                "Eine Katze liegt auf einer Decke\nund schaut in die Kamera.",
                (225, 208),
                22,
                "Ubuntu-Regular",
                WHITE,
                "m",
            )
        ],
        "chelsea.png",
        (451, 300),
        dimmed=0.6,
    ),
    "columns": Sheet(
        [
            Block("Ein Junge springt\nins Wasser.", (40, 50), 20, "FiraGO-Regular", (120, 20, 30)),
            Block("Eine Frau fährt mit\ndem Fahrrad durch\ndie Stadt.", (290, 50), 20, "FiraGO-Regular", (20, 70, 60)),
            Block("Ein Hund läuft\nüber eine Wiese.", (40, 190), 20, "FiraGO-Regular", (20, 40, 110)),
            Block("Drei Männer stehen\nvor einem Gebäude.", (290, 190), 20, "FiraGO-Regular", (80, 60, 20)),
        ],
        (236, 240, 245),
        (520, 280),
    ),
    "dusk": Sheet(
        [
            Block("Menschen am Wasser", (240, 40), 32, "DejaVuSans", (255, 236, 200), "m"),
            Block(
                "Eine Gruppe von Menschen steht\nam Strand und schaut auf das Meer.",
                (240, 120),
                21,
                "NotoSans-Regular",
                WHITE,
                "m",
            ),
        ],
        ((28, 34, 82), (190, 92, 88)),
        (480, 240),
    ),
    "poster": Sheet(
        [
            Block("Zwei Männer spielen Fußball.", (460, 40), 26, "DejaVuSerif", (250, 240, 200), "r"),
            Block(
                "Der Torwart in dem gelben Trikot\nspringt in die Luft und fängt den Ball.",
                (460, 110),
                17,
                "NotoSans-Regular",
                (240, 250, 250),
                "r",
            ),
        ],
        ((0, 96, 100), (0, 60, 80)),
        (500, 190),
    ),
    "rocket": Sheet(
        [Block("Ein Mann in einem weißen Hemd\nsteht vor einem Flugzeug.", (24, 24), 24, "DejaVuSansCondensed", WHITE)],
        "rocket.jpg",
        (512, 340),
        dimmed=0.8,
    ),
    "screen": Sheet(
        [
            Block(
                "Ein Mädchen mit langen Haaren\nsitzt an einem Tisch und liest\nein Buch.",
                (36, 40),
                20,
                "DejaVuSansMono",
                (140, 235, 150),
            )
        ],
        (18, 22, 26),
        (470, 170),
    ),
    "sign": Sheet(
        [Block("Ein Hund springt\nüber einen Zaun.", (300, 46), 52, "DejaVuSans", WHITE, "m")],
        (0, 84, 150),
        (600, 220),
    ),
    "small": Sheet(
        [
            Block(
                "Ein Koch steht in der Küche und schneidet Gemüse. Neben ihm kocht\n"
                "Wasser in einem großen Topf. Eine Frau in einer blauen Jacke kommt\n"
                "durch die Tür und lächelt.",
                (24, 36),
                13,
                "NotoSans-Regular",
            )
        ],
        WHITE,
        (480, 130),
    ),
    "tilted": Sheet(
        [
            Block(
                "Zwei Frauen gehen mit ihren Hunden\ndurch den verschneiten Wald.",
                (60, 100),
                22,
                "NotoSans-Regular",
                (60, 30, 90),
            )
        ],
        (250, 246, 250),
        (520, 240),
        turned=7,
    ),
    "ticket": Sheet(
        [
            Block("Ein Kind isst ein Eis.", (440, 40), 20, "DejaVuSansCondensed", (150, 20, 20), "r"),
            Block("A man is playing the guitar.", (40, 90), 20, "DejaVuSansCondensed", (40, 40, 40)),
            Block("12.30 - 14.00", (40, 140), 20, "DejaVuSansCondensed", (40, 40, 40)),
        ],
        (255, 226, 140),
        (480, 190),
    ),
    "cup": Sheet(
        [Block("Eine Tasse Kaffee steht auf dem Tisch.", (256, 290), 22, "Ubuntu-Regular", (255, 240, 200), "m")],
        "coffee.png",
        (512, 340),
        dimmed=0.55,
    ),
    "astronaut": Sheet(
        [Block("Eine lächelnde Frau trägt\neinen orangefarbenen Anzug.", (200, 410), 24, "FiraGO-Regular", WHITE, "m")],
        "astronaut.png",
        (480, 480),
        dimmed=0.7,
    ),
    "law": Sheet(
        [
            Block(
                "Die Haftung des Vermieters für anfängliche\nSachmängel nach § 536a BGB ist ausgeschlossen.",
                (30, 40),
                18,
                "DejaVuSerif",
            )
        ],
        WHITE,
        (500, 120),
    ),
    "grass": Sheet(
        [Block("Ein Vogel sitzt auf einem Ast.", (220, 140), 22, "DejaVuSans", (190, 190, 190), "m")],
        "grass.png",
        (440, 300),
    ),
    "poem": Sheet(
        [
            Block(
                "Wer reitet so spät\ndurch Nacht und Wind?\nEs ist der Vater\nmit seinem Kind.",
                (200, 40),
                26,
                "DejaVuSerif",
                (90, 20, 40),
                "m",
            )
        ],
        (244, 240, 228),
        (400, 220),
    ),
}


def draw(sheet: Sheet) -> Image.Image:
    """The page of a sheet, RGB."""
    page = _paper(sheet)
    brush = ImageDraw.Draw(page)
    for box in sheet.boxes:
        brush.rounded_rectangle(box.corners, box.radius, box.colour, box.outline, width=3)
    for block in sheet.blocks:
        font = ImageFont.truetype(str(find_font(block.font)), block.size)
        layer = Image.new("L", page.size)
        ImageDraw.Draw(layer).multiline_text(
            block.at, block.text, 255, font, f"{block.align}a", spacing=round(block.size * 0.35),
            align={"l": "left", "m": "center", "r": "right"}[block.align],
        )  # fmt: skip
        if sheet.turned:
            layer = layer.rotate(-sheet.turned, Image.Resampling.BICUBIC)
        page.paste(block.colour, mask=layer)
    return page


def _paper(sheet: Sheet) -> Image.Image:
    if isinstance(sheet.paper, str):
        photograph = Image.open(bundled_photographs()[sheet.paper]).convert("RGB").resize(sheet.size)
        return photograph.point(lambda value: value * sheet.dimmed)
    ends = np.array(sheet.paper, dtype=np.float64)
    top, bottom = ends if ends.ndim == 2 else (ends, ends)
    way = np.linspace(0, 1, sheet.size[1])[:, None, None]
    rows = np.rint(top + way * (bottom - top)).astype(np.uint8)
    return Image.fromarray(np.repeat(rows, sheet.size[0], axis=1))


def main() -> None:
    folder = HERE / "pages"
    folder.mkdir(exist_ok=True)
    for name, sheet in PAGES.items():
        draw(sheet).save(folder / f"{name}.jpg", quality=92, subsampling=0)


if __name__ == "__main__":
    main()
