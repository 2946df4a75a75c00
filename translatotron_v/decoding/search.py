"""Greedy and beam search over a text decoder, with key/value caches or without.

Shapes: B batch, E beams, P pieces of a prompt, T pieces, V vocabulary.
"""

from typing import TYPE_CHECKING

import numpy as np

from translatotron_v.data.vocabulary import EOS, Vocabulary
from translatotron_v.decoding.arrays import Array, largest, like, log_softmax, to_numpy

if TYPE_CHECKING:
    from translatotron_v.models.states import SourceStates
    from translatotron_v.models.text_decoder import TextDecoder

Hypothesis = tuple[float, list[int]]  # mean log-probability (nats) of a piece, and pieces without tags and end


class PieceScorer:
    """Log-probabilities of the next piece, with a cache or by recomputing the prefix.

    With ``transcribes`` the task tag that follows a transcript counts as its end.
    """

    def __init__(
        self,
        decoder: "TextDecoder",
        vocabulary: Vocabulary,
        memory: Array,
        mask: Array | None,
        beams: int,
        cached: bool,
        transcribes: bool = False,
    ):
        self.decoder = decoder
        rows = [row for row in range(len(memory)) for _ in range(beams)]
        self.memory = memory if beams == 1 else memory[rows]
        self.mask = mask if beams == 1 or mask is None else mask[rows]
        self.cache = decoder.start(self.memory, self.mask, decoder.max_length) if cached else None
        self.banned = list(vocabulary.unwritten)
        self.translate = vocabulary.tag("translate")
        self.transcribes = transcribes

    def __call__(self, prefix: np.ndarray, transcribing: np.ndarray | None = None) -> np.ndarray:
        """(rows, T) -> (rows, V): how likely each piece comes next; special symbols but the end never do.

        ``transcribing`` (rows,) is true where a row still transcribes; without it all do.
        """
        ids = like(prefix, self.memory)
        if self.cache is None:
            logits = self.decoder(ids, self.memory, self.mask)[0][:, -1]
        else:
            for position in range(self.cache.length, prefix.shape[1]):
                logits = self.decoder.step(ids[:, position : position + 1], self.cache)[0][:, -1]
        scores: np.ndarray = log_softmax(to_numpy(logits))
        if self.transcribes:
            end = np.logaddexp(scores[:, EOS], scores[:, self.translate])
            scores[:, EOS] = end if transcribing is None else np.where(transcribing, end, scores[:, EOS])
        scores[:, self.banned] = -np.inf
        return scores

    def reorder(self, rows: np.ndarray) -> None:
        """Let the hypotheses that go on take these rows of the cache."""
        if self.cache is not None:
            self.cache.reorder(like(rows, self.memory))


def greedy(scorer: PieceScorer, prompts: np.ndarray, longest: int) -> tuple[list[list[int]], list[float]]:
    """Best piece after best piece from prompts (B, P): pieces of each row, and their mean log-probability."""
    prefix = prompts
    total, count = np.zeros(len(prompts)), np.zeros(len(prompts))
    alive = np.ones(len(prompts), dtype=bool)
    for _step in range(longest):
        scores = scorer(prefix)
        piece = np.where(alive, scores.argmax(-1), EOS)
        total += scores.max(-1) * alive
        count += alive
        prefix = np.concatenate((prefix, piece[:, None]), axis=1)
        alive = alive & (piece != EOS)
        if not alive.any():
            break
    return [_until_end(row) for row in prefix[:, prompts.shape[1] :].tolist()], (total / count).tolist()


def greedy_in_two_parts(
    scorer: PieceScorer, prompts: np.ndarray, translate_tags: list[int], longest_first: int, longest: int
) -> tuple[list[list[int]], list[list[int]], list[float]]:
    """Greedy transcript, then ``translate_tags`` (which ask for a translation), then greedy translation.

    The rows change from one part to the other at their own steps, so that the batch stays together.

    Returns:
        Pieces of the transcripts, pieces of the translations, and the translations' mean log-probability of a piece.
    """
    prefix = prompts
    total, count = np.zeros(len(prompts)), np.zeros(len(prompts))
    # How many of those tags each row has been given; -1: the row still transcribes.
    given = np.full(len(prompts), -1)
    alive = np.ones(len(prompts), dtype=bool)
    tags = np.array(translate_tags)
    for step in range(longest - prompts.shape[1]):
        scores = scorer(prefix, given == -1)
        translating = given == len(translate_tags)
        piece = np.where(alive, scores.argmax(-1), EOS)
        total += scores.max(-1) * (alive & translating)
        count += alive & translating
        turns = (given == -1) & ((piece == EOS) | (step == longest_first))
        given = np.where(turns, 0, given)
        forced = (given >= 0) & (given < len(translate_tags))
        piece = np.where(forced, tags[given.clip(0, len(translate_tags) - 1)], piece)
        given = given + forced
        alive = alive & ~(translating & (piece == EOS))
        prefix = np.concatenate((prefix, piece[:, None]), axis=1)
        if not alive.any():
            break
    written, ids = [], []
    for row in prefix[:, prompts.shape[1] :].tolist():
        end = row.index(translate_tags[0])  # a transcript holds no tag
        written.append(row[:end])
        ids.append(_until_end(row[end + len(translate_tags) :]))
    return written, ids, (total / count.clip(min=1)).tolist()


def _until_end(row: list[int]) -> list[int]:
    return row[: row.index(EOS)] if EOS in row else row


def beam_search_by_length(
    decoder: "TextDecoder",
    vocabulary: Vocabulary,
    source: "SourceStates",
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
        prompts = np.array([prefixes[row] for row in rows])
        found = beam_search(scorer, prompts, decoder.max_length - length, beams)
        for row, pieces, score in zip(rows, *found, strict=True):
            ids[row], scores[row] = pieces, score
    return ids, scores


def beam_search(
    scorer: PieceScorer, prompts: np.ndarray, longest: int, beams: int
) -> tuple[list[list[int]], list[float]]:
    """The best of ``beam_hypotheses`` for each page: pieces, and mean log-probability."""
    best = [ranked[0] for ranked in beam_hypotheses(scorer, prompts, longest, beams)]
    return [row for _, row in best], [score for score, _ in best]


def beam_hypotheses(scorer: PieceScorer, prompts: np.ndarray, longest: int, beams: int) -> list[list[Hypothesis]]:
    """Beam search that ranks by the mean log-probability of a piece; a page ends with its ``beams``-th hypothesis.

    Returns:
        The finished hypotheses of each page, the best first; where none is finished, the best that is not.
    """
    batch, given = prompts.shape
    prefix = prompts.repeat(beams, axis=0)
    total = np.full((batch, beams), -np.inf, dtype=np.float32)
    total[:, 0] = 0.0  # all beams start alike: only the first may speak
    finished: list[list[tuple[float, list[int]]]] = [[] for _ in range(batch)]
    offsets = np.arange(batch)[:, None] * beams
    for length in range(1, longest + 1):
        scores = scorer(prefix).reshape(batch, beams, -1) + total[..., None]  # (B, E, V)
        best, flat = largest(scores.reshape(batch, -1), 2 * beams)  # enough that E unfinished ones remain
        beam, piece = flat // scores.shape[-1], flat % scores.shape[-1]
        ended = piece == EOS
        # A page that has its hypotheses takes no more, however long its neighbours in the batch go on.
        done = [len(found) >= beams for found in finished]
        for page, rank in np.argwhere(ended).tolist():
            if rank < beams and not done[page]:
                row = prefix[page * beams + int(beam[page, rank]), given:].tolist()
                finished[page].append((float(best[page, rank]) / length, row))
        order = ended.argsort(axis=1, kind="stable")[:, :beams]
        total, beam, piece = (np.take_along_axis(part, order, 1) for part in (best, beam, piece))
        rows = (beam + offsets).reshape(-1)
        prefix = np.concatenate((prefix[rows], piece.reshape(-1, 1)), axis=1)
        scorer.reorder(rows)
        if all(len(found) >= beams for found in finished):
            break
    results = []
    for page, found in enumerate(finished):
        row = prefix[page * beams, given:].tolist()
        results.append(sorted(found, reverse=True) if found else [(float(total[page, 0]) / len(row), row)])
    return results
