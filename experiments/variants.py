"""The variants of an experiment: a recipe's steps, each with other settings, and their training side by side.

A variant is trained by ``train.py`` in a process of its own, as soon as the runs that it starts from are finished.
"""

import copy
import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from translatotron_v.config import Config, config_from_text, to_yaml
from translatotron_v.errors import UserError
from translatotron_v.evaluation.report import write_whole
from translatotron_v.terminal import progress
from translatotron_v.training.recipe import Step, is_finished

ROOT = Path(__file__).resolve().parent.parent

# Settings that change nothing of what is learnt: a run that differs in these alone is still the same variant.
_IMMATERIAL = frozenset(
    {f"trainer.{name}" for name in ("threads", "workers", "device", "log_every", "evaluate_every", "keep")}
    | {"data.validation_limit", "ssr.cache", "run"}
)
_POLL_SECONDS = 0.5  # between two looks at the children


def varied(step: Step, suffix: str, *settings: str, also: Sequence[Step] = ()) -> Step:
    """A variant like another, with some settings changed, and a run of its own.

    Args:
        step: the variant to begin with.
        suffix: joins the variant's name and its run folder, such as ``-text25``.
        settings: ``key=value``, laid over the variant's own.
        also: variants that are varied with the same suffix: where the variant starts from one of them, it now starts
            from that variant.
    """
    moved = {other.run: other.run.with_name(f"{other.run.name}{suffix}") for other in (step, *also)}
    merged = OmegaConf.merge(OmegaConf.structured(step.config), OmegaConf.from_dotlist(list(settings)))
    config: Config = OmegaConf.to_object(merged)  # type: ignore[assignment]
    return redirected(Step(f"{step.name}{suffix}", step.path, config), moved)


def seeded(step: Step, seed: int, also: Sequence[Step] = ()) -> Step:
    """The variant under another seed, in ``RUN-seedN``; `also` as in `varied`."""
    return varied(step, f"-seed{seed}", f"trainer.seed={seed}", also=also)


def origins(config: Config) -> list[Path]:
    """The runs and checkpoints that a run needs before it can begin."""
    names = [config.vocabulary, config.ssr.reader, *config.start.values()]
    return list(dict.fromkeys(Path(name.partition("#")[0]) for name in names if name))


def is_there(origin: Path) -> bool:
    """Whether a checkpoint, or a run that is finished, can be started from."""
    return any((folder / "checkpoint.json").is_file() for folder in (origin, origin / "final"))


def unstarted(step: Step, left_out: Sequence[Path]) -> Step:
    """The step with random weights, and a vocabulary of its own, in place of what it takes from some runs."""

    def kept(name: str) -> bool:
        return not any(Path(name.partition("#")[0]).is_relative_to(run) for run in left_out)

    config = copy.deepcopy(step.config)
    config.start = {module: origin for module, origin in config.start.items() if kept(origin)}
    config.vocabulary = config.vocabulary if config.vocabulary and kept(config.vocabulary) else ""
    return Step(step.name, step.path, config)


def taken(step: Step) -> tuple[int, float]:
    """Steps of a finished variant, and the CPU seconds of its loop."""
    from translatotron_v.checkpoint import read_info, resolve

    info = read_info(resolve(step.run))
    return int(info["step"]), float(info["loop_cpu_seconds"])


def cpu_seconds(steps: Sequence[Step]) -> float:
    """CPU seconds that the variants' trainings took, over all their resumes."""
    from translatotron_v.checkpoint import read_info, resolve

    return sum(float(read_info(resolve(step.run))["cpu_seconds"]) for step in steps)


def curve(run: Path, value: str, kind: str = "training") -> tuple[list[int], list[float]]:
    """Steps and values that a run has logged under a name, such as ``bleu`` of the kind ``evaluation``."""
    from translatotron_v.training.reporting import read_entries

    entries = [entry for entry in read_entries(Path(run)) if entry["kind"] == kind and value in entry]
    return [entry["step"] for entry in entries], [float(entry[value]) for entry in entries]


def train(steps: Sequence[Step], jobs: int = 2) -> None:
    """Train variants side by side, each when what it starts from is finished; finished ones are passed over.

    Args:
        steps: variants; none may start from a run that is neither among them nor finished.
        jobs: at most so many at a time.

    Raises:
        UserError: before anything runs: a variant starts from what is missing, or was trained under other settings.
            Later: it was trained from other weights than it would start from now, or a training failed; the others have
                saved.
    """
    owners = _owners(steps)
    for step in steps:
        _require_same_settings(step)
    waiting, done, running = list(steps), set[Path](), dict[Path, tuple[Step, subprocess.Popen[bytes]]]()
    try:
        with progress(len(steps), "training", unit="variant") as bar:
            while waiting or running:
                before = len(waiting), len(running)
                for step in [one for one in waiting if owners[one.run] <= done]:
                    if is_finished(step):
                        _require_same_origins(step)
                        done.add(step.run)
                    elif len(running) < jobs:
                        running[step.run] = step, _begin(step)
                    else:
                        continue
                    waiting.remove(step)
                for step, child in list(running.values()):
                    if child.poll() is not None:
                        del running[step.run]
                        _require_success(step, child.returncode)
                        done.add(step.run)
                bar.set_postfix_str(", ".join(step.name for step, _ in running.values()) or "-", refresh=False)
                bar.update(len(done) - bar.n)
                if running and (len(waiting), len(running)) == before:
                    time.sleep(_POLL_SECONDS)
    except BaseException:
        _end([child for _, child in running.values()])
        raise


def launch(step: Step, log: Path) -> "subprocess.Popen[bytes]":
    """Start the training of a variant; what it prints joins its log. Its settings stand beside the log, as YAML."""
    settings = log.with_suffix(".yaml").resolve()
    write_whole(settings, to_yaml(step.config).encode())
    command = [sys.executable, "train.py", step.config.stage, "--config", str(settings)]
    with open(log, "ab") as file:
        file.write(f"$ {shlex.join(command)}\n".encode())
        file.flush()
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the children in good order
        )


def log_file(step: Step) -> Path:
    """Where the output of a variant's training goes."""
    return step.run.parent / "logs" / f"{step.run.name}.log"


def _begin(step: Step) -> "subprocess.Popen[bytes]":
    """Launch a variant, or go on with it, and note the weights that it begins with."""
    from translatotron_v.checkpoint import latest_checkpoint

    if latest_checkpoint(step.run) is None:
        write_whole(_origins_file(step), (json.dumps(_digests(step), indent=1) + "\n").encode())
    else:
        _require_same_origins(step)
    return launch(step, log_file(step))


def _end(children: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Let trainings finish their step and save; a second signal kills them."""
    for child in children:
        child.terminate()
    try:
        for child in children:
            child.wait()
    except BaseException:
        for child in children:
            child.kill()
        raise


def _owners(steps: Sequence[Step]) -> dict[Path, set[Path]]:
    """Run -> those of the other variants' runs that must be finished before it; everything else must exist already."""
    runs = [step.run for step in steps]
    for step in steps:
        if runs.count(step.run) > 1:
            raise UserError(f"two variants share the run folder {step.run}; one of them is {step.name!r}")
    owners: dict[Path, set[Path]] = {}
    for step in steps:
        owners[step.run] = set()
        for origin in origins(step.config):
            among = next((one for one in runs if origin.is_relative_to(one)), None)
            if among is not None:
                owners[step.run].add(among)
            elif not is_there(origin):
                raise UserError(f"{step.path}: {step.name!r} starts from {origin}, which is not there or not finished")
    reached: set[Path] = set()
    while more := {one for one in runs if one not in reached and owners[one] <= reached}:
        reached |= more
    if missing := [str(one) for one in runs if one not in reached]:
        raise UserError(f"these variants wait for each other and can never begin: {', '.join(missing)}")
    return owners


def _require_same_settings(step: Step) -> None:
    """What a run has learnt under other settings must not pass for this variant."""
    from translatotron_v.checkpoint import CheckpointError, resolve

    try:
        stored = resolve(step.run) / "config.yaml"
    except CheckpointError:
        return  # nothing has been learnt yet
    if not stored.is_file():
        return
    old = dict(_flat(config_from_text(stored.read_text(encoding="utf-8"), str(stored))))
    new = dict(_flat(step.config))
    changed = [key for key in new if key not in _IMMATERIAL and old.get(key) != new[key]]
    if changed:
        key, more = changed[0], f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(
            f"{step.run}: was trained under other settings ({key} {old.get(key)!r}, now {new[key]!r}{more}): "
            "delete the folder to train it again, or give those settings"
        )


def _require_same_origins(step: Step) -> None:
    """A run that began with weights which have been trained anew since must not pass for this variant either."""
    path = _origins_file(step)
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for origin, digest in _digests(step).items():
        if old.get(origin, digest) != digest:
            raise UserError(f"{step.run}: {origin}, where it started from, has changed since: delete {step.run}")


def _origins_file(step: Step) -> Path:
    return log_file(step).with_suffix(".json")


def _digests(step: Step) -> dict[str, str]:
    from translatotron_v.checkpoint import resolve, weights_digest

    return {str(origin): weights_digest(resolve(origin)) for origin in origins(step.config)}


def _require_success(step: Step, status: int) -> None:
    if status == 0:
        return
    log = log_file(step)
    if status in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        raise UserError(f"{step.name}: was stopped and has saved; the same command goes on ({log})")
    printed = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = [line.strip() for line in re.split(r"[\r\n]", printed) if line.strip()]
    last = f": {lines[-1]}" if lines and not lines[-1].startswith("$ ") else ""
    cause = f"was killed by signal {-status}" if status < 0 else "failed"
    raise UserError(f"{step.name}: the training {cause}, see {log}{last}")


def redirected(step: Step, moved: Mapping[Path, Path]) -> Step:
    """The step with every run that it writes or reads in its new place."""

    def place(name: str) -> str:
        folder, hash_sign, module = name.partition("#")
        for old, new in moved.items():
            if folder and Path(folder).is_relative_to(old):
                return f"{new / Path(folder).relative_to(old)}{hash_sign}{module}"
        return name

    config = copy.deepcopy(step.config)
    config.run, config.vocabulary, config.ssr.reader = map(place, (config.run, config.vocabulary, config.ssr.reader))
    config.start = {module: place(origin) for module, origin in config.start.items()}
    return Step(step.name, step.path, config)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key -> value of every setting; a corpus is the same however its path is spelled."""
    for item in dataclasses.fields(value):
        inner = getattr(value, item.name)
        if dataclasses.is_dataclass(inner):
            yield from _flat(inner, f"{prefix}{item.name}.")
        elif prefix + item.name == "data.folder":
            yield "data.folder", str(Path(inner).resolve())
        else:
            yield prefix + item.name, inner
