"""Plain ground around text: boxes, bubbles and rules that Pillow drew; what equals are; how words keep to their box."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from data_synth.fonts import find_font
from data_synth.grounds import draw_on_ground
from translatotron_v.page.blocks import Block, find_blocks
from translatotron_v.page.compose import arrange, compose
from translatotron_v.page.free_ground import Ground, panel
from translatotron_v.page.groups import size_groups
from translatotron_v.page.lines import Line
from translatotron_v.page.profile import EM_PER_HEIGHT, Setting
from translatotron_v.page.regions import RegionMap
from translatotron_v.page.separate import Layers, separate
from translatotron_v.page.straighten import Crop, straighten
from translatotron_v.page.traits import look_at

EM = 24


def write(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int = EM, font: str = "DejaVuSans") -> Line:
    """Text at the left end of its baseline, and the line that a detector would find."""
    face = ImageFont.truetype(str(find_font(font)), size)
    pen.text(at, text, fill=(0, 0, 0), font=face, anchor="ls")
    left, _, right, _ = pen.textbbox(at, text, font=face, anchor="ls")
    top, bottom = at[1] - 0.83 * size, at[1] + 0.29 * size
    quad = ((left - 2.0, top), (right + 2.0, top), (right + 2.0, bottom), (left - 2.0, bottom))
    return Line(quad, 0.0, size / EM_PER_HEIGHT)


def canvas(width: int = 640, height: int = 300) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (width, height), (240, 240, 230))
    return picture, ImageDraw.Draw(picture)


@pytest.mark.parametrize("shape", ["rectangle", "rounded_rectangle", "ellipse"])
@pytest.mark.parametrize("outlined", [False, True])
def test_a_line_knows_its_box(shape: str, outlined: bool) -> None:
    picture, pen = canvas()
    how = {"outline": (0, 0, 0)} if outlined else {"fill": (120, 190, 240)}
    box = (100, 60, 420, 200)
    getattr(pen, shape)(box, **({"radius": 20} if "rounded" in shape else {}), **how)
    line = write(pen, (200, 138), "Weiter")
    below = write(pen, (200, 260), "Draußen")
    regions = RegionMap(np.asarray(picture))
    region, outside = regions.region(line.bounds, EM), regions.region(below.bounds, EM)
    assert region is not None and region.encloses and region.box == pytest.approx(box, abs=3)
    assert outside is not None and not outside.encloses and outside.number != region.number


def test_there_is_no_region_on_texture() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    assert RegionMap(noise).region((100, 80, 300, 110), EM) is None


def test_a_line_that_reaches_beyond_plain_ground_stands_on_none() -> None:
    """Half of a photograph's sky is no box around a caption that begins in its trees."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 640, 3), dtype=np.uint8)
    noise[:, 200:] = (90, 120, 200)
    picture = Image.fromarray(noise)
    pen = ImageDraw.Draw(picture)
    lines = [write(pen, (240, 80), "Am Himmel"), write(pen, (100, 180), "Über den Bäumen am Himmel")]
    within, beyond = find_blocks(lines, 640, np.asarray(picture))
    assert within.region is not None and beyond.region is None


def test_a_line_that_runs_across_a_thing_of_one_colour_stays_whole() -> None:
    """As text over a cup on a photograph does; a box cuts off no more than the frame that a detector took in."""
    picture, pen = canvas(width=900)
    pen.ellipse((150, 40, 700, 220), fill=(250, 215, 170))
    line = write(pen, (40, 138), "Menschen gehen auf einem Gehweg, auf dem Stände stehen.")
    (block,) = find_blocks([line], 900, np.asarray(picture))
    assert block.lines[0].bounds[0] == pytest.approx(line.bounds[0], abs=4)
    assert block.lines[0].bounds[2] == pytest.approx(line.bounds[2], abs=4)


def test_nothing_is_told_of_letters_on_busy_ground() -> None:
    """Stripes are no paper: their height would be taken for that of the letters."""
    picture, pen = canvas()
    for left in range(0, 640, 60):
        pen.rectangle((left, 0, left + 25, 299), fill=(20, 20, 20))
    assert look_at(write(pen, (240, 80), "Am Himmel"), np.asarray(picture)) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 3)])
def test_pictures_of_any_size_have_regions(size: tuple[int, int]) -> None:
    regions = RegionMap(np.zeros((*size, 3), dtype=np.uint8))
    assert regions.cards() == []
    assert regions.region((0, 0, size[1], size[0]), 1) is not None


def test_panels_are_cards() -> None:
    picture, pen = canvas()
    for left in (20, 330):
        pen.rectangle((left, 20, left + 290, 280), fill=(200, 220, 255), outline=(0, 0, 0))
    cards = np.array(RegionMap(np.asarray(picture)).cards())
    assert cards == pytest.approx(np.array([(20, 20, 311, 281), (330, 20, 621, 281)]), abs=2)


def test_rules_part_rows_and_text_does_not() -> None:
    picture, pen = canvas()
    upper, lower, last = (write(pen, (40, y), "Ein langes Wort") for y in (80, 120, 160))
    pen.line((30, 132, 500, 132), fill=(0, 0, 0))
    regions = RegionMap(np.asarray(picture))
    assert not regions.rule_between(upper.bounds, lower.bounds)
    assert regions.rule_between(lower.bounds, last.bounds)
    assert len(find_blocks([upper, lower, last], 640, np.asarray(picture))) == 2


def test_markers_weight_and_size_are_seen() -> None:
    picture, pen = canvas()
    plain, bold = write(pen, (60, 60), "Ein Satz"), write(pen, (60, 110), "Ein Satz", font="DejaVuSans-Bold")
    item, large = write(pen, (60, 160), "• Ein Satz"), write(pen, (60, 230), "Ein Satz", 36)
    traits = [look_at(line, np.asarray(picture)) for line in (plain, bold, item, large)]
    assert all(one is not None for one in traits)
    first, heavy, marked, high = [one for one in traits if one is not None]
    assert heavy.weight > 1.35 * first.weight and high.band == pytest.approx(1.5 * first.band, rel=0.08)
    assert marked.marker and not first.marker and len(marked.words) == len(first.words) == 2


def test_a_line_is_cut_between_label_and_value_and_at_leaders() -> None:
    picture, pen = canvas()
    write(pen, (40, 80), "Name:")
    value = write(pen, (200, 80), "Anna Weber")
    write(pen, (40, 180), "Suppe")
    price = write(pen, (500, 180), "4,80 €")
    for x in range(130, 480, 8):
        pen.rectangle((x, 178, x + 1, 179), fill=(0, 0, 0))
    lines = []
    for y, end in ((80, value), (180, price)):
        top, bottom, right = y - 0.83 * EM, y + 0.29 * EM, end.quad[1][0]
        lines.append(Line(((38.0, top), (right, top), (right, bottom), (38.0, bottom)), 0.0, EM / EM_PER_HEIGHT))
    blocks = find_blocks(lines, 640, np.asarray(picture))
    assert [len(block.rows) for block in blocks] == [1, 1, 1, 1]
    starts = [block.quad[0][0] for block in blocks]
    assert starts == pytest.approx([40, 200, 40, 500], abs=6)


def test_a_row_without_high_letters_goes_on_in_its_paragraph() -> None:
    picture, pen = canvas()
    texts = "Am Morgen waren Rosen im Garten", "aus rosa Samt, nur wenn was war"
    lines = [write(pen, (60, 60), texts[0]), write(pen, (60, 95), texts[1])]
    traits = [one for one in (look_at(line, np.asarray(picture)) for line in lines) if one is not None]
    assert traits[0].rise > 1.2 * traits[1].rise  # the second row might be one of small print
    assert len(find_blocks(lines, 640, np.asarray(picture))) == 1
    lines[0] = write(pen, (60, 225), texts[0])
    lines[1] = write(pen, (60, 255), texts[1], 16)
    assert len(find_blocks(lines, 640, np.asarray(picture))) == 2


def test_a_short_word_of_a_typewriter_face_is_no_marker() -> None:
    picture, pen = canvas()
    lines = [
        write(pen, (60, y), text, font="DejaVuSansMono")
        for y, text in ((60, "Wir sitzen an einem Tisch und"), (92, "lesen zu viert aus dem selben"), (124, "im Bett."))
    ]
    (block,) = find_blocks(lines, 640, np.asarray(picture))
    assert len(block.rows) == 3 and not block.marker
    numbered = [write(pen, (60, 200), "12  Sonne"), write(pen, (60, 240), "und ein Rest")]
    (first,) = find_blocks(numbered, 640, np.asarray(picture))
    assert first.marker


def in_box(shape: str, box: tuple[int, int, int, int], text: str) -> tuple[np.ndarray, Block, Crop, Layers]:
    picture, pen = canvas()
    getattr(pen, shape)(box, fill=(255, 255, 255), outline=(0, 0, 0), width=2)
    width = pen.textlength(text, font=ImageFont.truetype(str(find_font("DejaVuSans")), EM))
    line = write(pen, (round((box[0] + box[2] - width) / 2), (box[1] + box[3]) // 2 + 8), text)
    pixels = np.asarray(picture)
    (block,) = find_blocks([line], 640, pixels)
    crop = straighten(pixels, block)
    return pixels, block, crop, separate(crop.pixels.astype(np.float32) / 255, None, crop.where())


@pytest.mark.parametrize("shape", ["rectangle", "ellipse"])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_words_stay_in_their_box_and_in_its_middle(shape: str, count: int) -> None:
    box = (120, 40, 480, 240)
    pixels, block, crop, layers = in_box(shape, box, "Hallo")
    assert block.alignment == "centre" and block.region is not None
    ((_, top, _, bottom),) = crop.rows
    setting = Setting(EM, ((top + bottom) / 2 + 0.27 * EM,), 1.0)
    words = [np.pad(np.ones((16, 70), dtype=np.float32), ((8, 8), (0, 0)))] * count
    composed = compose(pixels, crop, layers, setting, words, "centre", region=block.region)
    assert not composed.skip_reason and len(composed.quads) == count
    corners = np.array(composed.quads).reshape(-1, 2)
    middle, half = np.array([300, 140]), np.array([180, 100])
    off = np.abs((corners - middle) / half)
    assert (np.hypot(*off.T) < 1 if shape == "ellipse" else off.max(axis=1) < 1).all()
    assert (corners.min(axis=0) + corners.max(axis=0)) / 2 == pytest.approx(middle, abs=8)
    outside = np.hypot(*((np.indices((300, 640)) - middle[::-1, None, None]) / half[::-1, None, None])) > 1
    changed = (composed.pixels != pixels).any(axis=-1)
    assert not changed[outside].any() if shape == "ellipse" else not changed[:, :118].any()


def test_a_word_too_wide_for_its_box_is_left() -> None:
    _, block, crop, _ = in_box("rectangle", (220, 100, 340, 160), "Hallo")
    ((_, top, _, bottom),) = crop.rows
    setting = Setting(EM, ((top + bottom) / 2 + 0.27 * EM,), 1.0)
    word = np.pad(np.ones((16, 90), dtype=np.float32), ((8, 8), (0, 0)))
    arranged = arrange(crop, setting, [word], "centre", region=block.region)
    assert arranged is not None and 0.6 <= arranged.share < 1
    assert arrange(crop, setting, [np.repeat(word, 2, axis=1)], "centre", region=block.region) is None
    assert arrange(crop, setting, [word], "centre", region=block.region, largest=0.7).share <= 0.7  # type: ignore[union-attr]


def beside_a_rule() -> tuple[Ground, np.ndarray]:
    """The ground of a word at (60, 80) with a rule at column 300, and where the picture's corner lies in its crop."""
    picture, pen = canvas()
    line = write(pen, (60, 80), "Wort")
    pen.line((300, 20, 300, 280), fill=(0, 0, 0), width=2)
    pixels = np.asarray(picture)
    (block,) = find_blocks([line], 640, pixels)
    crop = straighten(pixels, block)
    assert block.region is not None
    return Ground(block.region, crop, EM), crop.matrix[:, 2]


def test_ground_ends_at_rules() -> None:
    ground, shift = beside_a_rule()

    def holds(left: int, right: int) -> bool:
        return ground.holds((left + shift[0], 60 + shift[1], right + shift[0], 84 + shift[1]))

    assert holds(150, 295) and not holds(150, 310) and not holds(290, 302)


def test_small_letters_that_fill_a_tight_picture_stand_on_its_ground() -> None:
    """No ground is seen between them, and none before those at the edge; a rule there still is none."""
    picture = Image.new("RGB", (200, 30), (255, 255, 255))
    pen = ImageDraw.Draw(picture)
    face = ImageFont.truetype(str(find_font("DejaVuSans")), 9)
    pen.text((0, 12), "wenn wir zwei am Strand", fill=(0, 0, 0), font=face, anchor="ls")
    line = Line(((0.0, 3.0), (126.0, 3.0), (126.0, 15.0), (0.0, 15.0)), 0.0, 10.4)
    for ruled in (False, True):
        if ruled:
            pen.line((150, 0, 150, 29), fill=(0, 0, 0))
        pixels = np.asarray(picture)
        (block,) = find_blocks([line], 200, pixels)
        assert block.region is not None
        ground = Ground(block.region, straighten(pixels, block), 9)
        assert ground.holds((1, 4, 8, 12)) and ground.holds((20, 4, 60, 14))
        assert ground.holds((140, 4, 156, 14)) != ruled


def test_equals_are_those_in_equal_boxes_or_in_one_column() -> None:
    picture, pen = canvas(700)
    lines = []
    for left in (20, 240, 460):
        pen.rectangle((left, 20, left + 200, 70), fill=(255, 255, 255), outline=(0, 0, 0))
        lines.append(write(pen, (left + 40, 53), "Knopf"))
    lines += [write(pen, (40, y), text) for y, text in ((130, "Erstens"), (180, "Zweitens"))]
    lines.append(write(pen, (300, 240), "Ganz woanders"))
    blocks = find_blocks(lines, 700, np.asarray(picture))
    assert len(blocks) == 6
    assert sorted(map(sorted, size_groups(blocks, [24.0] * 6))) == [[0, 1, 2], [3, 4], [5]]
    assert [0, 1, 2] not in size_groups(blocks, [24.0, 24.0, 30.0, 24.0, 24.0, 24.0])


def test_a_hyphen_joins_what_it_parts_even_where_there_was_room() -> None:
    picture, pen = canvas()
    lines = [write(pen, (60, y), text) for y, text in ((60, "Zelt-"), (92, "platz am Rande der Stadt"))]
    traits = [look_at(line, np.asarray(picture)) for line in lines]
    assert [one is not None and one.hyphen for one in traits] == [True, False]
    assert len(find_blocks(lines, 640, np.asarray(picture))) == 1
    lines += [write(pen, (60, y), text) for y, text in ((180, "Zelt"), (212, "am Rande der alten Stadt"))]
    assert len(find_blocks(lines, 640, np.asarray(picture))) == 3  # the first word had room beside the tent


def test_an_icon_beside_two_rows_is_no_marker() -> None:
    picture, pen = canvas()
    lines = [write(pen, (100, y), text) for y, text in ((60, "Mehr"), (92, "Einstellungen"))]
    pen.rectangle((62, 50, 84, 76), fill=(0, 0, 0))
    (block,) = find_blocks(lines, 640, np.asarray(picture))
    assert len(block.rows) == 2 and not block.marker


def test_a_paler_and_lighter_row_is_what_a_label_stands_for() -> None:
    picture, pen = canvas()
    label = write(pen, (60, 60), "Warnung ab", font="DejaVuSans-Bold")
    face = ImageFont.truetype(str(find_font("DejaVuSans")), EM)
    pen.text((60, 92), "zwei Tagen", fill=(45, 45, 45), font=face, anchor="ls")
    value = Line(tuple((x, y + 32) for x, y in label.quad), 0.0, label.height)
    assert len(find_blocks([label, value], 640, np.asarray(picture))) == 2


def test_new_words_keep_away_from_what_stands_beside_the_old_ones() -> None:
    ground, (x, y) = beside_a_rule()
    assert ground.holds((200 + x, 60 + y, 296 + x, 84 + y))
    assert not ground.clears((200 + x, 60 + y, 296 + x, 84 + y), 0.25 * EM)
    assert ground.clears((200 + x, 60 + y, 290 + x, 84 + y), 0.25 * EM)


def test_the_panel_of_a_block_is_its_box_without_its_edge() -> None:
    _, block, crop, _ = in_box("rectangle", (220, 100, 340, 160), "Hallo")
    mask = panel(block.region, crop, EM)
    assert mask is not None and mask.shape == crop.pixels.shape[:2]
    x, y = (round(float(shift)) for shift in crop.matrix[:, 2])
    rows, columns = np.flatnonzero(mask.any(axis=1)) - y, np.flatnonzero(mask.any(axis=0)) - x
    assert (columns[0], columns[-1], rows[0], rows[-1]) == pytest.approx((223, 337, 103, 157), abs=1)
    assert mask[rows[0] + y : rows[-1] + y, columns[0] + x : columns[-1] + x].all()  # letters are within it
    assert panel(None, crop, EM) is None


@pytest.mark.parametrize("seed", [1, 4, 8])
@pytest.mark.parametrize(("em", "quality"), [(16, 50), (18, 30), (20, 75)])
def test_a_small_button_is_a_box_though_jpeg_has_broken_it_up(em: int, quality: int, seed: int) -> None:
    """Around letters with an outline no pixel has the colour of the next one."""
    lines = ("Heiße Schokolade",)
    rng = np.random.default_rng(seed)
    page = draw_on_ground(rng, "button", "outline", lines, "DejaVuSansCondensed", em, quality=quality)
    region = RegionMap(page.pixels).region(page.lines[0], em)
    rows, columns = np.nonzero(page.fixed)
    edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    assert region is not None and region.encloses
    assert np.abs(np.subtract(region.box, edges)).max() <= 2
