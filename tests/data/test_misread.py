"""Texts as a reader would have them: how much goes wrong, and that batches hold them where they should."""

import numpy as np
import pytest
import torch
from rapidfuzz.distance import Levenshtein

from tests.data.test_pages import PAIRS, VOCABULARY, dataset
from translatotron_v.config import load_config
from translatotron_v.data.misread import misread
from translatotron_v.data.pages import plain_samples
from translatotron_v.errors import UserError

TEXT = "Ein süßes Baby lächelt einem anderen Kind im Kettenkarussell zu."


def test_as_much_goes_wrong_as_was_asked_for():
    rng = np.random.default_rng(0)
    readings = [misread(TEXT, 0.05, rng) for _ in range(2000)]
    assert 0.45 < np.mean([reading == TEXT for reading in readings]) < 0.6  # half of them, and a few by luck
    rates = [Levenshtein.distance(TEXT, reading) / len(TEXT) for reading in readings]
    assert 0.04 < np.mean(rates) < 0.06 and max(rates) < 0.5
    assert all("  " not in reading for reading in readings)
    assert len({reading.count(" ") for reading in readings}) > 2  # words run together


def test_nothing_goes_wrong_where_nothing_was_asked_for():
    rng = np.random.default_rng(1)
    assert {misread(TEXT, 0.0, rng) for _ in range(50)} == {TEXT}
    assert misread("", 0.25, rng) == ""


def test_only_text_mode_is_given_what_was_misread():
    plain, noisy = dataset(), dataset("data.misread=0.2")
    wrong = 0
    for index in range(6):
        before, after = plain[index], noisy[index]
        assert after.source_pieces is not None and before.source_pieces is not None
        wrong += not torch.equal(before.source_pieces, after.source_pieces)
        again = noisy[index]
        assert again.source_pieces is not None and torch.equal(again.source_pieces, after.source_pieces)
    assert wrong > 2
    first = noisy[0]
    assert first.source_characters is not None
    texts = {tuple(VOCABULARY.encode_characters(pair.source)) for pair in PAIRS}
    assert {tuple(row[row > 0].tolist()) for row in first.source_characters} <= texts
    assert all(not sample.reading for sample in plain_samples(PAIRS, load_config(None, ["data.misread=0.2"])))


def test_a_share_beyond_sense_is_refused():
    with pytest.raises(UserError, match=r"data\.misread"):
        load_config(None, ["data.misread=0.5"])
