"""The translator around a fake model: batches, languages, confidence, and what it accepts."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.inference.fakes import FakeGenerate, fake_translator
from tests.small import assert_same, enliven
from translatotron_v.checkpoint import load_module, save_checkpoint
from translatotron_v.config import Config, load_config, to_yaml
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding.text import Generated, generate, generate_answer
from translatotron_v.engines.choice import choose_device
from translatotron_v.errors import UserError
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.loaded import load_translator
from translatotron_v.inference.pipeline import Translator
from translatotron_v.models.quantised import QuantisedLinear
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.shipped import find_config, find_weights, shipped_weights


def page(width: int = 256, height: int = 48, ink: int = 100) -> Image.Image:
    """White paper with `ink` black pixels on its second row."""
    values = np.full((height, width), 255, dtype=np.uint8)
    values[1, 1 : ink + 1] = 0
    return Image.fromarray(values)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained translator, as small as it gets, in half precision as it is shipped."""
    config = Config()
    model = config.model
    model.canvas.height, model.canvas.width = 16, 64
    model.image_encoder.width, model.image_encoder.layers, model.image_encoder.ocr_layer = 16, 1, 1
    for part in (model.text_encoder, model.text_decoder, model.ocr_head, model.character_encoder, model.image_decoder):
        part.width, part.layers, part.feed_forward = 16, 1, 16
    model.tokenizer.width, model.tokenizer.codes, model.tokenizer.code_width = 16, 8, 4
    model.vocabulary.subwords = 0
    vocabulary = Vocabulary.build(["ein hund", "a dog"])
    torch.manual_seed(0)
    modules = dict(TranslatotronV(model, len(vocabulary), vocabulary.character_count).named_children())
    files = {"config.yaml": to_yaml(config), "vocabulary.json": vocabulary.to_json()}
    folder = tmp_path_factory.mktemp("weights") / "untrained"
    save_checkpoint(folder, modules, files, {"step": 0}, half=True)
    return folder


def test_a_checkpoint_translates_pictures(checkpoint: Path):
    translator = Translator.from_pretrained(checkpoint, device="cpu")
    many = translator([page(64, 16, 5), page(40, 70, 9)], batch_size=2)
    assert [translation.image.size for translation in many] == [(64, 16), (40, 70)]
    assert all(0 < value <= 1 for translation in many for value in translation.scores.values())
    assert translator(page(64, 16, 5)).text == many[0].text


@pytest.mark.parametrize("name", ["untrained", *shipped_weights()])
def test_a_loaded_model_is_a_new_one_filled_from_the_files(checkpoint: Path, name: str):
    folder = checkpoint if name == "untrained" else find_weights(name)
    loaded = load_translator(folder)
    plain = TranslatotronV(loaded.config.model, len(loaded.vocabulary), loaded.vocabulary.character_count)
    for part, module in plain.named_children():
        load_module(module, folder, part)
    assert_same(loaded.model, plain)
    assert not any(module.training for module in loaded.model.modules())
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())


def test_a_checkpoint_of_self_review_says_what_it_has_read(checkpoint: Path, tmp_path: Path):
    folder = tmp_path / "reviewed"
    shutil.copytree(checkpoint, folder)
    settings = (folder / "config.yaml").read_text()
    assert "reader: ''" in settings
    (folder / "config.yaml").write_text(settings.replace("reader: ''", "reader: runs/reader"))
    translator = Translator.from_pretrained(folder, device="cpu")
    assert translator.loaded.transcribes and not Translator.from_pretrained(checkpoint, device="cpu").loaded.transcribes
    enliven(translator.loaded.model, seed=4)  # so that it writes something
    pictures = [page(64, 16, ink) for ink in (5, 60)]
    translations = translator(pictures)
    pixels = torch.stack([torch.from_numpy(np.asarray(picture) / np.float32(255))[None] for picture in pictures])
    model, vocabulary = translator.loaded.model, translator.loaded.vocabulary
    with torch.no_grad():
        answer = generate_answer(
            model, vocabulary, model.encode_image(pixels), GenerationConfig("de", "en", transcribe=True)
        )
    assert [translation.source_text for translation in translations] == answer.transcripts
    assert [translation.text for translation in translations] == answer.texts
    assert any(answer.transcripts)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_reduced_precision_runs(checkpoint: Path, precision: str):
    translation = Translator.from_pretrained(checkpoint, device="cpu", precision=precision)(page(64, 16))
    assert translation.image.size == (64, 16)


def test_bytes_replace_the_weights_of_the_translator_only(checkpoint: Path):
    model = load_translator(checkpoint, precision="int8").model
    kinds = {name: [type(part) for part in child.modules()] for name, child in model.named_children()}
    assert QuantisedLinear in kinds["image_decoder"] and nn.Linear not in kinds["image_decoder"]
    assert QuantisedLinear not in kinds["image_tokenizer"]


def test_an_unknown_precision_is_named(checkpoint: Path):
    with pytest.raises(UserError, match="one of fp32, bf16, int8, not fp16"):
        load_translator(checkpoint, precision="fp16")
    with pytest.raises(UserError, match="int8 is for the CPU; on cuda take bf16"):
        load_translator(checkpoint, device="cuda", precision="int8")


@pytest.fixture
def several_passes(checkpoint: Path, tmp_path: Path) -> Path:
    """The same weights, as if they had been trained by masked prediction and drew in 4 passes unless told otherwise."""
    folder = tmp_path / "masked"
    shutil.copytree(checkpoint, folder)
    config = load_config(folder / "config.yaml", ["model.image_decoder.passes=4", "loss.masked=0.5"])
    (folder / "config.yaml").write_text(to_yaml(config))
    return folder


@pytest.mark.parametrize(
    ("options", "passes"), [({}, 4), ({"image_steps": 0}, 0), ({"image_steps": 7}, 7), ({"top_k": 3}, 0)]
)
def test_passes_are_those_of_the_weights_unless_told_otherwise(
    several_passes: Path, options: dict[str, int], passes: int
):
    asked = []

    def watched(*arguments: Any) -> Generated:
        asked.append(arguments[3].image_steps)
        return generate(*arguments)

    Translator(load_translator(several_passes), watched)(page(64, 16), **options)
    assert asked == [passes]


def test_passes_need_weights_trained_for_them(checkpoint: Path):
    with pytest.raises(UserError, match=r"not trained to draw in 4 passes .* configs/tiny/parallel.yaml"):
        Translator.from_pretrained(checkpoint, device="cpu")(page(64, 16), image_steps=4)


def test_more_passes_than_tokens_are_refused(several_passes: Path):
    with pytest.raises(UserError, match="image steps"):
        Translator.from_pretrained(several_passes, device="cpu")(page(64, 16), image_steps=1000)


def test_a_checkpoint_of_another_stage_is_refused(checkpoint: Path, tmp_path: Path):
    folder = tmp_path / "tokenizer"
    shutil.copytree(checkpoint, folder)
    settings = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(settings.replace("stage: translator", "stage: tokenizer"))
    with pytest.raises(UserError, match="a checkpoint of the stage 'tokenizer'"):
        Translator.from_pretrained(folder)


def test_a_checkpoint_that_lacks_a_module_is_refused(checkpoint: Path, tmp_path: Path):
    shutil.copytree(checkpoint, tmp_path / "cut")
    (tmp_path / "cut" / "image_decoder.safetensors").unlink()
    with pytest.raises(UserError, match=r"image_decoder\.safetensors: no such file"):
        Translator.from_pretrained(tmp_path / "cut")


def test_one_picture_gives_one_translation():
    translation = fake_translator()(page())
    assert translation.text == "ink 100"
    assert translation.source_text == "tinte 100"
    assert translation.image.size == (256, 48)
    assert np.array_equal(np.asarray(translation.image), 255 - np.asarray(page()))
    assert translation.scores["text"] == pytest.approx(math.exp(-0.1))
    assert translation.low_confidence == []


def test_many_pictures_keep_their_order_across_batches():
    generate = FakeGenerate()
    inks = [10, 20, 30, 40, 50]
    translations = fake_translator(generate)([page(ink=ink) for ink in inks], batch_size=2)
    assert [translation.text for translation in translations] == [f"ink {ink}" for ink in inks]
    assert [shape for shape, _ in generate.calls] == [(2, 1, 48, 256), (2, 1, 48, 256), (1, 1, 48, 256)]


def test_batches_are_smaller_where_pages_are_larger():
    translator, generate = fake_translator(), FakeGenerate()
    assert translator.batch_size == 64
    fake_translator(generate)([page()] * 65)
    assert [shape[0] for shape, _ in generate.calls] == [64, 1]
    translator.loaded.config.model = load_config(find_config("paper/translator")).model
    assert translator.batch_size == 12
    translator.loaded.config.model.canvas.height = translator.loaded.config.model.canvas.width = 4096
    assert translator.batch_size == 1


def test_a_batch_of_one_equals_a_batch_of_many():
    pages = [page(100, 30, 7), page(), page(600, 200, 99)]
    together, alone = fake_translator()(pages), [fake_translator()(one) for one in pages]
    assert [translation.image.size for translation in together] == [(100, 30), (256, 48), (600, 200)]
    for left, right in zip(together, alone, strict=True):
        assert np.array_equal(np.asarray(left.image), np.asarray(right.image))


def test_paths_arrays_and_images_are_taken(tmp_path: Path):
    page().save(tmp_path / "page.png")
    inputs = [page(), np.asarray(page()), np.asarray(page().convert("RGB")), tmp_path / "page.png"]
    translations = fake_translator()([*inputs, str(tmp_path / "page.png")])
    assert {translation.text for translation in translations} == {"ink 100"}


def test_no_pictures_give_no_translations():
    assert fake_translator()([]) == []


@pytest.mark.parametrize("array", [np.zeros((4, 4)), np.zeros((4, 4, 2), dtype=np.uint8), np.zeros(4, dtype=np.uint8)])
def test_other_arrays_are_refused(array: np.ndarray):
    with pytest.raises(UserError, match="must hold bytes"):
        fake_translator()(array)


def test_colour_models_see_colours():
    generate = FakeGenerate()
    translation = fake_translator(generate, channels=3)(Image.new("RGB", (64, 16), (200, 10, 30)))
    assert generate.calls[0][0] == (1, 3, 48, 256)
    assert translation.image.mode == "RGB"


def test_languages_default_to_those_of_the_training():
    generate = FakeGenerate()
    fake_translator(generate)(page())
    fake_translator(generate)(page(), source_language="en", target_language="de", beams=4, seed=7)
    assert generate.calls[0][1].source_language == "de"
    assert generate.calls[0][1].target_language == "en"
    assert generate.calls[1][1].source_language == "en"
    assert generate.calls[1][1].beams == 4
    assert generate.calls[1][1].seed == 7


def test_beams_are_as_the_weights_say():
    generate = FakeGenerate()
    translator = fake_translator(generate)
    translator(page())
    translator.loaded.config.model.text_decoder.beams = 3
    translator(page())
    translator(page(), beams=1)
    assert [asked.beams for _, asked in generate.calls] == [1, 3, 1]


def test_a_transcript_is_asked_for_where_it_was_trained():
    generate = FakeGenerate()
    translator = fake_translator(generate)
    translator(page())
    translator.loaded.config.ssr.reader = "runs/reader"
    translator(page())
    assert [asked.transcribe for _, asked in generate.calls] == [False, True]


def test_an_unknown_language_is_named():
    with pytest.raises(UserError, match="'xx': this model knows de, en"):
        fake_translator()(page(), target_language="xx")


def test_a_batch_needs_a_picture():
    with pytest.raises(UserError, match="batch size"):
        fake_translator()(page(), batch_size=0)


def test_low_scores_are_low_confidence():
    assert fake_translator(FakeGenerate(text_score=-3.0))(page()).low_confidence == ["text"]
    assert fake_translator(FakeGenerate(text_score=-3.0, image_score=-3.0))(page()).low_confidence == ["text", "image"]


def test_missing_weights_list_what_is_there():
    with pytest.raises(UserError, match=r"nowhere: no such folder, nor weights of that name \(shipped"):
        Translator.from_pretrained("nowhere")


def test_a_checkpoint_is_a_folder(tmp_path: Path):
    (tmp_path / "image_decoder.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="a checkpoint is a folder"):
        Translator.from_pretrained(tmp_path / "image_decoder.safetensors")


@pytest.mark.parametrize("name", ["cuda:99", "no-such-device"])
def test_a_device_that_is_not_there_is_named(name: str):
    with pytest.raises(UserError, match=f"device '{name}' cannot be used here"):
        choose_device(name)


def test_threads_are_checked_before_anything_is_loaded(tmp_path: Path):
    with pytest.raises(UserError, match="threads must be at least 1"):
        Translator.from_pretrained(tmp_path, threads=0)
