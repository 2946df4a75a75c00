"""What is read on, and in which order, on pixels that Pillow drew: colons, lists, leaders, columns, cells, icons."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from data_synth.fonts import find_font
from translatotron_v.page.blocks import find_blocks
from translatotron_v.page.lines import Line
from translatotron_v.page.order import Placed, in_reading_order
from translatotron_v.page.profile import EM_PER_HEIGHT
from translatotron_v.page.traits import look_at

EM = 20
PITCH = 26  # pixels from row to row: tight


class Sheet:
    """A page and the lines that a detector would find on it."""

    def __init__(self, width: int = 640, height: int = 300) -> None:
        self.picture = Image.new("RGB", (width, height), (240, 240, 230))
        self.pen = ImageDraw.Draw(self.picture)
        self.lines: list[Line] = []

    def write(
        self, left: float, base: float, text: str, size: int = EM, end: float = 0.0, font: str = "DejaVuSans"
    ) -> None:
        """A row on its baseline; its box goes on to a column where one is given."""
        face = ImageFont.truetype(str(find_font(font)), size)
        self.pen.text((left, base), text, fill=(0, 0, 0), font=face, anchor="ls")
        right = max(end, left + face.getlength(text) + 2)
        top, low = base - 0.83 * size, base + 0.29 * size
        quad = ((left - 2.0, top), (right, top), (right, low), (left - 2.0, low))
        self.lines.append(Line(quad, 0.0, size / EM_PER_HEIGHT))

    def blocks(self) -> list[list[int]]:
        """For each block, in reading order, the lines it holds, numbered as they were written."""
        found = find_blocks(self.lines, self.picture.width, np.asarray(self.picture))
        middles = [line.centre for line in self.lines]

        def number(line: Line) -> int:
            return min(range(len(middles)), key=lambda one: float(np.hypot(*np.subtract(middles[one], line.centre))))

        return [[number(line) for line in block.lines] for block in found]


def test_what_ends_in_a_colon_introduces_what_follows() -> None:
    sheet = Sheet()
    for row, text in enumerate(("Zum Frühstück:", "Brot und Butter")):
        sheet.write(40, 60 + row * PITCH, text)
    assert sheet.blocks() == [[0], [1]]
    plain = Sheet()
    for row, text in enumerate(("Zum Frühstück", "Brot und Butter")):
        plain.write(40, 60 + row * PITCH, text)
    assert plain.blocks() == [[0, 1]]


def test_a_row_that_begins_with_a_label_begins_a_block() -> None:
    sheet = Sheet()
    for row, text in enumerate(("Wir treffen uns", "Ort: Marktplatz")):
        sheet.write(40, 60 + row * PITCH, text)
    assert sheet.blocks() == [[0], [1]]


def test_a_colon_inside_wrapped_text_parts_nothing() -> None:
    sheet = Sheet()
    rows = (
        "Am Abend gibt es für alle Gäste eins:",
        "Suppe: sie kocht schon seit dem Mittag,",
        "denn sie wird nur langsam gar und gut.",
    )
    for row, text in enumerate(rows):
        sheet.write(40, 60 + row * PITCH, text)
    assert sheet.blocks() == [[0, 1, 2]]


@pytest.mark.parametrize("marker", ["•", "–", "1."])
def test_entries_of_a_list_stay_apart_and_go_on_under_their_text(marker: str) -> None:
    sheet = Sheet()
    for row, text in enumerate(("Decken und Kissen für", "die Wiese mitbringen", "Essen und Getränke sind")):
        if row != 1:
            sheet.pen.text(
                (40, 60 + row * PITCH),
                marker,
                fill=(0, 0, 0),
                anchor="ls",
                font=ImageFont.truetype(str(find_font("DejaVuSans")), EM),
            )
        sheet.write(74, 60 + row * PITCH, text)
    assert sheet.blocks() == [[0, 1], [2]]


def test_a_tiny_raised_dot_is_a_marker_and_the_end_of_leaders_is_none() -> None:
    sheet = Sheet()
    sheet.write(80, 60, "Eintrag")
    sheet.pen.rectangle((50, 52, 51, 53), fill=(0, 0, 0))
    sheet.write(80, 120, "Betrag")
    sheet.pen.rectangle((50, 118, 51, 119), fill=(0, 0, 0))  # on the baseline
    seen = [look_at(line, np.asarray(sheet.picture)) for line in sheet.lines]
    assert [one is not None and one.marker for one in seen] == [True, False]


def test_leaders_are_in_no_block() -> None:
    sheet = Sheet()
    sheet.write(40, 60, "Kartoffelsuppe", end=420)
    for x in range(200, 420, 8):
        sheet.pen.rectangle((x, 58, x + 1, 59), fill=(0, 0, 0))
    (block,) = find_blocks(sheet.lines, 640, np.asarray(sheet.picture))
    assert 180 < block.quad[1][0] < 205


@pytest.mark.parametrize("gap", [0.8, 1.5])
def test_two_columns_close_to_one_another_are_two_blocks(gap: float) -> None:
    left = ("Im Garten hinter dem Haus", "wachsen Äpfel und Birnen", "und im Herbst ernten wir sie")
    right = ("Im Keller liegen Fässer", "mit Most vom letzten Jahr", "und Kisten voll Kartoffeln")
    face = ImageFont.truetype(str(find_font("DejaVuSans")), EM)
    start = 30 + max(face.getlength(text) for text in left) + gap * EM
    sheet = Sheet()
    for row, texts in enumerate(zip(left, right, strict=True)):
        for x, text in zip((30.0, start), texts, strict=True):
            sheet.write(x, 60 + row * PITCH, text)
    assert sheet.blocks() == [[0, 2, 4], [1, 3, 5]]


def test_a_cell_between_rules_stays_whole() -> None:
    sheet = Sheet()
    for row, (name, text, price) in enumerate(
        (("Mo", ("Brot und", "Käse"), "4,20"), ("Di", ("Suppe und", "Salat"), "5,10"))
    ):
        base = 60 + row * 80
        sheet.pen.line((20, base - 30, 620, base - 30), fill=(60, 60, 60), width=2)
        sheet.write(30, base, name)
        sheet.write(140, base, text[0])
        sheet.write(140, base + PITCH, text[1])
        sheet.write(540, base, price)
    sheet.pen.line((20, 190, 620, 190), fill=(60, 60, 60), width=2)
    assert [block for block in sheet.blocks() if len(block) > 1] == [[1, 2], [5, 6]]


def test_filled_shapes_and_switches_are_no_text() -> None:
    sheet = Sheet()
    sheet.write(40, 60, "Ton")
    for left, shape in ((200, "rectangle"), (260, "ellipse")):
        getattr(sheet.pen, shape)((left, 40, left + 24, 64), fill=(90, 40, 160))
        sheet.lines.append(Line(((left - 3, 37), (left + 27, 37), (left + 27, 67), (left - 3, 67)), 0.0, 30))
    sheet.pen.rounded_rectangle((400, 48, 440, 58), 5, fill=(90, 40, 160))
    sheet.pen.ellipse((425, 42, 447, 64), fill=(90, 40, 160))
    sheet.lines.append(Line(((398, 40), (449, 40), (449, 66), (398, 66)), 0.0, 26))
    assert sheet.blocks() == [[0]]


def test_a_line_ends_where_its_button_does() -> None:
    sheet = Sheet()
    sheet.pen.rounded_rectangle((40, 40, 240, 100), 10, fill=(90, 40, 160))
    face = ImageFont.truetype(str(find_font("DejaVuSans")), EM)
    sheet.pen.text((140, 77), "Honig", fill=(255, 255, 255), font=face, anchor="ms")
    whole = Line(((36, 36), (244, 36), (244, 104), (36, 104)), 0.0, 68)
    (block,) = find_blocks([whole], 640, np.asarray(sheet.picture))
    assert block.em == pytest.approx(EM, rel=0.2)


def test_what_stands_at_the_foot_of_columns_is_read_last() -> None:
    column = [Placed((x, y, x + 10, y + 1), 1.0, 1, listed=True) for x in (0, 14) for y in (0, 2, 4)]
    foot = [Placed((0, 9, 6, 9.8), 0.8, 1), Placed((22, 9, 24, 9.8), 0.8, 1)]
    items = [*column[:3], foot[0], *column[3:], foot[1]]
    assert in_reading_order(range(8), lambda number: items[number]) == [0, 1, 2, 4, 5, 6, 3, 7]


def test_columns_with_headings_are_read_one_after_the_other() -> None:
    left = [Placed((0, 0, 8, 1), 1.0, 1), Placed((0, 1.5, 10, 4.5), 1.0, 3)]
    left += [Placed((0, 6, 7, 7), 1.0, 1), Placed((0, 7.5, 10, 10.5), 1.0, 3)]
    right = [Placed((13, 0, 20, 1), 1.0, 1), Placed((13, 1.5, 23, 5.5), 1.0, 4)]
    items = [*left, *right]
    assert in_reading_order(range(6), lambda number: items[number]) == list(range(6))


def test_an_explanation_in_smaller_letters_is_a_block_of_its_own() -> None:
    sheet = Sheet()
    sheet.write(40, 60, "Suchen und ersetzen", size=22)
    sheet.write(40, 86, "Auch in alten Dateien und Ordnern", size=17)
    assert sheet.blocks() == [[0], [1]]


def test_a_row_set_differently_and_farther_apart_begins_a_block() -> None:
    heading = Sheet()
    heading.write(40, 60, "Pflegehinweise lesen", font="DejaVuSans-Bold")
    heading.write(40, 60 + 1.8 * EM, "Fragen? Wir helfen")
    assert heading.blocks() == [[0], [1]]
    alike = Sheet()
    alike.write(40, 60, "Pflegehinweise lesen")
    alike.write(40, 60 + 1.8 * EM, "Fragen? Wir helfen")
    assert alike.blocks() == [[0, 1]]


def test_an_explanation_with_narrower_spaces_is_smaller_where_capitals_hide_its_letters_height() -> None:
    sheet = Sheet()
    sheet.write(40, 60, "Aus dem Holzofen", size=15, font="LiberationMono-Regular")
    sheet.write(40, 78, "Sahnejoghurt mild, 10 % Fett", size=12, font="LiberationMono-Regular")
    assert sheet.blocks() == [[0], [1]]


@pytest.mark.parametrize(("size", "blocks"), [(44, [[0], [1]]), (49, [[0, 1]])])
def test_a_label_in_large_print_and_its_value_are_two_blocks(size: int, blocks: list[list[int]]) -> None:
    """Its strokes are thicker, and its height differs by a tenth, as small print's does by chance."""
    sheet = Sheet()
    sheet.write(40, 80, "Bestand", size=49, font="DejaVuSans-Bold")
    sheet.write(44, 140, "250 ml", size=size)
    assert sheet.blocks() == blocks


def test_names_of_a_receipt_begin_anew_below_what_is_set_in() -> None:
    """However long their first words are: what is set in has no price beside it, and they do."""
    sheet = Sheet()
    for row, (name, count) in enumerate((("Brot", "2 x 2,68"), ("Anmeldepflichtige Waren", "7 x 6,84"))):
        sheet.write(40, 60 + 2 * row * PITCH, name)
        sheet.write(520, 60 + 2 * row * PITCH, "12,65")
        sheet.write(70, 60 + (2 * row + 1) * PITCH, count)
    assert sheet.blocks() == [[0], [1], [2], [3], [4], [5]]
