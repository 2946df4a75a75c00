"""Pages: where ink may be, what pairs share, and that caches change nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from data_synth.backgrounds import make_background
from data_synth.corpora import TextPair
from data_synth.errors import UserError
from data_synth.fonts import default_fonts
from data_synth.grammar import grammar_pairs
from data_synth.render import (
    PageLayout,
    PagePair,
    PageStyle,
    RenderedPage,
    StyleOptions,
    fits,
    lacking,
    render_page,
    render_pair,
    render_sample,
    sample_style,
)
from data_synth.style import contrast
from data_synth.typeset import load_face

PAIRS = grammar_pairs("cs", "fr", 24, 0)
TEXT = "Příliš žluťoučký kůň úpěl; Übergrößen șed țară jupe âgée, gÅj!"
RICH = StyleOptions(
    fonts=default_fonts(),
    sizes=(9, 22),
    line_height=0,
    margin=4,
    top=3,
    colours=True,
    backgrounds=("plain", "gradient", "photo"),
)


def _background(page: RenderedPage, style: PageStyle) -> np.ndarray:
    return make_background(style, *page.pixels.shape)


def _rich_pairs(kind: str = "blocks") -> list[PagePair]:
    layout = PageLayout(192, 256, 3, kind)
    found = []
    for index in range(0, len(PAIRS), 2):
        pair = TextPair(
            "\n".join(p.source for p in PAIRS[index : index + 2]), "\n".join(p.target for p in PAIRS[index : index + 2])
        )
        pages, _ = render_sample(pair, layout, RICH, 0, index, smallest=6)
        assert pages is not None
        found.append(pages)
    return found


@pytest.mark.parametrize("font", default_fonts())
@pytest.mark.parametrize("size", [11, 17])
def test_cached_words_give_the_pixels_of_a_line_drawn_whole(font: str, size: int) -> None:
    face = load_face(font, size)
    layout, style = PageLayout(160, 256, 1), PageStyle(font=font, font_size=size, line_height=0)
    for text in (TEXT, *(pair.source for pair in PAIRS), *(pair.target for pair in PAIRS)):
        for _ in range(2):  # with a cold and with a warm cache
            page = render_page(text, layout, style)
            assert page is not None
            whole = Image.new("L", (256, 160), 255)
            draw = ImageDraw.Draw(whole)
            for number, line in enumerate(page.lines):
                place = (style.margin, number * face.line_height + face.baseline)
                draw.text(place, line, fill=0, font=face.font, anchor="ls")
            assert np.array_equal(page.pixels[:, :, 0], np.asarray(whole)), text


def test_the_plain_strip_keeps_to_its_grid() -> None:
    page = render_page("zwei jäger gehen über die große straße und sehen ďáblův hůl", PageLayout(), PageStyle())
    assert page is not None and page.pixels.shape == (48, 256, 1) and len(page.lines) == 2
    for number, box in enumerate(page.boxes):
        assert (box.top, box.bottom) == (16 * number, 16 * number + 16)
        rows = np.flatnonzero((page.mask[box.top : box.bottom] > 0).any(axis=1))
        assert rows[0] > 0 and rows[-1] < 15  # ink never touches the next line
    assert (page.pixels[32:] == 255).all()
    assert page.mask[:, :2].max() == 0


def test_boxes_cover_the_ink_and_lie_inside_the_page() -> None:
    for pages in [*_rich_pairs("blocks"), *_rich_pairs("paragraph")]:
        for page in (pages.source, pages.target):
            height, width = page.mask.shape
            outside = page.mask.copy()
            for box in page.boxes:
                assert 0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height
                columns = np.flatnonzero(page.mask[box.top : box.bottom, box.left : box.right].any(axis=0))
                assert columns[0] == 0 and columns[-1] == box.right - box.left - 1  # no wider than its ink
                outside[box.top : box.bottom, box.left : box.right] = 0
            assert outside.max() == 0
            bare = outside == 0
            for box in page.boxes:
                bare[box.top : box.bottom, box.left : box.right] = False
            assert np.array_equal(page.pixels[bare], _background(page, pages.style)[bare])


def test_both_pages_share_style_background_and_places() -> None:
    for pages in _rich_pairs():
        both_bare = (pages.source.mask == 0) & (pages.target.mask == 0)
        assert np.array_equal(pages.source.pixels[both_bare], pages.target.pixels[both_bare])
        for block in range(2):
            starts = [
                next((box.top) for box in page.boxes if box.block == block) for page in (pages.source, pages.target)
            ]
            assert starts[0] == starts[1] == pages.regions[block][1]


def test_blocks_do_not_overlap_and_stand_in_different_places() -> None:
    pages = _rich_pairs()
    for pair in pages:
        (left, top, right, bottom), other = pair.regions
        assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
    assert len({pair.regions[0][:2] for pair in pages}) > len(pages) // 2


def test_the_same_seed_and_index_give_the_same_pixels() -> None:
    options = replace(RICH, noise=9.0, blur=0.8, jpeg=50)
    layout = PageLayout(128, 128, 3)
    first, second, other = (render_sample(PAIRS[0], layout, options, 4, i, 6)[0] for i in (7, 7, 8))
    assert first is not None and second is not None and other is not None
    assert np.array_equal(first.source.pixels, second.source.pixels)
    assert not np.array_equal(first.source.pixels, other.source.pixels)


@pytest.mark.parametrize("field", ["noise", "blur", "jpeg"])
def test_degradation_changes_the_picture_but_not_the_boxes(field: str) -> None:
    layout = PageLayout(64, 256, 3)
    clean = render_page(TEXT, layout, PageStyle())
    spoilt = render_page(TEXT, layout, replace(PageStyle(), **{field: 30 if field == "jpeg" else 4.0}))  # type: ignore[arg-type]
    assert clean is not None and spoilt is not None
    assert clean.boxes == spoilt.boxes and not np.array_equal(clean.pixels, spoilt.pixels)


def test_what_does_not_fit_is_none_and_shrinks_if_it_may() -> None:
    layout, style = PageLayout(48, 256, 1), PageStyle(font_size=20, line_height=0)
    pair = TextPair("ein Satz, der für drei Zeilen in dieser Größe doch etwas zu lang ist", "a short one")
    assert not fits(pair.source, layout, style) and render_page(pair.source, layout, style) is None
    assert render_pair(pair, layout, style, np.random.default_rng(0)) is None
    pages = render_pair(pair, layout, style, np.random.default_rng(0), smallest=8)
    assert pages is not None and 8 <= pages.style.font_size < 20
    assert not fits("Donaudampfschifffahrtsgesellschaft" * 3, layout, PageStyle())


def test_margins_wider_than_the_page_leave_no_room() -> None:
    for style in (PageStyle(top=40), PageStyle(margin=200)):
        for kind in ("line", "paragraph", "blocks"):
            layout = PageLayout(48, 256, 1, kind)
            assert render_page("a", layout, style) is None
            assert render_pair(TextPair("a", "a"), layout, style, np.random.default_rng(0)) is None


def test_one_line_is_one_line() -> None:
    layout = PageLayout(48, 256, 1, "line")
    assert fits("ein kurzer satz", layout, PageStyle())
    assert not fits("ein satz, der sehr viel zu lang für eine zeile ist", layout, PageStyle())


def test_letters_that_the_font_lacks_are_never_drawn() -> None:
    assert lacking("ein 猫 mit \u200bHut", PageStyle()) == "猫"
    assert render_page("ein 猫", PageLayout(), PageStyle()) is None


def test_decomposed_and_invisible_characters_do_not_matter() -> None:
    pages = [render_page(text, PageLayout(), PageStyle()) for text in ("schön", "scho\u0308n", "sch\u00ad\u200bön ")]
    assert all(page is not None and np.array_equal(page.pixels, pages[0].pixels) for page in pages)


def test_unequal_numbers_of_blocks_are_named() -> None:
    with pytest.raises(UserError, match="2 source but 1 target"):
        render_pair(TextPair("a\nb", "c"), PageLayout(kind="blocks"), PageStyle(), np.random.default_rng(0))


def test_random_colours_are_readable() -> None:
    rng = np.random.default_rng(0)
    options = replace(RICH, backgrounds=("plain", "gradient"))
    for _ in range(200):
        style = sample_style(rng, options)
        assert contrast(style.ink, style.paper) >= 4.5
        if style.background == "gradient":
            assert contrast(style.ink, style.paper_end) >= 4.5


def test_pictures_of_the_users_become_backgrounds(tmp_path: Path) -> None:
    path = tmp_path / "sky.png"
    Image.new("RGB", (40, 30), (10, 200, 90)).save(path)
    style = PageStyle(background="folder", picture=str(path), fade=0.0)
    assert (make_background(style, 20, 50, 3) == (10, 200, 90)).all()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"broken\.png"):
        make_background(replace(style, picture=str(broken)), 20, 50, 3)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: PageLayout(0, 10), "0x10"),
        (lambda: PageLayout(channels=4), "channels=4"),
        (lambda: PageLayout(kind="poster"), "poster"),
        (lambda: StyleOptions(sizes=(12, 9)), "12-9"),
        (lambda: StyleOptions(backgrounds=("sky",)), "sky"),
        (lambda: StyleOptions(backgrounds=("folder",)), "folder"),
        (lambda: StyleOptions(fonts=()), "fonts"),
    ],
)
def test_impossible_settings_are_named(make, named: str) -> None:
    with pytest.raises(UserError, match=named):
        make()
