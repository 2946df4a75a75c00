"""The baselines: who reads, who translates, who draws, and what each is given."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from data_synth.fonts import find_font
from data_synth.typeset import load_face
from tests.page.pages import TEXTS, render, take_apart
from tests.small import small
from translatotron_v import cli
from translatotron_v.arguments import BASELINES
from translatotron_v.baselines import baseline, cascade, drawers
from translatotron_v.baselines.cascade import Cascade, assign_boxes, sentences_of
from translatotron_v.baselines.drawers import TextToImageDrawer, parts_of
from translatotron_v.baselines.pixels import PixelTranslator
from translatotron_v.baselines.typesetter import Typesetter, nearest_font, set_word
from translatotron_v.checkpoint import save_checkpoint
from translatotron_v.config import Config, load_config, to_yaml
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.inference.block_state import BlockState
from translatotron_v.inference.loaded import LoadedTranslator, load_translator
from translatotron_v.inference.pieces import Paragraph
from translatotron_v.inference.pipeline import Translator
from translatotron_v.inference.whole_pages import PageTranslator
from translatotron_v.metrics import cer
from translatotron_v.models.teacher import TextToImage
from translatotron_v.ocr import LineDetector, OcrEngine, TextBox, boxes_to_text
from translatotron_v.page.strips import frame
from translatotron_v.shipped import find_weights, shipped_weights

FAMILIES = ["DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "FiraGO-Regular", "Ubuntu-Regular"]
SMALL = pytest.mark.skipif("small" not in shipped_weights(), reason="no weights of whole pages in this checkout")


def state(runs=(), text: str = "", font: str = "") -> BlockState:
    paragraph = Paragraph(list(runs), text=text, font=font)
    return BlockState(None, None, None, SimpleNamespace(em=20.0), paragraph)  # type: ignore[arg-type]


def states_of(pixels: np.ndarray, detector: LineDetector) -> list[BlockState]:
    return [
        BlockState(taken.block, taken.crop, taken.layers, taken.setting, Paragraph(taken.runs))
        for taken in take_apart(pixels, detector)
    ]


# --- typesetting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 0.6, 1.7])
def test_letters_stand_on_the_baseline_at_every_size(scale: float):
    above, below = frame(scale)
    ink = set_word("nm", "DejaVuSans", scale)
    rows = np.flatnonzero(ink.max(1) > 0.5)
    assert len(ink) == above + below and rows[-1] + 1 == above
    height = 0.547 * 20 * scale  # x-height of DejaVu Sans
    assert abs(len(rows) - height) <= 1.5
    assert np.flatnonzero(set_word("gj", "DejaVuSans", scale).max(1) > 0.5)[-1] >= above


def test_a_word_that_the_font_cannot_set_is_set_in_another(monkeypatch: pytest.MonkeyPatch):
    lacks = type(load_face("Ubuntu-Regular", 20)).lacks
    poor = find_font("Ubuntu-Regular")
    monkeypatch.setattr(
        "data_synth.typeset.Face.lacks",
        lambda face, text: text if Path(face.font.path) == poor else lacks(face, text),
    )
    assert np.array_equal(set_word("Haus", "Ubuntu-Regular"), set_word("Haus", "DejaVuSans"))


def test_a_word_keeps_the_columns_before_its_first_letter_unless_told_otherwise():
    with_bearing, without = set_word("n", "DejaVuSans"), set_word("n", "DejaVuSans", bearing=False)
    extra = with_bearing.shape[1] - without.shape[1]
    assert extra > 0 and np.array_equal(with_bearing[:, extra:], without) and not with_bearing[:, :extra].any()


@pytest.mark.parametrize("font", FAMILIES)
def test_the_nearest_font_is_the_one_that_the_block_is_set_in(font: str, detector: LineDetector):
    config = Config()
    config.model.fonts = FAMILIES
    blocks = states_of(render(22, font).pixels, detector)
    assert len(blocks) == len(TEXTS)
    for text in TEXTS:
        block = min(blocks, key=lambda one: abs(len(one.paragraph.runs) - len(text.split())))
        assert nearest_font(block.paragraph.runs, text, config) == font
    assert nearest_font(blocks[0].paragraph.runs, "", config) == FAMILIES[0]
    config.model.fonts = []
    assert nearest_font(blocks[0].paragraph.runs, TEXTS[0], config) == ""


def test_the_typesetter_draws_every_word_and_is_sure():
    block = state(font="DejaVuSerif")
    block.paragraph.translations = ["Two dogs", "run."]
    Typesetter(SimpleNamespace(config=Config())).draw([block], 8)  # type: ignore[arg-type]
    words = [word(1.0) for word in block.paragraph.words]  # type: ignore[operator]
    assert all(
        np.array_equal(word, set_word(text, "DejaVuSerif"))
        for word, text in zip(words, ["Two", "dogs", "run."], strict=True)
    )
    assert block.paragraph.confidence == {"image": 1.0}


# --- texts ------------------------------------------------------------------------------------------------------------


def test_texts_are_cut_into_sentences_as_strips_are():
    assert sentences_of("Ein Hund rennt. Er bellt am 3. mai laut!") == ["Ein Hund rennt.", "Er bellt am 3. mai laut!"]
    assert sentences_of("  ") == []


def test_a_text_is_cut_into_parts_that_fit_a_strip_and_no_word_is_lost():
    config = Config()
    config.page.font_size, config.page.line_height = 20, 32
    text = " ".join(TEXTS)
    parts = parts_of(text, "DejaVuSansMono", config)
    assert len(parts) > 1 and " ".join(parts) == text
    face = load_face("DejaVuSansMono", 20, 32)
    assert all(face.wrap(part.split(), 508, 3) is not None for part in parts)
    assert parts_of("A dog.", "DejaVuSans", config) == ["A dog."] and parts_of("", "DejaVuSans", config) == []


def test_a_sentence_longer_than_text_mode_takes_is_cut_between_words():
    vocabulary = Vocabulary.build(["aa bb cc dd"], 0)
    parts = cascade._short_enough("aa bb cc dd", vocabulary, 6)
    assert [vocabulary.decode(part) for part in parts] == ["aa bb", "cc dd"]
    assert cascade._short_enough("aabbccdd", vocabulary, 4) == [
        vocabulary.encode("aabb")
    ]  # one word: cut where it must be


# --- another reader ---------------------------------------------------------------------------------------------------


def test_boxes_go_to_the_block_on_which_they_lie(detector: LineDetector):
    page = render(20)
    states = states_of(page.pixels, detector)
    boxes = [
        TextBox(
            ((box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom)),
            box.text,
            0.9 if box.block else 0.6,
        )
        for box in page.boxes
    ]
    far = TextBox(((5, 375), (30, 375), (30, 383), (5, 383)), "far away", 1.0)
    assign_boxes(states, [*boxes[::-1], far])
    assert [block.paragraph.text for block in states] == list(TEXTS)
    assert [math.exp(block.paragraph.reading) for block in states] == pytest.approx([0.6, 0.9, 0.9])
    assign_boxes(states, [])
    assert [block.paragraph.text for block in states] == ["", "", ""]


class Parrot:
    """An OCR engine that says one thing wherever it is asked."""

    signature = "ocr:parrot"

    def __init__(self, boxes: list[TextBox]) -> None:
        self.boxes = boxes

    def read(self, image: object) -> list[TextBox]:
        return self.boxes


@pytest.fixture(scope="module")
def loaded() -> LoadedTranslator:
    return load_translator(find_weights("small"))


@SMALL
def test_a_cascade_translates_what_its_reader_read_and_nothing_else(loaded: LoadedTranslator, detector: LineDetector):
    page = render(20, texts=["Ein Hund rennt über eine Wiese."], side=400)
    box = page.boxes[0]
    corners = ((box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom))
    texts = []
    for said in ("Ein Hund rennt über eine Wiese.", "Eine Frau liest ein Buch."):
        reader = Parrot([TextBox(corners, said, 0.99)])
        pages = PageTranslator(Cascade(loaded, Typesetter(loaded), reader), None, detector)  # type: ignore[arg-type]
        translation = Translator(loaded, pages=pages)(page.pixels)
        assert translation.source_text == said
        texts.append(translation.text)
    assert "dog" in texts[0] and "woman" in texts[1] and "book" in texts[1]


@SMALL
@pytest.mark.parametrize("name", ["cascade-reader-render", "cascade-rapidocr-render", "cascade-tit-render"])
def test_cascades_go_from_picture_to_picture(name: str, reader: OcrEngine):
    page = render(20, "DejaVuSerif", texts=["Ein Hund rennt über eine grüne Wiese."], side=400)
    translator = Translator.from_pretrained("small", baseline=baseline(name))
    translation = translator(page.pixels)
    (block,) = translation.blocks
    assert translator.baseline == name and translator.baseline_folder is None
    assert block.source_text == "Ein Hund rennt über eine grüne Wiese." and block.font == "DejaVuSerif"
    assert "dog" in translation.text and boxes_to_text(reader.read(translation.image)) == translation.text
    assert set(translation.scores) == {"text", "image"} and translation.scores["image"] == 1.0
    assert 0 < translation.scores["text"] < 1
    end_to_end = Translator.from_pretrained("small")(page.pixels)
    assert (end_to_end.text == translation.text) or name != "cascade-tit-render"  # the same half of the same model


# --- drawing by the text-to-image model -------------------------------------------------------------------------------

SHAPE = (
    "model.canvas.height=96", "model.canvas.width=512", "model.tokenizer.patch=[32,64]",
    "model.image_encoder.patch=[32,64]", "stage=teacher",
)  # fmt: skip


@pytest.fixture
def drawer(tmp_path: Path) -> tuple[TextToImageDrawer, LoadedTranslator]:
    """A drawer from a run of random weights, and a translator that it fits."""
    config = small(*SHAPE)
    vocabulary = Vocabulary.build(["Zwei Hunde rennen.", "Two dogs run."], 30)
    teacher = TextToImage(config.model, vocabulary.character_count)
    tokenizer = drawers.make_tokenizer(config.model.tokenizer, config.model.canvas)
    modules = {"teacher_encoder": teacher.encoder, "teacher_decoder": teacher.decoder, "image_tokenizer": tokenizer}
    files = {"config.yaml": to_yaml(config), "vocabulary.json": vocabulary.to_json()}
    save_checkpoint(tmp_path / "run" / "final", modules, files, {"step": 1})
    loaded = LoadedTranslator(torch.nn.Linear(1, 1), vocabulary, config, tmp_path)  # type: ignore[arg-type]
    return TextToImageDrawer.from_folder(tmp_path / "run", loaded), loaded


def test_the_drawer_draws_each_translation_as_its_model_does(drawer):
    drawer, _ = drawer
    blocks = [state(font="DejaVuSans"), state(font="DejaVuSans")]
    blocks[0].paragraph.translations, blocks[1].paragraph.translations = ["Two dogs", "run."], ["Two"]
    drawer.draw(blocks, 2)
    assert [len(block.paragraph.drawn) for block in blocks] == [2, 1]
    assert all(0 < block.paragraph.confidence["image"] < 1 for block in blocks)
    characters = torch.tensor([drawer.vocabulary.encode_characters("Two")])
    mask = torch.ones_like(characters, dtype=torch.bool)
    with torch.inference_mode():
        states = drawer.model.states(characters, mask, None, None)
        ids, scores = drawers.generate_image(drawer.model.decoder, states, mask)
        drawn = 1 - drawer.tokenizer.decode_from_ids(ids).mean(1).numpy()
    np.testing.assert_allclose(blocks[1].paragraph.drawn[0], drawn[0], atol=1e-5)
    assert blocks[1].paragraph.scores == [{"image": pytest.approx(scores[0], abs=1e-5)}]


def test_what_does_not_fit_the_translator_is_said_in_one_line(drawer, tmp_path: Path):
    _, loaded = drawer
    with pytest.raises(UserError, match=r"nowhere: no such run; `make text-to-image` trains it"):
        TextToImageDrawer.from_folder(tmp_path / "nowhere", loaded)
    with pytest.raises(UserError, match=r"stage 'teacher'; this baseline takes one of 'pixel_baseline'"):
        PixelTranslator.from_folder(tmp_path / "run", loaded)
    other = LoadedTranslator(loaded.model, Vocabulary.build(["abc"], 0), loaded.config, tmp_path)
    with pytest.raises(UserError, match="another vocabulary or other fonts"):
        TextToImageDrawer.from_folder(tmp_path / "run", other)
    wider = LoadedTranslator(loaded.model, loaded.vocabulary, load_config(None, ["model.canvas.width=512"]), tmp_path)
    with pytest.raises(UserError, match="strips of another size"):
        TextToImageDrawer.from_folder(tmp_path / "run", wider)


# --- pixels -----------------------------------------------------------------------------------------------------------


class Negative:
    """A pixel model that hands back what it sees."""

    def parameters(self):
        return iter([torch.zeros(1)])

    def generate(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels


def test_pixels_go_through_without_any_text(detector: LineDetector, reader: OcrEngine):
    page = render(20)
    loaded = LoadedTranslator(torch.nn.Linear(1, 1), SimpleNamespace(), Config(), Path())  # type: ignore[arg-type]
    pages = PageTranslator(PixelTranslator(Negative(), Path("pixels")), None, detector)  # type: ignore[arg-type]
    translator = Translator(loaded, pages=pages, baseline="pixels")
    translation = translator(page.pixels)
    assert translator.baseline_folder == Path("pixels")
    assert (
        translation.text.strip() == ""
        and translation.scores == {}
        and not any(b.skip_reason for b in translation.blocks)
    )
    assert cer([boxes_to_text(reader.read(translation.image))], [" ".join(TEXTS)]).value < 0.02


# --- the way in -------------------------------------------------------------------------------------------------------


def test_only_weights_of_whole_pages_have_baselines():
    with pytest.raises(
        UserError, match=r"cascade-tit-render takes weights that translate whole pages, which .*tiny do not"
    ):
        Translator.from_pretrained("tiny", baseline=baseline("cascade-tit-render"))


@SMALL
def test_an_unknown_baseline_and_a_missing_model_are_errors_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(UserError, match=r"baseline 'best': choose one of end-to-end, "):
        Translator.from_pretrained("small", baseline=baseline("best"))
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("a.png")
    for system, command in (("cascade-reader-draw", "make text-to-image"), ("pixels", "make pixels")):
        assert cli.main(["translate", "a.png", "-o", "b.png", "--baseline", system]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert command in error and "--baseline-weights" in error
    with pytest.raises(UserError, match="image steps are for the end-to-end model"):
        translator = Translator.from_pretrained("small", baseline=baseline(BASELINES[-2]))
        translator.loaded.config.loss.masked = 0.5
        translator(np.zeros((8, 8), dtype=np.uint8), image_steps=2)
