"""The opponents: reading, translating and drawing one after the other, and pixels to pixels.

They take the place of the model between the blocks of a page and the words that are put back (`whole_pages.System`), so
that a comparison with it is about nothing else: lines, separation and composing are the same for all.

A cascade reads by our CTC reader or by rapidocr, translates by text mode, and draws by a text-to-image model or by
typesetting on the erased background. Image-to-text translation (TIT) takes the first two steps in one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data_synth.typeset import Face, load_face
from translatotron_v.arguments import SYSTEMS
from translatotron_v.config import Config, load_config
from translatotron_v.data.pages import pad
from translatotron_v.data.pairs import fold
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig
from translatotron_v.inference.drawing import generate_image
from translatotron_v.inference.generate import DecodedText, drawing_mask, generate_answer, look, translate_pieces
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.paragraphs import Item, batches, pixels_of, read_paragraphs, sentences
from translatotron_v.inference.whole_pages import System, Work
from translatotron_v.models.baselines import PixelToPixel
from translatotron_v.models.image_tokenizer import make_tokenizer
from translatotron_v.models.teacher import TextToImage
from translatotron_v.ocr import Reader, TextBox, box_from_bounds, boxes_to_text, make_reader
from translatotron_v.page.strips import EM, LINE, LINES, MARGIN, WIDTH, Run, Strip, cut_lines, frame, pack, words_of
from translatotron_v.training.checkpoint import load_module, read_info, resolve

TEXT_TO_IMAGE = "runs/small/text_to_image"  # where `make text-to-image` leaves what draws,
PIXELS = "runs/small/pixels"  # and `make pixels` the baseline
_NEAR = 1.0  # ems from a block up to which what rapidocr reads belongs to it
_WIDTHS = 2.0  # what a width that is wrong by so much (log) counts beside coverage that differs by a share of the ink
_FALLBACK = "DejaVuSans"  # the font of words for which the block's own lacks a glyph


class Translated(NamedTuple):
    """A sentence, and the mean log-probability (nats) of its pieces."""

    text: str
    score: float


class Drawer(Protocol):
    """What turns a translation into words to put back."""

    @property
    def folder(self) -> Path | None:
        """Of its weights, where it has any."""
        ...

    def draw(self, works: Sequence[Work], batch_size: int, generation: GenerationConfig = AS_TRAINED) -> None:
        """Fill words and image scores from the translations of paragraphs, in place."""
        ...


def make_system(name: str, loaded: LoadedTranslator, weights: str | Path = "") -> System:
    """An opponent by its name.

    Args:
        name: one of `SYSTEMS` but the first.
        loaded: weights that translate whole pages; they lend reader, translator and vocabulary.
        weights: run of the text-to-image or pixel model; `TEXT_TO_IMAGE` or `PIXELS` where not given.

    Raises:
        UserError: an unknown name, or weights that are missing or belong to other settings.
    """
    if name not in SYSTEMS[1:]:
        raise UserError(f"system {name!r}: choose one of {', '.join(SYSTEMS)}")
    if name == "pixels":
        return Pixels.from_folder(weights or PIXELS, loaded)
    _, reads, draws = name.split("-")
    drawer = TextToImageDrawer.from_folder(weights or TEXT_TO_IMAGE, loaded) if draws == "draw" else Typesetter(loaded)
    reader = make_reader("rapidocr") if reads == "rapidocr" else None
    return Cascade(loaded, drawer, reader, through_text=reads != "tit")


class Cascade:
    """Reads, translates and draws, each step knowing of the one before it nothing but its text.

    Args:
        loaded: lends text mode and, unless there is a `reader`, its CTC reader.
        drawer: draws.
        reader: an OCR engine.
        through_text: translate what was read by text mode; otherwise image to text, from the strips.
    """

    reads: ClassVar[bool] = True

    def __init__(
        self, loaded: LoadedTranslator, drawer: Drawer, reader: Reader | None = None, through_text: bool = True
    ) -> None:
        self.loaded, self.drawer, self.reader, self.through_text = loaded, drawer, reader, through_text
        self.folder = drawer.folder

    def read(self, pages: Sequence[np.ndarray], works: Sequence[Sequence[Work]], batch_size: int) -> None:
        """See `System.read`."""
        if self.reader is None:
            read_paragraphs(self.loaded, [work.paragraph for page in works for work in page], batch_size)
            return
        for page, blocks in zip(pages, works, strict=True):
            if blocks:
                assign_boxes(blocks, self.reader.read(page))
            for work in blocks:
                work.paragraph.text = fold(work.paragraph.text, self.loaded.config.page)
                work.paragraph.family = nearest_family(work.paragraph.runs, work.paragraph.text, self.loaded.config)

    def translate(
        self,
        works: Sequence[Work],
        batch_size: int,
        generation: GenerationConfig,
    ) -> None:
        """See `System.translate`; ``image_steps`` are for the end-to-end model alone."""
        step = self._from_text if self.through_text else self._from_strips
        for work, translated in zip(works, step(works, batch_size, generation), strict=True):
            work.paragraph.translations = [sentence.text for sentence in translated]
            work.paragraph.scores = [{"text": sentence.score} for sentence in translated]
        self.drawer.draw(works, batch_size, generation)

    def _from_text(
        self, works: Sequence[Work], batch_size: int, generation: GenerationConfig
    ) -> list[list[Translated]]:
        """Text mode on what was read, sentence by sentence."""
        model, vocabulary = self.loaded.model, self.loaded.vocabulary
        longest = self.loaded.config.model.text_encoder.max_length - 1
        asked = [
            (number, pieces)
            for number, work in enumerate(works)
            for sentence in sentences_of(work.paragraph.text)
            for pieces in _short_enough(sentence, vocabulary, longest)
        ]
        answer = partial(
            translate_pieces,
            model,
            vocabulary,
            target_language=generation.target_language,
            beams=generation.beams,
        )
        return _in_batches(answer, asked, len(works), batch_size)

    def _from_strips(
        self, works: Sequence[Work], batch_size: int, generation: GenerationConfig
    ) -> list[list[Translated]]:
        """Image to text: what the model writes before it would draw."""
        model, vocabulary = self.loaded.model, self.loaded.vocabulary

        def answer(strips: Sequence[Strip]) -> DecodedText:
            with torch.inference_mode():
                seen = look(model, vocabulary, pixels_of(strips).to(self.loaded.device))
            return generate_answer(model, vocabulary, seen, replace(generation, transcribe=False))

        asked = [(number, strip) for number, work in enumerate(works) for strip in work.paragraph.sentences]
        return _in_batches(answer, asked, len(works), batch_size)


class TextToImageDrawer:
    """Draws by the text-to-image model that is the translator's teacher (paper, section 3.4), with the source's layout.

    Of whole pages the layout is that of the block, where the words go; a teacher with a layout encoder sees the block's
    first strip besides.
    """

    def __init__(
        self, model: TextToImage, tokenizer: Any, config: Config, vocabulary: Vocabulary, folder: Path
    ) -> None:
        self.model, self.tokenizer, self.config, self.vocabulary = model, tokenizer, config, vocabulary
        self.folder = folder

    @classmethod
    def from_folder(cls, folder: str | Path, loaded: LoadedTranslator) -> "TextToImageDrawer":
        """From a run of the stage `teacher`, for the vocabulary and the strips of a translator.

        Raises:
            UserError: it is missing, of another stage, or was trained for another vocabulary, canvas or fonts.
        """
        path, config = _open(folder, "teacher", "make text-to-image", loaded)
        vocabulary = Vocabulary.from_file(path / "vocabulary.json")
        if vocabulary != loaded.vocabulary or config.model.families != loaded.config.model.families:
            raise UserError(f"{path}: was trained with another vocabulary or other fonts than {loaded.folder}")
        model = TextToImage(config.model, vocabulary.character_count)
        for name in ("encoder", "decoder", "layout"):
            if (part := getattr(model, name)) is not None:
                load_module(part, path, f"teacher_{name}")
        tokenizer = make_tokenizer(config.model.tokenizer, config.model.canvas)
        load_module(tokenizer, path, "image_tokenizer")
        model, tokenizer = model.eval().to(loaded.device), tokenizer.eval().to(loaded.device)
        return cls(model, tokenizer, config, vocabulary, path)

    @torch.inference_mode()
    def draw(self, works: Sequence[Work], batch_size: int, generation: GenerationConfig = AS_TRAINED) -> None:
        """See `Drawer.draw`."""
        asked = [
            (work, part)
            for work in works
            for text in work.paragraph.translations
            for part in parts_of(text, work.paragraph.family, self.config)
        ]
        for batch in batches(asked, batch_size):
            ids, scores = self._tokens(batch, generation)
            drawn = 1 - self.tokenizer.decode_from_ids(ids).float().mean(1).cpu().numpy()  # (B, H, W)
            for (work, part), ink, score in zip(batch, drawn, scores, strict=True):
                work.paragraph.drawn.append(ink)
                work.paragraph.words += words_of(ink, len(part.split()))
                work.paragraph.scores.append({"image": score})

    def _tokens(self, batch: Sequence[tuple[Work, str]], generation: GenerationConfig) -> tuple[Tensor, list[float]]:
        """Image tokens (B, N) of texts, and their mean log-probability (nats)."""
        device = next(self.model.parameters()).device
        longest = self.config.model.teacher_encoder.max_length
        characters = pad([self.vocabulary.encode_characters(text)[:longest] for _, text in batch]).to(device)
        families, pixels = None, None
        if known := self.config.model.families:
            families = torch.tensor([known.index(work.paragraph.family) for work, _ in batch]).to(device)
        if self.model.layout is not None:
            pixels = pixels_of([pack(work.paragraph.runs)[0] for work, _ in batch]).to(device)
        mask = drawing_mask(characters)
        states = self.model.states(characters, mask, pixels, families)
        return generate_image(self.model.decoder, states, mask, generation=generation)


class Typesetter:
    """Sets translations in the nearest font at the size they will have; no network takes part.

    What stood there is taken off, and colour and place are chosen, when the words are put back (`page.compose`).
    """

    folder: ClassVar[Path | None] = None

    def __init__(self, loaded: LoadedTranslator) -> None:
        self.config = loaded.config

    def draw(self, works: Sequence[Work], batch_size: int, generation: GenerationConfig = AS_TRAINED) -> None:
        """See `Drawer.draw`; sampling means nothing here."""
        for work in works:
            paragraph = work.paragraph
            font = paragraph.family or self.config.page.fonts[0]
            paragraph.words = [partial(set_word, word, font) for word in paragraph.translation.split()]
            paragraph.scores += [{"image": 0.0}]  # what is set is what was meant


class Pixels:
    """Pixels to pixels, without any text: strips in, strips out (`models.baselines`)."""

    reads: ClassVar[bool] = False

    def __init__(self, model: PixelToPixel, folder: Path) -> None:
        self.model, self.folder = model, folder

    @classmethod
    def from_folder(cls, folder: str | Path, loaded: LoadedTranslator) -> "Pixels":
        """From a run of the stage `pixels`; raises UserError where it is missing or for strips of another size."""
        path, config = _open(folder, "pixels", "make pixels", loaded)
        model = PixelToPixel(config.model.pixels, config.model.canvas)
        load_module(model, path, "pixels")
        return cls(model.eval().to(loaded.device), path)

    def read(self, pages: Sequence[np.ndarray], works: Sequence[Sequence[Work]], batch_size: int) -> None:
        """Nothing is read."""

    @torch.inference_mode()
    def translate(self, works: Sequence[Work], batch_size: int, generation: GenerationConfig) -> None:
        """See `System.translate`; languages are those of training, and nothing is sampled."""
        asked = [(work, strip) for work in works for strip in pack(work.paragraph.runs)]
        device = next(self.model.parameters()).device
        for batch in batches(asked, batch_size):
            drawn = self.model.generate(pixels_of([strip for _, strip in batch]).to(device))
            for (work, _), ink in zip(batch, 1 - drawn.float().mean(1).cpu().numpy(), strict=True):
                work.paragraph.drawn.append(ink)
                lines = [ink[row * LINE : (row + 1) * LINE] for row in range(LINES)]
                work.paragraph.words += [run.ink for run in cut_lines(lines)]


def _in_batches(
    answer: Callable[[list[Item]], DecodedText], asked: Sequence[tuple[int, Item]], count: int, batch_size: int
) -> list[list[Translated]]:
    """Answers to what was asked for each of `count` works, whose numbers come with the questions."""
    answers: list[list[Translated]] = [[] for _ in range(count)]
    for batch in batches(asked, batch_size):
        made = answer([item for _, item in batch])
        for (number, _), text, score in zip(batch, made.texts, made.scores, strict=True):
            answers[number].append(Translated(text, score))
    return answers


def assign_boxes(works: Sequence[Work], boxes: Sequence[TextBox]) -> None:
    """Give each block of a page the text of the boxes that lie on it or near it, and the mean of their scores."""
    own: list[list[TextBox]] = [[] for _ in works]
    for box in boxes:
        placed = [work.crop.to_crop(box.polygon) for work in works]
        distances = [_distance(work, bounds) for work, bounds in zip(works, placed, strict=True)]
        nearest = int(np.argmin(distances))
        if distances[nearest] <= _NEAR:
            own[nearest].append(box_from_bounds(*placed[nearest], box.text, box.score))
    for work, found in zip(works, own, strict=True):
        work.paragraph.text = boxes_to_text(found)
        letters = sum(len(box.text) for box in found)
        if letters:
            sure = sum(math.log(max(box.score, 1e-6)) * len(box.text) for box in found)
            work.paragraph.reading = sure / letters


def _distance(work: Work, bounds: tuple[float, float, float, float]) -> float:
    """From the middle of a box in a block's crop to the block's rows, ems; 0 on them."""
    x, y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    gaps = [
        math.hypot(max(left - x, 0.0, x - right), max(top - y, 0.0, y - bottom))
        for left, top, right, bottom in work.crop.rows
    ]
    return min(gaps) / work.setting.em


def nearest_family(runs: Sequence[Run], text: str, config: Config) -> str:
    """The font of the model's families in which a text, set word by word, looks most like the ink of a block.

    The widths of all words together are compared and, where there are as many words as runs of ink, each word's
    coverage, brought to the width of its run: a block's size is known to a few percent only. Otherwise all their ink
    together. "" where the model knows one font.
    """
    families = config.model.families
    if not families:
        return ""
    words = text.split()
    if not words or not runs:
        return families[0]

    def unlike(family: str) -> float:
        made = [set_word(word, family, bearing=False) for word in words]
        ink = sum(float(run.ink.sum()) for run in runs)
        widths = abs(math.log(sum(word.shape[1] for word in made) / sum(run.width for run in runs)))
        if len(made) == len(runs):
            apart = sum(_difference(word, run.ink) for word, run in zip(made, runs, strict=True)) / ink
        else:
            apart = abs(math.log(sum(float(word.sum()) for word in made) / ink))
        return _WIDTHS * widths + apart

    return min(families, key=unlike)


def _difference(word: np.ndarray, ink: np.ndarray) -> float:
    """Sum of the absolute differences of two words' coverage (32, w), the first brought to the width of the second."""
    same = Image.fromarray(word).resize((ink.shape[1], LINE), Image.Resampling.BICUBIC)
    return float(np.abs(np.asarray(same) - ink).sum())


def set_word(word: str, font: str, scale: float = 1.0, bearing: bool = True) -> np.ndarray:
    """A word set in a font (`data_synth.fonts`), at a scale from a strip's size: coverage, see `compose.Word`.

    With `bearing` it keeps the empty columns before its first letter, which part an "n" from what stands before it more
    than an "A".
    """
    above, below = frame(scale)
    face = load_face(font, max(round(EM * scale), 1))
    if face.lacks(word) and font != _FALLBACK:
        face = load_face(_FALLBACK, max(round(EM * scale), 1))
    set_ink = face.word(word)
    mask, left = set_ink.mask, max(set_ink.left, 0) if bearing else 0
    ink = np.zeros((above + below, max(left + mask.shape[1], 1)), dtype=np.float32)
    shift = above - face.baseline  # from a row of the mask to that of the frame
    first, last = max(shift, 0), min(shift + len(mask), len(ink))
    ink[first:last, left : left + mask.shape[1]] = mask[first - shift : last - shift].astype(np.float32) / 255
    return ink


def sentences_of(text: str) -> list[str]:
    """A text cut where a sentence ends and the next word begins like one, as strips are."""
    words = text.split()
    return [" ".join(part) for part in sentences(words, words)]


def parts_of(text: str, family: str, config: Config) -> list[str]:
    """A text in as few parts as fit a strip each, in the typography of the pages that the model learnt from."""
    page = config.page
    face = load_face(family or page.fonts[0], page.font_size, page.line_height, page.snap, page.pitch)
    return [" ".join(words) for words in _halved(text.split(), face) if words]


def _halved(words: list[str], face: Face) -> list[list[str]]:
    """Words cut in halves until each part fits a strip; a word that no strip holds stands alone."""
    if len(words) < 2 or face.wrap(words, WIDTH - 2 * MARGIN, LINES) is not None:
        return [words]
    middle = len(words) // 2
    return [*_halved(words[:middle], face), *_halved(words[middle:], face)]


def _short_enough(text: str, vocabulary: Vocabulary, longest: int) -> list[list[int]]:
    """Pieces of a text, cut between words until no part has more of them than text mode takes."""
    pieces, words = vocabulary.encode(text), text.split()
    if len(pieces) <= longest or len(words) < 2:
        return [pieces[:longest]]
    middle = len(words) // 2
    halves = " ".join(words[:middle]), " ".join(words[middle:])
    return [part for half in halves for part in _short_enough(half, vocabulary, longest)]


def _open(folder: str | Path, stage: str, command: str, loaded: LoadedTranslator) -> tuple[Path, Config]:
    """The checkpoint of a run and its settings.

    Raises:
        UserError: it is missing, of another stage, or for another canvas.
    """
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such run; `{command}` trains it, or name one by --system-weights")
    path = resolve(Path(folder))
    read_info(path)
    config = load_config(path / "config.yaml")
    if config.stage != stage:
        raise UserError(f"{path}: a checkpoint of the stage {config.stage!r}; this system takes one of {stage!r}")
    if config.model.canvas != loaded.config.model.canvas:
        raise UserError(f"{path}: for strips of another size than those of {loaded.folder}")
    return path, config
