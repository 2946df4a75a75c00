"""How printed pages are laid out - menus, forms, receipts, columns, tables - in the order in which they are read."""

from data_synth.corpora import TextPair
from data_synth.layout_parts import Container, NoRoomError
from data_synth.layout_sheet import Sheet, extent
from data_synth.style import Colour


def literal(text: str) -> TextPair:
    """What is the same in every language."""
    return TextPair(text, text)


def price(sheet: Sheet) -> TextPair:
    """An amount of money."""
    return literal(f"{sheet.some(1, 29)},{sheet.some(0, 9)}{sheet.some(0, 1) * 5} €")


def put_heading(
    sheet: Sheet, left: int, top: int, right: int, alignment: str = "left", colour: Colour | None = None
) -> int:
    """A heading of up to two lines; the row from which the text below it begins."""
    look = sheet.look(sheet.between(sheet.options.headings), sheet.chance(0.6), colour or sheet.ink)
    bottom = sheet.put(sheet.texts.title(sheet.rng), look, "heading", left, top, right, alignment, lines=2)
    return bottom + sheet.ems((0.2, 0.9))


def lay_menu(sheet: Sheet) -> None:
    """Dishes at the left, prices at the right; descriptions below, leaders between."""
    margin, top = sheet.ems((1, 2.5)), sheet.ems((1, 2))
    if sheet.chance(0.7):
        top = put_heading(sheet, margin, top, sheet.width - margin, "centre", sheet.accent)
    several = sheet.width > 44 * sheet.em and sheet.chance(0.5)
    between = sheet.ems((2, 3.5))
    width = (sheet.width - 2 * margin - between) // 2 if several else sheet.width - 2 * margin
    described, leaders = sheet.chance(0.35), sheet.chance(0.2)
    row = sheet.ems(sheet.options.rows)
    for left in (margin, margin + width + between)[: 1 + several]:
        y = top
        for _ in range(sheet.some(1, 2)):
            if sheet.chance(0.7):
                y = put_heading(sheet, left, y, left + width, colour=sheet.accent)
            for _ in range(sheet.some(3, 6)):
                y = _dish(sheet, left, y, left + width, described, leaders, row)
            y += sheet.ems((0.5, 1.5))


def _dish(sheet: Sheet, left: int, top: int, right: int, described: bool, leaders: bool, row: int) -> int:
    look, cost = sheet.look(), price(sheet)
    wide = extent(look.face, cost.source.split())
    name = sheet.texts.title(sheet.rng)
    bottom = sheet.put(name, look, "name", left, top, right - wide - 2 * sheet.em, lines=1)
    end = sheet.blocks[-1].box[2]
    sheet.put(cost, look, "price", left, top, right, "right", lines=1)
    if leaders:
        start, stop, base = end + sheet.em // 2, right - wide - sheet.em // 2, top + look.face.baseline
        for x in range(start, stop, max(sheet.em // 3, 4)):
            sheet.pen.rectangle((x, base - 1 - sheet.em // 14, x + sheet.em // 14, base - 1), sheet.ink)
    if not described:
        return top + row
    small = sheet.look(sheet.between((0.7, 0.82)), colour=sheet.faint)
    last = right - wide - 2 * sheet.em
    bottom = sheet.put(sheet.texts.passage(sheet.rng), small, "description", left, bottom, last, lines=2)
    return bottom + sheet.ems((0.5, 1.1))


def lay_form(sheet: Sheet) -> None:
    """Labels with their values beside or below them, in boxes or over rules; check boxes; a button."""
    margin, y = sheet.ems((1, 2)), sheet.ems((1, 2))
    right = sheet.width - margin
    y = put_heading(sheet, margin, y, right)
    style, ended = sheet.some(0, 2), sheet.chance(0.5)
    row = sheet.ems(sheet.options.rows)
    column = margin + sheet.ems((9, 12))
    padding = sheet.ems(sheet.options.paddings)
    for _ in range(sheet.some(4, 8)):
        label = sheet.texts.label(sheet.rng)
        if ended:
            label = TextPair(f"{label.source.rstrip(':')}:", f"{label.target.rstrip(':')}:")
        value = sheet.texts.title(sheet.rng) if sheet.chance(0.7) else literal(f"{sheet.some(100, 99999)}")
        if style == 2:  # a small label above its box
            y = sheet.put(label, sheet.look(0.85, colour=sheet.faint), "label", margin, y, right, lines=1)
            y = _field(sheet, value, margin, y + 2, right, padding) + sheet.ems((0.5, 1))
            continue
        look = sheet.look()
        if style == 1:
            bottom = _field(sheet, None, column, y, right, padding)
            middle = (y + bottom - look.face.line_height) // 2
            sheet.put(label, look, "label", margin, middle, column - sheet.em, lines=1)
            if sheet.chance(0.8):
                box = sheet.solid[-1]
                inside = Container("rectangle", box)
                sheet.put(value, look, "value", column + padding, middle, right - padding, container=inside, lines=1)
            y = bottom + sheet.ems((0.3, 0.9))
        else:
            bottom = sheet.put(label, look, "label", margin, y, column - sheet.em, lines=1)
            if sheet.chance(0.8):
                sheet.put(value, look, "value", column, y, right, lines=1)
            sheet.rule(column, bottom, right, bottom + sheet.border, sheet.faint)
            y += max(row, bottom + sheet.border + 3 - y)
    y += sheet.ems((0.3, 1))
    for _ in range(sheet.some(0, 2)):
        size = round(0.8 * sheet.em)
        look = sheet.look()
        drop = (look.face.line_height - size) // 2
        sheet.shape("rectangle", (margin, y + drop, margin + size, y + drop + size), None, sheet.ink)
        sheet.solid.append((margin, y + drop, margin + size, y + drop + size))
        y = sheet.put(sheet.texts.title(sheet.rng), look, "choice", margin + size + sheet.em, y, right, lines=1)
        y += sheet.ems((0.4, 0.9))
    put_button(sheet, margin, y + sheet.ems((0.4, 1)), sheet.chance(0.5))


def _field(sheet: Sheet, value: TextPair | None, left: int, top: int, right: int, padding: int) -> int:
    """A box with a value, or without; the row below it."""
    look = sheet.look()
    bottom = top + look.face.line_height + 2 * padding
    inside = sheet.shape("rectangle", (left, top, right, bottom), None, sheet.faint)
    sheet.solid.append((left, top, right, bottom))
    if value is not None:
        sheet.put(value, look, "value", left + padding, top + padding, right - padding, container=inside, lines=1)
    return bottom


def put_button(sheet: Sheet, left: int, top: int, filled: bool, width: int = 0, shape: str = "rounded") -> int:
    """A button; the row below it."""
    label, padding = sheet.texts.label(sheet.rng), sheet.ems(sheet.options.paddings)
    fill = sheet.accent if filled else None
    look = sheet.look(1.0, sheet.chance(0.4), sheet.on(sheet.accent) if filled else sheet.ink)
    width = width or extent(look.face, label.source.split()) + 2 * padding + 2 * sheet.em
    bottom = top + look.face.line_height + 2 * padding
    inside = sheet.shape(shape, (left, top, left + width, bottom), fill, None if filled else sheet.faint)
    sheet.put_inside(label, look, "button", inside, min(padding, 4))
    return bottom


def lay_receipt(sheet: Sheet) -> None:
    """A shop's name and place, goods and prices, rules, a total, a word of thanks."""
    margin, y = sheet.ems((0.8, 2)), sheet.ems((1, 2))
    right = sheet.width - margin
    look = sheet.look(sheet.between(sheet.options.headings), True)
    y = sheet.put(sheet.texts.label(sheet.rng), look, "heading", margin, y, right, "centre", lines=1)
    y = sheet.put(
        sheet.texts.title(sheet.rng), sheet.look(), "place", margin, y + sheet.ems((0.3, 0.8)), right, "centre"
    )
    y = _dashes(sheet, margin, y + sheet.ems((0.4, 0.8)), right)
    row = max(round(0.85 * sheet.ems(sheet.options.rows)), sheet.look().face.line_height)
    counted = sheet.chance(0.3)
    for _ in range(sheet.some(4, 9)):
        look, cost = sheet.look(), price(sheet)
        wide = extent(look.face, cost.source.split())
        sheet.put(sheet.texts.title(sheet.rng), look, "name", margin, y, right - wide - sheet.em, lines=1)
        sheet.put(cost, look, "price", margin, y, right, "right", lines=1)
        y += row
        if counted:
            pieces = literal(f"{sheet.some(2, 9)} x {sheet.some(1, 9)},{sheet.some(10, 99)}")
            sheet.put(pieces, look, "count", margin + 2 * sheet.em, y, right, lines=1)
            y += row
    y = _dashes(sheet, margin, y + sheet.ems((0.1, 0.4)), right)
    look = sheet.look(sheet.between((1.0, 1.4)), True)
    sum_, cost = TextPair("Summe", "Total"), price(sheet)
    sheet.put(sum_, look, "name", margin, y, right, lines=1)
    y = sheet.put(cost, look, "price", margin, y, right, "right", lines=1) + sheet.ems((0.8, 1.6))
    sheet.put(sheet.texts.passage(sheet.rng), sheet.look(), "paragraph", margin, y, right, "centre", lines=3)


def _dashes(sheet: Sheet, left: int, top: int, right: int) -> int:
    """A rule, whole or dashed; the row from which text goes on."""
    if sheet.chance(0.5):
        sheet.rule(left, top, right, top + sheet.border, sheet.ink)
    else:
        step = max(sheet.em // 2, 6)
        for x in range(left, right - step // 2, step):
            sheet.pen.rectangle((x, top, x + step // 2, top + sheet.border - 1), sheet.ink)
        sheet.solid.append((left, top, right, top + sheet.border))
    return top + sheet.border + sheet.ems((0.4, 0.8))


def lay_columns(sheet: Sheet) -> None:
    """Two or three columns of paragraphs under a headline, some with a picture or headings of their own."""
    margin, y = sheet.ems((1, 2)), sheet.ems((1, 2))
    if sheet.chance(0.7):
        y = put_heading(sheet, margin, y, sheet.width - margin) + sheet.ems((0.2, 0.6))
    between = sheet.ems(sheet.options.columns) + 1
    count = 3 if sheet.width > 48 * sheet.em and sheet.chance(0.4) else 2
    width = (sheet.width - 2 * margin - (count - 1) * between) // count
    alignment = "justified" if sheet.chance(0.35) else "left"
    gap = sheet.ems(sheet.options.gaps)
    headed = sheet.chance(0.3)
    for number in range(count):
        left, top = margin + number * (width + between), y
        if sheet.chance(0.15):
            high = round(width * sheet.between((0.4, 0.7)))
            sheet.photograph((left, top, left + width, top + high))
            sheet.solid.append((left, top, left + width, top + high))
            top += high + sheet.ems((0.5, 1))
        for _ in range(sheet.some(1, 3)):
            if headed:
                look = sheet.look(sheet.between((1.0, 1.25)), True, sheet.accent)
                top = sheet.put(sheet.texts.label(sheet.rng), look, "heading", left, top, left + width, lines=1)
                top += sheet.ems((0.1, 0.4))
            pair = sheet.texts.passage(sheet.rng, sheet.some(2, 4))
            top = sheet.put(pair, sheet.look(), "paragraph", left, top, left + width, alignment, lines=16) + gap


def lay_table(sheet: Sheet) -> None:
    """A table with rules around its cells or between its rows; the head's cells are bold or on a ground."""
    margin, y = sheet.ems((0.8, 2)), sheet.ems((0.8, 2))
    right, em = sheet.width - margin, sheet.em
    if sheet.chance(0.5):
        y = put_heading(sheet, margin, y, right)
    count = max(2, min(sheet.some(2, 5), (right - margin) // (9 * em)))
    shares = [sheet.between((0.8, 1.3)) for _ in range(count)]
    edges = [margin + round((right - margin) * sum(shares[:n]) / sum(shares)) for n in range(count + 1)]
    grid, padding = sheet.chance(0.6), max(sheet.ems(sheet.options.paddings), 3)
    filled, border = sheet.chance(0.4), sheet.border
    numeric = [n > 0 and sheet.chance(0.4) for n in range(count)]
    top_rule = y
    for row in range(sheet.some(4, 8)):
        head = row == 0
        look = sheet.look(1.0, head, sheet.on(sheet.accent) if head and filled else sheet.ink)
        high = look.face.line_height
        texts = []
        for n in range(count):
            text = sheet.texts.label(sheet.rng) if head or n == 0 or sheet.chance(0.6) else sheet.texts.title(sheet.rng)
            texts.append(price(sheet) if numeric[n] and not head else text)
            room = edges[n + 1] - edges[n] - 2 * padding - border
            words = look.face.wrap(texts[-1].source.split(), room, 3)
            if words is None:
                raise NoRoomError
            high = max(high, (len(words) - 1) * sheet.step(look) + look.face.line_height)
        bottom = y + border + high + 2 * padding
        if head and filled:
            sheet.shape("rectangle", (margin, y, right, bottom), sheet.accent)
        sheet.rule(margin, y, right, y + border, sheet.faint)
        for n, text in enumerate(texts):
            cell = (edges[n] + border, y + border, edges[n + 1], bottom)
            inside = Container("rectangle", cell) if grid else None
            place = (cell[0] + padding, cell[1] + padding, cell[2] - padding)
            role = "head" if head else "cell"
            sheet.put(text, look, role, *place, "right" if numeric[n] and not head else "left", inside, 3)
        y = bottom
    sheet.rule(margin, y, right, y + border, sheet.faint)
    for edge in edges if grid else ():
        sheet.rule(edge, top_rule, edge + border, y + border, sheet.faint)
