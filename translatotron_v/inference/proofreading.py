"""What is drawn says what was meant: the model reads the words that it drew, and draws again those that it misreads.

A word is checked as it will be put back: cut out of its strip, and laid on a new one between its neighbours. What is
still another word after the last attempt is named; whole pages leave such a block as it was. A reader that knows its
language reads over a stray stroke ("also" off "alsa"), so words on which it is in two minds are drawn again as well,
and those that have a stray bar.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from translatotron_v.config import ModelConfig
from translatotron_v.decoding.arrays import Array, inference, like, to_numpy
from translatotron_v.decoding.source import read_ctc_frames, reading_doubts
from translatotron_v.decoding.spelling import DrawnWord, Spelling
from translatotron_v.decoding.text import Draft, redraw
from translatotron_v.decoding.words import draw_words
from translatotron_v.generation_config import WORDS, GenerationConfig
from translatotron_v.inference.literal_inks import place_of
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.strip_reading import assign, batches, pixels_of
from translatotron_v.metrics.text import edits
from translatotron_v.page.strays import has_stray
from translatotron_v.page.strips import FAINT, Placed, Run, Strip, pack, trim, word_of, words_of

# What looks alike in most faces at 20 pixels per em counts as the same.
_ALIKE = str.maketrans("’‘‚‛′`´„“”″‟–—−‐‑…", "'''''''\"\"\"\"\"-----.")
# Letters drawn at a time, attempt by attempt, of words that are drawn word by word; 0: all. A word that ends in a mark
# is parted there first, and whole at the third: a letter and the mark behind it are one patch, and many are alike.
_LETTERS = (0, 4, 2, 1, 0)
_CHANCE = (0, 2, 4)  # attempts that draw by chance, as do all later ones
_MARKS = ".,;:!?"
_QUOTES = "'’‘\"“”"  # too small to be drawn alone
# Plain fonts, of which two stand in for a font that a word was not drawn right in; attempts in each.
_PLAIN, _OTHERS, _IN_OTHERS = ("NotoSans-Regular", "DejaVuSans", "FiraGO-Regular"), 2, 2
_BESIDE = 2  # columns between the ink of letters that are set side by side, where no other word tells
_SPECK = 0.4  # ink up to which something that stands apart is a speck of another patch
_DOUBT = 0.1  # of a word that is read as it was meant: it is drawn again
_STRAY = 0.5  # doubt of a word with a stray bar, at least
_SURE = 0.3  # doubt up to which a mark that was drawn alone is kept
_ROUND = str.maketrans("oOQD", "0000")  # a lone filler is read as any of these


@dataclass
class DrawnStrip:
    """The words of one strip, as they were drawn and read.

    Attributes:
        spelling: what was to be drawn.
        pictures: of its words (32, w), one for each; other numbers of them where the strip could not be cut.
        readings: what was read on each word; empty strings before they are read.
        doubts: how probable it is, at one place of each word, that something else stands there.
    """

    spelling: Spelling
    pictures: list[np.ndarray]
    readings: list[str] = field(default_factory=list)
    doubts: list[float] = field(default_factory=list)

    @property
    def wrong(self) -> list[int]:
        """Numbers of the words that are read as something else: all where the strip has other words than were meant."""
        words = self.spelling.words
        if len(self.pictures) != len(words):
            return list(range(len(words)))
        return [
            number
            for number, (word, reading) in enumerate(zip(words, self.readings, strict=True))
            if not reads_as(word, reading)
        ]

    @property
    def doubtful(self) -> list[int]:
        """Numbers of the words that are to be drawn again though they are not all wrong: fillers are not doubted."""
        words = self.spelling.words
        if len(self.pictures) != len(words):
            return self.wrong
        doubted = [n for n, word in enumerate(words) if self.doubts[n] > _DOUBT and not word.fillers]
        return sorted({*self.wrong, *doubted})

    @property
    def marked(self) -> list[int]:
        """Numbers of the words that end in a mark."""
        cut = len(self.pictures) == len(self.spelling.words)
        return [number for number, word in enumerate(self.spelling.words) if cut and _stem(word)]

    @property
    def certainty(self) -> float:
        """The share of the characters that are read as they were meant, in [0, 1]; 1 for a strip without any."""
        meant = " ".join(_plain(_text(word)) for word in self.spelling.words)
        read = " ".join(
            _text(word) if reads_as(word, reading) else reading
            for word, reading in zip(self.spelling.words, self.readings, strict=False)
        )
        wrong, length = edits(_plain(read), meant, lower_case=False)
        return max(0.0, 1 - wrong / length) if length else 1.0

    @property
    def misdrawn(self) -> list[str]:
        """The words that are read as something else."""
        return [_text(self.spelling.words[number]) for number in self.wrong]


def reads_as(word: DrawnWord, reading: str) -> bool:
    """Whether a reading is that of a word, but for marks that look alike."""
    meant, read = _plain(_text(word)), _plain(reading)
    if word.fillers:
        meant, read = meant.translate(_ROUND), read.translate(_ROUND)
    return meant == read


def _text(word: DrawnWord) -> str:
    return "".join(character for character, _ in word.characters)


def _stem(word: DrawnWord) -> int:
    """How many characters stand before the marks that a word ends in; 0 where there are no marks, or nothing else."""
    text = _text(word)
    count = len(text.rstrip(_MARKS))
    return count if count < len(text) and not word.fillers else 0


def _plain(text: str) -> str:
    return text.replace("…", "...").translate(_ALIKE)


@inference
def proofread(
    loaded: LoadedTranslator,
    draft: Draft,
    spellings: Sequence[Spelling],
    drawn: Sequence[np.ndarray] | np.ndarray,
    generation: GenerationConfig,
    batch_size: int,
    lines: Sequence[Sequence[np.ndarray]] = (),
) -> list[DrawnStrip]:
    """Cut strips into words, read them, and draw again what is read as something else.

    Args:
        draft: what the strips were drawn from.
        spellings: what was to be drawn on each.
        drawn: the strips (96, 512), ink in [0, 1].
        generation: its `redraws` are how often a word may be drawn again: first alone, then by chance as well; where
            it draws words anyway first by chance, then in parts of a few letters, and last in other fonts.
        batch_size: strips at a time.
        lines: the words of each strip, where they were drawn one by one (``words.Drawing``).
    """
    strips = [
        DrawnStrip(spelling, words_of(ink, len(spelling.words))) for spelling, ink in zip(spellings, drawn, strict=True)
    ]
    for strip, row in zip(strips, lines, strict=False):
        strip.pictures = _pictures(row)
    if loaded.model.ctc_head is None or not generation.redraws:
        return strips
    _read(loaded, strips, batch_size)
    for attempt in range(generation.redraws):
        asked = {number: _asked(strip, attempt, generation) for number, strip in enumerate(strips)}
        _draw_again(loaded, draft, strips, asked, attempt, generation, batch_size)
    if generation.drawing == WORDS and draft.fonts is not None:
        for choice, attempt in product(range(_OTHERS), range(_IN_OTHERS)):
            asked = {number: strip.wrong for number, strip in enumerate(strips)}
            if not any(asked.values()):
                break
            other = replace(draft, fonts=_stand_ins(draft.fonts, loaded.model.config.fonts, choice))
            _draw_again(loaded, other, strips, asked, attempt, generation, batch_size)
    return strips


def _draw_again(
    loaded: LoadedTranslator,
    draft: Draft,
    strips: Sequence[DrawnStrip],
    asked: Mapping[int, Sequence[int]],
    attempt: int,
    generation: GenerationConfig,
    batch_size: int,
) -> None:
    """Draw some words of some strips once more, and take over what is read better, in place."""
    asked = {number: words for number, words in asked.items() if words}
    if not asked:
        return
    parts = [Spelling([strips[number].spelling.words[word] for word in words]) for number, words in asked.items()]
    rows = draft.rows(list(asked))
    chance = replace(generation, image_steps=0, temperature=0.7, seed=attempt, beams=1)
    if generation.drawing == WORDS:  # words that were drawn alone come out the same again, but for chance
        tries = _draw_parts(loaded, rows, parts, chance, attempt, [_letter_gap(strips[number]) for number in asked])
    else:
        chance = replace(chance, top_k=1 if attempt == 0 else 4)
        inks = 1 - to_numpy(redraw(loaded.model, loaded.vocabulary, rows, parts, chance)).mean(1)
        tries = [DrawnStrip(part, words_of(ink, len(part.words))) for part, ink in zip(parts, inks, strict=True)]
    _read(loaded, tries, batch_size)
    for (number, words), once_more in zip(asked.items(), tries, strict=True):
        _take(strips[number], words, once_more, marks_first=attempt == 0 and generation.drawing == WORDS)


def _stand_ins(fonts: Array, known: Sequence[str], choice: int) -> Array:
    """For each of some fonts (B,), numbers among those that a model knows, another one; itself where there is none."""
    others = []
    for own in to_numpy(fonts).tolist():
        plain = [known.index(name) for name in _PLAIN if name in known and name != known[own]]
        others.append(plain[choice] if choice < len(plain) else own)
    return like(others, fonts)


def _asked(strip: DrawnStrip, attempt: int, generation: GenerationConfig) -> list[int]:
    """Numbers of the words of a strip that are drawn again at an attempt."""
    if generation.drawing != WORDS:
        return strip.wrong
    if attempt == 0:
        return sorted({*strip.wrong, *strip.marked})
    return strip.doubtful if _LETTERS[_kind(attempt)] else strip.wrong


def _kind(attempt: int) -> int:
    """Which of `_LETTERS` an attempt is."""
    return min(attempt, len(_LETTERS) - 1)


def _draw_parts(
    loaded: LoadedTranslator,
    draft: Draft,
    parts: Sequence[Spelling],
    generation: GenerationConfig,
    attempt: int,
    gaps: Sequence[int],
) -> list[DrawnStrip]:
    """Words drawn anew, as a whole or some letters at a time and set side by side, so many columns apart."""
    cut = [[_pieces(word, attempt) for word in part.words] for part in parts]
    spelled = [Spelling([piece for pieces in words for piece in pieces]) for words in cut]
    drawing = replace(generation, top_k=4 if _kind(attempt) in _CHANCE else 1)
    drawn = draw_words(loaded.model, loaded.vocabulary, draft, spelled, drawing).lines
    tries = []
    for part, words, row, gap in zip(parts, cut, drawn, gaps, strict=True):
        pictures = iter(_pictures(row))
        tries.append(DrawnStrip(part, [_side_by_side([next(pictures) for _ in pieces], gap) for pieces in words]))
    return tries


def _letter_gap(strip: DrawnStrip) -> int:
    """Empty columns between two letters of a strip's words on average, those that touch among them; at least one."""
    words = strip.spelling.words
    if len(strip.pictures) != len(words):
        return _BESIDE
    empty = [int((trim(picture) <= FAINT).all(0).sum()) for picture in strip.pictures]
    inner = sum(len(word.characters) - 1 for word in words)
    return max(1, round(sum(empty) / inner)) if inner else _BESIDE


def _pieces(word: DrawnWord, attempt: int) -> list[DrawnWord]:
    """The parts in which a word is drawn at an attempt; a filler stays in its word or stands alone.

    So many letters at a time, a single last one with those before it; each alone where that would be one part.
    """
    letters, count, stem = _LETTERS[_kind(attempt)], len(word.characters), _stem(word)
    if stem and attempt == 0:
        return [DrawnWord(word.characters[:stem]), DrawnWord(word.characters[stem:])]
    if not letters or (stem and _kind(attempt) in _CHANCE) or (word.fillers and letters > 1):
        return [word]
    letters = letters if count > letters + 1 else 1
    text = _text(word)
    cuts = [
        cut
        for cut in range(letters, count, letters)
        if (letters == 1 or cut < count - 1) and text[cut] not in _QUOTES and text[:cut].strip(_QUOTES)
    ]
    return [DrawnWord(word.characters[start:end]) for start, end in zip([0, *cuts], [*cuts, count], strict=True)]


def _side_by_side(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Pictures (32, w) of parts of a word as one, with so many columns between their ink."""
    gap = np.zeros((len(pictures[0]), columns), dtype=pictures[0].dtype)
    parts = [pictures[0]] if len(pictures) == 1 else [_bare(picture) for picture in pictures]
    return np.concatenate([part for picture in parts for part in (gap, picture)][1:], axis=1)


def _bare(picture: np.ndarray) -> np.ndarray:
    """A part of a word (32, w) without what is empty at its sides, and without faint specks that stand apart there."""
    inked = trim(picture)
    strong = np.flatnonzero((inked > _SPECK).any(0))
    if not len(strong):
        return inked
    empty = np.flatnonzero((inked <= FAINT).all(0))
    first = empty[empty < strong[0]].max(initial=-1) + 1
    last = empty[empty > strong[-1]].min(initial=inked.shape[1])
    return inked[:, first:last]


def _pictures(lines: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The pictures of words from pixels of the lines (channels, 32, W) on which each stands alone."""
    return [word_of(1 - line.mean(0)) for line in lines]


def _take(strip: DrawnStrip, words: Sequence[int], once_more: DrawnStrip, marks_first: bool = False) -> None:
    """Take over from a new drawing of some words of a strip what is read better there.

    Args:
        marks_first: what was drawn without its last mark is better where it is read right.
    """
    if len(once_more.pictures) != len(words):
        return
    if len(strip.pictures) != len(strip.spelling.words):  # then all its words were drawn anew
        strip.pictures, strip.readings, strip.doubts = once_more.pictures, once_more.readings, once_more.doubts
        return
    for place, number in enumerate(words):
        word, doubt = strip.spelling.words[number], once_more.doubts[place]
        new, old = (_errors(word, one.readings[n]) for one, n in ((once_more, place), (strip, number)))
        sure = marks_first and _stem(word) and not new and doubt <= max(_SURE, strip.doubts[number])
        if sure or (new, doubt) < (old, strip.doubts[number]):
            strip.pictures[number], strip.readings[number] = once_more.pictures[place], once_more.readings[place]
            strip.doubts[number] = doubt


def _errors(word: DrawnWord, reading: str) -> int:
    """Edits from what was meant to what was read; none where it reads as meant."""
    return 0 if reads_as(word, reading) else edits(reading, _text(word), lower_case=False)[0]


def _spaced(page: Strip, text: str, frames: Sequence[int], config: ModelConfig) -> tuple[str, Sequence[int]]:
    """A reading of fewer words than the strip has, with a space where one goes on beyond the picture of a word."""
    if len(text.split()) >= len(page.placed):
        return text, frames
    signs: list[str] = []
    where: list[int] = []
    last: Placed | None = None
    for sign, frame in zip(text, frames, strict=True):
        own = page.placed_at(*place_of(frame, config))
        if not sign.isspace() and last is not None and own is not last and not signs[-1].isspace():
            signs.append(" ")
            where.append(where[-1])
        signs.append(sign)
        where.append(frame)
        last = last if sign.isspace() else own
    return "".join(signs), where


def _read(loaded: LoadedTranslator, strips: Sequence[DrawnStrip], batch_size: int) -> None:
    """Read the words of strips as they will stand, in place."""
    laid = []
    for strip in strips:
        strip.readings = [""] * len(strip.pictures)
        strip.doubts = [_STRAY * has_stray(picture) for picture in strip.pictures]
        numbers = [number for number, picture in enumerate(strip.pictures) if picture.shape[1]]
        runs = [Run(strip.pictures[number], number, 0, 0) for number in numbers]
        laid += [(strip, numbers, page) for page in pack(runs)]
    for part in batches(laid, batch_size):
        pixels = loaded.model.array(pixels_of([page for _, _, page in part]))
        source = loaded.model.encode_image(pixels)
        logits = loaded.model.ctc_logits(source)
        found, doubts = read_ctc_frames(logits, loaded.vocabulary), reading_doubts(logits)
        for (strip, numbers, page), (text, where), doubted in zip(part, found, doubts, strict=True):
            texts = [strip.readings[number] for number in numbers]
            text, places = _spaced(page, text, where, loaded.model.config)
            assign(texts, page, text, places, loaded.model.config)  # a word that was cut goes on where it was left
            for number, read in zip(numbers, texts, strict=True):
                strip.readings[number] = read
            for frame in np.flatnonzero(doubted > _DOUBT).tolist():
                run = page.run_at(*place_of(frame, loaded.model.config))
                if run is not None:
                    number = numbers[run]
                    strip.doubts[number] = max(strip.doubts[number], float(doubted[frame]))
