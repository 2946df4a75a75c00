"""Blocks drawn again from the JSON of a translation: what changes, what does not, and what is refused."""

import copy
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from tests.inference.test_whole_pages import write
from tests.page.pages import FACE, render, tilt
from translatotron_v import cli
from translatotron_v.commands import redraw as command
from translatotron_v.commands import translate as translating
from translatotron_v.commands.serve import redrawing
from translatotron_v.config import Config
from translatotron_v.errors import UserError
from translatotron_v.inference import corrections, whole_pages
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.pieces import Paragraph, Piece
from translatotron_v.inference.pipeline import Translator
from translatotron_v.inference.wanted import Wanted, read_blocks, stamp
from translatotron_v.inference.whole_pages import EndToEnd, PageTranslator
from translatotron_v.ocr import LineDetector, OcrEngine, boxes_to_text
from translatotron_v.page.strips import pack


class Writer:
    """Stands in for reading and drawing."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, str]] = []

    def reads(self, loaded: object, pages: Sequence[Sequence[Paragraph]], batch_size: int) -> None:
        for paragraph in (paragraph for page in pages for paragraph in page):
            paragraph.text, paragraph.font, paragraph.reading = "Ein Hund rennt.", "DejaVuSans", math.log(0.95)
            paragraph.pieces = [Piece(strip, paragraph.runs) for strip in pack(paragraph.runs)[:1]]

    def writes(self, loaded: object, paragraphs: Sequence[Paragraph], batch_size: int, generation: object,
               texts: Mapping[int, str] | None = None) -> None:  # fmt: skip
        for paragraph in paragraphs:
            text = "A dog runs." if texts is None else " ".join(texts[id(piece)] for piece in paragraph.pieces)
            self.drawn.append((text, paragraph.font))
            write(paragraph, text)
            if texts is None:
                paragraph.pieces = []


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Writer:
    writer = Writer()
    for module in (whole_pages, corrections):
        monkeypatch.setattr(module, "read_paragraphs", writer.reads)
        monkeypatch.setattr(module, "translate_paragraphs", writer.writes)
    return writer


@pytest.fixture
def translator(writer: Writer, detector: LineDetector, monkeypatch: pytest.MonkeyPatch) -> Translator:
    loaded = LoadedTranslator(nn.Linear(1, 1), SimpleNamespace(), Config(), Path())  # type: ignore[arg-type]
    loaded.config.model.fonts = ["DejaVuSans", "DejaVuSerif"]
    translator = Translator(loaded, pages=PageTranslator(EndToEnd(loaded), None, detector))
    monkeypatch.setattr(command, "load", lambda options: translator)
    monkeypatch.setattr(translating, "load", lambda options: translator)
    return translator


@pytest.fixture
def page(tmp_path: Path, translator: Translator, writer: Writer, capsys: pytest.CaptureFixture[str]) -> Path:
    """The JSON of a page of three blocks, which was translated beside it."""
    return translate(tmp_path, render(20).pixels, writer, capsys)


def translate(folder: Path, pixels: np.ndarray, writer: Writer, capsys: pytest.CaptureFixture[str]) -> Path:
    Image.fromarray(pixels).save(folder / "page.png")
    arguments = ["translate", str(folder / "page.png"), "-o", str(folder / "out.png"), "--json", "--save-clean"]
    assert cli.main(arguments) == 0
    (folder / "page.json").write_text(capsys.readouterr().out)
    writer.drawn.clear()
    return folder / "page.json"


def change(path: Path, number: int, **changes: Any) -> None:
    record = json.loads(path.read_text())
    record["blocks"][number].update(changes)
    path.write_text(json.dumps(record))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def rows_of(record: dict[str, Any], number: int) -> slice:
    """The rows of pixels around what stands in a block's place and stood there."""
    block = record["blocks"][number]
    heights = [y for quad in [block["box"], *block.get("words", [])] for _, y in quad]
    return slice(int(min(heights)) - 12, int(max(heights)) + 12)


def differing(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.flatnonzero((first != second).any(axis=(1, 2)))


def test_what_is_drawn_can_be_drawn_from(page: Path):
    record = json.loads(page.read_text())
    assert record["clean"] == str(page.parent / "out-clean.png") and len(record["blocks"]) == 3
    for block in record["blocks"]:
        assert block["drawn"] == stamp(block) and len(block["words"]) == 3 and block["rows"]
    assert not any(block.changed for block in read_blocks(record, "page"))
    clean, source = pixels(page.parent / "out-clean.png"), pixels(page.parent / "page.png")
    (left, top), _, (right, bottom), _ = record["blocks"][0]["box"]
    box = np.s_[int(top) : int(bottom), int(left) : int(right)]
    assert source[box].min() < 80 and clean[box].min() > 180


def test_nothing_changed_loads_nothing(page: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(command, "load", lambda options: 1 / 0)
    before = (page.parent / "out.png").read_bytes()
    assert cli.main(["redraw", str(page)]) == 0
    assert capsys.readouterr().out == "nothing was changed\n"
    assert (page.parent / "out.png").read_bytes() == before


@pytest.mark.parametrize("with_clean", [True, False])
def test_another_text_is_drawn_and_all_else_stays(page: Path, writer: Writer, reader: OcrEngine, with_clean: bool):
    if not with_clean:
        (page.parent / "out-clean.png").unlink()
    before, record = pixels(page.parent / "out.png"), json.loads(page.read_text())
    change(page, 1, text="The cat sleeps.")
    assert cli.main(["redraw", str(page)]) == 0
    assert writer.drawn == [("The cat sleeps.", "DejaVuSans")]
    after = pixels(page.parent / "out.png")
    rows = differing(before, after)
    window = rows_of(record, 1)
    assert len(rows) and window.start <= rows.min() and rows.max() < window.stop
    assert boxes_to_text(reader.read(after)) == "A dog runs. The cat sleeps. A dog runs."
    # The JSON says what was drawn now, and from there back is as if nothing had been.
    assert not any(block.changed for block in read_blocks(json.loads(page.read_text()), "page"))
    change(page, 1, text="A dog runs.")
    assert cli.main(["redraw", str(page)]) == 0
    assert len(differing(pixels(page.parent / "out.png"), before)) == 0


def test_a_block_can_be_left_emptied_and_taken_up_again(page: Path, writer: Writer):
    source, before = pixels(page.parent / "page.png"), pixels(page.parent / "out.png")
    clean = pixels(page.parent / "out-clean.png")
    window = rows_of(json.loads(page.read_text()), 0)
    change(page, 0, leave=True)
    assert cli.main(["redraw", str(page)]) == 0
    left = pixels(page.parent / "out.png")
    assert np.array_equal(left[window], source[window]) and np.array_equal(left[window.stop :], before[window.stop :])
    record = json.loads(page.read_text())
    assert record["blocks"][0]["skip_reason"] == "left" and record["blocks"][0]["words"] == []
    change(page, 0, leave=False, text="")
    assert cli.main(["redraw", str(page)]) == 0
    assert np.array_equal(pixels(page.parent / "out.png")[window], clean[window])
    assert writer.drawn == []
    change(page, 0, text="A dog runs.")
    assert cli.main(["redraw", str(page)]) == 0
    assert np.array_equal(pixels(page.parent / "out.png"), before)
    assert "skip_reason" not in json.loads(page.read_text())["blocks"][0]


def test_face_size_weight_and_colour(page: Path, writer: Writer, capsys: pytest.CaptureFixture[str]):
    def ink() -> np.ndarray:
        return 255.0 - pixels(page.parent / "out.png")[window]

    record = json.loads(page.read_text())
    size = record["blocks"][2]["size"]
    window = rows_of(record, 2)
    plain = ink()
    change(page, 2, colour=[255, 0, 0])
    assert cli.main(["redraw", str(page)]) == 0
    red = ink()
    assert red[..., 1].max() > 240 and red[..., 0].max() < 120 < plain[..., 0].max()
    change(page, 2, colour=record["blocks"][2]["colour"], weight="bold")
    assert cli.main(["redraw", str(page)]) == 0
    assert ink().sum() > 1.15 * plain.sum()
    change(page, 2, weight=record["blocks"][2]["weight"], size=0.7 * size)
    assert cli.main(["redraw", str(page)]) == 0
    widths = [np.ptp(np.flatnonzero(one[..., 0].max(0) > 100)) for one in (plain, ink())]
    assert 0.6 < widths[1] / widths[0] < 0.8
    change(page, 2, size=size, font="DejaVuSerif")
    assert cli.main(["redraw", str(page)]) == 0
    assert writer.drawn[-1] == ("A dog runs.", "DejaVuSerif")
    count = len(writer.drawn)
    change(page, 2, font="DejaVuSansMono")  # the model does not know it
    assert cli.main(["redraw", str(page)]) == 0
    assert len(writer.drawn) == count and np.abs(ink() - plain).max() > 100
    before = (page.parent / "out.png").read_bytes()
    change(page, 2, font="NoSuchFace")
    capsys.readouterr()
    assert cli.main(["redraw", str(page)]) == 2
    assert capsys.readouterr().err.startswith("error: no font 'NoSuchFace': give the path")
    assert (page.parent / "out.png").read_bytes() == before
    assert sorted(file.name for file in page.parent.iterdir()) == ["out-clean.png", "out.png", "page.json", "page.png"]


def test_what_has_no_room_is_left_and_said(page: Path, capsys: pytest.CaptureFixture[str]):
    before = pixels(page.parent / "out.png")
    change(page, 1, text=" ".join(["Far too much for so little a room."] * 60))
    capsys.readouterr()
    assert cli.main(["redraw", str(page)]) == 0
    assert "block 2: left as it was (no room)" in capsys.readouterr().out
    assert np.array_equal(pixels(page.parent / "out.png"), before)
    assert [block.changed for block in read_blocks(json.loads(page.read_text()), "page")] == [False, True, False]


def test_another_place_leaves_picture_and_json(page: Path, capsys: pytest.CaptureFixture[str]):
    change(page, 0, text="The cat sleeps.")
    before = {path: path.read_bytes() for path in page.parent.iterdir()}
    new = page.parent / "new.png"
    assert cli.main(["redraw", str(page), "-o", str(new)]) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert len(differing(pixels(new), pixels(page.parent / "out.png")))
    assert cli.main(["redraw", str(page), "-o", str(new)]) == 2
    assert "exists already; --force overwrites it" in capsys.readouterr().err


def test_a_tilted_page(tmp_path: Path, translator: Translator, writer: Writer, reader: OcrEngine, capsys):
    page = translate(tmp_path, tilt(render(20).pixels, 7), writer, capsys)
    before = pixels(tmp_path / "out.png")
    change(page, 1, text="The cat sleeps.")
    assert cli.main(["redraw", str(page)]) == 0
    level = Image.open(tmp_path / "out.png").rotate(7, Image.Resampling.BICUBIC, fillcolor=(255, 255, 255))
    assert boxes_to_text(reader.read(np.asarray(level))).count("cat sleeps") == 1
    record = json.loads(page.read_text())
    assert len(record["blocks"][1]["words"]) == 3
    change(page, 1, text="A dog runs.")
    assert cli.main(["redraw", str(page)]) == 0
    apart = np.abs(pixels(tmp_path / "out.png").astype(int) - before)
    assert (apart.max(axis=2) > 40).mean() < 1e-3


def test_a_report_and_pages_of_one_file(tmp_path: Path, translator: Translator, writer: Writer, reader: OcrEngine):
    first, second = render(20).pixels, render(20).pixels
    Image.fromarray(first).save(tmp_path / "film.tif", save_all=True, append_images=[Image.fromarray(second[:-1])])
    assert cli.main(["translate", str(tmp_path / "film.tif"), "-o", str(tmp_path / "out")]) == 0
    writer.drawn.clear()
    report = tmp_path / "out" / "report.json"
    document = json.loads(report.read_text())
    document["files"][0]["pages"][1]["blocks"][0]["text"] = "The cat sleeps."
    report.write_text(json.dumps(document))
    assert cli.main(["redraw", str(report)]) == 0
    assert [text for text, _ in writer.drawn] == ["The cat sleeps."]
    film = Image.open(tmp_path / "out" / "film.tif")
    texts = []
    for number in range(2):
        film.seek(number)
        texts.append(boxes_to_text(reader.read(np.asarray(film.convert("RGB")))))
    assert texts == ["A dog runs. A dog runs. A dog runs.", "The cat sleeps. A dog runs. A dog runs."]


def test_pages_that_are_turned_are_drawn_turned(page: Path, translator: Translator):
    record = json.loads(page.read_text())
    source, answer = pixels(page.parent / "page.png"), pixels(page.parent / "out.png")
    wanted = read_blocks(record | {"blocks": [record["blocks"][0] | {"text": "The cat sleeps."}]}, "page")
    assert translator.pages is not None
    plain = corrections.redraw_page(translator.loaded, translator.pages, source, answer, wanted, translator.generation)
    height, width = source.shape[:2]
    for turns in (1, 2, 3):
        # the page lies on its side; a turn by `turns` against the clock puts it upright
        lying = [corrections._turned(block, 4 - turns, width, height) for block in wanted]
        turned = corrections.redraw_page(
            translator.loaded, translator.pages, np.rot90(source, -turns), np.rot90(answer, -turns), lying,
            translator.generation, turns=turns,
        )  # fmt: skip
        assert np.array_equal(np.rot90(turned.pixels, turns), plain.pixels)
        back = corrections._turned(Wanted(wanted[0].rows, turned.words[0]), turns, *turned_size(turned))
        assert np.allclose(back.words, plain.words[0])


def turned_size(turned: corrections.Redrawn) -> tuple[int, int]:
    return turned.pixels.shape[1], turned.pixels.shape[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": 3}, "block 2: text: a text is wanted, not 3"),
        ({"text": "x" * 201}, "block 2: text: one of up to 5,000 characters, 200 a word, is wanted, not"),
        ({"size": -1}, "block 2: size: a number of pixels from 4 to 2000 is wanted, not -1"),
        ({"size": True}, "block 2: size"),
        ({"weight": "fat"}, 'block 2: weight: light, regular, bold, black or the width of stems .*, not "fat"'),
        ({"colour": [0, 0, 256]}, r"block 2: colour: \[red, green, blue\]"),
        ({"colour": "red"}, "block 2: colour"),
        ({"alignment": "middle"}, "block 2: alignment: one of left, centre, right, justified"),
        ({"leave": "yes"}, 'block 2: leave: true or false is wanted, not "yes"'),
        ({"rows": None}, "block 2: rows: the lines of the block"),
        ({"rows": [[[[0, 0], [1, 1]]]]}, "block 2: rows: four corners"),
        ({"rows": [[[[0, 0], [9, 0], [9, 9], [0, float("nan")]]]]}, "block 2: rows: four corners"),
        ({"rows": [[[[0, 0], [1e9, 0], [1e9, 9], [0, 9]]]]}, "block 2: rows: four corners"),
        ({"words": [[1, 2, 3, 4]]}, "block 2: words: a list of four corners"),
        ({"words": 7}, "block 2: words"),
    ],
)
def test_what_cannot_be_drawn_is_named(page: Path, changes: dict[str, Any], message: str):
    record = json.loads(page.read_text())
    record["blocks"][1].update(changes)
    with pytest.raises(UserError, match=f"page.json: {message}"):
        read_blocks(record, "page.json")


def test_files_that_are_no_records_are_named(page: Path, capsys: pytest.CaptureFixture[str]):
    record = json.loads(page.read_text())
    change(page, 0, text="The cat sleeps.")
    changed = json.loads(page.read_text())
    cases: list[tuple[Any, str]] = [
        ("{", "no JSON"),
        ("[1]", "not what translate --json prints"),
        ("{}", "no blocks of text in it"),
        (changed | {"blocks": 7}, "blocks: a list is wanted"),
        (changed | {"blocks": [7]}, "block 1: an object is wanted, not 7"),
        (changed | {"pages": 7}, "pages: a list of objects"),
        (changed | {"turns": "1"}, "turns: a number of quarters"),
        (changed | {"input": None}, "input: the name of the source"),
        (changed | {"outputs": []}, "outputs: the names of what was written"),
        (changed | {"input": "none.png"}, "none.png: no such file"),
        (changed | {"outputs": ["menu.pdf"]}, "menu.pdf: pages of a PDF cannot be drawn again"),
    ]
    for content, message in cases:
        page.write_text(content if isinstance(content, str) else json.dumps(content))
        assert cli.main(["redraw", str(page)]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
    far = [[[5000.0, 9.0], [5050.0, 9.0], [5050.0, 20.0], [5000.0, 20.0]]]
    page.write_text(json.dumps(changed | {"blocks": [changed["blocks"][0] | {"rows": [far]}]}))
    assert cli.main(["redraw", str(page)]) == 2
    assert "block 1: rows: they lie outside the picture" in capsys.readouterr().err
    Image.new("RGB", (30, 30)).save(page.parent / "small.png")
    page.write_text(json.dumps(copy.deepcopy(changed) | {"outputs": [str(page.parent / "small.png")]}))
    assert cli.main(["redraw", str(page)]) == 2
    assert "but a picture made of it 30 x 30" in capsys.readouterr().err
    assert record["blocks"][0]["text"] == "A dog runs."


def test_a_service_draws_what_is_bounded_and_looks_for_no_file(page: Path, translator: Translator, writer: Writer):
    record = json.loads(page.read_text())
    source, answer = (Image.open(page.parent / name).convert("RGB") for name in ("page.png", "out.png"))
    redraw = redrawing(translator)
    assert redraw(source, answer, record) == (answer, record, [])
    told = copy.deepcopy(record)
    told["blocks"][1]["text"] = "The cat sleeps."
    drawn, told, notes = redraw(source, answer, told)
    rows = differing(np.asarray(answer), np.asarray(drawn))
    window = rows_of(record, 1)
    assert len(rows) and window.start <= rows.min() and rows.max() < window.stop and notes == []
    assert writer.drawn == [("The cat sleeps.", "DejaVuSans")]
    assert redraw(source, drawn, told) == (drawn, told, [])
    block = record["blocks"][1]
    huge = [[-9e5, -9e5], [9e5, -9e5], [9e5, 9e5], [-9e5, 9e5]]
    for blocks, message in (
        ([block | {"font": str(FACE)}], "no face '.*': the model draws DejaVuSans, DejaVuSerif"),
        ([block | {"rows": [[huge]], "text": "A"}], "block 1: rows: they lie outside the picture of 384 x"),
        ([block | {"text": f"Number {number}."} for number in range(51)], "51 changed blocks are more than 50"),
        ([block | {"size": 400.0}], "letters of 400 pixels are larger than the picture"),
        ([block | {"rows": block["rows"] * 201, "text": "A"}], "changed lines are more than 200"),
        ([block | {"text": "a " * 1300}] * 3, "7800 changed characters are more than 5000"),
    ):
        with pytest.raises(UserError, match=message):
            redraw(source, answer, record | {"blocks": blocks})
    with pytest.raises(UserError, match="turns: a number of quarters"):
        redraw(source, answer, record | {"turns": 4})
