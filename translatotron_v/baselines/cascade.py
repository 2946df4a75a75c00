"""Cascades: reading, translating and drawing one after the other.

A cascade reads by our CTC reader or by rapidocr, translates by text mode, and draws by a text-to-image model or by
typesetting on the erased background. Image-to-text translation (TIT) takes the first two steps in one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from translatotron_v.baselines.drawers import Drawer
from translatotron_v.baselines.typesetter import nearest_font
from translatotron_v.data.pairs import fold
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding.source import encode_source
from translatotron_v.decoding.text import DecodedText, generate_answer, translate_pieces
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.block_state import BlockState
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.paragraphs import read_paragraphs, sentences
from translatotron_v.inference.strip_reading import Item, batches, pixels_of
from translatotron_v.ocr import OcrEngine, TextBox, box_from_bounds, boxes_to_text
from translatotron_v.page.strips import Strip

_NEAR = 1.0  # ems from a block up to which what rapidocr reads belongs to it


class Translated(NamedTuple):
    """A sentence, and the mean log-probability (nats) of its pieces."""

    text: str
    score: float


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
        self, loaded: LoadedTranslator, drawer: Drawer, reader: OcrEngine | None = None, through_text: bool = True
    ) -> None:
        self.loaded, self.drawer, self.reader, self.through_text = loaded, drawer, reader, through_text
        self.folder = drawer.folder

    def read(self, pages: Sequence[np.ndarray], states: Sequence[Sequence[BlockState]], batch_size: int) -> None:
        """See `BlockTranslator.read`."""
        if self.reader is None:
            read_paragraphs(self.loaded, [[state.paragraph for state in page] for page in states], batch_size)
            return
        for page, blocks in zip(pages, states, strict=True):
            if blocks:
                assign_boxes(blocks, self.reader.read(page))
            for state in blocks:
                state.paragraph.text = fold(state.paragraph.text, self.loaded.config.page)
                state.paragraph.font = nearest_font(state.paragraph.runs, state.paragraph.text, self.loaded.config)

    def translate(
        self,
        states: Sequence[BlockState],
        batch_size: int,
        generation: GenerationConfig,
    ) -> None:
        """See `BlockTranslator.translate`; ``image_steps`` are for the end-to-end model alone."""
        step = self._from_text if self.through_text else self._from_strips
        for state, translated in zip(states, step(states, batch_size, generation), strict=True):
            state.paragraph.translations = [sentence.text for sentence in translated]
            state.paragraph.scores = [{"text": sentence.score} for sentence in translated]
        self.drawer.draw(states, batch_size, generation)

    def _from_text(
        self, states: Sequence[BlockState], batch_size: int, generation: GenerationConfig
    ) -> list[list[Translated]]:
        """Text mode on what was read, sentence by sentence."""
        model, vocabulary = self.loaded.model, self.loaded.vocabulary
        longest = self.loaded.config.model.text_encoder.max_length - 1
        asked = [
            (number, pieces)
            for number, state in enumerate(states)
            for sentence in sentences_of(state.paragraph.text)
            for pieces in _short_enough(sentence, vocabulary, longest)
        ]
        answer = partial(
            translate_pieces,
            model,
            vocabulary,
            target_language=generation.target_language,
            beams=generation.beams,
        )
        return _in_batches(answer, asked, len(states), batch_size)

    def _from_strips(
        self, states: Sequence[BlockState], batch_size: int, generation: GenerationConfig
    ) -> list[list[Translated]]:
        """Image to text: what the model writes before it would draw."""
        model, vocabulary = self.loaded.model, self.loaded.vocabulary

        def answer(strips: Sequence[Strip]) -> DecodedText:
            with torch.inference_mode():
                seen = encode_source(model, vocabulary, model.array(pixels_of(strips)))
            return generate_answer(model, vocabulary, seen, replace(generation, transcribe=False))

        asked = [(number, strip) for number, state in enumerate(states) for strip in state.paragraph.sentences]
        return _in_batches(answer, asked, len(states), batch_size)


def _in_batches(
    answer: Callable[[list[Item]], DecodedText], asked: Sequence[tuple[int, Item]], count: int, batch_size: int
) -> list[list[Translated]]:
    """Answers to what was asked for each of `count` states, whose numbers come with the questions."""
    answers: list[list[Translated]] = [[] for _ in range(count)]
    for batch in batches(asked, batch_size):
        made = answer([item for _, item in batch])
        for (number, _), text, score in zip(batch, made.texts, made.scores, strict=True):
            answers[number].append(Translated(text, score))
    return answers


def assign_boxes(states: Sequence[BlockState], boxes: Sequence[TextBox]) -> None:
    """Give each block of a page the text of the boxes that lie on it or near it, and the mean of their scores."""
    own: list[list[TextBox]] = [[] for _ in states]
    for box in boxes:
        placed = [state.crop.boxes_in_crop([box.polygon])[0].tolist() for state in states]
        distances = [_distance(state, bounds) for state, bounds in zip(states, placed, strict=True)]
        nearest = int(np.argmin(distances))
        if distances[nearest] <= _NEAR:
            left, top, right, bottom = placed[nearest]
            own[nearest].append(box_from_bounds(left, top, right, bottom, box.text, box.score))
    for state, found in zip(states, own, strict=True):
        state.paragraph.text = boxes_to_text(found)
        letters = sum(len(box.text) for box in found)
        if letters:
            sure = sum(math.log(max(box.score, 1e-6)) * len(box.text) for box in found)
            state.paragraph.reading = sure / letters


def _distance(state: BlockState, bounds: tuple[float, float, float, float]) -> float:
    """From the middle of a box in a block's crop to the block's rows, ems; 0 on them."""
    x, y = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
    gaps = [
        math.hypot(max(left - x, 0.0, x - right), max(top - y, 0.0, y - bottom))
        for left, top, right, bottom in state.crop.rows
    ]
    return min(gaps) / state.setting.em


def sentences_of(text: str) -> list[str]:
    """A text cut where a sentence ends and the next word begins like one, as strips are."""
    words = text.split()
    return [" ".join(part) for part in sentences(words, words)]


def _short_enough(text: str, vocabulary: Vocabulary, longest: int) -> list[list[int]]:
    """Pieces of a text, cut between words until no part has more of them than text mode takes."""
    pieces, words = vocabulary.encode(text), text.split()
    if len(pieces) <= longest or len(words) < 2:
        return [pieces[:longest]]
    middle = len(words) // 2
    halves = " ".join(words[:middle]), " ".join(words[middle:])
    return [part for half in halves for part in _short_enough(half, vocabulary, longest)]
