"""Text pairs to batches: pages rendered on the fly, or read from Parquet shards, with their ids beside them.

Every sample is a function of the seed and its place in training, so that a resumed run sees what an uninterrupted one
would have seen.

Shapes: B batch, C characters, H and W pixels, T pieces.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_synth.cutouts import LINE as LINE
from data_synth.cutouts import SIZES as SIZES
from data_synth.cutouts import draw_cutout as draw_cutout
from data_synth.faces import Family as Family
from data_synth.faces import draw_face as draw_face
from data_synth.faces import has_all as has_all
from data_synth.faces import installed as installed
from data_synth.faces import read_faces as read_faces
from data_synth.faces import require_all as require_all
from data_synth.fonts import default_fonts as default_fonts
from data_synth.fonts import find_font as find_font
from data_synth.fonts import is_bundled as is_bundled
from data_synth.kinds import TextsByKind as TextsByKind
from data_synth.render import PageLayout as PageLayout
from data_synth.render import PageStyle as PageStyle
from data_synth.render import fits as fits
from data_synth.render import render_page as render_page
from data_synth.render import word_places as word_places
from data_synth.snippets import draw_snippet as draw_snippet
from data_synth.strips import render_strip
from translatotron_v.config import CanvasConfig, Config, PageConfig
from translatotron_v.data import ids as padded_ids
from translatotron_v.data.ids import drawing_ids
from translatotron_v.data.ids import longest_transcript as longest_transcript
from translatotron_v.data.marks import LITERALS
from translatotron_v.data.pairs import TaggedPair, TextPair, one_family_of_errors, pictures_of
from translatotron_v.data.shards import decode
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.errors import UserError

# What a stage may ask for; a batch carries nothing else.
SOURCE_PIXELS, TARGET_PIXELS = "source_pixels", "target_pixels"
SOURCE_PIECES, SOURCE_CHARACTERS = "source_pieces", "source_characters"
TARGET_PIECES, TARGET_CHARACTERS = "target_pieces", "target_characters"
TARGET_WORDS = "target_words"

WEAKEST = 0.2  # degradation of a degraded strip, at least


@dataclass
class Batch:
    """One micro-batch; fields that the stage did not ask for are ``None``, and ragged ids are padded with 0.

    Attributes:
        source_pixels, target_pixels: (B, channels, H, W) in [0, 1].
        source_pieces: (B, T), pieces of the source text with the end symbol: the input of text mode.
        source_input, source_output: (B, T), the OCR head's input and its targets, tags first.
        source_characters: (B, C), what the CTC head should read.
        target_input, target_output: (B, T), the text decoder's input and its targets, tags first; in SSR the transcript
            of the page and the translation after it.
        translation_mask: (B, T), true where ``target_input``'s states write a piece of the translation, or its end.
        target_characters: (B, C), what is drawn; ``char_to_token`` (B, C) are positions in ``target_input``'s states.
        target_words: (B, W, 3), for each word of the target page the row and column of its first image token, and how
            many tokens its ink takes; 0 where there is no word.
        fonts: (B,), which of the model's fonts each page is set in; -1 where it is none of them.
        texts: of each page, the answer in its own case and unmasked, and what the target page shows of it; for models
            that read with placeholders (``training/masked_answers.py``).
        shares: of a step of several micro-batches, how many even parts of its "source" and "target" pieces are here.
    """

    source_pixels: Tensor | None = None
    target_pixels: Tensor | None = None
    source_pieces: Tensor | None = None
    source_input: Tensor | None = None
    source_output: Tensor | None = None
    source_characters: Tensor | None = None
    target_input: Tensor | None = None
    target_output: Tensor | None = None
    translation_mask: Tensor | None = None
    target_characters: Tensor | None = None
    char_to_token: Tensor | None = None
    target_words: Tensor | None = None
    fonts: Tensor | None = None
    texts: list[tuple[str, str]] | None = None
    shares: dict[str, float] | None = None

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        moved: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        moved |= {name: value.to(device) for name, value in moved.items() if isinstance(value, Tensor)}
        return Batch(**moved)

    def share(self, side: str) -> float:
        """What a mean over "source" or "target" pieces counts in a step: 1 unless micro-batches differ in length."""
        return (self.shares or {}).get(side, 1.0)


@dataclass(frozen=True)
class Sample:
    """One pair as it is shown in one step."""

    source: str
    target: str
    style: PageStyle  # unless there are pictures
    pictures: tuple[bytes, bytes] | None = None  # PNG bytes of both pages, where they are stored
    language: str = ""  # of the target; empty: the run's target language
    source_language: str = ""  # of the source; empty: the run's
    transcript: str | None = None  # in SSR, what the answer begins with
    translated: bool = True  # false: the transcript is the whole answer
    seed: int = 0  # of what befalls the source strip, where pages ask for that
    degraded: float = 0.0  # how hard to read the source strip is, 0..1
    answer: str = ""  # the target in its own case, where the page shows it in capitals
    reading: str = ""  # what text mode is given in place of the source, where that is misread


def page_layout(canvas: CanvasConfig) -> PageLayout:
    """The renderer's layout of a model's canvas."""
    return PageLayout(canvas.height, canvas.width, canvas.channels, "paragraph")


def page_style(page: PageConfig, font: str | None = None) -> PageStyle:
    """The renderer's style of training pages, in the first font unless another is named."""
    return PageStyle(
        font=font or page.fonts[0],
        font_size=page.font_size,
        line_height=page.line_height,
        margin=page.margin,
        word_grid=page.word_grid,
        advance_grid=page.advance_grid,
    )


@one_family_of_errors()
def fitting(pairs: Sequence[TextPair], config: Config) -> list[TextPair]:
    """Those pairs whose two pages both fit the canvas in every font of training; stored pages do."""
    layout = page_layout(config.model.canvas)
    styles = [page_style(config.page, font) for font in config.page.fonts]
    return [
        pair
        for pair in pairs
        if pictures_of(pair) is not None
        or all(fits(pair.source, layout, style) and fits(pair.target, layout, style) for style in styles)
    ]


@dataclass(frozen=True)
class _Answer:
    """Decoder input and targets of one sample."""

    given: list[int]  # tags and pieces
    wanted: list[int]  # what is written at each of these positions; PAD where that is not asked
    pieces: list[int]  # of the translation
    first: int  # position that writes the translation's first piece


class Collator:
    """Turns samples into a batch of what a stage asked for.

    Args:
        config: canvas and languages.
        vocabulary: for the ids.
        wanted: names such as ``SOURCE_PIXELS``.
    """

    def __init__(self, config: Config, vocabulary: Vocabulary, wanted: frozenset[str]):
        self.vocabulary = vocabulary
        self.wanted = wanted
        self.layout = page_layout(config.model.canvas)
        self.data = config.data
        self.fonts = config.model.fonts
        self.source_sizes = config.page.source_sizes
        self.longest_target = config.model.text_decoder.max_length
        self.longest_source = config.model.text_encoder.max_length
        self.longest_ocr = config.model.ocr_head.max_length
        if config.loss.transcription:  # the text decoder writes the same
            self.longest_ocr = min(self.longest_ocr, config.model.text_decoder.max_length)
        self.longest_drawing = config.model.character_encoder.max_length
        self.reviews = bool(config.ssr.reader)  # answers may begin with a transcript of what was read as it was read
        self.patch = config.model.tokenizer.patch

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Render, or take the stored pages, and encode; every sample must fit its page."""
        batch = Batch()
        if self.fonts:
            batch.fonts = torch.tensor([self.fonts.index(sample.style.font) for sample in samples])
        if SOURCE_PIXELS in self.wanted:
            batch.source_pixels = self.pixels(samples, 0)
        if SOURCE_PIECES in self.wanted:
            encoded = [self.vocabulary.encode(sample.reading or sample.source) for sample in samples]
            batch.source_pieces = pad([[*ids[: self.longest_source - 1], EOS] for ids in encoded])
            languages = [sample.source_language or self.data.source_language for sample in samples]
            batch.source_input, batch.source_output = self._for_decoder(encoded, "ocr", languages, self.longest_ocr)
        if SOURCE_CHARACTERS in self.wanted:
            batch.source_characters = pad([self.vocabulary.encode_characters(sample.source) for sample in samples])
        translated = all(sample.translated for sample in samples)
        if TARGET_PIXELS in self.wanted and translated:
            batch.target_pixels = self.pixels(samples, 1)
        if TARGET_WORDS in self.wanted and translated:
            batch.target_words = self._words(samples)
        if TARGET_PIECES in self.wanted:
            answers = [self._answer(sample) for sample in samples]
            batch.target_input = pad([answer.given for answer in answers])
            batch.target_output = pad([answer.wanted for answer in answers])
            place = torch.arange(batch.target_input.shape[1])
            first = torch.tensor([answer.first for answer in answers])
            batch.translation_mask = (place >= first[:, None]) & (batch.target_output != PAD)
            reviewed = self.reviews or any(sample.transcript is not None for sample in samples)
            if SOURCE_PIXELS in self.wanted and not reviewed and self.vocabulary.knows(LITERALS[0]):
                batch.texts = [(sample.answer or sample.target, sample.target) for sample in samples]
            if TARGET_CHARACTERS in self.wanted and translated:
                drawn = drawing_ids(
                    self.vocabulary, [answer.pieces for answer in answers], self.longest_drawing, first.tolist()
                )
                batch.target_characters, batch.char_to_token = map(torch.from_numpy, drawn)
        elif TARGET_CHARACTERS in self.wanted and translated:
            characters = [self.vocabulary.encode_characters(sample.target) for sample in samples]
            batch.target_characters = pad([ids[: self.longest_drawing] for ids in characters])
        return batch

    def pixels(self, samples: Sequence[Sample], side: int) -> Tensor:
        """Source (0) or target (1) pages (B, channels, H, W) in [0, 1], as they are stored or else rendered."""
        stored = [sample.pictures[side] for sample in samples if sample.pictures is not None]
        if stored:
            return to_pixels(np.stack([decode(picture) for picture in stored]))
        if side == 0 and self.source_sizes:
            return to_pixels(np.stack([self._source_strip(sample) for sample in samples]))
        return self.render([(sample.source, sample.target)[side] for sample in samples], samples)

    def _source_strip(self, sample: Sample) -> np.ndarray:
        """A source strip (H, W, channels) as it comes off a page; drawn like a target where it does not fit."""
        smallest, largest = self.source_sizes
        rng = np.random.default_rng(sample.seed)
        if sample.degraded:
            worn, shown = draw_cutout(
                sample.source, sample.style.font, self.layout, rng, sample.degraded, (smallest, largest)
            )
            if shown == sample.source:
                return worn
        strip = render_strip(sample.source, self.layout, sample.style, (smallest, largest), rng)
        return self._page(sample.source, sample.style) if strip is None else strip

    def render(self, texts: Sequence[str], samples: Sequence[Sample]) -> Tensor:
        """Pages (B, channels, H, W) in [0, 1].

        Raises:
            ValueError: a text does not fit; samples are chosen so that they do.
        """
        pages = [self._page(text, sample.style) for text, sample in zip(texts, samples, strict=True)]
        return to_pixels(np.stack(pages))

    def _page(self, text: str, style: PageStyle) -> np.ndarray:
        """One page (H, W, channels) of bytes; raises ValueError where the text does not fit."""
        page = render_page(text, self.layout, style)
        if page is None:
            raise ValueError(f"does not fit the page: {text!r}")
        return page.pixels

    def _words(self, samples: Sequence[Sample]) -> Tensor:
        """Tokens of the words of target pages, as ``Batch.target_words``.

        Raises:
            UserError: pages are stored, and nobody knows where their words are.
        """
        if any(sample.pictures is not None for sample in samples):
            raise UserError(
                f"{self.data.folder}: loss.words is for pages that are rendered while training; set it to 0"
            )
        rows, columns = self.patch
        found = [word_places(sample.target, self.layout, sample.style) for sample in samples]
        tokens = torch.zeros(len(samples), max(map(len, found)), 3, dtype=torch.long)
        for page, places in zip(tokens, found, strict=True):
            for word, (top, left, right) in zip(page, places, strict=False):
                word[:] = torch.tensor([top // rows, left // columns, (right - 1) // columns - left // columns + 1])
        return tokens

    def _answer(self, sample: Sample) -> "_Answer":
        """What the text decoder is given and should write; a text that is too long is cut, its end kept."""
        tag = self.vocabulary.tag
        opening: list[int] = []
        reviewed: list[int] = []
        if sample.transcript is not None:
            reviewed = self.vocabulary.encode(sample.transcript)[: longest_transcript(self.longest_target)]
            opening = [tag("ocr"), tag(self.data.source_language), *reviewed]
            if not sample.translated:
                return _Answer(opening, [PAD, *reviewed, EOS], [], len(opening))
        given = [*opening, tag("translate"), tag(sample.language or self.data.target_language)]
        pieces = self.vocabulary.encode(sample.target)[: self.longest_target - len(given)]
        # After its transcript the decoder turns to translating by itself; the language is asked for, not guessed.
        wanted = [PAD, *reviewed, tag("translate"), PAD, *pieces, EOS] if opening else [PAD, *pieces, EOS]
        return _Answer(given + pieces, wanted, pieces, len(given) - 1)

    def _for_decoder(
        self, encoded: Sequence[list[int]], task: str, languages: Sequence[str], longest: int
    ) -> tuple[Tensor, Tensor]:
        """Input ``<task> <language> pieces`` and output ``- pieces <eos>``; a cut text keeps its end symbol."""
        tag = self.vocabulary.tag
        kept = [ids[: longest - 2] for ids in encoded]
        given = [[tag(task), tag(language), *ids] for language, ids in zip(languages, kept, strict=True)]
        return pad(given), pad([[PAD, *ids, EOS] for ids in kept])


def to_pixels(pages: np.ndarray) -> Tensor:
    """uint8 (B, H, W, channels) -> float (B, channels, H, W) in [0, 1]."""
    return torch.from_numpy(pages).permute(0, 3, 1, 2).float().div_(255).contiguous()


def pad(rows: Sequence[Sequence[int]]) -> Tensor:
    """Ragged ids to one tensor (B, longest), filled with ``PAD``."""
    return torch.from_numpy(padded_ids.pad(rows))


def plain_samples(pairs: Sequence[TextPair], config: Config) -> list[Sample]:
    """Samples for evaluation: whole texts, the fonts in turn; stored pages as they are."""
    styles = [page_style(config.page, font) for font in config.page.fonts]
    return [
        Sample(
            pair.source,
            pair.target,
            styles[i % len(styles)],
            pictures_of(pair),
            pair.language if isinstance(pair, TaggedPair) else "",
            seed=i,
        )
        for i, pair in enumerate(pairs)
    ]


def cut(text: str, layout: PageLayout, style: PageStyle) -> str:
    """The text without the words at its end that do not fit the page."""
    words = text.split()
    while words and not fits(" ".join(words), layout, style):
        words.pop()
    return " ".join(words)
