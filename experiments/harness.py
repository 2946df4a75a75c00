"""What every experiment's script needs: its command line, its variants, its measurements, the head of its report.

Whatever is finished stays finished: the same command goes on where it was, and repeats neither training nor
measurement unless settings or weights have changed.
"""

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from experiments import measurements, variants
from experiments.variants import ROOT
from translatotron_v.arguments import positive
from translatotron_v.config import Config
from translatotron_v.errors import UserError
from translatotron_v.evaluation.report import Page, today, versions
from translatotron_v.memory import prepare_to_train
from translatotron_v.training.recipe import Step, find_recipe, load_recipe

EXPERIMENTS = ("ssr", "modality_gap", "skip_links", "textual_regularization", "ablations", "joint")

QUICK_FOLDER = Path("out") / "quick"
QUICK_PAGES, QUICK_SEEDS = 4, 2
QUICK_SETTINGS = (
    "trainer.steps=2",
    "trainer.batch_size=4",
    "trainer.warmup_steps=1",
    "trainer.log_every=1",
    "data.skip=0",
    "data.limit=64",
    f"data.validation_limit={QUICK_PAGES}",
)


class Stopped(BaseException):
    """A signal asked the experiment to stop; no ``except Exception`` may swallow it."""


def run(
    name: str,
    description: str | None,
    body: Callable[["Experiment"], None],
    argv: Sequence[str] | None = None,
    more: Callable[[argparse.ArgumentParser], None] | None = None,
    starts: Mapping[str, str] | None = None,
) -> int:
    """Everything around an experiment: its options, one line for an error, and stopping in good order.

    Args:
        name: of the experiment: its module, and the recipe in ``configs/`` where it trains variants.
        description: for ``--help``.
        body: trains, measures and writes the report.
        argv: arguments in place of those of the command line.
        more: adds options of its own: those of an experiment without variants, which measures what `make` has trained.
        starts: where its recipe starts from what `make` has trained: kind ("text", "reader") -> run. An option of each
            name puts another run in its place; with ``--quick`` random weights do.

    Returns:
        The exit status: 0 done, 2 bad input or a failed variant, 130 or 143 stopped by a signal.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = options(description or "", name, arguments, more, starts)
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, here and in every child
    prepare_to_train()
    previous = {number: signal.signal(number, _stop) for number in _signals()}
    try:
        if Path.cwd() != ROOT:
            raise UserError(f"run the experiments from the root of the repository: cd {ROOT}")
        body(Experiment(name, chosen, arguments, trains=more is None, starts=starts))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print("stopped: what was done is saved; the same command goes on from here", file=sys.stderr)
        return 128 + int(stopped.args[0])
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def options(
    description: str,
    name: str,
    arguments: Sequence[str] | None = None,
    more: Callable[[argparse.ArgumentParser], None] | None = None,
    starts: Mapping[str, str] | None = None,
) -> argparse.Namespace:
    """The options of an experiment: data, jobs, report and quick; seeds, starts and settings, or what `more` adds."""
    page = Path("docs") / "experiments" / f"{_dashed(name)}.md"
    variants_explained = f"""\
The variants are the steps of configs/{name}/recipe.yaml; each writes runs/{_dashed(name)}/VARIANT and logs/VARIANT.log
beside it. To train something again, delete its folder. A setting key=value is for every variant, VARIANT:key=value for
one.
"""
    parser = argparse.ArgumentParser(
        prog=f"python -m experiments.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"""\
{variants_explained if more is None else ""}\
What is finished is not repeated: give the same command again to go on after an interruption or an error.
To measure something again, delete its file in runs/{_dashed(name)}/measurements.

examples:
  python -m experiments.{name} --quick                       # the whole way in small, to see that it works
  python -m experiments.{name} --data data/multi30k --jobs 4
""",
    )
    parser.add_argument("--data", metavar="FOLDER", help="the corpus (data/multi30k; with --quick: grammar)")
    parser.add_argument("--jobs", type=positive, default=2, metavar="N", help="processes of one thread each (2)")
    parser.add_argument("--report", type=Path, metavar="FILE", help=f"the page; pictures go beside it ({page})")
    parser.add_argument(
        "--quick", action="store_true", help=f"a few steps and pages; everything goes to {QUICK_FOLDER / name}"
    )
    if more is None:
        parser.add_argument("--seeds", type=positive, default=3, metavar="N", help="of the variants that need them (3)")
        parser.add_argument(
            "--cpu-seconds",
            type=positive,
            metavar="N",
            help="of variants that are compared at equal cost (as their files say)",
        )
        for kind, run_folder in (starts or {}).items():
            parser.add_argument(f"--{kind}", metavar="RUN", help=f"trained weights to start from ({run_folder})")
        parser.add_argument(
            "settings", nargs="*", metavar="key=value", help="settings laid over those of every variant"
        )
    else:
        more(parser)
    chosen = parser.parse_intermixed_args(arguments)
    chosen.data = chosen.data or ("grammar" if chosen.quick else "data/multi30k")
    chosen.report = chosen.report or (QUICK_FOLDER / name / page.name if chosen.quick else page)
    if chosen.quick and (ROOT / "docs") in (Path.cwd() / chosen.report).resolve().parents:
        parser.error("--quick measures nothing: its report cannot go to docs; leave --report out")
    return chosen


class Experiment:
    """An experiment as its script sees it.

    Attributes:
        name: of its module.
        options: those of the command line.
        variants: name -> step of its recipe, with the settings of the command line; none where it trains nothing.
        folder: the runs of all variants and the measurements, ``runs/NAME``.
        data: the corpus, ``jobs``, ``quick``: as on the command line.
        seeds: 1, 2, ...

    Raises:
        UserError: there is no such recipe or corpus, or a setting does not fit.
    """

    def __init__(
        self,
        name: str,
        chosen: argparse.Namespace,
        arguments: Sequence[str] = (),
        trains: bool = True,
        starts: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.options, self.page = name, chosen, Path(chosen.report)
        self.data, self.jobs, self.quick = str(chosen.data), int(chosen.jobs), bool(chosen.quick)
        self.folder = QUICK_FOLDER / name if self.quick else Path("runs") / _dashed(name)
        if self.quick:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.variants: dict[str, Step] = {}
        self._command = ["python", "-m", f"experiments.{name}", *map(_without_machine, arguments)]
        self._trained: dict[Path, Step] = {}
        self._measured: set[str] = set()
        if trains:
            self._load_variants(starts or {})

    def _load_variants(self, starts: Mapping[str, str]) -> None:
        chosen, quick = self.options, self.quick
        self.seeds = list(range(1, (min(chosen.seeds, QUICK_SEEDS) if quick else chosen.seeds) + 1))
        settings = [f"data.folder={self.data}", "trainer.threads=1", *(QUICK_SETTINGS if quick else ())]
        _, steps = load_recipe(find_recipe(self.name), [*settings, *chosen.settings])
        shared = {origin for step in steps for origin in variants.origins(step.config)}
        steps = [self._started(step, starts, bounded=step.run not in shared) for step in steps]
        if quick:
            moved = {step.run: self.folder / step.run.name for step in steps}
            steps = [variants.redirected(step, moved) for step in steps]
            for step in steps:
                step.config.ssr.cache = str(self.folder / "transcripts")
        self.folder = steps[0].run.parent
        self.variants = {step.name: step for step in steps}
        self._corpus = _corpus(steps[0].config)

    def _started(self, step: Step, starts: Mapping[str, str], bounded: bool) -> Step:
        """The step from the weights that were asked for and, unless others start from it, at the cost.

        With ``--quick``, weights that are not named are left to chance.
        """
        chosen = {kind: getattr(self.options, kind) for kind in starts}
        moved = {Path(starts[kind]): Path(run) for kind, run in chosen.items() if run}
        step = variants.redirected(step, moved)
        trainer = step.config.trainer
        if self.options.cpu_seconds and bounded and trainer.cpu_seconds is not None and not trainer.patience:
            trainer.cpu_seconds = float(self.options.cpu_seconds)
        if self.quick:
            step = variants.unstarted(step, [Path(starts[kind]) for kind, run in chosen.items() if not run])
        for kind, run in starts.items():
            if Path(run) in variants.origins(step.config) and not variants.is_there(Path(run)):
                raise UserError(f"{run}: is not there: train it (docs/experiments), or name a run with --{kind} RUN")
        return step

    def limited(self, count: int) -> int:
        """How many pages or sentences to measure: `count`, or a handful with ``--quick``."""
        return min(count, QUICK_PAGES) if self.quick else count

    def train(self, steps: Sequence[Step] | None = None) -> None:
        """Train these variants (all of the recipe) unless they are finished; see `variants.train`."""
        chosen = list(self.variants.values()) if steps is None else list(steps)
        variants.train(chosen, self.jobs)
        self._trained |= {step.run: step for step in chosen}

    def measure(self, tasks: Sequence[measurements.Task]) -> dict[str, Any]:
        """Key -> value of many measurements, several at a time in processes of one thread.

        Args:
            tasks: each a tuple (weights, key, function, *arguments). Weights are a run or a checkpoint, or several; the
                function, of a module, gets the folder of each one's final weights and the arguments (JSON values or
                paths), and returns JSON values. What it returns is kept as ``measurements/KEY.json`` until weights or
                arguments change.

        Raises:
            UserError: weights are missing, or a process was killed.
        """
        values = measurements.measure_all(tasks, self.folder / "measurements", self.jobs)
        self._measured |= set(values)
        return values

    def cpu_seconds(self) -> float:
        """CPU seconds of the variants that were asked for so far, and of the measurements, whenever they were taken."""
        training = variants.cpu_seconds(list(self._trained.values()))
        return training + measurements.cpu_seconds(self.folder / "measurements", self._measured)

    def picture(self, name: str) -> Path:
        """Where a picture of the report belongs, such as ``docs/experiments/ssr/curves.png``."""
        return self.page.with_suffix("") / name

    def report(self, title: str, verdict: str, data: str = "") -> Page:
        """The head of the page: verdict, date, data, seeds, versions, cost and command.

        Args:
            title: heading.
            verdict: "Reproduced: ...", "Not reproduced: ..." or "Partly: ...".
            data: what was measured on; the variants' corpus and its splits where it is not given.
        """
        seeds = sorted({step.config.trainer.seed for step in self._trained.values()})
        facts = [
            f"{today()}.",
            f"Data: {data or self._corpus}.",
            *([f"Seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}."] if seeds else []),
            f"{self.cpu_seconds():,.0f} CPU-seconds of training and measuring, one thread for each process;",
            f"{versions('torch', 'sacrebleu', 'rapidocr')}.",
        ]
        if self.quick:
            facts.append("**Made with --quick: the figures mean nothing.**")
        return Page(self.page, title, verdict, facts, shlex.join(self._command))


def finish(page: Page) -> None:
    """Write a page and print it."""
    page.write()
    print(page)


def _corpus(config: Config) -> str:
    """The corpus, its splits and how many pairs each has; a corpus needs no test split."""
    from translatotron_v.data.pairs import read_split

    data = config.data
    sizes = {split: len(read_split(config, split)) for split in (data.train, data.validation)}
    with contextlib.suppress(UserError):
        sizes[data.test] = len(read_split(config, data.test))
    listed = ", ".join(f"`{split}` {size:,}" for split, size in sizes.items())
    return f"{_without_machine(data.folder)}, {data.source_language}-{data.target_language}, {listed} pairs"


def _without_machine(word: str) -> str:
    """A word of a command line without the place of this checkout, or of anything outside it."""
    key, separator, value = word.rpartition("=")
    path = Path(value)
    if not path.is_absolute():
        return word
    shown = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    return f"{key}{separator}{shown}"


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _signals() -> list[signal.Signals]:
    return [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)
