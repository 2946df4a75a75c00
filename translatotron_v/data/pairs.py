"""Aligned text pairs of a split, folded as pages show them: from the built-in grammar, text files or Parquet shards."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from data_synth.corpora import PUBLIC_TEXTS, read_lines, read_pairs
from data_synth.corpora import TextPair as TextPair
from data_synth.corpora import read_texts as _read_texts
from data_synth.errors import UserError as PagesError
from data_synth.render import normalise
from translatotron_v.config import Config, DataConfig, PageConfig
from translatotron_v.data.shards import holds_shards, read_shards
from translatotron_v.errors import UserError

GRAMMAR = "grammar"
BUILT_IN = (GRAMMAR, PUBLIC_TEXTS)  # corpora that need no file: phrases, and short texts written for training
GRAMMAR_PAIRS = 20_000  # training pairs that the built-in phrase grammar is asked for
GRAMMAR_HELD_OUT = 500  # pairs of its validation and of its test split


@dataclass(frozen=True)
class StoredPair(TextPair):
    """A pair whose pages were rendered beforehand: PNG bytes of the source and of the target page."""

    pictures: tuple[bytes, bytes]


@dataclass(frozen=True)
class TaggedPair(TextPair):
    """A pair that says what language its target is in."""

    language: str


@dataclass(frozen=True)
class ReviewedPair(TextPair):
    """A pair for SSR: what the starting reader wrote of the source page; without translation, that is all there is."""

    transcript: str
    translated: bool = True
    pictures: tuple[bytes, bytes] | None = None


def pictures_of(pair: TextPair) -> tuple[bytes, bytes] | None:
    """PNG bytes of both pages of a pair, where they are stored."""
    return pair.pictures if isinstance(pair, StoredPair | ReviewedPair) else None


def fold(text: str, page: PageConfig) -> str:
    """The text as pages show it: composed characters, single spaces, and lower case where pages have that."""
    return normalise(text.lower() if page.lower_case else text)


@contextmanager
def one_family_of_errors() -> Iterator[None]:
    """The renderer knows nothing of this package and raises errors of its own kind: here they become ours."""
    try:
        yield
    except PagesError as error:
        raise UserError(str(error)) from None


@one_family_of_errors()
def read_text_lines(path: Path) -> list[str]:
    """Lines of a text file in UTF-8, gzipped or not; raises UserError where it cannot be read."""
    return read_lines(path)


@one_family_of_errors()
def read_texts(path: str | Path) -> list[str]:
    """All texts of a corpus in every language that it has, aligned or not; raises UserError where there are none."""
    return _read_texts(path)


@one_family_of_errors()
def read_corpus(
    path: str, root: Path, languages: tuple[str, str], split: str = "train", limit: int = 0
) -> list[TextPair]:
    """Pairs of a corpus as they stand, the first ``limit`` of them if that is not 0.

    ``path`` is what ``data_synth.corpora.read_pairs`` takes, from ``root``, or a built-in corpus.

    Raises:
        UserError: the corpus is missing, its sides do not correspond, a line has no tab, or a built-in corpus does not
            have the languages.
    """
    if path == GRAMMAR:
        data = DataConfig(source_language=languages[0], target_language=languages[1])
        pairs = _grammar_split(data, split)
    else:
        pairs = read_pairs(path if path in BUILT_IN else root / path, *languages, split)
    return pairs[:limit] if limit else pairs


@one_family_of_errors()
def read_split(config: Config, split: str) -> list[TextPair]:
    """Aligned pairs of a split, folded as pages show them; fitting or not.

    From a folder of shards (``data_synth``) come ``StoredPair``s. Only their texts are folded, for the ids: pages and
    texts must agree, so shards for ``page.lower_case`` are rendered with ``--lower``.

    Raises:
        UserError: the corpus or the split is missing, or its sides do not correspond; stored pages of another size
            than the canvas.
    """
    data = config.data
    if data.folder == GRAMMAR:
        pairs = _grammar_split(data, split)
    elif data.folder == PUBLIC_TEXTS:
        if split != data.train:
            raise UserError(
                f"data.folder: {PUBLIC_TEXTS} is for training only and has no split {split!r}; name another corpus, "
                f"and {PUBLIC_TEXTS} in data.extra"
            )
        pairs = read_pairs(PUBLIC_TEXTS, data.source_language, data.target_language)
    else:
        folder = Path(data.folder)
        if not folder.exists():
            raise UserError(
                f"data.folder: {folder} does not exist; name a corpus with data.folder=PATH, "
                "or data.folder=grammar for the built-in phrases"
            )
        if holds_shards(folder):
            rows = read_shards(folder, split, (data.source_language, data.target_language), config.model.canvas)
            return [
                StoredPair(fold(row.source, config.page), fold(row.target, config.page), row.pictures) for row in rows
            ]
        pairs = read_pairs(folder, data.source_language, data.target_language, split)
    return [TextPair(fold(pair.source, config.page), fold(pair.target, config.page)) for pair in pairs]


def read_text_pairs(config: Config, split: str) -> list[TaggedPair]:
    """Pairs of a split for text-only batches, into every language of ``data.text_languages``; no page need fit.

    Raises:
        UserError: as of ``read_split``.
    """
    tagged: list[TaggedPair] = []
    languages = config.data.text_languages or [config.data.target_language]
    for language in languages:
        data = replace(config.data, target_language=language)
        own = replace(config, data=data)
        kept = read_training_pairs(own) if split == data.train else read_split(own, split)
        tagged += [TaggedPair(pair.source, pair.target, language) for pair in kept]
    return tagged


def read_training_pairs(config: Config) -> list[TextPair]:
    """The training pairs: those of ``data.folder`` as often as ``data.repeat`` says, then those of ``data.extra``.

    Raises:
        UserError: as of ``read_split`` and ``portion``; stored pages among corpora that are text.
    """
    data = config.data
    pairs = portion(read_split(config, data.train), data) * data.repeat
    for folder in data.extra:
        more = read_split(replace(config, data=replace(data, folder=folder)), data.train)
        if pairs and more and (pictures_of(pairs[0]) is None) != (pictures_of(more[0]) is None):
            raise UserError(f"data.extra: {folder}: stored pages and text cannot be mixed in one run")
        pairs += more
    return pairs


def portion(pairs: Sequence[TextPair], data: DataConfig) -> list[TextPair]:
    """The training pairs that ``data.skip`` and ``data.limit`` leave.

    Raises:
        UserError: there are no more pairs than are left out.
    """
    if pairs and data.skip >= len(pairs):
        raise UserError(f"data.skip={data.skip} leaves nothing: {data.folder} has {len(pairs)} training pairs")
    return list(pairs[data.skip : data.skip + data.limit] if data.limit else pairs[data.skip :])


def _grammar_split(data: DataConfig, split: str) -> list[TextPair]:
    """Disjoint splits of the built-in phrases: held-out ones come first and are left out of training."""
    from data_synth.grammar import grammar_pairs

    held_out = grammar_pairs(data.source_language, data.target_language, 2 * GRAMMAR_HELD_OUT, seed=0)
    if split == data.validation:
        return held_out[:GRAMMAR_HELD_OUT]
    if split == data.test:
        return held_out[GRAMMAR_HELD_OUT:]
    hidden = set(held_out)
    wanted = data.skip + data.limit if data.limit else GRAMMAR_PAIRS
    pairs = grammar_pairs(data.source_language, data.target_language, wanted, seed=1)
    return [pair for pair in pairs if pair not in hidden]
