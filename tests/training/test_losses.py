"""Losses against torch's own and against closed forms."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from translatotron_v.training import losses

B, T, V = 3, 6, 9


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def ragged_targets() -> torch.Tensor:
    targets = torch.randint(1, V, (B, T))
    targets[0, 4:] = targets[2, 1:] = losses.PAD
    return targets


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_text_cross_entropy_ignores_padding(smoothing: float):
    logits, targets = torch.randn(B, T, V), ragged_targets()
    kept = targets != losses.PAD
    expected = F.cross_entropy(logits[kept], targets[kept], label_smoothing=smoothing)
    torch.testing.assert_close(losses.text_cross_entropy(logits, targets, smoothing), expected)
    noisy = torch.where(kept[..., None], logits, 100 * torch.randn(B, T, V))
    torch.testing.assert_close(losses.text_cross_entropy(noisy, targets, smoothing), expected)


def test_label_smoothing_by_hand():
    logits, ids, share = torch.randn(1, 1, V), torch.tensor([[2]]), 0.1
    log = logits.log_softmax(-1)[0, 0]
    expected = -((1 - share) * log[2] + share * log.mean())
    torch.testing.assert_close(losses.image_cross_entropy(logits, ids, share), expected)
    torch.testing.assert_close(losses.text_cross_entropy(logits, ids, share), expected)


def test_image_cross_entropy_counts_every_token_zero_too():
    logits, ids = torch.randn(B, T, V), torch.zeros(B, T, dtype=torch.long)
    torch.testing.assert_close(losses.image_cross_entropy(logits, ids), -logits.log_softmax(-1)[..., 0].mean())


@pytest.mark.parametrize(("count", "length"), [(1, 1), (50, 1), (50, 2), (7, 192)])
def test_random_masks_hide_at_least_one_token(count: int, length: int):
    known = losses.random_masks(count, length)
    assert known.shape == (count, length) and known.dtype == torch.bool
    assert (~known).any(1).all()


def test_the_share_that_is_hidden_is_the_cosine_of_a_uniform():
    """Mean 2 / pi and deciles cos(pi u / 2) (MaskGIT, section 3.1), the same at every place, others in every row."""
    length = 50
    hidden = ~losses.random_masks(20_000, length)
    shares = hidden.float().mean(1) - 0.5 / length  # shares are rounded up
    assert shares.mean().item() == pytest.approx(2 / math.pi, abs=0.01)
    for u in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert shares.quantile(1 - u).item() == pytest.approx(math.cos(math.pi * u / 2), abs=0.02)
    assert (hidden.float().mean(0) - 2 / math.pi).abs().max() < 0.025
    alike = hidden[hidden.sum(1) == 25]
    assert len(alike) > 20 and len(alike.unique(dim=0)) == len(alike)


def test_random_masks_are_seeded():
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(losses.random_masks(4, 30))
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_masked_cross_entropy_ignores_known_tokens(smoothing: float):
    logits, ids = torch.randn(B, T, V), torch.randint(V, (B, T))
    known = losses.random_masks(B, T)
    known[1] = True  # a page without a token to predict changes nothing
    expected = F.cross_entropy(logits[~known], ids[~known], label_smoothing=smoothing)
    torch.testing.assert_close(losses.masked_cross_entropy(logits, ids, known, smoothing), expected)
    noisy = torch.where(known[..., None], 100 * torch.randn(B, T, V), logits)
    other = torch.where(known, (ids + 1) % V, ids)
    torch.testing.assert_close(losses.masked_cross_entropy(noisy, other, known, smoothing), expected)
    nothing = torch.zeros(B, T, dtype=torch.bool)
    torch.testing.assert_close(
        losses.masked_cross_entropy(logits, ids, nothing, smoothing), losses.image_cross_entropy(logits, ids, smoothing)
    )


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_distillation_is_torchs_kl(temperature: float):
    student, teacher = torch.randn(B, T, V), torch.randn(B, T, V)
    expected = F.kl_div(
        (student / temperature).log_softmax(-1).flatten(0, 1),
        (teacher / temperature).softmax(-1).flatten(0, 1),
        reduction="batchmean",
    )
    torch.testing.assert_close(losses.distillation(student, teacher, temperature), temperature**2 * expected)


def test_distillation_vanishes_for_equal_logits_and_pulls_to_the_teacher():
    logits = torch.randn(B, T, V)
    assert losses.distillation(logits, logits).abs() < 1e-6
    assert losses.distillation(logits + 3.0, logits, 2.0).abs() < 1e-6  # a constant changes no distribution
    student, teacher = logits.clone().requires_grad_(), torch.randn(B, T, V)
    losses.distillation(student, teacher).backward()
    expected = (student.detach().softmax(-1) - teacher.softmax(-1)) / (B * T)
    torch.testing.assert_close(student.grad, expected)


def test_temperature_squared_keeps_the_size_of_gradients():
    """At high temperatures the gradient tends to (student - teacher) / V, whatever T (Hinton et al. 2015, eq. 4)."""
    student, teacher = torch.randn(1, 1, V, requires_grad=True), torch.randn(1, 1, V)
    losses.distillation(student, teacher, 1000.0).backward()
    with torch.no_grad():
        difference = (student - student.mean()) - (teacher - teacher.mean())
    torch.testing.assert_close(student.grad, difference / V, rtol=1e-2, atol=1e-3)


def test_distillation_counts_only_what_the_mask_keeps():
    student, teacher = torch.randn(B, T, V), torch.randn(B, T, V)
    mask = ragged_targets() != losses.PAD
    expected = losses.distillation(student[mask], teacher[mask], 2.0)
    torch.testing.assert_close(losses.distillation(student, teacher, 2.0, mask), expected)
    everything = torch.ones(B, T, dtype=torch.bool)
    torch.testing.assert_close(
        losses.distillation(student, teacher, mask=everything), losses.distillation(student, teacher)
    )


def test_ctc_is_torchs():
    logits = torch.randn(B, 14, V)
    characters = torch.tensor([[1, 2, 2, 3], [4, 0, 0, 0], [5, 6, 7, 0]])
    theirs = nn.CTCLoss(blank=0)(
        logits.log_softmax(-1).transpose(0, 1), characters, torch.full((B,), 14), torch.tensor([4, 1, 3])
    )
    torch.testing.assert_close(losses.ctc(logits, characters), theirs)


def test_ctc_by_hand():
    """Two frames, one character: the paths a-, -a and aa."""
    log = torch.randn(1, 2, 3)
    p = log.softmax(-1)[0]
    expected = -math.log(p[0, 1] * p[1, 0] + p[0, 0] * p[1, 1] + p[0, 1] * p[1, 1])
    assert float(losses.ctc(log, torch.tensor([[1]]))) == pytest.approx(expected, rel=1e-5)


def test_ctc_of_a_text_too_long_is_zero_and_an_empty_one_is_all_blank():
    logits = torch.randn(1, 3, V, requires_grad=True)
    loss = losses.ctc(logits, torch.tensor([[1, 2, 3, 4, 5]]))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()
    empty = losses.ctc(logits, torch.tensor([[0, 0]]))
    torch.testing.assert_close(empty, -logits.log_softmax(-1)[0, :, 0].sum())


def test_weighted_reconstruction_by_hand():
    pixels = torch.tensor([[[[1.0, 0.0]]]])  # paper and ink
    again = torch.tensor([[[[0.9, 0.5]]]])
    plain = ((0.1 + 2 * 0.01) + (0.5 + 2 * 0.25)) / 2
    assert float(losses.weighted_reconstruction(again, pixels)) == pytest.approx(plain)
    inked = (1 * (0.1 + 2 * 0.01) + 5 * (0.5 + 2 * 0.25)) / 6
    assert float(losses.weighted_reconstruction(again, pixels, ink=4.0)) == pytest.approx(inked)
    assert float(losses.weighted_reconstruction(again, pixels, 1.0, 0.0)) == pytest.approx(0.3)
    assert float(losses.weighted_reconstruction(pixels, pixels, ink=4.0)) == 0


def test_hinge_losses_by_hand():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.25])
    assert float(losses.hinge_discriminator(real, fake)) == pytest.approx(0.5 * ((0 + 0.5) / 2 + (0 + 1.25) / 2))
    assert float(losses.hinge_generator(fake)) == pytest.approx(2.75 / 2)
    assert float(losses.hinge_discriminator(torch.tensor([1.0]), torch.tensor([-1.0]))) == 0


def test_adaptive_weight_by_hand():
    weight = torch.tensor([3.0, 4.0], requires_grad=True)
    reconstruction = 2.0 * weight.sum()  # gradient (2, 2)
    adversarial = 0.5 * weight.square().sum()  # gradient (3, 4)
    balance = losses.adaptive_weight(reconstruction, adversarial, weight)
    assert balance.item() == pytest.approx(math.sqrt(8) / (5 + 1e-4))
    assert not balance.requires_grad and weight.grad is None
    reconstruction.backward()  # both graphs are still there
    adversarial.backward()
    assert weight.grad.tolist() == pytest.approx([5.0, 6.0])


def test_adaptive_weight_is_limited():
    weight = torch.ones(2, requires_grad=True)
    balance = losses.adaptive_weight(1e6 * weight.sum(), 0.0 * weight.sum(), weight)
    assert balance.item() == pytest.approx(1e4)
    assert losses.adaptive_weight(1e6 * weight.sum(), 0.0 * weight.sum(), weight, limit=7.0).item() == 7.0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weighted_text_cross_entropy_by_hand(smoothing: float):
    """Equal weights are the plain mean; of two kinds, each kind's mean by its weight; padding weighs nothing."""
    logits, targets = torch.randn(2, 4, 7), torch.tensor([[3, 5, 2, 0], [6, 1, 0, 0]])
    ones = torch.ones(2, 4)
    plain = losses.text_cross_entropy(logits, targets, smoothing)
    torch.testing.assert_close(losses.weighted_text_cross_entropy(logits, targets, ones, smoothing), plain)
    torch.testing.assert_close(losses.weighted_text_cross_entropy(logits, targets, 0.3 * ones, smoothing), plain)
    first = torch.tensor([[True, True, False, False], [True, False, False, False]])  # three pieces, and two others
    mean, others = (
        losses.text_cross_entropy(logits, targets.masked_fill(hidden, 0), smoothing) for hidden in (~first, first)
    )
    weighted = losses.weighted_text_cross_entropy(logits, targets, torch.where(first, 0.25, 1.0), smoothing)
    torch.testing.assert_close(weighted, (3 * 0.25 * mean + 2 * others) / (3 * 0.25 + 2))
    alone = losses.weighted_text_cross_entropy(logits, targets, first.float(), smoothing)
    torch.testing.assert_close(alone, mean)
    assert losses.weighted_text_cross_entropy(logits, targets, 0 * ones, smoothing) == 0
