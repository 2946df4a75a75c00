"""Does one model from picture to picture keep up with cascades of readers, translators and drawers, and is it smaller?

Every system translates the same pages of Multi30k in three looks, by the same code that finds blocks of text and puts
words back, so that they differ in nothing but reading, translating and drawing. Each (set, system) is a process of its
own; what is finished is kept in runs/comparison, and the same command goes on after an interruption.
"""

import argparse
import math
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments import comparison_measurements as taken
from experiments.arms import ROOT
from experiments.comparison_page import END_TO_END, MEMORY_SET, SETS, Results, make_page, make_pictures
from experiments.measurements import cpu_seconds, measure_all
from translatotron_v.arguments import SYSTEMS, positive
from translatotron_v.errors import UserError
from translatotron_v.training.memory import keep_freed_memory

MAIN = Path("weights") / "small"
FOLDER = Path("runs") / "comparison"
QUICK_FOLDER = Path("out") / "quick" / "comparison"
QUICK_PAGES = 4
TARGETS = {"draw": "make text-to-image", "pixels": "make pixels"}  # what trains a system's own model
RESAMPLES, SEED = 1000, 12345  # of the bootstrap; the seed is sacrebleu's own


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the report; returns the exit status (0 done, 2 bad input, 130 interrupted)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parse(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, here and in every child
    keep_freed_memory()
    try:
        write(options, shlex.join(["python", "-m", "experiments.comparison", *arguments]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped: what was done is saved; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    page = Path("docs") / "experiments" / "comparison.md"
    parser = argparse.ArgumentParser(
        prog="python -m experiments.comparison",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", metavar="FOLDER", help="the corpus (data/multi30k; with --quick: grammar)")
    parser.add_argument("--split", default="test_2016_flickr", metavar="NAME", help="of the corpus (%(default)s)")
    parser.add_argument("--limit", type=positive, default=0, metavar="N", help="only the first N pages of a set (all)")
    parser.add_argument("--jobs", type=positive, default=2, metavar="N", help="processes of one thread each (2)")
    parser.add_argument(
        "--systems", type=_systems, default=SYSTEMS, metavar="LIST",
        help=f"only these, with commas between them; {END_TO_END} is always there (all: {', '.join(SYSTEMS)})",
    )  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="FILE", help=f"the page; pictures go beside it ({page})")
    parser.add_argument("--quick", action="store_true", help=f"a few pages; everything goes to {QUICK_FOLDER}")
    options = parser.parse_args(arguments)
    options.data = options.data or ("grammar" if options.quick else "data/multi30k")
    options.report = options.report or (QUICK_FOLDER / page.name if options.quick else page)
    options.folder = QUICK_FOLDER if options.quick else FOLDER
    if options.quick:
        options.limit = min(options.limit or QUICK_PAGES, QUICK_PAGES)
        if (ROOT / "docs") in (Path.cwd() / options.report).resolve().parents:
            parser.error("--quick measures nothing: its report cannot go to docs; leave --report out")
    return options


def write(options: argparse.Namespace, command: str) -> None:
    """Take what has not been measured yet, and write the page and its pictures.

    Raises:
        UserError: weights or the corpus are missing, or a measurement failed.
    """
    from translatotron_v.config import load_config

    if Path.cwd() != ROOT:
        raise UserError(f"run the experiments from the root of the repository: cd {ROOT}")
    weights = {system: own_weights(system) for system in options.systems}
    if options.quick:
        shutil.rmtree(options.folder, ignore_errors=True)
    results = measure(options, weights)
    config = load_config(MAIN / "config.yaml")
    config.data.folder = options.data
    results.paper = load_config(Path("configs") / "paper" / "model.yaml")
    make_pictures(results, config, options)
    make_page(results, options, command, config).write()
    print(f"written to {options.report}")


def own_weights(system: str) -> Path:
    """The run of a system's own model, or the end-to-end model's weights where it has none.

    Raises:
        UserError: it has not been trained to the end.
    """
    from translatotron_v.inference.cascade import PIXELS, TEXT_TO_IMAGE
    from translatotron_v.training.checkpoint import INFO_FILE

    drawer = system.rpartition("-")[2]
    folder = Path({"draw": TEXT_TO_IMAGE, "pixels": PIXELS}.get(drawer, MAIN))
    if drawer in TARGETS and not any((folder / name / INFO_FILE).is_file() for name in (".", "final")):
        raise UserError(f"{folder}: no finished run; `{TARGETS[drawer]}` trains it, or leave {system} out by --systems")
    return folder


def measure(options: argparse.Namespace, weights: Mapping[str, Path]) -> Results:
    """All measurements, from their files where nothing has changed.

    Args:
        options: those of the command line.
        weights: system -> the run of its own model.
    """
    from translatotron_v.training.checkpoint import resolve, weights_digest

    keep, pages = options.folder / "measurements", (options.data, options.split, options.limit)
    folders = {name: options.folder / name for name in SETS}
    # OCR reads the references first, so that it remembers them for all systems
    references = measure_all(
        [
            (MAIN, f"{name}-references", taken.read_references, look, *pages, str(folders[name]))
            for name, look in SETS.items()
        ],
        keep,
        options.jobs,
    )
    scores = [
        (
            [MAIN, own], f"{name}-{system}", taken.score,
            system, look, *pages, str(folders[name]), str(folders[name] / system),
        )
        for name, look in SETS.items()
        for system, own in weights.items()
    ]  # fmt: skip
    memory = [
        ([MAIN, own], f"memory-{system}", taken.peak_memory, system, SETS[MEMORY_SET], options.data, options.split)
        for system, own in weights.items()
    ]
    values = measure_all([*scores, *memory], keep, options.jobs)
    found = {name: {system: values[f"{name}-{system}"] for system in weights} for name in SETS}
    parameters, codebooks, shared = _sizes(weights)
    return Results(
        pages={name: references[f"{name}-references"] for name in SETS},
        sets=found,
        memory={system: values[f"memory-{system}"] for system in weights},
        significance={name: significance(of_set) for name, of_set in found.items()},
        parameters=parameters,
        codebooks=codebooks,
        shared=shared,
        weights={str(path): weights_digest(resolve(path)) for path in dict.fromkeys([MAIN, *weights.values()])},
        cpu_seconds=cpu_seconds(keep, [*(f"{name}-references" for name in SETS), *values]),
        training=[trained(own) for own in dict.fromkeys(weights.values()) if own != MAIN],
    )


def trained(run: Path) -> str:
    """How a run was trained, and the runs that it goes on from: a sentence of steps, cost and what it reached."""
    from translatotron_v.config import load_config
    from translatotron_v.training.checkpoint import read_info, resolve

    folder = resolve(run)
    info, config = read_info(folder), load_config(folder / "config.yaml")
    scores = ", ".join(f"{name} {value:.4g}" for name, value in info.get("metrics", {}).items())
    sentence = (
        f"`{run}`: {info['step']:,} steps of {config.trainer.batch_size} pages, {info.get('cpu_seconds', 0.0):,.0f} "
        f"CPU-seconds; on `{config.data.validation}` {scores or 'not scored'}"
    )
    origins = dict.fromkeys(Path(origin.partition("#")[0]) for origin in config.start.values())
    before = [trained(origin) for origin in origins if origin.parts[:1] != MAIN.parts[:1] and origin.is_dir()]
    return "; before it ".join([sentence, *before])


def significance(found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Paired bootstrap resampling (Koehn 2004) of every system against the end-to-end model, as sacrebleu does it.

    Args:
        found: system -> "read" and "references", texts page by page.

    Returns:
        System -> metric ("BLEU", "chrF") -> p. It is 1 where two scores are equal: of differences that are all zero
        sacrebleu would make its smallest p.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.significance import PairedTest

    systems = [END_TO_END, *(system for system in found if system != END_TO_END)]
    if len(systems) == 1:
        return {}
    os.environ["SACREBLEU_SEED"] = str(SEED)  # sacrebleu takes it from nowhere else
    metrics = {"BLEU": BLEU(force=True), "chrF": CHRF()}  # with case, as the scores are
    named = [(system, found[system]["read"]) for system in systems]
    references = [found[END_TO_END]["references"]]
    columns: Any = PairedTest(named, metrics, references, test_type="bs", n_samples=RESAMPLES)()[1]
    tested: dict[str, dict[str, float]] = {system: {} for system in systems[1:]}
    for metric, (base, *results) in zip(metrics, list(columns.values())[1:], strict=True):  # the first names systems
        for system, result in zip(tested, results, strict=True):
            tested[system][metric] = 1.0 if math.isclose(result.score, base.score) else float(result.p_value)
    return tested


def _sizes(weights: Mapping[str, Path]) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Parameters and codebooks of the systems, and what they share."""
    from experiments.comparison_parameters import codebook_values, inference_parameters, shared_parameters
    from translatotron_v.config import load_config
    from translatotron_v.data.vocabulary import Vocabulary
    from translatotron_v.training.checkpoint import resolve

    config, vocabulary = load_config(MAIN / "config.yaml"), Vocabulary.from_file(MAIN / "vocabulary.json")
    parameters, codebooks = {}, {}
    for system, own in weights.items():
        model = load_config(resolve(own) / "config.yaml").model
        parts = {name: getattr(model, name) for name in ("teacher", "teacher_encoder", "teacher_decoder", "pixels")}
        sized = replace(config, model=replace(config.model, **parts))
        parameters[system] = inference_parameters(system, sized, len(vocabulary), vocabulary.character_count)
        codebooks[system] = codebook_values(system, sized)
    return parameters, codebooks, shared_parameters(config)


def _systems(text: str) -> tuple[str, ...]:
    """Names of systems with commas between them, in the order of `SYSTEMS`, the end-to-end model always among them."""
    names = [name for part in text.split(",") if (name := part.strip())]
    for name in names:
        if name not in SYSTEMS:
            raise argparse.ArgumentTypeError(f"{name!r} is no system: choose from {', '.join(SYSTEMS)}")
    return tuple(name for name in SYSTEMS if name in (END_TO_END, *names))


if __name__ == "__main__":
    sys.exit(main())
