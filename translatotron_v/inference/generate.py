"""Decoding: text by greedy or beam search, image tokens greedily or from the top k, both with key/value caches.

Shapes: B batch, E beams, T pieces, C characters, N image tokens, V vocabulary, K codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from translatotron_v.data.pages import drawing_ids, pad
from translatotron_v.data.vocabulary import BOS, EOS, LANGUAGES, PAD, TASKS, UNKNOWN, Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.models.image_decoder import ImageDecoder
from translatotron_v.models.text_decoder import TextDecoder
from translatotron_v.models.translator import SourceStates, TranslatotronV


@dataclass
class DecodedText:
    """Text that a decoder has written.

    Attributes:
        ids: pieces of each text, without tags and end.
        texts: what they spell.
        scores: mean log-probability (nats) of a piece, the end included.
    """

    ids: list[list[int]]
    texts: list[str]
    scores: list[float]


@dataclass
class Generated:
    """What a translator made of a batch of pages.

    Attributes:
        texts: the translations; ``sources`` are what the CTC head (or else the OCR head) read on the pages.
        image_ids: (B, N).
        pixels: (B, channels, H, W) in [0, 1].
        text_scores, image_scores: mean log-probability (nats) of a piece and of an image token.
    """

    texts: list[str]
    sources: list[str]
    image_ids: Tensor
    pixels: Tensor
    text_scores: list[float] = field(default_factory=list)
    image_scores: list[float] = field(default_factory=list)


@torch.inference_mode()
def generate(
    model: TranslatotronV,
    vocabulary: Vocabulary,
    pixels: Tensor,
    *,
    source_language: str = "de",
    target_language: str = "en",
    beams: int = 1,
    top_k: int = 1,
    temperature: float = 1.0,
    cached: bool = True,
    seed: int | None = None,
    texts: Sequence[str] | None = None,
) -> Generated:
    """Translate pages: read, write the text, draw the picture.

    Args:
        model: in evaluation mode.
        pixels: (B, channels, H, W) in [0, 1].
        beams: 1 is greedy.
        top_k: image tokens are drawn from this many, 1 is greedy; ``temperature`` flattens their distribution.
        cached: ``False`` recomputes the whole prefix at each step, for comparison.
        seed: of the drawing with ``top_k`` > 1.
        texts: translations to draw instead of the model's own.

    Raises:
        UserError: an unknown language.
    """
    source = model.see(pixels)
    if texts is None:
        decoded = generate_text(
            model.text_decoder, vocabulary, source.memory, source.mask, "translate", target_language, beams, cached
        )
    else:
        encoded = [vocabulary.encode(text)[: model.text_decoder.max_length - 2] for text in texts]
        decoded = DecodedText(encoded, list(texts), [0.0] * len(texts))
    drawn, mask = drawing_states(model, vocabulary, source, decoded.ids, target_language)
    ids, scores = generate_image(
        model.image_decoder, drawn, mask, source.memory, top_k=top_k, temperature=temperature, cached=cached, seed=seed
    )
    return Generated(
        texts=decoded.texts,
        sources=read_source(model, vocabulary, source, source_language),
        image_ids=ids,
        pixels=model.image_tokenizer.decode_from_ids(ids),
        text_scores=decoded.scores,
        image_scores=scores,
    )


def drawing_states(
    model: TranslatotronV, vocabulary: Vocabulary, source: SourceStates, ids: Sequence[Sequence[int]], language: str
) -> tuple[Tensor, Tensor]:
    """Text states of decoded pieces for the image decoder, exactly as training makes them: (B, C, D) and (B, C)."""
    device = source.memory.device
    tags = [vocabulary.tag("translate"), vocabulary.tag(language)]
    rows = [[*tags, *row] for row in ids]
    target_input = pad(rows).to(device)
    place, lengths = torch.arange(target_input.shape[1]), torch.tensor([len(row) for row in rows])
    text_mask = (place > 0) & (place < lengths[:, None])  # the task tag writes nothing
    _, states = model.text_decoder(target_input, source.memory, source.mask)
    characters, owners = (part.to(device) for part in drawing_ids(vocabulary, ids, drawing_length(model)))
    return model.drawing_states(states, text_mask.to(device), characters, drawing_mask(characters), owners)


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


def read_ctc(logits: Tensor, vocabulary: Vocabulary) -> list[str]:
    """Best path of CTC logits (B, frames, characters): repeats merged, blanks dropped, spaces made single."""
    texts = []
    for row in logits.argmax(-1):
        merged = torch.unique_consecutive(row)
        texts.append(" ".join(vocabulary.decode_characters(merged.tolist()).split()))
    return texts


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
) -> DecodedText:
    """Write text from a memory (B, S, D); ``task`` and ``language`` are the tags that the decoder starts from."""
    if beams < 1:
        raise UserError(f"beams must be at least 1, not {beams}")
    tags = torch.tensor([vocabulary.tag(task), vocabulary.tag(language)], device=memory.device)
    scorer = _PieceScorer(decoder, memory, mask, beams, cached)
    search = _greedy if beams == 1 else _beam_search
    ids, scores = search(scorer, tags, memory.shape[0], decoder.max_length - len(tags), beams)
    return DecodedText(ids, [vocabulary.decode(row) for row in ids], scores)


class _PieceScorer:
    """Log-probabilities of the next piece, with a cache or by recomputing the prefix."""

    def __init__(self, decoder: TextDecoder, memory: Tensor, mask: Tensor | None, beams: int, cached: bool):
        self.decoder = decoder
        self.memory = memory.repeat_interleave(beams, 0)
        self.mask = None if mask is None else mask.repeat_interleave(beams, 0)
        self.cache = decoder.start(self.memory, self.mask, decoder.max_length) if cached else None
        self.banned = torch.tensor([PAD, BOS, UNKNOWN, *range(UNKNOWN + 1, UNKNOWN + 1 + len(LANGUAGES) + len(TASKS))])

    def __call__(self, prefix: Tensor) -> Tensor:
        """(rows, T) -> (rows, V): how likely each piece comes next; special symbols but the end never do."""
        if self.cache is None:
            logits = self.decoder(prefix, self.memory, self.mask)[0][:, -1]
        else:
            for position in range(self.cache.length, prefix.shape[1]):
                logits = self.decoder.step(prefix[:, position : position + 1], self.cache)[0][:, -1]
        scores = F.log_softmax(logits.float(), dim=-1)
        scores[:, self.banned.to(scores.device)] = float("-inf")
        return scores

    def reorder(self, rows: Tensor) -> None:
        if self.cache is not None:
            self.cache.reorder(rows)


def _greedy(
    scorer: _PieceScorer, tags: Tensor, batch: int, longest: int, _: int
) -> tuple[list[list[int]], list[float]]:
    prefix = tags.expand(batch, -1)
    total = torch.zeros(batch, device=tags.device)
    count = torch.zeros(batch, device=tags.device)
    alive = torch.ones(batch, dtype=torch.bool, device=tags.device)
    for _step in range(longest):
        best, piece = scorer(prefix).max(-1)
        piece = piece.masked_fill(~alive, EOS)
        total += best * alive
        count += alive
        prefix = torch.cat((prefix, piece[:, None]), dim=1)
        alive = alive & (piece != EOS)
        if not alive.any():
            break
    rows = prefix[:, len(tags) :].tolist()
    ids = [row[: row.index(EOS)] if EOS in row else row for row in rows]
    return ids, (total / count).tolist()


def _beam_search(
    scorer: _PieceScorer, tags: Tensor, batch: int, longest: int, beams: int
) -> tuple[list[list[int]], list[float]]:
    """Beam search that ranks by the mean log-probability of a piece; a page ends when its beams cannot improve."""
    device = tags.device
    prefix = tags.expand(batch * beams, -1)
    total = torch.full((batch, beams), float("-inf"), device=device)
    total[:, 0] = 0.0  # all beams start alike: only the first may speak
    finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(batch)]
    offsets = torch.arange(batch, device=device)[:, None] * beams
    for length in range(1, longest + 1):
        scores = scorer(prefix).unflatten(0, (batch, beams)) + total[..., None]  # (B, E, V)
        best, flat = scores.flatten(1).topk(2 * beams)  # enough that E unfinished ones remain
        beam, piece = flat // scores.shape[-1], flat % scores.shape[-1]
        ended = piece == EOS
        for page, rank in ended.nonzero().tolist():
            if rank < beams:
                row = prefix[page * beams + int(beam[page, rank]), len(tags) :].tolist()
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
        row = prefix[page * beams, len(tags) :].tolist()
        results.append(max(found) if found else (float(total[page, 0]) / len(row), row))
    return [row for _, row in results], [score for score, _ in results]


@torch.inference_mode()
def generate_image(
    decoder: ImageDecoder,
    text: Tensor,
    text_mask: Tensor | None,
    image: Tensor | None = None,
    *,
    top_k: int = 1,
    temperature: float = 1.0,
    cached: bool = True,
    seed: int | None = None,
) -> tuple[Tensor, list[float]]:
    """Write a page's tokens from text states (B, C, D) and image states (B, S, D).

    Returns:
        Ids (B, N), and for each page the mean log-probability (nats) of its tokens.

    Raises:
        UserError: ``top_k`` or ``temperature`` is not positive.
    """
    if top_k < 1 or temperature <= 0:
        raise UserError(f"top_k must be at least 1 and temperature above 0, not {top_k} and {temperature}")
    random = torch.Generator(device=text.device)
    if seed is not None:
        random.manual_seed(seed)
    else:
        random.seed()
    batch = text.shape[0]
    ids = torch.zeros(batch, decoder.length, dtype=torch.long, device=text.device)
    total = torch.zeros(batch, device=text.device)
    cache = decoder.start(text, text_mask, image) if cached else None
    for position in range(decoder.length):
        if cache is not None:
            logits = decoder.step(ids[:, position - 1 : position] if position else None, cache)[:, -1]
        else:
            logits = decoder(ids[:, : position + 1], text, text_mask, image)[:, -1]
        scores = F.log_softmax(logits.float(), dim=-1)
        ids[:, position] = _draw(scores / temperature, top_k, random)
        total += scores.gather(1, ids[:, position : position + 1])[:, 0]
    return ids, (total / decoder.length).tolist()


def _draw(scores: Tensor, top_k: int, random: torch.Generator) -> Tensor:
    """One id of each row (B, K): the best, or one of the best ``top_k`` by chance."""
    if top_k == 1:
        return scores.argmax(-1)
    best, ids = scores.topk(min(top_k, scores.shape[-1]))
    return ids.gather(1, torch.multinomial(best.softmax(-1), 1, generator=random))[:, 0]
