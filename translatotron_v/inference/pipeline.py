"""Any picture in, any picture out: `Translator.from_pretrained(...)(image) -> Translation(image, text, scores)`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from einops import rearrange
from PIL import Image

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
    precision: str = "fp32"  # or "bf16" autocast

    @property
    def transcribes(self) -> bool:
        """Whether it was trained by SSR, so that its answers begin with a transcript."""
        return bool(self.config.ssr.reader)


def load_translator(folder: str | Path, device: str = "cpu", precision: str = "fp32") -> LoadedTranslator:
    """Open a checkpoint of the stage `translator`, or the newest one of a run.

    Raises:
        UserError: no checkpoint, one of another stage, format or shape, or an unknown precision.
    """
    if precision not in ("fp32", "bf16"):
        raise UserError(f"precision must be fp32 or bf16, not {precision}")
    from translatotron_v.training.checkpoint import load_module, read_info, resolve

    folder = resolve(folder)
    read_info(folder)
    config = load_config(folder / "config.yaml")
    if config.stage != "translator":
        raise UserError(f"{folder}: a checkpoint of the stage {config.stage!r}; translating takes one of 'translator'")

    from translatotron_v.data.vocabulary import Vocabulary
    from translatotron_v.models.translator import TranslatotronV

    vocabulary = Vocabulary.from_file(folder / "vocabulary.json")
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count)
    for name, module in model.named_children():
        load_module(module, folder, name)
    return LoadedTranslator(model.eval().to(device), vocabulary, config, folder, precision)


def known_language(loaded: LoadedTranslator, language: str) -> str:
    """The language, if the model has a tag for it; raises UserError with those that it has."""
    known = loaded.config.model.vocabulary.languages
    if language not in known:
        raise UserError(f"language {language!r}: this model knows {', '.join(known)}")
    return language


@dataclass(frozen=True)
class Translation:
    """What became of one picture."""

    image: Image.Image  # translated, of the source's size
    text: str  # what the picture is meant to say
    source_text: str  # what the model read in the source
    scores: dict[str, float]  # "text" and "image": geometric mean of the token probabilities, in [0, 1]

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
            precision: "fp32" or "bf16".

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
        batch_size: int = 8,
        beams: int = 1,
        top_k: int = 1,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> list[Translation]:
        """Translate pictures in batches, in their order.

        Args:
            source_language, target_language: the languages it was trained for where none is given.
            beams: of the text; 1 is greedy.
            top_k, temperature, seed: sampling of the image tokens; top_k 1 is greedy.

        Raises:
            UserError: a picture that cannot be read, a language the model has no tag for, or a batch size below 1.
        """
        if batch_size < 1:
            raise UserError(f"batch size must be at least 1, not {batch_size}")
        settings = self.loaded.config.data
        languages = {
            "source_language": known_language(self.loaded, source_language or settings.source_language),
            "target_language": known_language(self.loaded, target_language or settings.target_language),
        }
        answers: list[Translation] = []
        for start in range(0, len(images), batch_size):
            batch = [
                fit(_as_picture(image), self.loaded.config.model.canvas) for image in images[start : start + batch_size]
            ]
            answers += self._translate_batch(
                batch, **languages, beams=beams, top_k=top_k, temperature=temperature, seed=seed
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
