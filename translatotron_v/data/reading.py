"""Strips to read: any text in any face, size and state, drawn while training, and fixed ones for validation.

Shapes: B batch, C characters, H and W pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from translatotron_v.config import Config
from translatotron_v.data.mixture import Draws
from translatotron_v.data.pages import (
    LINE,
    SIZES,
    WEAKEST,
    Batch,
    Family,
    draw_cutout,
    draw_face,
    draw_snippet,
    has_all,
    installed,
    pad,
    page_layout,
    read_faces,
    to_pixels,
)
from translatotron_v.data.pairs import TextPair, one_family_of_errors
from translatotron_v.data.parts import SharedBatches
from translatotron_v.data.text_batches import MixtureSource
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError

CLEAN_SIZES, DEGRADED_SIZES = (14, 48), (8, 48)  # pixels per em on the pages of validation and evaluation
DEGRADED = 0.8  # how strongly their degraded strips are
NARROWEST = 0.6  # letters of narrowed strips, in parts of what their face has, at the narrowest
_SOURCES = 0.65  # share of the texts that are in the source's language, where both languages are drawn
_PAIRS = 2  # pairs that are at hand for each strip of a batch
_TRIES = 20  # texts that are drawn before a strip is given up
_FILLED = 0.75  # share of the strips whose free lines hold more texts: an empty line teaches little and costs as much
# The family of the model's that a face is drawn in where it is none of them, by its kind.
_NEAREST = {"serif": "DejaVuSerif", "slab": "DejaVuSerif", "mono": "DejaVuSansMono", "narrow": "DejaVuSansCondensed"}


@dataclass(frozen=True)
class Strip:
    """One strip with what is known of it.

    Attributes:
        pixels: (H, W, C) uint8.
        text: what stands on it.
        kind: of the text, one of ``data_synth.snippets.KINDS``.
        font: number of the model's font that is nearest to its face; -1 where none is.
        face: its name.
    """

    pixels: np.ndarray
    text: str
    kind: str
    font: int
    face: str


@one_family_of_errors()
def training_families(config: Config, part: str = "training") -> list[Family]:
    """The families of ``page.faces`` that are on this machine.

    Raises:
        UserError: the file cannot be used, or faces of it are missing (unless ``page.allow_missing``).
    """
    page = config.page
    families, missing = installed(read_faces(page.faces, part))
    if missing and not page.allow_missing:
        raise UserError(
            f"{page.faces}: faces are missing: install {', '.join(missing)} (docs/faces.md), or set "
            "page.allow_missing=true to go on without them"
        )
    if not families:
        raise UserError(f"{page.faces}: none of the faces under {part!r} is on this machine (docs/faces.md)")
    return families


class StripDrawer:
    """Draws strips: every draw is a function of the generator that it is given.

    Args:
        config: canvas and families.
        vocabulary: texts hold its characters only.
        families: faces to draw in.
    """

    def __init__(self, config: Config, vocabulary: Vocabulary, families: Sequence[Family]):
        self.layout = page_layout(config.model.canvas)
        self.families = families
        self.known = frozenset(vocabulary.characters)
        self.symbols = [character for character in vocabulary.characters if character.strip()]
        own = config.model.fonts
        self.numbers = {
            family.name: next(
                (own.index(face) for face in family.faces if face in own),
                own.index(_NEAREST[family.kind]) if _NEAREST.get(family.kind) in own else -1,
            )
            for family in families
        }

    @one_family_of_errors()
    def __call__(
        self,
        sentence: Callable[[], str],
        rng: np.random.Generator,
        degraded: float = 0.0,
        sizes: tuple[int, int] = SIZES,
        kind: str = "",
        width: float = 1.0,
    ) -> Strip:
        """One strip.

        Args:
            sentence: gives another sentence each time.
            rng: draws everything else.
            degraded: how strongly it is, 0..1.
            sizes: on the page, pixels per em.
            kind: of the text; drawn where not given.
            width: of letters, in parts of what their face has.

        Raises:
            UserError: no text of the corpus can be drawn in these faces.
        """
        for _ in range(_TRIES):
            snippet = draw_snippet(sentence, rng, self.symbols, kind)
            if not snippet.text or not self.known.issuperset(snippet.text):
                continue
            drawn = draw_face(self.families, snippet.text, rng)
            if drawn is None:
                continue
            family, face = drawn
            text = snippet.text
            if not kind and rng.random() < _FILLED:
                text = "\n".join([text, *self._more(sentence, face, rng)])
            pixels, text = draw_cutout(text, face, self.layout, rng, degraded, sizes, snippet.tracking, width)
            if text:
                return Strip(pixels, text, snippet.kind, self.numbers[family.name], face)
        raise UserError(f"no text can be drawn: the faces or the vocabulary lack the characters of {snippet.text!r}")

    def _more(self, sentence: Callable[[], str], face: str, rng: np.random.Generator) -> list[str]:
        """Texts for the lines that are free below a text; those that are not are left out in drawing."""
        texts = [draw_snippet(sentence, rng, self.symbols).text for _ in range(self.layout.height // LINE - 1)]
        return [text for text in texts if text and self.known.issuperset(text) and has_all(face, text)]


def collate_strips(strips: Sequence[Strip], vocabulary: Vocabulary, families: bool) -> Batch:
    """Strips as a batch of a reader."""
    return Batch(
        source_pixels=to_pixels(np.stack([strip.pixels for strip in strips])),
        source_characters=pad([vocabulary.encode_characters(strip.text) for strip in strips]),
        fonts=torch.tensor([strip.font for strip in strips]) if families else None,
    )


class ReadingDataset(SharedBatches[Batch]):
    """Batches of strips without end: ``dataset[i]`` is a pure function of the seed and ``i``.

    The share of degraded strips and their strength grow over ``page.degraded_steps``.

    Args:
        train: pairs, or a mixture of corpora.
        config: of the run; ``page.faces`` names the faces.
        vocabulary: of the run.
    """

    def __init__(self, train: Sequence[TextPair] | MixtureSource, config: Config, vocabulary: Vocabulary):
        self.config, self.vocabulary = config, vocabulary
        self.drawer = StripDrawer(config, vocabulary, training_families(config))
        self.seed, self.batch_size = config.trainer.seed, config.trainer.batch_size
        self.source_share = _SOURCES if config.data.both_languages else 1.0
        self.pairs: Sequence[TextPair] = []
        self.draws: Draws | None = None
        if isinstance(train, MixtureSource):
            self.draws = Draws(train.mixture, train.stores, self.seed)
        elif not train:
            raise UserError(f"{config.data.folder}: there is no training pair")
        else:
            self.pairs = train

    def part(self, index: int, rank: int = 0, ranks: int = 1) -> Batch:
        """Every R-th strip of a micro-batch, from number ``rank`` on; the others are not drawn."""
        return collate_strips(self.strips(index, rank, ranks), self.vocabulary, bool(self.config.model.fonts))

    def strips(self, index: int, rank: int = 0, ranks: int = 1) -> list[Strip]:
        """The strips of a micro-batch, or every R-th of them; each is a function of the seed and its place."""
        pairs = self._pairs(index, np.random.default_rng((self.seed, 4, index)))
        share, strength = self.degradation(index // self.config.trainer.accumulate)
        return [
            self._strip(pairs, np.random.default_rng((self.seed, 4, index, place)), share, strength)
            for place in range(rank, self.batch_size, ranks)
        ]

    def _strip(
        self, pairs: Sequence[tuple[str, str]], rng: np.random.Generator, share: float, strength: float
    ) -> Strip:
        def sentence() -> str:
            pair = pairs[int(rng.integers(len(pairs)))]
            return pair[0] if self.source_share == 1 or rng.random() < self.source_share else pair[1]

        degraded = float(rng.uniform(WEAKEST, strength)) if rng.random() < share else 0.0
        narrowed = self.config.page.narrowed
        width = float(rng.uniform(NARROWEST, 1)) if narrowed and rng.random() < narrowed else 1.0
        return self.drawer(sentence, rng, degraded, width=width)

    def degradation(self, step: int) -> tuple[float, float]:
        """The share of degraded strips at a step, and how strongly the worst of them are."""
        page = self.config.page
        progress = min(1.0, step / page.degraded_steps) if page.degraded_steps else 1.0
        first, last = page.degraded
        return first + progress * (last - first), 0.5 + 0.5 * progress

    def _pairs(self, index: int, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Some pairs of the corpus, of which the texts of a batch are made."""
        count = _PAIRS * self.batch_size
        if self.draws is None:
            chosen = (self.pairs[int(number)] for number in rng.integers(len(self.pairs), size=count))
            return [(pair.source, pair.target) for pair in chosen]
        return [self.draws.stores[corpus][pair] for corpus, pair in self.draws.window(index, count)]


def validation_strips(
    texts: Sequence[str], config: Config, vocabulary: Vocabulary, part: str, degraded: bool, count: int, kind: str = ""
) -> list[Strip]:
    """Strips that are the same in every run, in the faces of a part of ``page.faces``, from texts of validation."""
    drawer = StripDrawer(config, vocabulary, training_families(config, part))
    strips = []
    for index in range(count):
        rng = np.random.default_rng((0, 5, index))
        pool = [texts[(index + place) % len(texts)] for place in range(8)]

        def sentence(pool: list[str] = pool) -> str:
            pool.append(pool.pop(0))
            return pool[-1]

        state, sizes = (DEGRADED, DEGRADED_SIZES) if degraded else (0.0, CLEAN_SIZES)
        strips.append(drawer(sentence, rng, state, sizes, kind))
    return strips
