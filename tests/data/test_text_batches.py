"""Text-mode batches of a mixture: what they hold, what is masked and annotated, and how little of them is padding."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.small import small
from translatotron_v.config import Config
from translatotron_v.data.marks import LITERALS, LOWER, MARKS, TERM_CLOSE, TERM_OPEN
from translatotron_v.data.mixture import Corpus, Mixture, write_store
from translatotron_v.data.text_batches import Encoded, MixtureSource, MixtureText, PairEncoder, collate, cut_by_cost
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary

DE = ("de", "en")
PAIRS = [
    (f"Am {day}. Mai fahren {n} Busse zum Bahnhof", f"On {day} May {n} buses go to the station")
    for day in range(10, 30)
    for n in (3, 40)
]
WORDS = [("Bahnhof", "station"), ("Busse", "buses")]
LOWERED = [(f"ein hund und noch {n}", f"a dog and {n} more") for n in range(10)]


def source_of(folder: Path) -> MixtureSource:
    corpora = {
        Corpus("text", "", DE, "main"): PAIRS,
        Corpus("words", "", DE, "words", kind="dictionary"): WORDS,
        Corpus("lower", "", DE, "lower", case="lower"): LOWERED,
    }
    mixture = Mixture(tuple(corpora), {"main": 0.8, "words": 0.1, "lower": 0.1}, {"de": 1.0})
    stores = {corpus: write_store(folder / corpus.name, iter(pairs), 0.0, dict) for corpus, pairs in corpora.items()}
    return MixtureSource(mixture, stores)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> MixtureSource:
    return source_of(tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module")
def vocabulary(source: MixtureSource) -> Vocabulary:
    return Vocabulary.build(
        [text for pair in source.pairs(200, 1) for text in (pair.source, pair.target)],
        120,
        blocks=["ascii", "latin-1"],
        marks=True,
    )


def settings(*overrides: str) -> Config:
    lengths = [f"model.text_{name}.max_length=120" for name in ("encoder", "decoder")]
    return small("data.window=4", "trainer.batch_size=16", *lengths, *overrides)


def texts(dataset: MixtureText, vocabulary: Vocabulary, count: int = 8) -> list[tuple[str, str]]:
    found = []
    for index in range(count):
        batch = dataset[index]
        for row, wanted in zip(batch.source_pieces.tolist(), batch.target_output.tolist(), strict=True):
            found.append((vocabulary.decode(row), vocabulary.decode(wanted[1:])))
    return found


def test_batches_are_a_function_of_their_place(source: MixtureSource, vocabulary: Vocabulary):
    config = settings("data.misread=0.05")
    first, again = (MixtureText(source.mixture, source.stores, config, vocabulary) for _ in range(2))
    kept = [first[index] for index in range(9)]
    for index in (8, 1, 5):
        assert torch.equal(again[index].source_pieces, kept[index].source_pieces)
        assert torch.equal(again[index].target_output, kept[index].target_output)


def test_plain_pairs_come_out_as_they_went_in(source: MixtureSource, vocabulary: Vocabulary):
    plain = settings("data.terms=0", "data.lower=0")
    dataset = MixtureText(source.mixture, source.stores, plain, vocabulary)
    known = dict([*PAIRS, *WORDS])
    seen = 0
    for text, target in texts(dataset, vocabulary):
        if text.startswith(LOWER):
            assert text.removeprefix(f"{LOWER} ").startswith("ein hund")
        elif not any(mark in text for mark in LITERALS):
            assert known[text] == target
            seen += 1
    assert seen > 4


def test_literals_stand_for_each_other_and_terms_are_annotated(source: MixtureSource, vocabulary: Vocabulary):
    dataset = MixtureText(source.mixture, source.stores, settings("data.terms=1", "data.lower=0"), vocabulary)
    found = texts(dataset, vocabulary)
    masked = [pair for pair in found if any(mark in pair[0] for mark in LITERALS)]
    assert len(masked) > len(found) / 3
    for text, target in masked:
        assert {mark for mark in LITERALS if mark in text} == {mark for mark in LITERALS if mark in target}
    annotated = [text for text, _ in found if TERM_OPEN in text]
    assert len(annotated) > len(found) / 3
    assert all(text.count(TERM_OPEN) == text.count(TERM_CLOSE) for text in annotated)
    assert not any(mark in target for _, target in found for mark in MARKS if mark not in LITERALS)


def test_lower_case_is_of_the_source_alone(source: MixtureSource, vocabulary: Vocabulary):
    dataset = MixtureText(source.mixture, source.stores, settings("data.terms=1", "data.lower=1"), vocabulary)
    for text, target in texts(dataset, vocabulary):
        assert text == text.lower() and TERM_OPEN not in text
        assert (
            target[0].isupper() or target[0] in LITERALS or target.startswith("a dog") or target in ("station", "buses")
        )


def test_inputs_and_targets_are_shifted_and_padded(vocabulary: Vocabulary):
    encoded = PairEncoder(settings(), vocabulary)([("Busse", "buses"), ("Bahnhof", "the station")])
    batch = collate(encoded)
    tags = [vocabulary.tag("translate"), vocabulary.tag("en")]
    for row, text in enumerate(("buses", "the station")):
        pieces = vocabulary.encode(text)
        length = len(pieces)
        assert batch.target_input[row].tolist()[: length + 2] == [*tags, *pieces]
        assert batch.target_output[row].tolist()[: length + 2] == [PAD, *pieces, EOS]
        assert not batch.target_input[row, length + 2 :].any() and not batch.target_output[row, length + 2 :].any()


def test_what_is_too_long_is_cut_and_keeps_its_end(vocabulary: Vocabulary):
    config = settings("model.text_encoder.max_length=5", "model.text_decoder.max_length=6")
    (encoded,) = PairEncoder(config, vocabulary)([("Busse " * 9, "buses " * 9)])
    assert len(encoded.source) == 5 and encoded.source[-1] == EOS
    assert len(encoded.target_input) == 6 and len(encoded.target_output) == 6 and encoded.target_output[-1] == EOS


def pairs_of_lengths(count: int, seed: int = 0) -> list[Encoded]:
    rng = np.random.default_rng(seed)
    lengths = np.maximum(2, rng.lognormal(2.3, 0.8, count)).astype(int)
    return [Encoded([4] * int(n * rng.uniform(0.8, 1.25) + 1), [4] * int(n), [4] * int(n)) for n in lengths]


def padded(run: list[Encoded]) -> int:
    return len(run) * sum(max(sizes) for sizes in zip(*(pair.lengths for pair in run), strict=True))


def test_batches_cost_the_same_and_hold_little_padding():
    ordered = sorted(pairs_of_lengths(4000), key=lambda pair: pair.order)
    runs = cut_by_cost(ordered, 32)
    assert len(runs) == 32 and [pair for run in runs for pair in run] == ordered
    costs = [padded(run) for run in runs]
    assert max(costs[:-1]) < 1.1 * min(costs[:-1])
    real = sum(sum(pair.lengths) for pair in ordered)
    assert real > 0.85 * sum(costs)


def test_few_pairs_fill_all_batches_or_say_so():
    ordered = sorted(pairs_of_lengths(6), key=lambda pair: pair.order)
    runs = cut_by_cost(ordered, 6)
    assert [len(run) for run in runs] == [1] * 6
    with pytest.raises(ValueError, match="6 pairs cannot fill 7 batches"):
        cut_by_cost(ordered, 7)
