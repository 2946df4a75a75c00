"""Any picture in, any picture out: `Translator.from_pretrained(...)(image) -> Translation(image, text, scores)`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from PIL import Image

from translatotron_v.arguments import BASELINES, ONNX
from translatotron_v.decoding.arrays import inference, to_numpy
from translatotron_v.engines.choice import choose_device, choose_engine, set_threads
from translatotron_v.errors import UserError
from translatotron_v.generation_config import TOKENS, WORDS, GenerationConfig, GenerationOptions, check_batch_size
from translatotron_v.inference.certainty import CALIBRATION
from translatotron_v.inference.glossary import Glossary, asked_terms
from translatotron_v.inference.loaded import (
    MATTING,
    LoadedTranslator,
    Translation,
    load_translator,
    require_terms,
)
from translatotron_v.inference.pictures import Fitted, count_frames, fit, fit_back, open_picture, to_plain
from translatotron_v.shipped import DEFAULT_WEIGHTS, find_weights

if TYPE_CHECKING:  # these import timm, which takes seconds: only loading a model pays for it
    from typing_extensions import Unpack

    from translatotron_v.decoding.text import Generated
    from translatotron_v.inference.other_texts import TranslateTexts
    from translatotron_v.inference.whole_pages import BaselineMaker, PageTranslator

Picture = Image.Image | np.ndarray | str | Path


class Translator:
    """A trained translator that takes pictures of any size and kind."""

    def __init__(
        self,
        loaded: LoadedTranslator,
        generate: "Callable[..., Generated] | None" = None,
        pages: "PageTranslator | None" = None,
        baseline: str = "end-to-end",
    ) -> None:
        """`generate` stands in for `translatotron_v.decoding.text.generate` (tests, other decoders).

        With `pages` pictures go through it: their blocks are found, translated and put back. Without, a picture is one
        strip, fitted to the model's canvas. `baseline` names what the pages go through.
        """
        if generate is None:
            from translatotron_v.decoding.text import generate as cached_generate

            generate = cached_generate
        self.loaded, self.baseline = loaded, baseline
        self._generate = generate
        self._pages = pages

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = DEFAULT_WEIGHTS,
        device: str = "auto",
        threads: int | None = None,
        precision: str = "fp32",
        baseline: "BaselineMaker | None" = None,
        translate: "TranslateTexts | None" = None,
        painter: str | Path | None = None,
        engine: str = "auto",
    ) -> "Translator":
        """Load shipped weights by name, a checkpoint or run folder by path, or a model of the Hugging Face Hub by name.

        Args:
            name_or_path: one of the Hub's is `user/model` or `user/model@revision` (see `hub.fetch`).
            device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
            threads: threads of the CPU; None leaves torch's choice, all cores. 1 is best for shipped weights, above all
                where something else keeps a core busy: threads wait for one another, a page takes many times as long.
            precision: "fp32", "bf16" (for GPUs, and CPUs with bfloat16 arithmetic) or "int8" (CPU: about half the time
                and a third of the memory; a few image tokens differ).
            baseline: what is to take the model's place on whole pages, such as `baselines.baseline(name)`; it needs
                weights that translate them.
            translate: what is to translate in the model's place, which still reads, draws and composes: sentences to
                sentences, in order (`other_texts`); it needs weights that translate whole pages, too.
            painter: an ONNX file that fills the ground under text where it is not smooth, such as LaMa's: picture and
                mask in, picture out (see `page.painter`).
            engine: "torch"; "onnx" runs the graphs that lie beside the weights, on a CPU, and needs no PyTorch; "auto"
                is PyTorch where it is installed.

        Raises:
            UserError: no such weights (the message lists what is there), a checkpoint that does not fit, no graphs
                beside it, or no such device or engine.
        """
        folder = find_weights(name_or_path)
        engine = choose_engine(engine)
        device = choose_device(device, engine)
        set_threads(threads, engine)

        if translate is not None:
            if baseline is not None:
                raise UserError("translate and baseline both take the model's place; give one of them")
            from translatotron_v.inference.other_texts import TextsFrom

            baseline = TextsFrom(translate)
        if engine == ONNX and baseline is not None and translate is None:
            raise UserError(f"baseline {baseline.name} takes engine torch")
        loaded = load_translator(folder, device=device, precision=precision, engine=engine, threads=threads)
        has_pages = (loaded.folder / MATTING).is_file()
        if not has_pages:
            if baseline is not None:
                raise UserError(
                    f"baseline {baseline.name} takes weights that translate whole pages, which {folder} do not"
                )
            if painter is not None:
                raise UserError(f"a painter takes weights that translate whole pages, which {folder} do not")
            return cls(loaded)
        from translatotron_v.inference.whole_pages import PageTranslator
        from translatotron_v.page.painter import OnnxPainter

        pages = PageTranslator.from_folder(
            loaded,
            None if baseline is None else baseline(loaded),
            None if painter is None else OnnxPainter(painter),
        )
        return cls(loaded, pages=pages, baseline=BASELINES[0] if baseline is None else baseline.name)

    def save_pretrained(
        self, folder: str | Path, name: str = "", *, license: str = "", overwrite: bool = False
    ) -> None:
        """Write the weights that were loaded, as they were, with a model card where they have none.

        Args:
            name: what the card calls them, by default as the folder.
            license: an identifier such as "apache-2.0" for the card; "": none is stated.
            overwrite: replace a model that stands there.

        Raises:
            UserError: see `publishing.save_folder`.
        """
        from translatotron_v.inference.publishing import save_folder

        save_folder(self.loaded, Path(folder), name or Path(folder).name, license, overwrite)

    def push_to_hub(
        self,
        repository: str,
        *,
        license: str = "",
        private: bool | None = None,
        token: str | None = None,
        message: str = "Weights of translatotron-v",
    ) -> str:
        """Upload the weights that were loaded to the Hugging Face Hub, with a model card where there is none.

        Args:
            repository: `user/model`, made where it is not there yet.
            license: an identifier such as "apache-2.0" for the card; "": none is stated.
            private: whether a new repository is; None: as is usual for the user.
            token: None: the one of `hf auth login` or HF_TOKEN.
            message: of the commit.

        Returns:
            The address of the commit.

        Raises:
            UserError: see `publishing.push`.
        """
        from translatotron_v.inference.publishing import push

        return push(self.loaded, repository, license, private, token, message)

    @property
    def baseline_folder(self) -> Path | None:
        """Of the weights that a baseline in the model's place has beside the translator's."""
        return None if self._pages is None else self._pages.translator.folder

    @property
    def takes_pages(self) -> bool:
        """Whether it finds blocks of text on whole pictures; otherwise it takes each picture for one strip."""
        return self._pages is not None

    @property
    def pages(self) -> "PageTranslator | None":
        """What finds, separates and puts back blocks, of weights that translate whole pages."""
        return self._pages

    @property
    def batch_size(self) -> int:
        """Pictures at a time where nothing else is asked for: 64, or fewer where a page has many image tokens.

        On a CPU the shipped model draws nearly twice as many pictures a second in batches of 64 as of 8; a page of the
        paper's size takes a third of a minute by itself.
        """
        rows, columns = self.loaded.config.model.token_grid
        return max(1, min(64, 12288 // (rows * columns)))

    @property
    def generation(self) -> GenerationConfig:
        """How it answers unless it is asked otherwise: as the weights' config says; baselines draw token by token."""
        own = self.loaded.generation
        return own if self.baseline == BASELINES[0] else replace(own, drawing=TOKENS, image_steps=0)

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a path is a sequence of paths too, but taken for one
        self,
        image: Picture,
        generation: GenerationConfig | None = None,
        *,
        batch_size: int | None = None,
        debug: bool = False,
        **options: "Unpack[GenerationOptions]",
    ) -> Translation: ...
    @overload
    def __call__(
        self,
        image: Sequence[Picture],
        generation: GenerationConfig | None = None,
        *,
        batch_size: int | None = None,
        debug: bool = False,
        **options: "Unpack[GenerationOptions]",
    ) -> list[Translation]: ...

    def __call__(
        self,
        image: Picture | Sequence[Picture],
        generation: GenerationConfig | None = None,
        *,
        batch_size: int | None = None,
        debug: bool = False,
        **options: "Unpack[GenerationOptions]",
    ) -> Translation | list[Translation]:
        """Translate one picture, or several.

        Args:
            image: a Pillow image, an array (height, width[, 3 or 4]) of bytes, a path, or a sequence of them.
            generation, batch_size, debug, options: see `translate`.
        """
        if isinstance(image, (Image.Image, np.ndarray, str, Path)):
            return self.translate([image], generation, batch_size=batch_size, debug=debug, **options)[0]
        return self.translate(image, generation, batch_size=batch_size, debug=debug, **options)

    def translate(
        self,
        images: Sequence[Picture],
        generation: GenerationConfig | None = None,
        *,
        batch_size: int | None = None,
        debug: bool = False,
        clean: bool = False,
        **options: "Unpack[GenerationOptions]",
    ) -> list[Translation]:
        """Translate pictures in batches, in their order.

        Args:
            generation: how to answer, by default as the weights say (the property of that name).
            batch_size: pictures at a time, by default as the property of that name says; of whole pages, at least
                16 strips go together.
            debug: keep what the pipeline saw in `Translation.debug`, of weights that translate whole pages.
            clean: of those, keep pictures without the text that was translated in `Translation.clean`.
            options: fields of `GenerationConfig` instead of those of `generation`, such as `beams=4`; None leaves one
                as it is. The glossary may be the file that holds it. Blocks under `min_confidence` (score "right") stay
                as they are and say "doubtful".

        Raises:
            UserError: a picture that cannot be read, a value out of its range, a language the model has no tag for, a
                batch size below 1, image steps for weights not trained for them, or more of them than there are
                tokens; a glossary that cannot be read, or for weights that take none; a minimal confidence for weights
                without calibration.
        """
        if batch_size is None:
            batch_size = self.batch_size
        check_batch_size(batch_size)
        generation = self._asked(generation, options)
        self._check(generation, clean)
        answers: list[Translation] = []
        for start in range(0, len(images), batch_size):
            pictures = [_as_picture(image) for image in images[start : start + batch_size]]
            if self._pages is not None:
                with self.loaded.arithmetic():
                    answers += self._pages.translate(pictures, batch_size, generation, debug, clean)
            else:
                canvas = self.loaded.config.model.canvas
                answers += self._translate_batch([fit(picture, canvas) for picture in pictures], generation)
            for place, picture in enumerate(pictures, start):
                if (frames := count_frames(picture)) > 1:
                    answers[place] = replace(answers[place], frames=frames)
        return answers

    def _asked(self, generation: GenerationConfig | None, options: GenerationOptions) -> GenerationConfig:
        """The options of a call: complete, in their ranges, and with the glossary that a file holds."""
        if isinstance(glossary := options.get("glossary"), (str, Path)):
            options["glossary"] = Glossary.from_file(glossary)
        return self.loaded.complete((generation or self.generation).updated(**options))

    def _check(self, generation: GenerationConfig, clean: bool = False) -> None:
        """Raises UserError for what these weights cannot do."""
        if clean and self._pages is None:
            raise UserError(f"{self.loaded.folder}: these weights translate no whole pages, and clean none")
        if generation.image_steps and not self.loaded.config.loss.masked:
            raise UserError(
                f"{self.loaded.folder}: not trained to draw in {generation.image_steps} passes (loss.masked is 0); "
                "take image steps 0, or tune the weights as configs/tiny/parallel.yaml does"
            )
        if generation.drawing == WORDS and not self.loaded.config.loss.words:
            raise UserError(
                f"{self.loaded.folder}: not trained to draw word by word (loss.words is 0); take drawing tokens, or "
                "train them on as configs/small/teacher2.yaml does"
            )
        if generation.drawing == WORDS and self.baseline != BASELINES[0]:
            raise UserError(f"drawing words is for the end-to-end model; the baseline {self.baseline} takes tokens")
        if generation.image_steps and self.baseline != BASELINES[0]:
            raise UserError(
                f"image steps are for the end-to-end model; the baseline {self.baseline} draws token by token"
            )
        if generation.glossary is not None:
            if self.baseline != BASELINES[0]:
                raise UserError(f"a glossary is for the end-to-end model; the baseline {self.baseline} takes none")
            require_terms(self.loaded, pictures=True)
        if generation.numbers_for:
            require_terms(self.loaded, pictures=True, what="localized numbers")
        if generation.min_confidence and (self._pages is None or self._pages.calibration is None):
            raise UserError(
                f"{self.loaded.folder}: no {CALIBRATION} tells how probable it is that an answer is right, which a "
                "minimal confidence goes by; python evaluate.py calibration makes one for weights that translate whole "
                "pages"
            )

    def translate_texts(
        self,
        texts: Sequence[str],
        generation: GenerationConfig | None = None,
        *,
        batch_size: int = 64,
        **options: "Unpack[GenerationOptions]",
    ) -> list[str]:
        """Translate texts in text mode: sentence by sentence, literals and list markers in place.

        Args:
            texts: lines or paragraphs; lines of a list are parted by line ends.
            generation, options: as of `translate`; those of pictures mean nothing here.
            batch_size: sentences at a time.

        Raises:
            UserError: weights without text mode, a language the model has no tag for, a value out of its range, or a
                glossary that cannot be read, or for weights that take none.
        """
        from translatotron_v.data.marks import strip_marks
        from translatotron_v.data.pairs import fold
        from translatotron_v.inference.answers import text_answers

        settings = self.loaded.config
        given = ["\n".join(fold(strip_marks(line), settings.page) for line in text.splitlines()) for text in texts]
        return text_answers(
            self.loaded, given, self._asked(generation, options), batch_size=batch_size, quiet=True
        ).texts

    @inference
    def _translate_batch(self, batch: list[Fitted], generation: GenerationConfig) -> list[Translation]:
        glossary = generation.glossary
        pixels = np.stack([fitted.pixels for fitted in batch]).transpose(0, 3, 1, 2)  # (B, C, H, W)
        pixels = self.loaded.model.array(np.ascontiguousarray(pixels))
        with self.loaded.arithmetic():
            generated = self._generate(self.loaded.model, self.loaded.vocabulary, pixels, generation)
        drawn = to_numpy(generated.pixels).transpose(0, 2, 3, 1)
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


def _as_picture(image: Picture) -> Image.Image:
    if isinstance(image, Image.Image):
        return to_plain(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))):
            raise UserError(f"an array must hold bytes, (height, width[, 3 or 4]), not {image.dtype} {image.shape}")
        return to_plain(Image.fromarray(image))
    return open_picture(image)
