"""A model whose text encoder gets what the CTC head has read: where each piece comes from, and that nothing is lost."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from tests.small import PAIRS, TEXTS, enliven, small
from translatotron_v.config import ConfigError, load_config
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.decoding.source import encode_source, read_ctc_frames, reading_doubts, reading_scores
from translatotron_v.decoding.text import drawing_states, generate, generate_answer
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.models.text_decoder import mean_of_spans
from translatotron_v.models.translator import SourceStates, TranslatotronV

VOCABULARY = Vocabulary.build(TEXTS, 60)
ASKED = GenerationConfig("de", "en")
READS_FIRST = ("model.connector=read", "model.text_encoder.layers=2", "model.fonts=[DejaVuSans,DejaVuSerif]")


def model_of(*overrides: str) -> TranslatotronV:
    torch.manual_seed(0)
    config = small(*READS_FIRST, *overrides)
    return TranslatotronV(config.model, len(VOCABULARY), VOCABULARY.character_count).eval()


@pytest.fixture
def model() -> TranslatotronV:
    return model_of()


def spelling(text: str, frames: int, spacing: int = 1) -> torch.Tensor:
    """CTC logits (1, frames, characters) that spell a text, a character every so many frames."""
    logits = torch.zeros(1, frames, VOCABULARY.character_count)
    logits[0, :, PAD] = 1.0
    for place, character in enumerate(VOCABULARY.encode_characters(text)):
        logits[0, place * spacing, character] = 2.0
    return logits


def test_means_of_runs_of_states():
    states = torch.arange(12.0).reshape(1, 6, 2)
    first, last = torch.tensor([[0, 2, 5, 3]]), torch.tensor([[0, 4, 5, 2]])
    expected = torch.stack([states[0, 0], states[0, 2:5].mean(0), states[0, 5], torch.zeros(2)])[None]
    assert torch.allclose(mean_of_spans(states, first, last), expected)


def test_each_character_is_led_back_to_its_frame():
    logits = spelling("ein  hund ", 40, spacing=3)
    ((text, frames),) = read_ctc_frames(logits, VOCABULARY)
    assert text == "ein hund"  # of two spaces the first stays, one at the end is dropped
    assert frames == [0, 3, 6, 9, 15, 18, 21, 24]


def test_the_reading_is_as_sure_as_its_letters():
    logits = torch.log(torch.tensor([[[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], [[0.9, 0.1]] * 3]))
    assert reading_scores(logits) == [pytest.approx((math.log(0.8) + math.log(0.6)) / 2), float("-inf")]


def test_pieces_carry_the_states_that_they_were_read_from(model: TranslatotronV, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model, "ctc_logits", lambda source: spelling("ein hund", 32, spacing=2))
    seen: dict[str, Any] = {}

    def encode_reading(source, pieces, mask, first, last):
        seen.update(pieces=pieces, mask=mask, first=first, last=last)
        return source

    monkeypatch.setattr(model, "encode_reading", encode_reading)
    encode_source(model, VOCABULARY, torch.rand(1, 1, 16, 128))
    spans = VOCABULARY.encode_spans("ein hund")
    assert "".join(VOCABULARY.spell([piece for piece, _, _ in spans])) == "ein hund"
    assert seen["pieces"].tolist() == [[*(piece for piece, _, _ in spans), EOS]]
    # two frames a state and two frames a character: the state's number is the character's
    assert seen["first"].tolist() == [[*(start for _, start, _ in spans), 1]]
    assert seen["last"].tolist() == [[*(end - 1 for _, _, end in spans), 0]]
    assert seen["mask"].all()


@torch.no_grad()
def test_what_is_read_rightly_is_understood_as_text_mode_does(model: TranslatotronV, monkeypatch: pytest.MonkeyPatch):
    text = PAIRS[0].source
    monkeypatch.setattr(model, "ctc_logits", lambda source: spelling(text, 32, spacing=2))
    source = encode_source(model, VOCABULARY, torch.rand(1, 1, 16, 128))
    pieces = torch.tensor([[*VOCABULARY.encode(text), EOS]])
    assert torch.allclose(source.memory, model.encode_text(pieces, pieces != PAD).memory, atol=1e-6)
    assert source.image_memory.shape == (1, 16, 16)  # the image decoder still sees the page
    torch.nn.init.normal_(model.text_encoder.visual_projection.weight)
    assert not torch.allclose(encode_source(model, VOCABULARY, torch.rand(1, 1, 16, 128)).memory, source.memory)


@torch.no_grad()
def test_a_page_on_which_nothing_is_read_still_has_an_answer(model: TranslatotronV, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(model, "ctc_logits", lambda source: spelling("", 32).expand(2, -1, -1))
    made = generate(model, VOCABULARY, torch.rand(2, 1, 16, 128), ASKED)
    assert made.sources == ["", ""] and made.pixels.shape == (2, 1, 16, 128)


@torch.no_grad()
def test_cached_decoding_equals_uncached(model: TranslatotronV):
    enliven(model, seed=3)
    pixels = torch.rand(3, 1, 16, 128)
    cached, plain = (generate(model, VOCABULARY, pixels, ASKED, cached=kind) for kind in (True, False))
    assert cached.texts == plain.texts and torch.equal(cached.image_ids, plain.image_ids)


def test_gradients_reach_the_image_encoder_through_what_was_read(model: TranslatotronV):
    torch.nn.init.normal_(model.text_encoder.visual_projection.weight)
    enliven(model, seed=3)
    source = encode_source(model, VOCABULARY, torch.rand(2, 1, 16, 128))
    source.memory.square().sum().backward()
    assert float(model.image_encoder.vit.patch_embed.proj.weight.grad.abs().sum()) > 0


@torch.no_grad()
def test_the_font_changes_what_is_drawn_and_is_told_from_the_page(model: TranslatotronV):
    enliven(model, seed=3)
    source = encode_source(model, VOCABULARY, torch.rand(2, 1, 16, 128))
    decoded = generate_answer(model, VOCABULARY, source, ASKED)
    told = model.font_logits(source).argmax(1)
    as_told, other = (drawing_states(model, VOCABULARY, source, decoded, font)[0] for font in (told, 1 - told))
    assert torch.equal(drawing_states(model, VOCABULARY, source, decoded)[0], as_told)
    assert not torch.allclose(as_told, other)


def test_fonts_and_reading_are_asked_for_where_they_are_missing(model: TranslatotronV):
    characters = torch.ones(1, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="draws in several fonts"):
        model.character_encoder(characters, characters > 0)
    plain = TranslatotronV(small().model, len(VOCABULARY), VOCABULARY.character_count)
    with pytest.raises(ValueError, match="knows one font"):
        plain.font_logits(SourceStates(torch.zeros(1, 2, 16), None, torch.zeros(1, 2, 16)))
    for wrong in ("model.connector=guess", "model.ctc_frames=0"):
        with pytest.raises(ConfigError, match=r"model\.connector"):
            load_config(None, ["model.connector=read", "model.text_encoder.layers=1", wrong])


def test_doubts_are_what_stands_at_a_frame_beside_the_best_path_nearby():
    """Frames of an "also" in three letters (a 1, l 2, o 3): an "a" beside the "o", and an "l" that is not sure."""
    blank, a, letter_l, o, e = range(5)
    probable = np.full((1, 12, 5), 1e-9)
    for frame, shares in {
        0: {a: 1.0},
        1: {a: 0.5, letter_l: 0.5},  # the next letter, a frame too soon
        3: {letter_l: 0.6, blank: 0.4},
        7: {o: 0.7, a: 0.2, e: 0.1},
        8: {o: 0.8, blank: 0.2},
    }.items():
        probable[0, frame, list(shares)] = list(shares.values())
    probable[0, probable[0].sum(1) < 0.5, blank] = 1
    (doubts,) = reading_doubts(torch.from_numpy(np.log(probable)))
    expected = np.zeros(12)
    expected[3], expected[7] = 0.4, 0.3
    assert doubts == pytest.approx(expected, abs=1e-6)
