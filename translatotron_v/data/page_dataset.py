"""Training's micro-batches of pages by number: each is a function of the seed and its number alone."""

from collections.abc import Sequence

import numpy as np

from translatotron_v.config import Config
from translatotron_v.data.misread import misread
from translatotron_v.data.pages import WEAKEST, Batch, Collator, Sample, cut, fits, page_style
from translatotron_v.data.pairs import ReviewedPair, TaggedPair, TextPair, pictures_of
from translatotron_v.data.parts import SharedBatches
from translatotron_v.errors import UserError


class PageDataset(SharedBatches[Batch]):
    """Micro-batches by number, without end: ``dataset[i]`` is a pure function of the seed and ``i``.

    An epoch is a permutation of the pairs; with ``sort_window`` batches hold texts of like length. Spans and shuffled
    words follow the curriculum of ``DataConfig``; stored pages have neither.

    Args:
        pairs: aligned pairs that fit the page.
        config: data, page, seed, batch size and accumulation.
        collator: makes the batches.
    """

    def __init__(self, pairs: Sequence[TextPair], config: Config, collator: Collator):
        if not pairs:
            raise UserError(f"{config.data.folder}: no training pair fits the page")
        changes = [name for name in ("spans", "shuffled", "curriculum_steps") if getattr(config.data, name)]
        reviewed = isinstance(pairs[0], ReviewedPair)
        if changes and (reviewed or pictures_of(pairs[0]) is not None):
            kind, way = (
                ("pages with a transcript", "set ssr.reader=") if reviewed else ("stored pages", "train from text")
            )
            raise UserError(
                f"{config.data.folder}: words of {kind} cannot be left out or moved: set "
                f"{' '.join(f'data.{name}=0' for name in changes)}, or {way}"
            )
        self.pairs = pairs
        self._set_up(config, collator)
        self.longest = max(len(pair.target.split()) for pair in pairs)
        self._epochs: dict[int, np.ndarray] = {}

    def _set_up(self, config: Config, collator: Collator) -> None:
        self.data = config.data
        self.dropped = config.ssr.dropped
        self.seed = config.trainer.seed
        self.batch_size = config.trainer.batch_size
        self.accumulate = config.trainer.accumulate
        self.styles = [page_style(config.page, font) for font in config.page.fonts]
        self.seeded = bool(config.page.source_sizes)
        self.collator = collator

    @property
    def batches_per_epoch(self) -> int:
        """Micro-batches that show every pair once; the last, incomplete one is dropped."""
        return max(1, len(self.pairs) // self.batch_size)

    def part(self, index: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Every R-th page of a micro-batch, from number ``rank`` on; the others are drawn by lot and not rendered."""
        return self.collator(self.samples(index)[rank::ranks])

    def samples(self, index: int) -> list[Sample]:
        """What a micro-batch shows."""
        rng = np.random.default_rng((self.seed, 1, index))
        return [self._sample(pair, rng, index) for pair in self._chosen(index)]

    def _chosen(self, index: int) -> Sequence[TextPair]:
        epoch, place = divmod(index, self.batches_per_epoch)
        return [self.pairs[int(number)] for number in self._order(epoch)[place]]

    def _order(self, epoch: int) -> np.ndarray:
        """Pair numbers of each batch of an epoch: (batches, B)."""
        if epoch not in self._epochs:
            rng = np.random.default_rng((self.seed, 0, epoch))
            count = self.batches_per_epoch
            order = np.resize(rng.permutation(len(self.pairs)), count * self.batch_size)
            if self.data.sort_window:
                window = self.data.sort_window * self.batch_size
                lengths = np.array([len(self.pairs[int(number)].source) for number in order])
                parts = [
                    order[start : start + window][np.argsort(lengths[start : start + window], kind="stable")]
                    for start in range(0, len(order), window)
                ]
                order = np.concatenate(parts)
            batches = order.reshape(count, self.batch_size)
            self._epochs = {epoch: rng.permutation(batches) if self.data.sort_window else batches}
        return self._epochs[epoch]

    def _sample(self, pair: TextPair, rng: np.random.Generator, index: int) -> Sample:
        source, target = pair.source, pair.target
        pictures = pictures_of(pair)
        language, source_language = pair.language if isinstance(pair, TaggedPair) else "", ""
        if self.data.both_languages and rng.random() < 0.5:  # the tags go with the texts
            source, target = target, source
            language, source_language = self.data.source_language, language or self.data.target_language
            pictures = pictures and (pictures[1], pictures[0])
        step = index // self.accumulate
        growing = step < self.data.curriculum_steps
        if growing or rng.random() < self.data.spans:
            progress = step / self.data.curriculum_steps if growing else 1.0
            first = self.data.curriculum_words
            most = round(first + progress * max(0, self.longest - first))
            source, target = span(source, most, rng), span(target, most, rng)
        style = self.styles[rng.integers(len(self.styles))]
        if rng.random() < self.data.shuffled:  # words in another order may wrap into more lines than there are
            layout = self.collator.layout
            source, target = (cut(shuffle(text, rng), layout, style) for text in (source, target))
        answer = ""
        if self.data.capitals and rng.random() < self.data.capitals:
            shouted = [text.upper() for text in (source, target)]
            if all(fits(text, self.collator.layout, style) for text in shouted):  # capitals are wider
                answer, (source, target) = target, shouted
        if isinstance(pair, ReviewedPair):
            dropped = pair.translated and self.dropped and rng.random() < self.dropped
            transcript = None if dropped else pair.transcript
            return Sample(source, target, style, pictures, transcript=transcript, translated=pair.translated)
        seed = int(rng.integers(2**31)) if self.seeded else 0
        reading = misread(source, self.data.misread, rng) if self.data.misread else ""
        worn = bool(self.data.degraded) and rng.random() < self.data.degraded
        return Sample(
            source, target, style, pictures, language, source_language, seed=seed, answer=answer, reading=reading,
            degraded=float(rng.uniform(WEAKEST, 1.0)) if worn else 0.0,
        )  # fmt: skip


class MixedDataset(SharedBatches[Batch]):
    """Batches of one data set with a share of batches of another: ``dataset[i]`` is a function of the seed and ``i``.

    Args:
        main: where most batches come from.
        other: what joins them.
        share: how many of the batches are the other's, 0..1, drawn by chance.
        seed: of the draw.
    """

    def __init__(self, main: SharedBatches[Batch], other: SharedBatches[Batch], share: float, seed: int):
        self.main, self.other, self.share, self.seed = main, other, share, seed

    def part(self, index: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Every R-th page of a micro-batch, from number ``rank`` on; all ranks have the same kind of batch."""
        other = np.random.default_rng((self.seed, 2, index)).random() < self.share
        return (self.other if other else self.main).part(index, rank, ranks)


def span(text: str, most: int, rng: np.random.Generator) -> str:
    """A random run of at most ``most`` words."""
    words = text.split()
    length = int(rng.integers(1, max(1, min(most, len(words))) + 1))
    start = int(rng.integers(0, len(words) - length + 1))
    return " ".join(words[start : start + length])


def shuffle(text: str, rng: np.random.Generator) -> str:
    """The words in random order."""
    return " ".join(rng.permutation(text.split()))
