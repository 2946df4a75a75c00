"""Paragraphs through a model that reads strips: what stands where, sentence by sentence, and what becomes of it.

A paragraph comes as runs of ink (`page.strips`), mostly words. It is read once, so that it can be cut into sentences,
and each sentence is then translated on a strip of its own.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from translatotron_v.data.casing import align
from translatotron_v.data.sentences import join_lines, split_parts
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding.arrays import inference, to_numpy
from translatotron_v.decoding.source import masks_readings, read_ctc_frames, reading_scores
from translatotron_v.decoding.text import generate, no_inks
from translatotron_v.decoding.text_mode import prepare
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.assembly import assemble
from translatotron_v.inference.glossary import asked_terms
from translatotron_v.inference.letter_widths import columns_of
from translatotron_v.inference.literal_inks import LiteralInks, kept_words, lines_of
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.pieces import Paragraph, Piece
from translatotron_v.inference.proofreading import proofread
from translatotron_v.inference.strip_reading import Item, assign, batches, pixels_of
from translatotron_v.page.shaping import Word
from translatotron_v.page.strips import Run, Strip, cut_lines, pack

if TYPE_CHECKING:
    from translatotron_v.models.translator import TranslatotronV

_TELLING = 10  # letters
_ROUNDS = 10  # of expectation maximisation
_NARROW, _DOUBTED = 0.92, -0.08  # share of usual widths, and nats, below which letters are read once more, wider
_WIDE = 1.12  # of usual widths: as wide as the reader reads best
_LEAST, _MOST = 1.15, 1.5  # times as wide as they are, in a second reading
_END = re.compile(r"[.!?…][\"'”“’»)\]]*$")  # how the last word of a sentence ends
_BEGIN = re.compile(r"[\"'„“‚‘«(\[]*[A-ZÄÖÜÀ-ÝČĎĚŇŘŠŤŮŽ0-9]")  # how the first word of the next one begins


@dataclass
class Seen:
    """What the strips of a paragraph say.

    Attributes:
        texts: what was read, run by run.
        certainties: mean log-probability (nats) and number of the characters of each strip.
        fonts: logits (F,) of each strip.
        widths: columns of the runs as they stand, and of what was read on them in an average face.
    """

    texts: list[str]
    widths: tuple[int, float] = (0, 0.0)
    certainties: list[tuple[float, int]] = field(default_factory=list)
    fonts: list[np.ndarray] = field(default_factory=list)

    @property
    def certainty(self) -> float | None:
        """Mean log-probability (nats) of the characters; None where nothing is read."""
        total = sum(count for _, count in self.certainties)
        return sum(value * count for value, count in self.certainties) / total if total else None

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(text.strip() for text in self.texts if text.strip())


@inference
def read_paragraphs(loaded: LoadedTranslator, pages: Sequence[Sequence[Paragraph]], batch_size: int) -> None:
    """Read the paragraphs of pages, tell their fonts, and cut them into sentences, in place.

    Args:
        batch_size: strips at a time.
    """
    model, vocabulary = loaded.model, loaded.vocabulary
    paragraphs = [paragraph for page in pages for paragraph in page]
    for seen, paragraph in zip(see(model, vocabulary, paragraphs, batch_size), paragraphs, strict=True):
        paragraph.reading, paragraph.readings, paragraph.text = seen.certainty, seen.texts, seen.text
        paragraph.read_widths = seen.widths
        if seen.fonts:
            paragraph.font_scores = np.stack(seen.fonts).mean(0)
        if masks_readings(model, vocabulary):
            language = loaded.config.data.source_language
            paragraph.pieces = pieces_of(paragraph.runs, seen.texts, language)
            paragraph.sentences = [piece.strip for piece in paragraph.pieces if piece.strip is not None]
            paragraph.wordless = not paragraph.sentences
        else:
            paragraph.sentences = [strip for runs in sentences(paragraph.runs, seen.texts) for strip in fitting(runs)]
    for page in pages:
        agree_on_fonts(page, model.config.fonts)


@inference
def see(
    model: "TranslatotronV", vocabulary: Vocabulary, paragraphs: Sequence[Paragraph], batch_size: int
) -> list[Seen]:
    """Read the strips of paragraphs; those in narrow letters, or in doubt, once more with wider letters.

    The surer reading counts. Where it is the second, the paragraph's ink and runs become the wider ones: all that is
    read of it later is read alike. Of its font the first tells.
    """
    seen = _look(model, vocabulary, [paragraph.runs for paragraph in paragraphs], batch_size)
    again = []
    for of, paragraph in zip(seen, paragraphs, strict=True):
        wider = widening(of)
        if wider > 1 and paragraph.text_alpha is not None:
            ink = paragraph.text_alpha.widened(wider)
            again.append((of, paragraph, ink, cut_lines(ink.lines)))
    for (of, paragraph, ink, runs), other in zip(
        again, _look(model, vocabulary, [runs for *_, runs in again], batch_size, with_fonts=False), strict=True
    ):
        if other.certainty is not None and of.certainty is not None and other.certainty > of.certainty:
            paragraph.text_alpha, paragraph.runs = ink, runs
            of.texts, of.certainties = other.texts, other.certainties
    return seen


def widening(seen: Seen) -> float:
    """How many times as wide letters are to be when they are read once more; 1: they are not to be."""
    columns, usual = seen.widths
    if not usual or seen.certainty is None or (columns >= _NARROW * usual and seen.certainty >= _DOUBTED):
        return 1.0
    return min(max(_WIDE * usual / columns, _LEAST), _MOST)


def _look(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    blocks: Sequence[Sequence[Run]],
    batch_size: int,
    with_fonts: bool = True,
) -> list[Seen]:
    """What is read on the runs of blocks, and in which fonts it seems to stand."""
    seen = [Seen([""] * len(runs)) for runs in blocks]
    strips = [(of, strip) for of, runs in zip(seen, blocks, strict=True) for strip in pack(runs)]
    for batch in batches(strips, batch_size):
        source = model.encode_image(model.array(pixels_of([strip for _, strip in batch])))
        reading = model.ctc_logits(source)
        frames, sure = read_ctc_frames(reading, vocabulary), reading_scores(reading)
        fonts = to_numpy(model.font_logits(source)) if with_fonts and model.font_head is not None else None
        for place, (of, strip) in enumerate(batch):
            text, where = frames[place]
            assign(of.texts, strip, text, where, model.config)
            if text:  # a strip on which nothing is read has no certainty
                of.certainties.append((sure[place], len(text)))
            if fonts is not None:
                of.fonts.append(fonts[place])
    for of, runs in zip(seen, blocks, strict=True):
        of.widths = sum(run.width for run in runs), sum(map(columns_of, of.texts))
    return seen


def agree_on_fonts(paragraphs: Sequence[Paragraph], fonts: Sequence[str]) -> None:
    """Choose the fonts of a page's paragraphs together, in place: a word or two tell little of theirs.

    A page has few fonts: the share of each is found by expectation maximisation, every letter counting alike, and is
    the prior of each paragraph. What a paragraph says for itself counts the more, the longer it is: half at
    `_TELLING` letters.
    """
    known = [(one, one.font_scores) for one in paragraphs if one.font_scores is not None]
    if not known:
        return
    logits = np.stack([scores for _, scores in known]).astype(np.float64)  # (N, F)
    letters = np.array([max(sum(map(str.isalpha, one.text)), 1) for one, _ in known])[:, None]
    own = (logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)) * letters / (letters + _TELLING)
    shares = np.full(len(fonts), 1 / len(fonts))
    for _ in range(_ROUNDS):
        posterior = own + np.log(shares + 1e-3)
        posterior -= np.logaddexp.reduce(posterior, axis=1, keepdims=True)
        shares = (np.exp(posterior) * letters).sum(0) / letters.sum()
    for (one, _), best in zip(known, posterior.argmax(1), strict=True):
        one.font = fonts[int(best)]


@inference
def translate_paragraphs(
    loaded: LoadedTranslator,
    paragraphs: Sequence[Paragraph],
    batch_size: int,
    generation: GenerationConfig,
    texts: Mapping[int, str] | None = None,
) -> None:
    """Translate and draw the sentences of paragraphs that were read, in place.

    Args:
        batch_size: strips at a time.
        generation: see ``generate``.
        texts: of each piece, by its ``id``, what to draw instead of the model's own translation.
    """
    model, vocabulary = loaded.model, loaded.vocabulary
    asked = [
        (paragraph, piece)
        for paragraph in paragraphs
        for piece in paragraph.pieces or [Piece(strip, []) for strip in paragraph.sentences]
        if piece.strip is not None
    ]
    glossary = generation.glossary
    insertions = None if glossary is None else glossary.insertions
    masked = masks_readings(model, vocabulary)
    words: dict[int, list[Word]] = {}
    for part in batches(asked, batch_size):
        fonts = [model.config.fonts.index(paragraph.font) for paragraph, _ in part if paragraph.font]
        known = model.array(np.array(fonts)) if fonts else None
        pixels = model.array(pixels_of([piece.strip for _, piece in part if piece.strip is not None]))
        literals = LiteralInks(part, model.config, generation.source_language, insertions, generation.numbers_for)
        made = generate(
            model,
            vocabulary,
            pixels,
            generation,
            texts=None if texts is None else [texts[id(piece)] for _, piece in part],
            fonts=known,
            prepared=literals.prepare if masked else None,
            inked=literals.inked if masked else no_inks,
        )
        drawn = 1 - to_numpy(made.pixels).mean(1)
        assert made.draft is not None
        strips = proofread(loaded, made.draft, made.spellings, drawn, generation, batch_size, made.lines)
        for place, (paragraph, piece) in enumerate(part):
            paragraph.translations.append(made.texts[place])
            paragraph.drawn.append(drawn[place])
            inks = literals.inks[place] if masked else {}
            set_words = assemble(made.spellings[place], strips[place].pictures, inks)
            columns, usual = paragraph.drawn_widths
            paragraph.drawn_widths = (
                columns + sum(picture.shape[1] for picture in strips[place].pictures),
                usual + columns_of(made.spellings[place].text),
            )
            if paragraph.pieces:
                words[id(piece)] = set_words
            else:
                paragraph.words += set_words
            scores = {"text": made.text_scores[place], "image": made.image_scores[place]}
            if texts is not None:
                del scores["text"]
            if strips[place].readings:
                scores["drawing"] = math.log(max(strips[place].certainty, 1e-6))
                paragraph.misdrawn += strips[place].misdrawn
            paragraph.scores.append(scores)
            if glossary is not None:
                paragraph.terms += asked_terms(glossary.annotate(literals.readings[place]), made.texts[place])
    for paragraph in paragraphs:
        paragraph.unwritable = vocabulary.unwritable(paragraph.translation)
        for piece in paragraph.pieces:
            if piece.begins and paragraph.words:
                paragraph.breaks.append(len(paragraph.words))
            paragraph.words += (
                words[id(piece)] if piece.strip is not None else kept_words(piece.runs, paragraph.text_alpha)
            )


def sentences(runs: Sequence[Item], texts: Sequence[str]) -> list[list[Item]]:
    """The runs of each sentence: one ends where a run's text does and the next one's begins like a sentence."""
    parts: list[list[Item]] = [[]]
    for index, run in enumerate(runs):
        parts[-1].append(run)
        following = next((text.strip() for text in texts[index + 1 :] if text.strip()), "")
        if following and _END.search(texts[index].strip()) and _BEGIN.match(following):
            parts.append([])
    return [part for part in parts if part]


def fitting(runs: Sequence[Run]) -> list[Strip]:
    """One strip for a sentence or, where it is longer than a strip, one for each of as few parts as are needed."""
    return [strip for strip, _ in fitted(runs)]


def fitted(runs: Sequence[Run]) -> list[tuple[Strip, list[Run]]]:
    """Strips as of ``fitting``, each with the runs that its places count."""
    strips = pack(runs)
    if len(strips) == 1 or len(runs) < 2:
        return [(strip, list(runs)) for strip in strips]
    middle = len(runs) // 2
    return [*fitted(runs[:middle]), *fitted(runs[middle:])]


def pieces_of(runs: Sequence[Run], texts: Sequence[str], language: str) -> list[Piece]:
    """What a paragraph consists of: its sentences, and between them list markers and what holds no words.

    Args:
        runs: in reading order, with what was read on each in ``texts``; one on which nothing was read goes with what
            follows it.
        language: of the text.
    """
    words = [(number, word) for number, text in enumerate(texts) for word in text.split()]
    raw = " ".join(word for _, word in words)
    word_numbers = [number for number, word in words for _ in f"{word} "][:-1]
    text = join_lines(lines_of(runs, texts), language)
    before = align(raw, text)
    owner_of = [word_numbers[start] for start, _ in before]
    parts = split_parts(text, language)
    sentence_of: dict[int, int] = {}  # of a run: the part in which it begins, or -1 - part: what stands before that
    for number, part in enumerate(parts):
        for place in range(part.start, part.end):
            sentence_of.setdefault(owner_of[place], number)
    groups: list[tuple[int, list[Run]]] = []
    waiting: list[Run] = []
    for number, run in enumerate(runs):
        key = sentence_of.get(number)
        if key is None and not texts[number].strip():
            waiting.append(run)
            continue
        if key is None:  # a marker or a separator: before the part that follows
            key = -1 - next(
                (sentence_of[later] for later in range(number, len(runs)) if later in sentence_of), len(parts)
            )
        if not groups or groups[-1][0] != key:
            groups.append((key, []))
        groups[-1][1].extend([*waiting, run])
        waiting = []
    if waiting:
        groups = groups or [(0, [])]
        groups[-1][1].extend(waiting)
    numbers = {id(run): number for number, run in enumerate(runs)}
    pieces = []
    for key, members in groups:
        read = " ".join(texts[numbers[id(run)]] for run in members).strip()
        begins = key < 0 and -1 - key < len(parts) and bool(parts[-1 - key].marker)
        if key < 0 or (read and prepare(read, language).wordless):
            pieces.append(Piece(None, members, read, begins))
        else:
            sentence = (key, text[parts[key].start : parts[key].end] if 0 <= key < len(parts) else read)
            pieces += [Piece(strip, kept, sentence=sentence) for strip, kept in fitted(members)]
    return pieces
