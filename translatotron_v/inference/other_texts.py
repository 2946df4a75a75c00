"""Texts from elsewhere: our model reads, draws and composes, and what is drawn comes from a function or a file.

    Translator.from_pretrained(translate=lambda sentences: [...])

The function gets the sentences of a picture as they were read, all at once, and gives as many texts back; an empty one
leaves its block as it is. Numbers, dates and addresses that a text has as the source does keep the source's own ink.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from translatotron_v.errors import UserError
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.block_state import BlockState
from translatotron_v.inference.glossary import read_entries
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.paragraphs import fitted, read_paragraphs, sentences, translate_paragraphs
from translatotron_v.inference.pieces import Paragraph, Piece

TranslateTexts = Callable[[Sequence[str]], Sequence[str]]

NO_TEXT = "no text"  # why a block is left for which none was given
_ON_A_STRIP = 84  # characters of a text that surely fit the three lines of a strip


@dataclass(frozen=True)
class TextsFrom:
    """A function that is to translate in the model's place (`whole_pages.BaselineMaker`)."""

    translate: TranslateTexts
    name: ClassVar[str] = "texts"

    def __call__(self, loaded: LoadedTranslator) -> "OtherTexts":
        """On loaded weights."""
        return OtherTexts(loaded, self.translate)


class TextFile:
    """Translations of sentences, or of whole blocks, from a file of two columns: as it was read, and what to write.

    Case, spaces and what a sentence ends with do not count when they are looked up.

    Raises:
        UserError: as of `glossary.read_entries`.
    """

    def __init__(self, path: str | Path) -> None:
        self.texts = {_plain(source): target for _, source, target in read_entries(path, "file of texts")}

    def __call__(self, sentences: Sequence[str]) -> list[str]:
        """The text of each; "" where there is none."""
        return [self.texts.get(_plain(sentence), "") for sentence in sentences]


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold().rstrip(" .!?…:;")


class OtherTexts:
    """Between the blocks of a page and the words that are put back: see `whole_pages.BlockTranslator`."""

    reads: ClassVar[bool] = True
    folder: ClassVar[Path | None] = None

    def __init__(self, loaded: LoadedTranslator, translate: TranslateTexts) -> None:
        self.loaded, self.answer = loaded, translate

    def read(self, pages: Sequence[np.ndarray], states: Sequence[Sequence[BlockState]], batch_size: int) -> None:
        """See `BlockTranslator.read`."""
        read_paragraphs(self.loaded, [[state.paragraph for state in page] for page in states], batch_size)

    def translate(self, states: Sequence[BlockState], batch_size: int, generation: GenerationConfig) -> None:
        """See `BlockTranslator.translate`.

        Raises:
            UserError: the function fails, or gives something else than one text for each sentence.
        """
        known = self._answers([state.paragraph.text for state in states]) if isinstance(self.answer, TextFile) else {}
        for state in states:
            cut_into_sentences(state.paragraph)
        parts = [_sentences(state.paragraph) for state in states]
        open_ = [text for state, own in zip(states, parts, strict=True) if not known.get(state.paragraph.text)
                 for text, _ in own]  # fmt: skip
        answers = self._answers(open_)
        given: dict[int, str] = {}
        for state, own in zip(states, parts, strict=True):
            if whole := known.get(state.paragraph.text):
                give_text(state.paragraph, whole, given)
            elif all(answers.get(text) for text, _ in own):
                give_sentences(state.paragraph, [answers[text] for text, _ in own], given)
            else:
                state.skip_reason = NO_TEXT
        asked = [state.paragraph for state in states if not state.skip_reason]
        translate_paragraphs(self.loaded, asked, batch_size, generation, given)

    def _answers(self, texts: Sequence[str]) -> dict[str, str]:
        texts = list(dict.fromkeys(texts))
        if not texts:
            return {}
        try:
            answers = list(self.answer(texts))
        except UserError:
            raise
        except Exception as error:  # whatever stands behind it
            reason = str(error).strip().split("\n")[0]
            raise UserError(f"the function that translates texts failed: {type(error).__name__}: {reason}") from error
        if len(answers) != len(texts) or not all(isinstance(answer, str) for answer in answers):
            raise UserError(
                f"the function that translates texts gave {len(answers)} answers to {len(texts)} sentences, or others "
                "than texts; it must give one text for each"
            )
        return {text: " ".join(answer.split()) for text, answer in zip(texts, answers, strict=True)}


def cut_into_sentences(paragraph: Paragraph) -> None:
    """Give a paragraph the pieces that `read_paragraphs` leaves out where a model does not mask what it reads."""
    if paragraph.pieces:
        return
    texts = dict(zip(map(id, paragraph.runs), paragraph.readings, strict=True))
    for number, runs in enumerate(sentences(paragraph.runs, paragraph.readings)):
        text = " ".join(" ".join(texts[id(run)] for run in runs).split())
        if text:
            paragraph.pieces += [Piece(strip, kept, sentence=(number, text)) for strip, kept in fitted(runs)]


def _sentences(paragraph: Paragraph) -> list[tuple[str, list[Piece]]]:
    """The sentences of a paragraph that was read, with the strips that each was cut into."""
    found: dict[int, tuple[str, list[Piece]]] = {}
    for piece in paragraph.pieces:
        if piece.strip is not None:
            number, text = piece.sentence
            found.setdefault(number, (text, []))[1].append(piece)
    return list(found.values())


def give_sentences(paragraph: Paragraph, answers: Sequence[str], given: dict[int, str]) -> None:
    """Let each sentence of a paragraph be drawn as another text; its pieces become as many as that needs.

    Args:
        given: takes the text of each piece, by its ``id``.
    """
    waiting = dict(zip((id(own[0]) for _, own in _sentences(paragraph)), answers, strict=True))
    strips = {id(own[0]): own for _, own in _sentences(paragraph)}
    pieces: list[Piece] = []
    for piece in paragraph.pieces:
        if piece.strip is None:
            pieces.append(piece)
        elif id(piece) in waiting:
            pieces += _cut(waiting[id(piece)], strips[id(piece)], given)
    paragraph.pieces = pieces


def give_text(paragraph: Paragraph, text: str, given: dict[int, str]) -> None:
    """Let all of a paragraph be drawn as one text, line by line where it has several; the rest as above.

    Raises:
        UserError: nothing was read that shows how to draw it.
    """
    own = [piece for piece in paragraph.pieces if piece.strip is not None]
    if not own:
        raise UserError("nothing was read here that shows how to draw")
    lines = [line for line in text.splitlines() if line.strip()]
    pieces: list[Piece] = []
    for line in lines:
        first, *more = _cut(line, own, given)
        first.begins = len(lines) > 1
        pieces += [first, *more]
    paragraph.pieces = pieces


def _cut(text: str, pieces: Sequence[Piece], given: dict[int, str]) -> list[Piece]:
    """Pieces that a text is drawn by: its words in as few even parts as fit a strip, each drawn as one of the strips.

    All that a model of strips sees of the source while it draws is that strip.
    """
    words = text.split()
    count = max(1, math.ceil(len(" ".join(words)) / _ON_A_STRIP))
    share = len(" ".join(words)) / count
    parts: list[list[str]] = [[]]
    length = 0
    for word in words:
        if parts[-1] and length + len(word) / 2 > share * len(parts) and len(parts) < count:
            parts.append([])
        parts[-1].append(word)
        length += len(word) + 1
    made = []
    for number, part in enumerate(parts):
        like = pieces[number * len(pieces) // len(parts)]
        made.append(Piece(like.strip, like.runs, sentence=like.sentence))
        given[id(made[-1])] = " ".join(part)
    return made
