"""From settings to a stage that is ready to train: data, vocabulary, modules, starting weights."""

import re
import sys
from pathlib import Path

import torch

from translatotron_v.config import Config
from translatotron_v.data.pages import fitting, read_split
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.training.checkpoint import latest_checkpoint, resolve
from translatotron_v.training.stages import STAGES, Stage
from translatotron_v.training.trainer import Trainer


def train(config: Config) -> dict[str, float]:
    """Train a stage from its settings; returns the last metrics."""
    return Trainer(build_stage(config), config.trainer, Path(config.run)).fit()


def build_stage(config: Config) -> Stage:
    """Read the corpus, find or build the vocabulary, make the stage and load what it starts from.

    Raises:
        UserError: a missing corpus or checkpoint, or one that does not fit the settings.
    """
    torch.manual_seed(config.trainer.seed)
    train = read_split(config, config.data.train)
    if config.data.limit:
        train = train[: config.data.limit]
    vocabulary = find_vocabulary(config)
    if vocabulary is None:
        texts = [text for pair in train for text in (pair.source, pair.target)]
        settings = config.model.vocabulary
        vocabulary = Vocabulary.build(texts, settings.subwords, settings.symbols)
    validation = read_split(config, config.data.validation)
    kept, kept_validation = fitting(train, config), fitting(validation, config)
    if not kept_validation:
        raise UserError(f"{config.data.folder}: no pair of {config.data.validation!r} fits the page")
    print(
        f"{config.stage}: {len(kept)} of {len(train)} training pairs and {len(kept_validation)} of "
        f"{len(validation)} validation pairs fit the page; {len(vocabulary)} pieces, "
        f"{vocabulary.character_count} characters",
        file=sys.stderr,
    )
    stage = STAGES[config.stage](config, vocabulary, kept, kept_validation)
    if latest_checkpoint(Path(config.run)) is None:
        new = stage.load_start()
        if new:  # one name for all layers, and for weight and bias
            parts = dict.fromkeys(re.sub(r"\.\d+\.", ".*.", name.rpartition(".")[0]) for name in new)
            print(f"{config.stage}: newly initialised: {', '.join(parts)}", file=sys.stderr)
    return stage


def find_vocabulary(config: Config) -> Vocabulary | None:
    """The vocabulary that the run must use: its own, the named one, or that of the weights it starts from."""
    own = latest_checkpoint(Path(config.run))
    if own is not None:
        return Vocabulary.from_file(own / "vocabulary.json")
    origins = [config.vocabulary] if config.vocabulary else [origin.split("#")[0] for origin in config.start.values()]
    for origin in origins:
        return Vocabulary.from_file(resolve(Path(origin)) / "vocabulary.json")
    return None
