"""Tokenizers without a network: codes are patches, and a page whose patches are all codes comes back as it was."""

from pathlib import Path

import pytest
import torch

from tests.small import PAIRS, small, write_corpus
from translatotron_v.checkpoint import load_module
from translatotron_v.data.pages import TARGET_PIXELS, Collator, plain_samples
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.models.image_tokenizer import PatchTokenizer
from translatotron_v.training.build import train
from translatotron_v.training.stages import tokenizer as tokenizer_stage
from translatotron_v.training.stages.codebook import fit_codebook, k_means


def config_of(folder: Path, codes: int):
    settings = ("stage=tokenizer", "model.tokenizer.encoder=patch_codebook", f"model.tokenizer.codes={codes}")
    return small(*settings, f"data.folder={folder / 'corpus'}", f"run={folder / str(codes)}", "trainer.steps=20")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codebooks")
    write_corpus(folder / "corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokenizer_stage, "picture_error_rate", lambda pictures, texts: 0.0)
        for codes in (400, 24):
            metrics = train(config_of(folder, codes))
            assert metrics["distinct_patches"] > 24
    return folder


def tokenizer_and_pages(folder: Path, codes: int) -> tuple[PatchTokenizer, torch.Tensor]:
    config = config_of(folder, codes)
    tokenizer = PatchTokenizer(config.model.tokenizer, config.model.canvas)
    load_module(tokenizer, folder / str(codes) / "final", "image_tokenizer")
    collator = Collator(config, Vocabulary.build([""]), frozenset({TARGET_PIXELS}))
    pixels = collator(plain_samples(PAIRS[:6], config)).target_pixels
    assert pixels is not None
    return tokenizer, pixels


def test_enough_codes_lose_nothing_and_few_lose_little(folder: Path):
    errors = []
    for codes in (400, 24):
        tokenizer, pixels = tokenizer_and_pages(folder, codes)
        again = tokenizer.decode_from_ids(tokenizer.encode_to_ids(pixels))
        errors.append(float((again - pixels).abs().mean()))
    assert errors[0] < 1e-6
    assert 0 < errors[1] < float((1 - pixels).mean())  # better than blank paper


def test_blank_paper_is_code_zero_and_other_tokens_are_another_picture(folder: Path):
    tokenizer, pixels = tokenizer_and_pages(folder, 400)
    assert not tokenizer.encode_to_ids(torch.ones_like(pixels)).any()
    ids = tokenizer.encode_to_ids(pixels)
    other = ids.clone()
    other[0, 0] = (ids[0, 0] + 1) % 400
    drawn = [tokenizer.decode_from_ids(tokens) for tokens in (ids, other)]
    assert not torch.equal(drawn[0][0], drawn[1][0]) and torch.equal(drawn[0][1:], drawn[1][1:])


def test_a_finished_fit_is_not_repeated(folder: Path, capsys: pytest.CaptureFixture[str]):
    before = (folder / "24" / "final" / "image_tokenizer.safetensors").stat().st_mtime_ns
    train(config_of(folder, 24))
    assert "this run is finished" in capsys.readouterr().out
    assert (folder / "24" / "final" / "image_tokenizer.safetensors").stat().st_mtime_ns == before


def test_codes_are_patches_that_were_seen_the_common_one_of_those_that_are_alike():
    torch.manual_seed(0)
    plain = (torch.rand(4, 16) > 0.5).float()
    dotted = plain.clone()
    dotted[:, :2] = 1 - dotted[:, :2]
    patches, weights = torch.cat([plain, dotted]), torch.tensor([900.0] * 4 + [4.0] * 4)
    assert torch.equal(fit_codebook(patches, weights, 5)[1:], plain)
    many = torch.rand(60, 16)
    fitted = fit_codebook(many, torch.rand(60) + 0.1, 9)
    assert all((many == code).all(1).any() for code in fitted[1:]) and len(fitted.unique(dim=0)) == 9


def test_k_means_lowers_the_weighted_error():
    torch.manual_seed(0)
    centres = torch.rand(5, 16)
    patches = centres.repeat_interleave(20, 0)  # the start knows one of them
    patches = (patches + 0.05 * torch.randn(100, 16)).clamp(0, 1)
    weights = torch.arange(100, 0, -1).float()

    def error(codebook: torch.Tensor) -> float:
        return float((torch.cdist(patches, codebook).amin(1) ** 2 * weights.sqrt()).sum())

    start, fitted = fit_codebook(patches, weights, 6), fit_codebook(patches, weights, 6)
    start[1:] = k_means(patches, weights.sqrt(), patches[:5], rounds=0)
    assert torch.equal(start[1:], patches[:5]) and not start[0].any() and not fitted[0].any()
    assert error(fitted) < 0.7 * error(start)


def test_what_is_seen_most_stands_for_its_cluster_though_a_rare_patch_is_nearer_to_the_mean():
    far = torch.full((1, 4), 50.0)
    patches = torch.cat([torch.zeros(1, 4), far, torch.ones(1, 4), torch.full((1, 4), 0.4)])
    fitted = fit_codebook(patches, torch.tensor([100.0, 90.0, 36.0, 1.0]), 3)
    assert torch.equal(fitted[1:], torch.cat([torch.zeros(1, 4), far]))  # the mean by square roots lies at .38
