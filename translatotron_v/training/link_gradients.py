"""What flows back into the blocks of an image encoder, and how much of it comes through skip links.

A block's states h are read by the next block and, where it is fused, by a link. The gradient of the loss with respect
to them is a sum, g = g_link + g_rest, and the link's share of it is <g_link, g> / <g, g>: shares add up to one, and a
detached link's is zero. (Detached skip-links, arXiv 2603.20020, say why the share of shallow blocks matters.)

Shapes: B batch, S states, D width.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from translatotron_v.data.pages import Batch
from translatotron_v.errors import UserError
from translatotron_v.models.image_encoder import ImageEncoder
from translatotron_v.training.stages.translator import TranslatorStage

READING = ("ctc", "ocr", "transcription")  # losses that ask what stands there
MEANING = (  # and those that ask what it means
    "text",
    "text_mode",
    "text_distillation",
    "self_distillation",
    "self_distillation_kl",
    "image",
    "distillation",
)


@dataclass
class BackwardPass:
    """States of one pass whose gradients are there after ``backward``.

    Attributes:
        states: by the number of the block that made them: (B, S, D).
        links: by the same number, what its link was given of them.
    """

    states: dict[int, Tensor] = field(default_factory=dict)
    links: dict[int, Tensor] = field(default_factory=dict)

    def gradient(self, number: int) -> Tensor:
        """Of a block's states, by all ways (B, S, D)."""
        return _gradient(self.states[number])

    def through_link(self, number: int) -> Tensor:
        """Of the same states, by the link alone; zero where it is detached."""
        return _gradient(self.links[number])


@contextmanager
def watched(encoder: ImageEncoder) -> Iterator[BackwardPass]:
    """Keep the gradients of an encoder's states during one pass forward and back."""
    seen = BackwardPass()

    def keep(number: int, made: Tensor) -> None:
        made.retain_grad()
        seen.states[number] = made

    def tap(_: Any, given: tuple[Any, Any]) -> tuple[Any, Any]:
        """Put a copy of each state in front of its link, so that what comes back by it can be told apart."""
        assert encoder.fusion is not None
        final, states = given
        for number in encoder.fusion.layers:
            seen.links[number] = states[number].clone()
            seen.links[number].retain_grad()
        return final, states | seen.links

    hooks = [
        block.register_forward_hook(lambda _, given, made, number=number: keep(number, made))
        for number, block in enumerate(encoder.vit.blocks, start=1)
    ]
    if encoder.fusion is not None:
        hooks.append(encoder.fusion.register_forward_pre_hook(tap))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def measure(stage: TranslatorStage, batches: Sequence[Batch]) -> dict[str, float]:
    """Gradients of a stage's loss with respect to the states of its image encoder's blocks, over some batches.

    Args:
        stage: put into evaluation mode; its image encoder is not frozen. Its parameters' gradients are dropped.
        batches: of pages.

    Raises:
        UserError: no loss reaches the image encoder.

    Returns:
        For each block N ``block_N``, the norm of the gradient of its states (of the mean loss of the batches), and
        ``conflict_N``, the cosine between what the translation's losses and what the reading's losses send there, where
        there are both: below zero they pull it apart. For each fused one ``link_N``, the norm of what comes by the
        link, and ``share_N``, its share of the whole.
    """
    stage.eval()
    encoder = stage.translator.image_encoder
    totals: dict[str, float] = {}

    def add(name: str, value: Tensor) -> None:
        totals[name] = totals.get(name, 0.0) + float(value)

    for batch in batches:
        whole = _back(stage, encoder, batch)
        if whole is None:
            raise UserError("no loss reaches the image encoder: its weights under loss are 0")
        meaning, reading = (_back(stage, encoder, batch, left_out) for left_out in (READING, MEANING))
        for number in whole.states:
            gradient = whole.gradient(number)
            add(f"energy_{number}", gradient.square().sum())
            if number in whole.links:
                link = whole.through_link(number)
                add(f"link_energy_{number}", link.square().sum())
                add(f"along_{number}", (link * gradient).sum())
            if meaning is not None and reading is not None:
                one, other = meaning.gradient(number), reading.gradient(number)
                add(f"dot_{number}", (one * other).sum())
                add(f"meaning_{number}", one.square().sum())
                add(f"reading_{number}", other.square().sum())
    found: dict[str, float] = {}
    for number in range(1, encoder.layers + 1):
        energy = totals[f"energy_{number}"]
        found[f"block_{number}"] = energy**0.5 / len(batches)
        if f"along_{number}" in totals:
            found[f"link_{number}"] = totals[f"link_energy_{number}"] ** 0.5 / len(batches)
            found[f"share_{number}"] = totals[f"along_{number}"] / energy if energy else 0.0
        if product := totals.get(f"meaning_{number}", 0.0) * totals.get(f"reading_{number}", 0.0):
            found[f"conflict_{number}"] = totals[f"dot_{number}"] / product**0.5
    return found


def _back(
    stage: TranslatorStage, encoder: ImageEncoder, batch: Batch, left_out: Sequence[str] = ()
) -> BackwardPass | None:
    """One pass forward and back without some of the losses; None where nothing else reaches the encoder."""
    config = stage.config
    weights = copy.copy(config.loss)
    for name in left_out:
        setattr(weights, name, 0.0)
    stage.config = replace(config, loss=weights)
    try:
        with watched(encoder) as seen:
            loss, _ = stage(batch, "main", 0)
            if not loss.requires_grad:
                return None
            loss.backward()
    finally:
        stage.config = config
        stage.zero_grad(set_to_none=True)
    return seen


def _gradient(states: Tensor) -> Tensor:
    return torch.zeros_like(states) if states.grad is None else states.grad
