"""Decoding of text, by greedy or beam search with key/value caches, and of whole pages: read, write, draw.

Shapes: B batch, E beams, T pieces, C characters, N image tokens, V vocabulary.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from translatotron_v.data.literals import repair
from translatotron_v.data.pages import drawing_ids, longest_transcript, pad
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.decoding.image import generate_image, generate_image_masked
from translatotron_v.decoding.source import Prepare, encode_and_read, masks_readings, read_ctc
from translatotron_v.decoding.spelling import Spelling, spell, spell_plainly
from translatotron_v.decoding.text_mode import Prepared
from translatotron_v.generation_config import GenerationConfig, check_option
from translatotron_v.models.text_decoder import TextDecoder
from translatotron_v.models.translator import SourceStates, TranslatotronV

Hypothesis = tuple[float, list[int]]  # mean log-probability (nats) of a piece, and pieces without tags and end
Accepts = Callable[[str], bool]  # whether a text will do, such as one that holds each placeholder of its source once
Inked = Callable[[int], Collection[int]]  # given a page's number, the placeholders whose literals have ink of their own
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
    """

    texts: list[str]
    sources: list[str]
    image_ids: Tensor
    pixels: Tensor
    text_scores: list[float] = field(default_factory=list)
    image_scores: list[float] = field(default_factory=list)
    spellings: list[Spelling] = field(default_factory=list)
    draft: "Draft | None" = None


@dataclass
class Draft:
    """What the pictures of a batch are drawn from.

    Attributes:
        states, mask: (B, T, D) of the text decoder, and (B, T), true where one writes a piece of the translation.
        first: for each text, the position of its first piece among the states.
        memory: (B, S, D) that the image decoder reads.
        fonts: (B,), the fonts to draw in, where the model knows several.
    """

    states: Tensor
    mask: Tensor
    first: list[int]
    memory: Tensor
    fonts: Tensor | None

    def rows(self, numbers: Sequence[int]) -> "Draft":
        """Those of some of the texts."""
        chosen = list(numbers)
        fonts = None if self.fonts is None else self.fonts[chosen]
        first = [self.first[number] for number in chosen]
        return Draft(self.states[chosen], self.mask[chosen], first, self.memory[chosen], fonts)


def no_inks(number: int) -> Collection[int]:
    """Every literal is drawn."""
    return ()


@torch.inference_mode()
def generate(
    model: TranslatotronV,
    vocabulary: Vocabulary,
    pixels: Tensor,
    generation: GenerationConfig,
    *,
    cached: bool = True,
    texts: Sequence[str] | None = None,
    fonts: Tensor | None = None,
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
            ``generate_answer``); ``image_steps`` are those of ``generate_image_masked``; the glossary is written into
            each reading, unless ``prepared`` does that.
        cached: ``False`` recomputes the whole prefix at each step, for comparison.
        texts: translations to draw instead of the model's own.
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
        encoded = [vocabulary.encode(text)[: model.text_decoder.max_length - 2] for text in texts]
        tags = [vocabulary.tag("translate"), vocabulary.tag(generation.target_language)]
        decoded = DecodedText(encoded, list(texts), [0.0] * len(texts), prefixes=[tags] * len(texts))
    draft = make_draft(model, source, decoded, fonts)
    drawn, mask = spelled_states(model, vocabulary, draft, decoded.ids, spellings)
    if generation.image_steps:
        ids, scores = generate_image_masked(
            model.image_decoder, drawn, mask, draft.memory, steps=generation.image_steps
        )
    else:
        ids, scores = generate_image(model.image_decoder, drawn, mask, draft.memory, generation, cached=cached)
    return Generated(
        texts=decoded.texts,
        sources=decoded.transcripts or read_source(model, vocabulary, source, generation.source_language),
        image_ids=ids,
        pixels=model.image_tokenizer.decode_from_ids(ids),
        text_scores=decoded.scores,
        image_scores=scores,
        spellings=spellings or [spell_plainly(vocabulary.spell(row)) for row in decoded.ids],
        draft=draft,
    )


@torch.inference_mode()
def redraw(
    model: TranslatotronV,
    vocabulary: Vocabulary,
    draft: Draft,
    spellings: Sequence[Spelling],
    generation: GenerationConfig,
) -> Tensor:
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
    model: TranslatotronV,
    vocabulary: Vocabulary,
    source: SourceStates,
    decoded: DecodedText,
    fonts: Tensor | None = None,
    spellings: Sequence[Spelling] | None = None,
) -> tuple[Tensor, Tensor]:
    """Text states of decoded pieces for the image decoder, exactly as training makes them: (B, C, D) and (B, C).

    The states of the translation's pieces, not of a transcript before them. ``fonts`` (B,) are the fonts to draw in,
    by default those that the pages are set in. ``spellings`` say what is drawn, by default what the pieces write.
    """
    draft = make_draft(model, source, decoded, fonts)
    return spelled_states(model, vocabulary, draft, decoded.ids, spellings)


def make_draft(model: TranslatotronV, source: SourceStates, decoded: DecodedText, fonts: Tensor | None = None) -> Draft:
    """What decoded texts are drawn from; see ``drawing_states``."""
    device = source.memory.device
    rows = [[*prefix, *ids] for prefix, ids in zip(decoded.prefixes, decoded.ids, strict=True)]
    target_input = pad(rows).to(device)
    place = torch.arange(target_input.shape[1])
    first = torch.tensor([len(prefix) - 1 for prefix in decoded.prefixes])  # the language tag writes the first piece
    lengths = torch.tensor([len(row) for row in rows])
    text_mask = (place >= first[:, None]) & (place < lengths[:, None])
    _, states = model.text_decoder(target_input, source.memory, source.mask)
    if fonts is None and model.font_head is not None:
        fonts = model.font_logits(source).argmax(1)
    return Draft(states, text_mask.to(device), first.tolist(), source.image_memory, fonts)


def spelled_states(
    model: TranslatotronV,
    vocabulary: Vocabulary,
    draft: Draft,
    ids: Sequence[Sequence[int]],
    spellings: Sequence[Spelling] | None = None,
) -> tuple[Tensor, Tensor]:
    """What the image decoder reads, (B, C, D) and (B, C): of what ``spellings`` say, or else of the pieces ``ids``."""
    device, longest = draft.states.device, drawing_length(model)
    if spellings is None:
        characters, char_to_token = drawing_ids(vocabulary, ids, longest, draft.first)
    else:
        written = [spelling.characters[:longest] for spelling in spellings]
        characters = pad([vocabulary.encode_characters(sign for sign, _ in row) or [PAD] for row in written])
        char_to_token = pad(
            [[start + owner for _, owner in row] or [start] for row, start in zip(written, draft.first, strict=True)]
        )
    characters, char_to_token = characters.to(device), char_to_token.to(device)
    return model.drawing_states(
        draft.states, draft.mask, characters, drawing_mask(characters), char_to_token, draft.fonts
    )


def drawing_length(model: TranslatotronV) -> int:
    """How many characters of a text are drawn."""
    return model.config.character_encoder.max_length


def drawing_mask(characters: Tensor) -> Tensor:
    """(B, C) true where there is a character; an empty text keeps one position, so that attention has something."""
    mask = characters != PAD
    mask[:, 0] = True
    return mask


def read_source(model: TranslatotronV, vocabulary: Vocabulary, source: SourceStates, language: str) -> list[str]:
    """The text that stands on the source pages: from the CTC head where there is one, else from the OCR head."""
    if model.ctc_head is not None:
        return read_ctc(model.ctc_logits(source), vocabulary)
    assert source.reading is not None
    return generate_text(model.ocr_head, vocabulary, source.reading, None, "ocr", language).texts


@torch.inference_mode()
def generate_text(
    decoder: TextDecoder,
    vocabulary: Vocabulary,
    memory: Tensor,
    mask: Tensor | None,
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
    rows = list(range(memory.shape[0]))
    for width in dict.fromkeys((beams, max(beams, SECOND_BEAMS)) if accepts is not None else (beams,)):
        seen = (memory, mask) if not found else (memory[rows], None if mask is None else mask[rows])
        prompts = torch.tensor([tags] * len(rows), device=memory.device)
        scorer = _PieceScorer(decoder, vocabulary, *seen, width, cached, transcribes=task == "ocr")
        if width == 1:
            hypotheses = [[one] for one in zip(*reversed(_greedy(scorer, prompts, longest, width)), strict=True)]
        else:
            hypotheses = _beam_hypotheses(scorer, prompts, longest, width)
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


@torch.inference_mode()
def translate_pieces(
    model: TranslatotronV,
    vocabulary: Vocabulary,
    pieces: Sequence[Sequence[int]],
    target_language: str,
    beams: int = 1,
    accepts: Sequence[Accepts] | None = None,
) -> DecodedText:
    """Text mode: translate source texts given as pieces, cut to the longest that it takes; see ``generate_text``."""
    longest = model.config.text_encoder.max_length - 1
    ids = pad([[*row[:longest], EOS] for row in pieces]).to(next(model.parameters()).device)
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


@torch.inference_mode()
def generate_answer(
    model: TranslatotronV,
    vocabulary: Vocabulary,
    source: SourceStates,
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
    prompts = torch.tensor([opening] * source.memory.shape[0], device=source.memory.device)
    scorer = _PieceScorer(decoder, vocabulary, source.memory, source.mask, 1, cached, transcribes=True)
    written, ids, scores = _greedy_in_two_parts(
        scorer, prompts, translate_tags, longest_transcript(decoder.max_length), decoder.max_length
    )
    prefixes = [[*opening, *row, *translate_tags] for row in written]
    if beams > 1:
        ids, scores = _beam_search_by_length(decoder, vocabulary, source, prefixes, beams, cached)
    return DecodedText(
        ids, [vocabulary.decode(row) for row in ids], scores, [vocabulary.decode(row) for row in written], prefixes
    )


class _PieceScorer:
    """Log-probabilities of the next piece, with a cache or by recomputing the prefix.

    With ``transcribes`` the task tag that follows a transcript counts as its end.
    """

    def __init__(
        self,
        decoder: TextDecoder,
        vocabulary: Vocabulary,
        memory: Tensor,
        mask: Tensor | None,
        beams: int,
        cached: bool,
        transcribes: bool = False,
    ):
        self.decoder = decoder
        self.memory = memory.repeat_interleave(beams, 0)
        self.mask = None if mask is None else mask.repeat_interleave(beams, 0)
        self.cache = decoder.start(self.memory, self.mask, decoder.max_length) if cached else None
        self.banned = torch.tensor(vocabulary.unwritten)
        self.translate = vocabulary.tag("translate")
        self.transcribes = transcribes

    def __call__(self, prefix: Tensor, transcribing: Tensor | None = None) -> Tensor:
        """(rows, T) -> (rows, V): how likely each piece comes next; special symbols but the end never do.

        ``transcribing`` (rows,) is true where a row still transcribes; without it all do.
        """
        if self.cache is None:
            logits = self.decoder(prefix, self.memory, self.mask)[0][:, -1]
        else:
            for position in range(self.cache.length, prefix.shape[1]):
                logits = self.decoder.step(prefix[:, position : position + 1], self.cache)[0][:, -1]
        scores = F.log_softmax(logits.float(), dim=-1)
        if self.transcribes:
            end = torch.logaddexp(scores[:, EOS], scores[:, self.translate])
            scores[:, EOS] = end if transcribing is None else torch.where(transcribing, end, scores[:, EOS])
        scores[:, self.banned.to(scores.device)] = float("-inf")
        return scores

    def reorder(self, rows: Tensor) -> None:
        if self.cache is not None:
            self.cache.reorder(rows)


def _greedy(scorer: _PieceScorer, prompts: Tensor, longest: int, _: int) -> tuple[list[list[int]], list[float]]:
    """Best piece after best piece from prompts (B, P): pieces of each row, and their mean log-probability."""
    prefix = prompts
    total = torch.zeros(len(prompts), device=prompts.device)
    count = torch.zeros_like(total)
    alive = torch.ones(len(prompts), dtype=torch.bool, device=prompts.device)
    for _step in range(longest):
        best, piece = scorer(prefix).max(-1)
        piece = piece.masked_fill(~alive, EOS)
        total += best * alive
        count += alive
        prefix = torch.cat((prefix, piece[:, None]), dim=1)
        alive = alive & (piece != EOS)
        if not alive.any():
            break
    return [_until_end(row) for row in prefix[:, prompts.shape[1] :].tolist()], (total / count).tolist()


def _greedy_in_two_parts(
    scorer: _PieceScorer, prompts: Tensor, translate_tags: list[int], longest_first: int, longest: int
) -> tuple[list[list[int]], list[list[int]], list[float]]:
    """Greedy transcript, then ``translate_tags`` (which ask for a translation), then greedy translation.

    The rows change from one part to the other at their own steps, so that the batch stays together.

    Returns:
        Pieces of the transcripts, pieces of the translations, and the translations' mean log-probability of a piece.
    """
    prefix = prompts
    device = prompts.device
    total = torch.zeros(len(prompts), device=device)
    count = torch.zeros_like(total)
    # How many of those tags each row has been given; -1: the row still transcribes.
    given = torch.full((len(prompts),), -1, device=device)
    alive = torch.ones(len(prompts), dtype=torch.bool, device=device)
    tags = torch.tensor(translate_tags, device=device)
    for step in range(longest - prompts.shape[1]):
        best, piece = scorer(prefix, given == -1).max(-1)
        translating = given == len(translate_tags)
        piece = piece.masked_fill(~alive, EOS)
        total += best * (alive & translating)
        count += alive & translating
        turns = (given == -1) & ((piece == EOS) | (step == longest_first))
        given = torch.where(turns, 0, given)
        forced = (given >= 0) & (given < len(translate_tags))
        piece = torch.where(forced, tags[given.clamp(0, len(translate_tags) - 1)], piece)
        given = given + forced.long()
        alive = alive & ~(translating & (piece == EOS))
        prefix = torch.cat((prefix, piece[:, None]), dim=1)
        if not alive.any():
            break
    written, ids = [], []
    for row in prefix[:, prompts.shape[1] :].tolist():
        end = row.index(translate_tags[0])  # a transcript holds no tag
        written.append(row[:end])
        ids.append(_until_end(row[end + len(translate_tags) :]))
    return written, ids, (total / count.clamp(min=1)).tolist()


def _until_end(row: list[int]) -> list[int]:
    return row[: row.index(EOS)] if EOS in row else row


def _beam_search_by_length(
    decoder: TextDecoder,
    vocabulary: Vocabulary,
    source: SourceStates,
    prefixes: list[list[int]],
    beams: int,
    cached: bool,
) -> tuple[list[list[int]], list[float]]:
    """Beam search from a prefix of its own for each row; those of one length search together."""
    groups: dict[int, list[int]] = {}
    for row, prefix in enumerate(prefixes):
        groups.setdefault(len(prefix), []).append(row)
    ids: list[list[int]] = [[] for _ in prefixes]
    scores = [0.0] * len(prefixes)
    for length, rows in groups.items():
        mask = None if source.mask is None else source.mask[rows]
        scorer = _PieceScorer(decoder, vocabulary, source.memory[rows], mask, beams, cached)
        prompts = torch.tensor([prefixes[row] for row in rows], device=source.memory.device)
        found = _beam_search(scorer, prompts, decoder.max_length - length, beams)
        for row, pieces, score in zip(rows, *found, strict=True):
            ids[row], scores[row] = pieces, score
    return ids, scores


def _beam_search(
    scorer: _PieceScorer, prompts: Tensor, longest: int, beams: int
) -> tuple[list[list[int]], list[float]]:
    """The best of ``_beam_hypotheses`` for each page: pieces, and mean log-probability."""
    best = [ranked[0] for ranked in _beam_hypotheses(scorer, prompts, longest, beams)]
    return [row for _, row in best], [score for score, _ in best]


def _beam_hypotheses(scorer: _PieceScorer, prompts: Tensor, longest: int, beams: int) -> list[list[Hypothesis]]:
    """Beam search that ranks by the mean log-probability of a piece; a page ends with its ``beams``-th hypothesis.

    Returns:
        The finished hypotheses of each page, the best first; where none is finished, the best that is not.
    """
    device = prompts.device
    batch, given = prompts.shape
    prefix = prompts.repeat_interleave(beams, 0)
    total = torch.full((batch, beams), float("-inf"), device=device)
    total[:, 0] = 0.0  # all beams start alike: only the first may speak
    finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(batch)]
    offsets = torch.arange(batch, device=device)[:, None] * beams
    for length in range(1, longest + 1):
        scores = scorer(prefix).unflatten(0, (batch, beams)) + total[..., None]  # (B, E, V)
        best, flat = scores.flatten(1).topk(2 * beams)  # enough that E unfinished ones remain
        beam, piece = flat // scores.shape[-1], flat % scores.shape[-1]
        ended = piece == EOS
        # A page that has its hypotheses takes no more, however long its neighbours in the batch go on.
        done = [len(found) >= beams for found in finished]
        for page, rank in ended.nonzero().tolist():
            if rank < beams and not done[page]:
                row = prefix[page * beams + int(beam[page, rank]), given:].tolist()
                finished[page].append((float(best[page, rank]) / length, row))
        order = ended.int().argsort(dim=1, stable=True)[:, :beams]
        total, beam, piece = (part.gather(1, order) for part in (best, beam, piece))
        rows = (beam + offsets).flatten()
        prefix = torch.cat((prefix.index_select(0, rows), piece.flatten()[:, None]), dim=1)
        scorer.reorder(rows)
        if all(len(found) >= beams for found in finished):
            break
    results = []
    for page, found in enumerate(finished):
        row = prefix[page * beams, given:].tolist()
        results.append(sorted(found, reverse=True) if found else [(float(total[page, 0]) / len(row), row)])
    return results
