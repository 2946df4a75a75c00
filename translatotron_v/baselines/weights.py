"""Runs whose models take the translator's place."""

from pathlib import Path

from translatotron_v.checkpoint import read_info, resolve
from translatotron_v.config import Config, load_config
from translatotron_v.errors import UserError
from translatotron_v.inference.loaded import LoadedTranslator


def open_run(folder: str | Path, stage: str, command: str, loaded: LoadedTranslator) -> tuple[Path, Config]:
    """The checkpoint of a run and its settings.

    Raises:
        UserError: it is missing, of another stage, or for another canvas.
    """
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such run; `{command}` trains it, or name one by --baseline-weights")
    path = resolve(Path(folder))
    read_info(path)
    config = load_config(path / "config.yaml")
    if config.stage != stage:
        raise UserError(f"{path}: a checkpoint of the stage {config.stage!r}; this baseline takes one of {stage!r}")
    if config.model.canvas != loaded.config.model.canvas:
        raise UserError(f"{path}: for strips of another size than those of {loaded.folder}")
    return path, config
