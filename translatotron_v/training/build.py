"""From settings to a stage that is ready to train: data, vocabulary, modules, starting weights."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from translatotron_v import ranks
from translatotron_v.checkpoint import latest_checkpoint, resolve
from translatotron_v.config import Config
from translatotron_v.data.cleaning import clean_text
from translatotron_v.data.mixture import load_mixture, prepare
from translatotron_v.data.pages import fitting
from translatotron_v.data.pairs import (
    GRAMMAR_PAIRS,
    ReviewedPair,
    TaggedPair,
    TextPair,
    fold,
    pictures_of,
    read_corpus,
    read_split,
    read_text_pairs,
    read_training_pairs,
)
from translatotron_v.data.remote import is_remote
from translatotron_v.data.streamed_pages import ShardSource, first_pages
from translatotron_v.data.text_batches import DomainPair, MixtureSource
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError, building_a_model
from translatotron_v.models.image_encoder import ImageEncoder
from translatotron_v.training.launch import join_ranks
from translatotron_v.training.stages import STAGES, check_stage, stage_class
from translatotron_v.training.stages.base import Stage
from translatotron_v.training.stages.codebook import fit_run
from translatotron_v.training.stages.tokenizer import TokenizerStage
from translatotron_v.training.trainer import Trainer


def train(config: Config) -> dict[str, float]:
    """Train a stage from its settings; returns the last metrics."""
    processes = join_ranks(config.trainer)
    with ranks.one_line_for_a_lost_rank("what it said is the reason"), processes.main_process_first():
        stage = build_stage(config)  # the first rank fills caches that the others read
    if isinstance(stage, TokenizerStage) and config.model.tokenizer.encoder == "patch_codebook":
        return fit_run(stage, config)
    return Trainer(stage, config.trainer, Path(config.run)).fit()


def build_stage(config: Config) -> Stage:
    """Read the corpus, find or build the vocabulary, make the stage and load what it starts from.

    Raises:
        UserError: a missing corpus or checkpoint, or one that does not fit the settings.
    """
    check_stage(config)
    torch.manual_seed(config.trainer.seed)
    corpus = _read_corpus(config)
    vocabulary = find_vocabulary(config)
    if vocabulary is None:
        others = corpus.text if config.data.text_languages else []  # else they are the same pairs once more
        texts = [text for pair in [*corpus.whole, *others] for text in (pair.source, pair.target)]
        if isinstance(corpus.train, MixtureSource):
            _say(f"{config.stage}: building the vocabulary")
            most = sum(map(len, corpus.train.stores.values()))
            drawn = corpus.train.pairs(min(VOCABULARY_PAIRS, most), config.trainer.seed)
            texts = [text for pair in drawn for text in (pair.source, pair.target)]
        settings = config.model.vocabulary
        vocabulary = Vocabulary.build(
            texts,
            settings.subwords,
            settings.symbols,
            blocks=settings.characters,
            marks=settings.marks,
            languages=settings.languages,
        )
    _say(f"{config.stage}: {corpus.summary}; {len(vocabulary)} pieces, {vocabulary.character_count} characters")
    with building_a_model():
        stage = stage_class(config.stage)(config, vocabulary, corpus.train, corpus.validation)
    for module in stage.modules():
        if isinstance(module, ImageEncoder):
            module.recompute = config.trainer.recompute
    if corpus.untranslated:
        stage.mix_in_untranslated(corpus.untranslated)
    if config.data.text_share:
        stage.mix_in_text(corpus.text)
    if latest_checkpoint(Path(config.run)) is None:
        new = stage.load_start()
        if new:  # one name for all layers, and for weight and bias
            parts = dict.fromkeys(re.sub(r"\.\d+\.", ".*.", name.rpartition(".")[0]) for name in new)
            _say(f"{config.stage}: newly initialised: {', '.join(parts)}")
    return stage


def _say(line: str) -> None:
    """A line on standard error, of the first rank."""
    if ranks.number() == 0:
        print(line, file=sys.stderr, flush=True)


VOCABULARY_PAIRS = 400_000  # of a mixture, drawn by weight, that a vocabulary is built from


def _read_mixture(config: Config) -> "_Corpus":
    """Prepare a mixture's corpora; its validation sets and what it holds back are watched by domain."""
    data = config.data
    mixture, root = load_mixture(data.mixture), Path(data.folder)
    source = MixtureSource(mixture, prepare(mixture, root, Path(data.cache), data.allow_missing))
    validation: list[TextPair] = []
    for corpus in mixture.validation:
        pairs = read_corpus(corpus.path, root, corpus.languages, corpus.split, corpus.limit or data.validation_limit)
        validation += [DomainPair(clean_text(pair.source), clean_text(pair.target), corpus.name) for pair in pairs]
    validation += source.held_back(data.validation_limit)
    count = sum(len(store) for store in source.stores.values())
    train: list[TextPair] | MixtureSource = source
    if STAGES[config.stage].few_pairs:
        train = fitting(source.pairs(data.limit or GRAMMAR_PAIRS, config.trainer.seed), config)
    if config.stage != "text":  # pages: what fits, of all domains from the start
        order = np.random.default_rng(0).permutation(len(validation))
        validation = fitting([validation[index] for index in order], config)
    return _Corpus(
        [],
        train,
        validation,
        [],
        [],
        f"{len(source.stores)} corpora with {count:,} pairs, {len(validation):,} validation pairs",
    )


@dataclass
class _Corpus:
    """What a stage trains and is scored on."""

    whole: list[TextPair]  # all training pairs, fitting or not: the vocabulary is built from them
    train: list[TextPair] | MixtureSource | ShardSource
    validation: list[TextPair]
    untranslated: list[TextPair]  # in SSR, pages with a transcript alone
    text: list[TextPair]  # of text-only batches
    summary: str


def _read_streamed(config: Config) -> _Corpus:
    """Pages that are streamed; a vocabulary is built from the texts of some of them."""
    source = ShardSource.of(config)
    texts = list(source.texts(VOCABULARY_PAIRS)) if find_vocabulary(config) is None else []
    whole = [TextPair(fold(pair.source, config.page), fold(pair.target, config.page)) for pair in texts]
    validation: list[TextPair] = list(first_pages(config, config.data.validation, config.data.validation_limit))
    summary = f"{sum(source.lengths):,} pages in {len(source.shards):,} shards of {config.data.folder}"
    if config.stage == "separator":  # it renders its own
        return _Corpus(whole, list(source.texts(GRAMMAR_PAIRS)), validation, [], [], summary)
    return _Corpus(whole, source, validation, [], [], summary)


def _read_corpus(config: Config) -> _Corpus:
    """Read and choose the pairs of a run, with the transcripts of SSR."""
    data = config.data
    if data.mixture:
        return _read_mixture(config)
    if is_remote(data.folder):
        return _read_streamed(config)
    mixes_text = config.stage == "text" or bool(data.text_share)
    text: list[TextPair] = list(read_text_pairs(config, data.train)) if mixes_text and data.text_languages else []
    if config.stage == "text" and data.text_languages:
        each = max(1, data.validation_limit // len(data.text_languages))
        pairs = read_text_pairs(config, data.validation)
        validation: list[TextPair] = []
        for language in data.text_languages:
            validation += [pair for pair in pairs if pair.language == language][:each]
        return _Corpus(
            [], text, validation, [], text, f"{len(text)} sentence pairs into {', '.join(data.text_languages)}"
        )
    whole = read_training_pairs(config)
    validation = read_split(config, data.validation)
    if config.page.faces:  # strips take as much of a text as fits
        return _Corpus(
            whole, whole, validation, [], [], f"{len(whole)} training and {len(validation)} validation pairs"
        )
    kept, kept_validation = fitting(whole, config), fitting(validation, config)
    if not kept_validation:
        raise UserError(f"{data.folder}: no pair of {data.validation!r} fits the page")
    summary = (
        f"{len(kept)} of {len(whole)} training pairs and {len(kept_validation)} of {len(validation)} validation pairs "
        "fit the page"
    )
    if data.text_share and not text:
        text = [TaggedPair(pair.source, pair.target, data.target_language) for pair in whole]
    if config.ssr.reader:
        kept = review(config, kept)
    train, others = split_translated(kept, data.translated)
    if others:
        summary += f"; translations of {len(train)} are used"
    untranslated: list[TextPair] = [
        replace(pair, translated=False) for pair in others if isinstance(pair, ReviewedPair)
    ]
    return _Corpus(whole, train, kept_validation, untranslated, text, summary)


def split_translated(pairs: Sequence[TextPair], share: float) -> tuple[list[TextPair], list[TextPair]]:
    """The pairs whose translation is used, at least one, and the others; the same choice in every run."""
    count = max(1, round(share * len(pairs)))
    chosen = np.zeros(len(pairs), dtype=bool)
    chosen[np.random.default_rng(0).permutation(len(pairs))[:count]] = True
    used = [pair for pair, taken in zip(pairs, chosen, strict=True) if taken]
    return used, [pair for pair, taken in zip(pairs, chosen, strict=True) if not taken]


def review(config: Config, pairs: Sequence[TextPair]) -> list[TextPair]:
    """Join the starting reader's transcripts to the pairs."""
    from translatotron_v.training.reviewing import transcripts

    texts = transcripts(config, pairs)
    return [
        ReviewedPair(pair.source, pair.target, text, pictures=pictures_of(pair))
        for pair, text in zip(pairs, texts, strict=True)
    ]


def find_vocabulary(config: Config) -> Vocabulary | None:
    """The vocabulary that the run must use: its own, the named one, or that of its start unless that is mapped."""
    own = latest_checkpoint(Path(config.run))
    if own is not None:
        return Vocabulary.from_file(own / "vocabulary.json")
    starts = [] if config.map_vocabulary else [origin.split("#")[0] for origin in config.start.values()]
    origins = [config.vocabulary] if config.vocabulary else starts
    for origin in origins:
        return Vocabulary.from_file(resolve(Path(origin)) / "vocabulary.json")
    return None
