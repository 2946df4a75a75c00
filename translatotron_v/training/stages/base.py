"""What all stages share: data, vocabulary, frozen modules, and the weights of earlier runs to start from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translatotron_v import ranks
from translatotron_v.checkpoint import load_module, load_tensors, read_info, resolve
from translatotron_v.config import Config, to_yaml
from translatotron_v.data import pages
from translatotron_v.data.mixture_pages import MixturePages
from translatotron_v.data.page_dataset import MixedDataset, PageDataset
from translatotron_v.data.pages import Batch, Collator
from translatotron_v.data.pairs import TextPair
from translatotron_v.data.parts import SharedBatches
from translatotron_v.data.streamed_pages import ShardSource, StreamedPages
from translatotron_v.data.text_batches import MixtureSource
from translatotron_v.data.vocabulary import PAD, Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.models.image_decoder import ImageDecoder
from translatotron_v.models.layers import EncoderLayer
from translatotron_v.models.text_decoder import CharacterEncoder, CtcHead, TextEncoder
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.models.vit import Block
from translatotron_v.training.protocol import Evaluation

Training = Sequence[TextPair] | MixtureSource | ShardSource  # what a stage is trained on
TEXT_MODE = "text_mode"  # in ``freeze``: no module, but what text mode passes through
TEXT_ONLY = frozenset({pages.SOURCE_PIECES, pages.TARGET_PIECES})  # what a text-only batch holds


class Stage(nn.Module):
    """What all stages share; see ``protocol.TrainableStage`` for how the loop uses it.

    Args:
        config: of the run.
        vocabulary: of the run.
        train, validation: pairs whose pages fit.
    """

    wanted: frozenset[str]
    teachers: tuple[str, ...] = ()  # names in ``start`` of frozen helpers that are not saved
    modules_to_save: Mapping[str, nn.Module]

    def __init__(self, config: Config, vocabulary: Vocabulary, train: Training, validation: list[TextPair]):
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.collator = Collator(config, vocabulary, self.wanted)
        self.dataset: SharedBatches[Batch] = self.make_dataset(train)
        self.validation = pages.plain_samples(validation[: config.data.validation_limit], config)

    def make_translator(self, *parts: str, frozen: Sequence[str] = ()) -> TranslatotronV:
        """A translator of which this stage saves these parts, where it has them, and trains all but the frozen."""
        translator = TranslatotronV(self.config.model, len(self.vocabulary), self.vocabulary.character_count)
        modules = {name: getattr(translator, name) for name in parts}
        self.modules_to_save = {name: module for name, module in modules.items() if module is not None}
        self.freeze(*frozen, *self.config.freeze)
        return translator

    def make_dataset(self, train: Training) -> SharedBatches[Batch]:
        """What is trained on: pages of pairs, or of those drawn from a mixture."""
        if isinstance(train, MixtureSource):
            return MixturePages(train, self.config, self.collator)
        if isinstance(train, ShardSource):
            return StreamedPages(train, self.config, self.collator)
        return PageDataset(train, self.config, self.collator)

    def mix_in_text(self, pairs: Sequence[TextPair]) -> None:
        """Let text-only batches of these pairs take ``data.text_share`` of all batches (arXiv 2503.22577).

        They are whole sentences: a span of words of a source is no translation of one of its target.
        """
        data = replace(self.config.data, spans=0.0, shuffled=0.0, curriculum_steps=0, both_languages=False)
        collator = Collator(self.config, self.vocabulary, TEXT_ONLY)
        text = PageDataset(pairs, replace(self.config, data=data), collator)
        self.dataset = MixedDataset(self.dataset, text, self.config.data.text_share, self.config.trainer.seed)

    def mix_in_untranslated(self, pairs: Sequence[TextPair]) -> None:
        """Let pages with a transcript and no translation take ``ssr.untranslated`` of the batches of pages."""
        untranslated = PageDataset(pairs, self.config, self.collator)
        self.dataset = MixedDataset(
            self.dataset, untranslated, self.config.ssr.untranslated, self.config.trainer.seed + 1
        )

    def optimized(self) -> Mapping[str, list[nn.Parameter]]:
        """Optimizer name -> parameters; one optimizer over all that is not frozen, unless a stage says otherwise."""
        return {"main": trainable(self.parameters())}

    def counts(self, batch: Any) -> Mapping[str, float]:
        """Pieces of source and target, which the losses of text average over, and pages whose font is known.

        Pages are as many in every batch.
        """
        sides = {"source": getattr(batch, "source_output", None), "target": getattr(batch, "target_output", None)}
        found = {name: 0.0 if wanted is None else float((wanted != PAD).sum()) for name, wanted in sides.items()}
        fonts = getattr(batch, "fonts", None)
        return found | {"fonts": 0.0 if fonts is None else float((fonts >= 0).sum())}

    def blocks(self) -> list[nn.Module]:
        """The layers of all encoders; those of decoders lend their attention beside ``forward``."""
        return [module for module in self.modules() if isinstance(module, (EncoderLayer, Block))]

    def after_step(self, step: int) -> None:
        """Nothing to do between steps."""

    def evaluate(self, step: int) -> Evaluation:
        """Score the model on the validation pairs."""
        raise NotImplementedError

    def extra_files(self) -> Mapping[str, str]:
        """What makes the checkpoint open with nothing but its folder."""
        return {"config.yaml": to_yaml(self.config), "vocabulary.json": self.vocabulary.to_json()}

    def validation_batches(
        self, size: int = 32, most: int | None = None, samples: Sequence[pages.Sample] | None = None
    ) -> list[Batch]:
        """The validation pairs, or the first ``most`` or some ``samples`` of them, as batches on the stage's device."""
        device = next(chain(self.parameters(), self.buffers())).device  # a codebook is a buffer
        samples = self.validation[:most] if samples is None else samples
        chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
        return [self.collator(chunk).to(device) for chunk in chunks]

    def own_batches(self, most: int | None = None) -> list[tuple[int, Batch]]:
        """This rank's part of the validation batches, each with the number of its first pair; see ``joined``."""
        samples = self.validation[:most]
        size = max(1, min(32, -(-len(samples) // ranks.count())))
        starts = range(ranks.number() * size, len(samples), ranks.count() * size)
        return [(start, self.validation_batches(size, samples=samples[start : start + size])[0]) for start in starts]

    def freeze(self, *names: str) -> None:
        """Take modules out of training for good: no gradient, and evaluation mode always.

        "text_mode" is the text decoder and what text mode passes through of the text encoder: what remains of that is
        what image mode has to itself.

        Raises:
            UserError: this stage has no such module.
        """
        if TEXT_MODE in names:
            names = tuple(name for name in names if name != TEXT_MODE)
            self.freeze_text_mode()
        for name in names:
            if name not in self.modules_to_save:
                known = ", ".join(self.modules_to_save)
                raise UserError(f"freeze: this stage has no module {name!r}; it has {known}")
        self._frozen = getattr(self, "_frozen", ()) + names
        for name in names:
            self.modules_to_save[name].requires_grad_(False)

    def freeze_text_mode(self) -> None:
        """Leave text mode as it is, to the last bit."""
        encoder, decoder = (self.modules_to_save.get(name) for name in ("text_encoder", "text_decoder"))
        if not isinstance(encoder, TextEncoder) or decoder is None or not encoder.layers:
            raise UserError(f"freeze: this stage has no text mode to freeze; it has {', '.join(self.modules_to_save)}")
        decoder.requires_grad_(False)
        for name, parameter in encoder.named_parameters():
            if not name.startswith(TextEncoder.IMAGE_MODE_ONLY):
                parameter.requires_grad_(False)
        self._frozen = (*getattr(self, "_frozen", ()), "text_decoder", "text_encoder")  # no dropout in either

    def train(self, mode: bool = True) -> "Stage":
        """Training mode for all but the frozen modules."""
        super().train(mode)
        for name in getattr(self, "_frozen", ()):
            self.modules_to_save[name].eval()
        return self

    def load_start(self) -> list[str]:
        """Take the weights that ``start`` names; returns the tensors that keep their random start.

        ``module: RUN`` takes the module of the same name, ``module: RUN#other`` another one.

        Raises:
            UserError: an unknown module, a missing checkpoint, or weights of another shape or vocabulary.
        """
        new: list[str] = []
        for name, origin in self.config.start.items():
            if name in self.teachers:  # no modules of what is trained: the stage loads them itself
                continue
            if name not in self.modules_to_save:
                known = ", ".join(self.modules_to_save)
                raise UserError(f"start.{name}: this stage has no such module; it has {known}")
            new += start_module(
                self.modules_to_save[name],
                name,
                origin,
                self.vocabulary,
                self.config.map_vocabulary,
                self.config.new_codes,
            )
        return new


def trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Those that are not frozen."""
    return [parameter for parameter in parameters if parameter.requires_grad]


def start_module(
    module: nn.Module,
    name: str,
    origin: str,
    vocabulary: Vocabulary,
    map_vocabulary: bool = False,
    new_codes: bool = False,
) -> list[str]:
    """Fill a module from ``RUN`` or ``RUN#module``; tensors that the file lacks keep their start and are returned.

    With ``map_vocabulary`` the weights may belong to another vocabulary: their tables' rows go to the pieces and
    characters of the same name, and those that the other does not know keep their random start. With ``new_codes`` an
    image decoder's tables of codes keep theirs: it may come from another tokenizer.
    """
    path, _, other = origin.partition("#")
    folder = resolve(Path(path))
    read_info(folder)
    theirs = Vocabulary.from_file(folder / "vocabulary.json")
    held = load_tensors(folder / f"{other or name}.safetensors")
    without = ("embedding.weight", "out.weight") if new_codes and isinstance(module, ImageDecoder) else ()
    if theirs != vocabulary and any(isinstance(part, nn.Embedding | CtcHead) for part in module.modules()):
        if not map_vocabulary:
            raise UserError(
                f"start.{name}: {folder} was trained with another vocabulary; set vocabulary={path}, or "
                "map_vocabulary=true to keep what both know"
            )
        load_mapped(module, held, vocabulary, theirs)
    else:
        if not without and isinstance(module, ImageDecoder) and "embedding.weight" in held:
            theirs_codes, codes = len(held["embedding.weight"]), module.embedding.num_embeddings
            if theirs_codes != codes:
                raise UserError(
                    f"start.{name}: {folder} draws with {theirs_codes} codes, this model's tokenizer has {codes}; set "
                    "new_codes=true to begin the tables of codes anew"
                )
        load_module(module, folder, other or name, strict=False, without=without)
    return [f"{name}.{key}" for key in module.state_dict() if key not in held or key in without]


def load_mapped(module: nn.Module, tensors: Mapping[str, Tensor], vocabulary: Vocabulary, theirs: Vocabulary) -> None:
    """Fill a module from tensors of another vocabulary, table by table.

    Raises:
        UserError: a tensor that is no table has another shape.
    """
    state = module.state_dict()
    tables: dict[str, tuple[int, list[str], list[str]]] = {}  # tensor -> rows of one entry, own names, their names
    pieces = (vocabulary.piece_names(), theirs.piece_names())
    characters = (vocabulary.character_names(), theirs.character_names())
    for prefix, part in module.named_modules():
        name = f"{prefix}." if prefix else ""
        if isinstance(part, CharacterEncoder):
            tables[f"{name}embedding.weight"] = (1, *characters)
        elif isinstance(part, CtcHead):  # a row for each frame
            tables |= {f"{name}out.{kind}": (part.frames, *characters) for kind in ("weight", "bias")}
        elif isinstance(part, nn.Embedding) and not name.endswith("font."):
            tables.setdefault(f"{name}weight", (1, *pieces))
    for key, tensor in tensors.items():
        if key not in state:
            continue
        each, own, other = tables.get(key, (0, [], []))
        if each and tensor.shape == (each * len(other), *state[key].shape[1:]):
            places = {entry: place for place, entry in enumerate(other)}
            rows = [(place, places[entry]) for place, entry in enumerate(own) if entry and entry in places]
            mine, from_theirs = (torch.tensor(column) for column in zip(*rows, strict=True))
            target, source = (table.unflatten(0, (each, -1)) for table in (state[key], tensor))
            target[:, mine] = source[:, from_theirs].to(target.dtype)
        elif not each and tensor.shape == state[key].shape:
            state[key].copy_(tensor)
        else:
            raise UserError(
                f"start: {key!r} has shape {tuple(tensor.shape)} in the weights, this model wants "
                f"{tuple(state[key].shape)}"
            )
