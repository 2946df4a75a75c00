"""Batches of text mode from a mixture: literals masked, terms annotated, cut by length so that little is padding.

Shapes: B batch, T pieces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from translatotron_v.config import Config
from translatotron_v.data import literals, terms
from translatotron_v.data.marks import LOWER
from translatotron_v.data.misread import misread
from translatotron_v.data.mixture import Corpus, Draws, Mixture, Store
from translatotron_v.data.pages import Batch, pad
from translatotron_v.data.pairs import TextPair
from translatotron_v.data.parts import SharedBatches
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.errors import UserError

MOST_TERMS = 100_000  # entries of a dictionary that annotate terms: the commonest come first


@dataclass(frozen=True)
class DomainPair(TextPair):
    """A pair that says which part of a mixture it comes from."""

    domain: str


@dataclass(frozen=True)
class MixtureSource:
    """What a stage trains on instead of a list of pairs: a mixture and its corpora, as of ``mixture.prepare``."""

    mixture: Mixture
    stores: Mapping[Corpus, Store]

    def pairs(self, count: int, seed: int) -> list[TextPair]:
        """About ``count`` pairs drawn by weight."""
        draws = Draws(self.mixture, self.stores, seed)
        return [TextPair(*draws.stores[corpus][pair]) for corpus, pair in draws.window(0, count)]

    def held_back(self, limit: int) -> list[DomainPair]:
        """Of each domain of each source language, the first ``limit`` pairs that are never drawn."""
        found: dict[str, list[DomainPair]] = {}
        for corpus, store in self.stores.items():
            if corpus.kind == "text" and corpus.case == "true":
                name = f"{corpus.domain}-{corpus.languages[0]}"
                found.setdefault(name, []).extend(DomainPair(*pair, name) for pair in store.held_back)
        rng = np.random.default_rng(0)
        kept = {name: [pairs[i] for i in sorted(rng.permutation(len(pairs))[:limit])] for name, pairs in found.items()}
        return [pair for pairs in kept.values() for pair in pairs]


@dataclass(frozen=True)
class Encoded:
    """Pieces of one pair, tags and end included."""

    source: list[int]
    target_input: list[int]
    target_output: list[int]

    @property
    def order(self) -> tuple[int, ...]:
        """What pairs are sorted by: by the longer side first, an eighth of a batch is padding; by one, a third."""
        return (max(self.lengths), *self.lengths)

    @property
    def lengths(self) -> tuple[int, int]:
        """Of the decoder's input, and of the source."""
        return len(self.target_input), len(self.source)


class PairEncoder:
    """Pairs to pieces as text mode takes them; a text that is too long is cut, its end kept.

    Args:
        config: longest texts and target language.
        vocabulary: for the ids.
    """

    def __init__(self, config: Config, vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        self.longest_source = config.model.text_encoder.max_length - 1
        self.longest_target = config.model.text_decoder.max_length - 2
        self.prefix = [vocabulary.tag("translate"), vocabulary.tag(config.data.target_language)]

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
        """Encode some pairs together."""
        sources = self.vocabulary.encode_batch([source for source, _ in pairs])
        targets = self.vocabulary.encode_batch([target for _, target in pairs])
        return [
            Encoded(
                [*source[: self.longest_source], EOS],
                [*self.prefix, *target[: self.longest_target]],
                [PAD, *target[: self.longest_target], EOS],
            )
            for source, target in zip(sources, targets, strict=True)
        ]


def collate(encoded: Sequence[Encoded]) -> Batch:
    """Some encoded pairs as one batch."""
    batch = Batch(
        source_pieces=pad([pair.source for pair in encoded]),
        target_input=pad([pair.target_input for pair in encoded]),
        target_output=pad([pair.target_output for pair in encoded]),
    )
    assert batch.target_output is not None
    batch.translation_mask = batch.target_output != PAD
    return batch


class MixtureText(SharedBatches[Batch]):
    """Text-mode batches without end: ``dataset[i]`` is a pure function of the seed and ``i``.

    A window of ``data.window * trainer.batch_size`` pairs is drawn at once, sorted by length and cut into
    ``data.window`` batches of about equal cost (padded pieces), which come in random order.

    Args:
        mixture, stores: as of ``mixture.prepare``.
        config: of the run.
        vocabulary: with marks, literals and terms become those.
    """

    def __init__(self, mixture: Mixture, stores: Mapping[Corpus, Store], config: Config, vocabulary: Vocabulary):
        self.draws = Draws(mixture, stores, config.trainer.seed)
        self.config = config
        self.encode = PairEncoder(config, vocabulary)
        self.marks = vocabulary.knows(LOWER)
        self.dictionaries = self._term_dictionaries() if self.marks and config.data.terms else {}
        self._window: tuple[int, list[list[Encoded]]] = (-1, [])

    def _term_dictionaries(self) -> dict[str, terms.TermDictionary]:
        """For each source language, the entries of its dictionaries."""
        entries: dict[str, list[tuple[str, str]]] = {}
        for corpus, store in zip(self.draws.corpora, self.draws.stores, strict=True):
            own = entries.setdefault(corpus.languages[0], [])
            if corpus.kind == "dictionary":
                own += [store[index] for index in range(min(len(store), MOST_TERMS))]
        return {language: terms.TermDictionary(pairs) for language, pairs in entries.items()}

    def part(self, index: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Every R-th pair of a micro-batch, from number ``rank`` on.

        Raises:
            UserError: it holds fewer pairs than there are ranks, its sentences being long.
        """
        number, place = divmod(index, self.config.data.window)
        if self._window[0] != number:
            self._window = (number, self._batches(number))
        pairs = self._window[1][place]
        if len(pairs) < ranks:
            raise UserError(
                f"trainer.batch_size={self.config.trainer.batch_size}: micro-batch {index} holds {len(pairs)} long "
                f"sentences, too few for {ranks} ranks: raise trainer.batch_size, or use fewer ranks"
            )
        return collate(pairs[rank::ranks])

    def _batches(self, number: int) -> list[list[Encoded]]:
        rng = np.random.default_rng((self.config.trainer.seed, 4, number))
        count = self.config.data.window
        drawn = self.draws.window(number, count * self.config.trainer.batch_size)
        pairs = [
            self._augmented(self.draws.corpora[corpus], *self.draws.stores[corpus][pair], rng) for corpus, pair in drawn
        ]
        batches = cut_by_cost(sorted(self.encode(pairs), key=lambda pair: pair.order), count)
        return [batches[place] for place in rng.permutation(count)]

    def _augmented(self, corpus: Corpus, source: str, target: str, rng: np.random.Generator) -> tuple[str, str]:
        """A pair as it is shown this once: terms, literals, lower case, letters misread."""
        data = self.config.data
        lowered, annotated = rng.random(2) < (data.lower, data.terms)
        if self.marks:
            dictionary = self.dictionaries.get(corpus.languages[0])
            if annotated and not lowered and dictionary is not None and corpus.kind == "text":
                source = terms.annotate(source, target, dictionary, rng)
            source, target = literals.match(source, target, rng)
        if lowered:
            source = source.lower()
        if data.misread:
            source = misread(source, data.misread, rng)
        if self.marks and corpus.case == "lower":
            source = f"{LOWER} {source}"
        return source, target


def cut_by_cost(ordered: Sequence[Encoded], count: int) -> list[list[Encoded]]:
    """Cut pairs in order of length into ``count`` runs whose padded sizes are as equal as can be.

    The cost of a run is its number of pairs times the sum of the longest source and the longest target.
    """
    low, high = 1, sum(sum(pair.lengths) for pair in ordered) + 1
    while low < high:  # the smallest limit that needs no more runs than asked for
        limit = (low + high) // 2
        if len(_runs(ordered, limit)) <= count:
            high = limit
        else:
            low = limit + 1
    runs = _runs(ordered, low)
    while len(runs) < count:  # a coarse cut may need fewer: halve the largest
        largest = max(range(len(runs)), key=lambda index: len(runs[index]))
        run = runs[largest]
        if len(run) < 2:
            raise ValueError(f"{len(ordered)} pairs cannot fill {count} batches")
        runs[largest : largest + 1] = [run[: len(run) // 2], run[len(run) // 2 :]]
    return runs


def _runs(ordered: Sequence[Encoded], limit: int) -> list[list[Encoded]]:
    """Runs that each cost at most ``limit``, or hold one pair, filled one after the other."""
    runs: list[list[Encoded]] = []
    longest = (0, 0)
    for pair in ordered:
        target, source = (max(sizes) for sizes in zip(longest, pair.lengths, strict=True))
        if runs and (len(runs[-1]) + 1) * (target + source) <= limit:
            runs[-1].append(pair)
            longest = (target, source)
        else:
            runs.append([pair])
            longest = pair.lengths
    return runs
