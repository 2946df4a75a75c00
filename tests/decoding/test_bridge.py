"""The soft bridge: what a piece may have been, by hand; where the head is sure it is the hard bridge; gradients."""

import math

import pytest
import torch

from tests.small import PAIRS, enliven, small, small_vocabulary
from translatotron_v.config import ConfigError
from translatotron_v.data.vocabulary import EOS, Vocabulary
from translatotron_v.decoding.bridge import Alternatives, alternatives
from translatotron_v.decoding.source import encode_source, read_ctc_frames
from translatotron_v.decoding.text_mode import as_it_is, prepare
from translatotron_v.models.translator import TranslatotronV

WORDS = Vocabulary.build(["hund mund und hnd hund mund und hnd"] * 4, 60)
READS = ("model.connector=read", "model.text_encoder.layers=1")


def heads_say(*frames: dict[str, float], vocabulary: Vocabulary = WORDS) -> torch.Tensor:
    """Logits (1, F, V) of frames; "" is blank, and what is not named has next to no probability."""
    logits = torch.full((1, len(frames), vocabulary.character_count), 1e-9)
    for place, frame in enumerate(frames):
        for character, probability in frame.items():
            label = vocabulary.encode_characters(character)[0] if character else 0
            logits[0, place, label] = probability
    return logits.log()


def found(logits: torch.Tensor, vocabulary: Vocabulary = WORDS, language: str = "") -> dict[str, float]:
    """Name -> weight of the alternatives of the first piece of a page, and that of the end is 1."""
    read = read_ctc_frames(logits, vocabulary)
    sentences = [prepare(text, language) if language else as_it_is(text) for text, _ in read]
    spans = [[*vocabulary.encode_spans(sentence.text), (EOS, 0, 0)] for sentence in sentences]
    others = alternatives(logits, vocabulary, read, sentences, spans, len(spans[0]))
    weights = others.weights(logits)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, len(spans[0])))
    assert weights[0, -1, 0] == 1
    names = vocabulary.piece_names()
    both = zip(others.pieces[0, 0].tolist(), weights[0, 0].tolist(), strict=True)
    return {names[piece]: weight for piece, weight in both if weight}


SURE = [{"u": 1.0}, {"n": 1.0}, {"": 1.0}, {"d": 1.0}]


def test_another_letter_in_the_place_of_one():
    assert found(heads_say({"h": 0.6, "m": 0.3}, *SURE)) == pytest.approx({"▁hund": 2 / 3, "▁mund": 1 / 3})
    assert found(heads_say({"h": 0.6, "n": 0.3}, *SURE)) == pytest.approx({"▁hund": 1.0})  # "nund" is no piece


def test_all_frames_of_a_letter_are_another_together():
    said = found(heads_say({"h": 0.6, "m": 0.4}, {"h": 0.7, "m": 0.3}, *SURE))
    odds = (0.4 / 0.6) * (0.3 / 0.7)
    assert said == pytest.approx({"▁hund": 1 / (1 + odds), "▁mund": odds / (1 + odds)})


def test_a_letter_too_many_and_one_that_is_missing():
    fewer = found(heads_say({"h": 0.8, "": 0.2}, *SURE))
    assert fewer == pytest.approx({"▁hund": 0.8, "▁und": 0.2})
    more = found(heads_say({"h": 1.0}, {"": 0.9, "u": 0.1}, {"n": 1.0}, {"d": 1.0}))
    assert more == pytest.approx({"▁hnd": 0.9, "▁hund": 0.1})
    # what would only make a neighbour's run longer changes nothing
    assert found(heads_say({"h": 1.0}, {"": 0.6, "h": 0.4}, *SURE)) == pytest.approx({"▁hund": 1.0})


def test_several_alternatives_share_what_there_is():
    said = found(heads_say({"h": 0.5, "m": 0.3, "": 0.2}, *SURE))
    assert said == pytest.approx({"▁hund": 0.5, "▁mund": 0.3, "▁und": 0.2})
    assert list(said) == ["▁hund", "▁mund", "▁und"]


def test_what_is_next_to_impossible_does_not_count():
    assert list(found(heads_say({"h": 0.995, "m": 0.005}, *SURE))) == ["▁hund"]
    assert list(found(heads_say({"h": 0.98, "m": 0.02}, *SURE))) == ["▁hund", "▁mund"]


def test_letters_are_folded_as_what_was_read_is():
    letters = Vocabulary.build(["hund mund Hund Mund"] * 4, 60, marks=True)
    shouted = heads_say({"H": 0.6, "M": 0.4}, *SURE, vocabulary=letters)
    said = found(shouted, letters, "de")
    assert {name.strip("▁") for name in said} == {"Hund", "Mund"} or {name.strip("▁") for name in said} == {
        "hund",
        "mund",
    }
    assert sorted(said.values()) == pytest.approx([0.4, 0.6])


def test_gradients_are_those_of_the_odds():
    logits = heads_say({"h": 0.6, "m": 0.4}, *SURE).requires_grad_()
    read = read_ctc_frames(logits, WORDS)
    spans = [[*WORDS.encode_spans("hund"), (EOS, 0, 0)]]
    others = alternatives(logits, WORDS, read, [as_it_is("hund")], spans, 2)
    others.weights(logits)[0, 0, 1].backward()
    h, m = WORDS.encode_characters("hm")
    assert logits.grad[0, 0, m] == pytest.approx(0.24, rel=1e-4) and logits.grad[0, 0, h] == pytest.approx(
        -0.24, rel=1e-4
    )
    assert not logits.grad[0, 1:].any()


def test_without_alternatives_all_weight_is_on_what_was_read():
    pieces = torch.tensor([[[5], [EOS]]])
    assert Alternatives(pieces, [[[], []]]).weights(torch.zeros(1, 3, 4)).tolist() == [[[1.0], [1.0]]]


# --- in a model -------------------------------------------------------------------------------------------------------


def bridged(kind: str) -> tuple[TranslatotronV, Vocabulary]:
    vocabulary = small_vocabulary()
    config = small(*READS, f"model.reading={kind}")
    model = enliven(TranslatotronV(config.model, len(vocabulary), vocabulary.character_count), seed=3)
    assert isinstance(model, TranslatotronV)
    return model, vocabulary


def reading_of(text: str, vocabulary: Vocabulary, sure: float) -> torch.Tensor:
    """Logits of 32 frames that read a text, with what is left of the probability on another letter for each."""
    frames = []
    for place, letter in enumerate(text):
        other = "etaoin"[place % 6]
        frames += [{letter: sure, other: 1 - sure} if other != letter else {letter: 1.0}, {"": 1.0}]
    return heads_say(*frames, *[{"": 1.0}] * (32 - len(frames)), vocabulary=vocabulary)


@torch.no_grad()
def test_where_the_head_is_sure_the_bridge_is_the_hard_one(monkeypatch: pytest.MonkeyPatch):
    memories = {}
    pixels = torch.rand(1, 1, 16, 128, generator=torch.Generator().manual_seed(1))
    for sure in (1.0, 0.7):
        for kind in ("hard", "soft"):
            model, vocabulary = bridged(kind)
            logits = reading_of(PAIRS[0].source, vocabulary, sure)
            monkeypatch.setattr(model, "ctc_logits", lambda source, said=logits: said)
            memories[kind, sure] = encode_source(model, vocabulary, pixels).memory
    assert torch.allclose(memories["hard", 1.0], memories["soft", 1.0], atol=1e-6)
    assert torch.allclose(memories["hard", 1.0], memories["hard", 0.7], atol=1e-6)  # argmax is all that it is told
    assert (memories["soft", 0.7] - memories["soft", 1.0]).abs().max() > 1e-2


@pytest.mark.parametrize(("kind", "reached"), [("hard", False), ("soft", True)])
def test_gradients_reach_the_reader_through_a_soft_bridge_alone(kind: str, reached: bool):
    """Those of the CTC head, which nothing else behind the reading looks at."""
    model, vocabulary = bridged(kind)
    source = encode_source(model, vocabulary, torch.rand(4, 1, 16, 128, generator=torch.Generator().manual_seed(1)))
    source.memory.square().sum().backward()
    assert model.ctc_head is not None
    gradient = model.ctc_head.out.weight.grad
    assert (gradient is not None and bool(gradient.any())) == reached
    if gradient is not None:
        assert math.isfinite(float(gradient.sum()))


def test_a_bridge_needs_two_sides():
    with pytest.raises(ConfigError, match=r"model\.reading=soft is between reading and translating"):
        small("model.reading=soft")
    with pytest.raises(ConfigError, match=r"model\.reading must be hard or soft, not wet"):
        small(*READS, "model.reading=wet")
