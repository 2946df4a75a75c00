"""How screens, posters, charts and comics are laid out, in the order in which they are read."""

from data_synth.layout_parts import NoRoomError
from data_synth.layout_prints import literal, put_button, put_heading
from data_synth.layout_sheet import SMALLEST, Look, Sheet, extent
from data_synth.style import Colour


def lay_screen(sheet: Sheet) -> None:
    """An app: a bar with a title, settings with their explanations, switches, dividers, buttons or tabs below."""
    margin, em = sheet.ems((0.8, 1.6)), sheet.em
    look = sheet.look(sheet.between((1.1, 1.5)), sheet.chance(0.5), sheet.on(sheet.accent))
    high = look.face.line_height + sheet.ems((0.8, 1.8))
    bar = sheet.shape("rectangle", (0, 0, sheet.width, high), sheet.accent)
    inset = margin + 2 * em if sheet.chance(0.5) else margin
    if inset > margin:
        for n in range(3):
            row = high // 2 - em // 3 + n * em // 3
            sheet.pen.rectangle((margin, row, margin + em, row + max(em // 10, 1)), look.colour)
        sheet.solid.append((margin, high // 2 - em // 3, margin + em, high // 2 + em // 2))
    first = (high - look.face.line_height) // 2
    sheet.put(sheet.texts.title(sheet.rng), look, "title", inset, first, sheet.width - margin, container=bar, lines=1)
    y, divided = high + sheet.ems((0.5, 1.2)), sheet.chance(0.6)
    for number in range(sheet.some(3, 6)):
        if number and divided:
            sheet.rule(0, y, sheet.width, y + sheet.border, sheet.faint)
            y += sheet.border + sheet.ems((0.4, 0.8))
        if sheet.chance(0.3):
            small = sheet.look(0.9, True, sheet.accent)
            y = sheet.put(sheet.texts.label(sheet.rng), small, "section", margin, y, sheet.width - margin, lines=1)
            y += sheet.ems((0.5, 0.9))
        y = _setting(sheet, margin, y) + sheet.ems((0.6, 1.4))
    if sheet.chance(0.5):
        _tabs(sheet, y)
    else:
        count = sheet.some(1, 2)
        width, filled = (sheet.width - margin * (count + 1)) // count, sheet.chance(0.6)
        for number in range(count):
            put_button(sheet, margin + number * (width + margin), y, filled, width)


def _setting(sheet: Sheet, left: int, top: int) -> int:
    """A setting with a switch; the row below it."""
    switch = sheet.chance(0.5)
    right = sheet.width - left - (5 * sheet.em if switch else 0)
    bottom = sheet.put(sheet.texts.title(sheet.rng), sheet.look(), "label", left, top, right, lines=1)
    if sheet.chance(0.75):
        small = sheet.look(sheet.between((0.75, 0.85)), colour=sheet.faint)
        bottom = sheet.put(sheet.texts.passage(sheet.rng), small, "explanation", left, bottom, right, lines=2)
    if switch:
        x, y, size = sheet.width - left - 2 * sheet.em, (top + bottom) // 2, sheet.em // 2
        sheet.shape("rounded", (x, y - size // 2, x + 2 * sheet.em, y + size // 2 + 1), sheet.faint)
        sheet.shape("ellipse", (x + sheet.em, y - size, x + sheet.em + 2 * size, y + size), sheet.accent)
        sheet.solid.append((x, y - size, x + 2 * sheet.em + 1, y + size))
    return bottom


def _tabs(sheet: Sheet, top: int) -> None:
    """Icons in a row with their labels below."""
    count, em = sheet.some(3, 4), sheet.em
    width, look = sheet.width // count, sheet.look(0.85, colour=sheet.faint)
    for number in range(count):
        middle = width * number + width // 2
        shape = ("rectangle", "ellipse", "diamond")[number % 3]
        sheet.shape(shape, (middle - em // 2, top, middle + em // 2, top + em), sheet.faint)
        sheet.solid.append((middle - em // 2, top, middle + em // 2, top + em))
        left, right = middle - width // 2 + em // 2, middle + width // 2 - em // 2
        sheet.put(sheet.texts.label(sheet.rng), look, "tab", left, top + em + em // 2, right, "centre", lines=1)


def lay_flyer(sheet: Sheet) -> None:
    """A headline, a line below it, a photograph, a passage, a badge, contacts in a band."""
    margin, y = sheet.ems((1.5, 3)), sheet.ems((1, 2))
    right, em = sheet.width - margin, sheet.em
    centred = "centre" if sheet.chance(0.6) else "left"
    look = sheet.look(sheet.between((2.0, 3.5)), True, sheet.accent)
    y = sheet.put(sheet.texts.title(sheet.rng), look, "heading", margin, y, right, centred, lines=2)
    look = sheet.look(sheet.between((1.2, 1.5)), colour=sheet.ink)
    y = sheet.put(sheet.texts.title(sheet.rng), look, "subheading", margin, y + sheet.ems((0.3, 0.8)), right, centred)
    y += sheet.ems((0.8, 1.5))
    if sheet.chance(0.7):
        high = round(sheet.width * sheet.between((0.2, 0.4)))
        sheet.photograph((0, y, sheet.width, y + high))
        sheet.solid.append((0, y, sheet.width, y + high))
        if sheet.chance(0.6):
            size = min(high - em, 8 * em)
            box = (right - size, y + (high - size) // 2, right, y + (high + size) // 2)
            inside = sheet.shape("ellipse", box, sheet.accent)
            badge = sheet.look(1.2, True, sheet.on(sheet.accent))
            sheet.put_inside(sheet.texts.label(sheet.rng), badge, "badge", inside, em // 2)
        y += high + sheet.ems((0.8, 1.5))
    for _ in range(sheet.some(1, 2)):
        pair = sheet.texts.passage(sheet.rng, sheet.some(2, 4))
        y = sheet.put(pair, sheet.look(), "paragraph", margin, y, right, centred) + sheet.ems(sheet.options.gaps)
    y += sheet.ems((0.3, 1))
    look = sheet.look(1.0, False, sheet.on(sheet.accent))
    high = look.face.line_height + 2 * sheet.ems((0.4, 0.9))
    band = sheet.shape("rectangle", (0, y, sheet.width, y + high), sheet.accent)
    first = y + (high - look.face.line_height) // 2
    middle = sheet.width // 2
    sheet.put(sheet.texts.title(sheet.rng), look, "contact", margin, first, middle - em, container=band, lines=1)
    number = literal(f"0{sheet.some(30, 99)} {sheet.some(10000, 999999)}")
    sheet.put(number, look, "contact", middle + em, first, right, "right", container=band, lines=1)


def lay_chart(sheet: Sheet) -> None:
    """Steps in boxes, joined by arrows, row by row."""
    margin, y, em = sheet.ems((1, 2)), sheet.ems((1, 2)), sheet.em
    if sheet.chance(0.4):
        y = put_heading(sheet, margin, y, sheet.width - margin, "centre")
    across = max(1, min(sheet.some(1, 4), (sheet.width - 2 * margin) // (9 * em)))
    gap = sheet.ems((1.5, 3))
    width = min((sheet.width - 2 * margin - (across - 1) * gap) // across, 16 * em)
    start = (sheet.width - across * width - (across - 1) * gap) // 2
    filled = sheet.chance(0.6)
    rows = sheet.some(2, 5)
    for row in range(rows):
        high = sheet.ems((3, 5))
        for n in range(across):
            left = start + n * (width + gap)
            shape = ("rectangle", "rounded", "ellipse", "diamond")[sheet.some(0, 3)]
            tall = round(1.7 * high) if shape == "diamond" and across == 1 else high
            if shape == "diamond" and across > 1:
                shape = "rectangle"
            box = (left, y, left + width, y + tall)
            inside = sheet.shape(shape, box, sheet.accent if filled else None, sheet.ink)
            sheet.solid.append(box)
            look = sheet.look(1.0, False, sheet.on(sheet.accent) if filled else sheet.ink)
            pair = sheet.texts.title(sheet.rng) if sheet.chance(0.7) else sheet.texts.label(sheet.rng)
            sheet.put_inside(pair, look, "step", inside, max(em // 3, 3))
            if n + 1 < across:
                _arrow(sheet, left + width, y + high // 2, left + width + gap, y + high // 2)
        if across == 1:
            high = tall
        if row + 1 < rows:
            middle = start + width // 2
            _arrow(sheet, middle, y + high, middle, y + high + gap)
        y += high + gap


def _arrow(sheet: Sheet, left: int, top: int, right: int, bottom: int) -> None:
    size = max(sheet.em // 3, 3)
    sheet.pen.line((left, top, right - 1, bottom - 1), sheet.ink, sheet.border)
    if top == bottom:
        head = [(right, bottom), (right - size, bottom - size), (right - size, bottom + size)]
    else:
        head = [(right, bottom), (right - size, bottom - size), (right + size, bottom - size)]
    sheet.pen.polygon(head, sheet.ink)
    sheet.solid.append((left - size, top - size, right + size, bottom + size))


def lay_comic(sheet: Sheet) -> None:
    """Panels with pictures, balloons with tails, captions in boxes."""
    em, gutter = sheet.em, sheet.ems((0.5, 1))
    across = 2 if sheet.width > 26 * em else 1
    width = (sheet.width - gutter * (across + 1)) // across
    white, black = (255, 255, 255), (0, 0, 0)
    look, y = sheet.look(1.0, sheet.chance(0.3), black), gutter
    for _ in range(sheet.some(1, 2) if across > 1 else sheet.some(2, 3)):
        high = min(round(width * sheet.between((0.6, 0.9))), 700)
        for n in range(across):
            left = gutter + n * (width + gutter)
            panel = (left, y, left + width, y + high)
            if sheet.chance(0.5):
                sheet.photograph(panel)
            sheet.shape("rectangle", panel, None if sheet.chance(0.5) else _pastel(sheet), black)
            top = y + em // 2
            if sheet.chance(0.3):
                top = _caption(sheet, left, y, left + width, look) + em // 2
            count = 2 if width > 22 * em and sheet.chance(0.6) else 1
            share = (width - em) // count
            for number in range(count):
                wide, tall = min(share - em, sheet.ems((9, 13))), sheet.ems((4.5, 7))
                x = left + em // 2 + number * share + sheet.some(0, max(share - wide - em, 0))
                drop = number * sheet.ems((0.5, 2))
                if top + drop + tall + em > y + high:
                    raise NoRoomError
                _balloon(sheet, (x, top + drop, x + wide, top + drop + tall), look, white, black)
        y += high + gutter


def _balloon(sheet: Sheet, box: tuple[int, int, int, int], look: Look, fill: Colour, outline: Colour) -> None:
    left, _, right, bottom = box
    middle, size = (left + right) // 2, sheet.em
    tail = [(middle - size, bottom - size // 2), (middle, bottom + size), (middle + size, bottom - size // 2)]
    sheet.pen.polygon(tail, outline)
    inside = sheet.shape("ellipse", box, fill, outline)
    pair = sheet.texts.title(sheet.rng) if sheet.chance(0.5) else sheet.texts.passage(sheet.rng)
    sheet.put_inside(pair, look, "balloon", inside, max(size // 3, 3))


def _caption(sheet: Sheet, left: int, top: int, right: int, look: Look) -> int:
    high, padding = look.face.line_height, sheet.em // 2
    pair = sheet.texts.title(sheet.rng)
    wide = extent(look.face, pair.source.split()) + 2 * padding
    box = (left, top, min(left + wide + 4, right), top + high + padding + 4)
    inside = sheet.shape("rectangle", box, (255, 240, 170), (0, 0, 0))
    sheet.put_inside(pair, look, "caption", inside, 2)
    return box[3]


def _pastel(sheet: Sheet) -> Colour:
    return sheet.some(150, 250), sheet.some(150, 250), sheet.some(150, 250)


def lay_slide(sheet: Sheet) -> None:
    """A title, points in one column or two, a footer with a number."""
    margin, em = sheet.ems((1.5, 3)), sheet.em
    right, y = sheet.width - margin, sheet.ems((1, 2))
    if sheet.chance(0.4):
        look = sheet.look(sheet.between((1.4, 2)), sheet.chance(0.5), sheet.on(sheet.accent))
        high = look.face.line_height + 2 * sheet.ems((0.5, 1))
        bar = sheet.shape("rectangle", (0, 0, sheet.width, high), sheet.accent)
        top = (high - look.face.line_height) // 2
        sheet.put(sheet.texts.title(sheet.rng), look, "heading", margin, top, right, container=bar, lines=1)
        y = high + sheet.ems((0.8, 1.5))
    else:
        y = put_heading(sheet, margin, y, right, colour=sheet.accent) + sheet.ems((0.3, 1))
    count = 2 if sheet.width > 34 * em and sheet.chance(0.4) else 1
    between = sheet.ems((1.5, 3))
    width = (right - margin - (count - 1) * between) // count
    last, numbered = y, sheet.chance(0.3)
    marks = "•–■►"
    marker = marks[sheet.some(0, len(marks) - 1)]
    if sheet.look().face.lacks(marker):
        marker = "•" if not sheet.look().face.lacks("•") else "-"
    air = sheet.ems((0.0, 0.6))
    for column in range(count):
        left, top = margin + column * (width + between), y
        for number in range(1, sheet.some(3, 6) + 1):
            mark = f"{number}." if numbered else marker
            pair = sheet.texts.title(sheet.rng) if sheet.chance(0.5) else sheet.texts.passage(sheet.rng)
            look = sheet.look()
            indent = round(1.6 * em)
            top = sheet.put(pair, look, "item", left, top, left + width, lines=3, marker=mark, indent=indent) + air
        last = max(last, top)
    if sheet.chance(0.6):
        y = max(last + sheet.ems((1, 3)), SMALLEST - 3 * em)
        look = sheet.look(0.75, colour=sheet.faint)
        sheet.put(sheet.texts.title(sheet.rng), look, "footer", margin, y, right - 4 * em, lines=1)
        sheet.put(literal(str(sheet.some(1, 99))), look, "number", margin, y, right, "right", lines=1)
