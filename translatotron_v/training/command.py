"""What ``python train.py`` does: settings to a stage, a stage to the loop."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from translatotron_v.config import Config, ConfigError, load_config
from translatotron_v.terminal import guarded
from translatotron_v.training.stages import STAGES, check_stage

EPILOG = """\
The stages, in the order of the whole recipe:
{stages}

A run that was interrupted continues when the same command is given again.

examples:
  python train.py tokenizer --config configs/tiny/tokenizer.yaml data.folder=data/multi30k
  python train.py text --config configs/tiny/text.yaml trainer.steps=500 run=runs/try/text
  python train.py tiny --data data/multi30k          # the whole recipe, start to finish
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    width = max(map(len, STAGES)) + 2
    stages = "\n".join(f"  {name:<{width}}{entry.about}" for name, entry in STAGES.items())
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Train one stage of a translator, or a whole recipe.",
        epilog=EPILOG.format(stages=stages),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", help=f"{', '.join(STAGES)}, or a recipe: a folder of configs/, such as tiny")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with the settings of the stage")
    parser.add_argument("--data", metavar="FOLDER", help="the corpus; the same as data.folder=FOLDER")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings laid over the file's")
    return guarded(lambda: _train(parser.parse_intermixed_args(arguments)), "interrupted before training began")


def _train(options: argparse.Namespace) -> int:
    settings = list(options.settings)
    if options.data:
        settings.append(f"data.folder={options.data}")
    if options.stage in STAGES:
        config = load_stage(options.stage, options.config, settings)
        from translatotron_v.training import build  # torch and timm take seconds to import

        build.train(config)
    else:
        from translatotron_v.training.recipe import run_recipe

        run_recipe(options.stage, settings)
    return 0


def load_stage(stage: str, path: Path | None, settings: Sequence[str]) -> Config:
    """The settings of a stage; the file must belong to it."""
    config = load_config(path, settings if path else [f"stage={stage}", *settings])
    if config.stage != stage:
        raise ConfigError(f"{path}: is a config of the stage {config.stage!r}, not of {stage!r}")
    check_stage(config)
    return config
