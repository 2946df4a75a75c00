"""Losses: pure functions of logits and targets.

Shapes: B batch, T positions, F CTC frames, V vocabulary, K codes.
"""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from translatotron_v.data.vocabulary import PAD  # no loss looks at it; it is also the CTC blank


def text_cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy (nats) of the pieces: logits (B, T, V), targets (B, T), padding ignored."""
    return F.cross_entropy(
        rearrange(logits, "b t v -> (b t) v"), targets.flatten(), ignore_index=PAD, label_smoothing=label_smoothing
    )


def weighted_text_cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """As ``text_cross_entropy``, a mean in which each piece has a weight of its own (B, T); 0 where nothing weighs."""
    nats = F.cross_entropy(
        rearrange(logits, "b t v -> b v t"),
        targets,
        ignore_index=PAD,
        label_smoothing=label_smoothing,
        reduction="none",
    )
    weights = weights * (targets != PAD)
    return (weights * nats).sum() / weights.sum().clamp(min=torch.finfo(nats.dtype).tiny)


def image_cross_entropy(logits: Tensor, ids: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy (nats) of image tokens: logits (B, N, K), ids (B, N)."""
    return F.cross_entropy(rearrange(logits, "b n k -> (b n) k"), ids.flatten(), label_smoothing=label_smoothing)


def random_masks(count: int, length: int, device: torch.device | str = "cpu") -> Tensor:
    """Which tokens masked prediction may see: (count, length), true where known.

    The share that is hidden is cos(pi u / 2) of a uniform u, for each page anew, so that most of a page is hidden as
    often as not (MaskGIT, Chang et al. 2022, section 3.1); at least one token is hidden.
    """
    hidden = (torch.cos(torch.pi / 2 * torch.rand(count, 1, device=device)) * length).ceil().clamp(1, length)
    return torch.rand(count, length, device=device).argsort(1).argsort(1) >= hidden


def masked_cross_entropy(logits: Tensor, ids: Tensor, known: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy (nats) of the tokens that are not known: logits (B, N, K), ids and known (B, N)."""
    return F.cross_entropy(logits[~known], ids[~known], label_smoothing=label_smoothing)


def counted_cross_entropy(logits: Tensor, ids: Tensor, counted: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy (nats) of the tokens that count: logits (R, T, K), ids and counted (R, T)."""
    return F.cross_entropy(logits[counted], ids[counted], label_smoothing=label_smoothing)


def distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """``T^2 KL(teacher || student)`` of logits (..., K), mean over positions (Hinton et al. 2015; paper, section 3.4).

    ``mask`` (...) is true at the positions that count; ``None`` counts all.
    """
    student_log = F.log_softmax(student / temperature, dim=-1)
    teacher_log = F.log_softmax(teacher / temperature, dim=-1)
    kl = F.kl_div(student_log, teacher_log, reduction="none", log_target=True).sum(-1)
    return temperature**2 * (kl.mean() if mask is None else (kl * mask).sum() / mask.sum())


def ctc(logits: Tensor, characters: Tensor) -> Tensor:
    """CTC loss per character: logits (B, F, V), characters (B, C), padding id 0 being the blank.

    A text that is longer than the frames allow counts as zero instead of infinity.
    """
    frames = torch.full((logits.shape[0],), logits.shape[1], dtype=torch.long)
    lengths = (characters != PAD).sum(1)
    return F.ctc_loss(
        F.log_softmax(logits.float(), dim=-1).transpose(0, 1),
        characters,
        frames,
        lengths,
        blank=PAD,
        zero_infinity=True,
    )


def ink_weight(pixels: Tensor, ink: float) -> Tensor:
    """What each pixel in [0, 1], 1 white, counts: ``1 + ink * darkness``."""
    return 1 + ink * (1 - pixels)


def weighted_reconstruction(
    reconstruction: Tensor, pixels: Tensor, l1: float = 1.0, l2: float = 2.0, ink: float = 0.0
) -> Tensor:
    """``l1 |e| + l2 e^2`` of the pixels, those of ink weighted by ``1 + ink * darkness``; weights average to one."""
    weight = ink_weight(pixels, ink)
    error = (reconstruction - pixels).abs()
    return (weight * (l1 * error + l2 * error.square())).mean() / weight.mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of a critic's scores (Lim and Ye 2017)."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def hinge_generator(fake: Tensor) -> Tensor:
    """What the generator pays for scores that the critic gives its pages."""
    return -fake.mean()


def adaptive_weight(
    reconstruction: Tensor,
    adversarial: Tensor,
    last_layer: Tensor,
    limit: float = 1e4,
    mean: Callable[[Tensor], Tensor] = lambda gradient: gradient,
) -> Tensor:
    """Ratio of the two losses' gradients at the last layer (Esser et al. 2021, equation 7), no gradient of its own.

    ``mean`` makes the gradient of a part of the batch that of all of it.
    """
    pull = mean(torch.autograd.grad(reconstruction, last_layer, retain_graph=True)[0]).norm()
    push = mean(torch.autograd.grad(adversarial, last_layer, retain_graph=True)[0]).norm()
    return (pull / (push + 1e-4)).clamp(0, limit).detach()


def ink_loss(logits: Tensor, coverage: Tensor, total: Callable[[Tensor], Tensor] = lambda sums: sums) -> Tensor:
    """Cross-entropy (nats) of a pixel's coverage, plus one minus soft Dice: logits and coverage (B, 1, H, W).

    Ink is a small part of most pictures and none of some: the overlap counts over the whole batch (Milletari et al.
    2016), and no batch is all background to it. ``total`` makes sums over this part those over all of the batch.
    """
    ink = logits.sigmoid()
    both, either = total(torch.stack([(ink * coverage).sum(), ink.square().sum() + coverage.square().sum()]))
    overlap = (2 * both + 1) / (either + 1)
    return F.binary_cross_entropy_with_logits(logits, coverage) + 1 - overlap
