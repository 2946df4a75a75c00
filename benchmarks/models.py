"""Translators with random weights, and the precisions they can run in."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from translatotron_v.config import load_config
from translatotron_v.data.vocabulary import EOS, Vocabulary
from translatotron_v.models.quantised import quantise
from translatotron_v.models.translator import TranslatotronV

ROOT = Path(__file__).resolve().parent.parent


def random_translator(size: str, text_length: int, device: str = "cpu") -> tuple[TranslatotronV, Vocabulary]:
    """A translator that never ends its text early.

    Args:
        size: folder of ``configs`` with a ``model.yaml``.
        text_length: pieces that it writes, and reads with an OCR head; the time of a step does not depend on which.
    """
    config = load_config(ROOT / "configs" / size / "model.yaml").model
    letters = [chr(code) for code in range(32, 127)]
    vocabulary = Vocabulary(letters, symbols=config.vocabulary.subwords or config.vocabulary.symbols)
    torch.manual_seed(1)
    model = TranslatotronV(config, len(vocabulary), vocabulary.character_count).eval()
    randomise_zeros(model)
    for decoder in (model.text_decoder, model.ocr_head):
        decoder.max_length = text_length + 2  # and two tags
        with torch.no_grad():
            # An end whose score is that of a state orthogonal to everything is never the best of hundreds.
            decoder.embedding.weight[EOS] = 0.0
    return model.to(device), vocabulary


@torch.no_grad()
def randomise_zeros(model: nn.Module) -> None:
    """Let what starts at zero take part (gates, biases, what is read from the image), so that equal outputs mean it."""
    for parameter in model.parameters():
        if not parameter.any():
            parameter.normal_(std=0.02)


@contextlib.contextmanager
def precision_of(model: TranslatotronV, precision: str, device: str) -> Iterator[TranslatotronV]:
    """The model as it generates in a precision, as in ``load_translator``: bf16 is autocast, int8 replaces weights."""
    if precision == "int8":
        quantise(model)
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        yield model
