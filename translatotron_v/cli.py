"""The command line: `translatotron-v {translate, demo, text, render, info, export, merge, convert}`.

Everything heavy is imported inside the command that needs it, so that `--help` and `--version` answer at once.
"""

import argparse
import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v import __version__
from translatotron_v.arguments import BASELINES, PRECISIONS, option, positive
from translatotron_v.errors import UserError
from translatotron_v.generation_config import AS_TRAINED, GenerationOptions
from translatotron_v.shipped import DEFAULT_WEIGHTS
from translatotron_v.terminal import guarded, print_json

if TYPE_CHECKING:
    from translatotron_v.inference.files import Job, Outcome
    from translatotron_v.inference.glossary import Glossary, Term
    from translatotron_v.inference.loaded import BlockTranslation, LoadedTranslator
    from translatotron_v.inference.pipeline import Translator

MERGE_EPILOG = """\
methods
  linear  (1 - W) A + W B, for every weight of the modules that both hold: W=0 is A, W=1 is B
  ties    D + W * change: of what A and B changed of D each keeps its largest share K, every weight takes the sign
          that prevails, and the mean of the changes of that sign (arXiv 2306.01708)

examples
  # a translator tuned on one language, and a quarter of the text-only weights it started from
  translatotron-v merge runs/tuned runs/text -o merged --weight 0.25

  # the same two by ties: what the translator started from, with the largest fifth of what tuning changed
  translatotron-v merge runs/tuned runs/text -o merged --method ties --base runs/text

  # two translators that were tuned from one
  translatotron-v merge runs/french runs/czech -o both --method ties --base runs/start --density 0.3

  # the result is a checkpoint like any other
  translatotron-v translate page.png -o out.png --weights merged
"""

TEXT_EPILOG = """\
example: back-translation, to train on German for which there was only English
  translatotron-v text captions.en -o captions.de --weights runs/en-de/text
"""

PRINTED = 12  # runs of up to this many pictures print each of them; longer ones print what needs attention


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 done, 1 some pictures failed, 2 bad input, 130 interrupted)."""
    arguments = list(sys.argv[1:] if argv is None else argv)

    def run() -> int:
        if arguments[:1] == ["render"]:  # the renderer has a command line of its own
            return _render(arguments[1:])
        options = build_parser().parse_args(arguments)
        return options.run(options)

    try:
        return guarded(run, "interrupted; what was written so far stays")
    finally:
        gc.unfreeze()  # what is frozen at the exit counts as leaked to nanobind, which then complains


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="translatotron-v", description="Translate the text in a picture straight into a picture."
    )
    parser.add_argument("--version", action="version", version=f"translatotron-v {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    translate = commands.add_parser(
        "translate",
        help="translate pictures",
        description="Translate pictures. A file goes to a file or into a folder, a folder or a glob into a folder.",
    )
    translate.add_argument("inputs", nargs="+", metavar="IN", help="picture, folder or glob (quote it)")
    _add_output(translate)
    translate.add_argument("--compare", action="store_true", help="also write source and translation side by side")
    translate.add_argument("--json", action="store_true", help="print one JSON object per picture on stdout")
    translate.add_argument(
        "--debug", type=Path, metavar="DIR", help="write there what the pipeline saw: boxes, masks, backgrounds, strips"
    )
    _add_model_options(translate)
    translate.set_defaults(run=_translate)

    demo = commands.add_parser("demo", help="translate the bundled examples and lay them out on a contact sheet")
    _add_output(demo, default="out/demo")
    _add_model_options(demo)
    demo.set_defaults(run=_demo, debug=None)

    text = commands.add_parser(
        "text",
        help="translate a text file in text mode, line by line",
        description="Translate a text file, one sentence a line, by text mode: the layers that translate pictures, "
        "given the text. What was written stays when it is interrupted, and the same command goes on from there.",
        epilog=TEXT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    text.add_argument("input", metavar="IN", help="text file in UTF-8, .gz too")
    text.add_argument("-o", "--output", metavar="OUT", required=True, help="text file to write")
    text.add_argument("--force", action="store_true", help="begin anew instead of going on")
    _add_text_options(text.add_argument_group("model"))
    speed = text.add_argument_group("speed")
    speed.add_argument("--batch-size", type=positive, default=64, metavar="N", help="sentences at a time (64)")
    _add_device_options(speed)
    text.set_defaults(run=_text)

    commands.add_parser("render", help="render text pairs to pictures (the same as python -m data_synth)")

    info = commands.add_parser(
        "info",
        help="what is installed; or the parameters of a configuration or a checkpoint",
        description="Without an argument: versions, device, weights. With one: its modules and their parameters.",
    )
    info.add_argument(
        "what", nargs="?", metavar="WHAT", help="configuration file (or paper/translator), weights, checkpoint or run"
    )
    info.set_defaults(run=_info)

    export = commands.add_parser(
        "export",
        help="write a trained translator as a folder of half-precision weights",
        description="Write a translator run as a folder that translates anywhere: half-precision weights, settings, "
        "vocabulary.",
    )
    export.add_argument("checkpoint", metavar="RUN", help="run or checkpoint of the stage translator")
    export.add_argument("-o", "--output", metavar="FOLDER", required=True, help="where to write")
    export.add_argument(
        "--matting", metavar="RUN", help="a run of the stage separator to go with it: it then translates whole pages"
    )
    export.add_argument("--force", action="store_true", help="replace an export; its *.md and LICENSE files stay")
    export.set_defaults(run=_export)

    merge = commands.add_parser(
        "merge",
        help="merge the weights of two checkpoints",
        description="Write a translator like A whose weights lie between those of A and B. Modules that B lacks, "
        "settings and vocabulary are those of A.",
        epilog=MERGE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    merge.add_argument("first", metavar="A", help="run, checkpoint or shipped weights of the stage translator")
    merge.add_argument("second", metavar="B", help="another one, of any stage that shares modules with it")
    merge.add_argument("-o", "--output", metavar="C", required=True, help="folder to write")
    merge.add_argument("--method", choices=("linear", "ties"), default="linear", help="how (linear)")
    merge.add_argument(
        "--weight", type=float, metavar="W", help="linear: share of B, 0..1 (0.5); ties: scale of the change (1)"
    )
    merge.add_argument("--density", type=float, metavar="K", help="ties: share of its changes that each keeps (0.2)")
    merge.add_argument("--base", metavar="D", help="ties: what both were tuned from; B where A was tuned from B")
    merge.add_argument("--force", action="store_true", help="replace a checkpoint that stands at C")
    merge.set_defaults(run=_merge)

    convert = commands.add_parser(
        "convert",
        help="bring a checkpoint of an older format up to date",
        description="Write a checkpoint, or all of a run's, in the format that this version reads: settings, tensors "
        "and files under their new names, every number as it was.",
    )
    convert.add_argument("folder", metavar="FOLDER", help="run or checkpoint")
    convert.add_argument("-o", "--output", metavar="FOLDER", help="where to write (in place)")
    convert.set_defaults(run=_convert)
    return parser


def _add_output(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    parser.add_argument(
        "-o", "--output", metavar="OUT", default=default, required=default is None,
        help="where to write" + (f" (default: {default})" if default else "; a file's extension decides its format"),
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="overwrite what exists")


def _add_text_options(group: "argparse._ArgumentGroup") -> None:
    """Which weights write the text, in which language, and how."""
    group.add_argument("--weights", default=DEFAULT_WEIGHTS, metavar="NAME|DIR",
                       help=f"shipped weights or a checkpoint ({DEFAULT_WEIGHTS})")  # fmt: skip
    group.add_argument("--to", dest="target_language", metavar="LANG", help="target language (as trained)")
    group.add_argument(
        "--beams", type=option("beams", int), metavar="N", help="beam width, 1: greedy (as the weights say)"
    )
    group.add_argument(
        "--numbers", choices=("keep", "localize"),
        help="write 12,50 and 14.30 as in the source, or as the target language does: 12.50, 14:30 "
        f"({AS_TRAINED.numbers})",
    )  # fmt: skip
    group.add_argument(
        "--glossary", metavar="FILE",
        help="translate the words of FILE (TSV or CSV: source, target; an empty target leaves the word) as it says",
    )  # fmt: skip


def _add_device_options(group: "argparse._ArgumentGroup") -> None:
    """Where the model runs."""
    group.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ... (auto)")
    group.add_argument(
        "--threads", type=positive, default=1, metavar="N", help="CPU threads (1; more help large models only)"
    )


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    _add_text_options(model)
    model.add_argument("--from", dest="source_language", metavar="LANG", help="source language (as trained)")
    model.add_argument(
        "--baseline", choices=BASELINES, default=BASELINES[0], metavar="NAME",
        help="for comparison, a baseline in the model's place: cascade-{reader,rapidocr,tit}-{draw,render} or pixels "
        "(end-to-end)",
    )  # fmt: skip
    model.add_argument(
        "--baseline-weights", default="", metavar="RUN",
        help="of its text-to-image or pixel model (runs/small/text_to_image, runs/small/pixels)",
    )  # fmt: skip
    model.add_argument(
        "--min-confidence", type=option("min_confidence", float), metavar="P",
        help="leave blocks as they are whose translation is right with a smaller probability "
        f"({AS_TRAINED.min_confidence:g}: translate all)",
    )  # fmt: skip
    model.add_argument(
        "--top-k", type=option("top_k", int), metavar="K",
        help=f"sample image tokens from the best K ({AS_TRAINED.top_k})",
    )  # fmt: skip
    model.add_argument(
        "--temperature", type=option("temperature", float), metavar="T",
        help=f"of that sampling ({AS_TRAINED.temperature})",
    )  # fmt: skip
    model.add_argument("--seed", type=option("seed", int), metavar="N", help="of that sampling (another one each time)")
    speed = parser.add_argument_group("speed")
    speed.add_argument(
        "--batch-size", type=positive, metavar="N",
        help="pictures at a time (64 for the shipped model, fewer where pages are larger)",
    )  # fmt: skip
    _add_device_options(speed)
    speed.add_argument(
        "--precision", choices=PRECISIONS, default="fp32",
        help="fp32; bf16 for GPUs; int8 halves the time of large models on a CPU (fp32)",
    )  # fmt: skip
    speed.add_argument(
        "--image-steps", type=option("image_steps", int), metavar="N",
        help="passes that draw a picture, 0: token by token (as the weights say)",
    )  # fmt: skip


@contextmanager
def _loading() -> Iterator[None]:
    """Leave what is imported and loaded here out of Python's search for garbage, until the command ends.

    Half a million objects come in and all of them stay; searching them again and again takes about a second.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()


def _translate(options: argparse.Namespace) -> int:
    from translatotron_v.inference.files import plan_jobs, refused

    jobs = plan_jobs(options.inputs, options.output, compare=options.compare)
    glossary = _read_glossary(options)
    outcomes = []  # first those that need no model, which takes seconds to load
    for job in jobs:
        if (outcome := refused(job, options.force)) is not None:
            _report(outcome, as_json=options.json, whole=True)
            outcomes.append(outcome)
    bad = {id(outcome.job) for outcome in outcomes}
    if good := [job for job in jobs if id(job) not in bad]:
        outcomes += _run_jobs(_load(options), good, options, glossary, as_json=options.json)
    return _summarise(outcomes, file=sys.stderr if options.json else sys.stdout)


@_loading()
def _load_text_mode(options: argparse.Namespace) -> "LoadedTranslator":
    import torch

    from translatotron_v.inference.loaded import load_translator
    from translatotron_v.inference.pipeline import choose_device
    from translatotron_v.shipped import find_weights

    torch.set_num_threads(options.threads)
    return load_translator(find_weights(options.weights), choose_device(options.device), text_only=True)


def _text(options: argparse.Namespace) -> int:
    from translatotron_v.inference.text_files import translate_file

    glossary = _read_glossary(options)
    loaded, source, target = _load_text_mode(options), Path(options.input), Path(options.output)
    asked = GenerationOptions(
        target_language=options.target_language, beams=options.beams, glossary=glossary, numbers=options.numbers
    )
    written = translate_file(
        loaded, source, target, loaded.generation.updated(**asked), batch_size=options.batch_size, restart=options.force
    )
    foreign = written.foreign
    for line, signs in list(foreign.items())[:PRINTED]:
        print(f"{source}:{line}: the model cannot write {' '.join(signs)}", file=sys.stderr)
    if len(foreign) > PRINTED:
        print(f"and {len(foreign) - PRINTED} more lines hold characters that it cannot write", file=sys.stderr)
    print(f"{written.now} of {written.lines} lines translated into {target}")
    if glossary is not None:
        print(f"glossary: {sum(term.used for term in written.terms)} of {len(written.terms)} terms as it says")
    return 0


def _read_glossary(options: argparse.Namespace) -> "Glossary | None":
    """The glossary, where one is given; read before the weights are loaded."""
    from translatotron_v.inference.glossary import Glossary

    return None if options.glossary is None else Glossary.from_file(options.glossary)


def _demo(options: argparse.Namespace) -> int:
    from translatotron_v.inference.files import plan_jobs
    from translatotron_v.inference.pictures import open_picture, save_picture
    from translatotron_v.sheets import contact_sheet
    from translatotron_v.shipped import shipped_folder

    examples = shipped_folder("examples")
    sheet = Path(options.output) / "sheet.png"
    if sheet.exists() and not options.force:
        raise UserError(f"{sheet}: exists already; --force overwrites it")
    glossary = _read_glossary(options)
    translator = _load(options)
    jobs = plan_jobs([str(examples / ("pages" if translator.takes_pages else "source"))], options.output)
    outcomes = _run_jobs(translator, jobs, options, glossary, printed=len(jobs))
    rows = []
    for outcome in outcomes:
        if outcome.translation is not None:
            reference = examples / "reference" / outcome.job.source.name
            rows.append([
                open_picture(outcome.job.source),
                outcome.translation.image,
                open_picture(reference) if reference.is_file() else None,
            ])  # fmt: skip
    status = _summarise(outcomes, file=sys.stdout)
    if rows:
        titles = ("source", "translation", "reference")
        shown = 3 if any(row[2] for row in rows) else 2
        save_picture(contact_sheet([row[:shown] for row in rows], titles[:shown], 512), sheet)
        print(f"contact sheet: {sheet}")
    return status


@_loading()
def _load(options: argparse.Namespace) -> "Translator":
    from translatotron_v.baselines import baseline
    from translatotron_v.inference.pipeline import Translator

    return Translator.from_pretrained(
        options.weights, device=options.device, threads=options.threads, precision=options.precision,
        baseline=baseline(options.baseline, options.baseline_weights),
    )  # fmt: skip


def _run_jobs(
    translator: "Translator",
    jobs: "Sequence[Job]",
    options: argparse.Namespace,
    glossary: "Glossary | None" = None,
    as_json: bool = False,
    printed: int | None = None,
) -> "list[Outcome]":
    """Translate, with a progress bar for several pictures, and report each as it is done.

    Runs of up to `printed` pictures (`PRINTED`) print each of them and keep them.
    """
    printed = PRINTED if printed is None else printed
    from tqdm import tqdm

    from translatotron_v.inference.files import Outcome, translate_jobs

    asked = GenerationOptions(
        source_language=options.source_language, target_language=options.target_language, beams=options.beams,
        image_steps=options.image_steps, top_k=options.top_k, temperature=options.temperature, seed=options.seed,
        glossary=glossary, numbers=options.numbers, min_confidence=options.min_confidence,
    )  # fmt: skip
    stream = translate_jobs(
        translator, jobs, translator.generation.updated(**asked), force=options.force, batch_size=options.batch_size,
        debug=options.debug,
    )  # fmt: skip
    outcomes: list[Outcome] = []
    hidden = True if len(jobs) == 1 else None  # None: hidden unless standard error is a terminal
    with tqdm(total=len(jobs), unit="picture", disable=hidden, leave=False) as progress:
        for outcome in stream:
            with progress.external_write_mode():
                _report(outcome, as_json=as_json, whole=len(jobs) <= printed)
            # the pictures of a long run are on disk already; only a demo, which prints all, needs them again
            outcomes.append(outcome if len(jobs) <= printed else Outcome(outcome.job, error=outcome.error))
            progress.update()
    return outcomes


def _report(outcome: "Outcome", as_json: bool, whole: bool) -> None:
    """One picture's result: JSON on stdout, or text; errors and warnings go to stderr, a line each."""
    source, translation = outcome.job.source, outcome.translation
    if outcome.error is not None:
        print(f"error: {outcome.error}", file=sys.stderr)
    if as_json:
        print_json(_as_dict(outcome))
    elif translation is not None and whole:
        if translation.scores:
            read, wrote = (text.replace("\n", "\n         ") for text in (translation.source_text, translation.text))
            scores = ", ".join(f"{name} {value:.2f}" for name, value in translation.scores.items())
            print(f"{source}\n  read:  {read}\n  wrote: {wrote}\n  file:  {outcome.job.target}")
            print(f"  confidence: {scores}")
        elif any(not block.skip_reason for block in translation.blocks):  # by a baseline that knows no text
            print(f"{source}\n  file:  {outcome.job.target}")
        else:
            print(f"{source}\n  nothing to translate: written as it was\n  file:  {outcome.job.target}")
    for warning in outcome.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if translation is not None and (left := [block.skip_reason for block in translation.blocks if block.skip_reason]):
        reasons = ", ".join(f"{left.count(reason)} {reason}" for reason in dict.fromkeys(left))
        print(f"warning: {source}: {len(left)} of {len(translation.blocks)} blocks left as they were ({reasons})",
              file=sys.stderr)  # fmt: skip
    if translation is not None and (unused := [term for term in translation.terms if not term.used]):
        wanted = ", ".join(f"{term.source}: {term.target}" for term in unused)
        print(f"warning: {source}: {len(unused)} of {len(translation.terms)} terms not as the glossary says ({wanted})",
              file=sys.stderr)  # fmt: skip
    if translation is not None and translation.low_confidence:
        low = ", ".join(f"{name} {translation.scores[name]:.2f}" for name in translation.low_confidence)
        print(f"warning: {source}: low confidence ({low}); check the translation", file=sys.stderr)


def _as_dict(outcome: "Outcome") -> dict[str, Any]:
    record: dict[str, Any] = {"input": str(outcome.job.source)}
    if outcome.translation is None:
        return record | {"error": outcome.error}
    translation = outcome.translation
    return record | {
        "outputs": [str(path) for path in outcome.job.outputs],
        "source_text": translation.source_text,
        "text": translation.text,
        "scores": {name: round(value, 4) for name, value in translation.scores.items()},
        "low_confidence": translation.low_confidence,
        "warnings": list(outcome.warnings),
        "size": list(translation.image.size),
        **({"terms": _terms(translation.terms)} if translation.terms else {}),
        **({"blocks": [_block(block) for block in translation.blocks]} if translation.blocks else {}),
    }


def _block(block: "BlockTranslation") -> dict[str, Any]:
    """One block of a page as JSON values."""
    record: dict[str, Any] = {"box": [[round(x, 1), round(y, 1)] for x, y in block.quad]}
    if block.skip_reason:
        record["skip_reason"] = block.skip_reason
    if block.unwritable:
        record["unwritable"] = list(block.unwritable)
    if not block.scores:  # it was not even read
        return record
    return record | {
        "source_text": block.source_text,
        "language": block.language,
        "text": block.text,
        "scores": {name: round(value, 4) for name, value in block.scores.items()},
        "font": block.font,
        "size": block.size,
        "colour": list(block.colour),
        "angle": block.angle,
        **({"terms": _terms(block.terms)} if block.terms else {}),
    }


def _terms(terms: "Iterable[Term]") -> list[dict[str, Any]]:
    """What a glossary asked for as JSON values."""
    return [{"source": term.source, "target": term.target, "used": term.used} for term in terms]


def _summarise(outcomes: "Iterable[Outcome]", file: Any) -> int:
    outcomes = list(outcomes)
    failed = sum(outcome.error is not None for outcome in outcomes)
    places = sorted({str(outcome.job.target.parent) for outcome in outcomes})
    if len(outcomes) > 1:
        print(f"{len(outcomes) - failed} of {len(outcomes)} pictures translated into {', '.join(places)}", file=file)
    return 1 if failed else 0


def _render(arguments: list[str]) -> int:
    from data_synth.cli import main as render

    return render(arguments, prog="translatotron-v render")


@_loading()
def _info(options: argparse.Namespace) -> int:
    from translatotron_v.shipped import find_config, find_weights, shipped_weights

    if options.what is None:
        _print_installation()
        return 0
    from translatotron_v.config import load_config

    sizes: dict[str, int] = {}
    path = Path(options.what)
    if path.is_dir() or options.what in shipped_weights():
        from translatotron_v.checkpoint import read_info, resolve
        from translatotron_v.data.vocabulary import Vocabulary

        folder = resolve(find_weights(options.what))
        details = read_info(folder)
        config = load_config(folder / "config.yaml")
        vocabulary = Vocabulary.from_file(folder / "vocabulary.json")
        sizes = {"pieces": len(vocabulary), "characters": vocabulary.character_count}
        plain = [f"{key} {value}" for key, value in details.items() if isinstance(value, str | int | float)]
        print(f"checkpoint {folder}: {', '.join(plain)}")
    else:
        config = load_config(find_config(options.what))

    from translatotron_v.models.parameters import parameter_table

    table = parameter_table(config, **sizes)
    canvas = config.model.canvas
    print(
        f"canvas {canvas.height} x {canvas.width} x {canvas.channels}, "
        f"languages {', '.join(config.model.vocabulary.languages)}"
    )
    print(table)
    return 0


def _export(options: argparse.Namespace) -> int:
    from translatotron_v.training.export import export_run, size_table

    matting = Path(options.matting) if options.matting else None
    sizes = export_run(Path(options.checkpoint), Path(options.output), overwrite=options.force, matting=matting)
    print(f"{size_table(sizes)}\nwritten to {options.output}")
    return 0


def _merge(options: argparse.Namespace) -> int:
    from translatotron_v.training.merging import merge_checkpoints

    merged = merge_checkpoints(
        options.first, options.second, options.output, method=options.method, weight=options.weight,
        density=options.density, overwrite=options.force, base=options.base,
    )  # fmt: skip
    print(f"{merged}\nwritten to {merged.folder}")
    return 0


def _convert(options: argparse.Namespace) -> int:
    from translatotron_v.conversion import convert

    written = convert(Path(options.folder), Path(options.output) if options.output else None)
    for folder in written:
        print(f"written to {folder}")
    if not written:
        print(f"{options.folder}: is up to date")
    return 0


def _print_installation() -> None:
    import platform

    import torch

    from translatotron_v.inference.pipeline import choose_device
    from translatotron_v.shipped import shipped_weights

    print(f"translatotron-v {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    print(f"device: {choose_device()}, {torch.get_num_threads()} CPU threads")
    for name, folder in shipped_weights().items():
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
        print(f"weights: {name} ({size:.1f} MB, {folder})")
