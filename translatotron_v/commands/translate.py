"""`translate` and `demo`: picture files to picture files."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.arguments import BASELINES, between, positive
from translatotron_v.commands.options import add_model_options, add_output, loading, read_glossary
from translatotron_v.commands.records import PRINTED, as_dict, report, summarise
from translatotron_v.errors import UserError
from translatotron_v.generation_config import GenerationOptions
from translatotron_v.terminal import print_json

SEVERAL = (".pdf", ".tif", ".tiff", ".gif", ".webp", ".cbz", ".zip")  # often hold pages that are worth a progress bar

if TYPE_CHECKING:
    from translatotron_v.commands.journal import Journal
    from translatotron_v.inference.glossary import Glossary
    from translatotron_v.inference.jobs import Job, Outcome
    from translatotron_v.inference.other_texts import TranslateTexts
    from translatotron_v.inference.pipeline import Translator
    from translatotron_v.inference.workers import Settings


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
        "--recursive", action="store_true", help="take what lies in folders of folders; OUT gets the same folders"
    )
    translate.add_argument(
        "--workers", type=positive, metavar="N",
        help="processes that share many pictures, each on --threads of its own (one a core, as memory allows; 1 on a "
        "GPU); what comes out is the same",
    )  # fmt: skip
    translate.add_argument(
        "--ray", nargs="?", const="", metavar="ADDRESS",
        help="let workers of a Ray cluster do it (auto, HOST:6379, ray://HOST:10001; without ADDRESS what RAY_ADDRESS "
        "says, or a Ray that is started here); IN and OUT may be s3:// and other places of fsspec's (docs/scale.md)",
    )  # fmt: skip
    translate.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out what has its outputs",
    )
    translate.add_argument(
        "--dpi", type=between(36, 1200), default=200, metavar="N", help="pixels per inch at which a PDF is seen (200)"
    )
    translate.add_argument("--compare", action="store_true", help="also write source and translation side by side")
    translate.add_argument(
        "--save-clean", action="store_true", help="also write the source without the text that was translated"
    )
    translate.add_argument("--json", action="store_true", help="print one JSON object per picture on stdout")
    translate.add_argument(
        "--debug", type=Path, metavar="DIR", help="write there what the pipeline saw: boxes, masks, backgrounds, strips"
    )
    add_model_options(translate)
    translate.add_argument(
        "--texts", metavar="FILE",
        help="write what FILE says in the model's place (TSV or CSV: sentence or block as it was read, text)",
    )  # fmt: skip
    translate.set_defaults(run=_translate)

    demo = commands.add_parser("demo", help="translate the bundled examples and lay them out on a contact sheet")
    add_output(demo, default="out/demo")
    add_model_options(demo)
    demo.set_defaults(run=_demo, debug=None, dpi=200, texts=None, ray=None)


def _translate(options: argparse.Namespace) -> int:
    from translatotron_v.inference import jobs as planning
    from translatotron_v.inference.jobs import names_file, without_existing

    if elsewhere(options):
        from translatotron_v.scale.elsewhere import left_out, plan_jobs, refused
    else:
        left_out, plan_jobs, refused = planning.left_out, planning.plan_jobs, planning.refused
    for library in ("PIL", "pikepdf"):  # what is wrong with a file is said in one line, by us
        logging.getLogger(library).addHandler(logging.NullHandler())
    jobs = plan_jobs(
        options.inputs, options.output, compare=options.compare, recursive=options.recursive, clean=options.save_clean
    )
    glossary = read_glossary(options)
    outcomes = left_out(options.inputs, options.output, options.recursive)
    journal = None if names_file(options.output, len(jobs)) else open_journal(options, jobs)
    if journal is not None and journal.resumed:  # what the run that was cut off has made may be made again
        jobs = [replace(job, force=job.force or not any(journal.existed(job))) for job in jobs]
    # first all that needs no model, which takes seconds to load
    plan = jobs
    if options.skip_existing and not options.force:
        jobs, existing = without_existing(jobs, journal.existed if journal else None)
        outcomes += existing
    outcomes += [outcome for job in jobs if (outcome := refused(job, options.force, options.dpi)) is not None]
    for outcome in outcomes:
        report(outcome, as_json=options.json, whole=True)
    bad = {id(outcome.job) for outcome in outcomes}
    good = [job for job in jobs if id(job) not in bad]
    try:
        made, before, records = run_parts(good, options, glossary, journal) if good else ([], 0, [])
        if journal is not None:
            whole = not any(outcome.error for outcome in made)
            place = {job.target: number for number, job in enumerate(plan)}
            told = [(place.get(outcome.job.target, -1), _untouched(outcome)) for outcome in outcomes]
            told += [(place[job.target], record) for job, record in zip(good, records, strict=True)]
            journal.finish([record for _, record in sorted(told, key=lambda one: one[0])], whole)
    finally:
        if journal is not None:
            journal.close()
    return summarise([*outcomes, *made], file=sys.stderr if options.json else sys.stdout, before=before)


def elsewhere(options: argparse.Namespace) -> bool:
    """Whether pictures are read or written where a protocol says.

    Raises:
        UserError: they are, without workers that could do it.
    """
    from translatotron_v.data.remote import is_remote

    found = [name for name in [*options.inputs, options.output] if is_remote(name)]
    if found and options.ray is None:
        raise UserError(f"{found[0]}: what lies elsewhere is translated by workers of Ray: add --ray")
    return bool(found)


def _untouched(outcome: "Outcome") -> "dict[str, Any]":
    """The record of a file of which nothing was made, with the outputs that it has from earlier runs."""
    kept = [str(path) for path in outcome.job.outputs] if outcome.error and outcome.job.target.exists() else []
    return as_dict(outcome) | ({"outputs": kept} if kept and not outcome.job.target.is_dir() else {})


def open_journal(options: argparse.Namespace, jobs: "Sequence[Job]") -> "Journal":
    """The journal of a run into a folder: a new one, or that of the same run, which was cut off."""
    from translatotron_v.commands.journal import Journal

    others = ("run", "output", "workers", "ray", "threads", "force", "skip_existing", "json", "debug", "device")
    settings = {name: str(value) for name, value in sorted(vars(options).items()) if name not in others}
    for name in ("weights", "glossary", "texts"):
        path = Path(str(getattr(options, name, None)))
        files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
        settings[f"{name}:files"] = str([(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files])
    if not elsewhere(options):
        return Journal(Path(options.output), repr(settings), jobs)
    from translatotron_v.scale.elsewhere import journal_folder, place

    return Journal(place(options.output), repr(settings), jobs, journal_folder(options.output))


def run_parts(
    jobs: "Sequence[Job]", options: argparse.Namespace, glossary: "Glossary | None", journal: "Journal | None"
) -> "tuple[list[Outcome], int, list[dict[str, Any]]]":
    """Translate a plan part by part, by several processes where there is enough to do.

    Returns:
        What became of each job; how many more a run that was cut off had done; the records of all, in order.
    """
    from translatotron_v.inference.parts import FILES, cut

    parts = cut(jobs, min(options.batch_size or FILES, FILES))
    known = [journal.record(job) if journal is not None and journal.resumed else None for job in jobs]
    kept = [part for part in parts if all(known[number] is not None for number in part)]
    records = {number: record for part in kept for number in part if (record := known[number]) is not None}
    if options.json:
        for record in records.values():
            print_json(record)
    # Of a part that was cut off all is done again: what shares a batch shares the last bits of its numbers.
    todo = [[number for number in part] for part in parts if part not in kept]
    order = [number for part in todo for number in part]

    def keep(number: int, outcome: "Outcome") -> None:
        records[order[number]] = as_dict(outcome)
        if journal is not None:
            journal.add(outcome.job, records[order[number]])

    resumed = journal is not None and journal.resumed
    work = [[replace(jobs[number], force=jobs[number].force or resumed) for number in part] for part in todo]
    begin = journal.begin if journal is not None else None
    made = run_jobs(work, options, glossary, keep, begin, as_json=options.json) if work else []
    return made, len(jobs) - len(order), [records[number] for number in sorted(records)]


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
    outcomes = run_jobs([jobs], options, glossary, translator=translator, printed=len(jobs))
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


def read_texts(options: argparse.Namespace) -> "TranslateTexts | None":
    """The file of texts, where one is given."""
    if options.texts is None:
        return None
    from translatotron_v.inference.other_texts import TextFile

    return TextFile(options.texts)


@loading()
def load(options: argparse.Namespace) -> "Translator":
    """The translator that the options ask for."""
    from translatotron_v.baselines import baseline
    from translatotron_v.inference.pipeline import Translator

    if options.texts is not None and options.baseline != BASELINES[0]:
        raise UserError("--texts and --baseline both take the model's place; give one of them")
    return Translator.from_pretrained(
        options.weights, device=options.device, threads=options.threads, precision=options.precision,
        translate=read_texts(options), baseline=baseline(options.baseline, options.baseline_weights),
        painter=options.painter, engine=options.engine,
    )  # fmt: skip


def run_jobs(
    parts: "Sequence[Sequence[Job]]",
    options: argparse.Namespace,
    glossary: "Glossary | None" = None,
    keep: "Callable[[int, Outcome], None]" = lambda number, outcome: None,
    begin: "Callable[[], None] | None" = None,
    *,
    as_json: bool = False,
    printed: int | None = None,
    translator: "Translator | None" = None,
) -> "list[Outcome]":
    """Translate, with a progress bar for several pictures, and report each in order.

    Runs of up to `printed` pictures (`PRINTED`) print each of them and keep them.

    Args:
        parts: of the plan (`inference.parts`).
        keep: is told of each outcome as soon as it is there, with the number of its job.
        begin: is called before anything is written.
        translator: instead of one that the options ask for, or several in as many processes.
    """
    from tqdm import tqdm

    from translatotron_v.inference.jobs import Job, Outcome

    printed = PRINTED if printed is None else printed
    jobs = [job for part in parts for job in part]
    outcomes: list[Outcome] = []
    done: set[int] = set()  # files that are counted by their pages
    waiting: dict[int, Outcome] = {}  # for those before them
    # None: hidden unless standard error is a terminal
    hidden = True if len(jobs) == 1 and jobs[0].source.suffix.lower() not in SEVERAL else None
    with tqdm(total=len(jobs), unit="picture", disable=hidden, leave=False) as progress:

        def pages(job: Job, number: int, count: int) -> None:
            if number == 0:
                progress.total = (progress.total or 0) + count - 1
                done.add(id(job))
            else:
                progress.update()

        stream = _stream(parts, options, glossary, pages, translator)
        if begin is not None:
            begin()
        for number, new in stream:
            keep(number, new)
            waiting[number] = new
            progress.update(id(new.job) not in done)
            while (outcome := waiting.pop(len(outcomes), None)) is not None:
                with progress.external_write_mode():
                    report(outcome, as_json=as_json, whole=len(jobs) <= printed)
                # the pictures of a long run are on disk already; only a demo, which prints all, needs them again
                outcomes.append(outcome if len(jobs) <= printed else Outcome(outcome.job, error=outcome.error))
    return outcomes


def _stream(
    parts: "Sequence[Sequence[Job]]",
    options: argparse.Namespace,
    glossary: "Glossary | None",
    pages: "Callable[[Job, int, int], None]",
    translator: "Translator | None",
) -> "Iterator[tuple[int, Outcome]]":
    """Outcomes with the numbers of their jobs, of this process or of several."""
    from translatotron_v.inference.workers import Settings, in_workers, one_by_one

    asked = GenerationOptions(
        source_language=options.source_language, target_language=options.target_language, beams=options.beams,
        drawing=options.drawing, image_steps=options.image_steps,
        top_k=options.top_k, temperature=options.temperature, seed=options.seed,
        glossary=glossary, numbers=options.numbers, min_confidence=options.min_confidence,
        redraws=options.redraws,
    )  # fmt: skip
    settings = Settings(
        dict(asked),
        {"force": options.force, "batch_size": options.batch_size, "debug": options.debug, "dpi": options.dpi},
    )
    plain = argparse.Namespace(**{name: value for name, value in vars(options).items() if name != "run"})
    if options.ray is not None:
        return _on_ray(options, partial(load, plain), parts, settings, pages)
    workers = 1 if translator is not None else count_workers(options, len(parts))
    if workers == 1:
        return one_by_one(translator or load(options), parts, settings, pages)
    return in_workers(partial(load, plain), parts, settings, pages, workers)


def _on_ray(
    options: argparse.Namespace,
    load: "Callable[[], Translator]",
    parts: "Sequence[Sequence[Job]]",
    settings: "Settings",
    pages: "Callable[[Job, int, int], None]",
) -> "Iterator[tuple[int, Outcome]]":
    """Outcomes of a crew of Ray's."""
    from translatotron_v.inference.workers import cores, share_out
    from translatotron_v.scale.elsewhere import translate_staged
    from translatotron_v.scale.on_ray import Actors, cluster, fitting_actors, needs

    with cluster(options.ray, max(options.workers or 0, cores()) * options.threads) as ray:
        gpu = options.device.startswith("cuda") or (options.device == "auto" and ray.cluster_resources().get("GPU", 0))
        need = needs(options.threads, weights_size(options), bool(gpu))
        count = fitting_actors(ray.nodes(), options.workers, len(parts), need)
        crew = Actors(ray, load, settings, need, translate_staged if elsewhere(options) else None)
        yield from share_out(crew, parts, pages, count)


def count_workers(options: argparse.Namespace, parts: int) -> int:
    """How many processes there are to be; what memory does not allow is said."""
    from translatotron_v.inference.workers import cores, fitting_workers

    wanted = options.workers
    if parts == 1:
        return 1
    if wanted is None:
        gpu = options.device != "cpu" and (options.device != "auto" or any(Path("/dev").glob("nvidia[0-9]*")))
        wanted = 1 if gpu else max(1, cores() // options.threads)
    workers, note = fitting_workers(wanted, parts, weights_size(options))
    if note:
        print(f"note: {note}", file=sys.stderr)
    return workers


def weights_size(options: argparse.Namespace) -> int:
    """Bytes of the weights' files."""
    from translatotron_v.shipped import find_weights

    weights = Path(find_weights(options.weights))
    return sum(file.stat().st_size for file in weights.glob("*.safetensors")) if weights.is_dir() else 0
