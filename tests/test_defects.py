"""Defects that were found in published code of this method, each shown to be absent here."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_synth.corpora import TextPair
from tests.small import PAIRS, enliven, small, small_vocabulary
from translatotron_v.checkpoint import save_checkpoint
from translatotron_v.config import CanvasConfig, TokenizerConfig
from translatotron_v.data import pages
from translatotron_v.data.page_dataset import PageDataset
from translatotron_v.data.pages import Collator, plain_samples
from translatotron_v.data.pairs import read_split
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary, tag_specials
from translatotron_v.evaluation.pictures import PictureFolder
from translatotron_v.metrics.text import bleu
from translatotron_v.models.discriminator import PerceptualDistance
from translatotron_v.models.image_tokenizer import ImageTokenizer
from translatotron_v.models.teacher import TextToImage
from translatotron_v.models.text_decoder import CharacterEncoder, TextDecoder, TextEncoder
from translatotron_v.training.averaging import mean_of_checkpoints
from translatotron_v.training.sheets import as_picture
from translatotron_v.training.stages import stage_class
from translatotron_v.training.stages import translator as translator_stage
from translatotron_v.training.stages.base import Stage
from translatotron_v.training.stages.translator import TranslatorStage

CONFIG, VOCABULARY = small(), small_vocabulary()


def stage_of(name: str, *overrides: str) -> Stage:
    torch.manual_seed(0)
    return stage_class(name)(small(f"stage={name}", *overrides), VOCABULARY, PAIRS, PAIRS[:4])


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> TranslatorStage:
    """A translator's stage with a teacher that needs no files."""
    monkeypatch.setattr(translator_stage, "start_module", lambda *arguments: [])
    stage = stage_of("translator", "start.teacher=none")
    assert isinstance(stage, TranslatorStage) and stage.teacher is not None
    return stage.train()


@torch.no_grad()
def test_text_positions_count_along_the_text_and_not_along_the_batch():
    size = CONFIG.model.text_decoder
    row = torch.tensor([[7, 8, 7, 8, 7, 8]])
    mask, memory = torch.ones(4, 6, dtype=torch.bool), torch.randn(1, 3, 16).expand(4, -1, -1)
    for states in (
        enliven(TextDecoder(size, 40, 16))(row.expand(4, -1), memory)[1],
        enliven(TextEncoder(size, 40, 16, 16))(row.expand(4, -1), mask),
        enliven(CharacterEncoder(size, 40))(row.expand(4, -1), mask),
    ):
        torch.testing.assert_close(states, states[:1].expand_as(states))  # all rows alike
        assert not torch.allclose(states[:, 0], states[:, 2], atol=1e-4)  # equal symbols at two places are not


def test_the_teacher_gets_no_gradient_and_is_not_optimized(taught: TranslatorStage):
    loss, report = taught(taught.dataset[0], "main", 0)
    loss.backward()
    assert float(report["distillation"]) > 0
    assert all(p.grad is None and not p.requires_grad for p in taught.teacher.parameters())
    optimized = {id(p) for part in taught.optimized().values() for p in part}
    assert not optimized & {id(p) for p in taught.teacher.parameters()}
    assert not optimized & {id(p) for p in taught.translator.image_tokenizer.parameters()}


def test_the_perceptual_network_is_not_trained():
    stage = stage_of("tokenizer", "loss.perceptual=1", "loss.adversarial=1").train()
    assert isinstance(stage.perceptual, PerceptualDistance)
    theirs = {id(p) for p in stage.perceptual.parameters()}
    assert theirs and not any(p.requires_grad for p in stage.perceptual.parameters())
    assert not theirs & {id(p) for part in stage.optimized().values() for p in part}
    assert "perceptual" not in stage.modules_to_save and not stage.perceptual.training


def test_patch_size_and_depth_of_the_tokenizer_are_respected():
    for patch, encoder_layers, decoder_layers in (([16, 4], 1, 3), ([8, 8], 3, 1)):
        config = TokenizerConfig(patch, "vit", 16, 2, encoder_layers, decoder_layers, codes=12, code_width=4)
        tokenizer = ImageTokenizer(config, CanvasConfig(16, 32, 1)).eval()
        assert tokenizer.encode_to_ids(torch.rand(1, 1, 16, 32)).shape == (1, (16 // patch[0]) * (32 // patch[1]))
        assert (len(tokenizer.encoder), len(tokenizer.decoder)) == (encoder_layers, decoder_layers)


def test_the_teacher_is_asked_exactly_as_it_was_taught(taught: TranslatorStage, monkeypatch: pytest.MonkeyPatch):
    """The same pairs in its own stage and in distillation: the same text ids, masks and image tokens."""
    schooling = stage_of("teacher")
    schooling.image_tokenizer.load_state_dict(taught.translator.image_tokenizer.state_dict())
    asked: list[tuple[torch.Tensor, ...]] = []

    def record(self, ids, characters, mask, source_pixels=None, fonts=None):
        asked.append((ids, characters, mask))
        return torch.randn(*ids.shape, 24, requires_grad=True)

    monkeypatch.setattr(TextToImage, "forward", record)
    chosen = plain_samples([PAIRS[0], PAIRS[20], PAIRS[9]], CONFIG)
    schooling.train()(schooling.collator(chosen), "main", 0)
    taught(taught.collator(chosen), "main", 0)
    lesson, question = asked
    assert all(torch.equal(one, other) for one, other in zip(lesson, question, strict=True))
    texts = [VOCABULARY.decode_characters(row.tolist()) for row in question[1]]
    assert texts == [sample.target for sample in chosen]  # neither shifted nor cut nor tagged


def test_tags_come_from_the_vocabulary_that_is_written():
    """Input and output of a decoder share one table, and its first symbols are tags of that table."""
    for vocabulary in (VOCABULARY, small_vocabulary(0)):
        wanted = frozenset({pages.SOURCE_PIECES, pages.TARGET_PIECES})
        batch = Collator(CONFIG, vocabulary, wanted)(plain_samples(PAIRS[:2], CONFIG))
        for ids, names in ((batch.target_input, ("translate", "en")), (batch.source_input, ("ocr", "de"))):
            assert [list(tag_specials())[i] for i in ids[0, :2].tolist()] == [f"<{name}>" for name in names]
            assert int(ids.max()) < len(vocabulary)
        restored = Vocabulary.from_json(vocabulary.to_json())
        assert [restored.tag(name) for name in ("translate", "en")] == batch.target_input[0, :2].tolist()


def test_a_cut_text_keeps_its_end_symbol():
    config = small("model.text_decoder.max_length=5", "model.ocr_head.max_length=5", "model.text_encoder.max_length=3")
    wanted = frozenset({pages.SOURCE_PIECES, pages.TARGET_PIECES})
    long = TextPair(" ".join(["hund"] * 4), " ".join(["dog"] * 4))
    batch = Collator(config, VOCABULARY, wanted)(plain_samples([long], config))
    assert batch.target_output.shape[1] == 5 and batch.source_pieces.shape[1] == 3
    for ids in (batch.target_output, batch.source_output, batch.source_pieces):
        assert ids[0, -1] == EOS and (ids[0, 1:] != PAD).all()


def test_no_page_is_mirrored():
    """Every page of training is, pixel for pixel, the page that the renderer draws of its text."""
    config = small("trainer.batch_size=8", "data.shuffled=0.5", "data.spans=0.5")
    wanted = frozenset({pages.SOURCE_PIXELS, pages.SOURCE_CHARACTERS})
    collator = Collator(config, VOCABULARY, wanted)
    data = PageDataset(PAIRS, config, collator)
    for index in range(4):
        batch = data[index]
        texts = [VOCABULARY.decode_characters(row.tolist()) for row in batch.source_characters]
        again = collator.render(texts, plain_samples([TextPair(text, text) for text in texts], config))
        assert torch.equal(batch.source_pixels, again)
        assert not torch.equal(batch.source_pixels, again.flip(-1))


def test_pictures_are_scored_without_loss(tmp_path: Path):
    """What is handed to OCR is the generated picture in eight bits, and what is saved as PNG comes back unchanged."""
    pixels = torch.rand(3, 16, 32)
    picture = as_picture(pixels)
    expected = (pixels * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(np.asarray(picture), expected)
    picture.save(tmp_path / "page.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "page.png")), expected)
    grey = as_picture(pixels[:1])
    assert grey.mode == "L" and np.array_equal(np.asarray(grey), expected[..., 0])


def test_case_is_folded_on_both_sides():
    assert bleu(["A Dog Runs In The Park"], ["a dog runs in the park"]).value == pytest.approx(100)
    assert bleu(["a dog runs in the park"], ["A DOG RUNS IN THE PARK"]).value == pytest.approx(100)
    assert "case:lc" in bleu(["a"], ["a"]).signature


def test_averages_divide_by_the_right_count(tmp_path: Path):
    values = (1.0, 2.0, 6.0, 11.0)
    for number, value in enumerate(values):
        save_checkpoint(tmp_path / str(number), {"net": {"x": torch.tensor([value])}}, {}, {})
    for count in range(1, 5):
        mean = mean_of_checkpoints([tmp_path / str(number) for number in range(count)], "net")["x"]
        assert mean.item() == pytest.approx(sum(values[:count]) / count)


def test_files_pair_by_name_and_not_by_order(tmp_path: Path):
    """Folders whose files were written in another order, one of them lacking a picture in the middle."""
    for folder, names in (("made", "ca"), ("wanted", "abc")):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.new("L", (8, 8), ord(name)).save(tmp_path / folder / f"{name}.png")
    made, wanted = PictureFolder(tmp_path / "made"), PictureFolder(tmp_path / "wanted")
    partners = {name: made.find(name) for name in wanted.paths}
    assert list(partners) == ["a", "b", "c"] and partners["b"] is None
    for name in "ac":
        assert (
            partners[name].convert("L").getpixel((0, 0)) == wanted.open(name).convert("L").getpixel((0, 0)) == ord(name)
        )


def test_sides_of_a_corpus_are_never_paired_by_luck(tmp_path: Path):
    (tmp_path / "train.de").write_text("eins\nzwei\n")
    (tmp_path / "train.en").write_text("one\n")
    with pytest.raises(Exception, match=r"2.*1|1.*2") as caught:
        read_split(small(f"data.folder={tmp_path}"), "train")
    assert "\n" not in str(caught.value)
