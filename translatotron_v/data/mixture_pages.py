"""Pages of pairs that are drawn from a mixture of corpora, for the stages that draw or read whole strips."""

from collections.abc import Sequence

import numpy as np

from translatotron_v.config import Config
from translatotron_v.data.mixture import Draws
from translatotron_v.data.page_dataset import PageDataset
from translatotron_v.data.pages import Collator, fitting
from translatotron_v.data.pairs import TextPair, fold
from translatotron_v.data.text_batches import MixtureSource
from translatotron_v.errors import UserError

OVERDRAW = 2.0  # so many pairs are drawn for each that is shown, since not all fit the page


class MixturePages(PageDataset):
    """Micro-batches by number, without end, of those pairs of a mixture that fit the page.

    ``dataset[i]`` is a pure function of the seed and ``i``: windows of ``data.window`` batches are drawn at once, and
    what fits is shown in a random order. Where too little fits, a window shows its pairs again.

    Args:
        source: as of ``training/build.py``.
        config: data, page, seed, batch size.
        collator: makes the batches.
    """

    def __init__(self, source: MixtureSource, config: Config, collator: Collator):
        self._set_up(config, collator)
        self.config = config
        self.draws = Draws(source.mixture, source.stores, config.trainer.seed)
        self.longest = config.model.text_decoder.max_length  # words; a page holds fewer
        self._window: tuple[int, list[TextPair]] = (-1, [])

    def _chosen(self, index: int) -> Sequence[TextPair]:
        number, place = divmod(index, self.data.window)
        if self._window[0] != number:
            self._window = (number, self._pairs(number))
        return self._window[1][place * self.batch_size : (place + 1) * self.batch_size]

    def _pairs(self, number: int) -> list[TextPair]:
        """The pairs of a window, as many as its batches show."""
        wanted = self.data.window * self.batch_size
        drawn = self.draws.window(number, round(OVERDRAW * wanted))
        texts = [self.draws.stores[corpus][pair] for corpus, pair in drawn]
        page = self.config.page
        fit: Sequence[TextPair] = fitting(
            [TextPair(fold(source, page), fold(target, page)) for source, target in texts], self.config
        )
        if not fit:
            raise UserError(f"{self.data.mixture}: of {len(texts)} pairs none fits the page")
        order = np.random.default_rng((self.seed, 5, number)).permutation(len(fit))
        return [fit[int(place)] for place in np.resize(order, wanted)]
