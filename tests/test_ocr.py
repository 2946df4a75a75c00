"""Reading pictures: one engine is loaded once for this file."""

import logging
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from data_synth.render import render_page
from data_synth.style import PageLayout, PageStyle
from translatotron_v import ocr
from translatotron_v.errors import UserError
from translatotron_v.metrics import cer
from translatotron_v.ocr import OcrEngine, box_from_bounds, boxes_to_text, make_ocr_engine

TEXTS = (
    "ein älterer mann sitzt mit einem grünen hut auf einer bank und fährt später weiter.",
    "two young boys are playing with a red ball in front of a large white house.",
)


@pytest.fixture(scope="module")
def reader() -> OcrEngine:
    return make_ocr_engine()


def strip(text: str, channels: int = 1) -> np.ndarray:
    page = render_page(text, PageLayout(channels=channels), PageStyle())
    assert page is not None
    return page.pixels


def test_strips_of_small_print_are_read(reader: OcrEngine) -> None:
    boxes = [reader.read(strip(text)) for text in TEXTS]
    assert cer([boxes_to_text(found) for found in boxes], TEXTS).value < 0.01
    for found in boxes:
        for box in found:
            left, top, right, bottom = box.bounds
            assert 0 <= left < right <= 256 and 0 <= top < bottom <= 48 and 0.5 <= box.score <= 1


def test_any_kind_of_picture_is_taken(reader: OcrEngine) -> None:
    pixels = strip(TEXTS[1], channels=3)
    picture = Image.fromarray(pixels)
    alpha = picture.convert("RGBA")
    alpha.putalpha(Image.fromarray(255 - pixels[..., 0]))  # ink on nothing
    expected = boxes_to_text(reader.read(pixels))
    for other in (pixels[..., 0], picture, alpha):
        assert boxes_to_text(reader.read(other)) == expected
    with pytest.raises(TypeError, match="uint8"):
        reader.read(pixels / 255)


def test_an_empty_page_reads_as_nothing_and_nothing_is_logged(reader: OcrEngine, capfd: pytest.CaptureFixture) -> None:
    assert reader.read(np.full((48, 256), 255, dtype=np.uint8)) == []
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert not logging.getLogger("RapidOCR").isEnabledFor(logging.WARNING)


def test_the_signature_names_engine_version_and_settings(reader: OcrEngine) -> None:
    assert reader.signature.startswith("ocr:rapidocr-3.")
    assert "limit_type:max|limit_side_len:960|use_cls:False" in reader.signature


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UserError, match="rapidocr, tesserocr"):
        make_ocr_engine("easyocr")


def test_a_missing_engine_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tesserocr", None)
    with pytest.raises(UserError, match="pip install"):
        make_ocr_engine("tesserocr")


def test_the_optional_engine_reads_strips_too() -> None:
    pytest.importorskip("tesserocr")
    try:
        tesser = make_ocr_engine("tesserocr", ["de", "en"])
    except UserError as error:
        pytest.skip(str(error))  # the package is there, its language data is not
    assert cer([boxes_to_text(tesser.read(strip(text))) for text in TEXTS], TEXTS).value < 0.05
    assert tesser.read(np.full((48, 256), 255, dtype=np.uint8)) == []


def test_reading_order() -> None:
    boxes = [
        box_from_bounds(120, 2, 200, 18, "two"),
        box_from_bounds(0, 21, 90, 37, " three "),
        box_from_bounds(0, 0, 100, 16, "one"),
        box_from_bounds(0, 40, 90, 56, "four"),
    ]
    assert boxes_to_text(boxes) == "one two three four"
    assert boxes_to_text([]) == ""


def test_boxes_are_those_of_rapidocr():
    from rapidocr.ch_ppocr_det.utils import DBPostProcess

    probabilities = np.zeros((900, 1200), np.uint8)
    random = np.random.default_rng(1)
    for _ in range(40):  # middles of lines, tilted and level, some too faint and some too thin
        start, angle, length = random.integers((20, 20), (1100, 880)), random.normal(0, 0.3), random.integers(4, 120)
        end = start + np.array((np.cos(angle), np.sin(angle))) * length
        level, width = int(random.integers(120, 256)), int(random.integers(1, 14))
        cv2.line(probabilities, start.tolist(), end.astype(int).tolist(), level, width)
    theirs = DBPostProcess(0.3 * 255, 0.5 * 255, 1000, 1.6, "fast", True)
    wanted, _ = theirs(probabilities[None, None], (900 * 8, 1200 * 8))
    found = ocr._spread_boxes(probabilities, 1000)
    assert len(found) > 10 and np.array_equal(np.array(found) * 8, wanted)
