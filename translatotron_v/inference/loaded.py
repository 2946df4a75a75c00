"""A checkpoint in memory, and what a translator hands back."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from translatotron_v.arguments import ENGINES, ONNX, PRECISIONS, TORCH
from translatotron_v.config import Config, load_config
from translatotron_v.data.marks import TERM_CLOSE, TERM_IS, TERM_OPEN
from translatotron_v.errors import UserError, building_a_model
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.certainty import RIGHT
from translatotron_v.inference.glossary import Term

if TYPE_CHECKING:  # the models import timm, which takes seconds: only loading one pays for it
    import torch

    from translatotron_v.data.vocabulary import Vocabulary
    from translatotron_v.models.translator import TranslatotronV

# Geometric means of the token probabilities below which an answer is doubted. Of 128 validation pages, 5 % score under
# .25 in text and 1 % under .97 in image; gibberish and other languages mostly stay under .25, other sizes under .9.
# Where calibration tells how probable it is that the text is right, what is more likely wrong is doubted instead.
LOW_CONFIDENCE = {RIGHT: 0.5, "text": 0.25, "image": 0.9}


@dataclass(frozen=True)
class LoadedTranslator:
    """A checkpoint in memory."""

    model: "TranslatotronV"  # in evaluation mode, on its device
    vocabulary: "Vocabulary"
    config: Config
    folder: Path
    precision: str = "fp32"  # one of PRECISIONS
    engine: str = TORCH  # one of ENGINES; of another one the model offers what decoding asks for, and nothing else
    threads: int | None = None  # of the CPU that another engine was loaded for; None: its own choice

    @property
    def transcribes(self) -> bool:
        """Whether it was trained by SSR, so that its answers begin with a transcript."""
        return bool(self.config.ssr.reader)

    @property
    def generation(self) -> GenerationConfig:
        """How it answers unless it is asked otherwise: what its config says."""
        data, model = self.config.data, self.config.model
        return GenerationConfig(
            source_language=data.source_language,
            target_language=data.target_language,
            beams=model.text_decoder.beams,
            drawing=model.image_decoder.drawing,
            image_steps=model.image_decoder.passes,
            redraws=model.image_decoder.redraws,
            transcribe=self.transcribes,
        )

    def complete(self, generation: GenerationConfig) -> GenerationConfig:
        """The same options with the languages of training where none is named.

        Raises:
            UserError: a language that the model has no tag for; the message names those that it has.
        """
        own = self.config.data
        return replace(
            generation,
            source_language=known_language(self, generation.source_language or own.source_language),
            target_language=known_language(self, generation.target_language or own.target_language),
        )

    @property
    def device(self) -> "torch.device":
        """Where the model is."""
        return next(self.model.parameters()).device

    def arithmetic(self) -> AbstractContextManager[None]:
        """A context of the precision that it was loaded for."""
        if self.precision != "bf16":
            return nullcontext()
        import torch

        return torch.autocast(self.device.type, torch.bfloat16)


MATTING = "matting.safetensors"  # what comes with weights that translate whole pages
TEXT_MODE = ("text_encoder", "text_decoder")  # the modules that translate text


def load_translator(
    folder: str | Path,
    device: str = "cpu",
    precision: str = "fp32",
    text_only: bool = False,
    engine: str = TORCH,
    threads: int | None = None,
) -> LoadedTranslator:
    """Open a checkpoint of the stage `translator`, or the newest one of a run.

    With `text_only` only the modules of text mode are loaded, and a checkpoint of the stage `text` will do; what the
    other modules hold is arbitrary.

    Args:
        engine, threads: see ``LoadedTranslator``; of PyTorch, threads are set for all of it (``pipeline``).

    Raises:
        UserError: no checkpoint, one of another stage, format or shape, an unknown precision, or int8 where there are
            no kernels for it.
    """
    if engine not in ENGINES:
        raise UserError(f"engine must be one of {', '.join(ENGINES)}, not {engine}")
    if precision not in PRECISIONS:
        raise UserError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision}")
    if precision == "int8" and not device.startswith("cpu"):
        raise UserError(f"precision int8 is for the CPU; on {device} take bf16")
    from translatotron_v.checkpoint import read_info, resolve

    folder = resolve(folder)
    read_info(folder)
    config = load_config(folder / "config.yaml")
    if config.stage != "translator" and not (text_only and config.stage == "text"):
        takes = "'text' or 'translator'" if text_only else "'translator'"
        raise UserError(f"{folder}: a checkpoint of the stage {config.stage!r}; translating takes one of {takes}")

    from translatotron_v.data.vocabulary import Vocabulary

    vocabulary = Vocabulary.from_file(folder / "vocabulary.json")
    if engine == ONNX:
        if precision == "bf16":
            raise UserError("precision bf16 is for PyTorch; with engine onnx take fp32, or int8")
        if config.model.reading != "hard":
            raise UserError(f"{folder}: engine onnx has no soft bridge (model.reading); take engine torch")
        from translatotron_v.engines.runtime import OnnxTranslator

        graphs: Any = OnnxTranslator(folder, config.model, threads, quantised=precision == "int8")
        return LoadedTranslator(graphs, vocabulary, config, folder, precision, engine, threads)

    from translatotron_v.checkpoint import load_module, skip_init
    from translatotron_v.models.quantised import can_quantise, quantise
    from translatotron_v.models.translator import TranslatotronV

    if precision == "int8" and not can_quantise():
        raise UserError("precision int8: this build of PyTorch has no kernels for bytes on this CPU; take fp32")
    with building_a_model(), skip_init():
        model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count)
    for name, module in model.named_children():
        if name in TEXT_MODE or not text_only:
            load_module(module, folder, name)
    model = model.eval().to(device)
    if precision == "int8":
        quantise(model)
    return LoadedTranslator(model, vocabulary, config, folder, precision)


def known_language(loaded: LoadedTranslator, language: str) -> str:
    """The language, if the model has a tag for it; raises UserError with those that it has."""
    known = loaded.config.model.vocabulary.languages
    if language not in known:
        raise UserError(f"language {language!r}: this model knows {', '.join(known)}")
    return language


def require_terms(loaded: LoadedTranslator, pictures: bool = False, what: str = "glossary") -> None:
    """Raises UserError for weights that take no glossary, as texts or (with ``pictures``) on pictures.

    ``what`` else needs the same: a text mode with marks that stand for something in a text.
    """
    if not all(map(loaded.vocabulary.knows, (TERM_OPEN, TERM_IS, TERM_CLOSE))):
        raise UserError(
            f"{loaded.folder}: these weights take no {what}; it takes some whose text mode was trained with marks "
            "(model.vocabulary.marks)"
        )
    if pictures and loaded.config.model.connector != "read":
        raise UserError(
            f"{loaded.folder}: on pictures these weights take no {what}, as they translate without reading first "
            "(model.connector is not read)"
        )


def require_text_mode(loaded: LoadedTranslator) -> None:
    """Raises UserError for a checkpoint without a source-text encoder (the paper's size)."""
    if not loaded.config.model.text_encoder.layers:
        raise UserError(
            f"{loaded.folder}: no text mode: model.text_encoder.layers is 0; take a checkpoint trained with 1 or more"
        )


@dataclass(frozen=True)
class BlockTranslation:
    """What became of one block of text on a picture."""

    quad: tuple[tuple[float, float], ...]  # corners in pixels, (x, y), clockwise from the top left of its text
    source_text: str = ""  # what the model read
    text: str = ""  # what the block is meant to say
    scores: dict[str, float] = field(default_factory=dict)  # as of `Translation`, and "reading"
    font: str = ""  # of the font that it was taken for, and drawn in
    size: float = 0.0  # pixels per em
    colour: tuple[int, int, int] = (0, 0, 0)  # of the text
    angle: float = 0.0  # degrees, positive where lines fall towards the right
    language: str = ""  # that it was taken for; empty where nothing tells
    skip_reason: str = ""  # why it was left as it was; empty where it was translated
    terms: tuple[Term, ...] = ()  # what a glossary asked for
    unwritable: tuple[str, ...] = ()  # characters of the translation that the model cannot draw
    rows: tuple[tuple[tuple[tuple[float, float], ...], ...], ...] = ()  # for each row the quads of its lines
    alignment: str = "left"  # of its rows
    weight: float = 0.0  # ems, width of its stems; 0 where that is not known
    words: tuple[tuple[tuple[float, float], ...], ...] = ()  # quads of the words that were drawn


@dataclass(frozen=True)
class Translation:
    """What became of one picture."""

    image: Image.Image  # translated, of the source's size
    text: str  # what the picture is meant to say
    source_text: str  # what the model read in the source
    # "text" and "image": geometric mean of the token probabilities, in [0, 1]; of calibrated weights also "right": how
    # probable it is that the text is right. Of several blocks, that of the worst.
    scores: dict[str, float]
    blocks: tuple[BlockTranslation, ...] = ()  # in reading order, of weights that translate whole pages
    debug: dict[str, Image.Image] = field(default_factory=dict)  # name -> what the pipeline saw, where it was asked
    terms: tuple[Term, ...] = ()  # what a glossary asked for, and whether `text` has it
    frames: int = 1  # or pages that the source has; the first is translated
    turns: int = 0  # quarters against the clock by which the picture was turned to be read
    clean: Image.Image | None = None  # without the text that was translated, where it was asked for

    @property
    def low_confidence(self) -> list[str]:
        """The scores that are low enough to warn about; empty for an answer to trust."""
        low = [name for name, limit in LOW_CONFIDENCE.items() if self.scores.get(name, 1.0) < limit]
        return [name for name in low if name != "text" or RIGHT not in self.scores]
