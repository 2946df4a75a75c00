"""Any picture in, any picture out: `Translator.from_pretrained(...)(image) -> Translation(image, text, scores)`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import torch
from einops import rearrange
from PIL import Image

from translatotron_v.arguments import SYSTEMS
from translatotron_v.errors import UserError
from translatotron_v.inference.certainty import CALIBRATION
from translatotron_v.inference.glossary import Glossary, asked_terms
from translatotron_v.inference.loaded import (
    SEPARATOR,
    LoadedTranslator,
    Translation,
    known_language,
    load_translator,
    require_terms,
)
from translatotron_v.inference.pictures import Fitted, count_frames, fit, fit_back, open_picture, to_plain
from translatotron_v.shipped import DEFAULT_WEIGHTS, find_weights

if TYPE_CHECKING:  # these import timm, which takes seconds: only loading a model pays for it
    from translatotron_v.decoding.text import Generated
    from translatotron_v.inference.whole_pages import PageTranslator, SystemMaker

Picture = Image.Image | np.ndarray | str | Path


class Translator:
    """A trained translator that takes pictures of any size and kind."""

    def __init__(
        self,
        loaded: LoadedTranslator,
        generate: "Callable[..., Generated] | None" = None,
        pages: "PageTranslator | None" = None,
        system: str = "end-to-end",
    ) -> None:
        """`generate` stands in for `translatotron_v.decoding.text.generate` (tests, other decoders).

        With `pages` pictures go through it: their blocks are found, translated and put back. Without, a picture is one
        strip, fitted to the model's canvas. `system` names what the pages go through.
        """
        if generate is None:
            from translatotron_v.decoding.text import generate as cached_generate

            generate = cached_generate
        self.loaded, self.system = loaded, system
        self._generate = generate
        self._pages = pages

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = DEFAULT_WEIGHTS,
        device: str = "auto",
        threads: int | None = None,
        precision: str = "fp32",
        system: "SystemMaker | None" = None,
    ) -> "Translator":
        """Load shipped weights by name, or a checkpoint or run folder by path.

        Args:
            device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
            threads: threads of the CPU; None leaves torch's choice.
            precision: "fp32", "bf16" (for GPUs, and CPUs with bfloat16 arithmetic) or "int8" (CPU: about half the time
                and a third of the memory; a few image tokens differ).
            system: what is to take the model's place on whole pages, such as `baselines.baseline(name)`; it needs
                weights that translate them.

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

        loaded = load_translator(folder, device=device, precision=precision)
        has_pages = (loaded.folder / SEPARATOR).is_file()
        if not has_pages:
            if system is not None:
                raise UserError(f"system {system.name} takes weights that translate whole pages, which {folder} do not")
            return cls(loaded)
        from translatotron_v.inference.whole_pages import PageTranslator

        pages = PageTranslator.from_folder(loaded, None if system is None else system(loaded))
        return cls(loaded, pages=pages, system=SYSTEMS[0] if system is None else system.name)

    @property
    def system_folder(self) -> Path | None:
        """Of the weights that a system in the model's place has beside the translator's."""
        return None if self._pages is None else self._pages.system.folder

    @property
    def takes_pages(self) -> bool:
        """Whether it finds blocks of text on whole pictures; otherwise it takes each picture for one strip."""
        return self._pages is not None

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
        beams: int | None = None,
        image_steps: int | None = None,
        top_k: int = 1,
        temperature: float = 1.0,
        seed: int | None = None,
        debug: bool = False,
        glossary: Glossary | str | Path | None = None,
        min_confidence: float = 0.0,
    ) -> list[Translation]:
        """Translate pictures in batches, in their order.

        Args:
            source_language, target_language: the languages it was trained for where none is given.
            batch_size: pictures at a time, by default as the property of that name says; of whole pages, at least
                16 strips go together.
            beams: of the text; 1 is greedy. As the weights' config says where it is not given.
            image_steps: passes that draw a picture by parallel decoding, for weights trained for it; 0 draws token by
                token. As the weights' config says where it is not given, token by token when sampling.
            top_k, temperature, seed: sampling of the image tokens; top_k 1 is greedy.
            debug: keep what the pipeline saw in `Translation.debug`, of weights that translate whole pages.
            glossary: terms and their translations, or the file that holds them; see `Translation.terms`.
            min_confidence: blocks whose translation is right with a smaller probability (score "right") stay as they
                are and say "doubtful"; of calibrated weights that translate whole pages.

        Raises:
            UserError: a picture that cannot be read, a language the model has no tag for, a batch size below 1, image
                steps for weights not trained for them, or more of them than there are tokens; a glossary that cannot
                be read, or for weights that take none; a minimal confidence outside [0, 1], or for weights without
                calibration.
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
        if image_steps and self.system != SYSTEMS[0]:
            raise UserError(f"image steps are for the end-to-end model; the system {self.system} draws token by token")
        if glossary is not None:
            if self.system != SYSTEMS[0]:
                raise UserError(f"a glossary is for the end-to-end model; the system {self.system} takes none")
            require_terms(self.loaded, pictures=True)
            glossary = _as_glossary(glossary)
        self._check_confidence(min_confidence)
        options: dict[str, Any] = {
            **languages,
            "beams": self.loaded.config.model.text_decoder.beams if beams is None else beams,
            "image_steps": image_steps,
            "top_k": top_k,
            "temperature": temperature,
            "seed": seed,
            **({} if glossary is None else {"glossary": glossary}),
            **({"min_confidence": min_confidence} if min_confidence else {}),
        }
        answers: list[Translation] = []
        for start in range(0, len(images), batch_size):
            pictures = [_as_picture(image) for image in images[start : start + batch_size]]
            if self._pages is not None:
                with self.loaded.arithmetic():
                    answers += self._pages.translate(pictures, batch_size, debug, **options)
            else:
                canvas = self.loaded.config.model.canvas
                answers += self._translate_batch([fit(picture, canvas) for picture in pictures], **options)
            for place, picture in enumerate(pictures, start):
                if (frames := count_frames(picture)) > 1:
                    answers[place] = replace(answers[place], frames=frames)
        return answers

    def _check_confidence(self, least: float) -> None:
        """Raises UserError for a minimal confidence that is none, or that nothing tells of."""
        if not 0 <= least <= 1:
            raise UserError(f"minimal confidence must be a probability from 0 to 1, not {least:g}")
        if least and (self._pages is None or self._pages.calibration is None):
            raise UserError(
                f"{self.loaded.folder}: no {CALIBRATION} tells how probable it is that an answer is right, which a "
                "minimal confidence goes by; python evaluate.py calibration makes one for weights that translate whole "
                "pages"
            )

    def translate_texts(
        self,
        texts: Sequence[str],
        *,
        source_language: str | None = None,
        target_language: str | None = None,
        batch_size: int = 64,
        beams: int | None = None,
        glossary: Glossary | str | Path | None = None,
    ) -> list[str]:
        """Translate texts in text mode: sentence by sentence, literals and list markers in place.

        Args:
            texts: lines or paragraphs; lines of a list are parted by line ends.
            source_language, target_language, beams, glossary: as of `translate`.
            batch_size: sentences at a time.

        Raises:
            UserError: weights without text mode, a language the model has no tag for, a number below 1, or a glossary
                that cannot be read, or for weights that take none.
        """
        from translatotron_v.data.marks import strip_marks
        from translatotron_v.data.pairs import fold
        from translatotron_v.inference.answers import text_answers

        settings = self.loaded.config
        given = ["\n".join(fold(strip_marks(line), settings.page) for line in text.splitlines()) for text in texts]
        answers = text_answers(
            self.loaded,
            given,
            target_language or "",
            source_language=source_language or "",
            batch_size=batch_size,
            beams=settings.model.text_decoder.beams if beams is None else beams,
            quiet=True,
            glossary=_as_glossary(glossary),
        )
        return answers.texts

    @torch.inference_mode()
    def _translate_batch(
        self, batch: list[Fitted], glossary: Glossary | None = None, **options: Any
    ) -> list[Translation]:
        if glossary is not None:
            options["insertions"] = glossary.insertions
        pixels = torch.from_numpy(np.stack([fitted.pixels for fitted in batch]))  # (B, H, W, C)
        pixels = rearrange(pixels, "b h w c -> b c h w").to(self.loaded.device)
        with self.loaded.arithmetic():
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
                terms=()
                if glossary is None
                else tuple(asked_terms(glossary.annotate(generated.sources[index]), generated.texts[index])),
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


def _as_glossary(glossary: Glossary | str | Path | None) -> Glossary | None:
    return Glossary.from_file(glossary) if isinstance(glossary, (str, Path)) else glossary


def _as_picture(image: Picture) -> Image.Image:
    if isinstance(image, Image.Image):
        return to_plain(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))):
            raise UserError(f"an array must hold bytes, (height, width[, 3 or 4]), not {image.dtype} {image.shape}")
        return to_plain(Image.fromarray(image))
    return open_picture(image)
