"""Greedy and beam search over a text decoder, with key/value caches or without.

Shapes: B batch, E beams, P pieces of a prompt, T pieces, V vocabulary.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from translatotron_v.data.vocabulary import EOS, Vocabulary
from translatotron_v.models.text_decoder import TextDecoder
from translatotron_v.models.translator import SourceStates

Hypothesis = tuple[float, list[int]]  # mean log-probability (nats) of a piece, and pieces without tags and end


class PieceScorer:
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
        """Let the hypotheses that go on take these rows of the cache."""
        if self.cache is not None:
            self.cache.reorder(rows)


def greedy(scorer: PieceScorer, prompts: Tensor, longest: int) -> tuple[list[list[int]], list[float]]:
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


def greedy_in_two_parts(
    scorer: PieceScorer, prompts: Tensor, translate_tags: list[int], longest_first: int, longest: int
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


def beam_search_by_length(
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
        scorer = PieceScorer(decoder, vocabulary, source.memory[rows], mask, beams, cached)
        prompts = torch.tensor([prefixes[row] for row in rows], device=source.memory.device)
        found = beam_search(scorer, prompts, decoder.max_length - length, beams)
        for row, pieces, score in zip(rows, *found, strict=True):
            ids[row], scores[row] = pieces, score
    return ids, scores


def beam_search(scorer: PieceScorer, prompts: Tensor, longest: int, beams: int) -> tuple[list[list[int]], list[float]]:
    """The best of ``beam_hypotheses`` for each page: pieces, and mean log-probability."""
    best = [ranked[0] for ranked in beam_hypotheses(scorer, prompts, longest, beams)]
    return [row for _, row in best], [score for score, _ in best]


def beam_hypotheses(scorer: PieceScorer, prompts: Tensor, longest: int, beams: int) -> list[list[Hypothesis]]:
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
