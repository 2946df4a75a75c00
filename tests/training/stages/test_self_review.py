"""Self-review: what a transcript weighs in the loss, and answers without one among those that have it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.small import PAIRS, save_small, small, small_vocabulary
from translatotron_v.config import ConfigError, TrainerConfig
from translatotron_v.data import pages
from translatotron_v.data.page_dataset import PageDataset
from translatotron_v.data.pages import Batch, Collator, pad
from translatotron_v.data.pairs import ReviewedPair
from translatotron_v.data.vocabulary import PAD
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training.reviewing import Reader
from translatotron_v.training.stages.translator import TranslatorStage
from translatotron_v.training.trainer import Trainer

WANTED = frozenset({pages.TARGET_PIECES})
NO_PICTURE = ("loss.image=0", "loss.distillation=0", "loss.ocr=0", "loss.label_smoothing=0")
REVIEWED = [ReviewedPair(pair.source, pair.target, f"{pair.source} {i}") for i, pair in enumerate(PAIRS)]


def stage(*overrides: str) -> TranslatorStage:
    torch.manual_seed(0)
    config = small("stage=translator", "ssr.reader=runs/reader", *NO_PICTURE, *overrides)
    return TranslatorStage(config, small_vocabulary(), REVIEWED, PAIRS[:4]).eval()


def samples(*overrides: str, pairs: list[ReviewedPair] = REVIEWED, count: int = 30) -> list[pages.Sample]:
    config = small("ssr.reader=runs/reader", *overrides)
    dataset = PageDataset(pairs, config, Collator(config, small_vocabulary(), WANTED))
    return [sample for index in range(count) for sample in dataset.samples(index)]


def test_a_share_of_the_pages_answers_without_its_transcript():
    shown = samples("ssr.dropped=0.4")
    share = np.mean([sample.transcript is None for sample in shown])
    assert 0.25 < share < 0.55
    assert {sample.transcript is None for sample in samples("ssr.dropped=1")} == {True}
    assert all(sample.transcript.startswith(sample.source) for sample in shown if sample.transcript is not None)
    alone = [ReviewedPair(pair.source, pair.target, pair.source, translated=False) for pair in PAIRS]
    assert all(
        sample.transcript is not None for sample in samples("ssr.dropped=1", pairs=alone)
    )  # nothing else is left
    assert samples() == samples("ssr.dropped=0")


def test_both_answers_stand_in_one_batch():
    batch = stage("ssr.dropped=0.5").dataset[0]
    tag = small_vocabulary().tag
    openings = {tuple(row[:2]) for row in batch.target_input.tolist()}
    assert openings == {(tag("ocr"), tag("de")), (tag("translate"), tag("en"))}
    for given, wanted, mask in zip(batch.target_input, batch.target_output, batch.translation_mask, strict=True):
        direct = given[0] == tag("translate")
        assert bool(((wanted != PAD) & ~mask).any()) != direct  # only a transcript is no translation
        assert bool(mask.any())


@pytest.mark.parametrize("weight", [0.25, 0.0])
def test_a_transcript_counts_as_it_weighs(weight: float):
    """The loss is the sum over translations and ``weight`` times that over transcripts, by what both weigh."""
    model = stage(f"ssr.weight={weight}")
    batch = model.dataset[0]
    loss, report = model(batch, "main", 0)
    log = model.translator(model.translator.encode_image(batch.source_pixels), batch.target_input).text.log_softmax(-1)
    nats = -log.gather(-1, batch.target_output[..., None])[..., 0]
    written = batch.target_output != PAD
    first, second = written & batch.translation_mask, written & ~batch.translation_mask
    expected = (nats[first].sum() + weight * nats[second].sum()) / (first.sum() + weight * second.sum())
    torch.testing.assert_close(report["text"], expected.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(loss, report["text"])
    plain, _ = stage()(batch, "main", 0)
    torch.testing.assert_close(plain, nats[written].mean(), rtol=1e-5, atol=1e-6)
    loss.backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


def test_micro_batches_count_by_what_their_answers_weigh(tmp_path: Path):
    """Answers with and without transcripts in two micro-batches: as one batch of both."""
    model = stage("ssr.weight=0.2")
    style = model.validation[0].style
    parts = [
        [pages.Sample(pair.source, pair.target, style, transcript=None if bare else pair.source) for pair in chosen]
        for bare, chosen in ((False, PAIRS[3:6]), (True, PAIRS[24:27]))
    ]
    whole, _ = model(model.collator([sample for part in parts for sample in part]), "main", 0)
    trainer = Trainer(model, TrainerConfig(accumulate=2, device="cpu"), tmp_path)
    halves = [
        model(batch, "main", 0)[0] for batch in trainer.micro_batches.weighed([model.collator(part) for part in parts])
    ]
    torch.testing.assert_close(sum(halves) / 2, whole, rtol=1e-5, atol=1e-6)
    plain = [model(model.collator(part), "main", 0)[0].detach() for part in parts]
    assert abs(float(sum(plain) / 2 - whole.detach())) > 1e-4  # means of means are something else


def test_a_weight_of_zero_learns_nothing_of_pages_without_a_translation():
    given = ("ssr.reader=runs/reader", "ssr.weight=0", "data.translated=0.1")
    with pytest.raises(ConfigError, match=r"ssr\.untranslated=0"):
        small(*given)
    small(*given, "ssr.untranslated=0")
    small(*given[:2])


def test_a_reader_that_reads_before_it_understands_takes_the_head_that_does(tmp_path: Path):
    config = small("stage=translator", "model.connector=read")
    torch.manual_seed(1)
    vocabulary = small_vocabulary()
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count)
    nn.init.normal_(model.ctc_head.out.weight)
    reader = Reader(str(save_small(tmp_path, config, model)))
    torch.testing.assert_close(reader.model.ctc_head.out.weight, model.ctc_head.out.weight)


def test_what_a_batch_is_made_of_can_be_counted():
    model = stage("ssr.weight=0.5")
    batch = Batch(
        target_output=pad([[0, 4, 5, 6, 2], [0, 4, 2]]),
        translation_mask=torch.tensor([[False, False, False, True, True], [False, True, True, False, False]]),
    )
    assert model.counts(batch)["answer"] == 0.5 * 2 + 2 + 2 and model.counts(batch)["target"] == 6
    assert model.counts(Batch())["answer"] == 0
