"""Decoding of text, and of whole pages: read, write, draw.

Shapes: B batch, E beams, T pieces, C characters, N image tokens, V vocabulary.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from translatotron_v.data.ids import drawing_ids, longest_transcript, pad
from translatotron_v.data.literals import Literal, repair
from translatotron_v.data.marks import LITERALS
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.decoding.arrays import Array, inference, like
from translatotron_v.decoding.image import generate_image, generate_image_masked
from translatotron_v.decoding.search import (
    Hypothesis,
    PieceScorer,
    beam_hypotheses,
    beam_search_by_length,
    greedy,
    greedy_in_two_parts,
)
from translatotron_v.decoding.source import Prepare, encode_and_read, masks_readings, read_ctc
from translatotron_v.decoding.spelling import Spelling, spell, spell_plainly
from translatotron_v.decoding.text_mode import Answer, Prepared, as_it_is, translate_texts
from translatotron_v.decoding.words import Draft as Draft
from translatotron_v.decoding.words import draw_words
from translatotron_v.decoding.words import drawing_length as drawing_length
from translatotron_v.decoding.words import drawing_mask as drawing_mask
from translatotron_v.generation_config import WORDS, GenerationConfig, check_option

if TYPE_CHECKING:
    from translatotron_v.models.states import SourceStates
    from translatotron_v.models.text_decoder import TextDecoder
    from translatotron_v.models.translator import TranslatotronV

Accepts = Callable[[str], bool]  # whether a text will do, such as one that holds each placeholder of its source once
Inked = Callable[[int], Collection[int]]  # given a page's number, the placeholders whose literals have ink of their own
Batches = Callable[[Sequence[int]], Iterable[Sequence[int]]]  # cuts places into batches
SECOND_BEAMS = 4  # of the search for an answer that is accepted, where the greedy one is not


@dataclass
class DecodedText:
    """Text that a decoder has written.

    Attributes:
        ids: pieces of each text, without tags and end.
        texts: what they spell.
        scores: mean log-probability (nats) of a piece, the end included.
        transcripts: what the decoder wrote of the source before its translation; empty where it was not asked to.
        prefixes: the decoder's input before the first piece: tags and, where there is one, the transcript.
    """

    ids: list[list[int]]
    texts: list[str]
    scores: list[float]
    transcripts: list[str] = field(default_factory=list)
    prefixes: list[list[int]] = field(default_factory=list)


@dataclass
class Generated:
    """What a translator made of a batch of pages.

    Attributes:
        texts: the translations; ``sources`` are what was read on the pages: the transcripts of a model that writes
            them before its translations, else what the CTC head (or else the OCR head) read.
        image_ids: (B, N).
        pixels: (B, channels, H, W) in [0, 1].
        text_scores, image_scores: mean log-probability (nats) of a piece and of an image token.
        spellings: how each translation was drawn.
        draft: what the pictures were drawn from, for drawing parts of them again.
        lines: of pictures that were drawn word by word, each word alone on a line; see ``words.Drawing``.
    """

    texts: list[str]
    sources: list[str]
    image_ids: Array
    pixels: Array
    text_scores: list[float] = field(default_factory=list)
    image_scores: list[float] = field(default_factory=list)
    spellings: list[Spelling] = field(default_factory=list)
    draft: Draft | None = None
    lines: list[list[np.ndarray]] = field(default_factory=list)


def runs_of_64(places: Sequence[int]) -> Iterator[Sequence[int]]:
    """Batches of 64."""
    return (places[start : start + 64] for start in range(0, len(places), 64))


def no_inks(number: int) -> Collection[int]:
    """Every literal is drawn."""
    return ()


@inference
def generate(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    pixels: Array,
    generation: GenerationConfig,
    *,
    cached: bool = True,
    texts: Sequence[str] | None = None,
    fonts: Array | None = None,
    prepared: Prepare | None = None,
    inked: Inked = no_inks,
) -> Generated:
    """Translate pages: read, write the text, draw the picture.

    With a vocabulary of marks and a model that reads first, literals of the reading go through as placeholders, every
    one of which stands in the answer exactly once.

    Args:
        model: in evaluation mode.
        pixels: (B, channels, H, W) in [0, 1].
        generation: both languages are named. With ``transcribe`` the answer begins with a transcript (see
            ``generate_answer``); ``image_steps`` are those of ``generate_image_masked``, ``drawing`` may be that of
            ``draw_words``; the glossary is written into each reading, unless ``prepared`` does that.
        cached: ``False`` recomputes the whole prefix at each step, for comparison.
        texts: translations to draw instead of the model's own. A literal of the source that stands in one as it does
            there is drawn as ``inked`` says.
        fonts: (B,), the fonts to draw in; by default those that the pages are set in.
        prepared: what becomes of each reading before it is understood, by default ``text_mode.prepare``.
        inked: given a page's number, the placeholders whose literals are not drawn, since their ink is to be had.

    Raises:
        UserError: an unknown language, or more passes of parallel decoding than there are tokens.
    """
    insertions = None if generation.glossary is None else generation.glossary.insertions
    source, sentences = encode_and_read(
        model, vocabulary, pixels, generation.source_language, prepared, insertions, generation.numbers_for
    )
    spellings: list[Spelling] | None = None
    if texts is None:
        decoded = generate_answer(
            model,
            vocabulary,
            source,
            generation,
            cached=cached,
            accepts=[sentence.accepts for sentence in sentences] if masks_readings(model, vocabulary) else None,
        )
        if masks_readings(model, vocabulary):
            spellings = finish_answers(vocabulary, decoded, sentences, inked, model.text_decoder.max_length)
    else:
        given = [
            with_placeholders(text, sentences[number].literals, inked(number)) if sentences else text
            for number, text in enumerate(texts)
        ]
        encoded = [vocabulary.encode(text)[: model.text_decoder.max_length - 2] for text in given]
        tags = [vocabulary.tag("translate"), vocabulary.tag(generation.target_language)]
        decoded = DecodedText(encoded, list(texts), [0.0] * len(texts), prefixes=[tags] * len(texts))
        if given != list(texts):
            spellings = [
                spell(vocabulary.spell(ids), replace(sentence, case=""), inked(number))
                for number, (ids, sentence) in enumerate(zip(encoded, sentences, strict=True))
            ]
    draft = make_draft(model, source, decoded, fonts)
    sources = decoded.transcripts or read_source(model, vocabulary, source, generation.source_language)
    plain = [spell_plainly(vocabulary.spell(row)) for row in decoded.ids] if spellings is None else spellings
    if generation.drawing == WORDS:
        made = draw_words(model, vocabulary, draft, plain, generation, cached=cached)
        scored = {"text_scores": decoded.scores, "image_scores": made.scores}
        return Generated(
            decoded.texts, sources, made.ids, made.pixels, **scored, spellings=plain, draft=draft, lines=made.lines
        )
    drawn, mask = spelled_states(model, vocabulary, draft, decoded.ids, spellings)
    if generation.image_steps:
        ids, scores = generate_image_masked(
            model.image_decoder, drawn, mask, draft.memory, steps=generation.image_steps
        )
    else:
        ids, scores = generate_image(model.image_decoder, drawn, mask, draft.memory, generation, cached=cached)
    return Generated(
        texts=decoded.texts,
        sources=sources,
        image_ids=ids,
        pixels=model.image_tokenizer.decode_from_ids(ids),
        text_scores=decoded.scores,
        image_scores=scores,
        spellings=plain,
        draft=draft,
    )


def with_placeholders(text: str, literals: Sequence[Literal], inked: Collection[int]) -> str:
    """A text with placeholders for the literals whose ink is known, where they stand in it as in the source."""
    for number in sorted(inked):
        pattern = rf"(?<!\w){re.escape(literals[number].text)}(?!\w)"
        text = re.sub(pattern, LITERALS[number], text, count=1)
    return text


@inference
def redraw(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    draft: Draft,
    spellings: Sequence[Spelling],
    generation: GenerationConfig,
) -> Array:
    """Draw texts, or some of their words, once more: pictures (B, channels, H, W) in [0, 1].

    Args:
        draft: of the texts.
        spellings: for each text the words that are drawn, each character with the number of its piece.
        generation: `top_k` above 1 draws by chance.
    """
    drawn, mask = spelled_states(model, vocabulary, draft, [[]] * len(spellings), spellings)
    ids, _ = generate_image(model.image_decoder, drawn, mask, draft.memory, generation)
    return model.image_tokenizer.decode_from_ids(ids)


def finish_answers(
    vocabulary: Vocabulary,
    decoded: DecodedText,
    sentences: Sequence[Prepared],
    inked: Inked = no_inks,
    longest: int = 0,
) -> list[Spelling]:
    """Repair answers with placeholders and put case and literals back, in place; how each is to be drawn.

    Args:
        inked: given an answer's number, the placeholders whose literals are not drawn.
        longest: pieces that the decoder takes, tags included; an answer that repair makes longer loses its end.
    """
    spellings = []
    for number, (sentence, ids) in enumerate(zip(sentences, decoded.ids, strict=True)):
        answer = vocabulary.decode(ids)
        if not sentence.accepts(answer):
            ids = vocabulary.encode(repair(answer, len(sentence.literals)))
            room = longest - len(decoded.prefixes[number])
            decoded.ids[number] = ids[:room] if longest else ids
        spellings.append(spell(vocabulary.spell(decoded.ids[number]), sentence, inked(number)))
        decoded.texts[number] = sentence.finish(answer)
    return spellings


def drawing_states(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    source: "SourceStates",
    decoded: DecodedText,
    fonts: Array | None = None,
    spellings: Sequence[Spelling] | None = None,
) -> tuple[Array, Array]:
    """Text states of decoded pieces for the image decoder, exactly as training makes them: (B, C, D) and (B, C).

    The states of the translation's pieces, not of a transcript before them. ``fonts`` (B,) are the fonts to draw in,
    by default those that the pages are set in. ``spellings`` say what is drawn, by default what the pieces write.
    """
    draft = make_draft(model, source, decoded, fonts)
    return spelled_states(model, vocabulary, draft, decoded.ids, spellings)


def make_draft(
    model: "TranslatotronV", source: "SourceStates", decoded: DecodedText, fonts: Array | None = None
) -> Draft:
    """What decoded texts are drawn from; see ``drawing_states``."""
    rows = [[*prefix, *ids] for prefix, ids in zip(decoded.prefixes, decoded.ids, strict=True)]
    target_input = pad(rows)
    place = np.arange(target_input.shape[1])
    first = np.array([len(prefix) - 1 for prefix in decoded.prefixes])  # the language tag writes the first piece
    lengths = np.array([len(row) for row in rows])
    text_mask = (place >= first[:, None]) & (place < lengths[:, None])
    states = model.text_decoder.states(like(target_input, source.memory), source.memory, source.mask)
    if fonts is None and model.font_head is not None:
        fonts = model.font_logits(source).argmax(1)
    return Draft(states, like(text_mask, states), first.tolist(), source.image_memory, fonts)


def spelled_states(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    draft: Draft,
    ids: Sequence[Sequence[int]],
    spellings: Sequence[Spelling] | None = None,
) -> tuple[Array, Array]:
    """What the image decoder reads, (B, C, D) and (B, C): of what ``spellings`` say, or else of the pieces ``ids``."""
    longest = drawing_length(model)
    if spellings is None:
        characters, char_to_token = drawing_ids(vocabulary, ids, longest, draft.first)
    else:
        written = [spelling.characters[:longest] for spelling in spellings]
        characters = pad([vocabulary.encode_characters(sign for sign, _ in row) or [PAD] for row in written])
        char_to_token = pad(
            [[start + owner for _, owner in row] or [start] for row, start in zip(written, draft.first, strict=True)]
        )
    characters, char_to_token = like(characters, draft.states), like(char_to_token, draft.states)
    return model.drawing_states(
        draft.states, draft.mask, characters, drawing_mask(characters), char_to_token, draft.fonts
    )


def read_source(model: "TranslatotronV", vocabulary: Vocabulary, source: "SourceStates", language: str) -> list[str]:
    """The text that stands on the source pages: from the CTC head where there is one, else from the OCR head."""
    if model.ctc_head is not None:
        return read_ctc(model.ctc_logits(source), vocabulary)
    assert source.reading is not None and model.ocr_head is not None
    return generate_text(model.ocr_head, vocabulary, source.reading, None, "ocr", language).texts


@inference
def generate_text(
    decoder: "TextDecoder",
    vocabulary: Vocabulary,
    memory: Array,
    mask: Array | None,
    task: str,
    language: str,
    beams: int = 1,
    cached: bool = True,
    accepts: Sequence[Accepts] | None = None,
) -> DecodedText:
    """Write text from a memory (B, S, D); ``task`` and ``language`` are the tags that the decoder starts from.

    A transcript (task ``ocr``) also ends where the decoder would go on to translate. With ``accepts``, one for each
    row, the best hypothesis that is accepted is the answer, and the best of all only where none is; rows whose greedy
    answer is not accepted are searched again with ``SECOND_BEAMS``.
    """
    check_option("beams", beams)
    tags = [vocabulary.tag(task), vocabulary.tag(language)]
    longest = decoder.max_length - len(tags)
    found: dict[int, list[Hypothesis]] = {}
    rows = list(range(len(memory)))
    for width in dict.fromkeys((beams, max(beams, SECOND_BEAMS)) if accepts is not None else (beams,)):
        seen = (memory, mask) if not found else (memory[rows], None if mask is None else mask[rows])
        prompts = np.array([tags] * len(rows))
        scorer = PieceScorer(decoder, vocabulary, *seen, width, cached, transcribes=task == "ocr")
        if width == 1:
            hypotheses = [[one] for one in zip(*reversed(greedy(scorer, prompts, longest)), strict=True)]
        else:
            hypotheses = beam_hypotheses(scorer, prompts, longest, width)
        found |= dict(zip(rows, hypotheses, strict=True))
        if accepts is None:
            break
        spelled = {row: [vocabulary.decode(ids) for _, ids in found[row]] for row in rows}
        rows = [row for row in rows if not any(map(accepts[row], spelled[row]))]
        if not rows or beams > 1:
            break
    ids, scores = [], []
    for row, ranked in sorted(found.items()):
        best = ranked[0]
        if accepts is not None:
            best = next((one for one in ranked if accepts[row](vocabulary.decode(one[1]))), best)
        scores.append(best[0])
        ids.append(best[1])
    return DecodedText(ids, [vocabulary.decode(row) for row in ids], scores, prefixes=[tags] * len(ids))


@inference
def translate_pieces(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    pieces: Sequence[Sequence[int]],
    target_language: str,
    beams: int = 1,
    accepts: Sequence[Accepts] | None = None,
) -> DecodedText:
    """Text mode: translate source texts given as pieces, cut to the longest that it takes; see ``generate_text``."""
    longest = model.config.text_encoder.max_length - 1
    ids = model.array(pad([[*row[:longest], EOS] for row in pieces]))
    source = model.encode_text(ids, ids != PAD)
    return generate_text(
        model.text_decoder,
        vocabulary,
        source.memory,
        source.mask,
        "translate",
        target_language,
        beams,
        accepts=accepts,
    )


def answer_texts(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    texts: Sequence[str],
    generation: GenerationConfig,
    in_batches: Batches = runs_of_64,
) -> list[Answer]:
    """Text mode: translate texts, sentence by sentence where the vocabulary has marks; like lengths share a batch.

    Args:
        texts: as of ``text_mode.translate_texts``; a vocabulary without marks gets them as they are.
        generation: both languages are named; its beams, glossary and numbers.
        in_batches: cuts places of sentences, sorted by length, into batches.
    """

    def translate(sentences: Sequence[Prepared]) -> list[Answer]:
        pieces = [vocabulary.encode(sentence.text) for sentence in sentences]
        found = [Answer("")] * len(pieces)
        for places in in_batches(sorted(range(len(pieces)), key=lambda place: len(pieces[place]))):
            accepts = [sentences[place].accepts for place in places] if marked else None
            batch = [pieces[place] for place in places]
            decoded = translate_pieces(model, vocabulary, batch, generation.target_language, generation.beams, accepts)
            for place, text, score, ids in zip(places, decoded.texts, decoded.scores, decoded.ids, strict=True):
                found[place] = Answer(text, score, len(ids))
        return found

    if not (marked := vocabulary.knows(LITERALS[0])):
        return translate([as_it_is(text) for text in texts])
    insertions = None if generation.glossary is None else generation.glossary.insertions
    language = generation.source_language
    return translate_texts(texts, translate, language, vocabulary.unwritable, insertions, generation.numbers_for)


@inference
def generate_answer(
    model: "TranslatotronV",
    vocabulary: Vocabulary,
    source: "SourceStates",
    generation: GenerationConfig,
    *,
    cached: bool = True,
    accepts: Sequence[Accepts] | None = None,
) -> DecodedText:
    """Translate what was seen or read and, with ``transcribe``, write down the source first (SSR, arXiv 2507.08309).

    A model that was trained by SSR answers ``<ocr> transcript <translate> translation``; the answer is split here. Its
    transcript is written greedily, ``beams`` are those of the translation.
    """
    decoder, beams, target_language = model.text_decoder, generation.beams, generation.target_language
    if not generation.transcribe:
        return generate_text(
            decoder, vocabulary, source.memory, source.mask, "translate", target_language, beams, cached, accepts
        )
    opening = [vocabulary.tag("ocr"), vocabulary.tag(generation.source_language)]
    translate_tags = [vocabulary.tag("translate"), vocabulary.tag(target_language)]
    prompts = np.array([opening] * len(source.memory))
    scorer = PieceScorer(decoder, vocabulary, source.memory, source.mask, 1, cached, transcribes=True)
    written, ids, scores = greedy_in_two_parts(
        scorer, prompts, translate_tags, longest_transcript(decoder.max_length), decoder.max_length
    )
    prefixes = [[*opening, *row, *translate_tags] for row in written]
    if beams > 1:
        ids, scores = beam_search_by_length(decoder, vocabulary, source, prefixes, beams, cached)
    return DecodedText(
        ids, [vocabulary.decode(row) for row in ids], scores, [vocabulary.decode(row) for row in written], prefixes
    )
