"""Words of training pages: which tokens and letters they take, what a step learns of them, and what is refused."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small import ALL, PAIRS, small, small_vocabulary, write_corpus
from translatotron_v.config import ConfigError
from translatotron_v.data.pages import TARGET_WORDS, Batch, Collator, default_fonts, plain_samples
from translatotron_v.data.pairs import StoredPair, TextPair
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.models.image_tokenizer import PatchTokenizer
from translatotron_v.training.build import build_stage
from translatotron_v.training.stages.codebook import fit_codebook
from translatotron_v.training.word_rows import END, word_rows

VOCABULARY = small_vocabulary()
PAGE = ("page.line_height=16", "page.font_size=10", "page.margin=2", "page.word_grid=8", "page.advance_grid=2")
TOKENS = ("model.canvas.height=32", "model.tokenizer.encoder=patch_codebook", "model.tokenizer.codes=200")
COLUMNS = 16
CONFIG = small(*PAGE, *TOKENS, "loss.words=1")


def codebook_of(tokenizer: Any, pixels: torch.Tensor) -> None:
    assert isinstance(tokenizer, PatchTokenizer)
    patches = tokenizer.patches(pixels).flatten(0, 1)
    patches = patches[patches.amax(1) > 0].unique(dim=0)
    tokenizer.codebook.copy_(fit_codebook(patches, torch.ones(len(patches)), tokenizer.codes))


@pytest.fixture(scope="module")
def batch() -> Batch:
    return Collator(CONFIG, VOCABULARY, frozenset({*ALL, TARGET_WORDS}))(plain_samples(PAIRS[:3], CONFIG))


@pytest.fixture(scope="module")
def ids(batch: Batch) -> torch.Tensor:
    tokenizer = PatchTokenizer(CONFIG.model.tokenizer, CONFIG.model.canvas)
    codebook_of(tokenizer, batch.target_pixels)
    return tokenizer.encode_to_ids(batch.target_pixels)


def rows_of(batch: Batch, ids: torch.Tensor, first: int = 0) -> Any:
    return word_rows(ids, batch.target_characters, batch.char_to_token, batch.target_words, VOCABULARY, COLUMNS, first)


def test_rows_hold_the_letters_and_tokens_of_words(batch: Batch, ids: torch.Tensor):
    rows = rows_of(batch, ids)
    words = [word for pair in PAIRS[:3] for word in pair.target.split()]
    assert [VOCABULARY.decode_characters(row) for row in rows.characters.tolist()] == words
    assert rows.pages.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert rows.mask.sum(1).tolist() == [len(word) for word in words]
    places = [(number, word) for number in range(3) for word in batch.target_words[number].tolist()]
    for place, (page, (row, column, count)) in enumerate(places):
        start = row * COLUMNS + column
        assert rows.ids[place, :count].tolist() == ids[page, start : start + count].tolist() != [0] * count
        assert not rows.ids[place, count:].any() and rows.counted[place].sum() == count + END
    characters = batch.target_characters[0].tolist()
    dog = characters.index(VOCABULARY.encode_characters("d")[0])
    assert rows.char_to_token[1, :3].tolist() == batch.char_to_token[0, dog : dog + 3].tolist()
    later = rows_of(batch, ids, 2)
    assert later.pages.tolist() == [2, 2, 2] and torch.equal(later.characters, rows.characters[6:, :4])
    assert rows_of(batch, ids, 3) is None


def test_a_word_without_its_end_is_left_out_and_other_words_than_are_there_are_an_error(
    batch: Batch, ids: torch.Tensor
):
    cut = replace(batch, target_characters=batch.target_characters[:, :4], char_to_token=batch.char_to_token[:, :4])
    rows = rows_of(cut, ids)  # "a do", "a do", "a do"
    assert [VOCABULARY.decode_characters(row) for row in rows.characters.tolist()] == ["a"] * 3
    with pytest.raises(ValueError, match="3 words are to be drawn, 2 stand on the page"):
        rows_of(replace(batch, target_words=batch.target_words[:, :2]), ids)


@pytest.mark.parametrize("font", default_fonts())
def test_all_ink_of_a_page_belongs_to_its_words(font: str):
    """And each word begins and ends with ink: what is learnt of a word is all of it and nothing else."""
    settings = ("model.canvas.height=96", "model.canvas.width=512", "model.tokenizer.patch=[32,8]")
    page = ("page.line_height=32", "page.font_size=20", "page.margin=2", "page.word_grid=8", "page.advance_grid=2")
    config = small(*settings, *page, "model.tokenizer.encoder=patch_codebook", "loss.words=1", f"page.fonts=[{font}]")
    text = "Two young “men” (in red) are 3.5 km off; jigging, f... Åsa—the quiet one—waves!"
    collator = Collator(config, Vocabulary.build([text], 0), frozenset({"target_pixels", TARGET_WORDS}))
    batch = collator(plain_samples([TextPair(text, text)], config))
    tokenizer = PatchTokenizer(config.model.tokenizer, config.model.canvas)
    inked = (tokenizer.patches(batch.target_pixels)[0].amax(1) > 0).reshape(3, 64)
    for row, column, count in batch.target_words[0].tolist():
        own = inked[row, column : column + count]
        assert own[-1] and own[:2].any()
        inked[row, column : column + count] = False
    assert not inked.any()
    assert len(batch.target_words[0]) == len(text.split())


@pytest.mark.parametrize(("stage", "whole", "words"), [("translator", "image", "image_words"), ("teacher", "", "")])
def test_a_step_learns_words_and_whole_pages(tmp_path: Path, batch: Batch, stage: str, whole: str, words: str):
    whole, words = whole or "accuracy", words or "accuracy_words"
    found = {}
    for share in (0.0, 0.5, 1.0):
        more = ("loss.distillation=0", "loss.ocr=0", f"stage={stage}", f"loss.words={share}")
        config = small(*PAGE, *TOKENS, *more, f"data.folder={write_corpus(tmp_path / 'corpus')}")
        built = build_stage(config)
        drawer = built.translator if stage == "translator" else built
        codebook_of(drawer.image_tokenizer, batch.target_pixels)
        micro = built.dataset[0]
        assert (micro.target_words is not None) == (share > 0)
        torch.manual_seed(0)
        loss, report = built(micro, "main", 0)
        loss.backward()
        found[share] = set(report)
        decoder = drawer.image_decoder if stage == "translator" else drawer.teacher.decoder
        assert decoder.embedding.weight.grad.any()
    assert whole in found[0.0] and words not in found[0.0]
    assert {whole, words} <= found[0.5]
    assert words in found[1.0] and whole not in found[1.0]


@torch.no_grad()
def test_a_page_of_one_word_scores_the_same_both_ways(tmp_path: Path):
    """Token by token and word by word are one decoder: of a page that holds one word they expect the same tokens."""
    config = small(*PAGE, *TOKENS, "loss.words=1", "loss.distillation=0", f"data.folder={write_corpus(tmp_path)}")
    stage = build_stage(config)
    alone = [TextPair("hund", "dog"), TextPair("vogel", "bird")]
    batch = stage.collator(plain_samples(alone, config))
    codebook_of(stage.translator.image_tokenizer, batch.target_pixels)
    ids = stage.translator.image_tokenizer.encode_to_ids(batch.target_pixels)
    model = stage.translator.eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    source = model.encode_image(batch.source_pixels)
    rows = word_rows(ids, batch.target_characters, batch.char_to_token, batch.target_words, stage.vocabulary, COLUMNS)
    output = model(
        source,
        batch.target_input,
        batch.translation_mask,
        image_ids=ids,
        characters=batch.target_characters,
        character_mask=batch.target_characters != 0,
        char_to_token=batch.char_to_token,
        words=rows,
    )
    length = rows.ids.shape[1]
    torch.testing.assert_close(output.words, output.image[:, :length], rtol=1e-4, atol=1e-5)


def test_words_that_begin_anywhere_are_refused():
    for settings in ((*TOKENS, *PAGE[:3], "page.word_grid=12"), (*TOKENS, *PAGE[:3]), PAGE):
        with pytest.raises(ConfigError, match=re.escape("loss.words needs words that begin at image tokens")):
            small(*settings, "loss.words=0.5")
    with pytest.raises(ConfigError, match=re.escape("loss.words and loss.masked are shares of the same pages")):
        small(*PAGE, *TOKENS, "loss.words=0.5", "loss.masked=0.6")


def test_stages_that_draw_nothing_and_stored_pages_are_refused(tmp_path: Path):
    from translatotron_v.training.stages import check_stage

    with pytest.raises(ConfigError, match="the stage 'text' draws nothing"):
        check_stage(small(*PAGE, *TOKENS, "loss.words=1", "stage=text"))
    stored = plain_samples([StoredPair("hund", "dog", (b"", b""))], CONFIG)
    with pytest.raises(UserError, match=re.escape("loss.words is for pages that are rendered while training")):
        Collator(CONFIG, VOCABULARY, frozenset({TARGET_WORDS}))(stored)
