"""The shipped weights of whole pages, on the example pages and on pictures they should leave alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from data_synth.fonts import find_font
from data_synth.photographs import bundled_photographs
from translatotron_v.inference.loaded import Translation
from translatotron_v.inference.pipeline import Translator
from translatotron_v.metrics import cer
from translatotron_v.ocr import OcrEngine, boxes_to_text
from translatotron_v.page.separate import separate
from translatotron_v.shipped import shipped_weights

pytestmark = pytest.mark.skipif("small" not in shipped_weights(), reason="no weights of whole pages in this checkout")
PAGES = Path(__file__).resolve().parent.parent / "examples" / "pages"


@pytest.fixture(scope="module")
def translator() -> Translator:
    return Translator.from_pretrained("small")


@pytest.fixture(scope="module")
def sign(translator: Translator) -> Translation:
    return translator(PAGES / "sign.jpg")


def outside(size: tuple[int, int], translation: Translation, slack: int) -> np.ndarray:
    """Which pixels lie away from the blocks that were translated."""
    mask = Image.new("L", size, 255)
    pen = ImageDraw.Draw(mask)
    for block in translation.blocks:
        if not block.skip_reason:
            pen.polygon(list(block.quad), fill=0)
    return np.asarray(mask.filter(ImageFilter.MinFilter(2 * slack + 1))) > 0


@pytest.mark.parametrize("name", ["book", "dusk", "sign", "tilted"])
def test_a_page_comes_back_in_english(translator: Translator, reader: OcrEngine, name: str):
    source = Image.open(PAGES / f"{name}.jpg")
    translation = translator(source)
    assert translation.blocks and all(not block.skip_reason for block in translation.blocks)
    assert translation.image.size == source.size and translation.image.mode == "RGB"
    assert {block.language for block in translation.blocks} == {"de"}
    seen = translation.image.rotate(7, Image.Resampling.BICUBIC) if name == "tilted" else translation.image
    read = boxes_to_text(reader.read(seen))
    written = " ".join(block.text for block in translation.blocks)
    assert cer([read], [written]).value < 0.15, (read, written)


def test_what_is_asked_for_is_translated(sign: Translation):
    (block,) = sign.blocks
    assert "dog" in block.text and block.source_text.startswith("Ein Hund")
    assert 45 < block.size < 60 and min(block.colour) > 200 and abs(block.angle) < 0.5
    assert set(block.scores) == {"text", "image", "reading", "drawing", "right"}


def test_nothing_outside_the_block_changes(sign: Translation):
    with Image.open(PAGES / "sign.jpg") as source:
        before, after = np.asarray(source), np.asarray(sign.image)
    mask = outside(sign.image.size, sign, slack=8)
    assert mask.mean() > 0.1 and np.array_equal(before[mask], after[mask])


@pytest.fixture
def other_tokens(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text, and the tokens in another order: neighbours change places."""
    tokenizer = translator.loaded.model.image_tokenizer
    decode = tokenizer.decode_from_ids
    monkeypatch.setattr(tokenizer, "decode_from_ids", lambda ids: decode(ids.unflatten(1, (-1, 2)).flip(2).flatten(1)))


@pytest.mark.usefixtures("other_tokens")
def test_other_tokens_are_another_picture(translator: Translator, sign: Translation, reader: OcrEngine):
    assert translator(PAGES / "sign.jpg").blocks[0].skip_reason == "misdrawn"  # what it drew is not what it meant
    changed = translator(PAGES / "sign.jpg", redraws=0)
    assert changed.text == sign.text
    read = boxes_to_text(reader.read(changed.image))
    assert cer([read], [sign.text]).value > 0.5


@pytest.mark.parametrize("font", ["SpaceMono-Regular", "CascadiaMono-Regular", "UbuntuMono-Bold", "FiraGO-BoldItalic"])
def test_fonts_it_never_saw_go_through(translator: Translator, font: str):
    page = Image.new("RGB", (520, 120), (240, 235, 225))
    text = "Ein Mann sitzt auf einer Bank\nund liest eine Zeitung."
    ImageDraw.Draw(page).multiline_text((30, 30), text, (40, 20, 60), ImageFont.truetype(str(find_font(font)), 22))
    translation = translator(page)
    assert len(translation.blocks) == 1 and translation.image.size == page.size
    fonts = translator.loaded.config.model.fonts
    assert translation.blocks[0].skip_reason or translation.blocks[0].font in fonts


@pytest.mark.parametrize("name", ["page", "text", "coins", "camera", "rocket", "chelsea"])
def test_pictures_without_german_come_back_as_they_were(translator: Translator, name: str):
    folder = next(iter(bundled_photographs().values())).parent
    found = sorted(folder.glob(f"{name}.*"))
    if not found:
        pytest.skip(f"scikit-image brings no {name}")
    picture = Image.open(found[0])
    translation = translator(picture)
    assert translation.text == "" and all(block.skip_reason for block in translation.blocks)
    assert np.array_equal(np.asarray(translation.image), np.asarray(picture))


def test_ink_is_found_on_a_photograph(translator: Translator):
    unseen = bundled_photographs()["coffee.png"]  # no page of training has it
    photograph = Image.open(unseen).convert("RGB").crop((100, 60, 420, 156))
    mask = Image.new("L", photograph.size)
    font = ImageFont.truetype(str(find_font("NotoSans-Regular")), 22)
    ImageDraw.Draw(mask).multiline_text((12, 16), "Ein Mann sitzt auf einer\nBank im Park.", 255, font)
    photograph.paste((250, 250, 240), mask=mask)
    assert translator._pages is not None
    layers = separate(np.asarray(photograph, dtype=np.float32) / 255, translator._pages.matting)
    drawn = np.asarray(mask) > 127
    found = layers.text_alpha > 0.5
    assert (drawn & found).sum() / (drawn | found).sum() > 0.7
    assert np.abs(np.array(layers.colour) - np.array([250, 250, 240]) / 255).max() < 0.15


def test_a_narrow_face_comes_back_narrow(translator: Translator):
    def poster(width: float) -> Image.Image:
        text = ImageFont.truetype(str(find_font("Ubuntu-Regular")), 40)
        page = Image.new("RGB", (1400, 120), "white")
        ImageDraw.Draw(page).text((40, 40), "Zwei Hunde spielen mit einem Ball im Park.", font=text, fill=(150, 20, 20))
        return page.resize((round(1400 * width), 120), Image.Resampling.LANCZOS)

    usual, narrow = translator(poster(1.0)), translator(poster(0.6))
    assert usual.text == narrow.text and "dogs" in narrow.text
    lefts, rights = zip(
        *((min(x for x, _ in corners), max(x for x, _ in corners)) for corners in map(_ink_of, (usual, narrow))),
        strict=True,
    )
    widths = [right - left for left, right in zip(lefts, rights, strict=True)]
    assert widths[1] / widths[0] == pytest.approx(0.62, abs=0.07)


def _ink_of(translation: Translation) -> list[tuple[int, int]]:
    """Places (x, y) of ink on a white page."""
    ys, xs = np.nonzero(np.asarray(translation.image.convert("L")) < 160)
    return list(zip(xs.tolist(), ys.tolist(), strict=True))
