"""A whole recipe: the stages of ``configs/NAME/recipe.yaml`` one after the other, then the export.

Finished stages are passed over and an interrupted one resumes, so that the same command always goes on where it was.
"""

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from translatotron_v.config import Config, ConfigError, load_config
from translatotron_v.shipped import shipped_folder
from translatotron_v.training.stages import check_stage

RECIPE_FILE = "recipe.yaml"


@dataclass
class Recipe:
    """What ``recipe.yaml`` says."""

    steps: list[str] = field(default_factory=list)  # config files beside the recipe, without .yaml, in order
    export: str = ""  # folder that the last step's weights are exported to; empty: no export
    cpu_seconds: float = 0.0  # budget of all steps together; 0: none


@dataclass(frozen=True)
class Step:
    """One stage of a recipe, ready to run."""

    name: str
    path: Path
    config: Config

    @property
    def run(self) -> Path:
        """Its run folder."""
        return Path(self.config.run)


def run_recipe(name: str, settings: Sequence[str] = ()) -> None:
    """Train every step that is not finished, export the last one, and say what it took.

    Args:
        name: a folder of ``configs/`` that holds a ``recipe.yaml``, or the path of such a folder.
        settings: ``key=value`` for every step, or ``STEP:key=value`` for one; also ``export=FOLDER``.

    Raises:
        UserError: an unknown recipe, step or setting (before anything runs), or whatever stops a step.
        SystemExit: a step was interrupted, and has saved.
    """
    folder = find_recipe(name)
    export = [setting.partition("=")[2] for setting in settings if setting.startswith("export=")]
    recipe, steps = load_recipe(folder, [setting for setting in settings if not setting.startswith("export=")])
    target = export[-1] if export else recipe.export
    from translatotron_v import ranks  # torch and timm take seconds to import
    from translatotron_v.training import build
    from translatotron_v.training.launch import join_ranks

    for number, step in enumerate(steps, start=1):
        heading = f"== {number} of {len(steps)}: {step.name} ({step.path}) -> {step.run}"
        leads = join_ranks(step.config.trainer).is_main_process
        finished = ranks.told_by_first(is_finished(step))
        if leads:
            print(f"{heading}: finished earlier" if finished else heading, file=sys.stderr)
        if not finished:
            build.train(step.config)
    if not leads:
        return
    exported = ""
    if target:
        from translatotron_v.training.export import export_run

        export_run(steps[-1].run, Path(target), overwrite=True)
        exported = f"exported to {target}"
    print(summary(steps, recipe.cpu_seconds))
    if exported:
        print(exported)


def find_recipe(name: str) -> Path:
    """The folder of a recipe.

    Raises:
        ConfigError: there is none of that name; the message lists those that exist.
    """
    root = shipped_folder("configs")
    for folder in (root / name, Path(name)):
        if (folder / RECIPE_FILE).is_file():
            return folder
    known = ", ".join(sorted(path.parent.name for path in root.glob(f"*/{RECIPE_FILE}")))
    raise ConfigError(f"{name!r} is neither a stage nor a recipe; recipes: {known or 'none'}")


def load_recipe(folder: Path, settings: Sequence[str] = ()) -> tuple[Recipe, list[Step]]:
    """Read a recipe and the settings of all its steps.

    Raises:
        ConfigError: a file is missing or has an unknown key, two steps share a run folder, or a setting names no step.
    """
    path = folder / RECIPE_FILE
    try:
        recipe: Recipe = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Recipe), OmegaConf.load(path)))  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from None
    except Exception as error:  # the YAML library raises a family of its own
        raise ConfigError(f"{path}: not a YAML file: {str(error).splitlines()[0]}") from None
    if not recipe.steps:
        raise ConfigError(f"{path}: lists no steps")
    chosen = _settings_of_steps(recipe.steps, settings)
    files = {name: folder / f"{name}.yaml" for name in recipe.steps}
    steps = [Step(name, files[name], load_config(files[name], chosen[name])) for name in recipe.steps]
    runs: dict[Path, str] = {}
    for step in steps:
        check_stage(step.config)
        if step.run in runs:
            raise ConfigError(f"{step.path}: run {step.run} is also that of the step {runs[step.run]!r}")
        runs[step.run] = step.name
    if recipe.export and steps[-1].config.stage != "translator":
        raise ConfigError(f"{path}: only a translator can be exported, the last step is {steps[-1].config.stage!r}")
    return recipe, steps


def _settings_of_steps(names: Sequence[str], settings: Sequence[str]) -> dict[str, list[str]]:
    """Which settings each step gets: those without a prefix, then its own."""
    general: list[str] = []
    own: dict[str, list[str]] = {name: [] for name in names}
    for setting in settings:
        prefix, colon, rest = setting.partition(":")
        if not colon or "=" in prefix:  # a colon in the value is no prefix
            general.append(setting)
        elif prefix in own:
            own[prefix].append(rest)
        else:
            nearest = difflib.get_close_matches(prefix, names, n=1)
            hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
            raise ConfigError(f"{setting!r}: no step {prefix!r} (steps: {', '.join(names)}){hint}")
    return {name: general + own[name] for name in names}


def is_finished(step: Step) -> bool:
    """Whether the step's run has come to its end under its present settings."""
    from translatotron_v.checkpoint import INFO_FILE, read_info
    from translatotron_v.training.stopping import finished

    final = step.run / "final"
    if not (final / INFO_FILE).is_file():
        return False
    return finished(read_info(final), step.config.trainer)


def summary(steps: Sequence[Step], budget: float = 0.0) -> str:
    """A table of what each step took and reached, and of all against the budget (CPU-seconds)."""
    from translatotron_v.checkpoint import read_info, resolve

    width = max(len("in all"), *(len(step.name) for step in steps))
    lines = [f"{'step':<{width}}  {'steps':>7}  {'CPU-s':>8}  scores"]
    total = 0.0
    for step in steps:
        info = read_info(resolve(step.run))
        total += info["cpu_seconds"]
        scores = ", ".join(f"{name} {value:.4g}" for name, value in info["metrics"].items())
        lines.append(f"{step.name:<{width}}  {info['step']:>7}  {info['cpu_seconds']:>8.0f}  {scores}")
    share = f"{total / budget:.0%} of the budget of {budget:.0f}" if budget else ""
    lines.append(f"{'in all':<{width}}  {'':>7}  {total:>8.0f}  {share}".rstrip())
    return "\n".join(lines)
