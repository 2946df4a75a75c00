"""A corpus of a dozen words and settings for models of a few thousand parameters, for tests of stages and decoding."""

from pathlib import Path

import torch
from torch import nn

from data_synth.corpora import TextPair
from translatotron_v.checkpoint import save_checkpoint
from translatotron_v.config import Config, load_config, to_yaml
from translatotron_v.data import pages
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.models.translator import TranslatotronV

# Everything that a batch can hold.
ALL = frozenset(
    {
        pages.SOURCE_PIXELS,
        pages.TARGET_PIXELS,
        pages.SOURCE_PIECES,
        pages.SOURCE_CHARACTERS,
        pages.TARGET_PIECES,
        pages.TARGET_CHARACTERS,
    }
)

NOUNS = (("hund", "dog"), ("mann", "man"), ("vogel", "bird"), ("baum", "tree"), ("bär", "bear"))
VERBS = (("rennt", "runs"), ("schläft", "sleeps"), ("isst", "eats"))
PAIRS = [TextPair(f"ein {n[0]} {v[0]}", f"a {n[1]} {v[1]}") for n in NOUNS for v in VERBS]
PAIRS += [TextPair(f"{n[0]} {v[0]}", f"{n[1]} {v[1]}") for n in NOUNS for v in VERBS]
TEXTS = [text for pair in PAIRS for text in (pair.source, pair.target)]

_WIDTH = 16
_TEXT = ("text_encoder", "text_decoder", "ocr_head", "character_encoder", "teacher_encoder")
_IMAGE = ("image_decoder", "teacher_decoder")
SETTINGS = (
    "model.canvas.height=16",
    "model.canvas.width=128",
    "model.vocabulary.subwords=60",
    f"model.image_encoder.width={_WIDTH}",
    "model.image_encoder.layers=2",
    "model.image_encoder.ocr_layer=1",
    "model.image_encoder.patch=[16,8]",
    "model.ctc_frames=2",
    *(f"model.{name}.{key}={value}" for name in _TEXT for key, value in (("width", _WIDTH), ("layers", 1))),
    *(f"model.{name}.{key}={value}" for name in _TEXT for key, value in (("feed_forward", 32), ("max_length", 24))),
    *(f"model.{name}.{key}={value}" for name in _IMAGE for key, value in (("width", _WIDTH), ("layers", 1))),
    *(f"model.{name}.feed_forward=32" for name in _IMAGE),
    "model.tokenizer.patch=[16,8]",
    f"model.tokenizer.width={_WIDTH}",
    "model.tokenizer.encoder_layers=1",
    "model.tokenizer.decoder_layers=1",
    "model.tokenizer.codes=24",
    "model.tokenizer.code_width=8",
    "model.discriminator.width=4",
    "model.discriminator.layers=2",
    "trainer.steps=4",
    "trainer.batch_size=6",
    "trainer.warmup_steps=1",
    "trainer.learning_rate=1e-2",
    "trainer.evaluate_every=1000",
    "trainer.checkpoint_every=2",
    "trainer.device=cpu",
)


def small(*overrides: str) -> Config:
    """Settings of a small model: 16x128 pages of 16 tokens, 24 codes."""
    return load_config(None, [*SETTINGS, *overrides])


def small_vocabulary(subwords: int = 60) -> Vocabulary:
    """The vocabulary of the corpus."""
    return Vocabulary.build(TEXTS, subwords)


def write_corpus(folder: Path, pairs: list[TextPair] | None = None) -> Path:
    """The corpus as Moses files, splits ``train`` and ``val``."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = PAIRS if pairs is None else pairs
    for split, part in (("train", chosen), ("val", chosen[:4])):
        for language, texts in (("de", [p.source for p in part]), ("en", [p.target for p in part])):
            (folder / f"{split}.{language}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return folder


def save_small(folder: Path, config: Config, model: nn.Module | None = None, leave_out: str = "") -> Path:
    """A checkpoint of a small translator, of random weights where none is given, perhaps without one of its modules."""
    vocabulary = small_vocabulary()
    if model is None:
        model = enliven(TranslatotronV(config.model, len(vocabulary), vocabulary.character_count))
    modules = {name: module for name, module in model.named_children() if name != leave_out}
    files = {"config.yaml": to_yaml(config), "vocabulary.json": vocabulary.to_json()}
    save_checkpoint(folder, modules, files, {"step": 0})
    return folder


def assert_same(module: nn.Module, other: nn.Module) -> None:
    """Two modules have the same parameters and buffers to the last bit, those that are not saved too."""
    for kind in ("named_parameters", "named_buffers"):
        tensors, wanted = dict(getattr(module, kind)()), dict(getattr(other, kind)())
        assert tensors.keys() == wanted.keys()
        for name, tensor in tensors.items():
            assert tensor.dtype == wanted[name].dtype and torch.equal(tensor, wanted[name]), name


def enliven(module: nn.Module, seed: int = 0, scale: float = 0.3) -> nn.Module:
    """Random numbers in every parameter, those that start at zero too; evaluation mode."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=scale)
    return module.eval()
