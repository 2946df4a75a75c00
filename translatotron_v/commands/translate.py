"""`translate` and `demo`: picture files to picture files."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from translatotron_v.arguments import between
from translatotron_v.commands.options import add_model_options, add_output, loading, read_glossary
from translatotron_v.commands.records import PRINTED, report, summarise
from translatotron_v.errors import UserError
from translatotron_v.generation_config import GenerationOptions

SEVERAL = (".pdf", ".tif", ".tiff", ".gif", ".webp", ".cbz", ".zip")  # often hold pages that are worth a progress bar

if TYPE_CHECKING:
    from translatotron_v.inference.glossary import Glossary
    from translatotron_v.inference.jobs import Job, Outcome
    from translatotron_v.inference.pipeline import Translator


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The two commands."""
    translate = commands.add_parser(
        "translate",
        help="translate pictures, animations, PDF and archives",
        description="Translate pictures, animations, files of several pages, PDF and archives of pictures (CBZ, zip). "
        "A file goes to a file or into a folder, a folder or a glob into a folder. What has several frames or pages "
        "stays what it is; a single picture becomes a PNG unless OUT names another kind.",
    )
    translate.add_argument("inputs", nargs="+", metavar="IN", help="file, folder or glob (quote it)")
    add_output(translate)
    translate.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out what has its outputs: a run that was cut off goes on",
    )
    translate.add_argument(
        "--dpi", type=between(36, 1200), default=200, metavar="N", help="pixels per inch at which a PDF is seen (200)"
    )
    translate.add_argument("--compare", action="store_true", help="also write source and translation side by side")
    translate.add_argument("--json", action="store_true", help="print one JSON object per picture on stdout")
    translate.add_argument(
        "--debug", type=Path, metavar="DIR", help="write there what the pipeline saw: boxes, masks, backgrounds, strips"
    )
    add_model_options(translate)
    translate.set_defaults(run=_translate)

    demo = commands.add_parser("demo", help="translate the bundled examples and lay them out on a contact sheet")
    add_output(demo, default="out/demo")
    add_model_options(demo)
    demo.set_defaults(run=_demo, debug=None, dpi=200)


def _translate(options: argparse.Namespace) -> int:
    from translatotron_v.inference.jobs import left_out, plan_jobs, refused, without_existing

    for library in ("PIL", "pikepdf"):  # what is wrong with a file is said in one line, by us
        logging.getLogger(library).addHandler(logging.NullHandler())
    jobs = plan_jobs(options.inputs, options.output, compare=options.compare)
    glossary = read_glossary(options)
    outcomes = left_out(options.inputs, options.output)  # first all that needs no model, which takes seconds to load
    if options.skip_existing and not options.force:
        jobs, existing = without_existing(jobs)
        outcomes += existing
    outcomes += [outcome for job in jobs if (outcome := refused(job, options.force, options.dpi)) is not None]
    for outcome in outcomes:
        report(outcome, as_json=options.json, whole=True)
    bad = {id(outcome.job) for outcome in outcomes}
    if good := [job for job in jobs if id(job) not in bad]:
        outcomes += run_jobs(load(options), good, options, glossary, as_json=options.json)
    return summarise(outcomes, file=sys.stderr if options.json else sys.stdout)


def _demo(options: argparse.Namespace) -> int:
    from translatotron_v.inference.jobs import plan_jobs
    from translatotron_v.inference.pictures import open_picture, save_picture
    from translatotron_v.sheets import contact_sheet
    from translatotron_v.shipped import shipped_folder

    examples = shipped_folder("examples")
    sheet = Path(options.output) / "sheet.png"
    if sheet.exists() and not options.force:
        raise UserError(f"{sheet}: exists already; --force overwrites it")
    glossary = read_glossary(options)
    translator = load(options)
    jobs = plan_jobs([str(examples / ("pages" if translator.takes_pages else "source"))], options.output)
    outcomes = run_jobs(translator, jobs, options, glossary, printed=len(jobs))
    rows = []
    for outcome in outcomes:
        if outcome.translation is not None:
            reference = examples / "reference" / outcome.job.source.name
            rows.append([
                open_picture(outcome.job.source),
                outcome.translation.image,
                open_picture(reference) if reference.is_file() else None,
            ])  # fmt: skip
    status = summarise(outcomes, file=sys.stdout)
    if rows:
        titles = ("source", "translation", "reference")
        shown = 3 if any(row[2] for row in rows) else 2
        save_picture(contact_sheet([row[:shown] for row in rows], titles[:shown], 512), sheet)
        print(f"contact sheet: {sheet}")
    return status


@loading()
def load(options: argparse.Namespace) -> "Translator":
    """The translator that the options ask for."""
    from translatotron_v.baselines import baseline
    from translatotron_v.inference.pipeline import Translator

    return Translator.from_pretrained(
        options.weights, device=options.device, threads=options.threads, precision=options.precision,
        baseline=baseline(options.baseline, options.baseline_weights), painter=options.painter,
    )  # fmt: skip


def run_jobs(
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
    from tqdm import tqdm

    from translatotron_v.inference.files import translate_jobs
    from translatotron_v.inference.jobs import Job, Outcome

    printed = PRINTED if printed is None else printed
    asked = GenerationOptions(
        source_language=options.source_language, target_language=options.target_language, beams=options.beams,
        image_steps=options.image_steps, top_k=options.top_k, temperature=options.temperature, seed=options.seed,
        glossary=glossary, numbers=options.numbers, min_confidence=options.min_confidence,
        redraws=options.redraws,
    )  # fmt: skip
    outcomes: list[Outcome] = []
    done: set[int] = set()  # files that are counted by their pages
    # None: hidden unless standard error is a terminal
    hidden = True if len(jobs) == 1 and jobs[0].source.suffix.lower() not in SEVERAL else None
    with tqdm(total=len(jobs), unit="picture", disable=hidden, leave=False) as progress:

        def pages(job: Job, number: int, count: int) -> None:
            if number == 0:
                progress.total = (progress.total or 0) + count - 1
                done.add(id(job))
            else:
                progress.update()

        stream = translate_jobs(
            translator, jobs, translator.generation.updated(**asked), force=options.force,
            batch_size=options.batch_size, debug=options.debug, dpi=options.dpi, progress=pages,
        )  # fmt: skip
        for outcome in stream:
            with progress.external_write_mode():
                report(outcome, as_json=as_json, whole=len(jobs) <= printed)
            # the pictures of a long run are on disk already; only a demo, which prints all, needs them again
            outcomes.append(outcome if len(jobs) <= printed else Outcome(outcome.job, error=outcome.error))
            progress.update(id(outcome.job) not in done)
    return outcomes
