"""Pictures of any kind through the page pipeline, with a model's place taken by one that writes given sentences."""

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from torch import nn

from data_synth.typeset import Face
from tests.page.pages import TEXTS, render, tilt
from translatotron_v.config import Config
from translatotron_v.errors import UserError
from translatotron_v.inference import whole_pages
from translatotron_v.inference.block_state import BlockState
from translatotron_v.inference.certainty import Calibration
from translatotron_v.inference.files import plan_jobs, translate_jobs
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.pieces import Paragraph
from translatotron_v.inference.pipeline import Translator
from translatotron_v.inference.whole_pages import EndToEnd, PageTranslator
from translatotron_v.ocr import LineDetector, OcrEngine, boxes_to_text

READ = "Ein Hund rennt."
ANSWER = "A dog runs."


def write(paragraph: Paragraph, text: str) -> None:
    """What the model would leave in a paragraph: the words of a text as it draws them."""
    face = Face("DejaVuSans", 20, 32)
    paragraph.translations = [text]
    paragraph.words = [face.word(word).mask.astype(np.float32) / 255 for word in text.split()]
    paragraph.scores = [{"text": math.log(0.9), "image": math.log(0.99)}]


class Writer:
    """Stands in for `read_paragraphs` and `translate_paragraphs`."""

    def __init__(self) -> None:
        self.text, self.asked = ANSWER, 0
        self.read, self.sure = [READ], [0.95]  # the last of each is what all further blocks get

    def reads(self, loaded: object, pages: Sequence[Sequence[Paragraph]], batch_size: int) -> None:
        for number, paragraph in enumerate(paragraph for page in pages for paragraph in page):
            assert paragraph.runs
            paragraph.text, paragraph.font = self.read[min(number, len(self.read) - 1)], "DejaVuSans"
            paragraph.reading = math.log(self.sure[min(number, len(self.sure) - 1)])

    def writes(self, loaded: object, paragraphs: Sequence[Paragraph], batch_size: int, generation: object) -> None:
        for paragraph in paragraphs:
            self.asked += 1
            write(paragraph, self.text)


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Writer:
    writer = Writer()
    monkeypatch.setattr(whole_pages, "read_paragraphs", writer.reads)
    monkeypatch.setattr(whole_pages, "translate_paragraphs", writer.writes)
    return writer


@pytest.fixture
def translator(detector: LineDetector, writer: Writer) -> Translator:
    loaded = LoadedTranslator(nn.Linear(1, 1), SimpleNamespace(), Config(), Path())  # type: ignore[arg-type]
    return Translator(loaded, pages=PageTranslator(EndToEnd(loaded), None, detector))


def test_blocks_are_replaced_and_everything_else_stays(translator: Translator, reader: OcrEngine):
    page = render(20)
    translation = translator(Image.fromarray(page.pixels))
    assert [block.skip_reason for block in translation.blocks] == ["", "", ""]
    assert translation.text == "\n".join([ANSWER] * 3) and translation.source_text.count(READ) == 3
    assert translation.scores == {"text": pytest.approx(0.9), "image": pytest.approx(0.99)}
    assert translation.blocks[0].scores["reading"] == pytest.approx(0.95)
    made = np.asarray(translation.image)
    assert boxes_to_text(reader.read(made)) == " ".join([ANSWER] * 3)
    outside = np.ones(made.shape[:2], dtype=bool)
    for block in translation.blocks:
        columns, rows = zip(*block.quad, strict=True)
        assert 0.85 * 20 < block.size < 1.15 * 20 and max(block.colour) < 60
        outside[int(min(rows)) - 6 : int(max(rows)) + 8, int(min(columns)) - 6 : int(max(columns)) + 8] = False
    assert np.array_equal(made[outside], page.pixels[outside])


def test_a_tilted_page_is_answered_tilted(translator: Translator, reader: OcrEngine):
    pixels = tilt(render(20).pixels, 7)
    translation = translator(Image.fromarray(pixels))
    assert len(translation.blocks) == 3
    assert all(abs(block.angle - 7) < 0.5 and not block.skip_reason for block in translation.blocks)
    level = translation.image.rotate(7, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255))
    assert boxes_to_text(reader.read(level)).count("dog") == 3


def test_a_picture_without_text_comes_back_as_it_was(translator: Translator, writer: Writer):
    noise = np.random.default_rng(0).integers(90, 120, (70, 90, 3), dtype=np.uint8)
    for mode in ("RGB", "L"):
        picture = Image.fromarray(noise).convert(mode)
        translation = translator(picture)
        assert translation.image.mode == mode and translation.image.tobytes() == picture.tobytes()
        assert translation.blocks == () and translation.text == "" and translation.low_confidence == []
    assert writer.asked == 0


@pytest.mark.parametrize("size", [(1, 1), (3000, 20), (5, 400), (2, 2)])
def test_odd_sizes_go_through(translator: Translator, size: tuple[int, int]):
    picture = Image.new("RGB", size, (200, 210, 220))
    assert translator(picture).image.tobytes() == picture.tobytes()


def test_grey_pages_stay_grey(translator: Translator):
    picture = Image.fromarray(render(20).pixels).convert("L")
    translation = translator(picture)
    assert translation.image.mode == "L" and translation.image.size == picture.size
    assert translation.image.tobytes() != picture.tobytes()


def test_what_finds_no_room_is_left_and_named(translator: Translator, writer: Writer):
    writer.text = " ".join([TEXTS[0]] * 12)
    page = render(20)
    translation = translator(Image.fromarray(page.pixels))
    assert {block.skip_reason for block in translation.blocks} == {"no room"}
    assert translation.image.tobytes() == page.pixels.tobytes()
    assert translation.text == "" and translation.scores == {}


def test_a_block_on_which_nothing_can_be_read_is_left(translator: Translator, writer: Writer):
    writer.read = [""]
    page = render(20)
    translation = translator(Image.fromarray(page.pixels))
    assert {block.skip_reason for block in translation.blocks} == {"unreadable"} and writer.asked == 0
    assert translation.image.tobytes() == page.pixels.tobytes()


def test_a_block_that_was_read_with_doubt_is_left(translator: Translator, writer: Writer):
    writer.sure = [0.5, 0.95]
    translation = translator(Image.fromarray(render(20).pixels))
    assert [block.skip_reason for block in translation.blocks] == ["unreadable", "", ""]
    assert translation.blocks[0].source_text == READ and translation.blocks[0].text == ""
    assert translation.blocks[0].scores == {"reading": pytest.approx(0.5)}


CALIBRATION = Calibration({"reading": 4.0, "text": 1.0, "length": 0.0}, 0.8)  # of the sure and the doubtful below
SURE, DOUBTFUL = (CALIBRATION.probability(math.log(sure), math.log(0.9), 3) for sure in (0.99, 0.89))


def test_calibrated_weights_say_how_probable_it_is_that_they_are_right(translator: Translator, writer: Writer):
    assert translator._pages is not None
    writer.sure = [0.99, 0.89]
    translator._pages.calibration = CALIBRATION
    translation = translator(Image.fromarray(render(20).pixels))
    assert [block.scores["right"] for block in translation.blocks] == pytest.approx([SURE, DOUBTFUL, DOUBTFUL])
    assert list(translation.scores) == ["right", "text", "image"]
    assert translation.scores["right"] == pytest.approx(DOUBTFUL) and translation.low_confidence == []
    translator._pages.calibration = replace(CALIBRATION, bias=-0.5)
    assert translator(Image.fromarray(render(20).pixels)).low_confidence == ["right"]


def test_doubtful_blocks_are_left_where_it_is_asked_for(translator: Translator, writer: Writer):
    assert translator._pages is not None
    page = Image.fromarray(render(20).pixels)
    with pytest.raises(UserError, match=r"no calibration\.json tells how probable"):
        translator(page, min_confidence=0.5)
    writer.sure = [0.99, 0.89]
    translator._pages.calibration = CALIBRATION
    translation = translator(page, min_confidence=(SURE + DOUBTFUL) / 2)
    assert [block.skip_reason for block in translation.blocks] == ["", "doubtful", "doubtful"]
    assert translation.text == ANSWER and translation.scores["right"] == pytest.approx(SURE)
    assert translation.blocks[1].scores["right"] == pytest.approx(DOUBTFUL)
    assert [block.skip_reason for block in translator(page, min_confidence=DOUBTFUL).blocks] == ["", "", ""]
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(UserError, match=r"min_confidence must lie in 0\.\.1, not"):
            translator(page, min_confidence=wrong)


def test_a_paragraph_is_as_sure_as_its_worst_sentence():
    paragraph = Paragraph([], translations=["one two", "three"], reading=-0.1)
    paragraph.scores = [{"text": -0.2, "image": 0.0}, {"text": -1.0, "image": 0.0}]
    expected = CALIBRATION.probability(-0.1, -1.0, 1)
    assert paragraph.certainty(CALIBRATION) == expected < CALIBRATION.probability(-0.1, -0.2, 2)
    assert Paragraph([]).certainty(CALIBRATION) is None
    assert Paragraph([], reading=-0.1).certainty(CALIBRATION) is None


def test_blocks_in_other_languages_and_without_words_stay(translator: Translator, writer: Writer):
    writer.read = ["A dog is running through the water.", "12.30 - 14.00", READ]
    page = render(20)
    translation = translator(Image.fromarray(page.pixels))
    assert [block.skip_reason for block in translation.blocks] == ["another language", "no words", ""]
    assert [block.language for block in translation.blocks] == ["en", "", "de"]
    assert writer.asked == 1 and translation.text == ANSWER
    top = int(min(y for block in translation.blocks[2:] for _, y in block.quad)) - 8
    assert np.array_equal(np.asarray(translation.image)[:top], page.pixels[:top])


@pytest.mark.parametrize(
    ("words", "languages"),
    [
        (("Neurologie", "Akademie"), ("de", "de")),  # Polish and Czech to the identifier, were there more of it
        (("Entrance", "Way out"), ("en", "en")),  # translated already
        (("Neurologie", "Le musée est fermé le lundi et le mardi"), ("fr", "fr")),
    ],
)
def test_a_word_or_two_are_the_sources_unless_the_page_says_more(words: tuple[str, str], languages: tuple[str, str]):
    states = [SimpleNamespace(paragraph=Paragraph([], reading=-0.1), language="", skip_reason="") for _ in words]
    for state, text in zip(states, words, strict=True):
        state.paragraph.text = text
        BlockState.judge(state, "de", "en", " ".join(words))  # type: ignore[arg-type]
    assert tuple(state.language for state in states) == languages


def test_debug_shows_what_was_seen(translator: Translator, tmp_path: Path):
    Image.fromarray(render(20).pixels).save(tmp_path / "page.png")
    jobs = plan_jobs([str(tmp_path / "page.png")], tmp_path / "out")
    assert [outcome.error for outcome in translate_jobs(translator, jobs, debug=tmp_path / "debug")] == [None]
    names = {path.name for path in (tmp_path / "debug" / "page").iterdir()}
    assert names >= {"boxes.png", "block-01-mask.png", "block-01-background.png", "block-03-mask.png"}
    assert translator(Image.fromarray(render(20).pixels)).debug == {}


def bomb(path: Path) -> None:
    """A PNG that claims 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    image = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 100)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + image)


def test_a_folder_of_mixed_pictures_runs_through(translator: Translator, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    page = Image.fromarray(render(16).pixels)
    good = []
    for mode in ("RGB", "L", "1", "P", "RGBA", "LA", "CMYK", "I;16"):
        kind = ".tif" if mode in ("CMYK", "I;16") else ".png"
        name = f"{mode.replace(';', '')}{kind}"
        if mode == "I;16":
            Image.fromarray(np.asarray(page.convert("L")).astype(np.uint16) * 257).save(folder / name)
        else:
            page.convert(mode).save(folder / name)
        good.append(name)
    for kind in (".jpg", ".webp", ".bmp", ".tiff"):
        page.save(folder / f"rgb{kind}")
        good.append(f"rgb{kind}")
    page.save(folder / "animated.webp", save_all=True, append_images=[page.rotate(180)])
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    good += ["animated.webp", "dot.png"]
    whole = (folder / "rgb.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 3])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    bomb(folder / "bomb.png")
    bad = ["truncated.jpg", "empty.png", "text.png", "bomb.png"]
    outcomes = {
        outcome.job.source.name: outcome
        for outcome in translate_jobs(translator, plan_jobs([str(folder)], tmp_path / "out"), batch_size=4)
    }
    assert sorted(outcomes) == sorted(good + bad)
    for name in good:
        assert outcomes[name].error is None, name
        translation, *rest = outcomes[name].translations
        assert len(rest) == (name == "animated.webp")
        assert name == "dot.png" or [block.skip_reason for block in translation.blocks] == ["", "", ""], name
        with Image.open(folder / name) as before, Image.open(outcomes[name].job.target) as after:
            assert after.size == before.size and (after.mode == before.mode or before.format in ("JPEG", "WEBP", "BMP"))
            assert getattr(after, "n_frames", 1) == getattr(before, "n_frames", 1)
    for name in bad:
        error = outcomes[name].error
        assert error is not None and name in error and "\n" not in error
