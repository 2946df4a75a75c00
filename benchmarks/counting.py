"""Bytes and FLOPs of a generation, counted from its modules: the least that the arithmetic must read and do.

A multiplication and an addition are two FLOPs. Norms, softmaxes, activations and look-ups in tables are left out.

Shapes: B batch, S states of a memory, N positions, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from translatotron_v.models.image_decoder import ImageDecoder
from translatotron_v.models.text_decoder import TextDecoder
from translatotron_v.models.translator import TranslatotronV

BYTES_OF_WEIGHT = {"fp32": 4, "bf16": 2, "int8": 1}
_CACHE_BYTES = 4  # keys and values are counted as float32 in any precision


@dataclass(frozen=True)
class Work:
    """What one phase must read (bytes) and compute (FLOPs)."""

    bytes: float
    flops: float

    def seconds(self, bandwidth: float, rate: float) -> float:
        """The least time on a machine of so many bytes and FLOP a second."""
        return max(self.bytes / bandwidth, self.flops / rate)


def bound(phases: Mapping[str, Work], bandwidth: float, rate: float) -> float:
    """The least seconds of phases that follow one another."""
    return sum(work.seconds(bandwidth, rate) for work in phases.values())


def matrix_elements(module: nn.Module) -> int:
    """Weights that are multiplied with every state: those of linear maps and convolutions, shared ones once."""
    return sum(part.weight.numel() for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d))


def layer_stack(module: nn.Module, states: int, width: int, layers: int, batch: int, weight_bytes: int) -> Work:
    """One pass of B rows of ``states`` states, each through every matrix of a module, with full self-attention."""
    elements = matrix_elements(module)
    attention = 4 * states**2 * width * layers  # scores and weighted sum
    return Work(elements * weight_bytes, batch * (2 * elements * states + attention))


def decoding(
    decoder: TextDecoder | ImageDecoder, steps: int, batch: int, memories: Mapping[str, int], weight_bytes: int
) -> Work:
    """Stepwise decoding with caches: each step reads every weight once for the whole batch, and the caches so far.

    Args:
        memories: name of each cross-attention in a layer -> S, the states it reads; they are projected once.
    """
    layers: list[Any] = list(decoder.layers)
    repeated, once = _decoder_elements(decoder, memories)
    applied = repeated
    if isinstance(decoder, ImageDecoder) and decoder.gate is not None:  # one gate for all layers
        applied += decoder.gate.weight.numel() * (len(decoder.layers) - 1)
    flops = 2.0 * batch * steps * applied
    read = float(weight_bytes) * repeated * steps
    for name, length in memories.items():
        flops += 2.0 * batch * length * once[name]
        read += float(weight_bytes) * once[name]
    past = steps * (steps + 1) / 2  # positions that all steps together look back at
    for layer in layers:
        for attention, positions in [
            (layer.attention, past),
            *((getattr(layer, name), float(steps * length)) for name, length in memories.items()),
        ]:
            queries = attention.heads * attention.head_width
            keys_and_values = 2 * attention.kv_heads * attention.head_width
            flops += 4.0 * batch * queries * positions
            read += float(_CACHE_BYTES) * batch * keys_and_values * positions
    return Work(read, flops)


def teacher_forced(
    decoder: TextDecoder | ImageDecoder,
    length: int,
    batch: int,
    memories: Mapping[str, int],
    weight_bytes: int,
    causal: bool = True,
) -> Work:
    """One pass over ``length`` positions at once; they look back, or with ``causal=False`` at each other."""
    flops = decoding(decoder, length, batch, memories, weight_bytes).flops
    if not causal:
        layers: list[Any] = list(decoder.layers)
        for layer in layers:
            flops += 4.0 * batch * layer.attention.heads * layer.attention.head_width * length * (length - 1) / 2
    repeated, once = _decoder_elements(decoder, memories)
    return Work(weight_bytes * (repeated + sum(once.values())), flops)


def _decoder_elements(decoder: TextDecoder | ImageDecoder, memories: Mapping[str, int]) -> tuple[int, dict[str, int]]:
    """Weights that every step reads, and those of the projections of each kind of memory, over all layers."""
    once = {name: sum(getattr(layer, name).key_value.weight.numel() for layer in decoder.layers) for name in memories}
    total = matrix_elements(decoder) - sum(once.values())
    if isinstance(decoder, TextDecoder):
        total += decoder.embedding.weight.numel()  # the output table is the input table
    return total, once


def generation(
    model: TranslatotronV, batch: int, text_steps: int, read_steps: int, precision: str, passes: int = 0
) -> dict[str, Work]:
    """Every phase of a batch of pictures.

    Args:
        text_steps: pieces that the text decoder writes; ``read_steps`` those of the OCR head, if that reads.
        passes: of parallel decoding; 0 writes token by token.
    """
    config, size = model.config, BYTES_OF_WEIGHT[precision]
    eyes = config.image_encoder
    patches = (config.canvas.height // eyes.patch[0]) * (config.canvas.width // eyes.patch[1])
    states = patches + eyes.class_token
    text = config.text_encoder
    see = [layer_stack(model.image_encoder, states, eyes.width, eyes.layers, batch, size)]
    if text.layers:
        see.append(layer_stack(model.text_encoder, states, text.width, text.layers, batch, size))
    tokenizer = model.image_tokenizer
    drawer = nn.ModuleList([tokenizer.from_code, tokenizer.decoder, tokenizer.patch_out])
    tokens, kind = model.image_decoder.length, config.tokenizer
    drawn = text_steps
    drawing = [teacher_forced(model.text_decoder, text_steps, batch, {"cross": states}, size)]
    if model.character_encoder is not None:
        letters = config.character_encoder
        drawn = min(letters.max_length, 4 * text_steps)  # about; only a small phase depends on it
        drawing.append(layer_stack(model.character_encoder, drawn, letters.width, letters.layers, batch, size))
    memories = {"text_cross": drawn} | ({"image_cross": states} if model.image_decoder.reads_image else {})
    if model.ctc_head is not None:
        reading = layer_stack(model.ctc_head, states, 0, 0, batch, size)
    else:
        reading = decoding(model.ocr_head, read_steps, batch, {"cross": states}, size)
    image = (
        _together([teacher_forced(model.image_decoder, tokens, batch, memories, size, causal=False)] * passes)
        if passes
        else decoding(model.image_decoder, tokens, batch, memories, size)
    )
    return {
        "see": _together(see),
        "text": decoding(model.text_decoder, text_steps, batch, {"cross": states}, size),
        "drawing states": _together(drawing),
        "image tokens": image,
        "pixels": layer_stack(drawer, tokens, kind.width, kind.decoder_layers, batch, size),
        "reading": reading,
    }


def _together(parts: Sequence[Work]) -> Work:
    return Work(sum(part.bytes for part in parts), sum(part.flops for part in parts))


def integrate(lengths: Sequence[int], seconds: Sequence[float], last: int) -> float:
    """Seconds of all steps 1 to ``last``, from those of some of them (ascending), straight lines in between."""
    return float(np.interp(np.arange(1, last + 1), lengths, seconds).sum())
