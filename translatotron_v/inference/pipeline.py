"""Any picture in, any picture out: `Translator.from_pretrained(...)(image) -> Translation(image, text, scores)`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from einops import rearrange
from PIL import Image

from translatotron_v.arguments import PRECISIONS
from translatotron_v.config import Config, load_config
from translatotron_v.errors import UserError
from translatotron_v.inference.pictures import Fitted, fit, fit_back, open_picture, to_plain
from translatotron_v.shipped import find_weights

if TYPE_CHECKING:  # the models import timm, which takes seconds: only loading one pays for it
    from translatotron_v.data.vocabulary import Vocabulary
    from translatotron_v.inference.generate import Generated
    from translatotron_v.models.translator import TranslatotronV

Picture = Image.Image | np.ndarray | str | Path

# Geometric means of the token probabilities below which an answer is doubted. Of 128 validation pages, 5 % score under
# .25 in text and 1 % under .97 in image; gibberish and other languages mostly stay under .25, other sizes under .9.
LOW_CONFIDENCE = {"text": 0.25, "image": 0.9}


@dataclass(frozen=True)
class LoadedTranslator:
    """A checkpoint in memory."""

    model: "TranslatotronV"  # in evaluation mode, on its device
    vocabulary: "Vocabulary"
    config: Config
    folder: Path
    precision: str = "fp32"  # one of PRECISIONS

    @property
    def transcribes(self) -> bool:
        """Whether it was trained by SSR, so that its answers begin with a transcript."""
        return bool(self.config.ssr.reader)


TEXT_MODE = ("text_encoder", "text_decoder")  # the modules that translate text


def load_translator(
    folder: str | Path, device: str = "cpu", precision: str = "fp32", text_only: bool = False
) -> LoadedTranslator:
    """Open a checkpoint of the stage `translator`, or the newest one of a run.

    With `text_only` only the modules of text mode are loaded, and a checkpoint of the stage `text` will do; what the
    other modules hold is arbitrary.

    Raises:
        UserError: no checkpoint, one of another stage, format or shape, an unknown precision, or int8 where there are
            no kernels for it.
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision}")
    if precision == "int8" and torch.device(device).type != "cpu":
        raise UserError(f"precision int8 is for the CPU; on {device} take bf16")
    from translatotron_v.training.checkpoint import Unfilled, load_module, read_info, resolve

    folder = resolve(folder)
    read_info(folder)
    config = load_config(folder / "config.yaml")
    if config.stage != "translator" and not (text_only and config.stage == "text"):
        takes = "'text' or 'translator'" if text_only else "'translator'"
        raise UserError(f"{folder}: a checkpoint of the stage {config.stage!r}; translating takes one of {takes}")

    from translatotron_v.data.vocabulary import Vocabulary
    from translatotron_v.models.quantised import can_quantise, quantise
    from translatotron_v.models.translator import TranslatotronV

    if precision == "int8" and not can_quantise():
        raise UserError("precision int8: this build of PyTorch has no kernels for bytes on this CPU; take fp32")
    vocabulary = Vocabulary.from_file(folder / "vocabulary.json")
    with Unfilled():
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


@dataclass(frozen=True)
class BlockTranslation:
    """What became of one block of text on a picture."""

    quad: tuple[tuple[float, float], ...]  # corners in pixels, (x, y), clockwise from the top left of its text
    source_text: str = ""  # what the model read
    text: str = ""  # what the block is meant to say
    scores: dict[str, float] = field(default_factory=dict)  # as of `Translation`
    family: str = ""  # of the font that it was taken for, and drawn in
    size: float = 0.0  # pixels per em
    colour: tuple[int, int, int] = (0, 0, 0)  # of the text
    angle: float = 0.0  # degrees, positive where lines fall towards the right
    left: str = ""  # why it was left as it was; empty where it was translated


@dataclass(frozen=True)
class Translation:
    """What became of one picture."""

    image: Image.Image  # translated, of the source's size
    text: str  # what the picture is meant to say
    source_text: str  # what the model read in the source
    scores: dict[str, float]  # "text" and "image": geometric mean of the token probabilities, in [0, 1]
    blocks: tuple[BlockTranslation, ...] = ()  # in reading order, of weights that translate whole pages
    debug: dict[str, Image.Image] = field(default_factory=dict)  # name -> what the pipeline saw, where it was asked

    @property
    def doubts(self) -> list[str]:
        """The scores that are low enough to warn about; empty for an answer to trust."""
        return [name for name, limit in LOW_CONFIDENCE.items() if self.scores.get(name, 1.0) < limit]


class Translator:
    """A trained translator that takes pictures of any size and kind."""

    def __init__(self, loaded: "LoadedTranslator", generate: "Callable[..., Generated] | None" = None) -> None:
        """`generate` stands in for `translatotron_v.inference.generate.generate` (tests, other decoders)."""
        if generate is None:
            from translatotron_v.inference.generate import generate as cached_generate

            generate = cached_generate
        self.loaded = loaded
        self._generate = generate

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = "tiny",
        device: str = "auto",
        threads: int | None = None,
        precision: str = "fp32",
    ) -> "Translator":
        """Load shipped weights by name, or a checkpoint or run folder by path.

        Args:
            device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
            threads: threads of the CPU; None leaves torch's choice.
            precision: "fp32", "bf16" (for GPUs, and CPUs with bfloat16 arithmetic) or "int8" (CPU: about half the time
                and a third of the memory; a few image tokens differ).

        Raises:
            UserError: no such weights (the message lists what is there), a checkpoint that does not fit, or no such
                device.
        """
        folder = find_weights(name_or_path)
        device = choose_device(device)
        if threads is not None:
            if threads < 1:
                raise UserError(f"threads must be at least 1, not {threads}")
            torch.set_num_threads(threads)

        return cls(load_translator(folder, device=device, precision=precision))

    @property
    def batch_size(self) -> int:
        """Pictures at a time where nothing else is asked for: 64, or fewer where a page has many image tokens.

        On a CPU the shipped model draws nearly twice as many pictures a second in batches of 64 as of 8; a page of the
        paper's size takes a third of a minute by itself.
        """
        rows, columns = self.loaded.config.model.token_grid
        return max(1, min(64, 12288 // (rows * columns)))

    @overload
    def __call__(self, image: Picture, **options: Any) -> Translation: ...
    @overload
    def __call__(self, image: Sequence[Picture], **options: Any) -> list[Translation]: ...

    def __call__(self, image: Picture | Sequence[Picture], **options: Any) -> Translation | list[Translation]:
        """Translate one picture, or several.

        Args:
            image: a Pillow image, an array (height, width[, 3 or 4]) of bytes, a path, or a sequence of them.
            options: see `translate`.
        """
        if isinstance(image, (Image.Image, np.ndarray, str, Path)):
            return self.translate([image], **options)[0]
        return self.translate(image, **options)

    def translate(
        self,
        images: Sequence[Picture],
        *,
        source_language: str | None = None,
        target_language: str | None = None,
        batch_size: int | None = None,
        beams: int = 1,
        image_steps: int | None = None,
        top_k: int = 1,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> list[Translation]:
        """Translate pictures in batches, in their order.

        Args:
            source_language, target_language: the languages it was trained for where none is given.
            batch_size: pictures at a time, by default as the property of that name says.
            beams: of the text; 1 is greedy.
            image_steps: passes that draw a picture by parallel decoding, for weights trained for it; 0 draws token by
                token. As the weights' config says where it is not given, token by token when sampling.
            top_k, temperature, seed: sampling of the image tokens; top_k 1 is greedy.

        Raises:
            UserError: a picture that cannot be read, a language the model has no tag for, a batch size below 1, image
                steps for weights not trained for them, or more of them than there are tokens.
        """
        if batch_size is None:
            batch_size = self.batch_size
        if batch_size < 1:
            raise UserError(f"batch size must be at least 1, not {batch_size}")
        settings = self.loaded.config.data
        languages = {
            "source_language": known_language(self.loaded, source_language or settings.source_language),
            "target_language": known_language(self.loaded, target_language or settings.target_language),
        }
        if image_steps is None:
            image_steps = self.loaded.config.model.image_decoder.passes if top_k == 1 else 0
        if image_steps and not self.loaded.config.loss.masked:
            raise UserError(
                f"{self.loaded.folder}: not trained to draw in {image_steps} passes (loss.masked is 0); take image "
                "steps 0, or tune the weights as configs/tiny/parallel.yaml does"
            )
        answers: list[Translation] = []
        for start in range(0, len(images), batch_size):
            batch = [
                fit(_as_picture(image), self.loaded.config.model.canvas) for image in images[start : start + batch_size]
            ]
            answers += self._translate_batch(
                batch,
                **languages,
                beams=beams,
                image_steps=image_steps,
                top_k=top_k,
                temperature=temperature,
                seed=seed,
            )
        return answers

    @torch.inference_mode()
    def _translate_batch(self, batch: list[Fitted], **options: Any) -> list[Translation]:
        device = next(self.loaded.model.parameters()).device
        pixels = torch.from_numpy(np.stack([fitted.pixels for fitted in batch]))  # (B, H, W, C)
        pixels = rearrange(pixels, "b h w c -> b c h w").to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.loaded.precision == "bf16"):
            generated = self._generate(
                self.loaded.model, self.loaded.vocabulary, pixels, transcribe=self.loaded.transcribes, **options
            )
        drawn = rearrange(generated.pixels.float().cpu(), "b c h w -> b h w c").numpy()
        return [
            Translation(
                image=fit_back(drawn[index], fitted),
                text=generated.texts[index],
                source_text=generated.sources[index],
                scores={
                    "text": math.exp(generated.text_scores[index]),
                    "image": math.exp(generated.image_scores[index]),
                },
            )
            for index, fitted in enumerate(batch)
        ]


def choose_device(name: Literal["auto"] | str = "auto") -> str:
    """The device behind a name; "auto" is a GPU where there is one. Raises UserError where it cannot be used."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=torch.device(name))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0].split(". ")[0]
        raise UserError(f"device {name!r} cannot be used here: {reason}") from None
    return name


def _as_picture(image: Picture) -> Image.Image:
    if isinstance(image, Image.Image):
        return to_plain(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))):
            raise UserError(f"an array must hold bytes, (height, width[, 3 or 4]), not {image.dtype} {image.shape}")
        return to_plain(Image.fromarray(image))
    return open_picture(image)
