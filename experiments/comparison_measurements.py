"""What the comparison measures of a system on a set of pages; each runs in a process of its own."""

import multiprocessing
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from translatotron_v.errors import UserError

BATCH = 8  # pages that are translated together
MEMORY_PAGES = 8  # of which the peak of memory is taken, one at a time

Look = Mapping[str, Any]  # arguments of `evaluation.rendering.Drawing`, JSON values


def read_references(main: Path, look: Look, data: str, split: str, limit: int, folder: str) -> dict[str, int]:
    """Let OCR read the reference pages of a set once, for all systems: it remembers them in a folder.

    Returns:
        How many pages there are, and how many of them have a source and a reference.
    """
    from translatotron_v.config import load_config

    config = load_config(main / "config.yaml")
    config.data.folder = data
    pages = _pages(config, look, split, limit)
    _reader(folder).read_all((page.reference_page for page in pages), len(pages), "reading references")
    whole = sum(page.source_page is not None and page.reference_page is not None for page in pages)
    return {"pages": len(pages), "whole": whole}


def score(
    main: Path, own: Path, system: str, look: Look, data: str, split: str, limit: int, readings: str, folder: str
) -> dict[str, Any]:
    """Translate a set of pages by a system, and score it; an interrupted run goes on.

    Args:
        main: the end-to-end model's weights.
        own: those of the system's own model; `main` again where it has none.
        system: one of `SYSTEMS`.
        look: of the pages.
        data, split, limit: the corpus, what of it, and how many of its pairs; 0 takes all.
        readings: folder in which OCR remembers what it read, on reference pages too.
        folder: keeps the pictures and the whole report.

    Returns:
        "scores" and "ceiling" (what OCR makes of the reference pages) by metric, "read" on the pictures and
        "references" page by page, "signatures" by metric, "notes".
    """
    from translatotron_v.evaluation import checkpoint
    from translatotron_v.evaluation.loading import TranslatorModel
    from translatotron_v.evaluation.rendering import Drawing
    from translatotron_v.evaluation.report import origin, write

    model = TranslatorModel(_load(main, own, system), main.name)
    model.config.data.folder = data
    pages = _pages(model.config, look, split, limit)
    options = checkpoint.Options(split, limit, batch_size=BATCH, lower_case=False, quiet=True, drawing=Drawing(**look))
    report = checkpoint.score_checkpoint(model, pages, _reader(readings), Path(folder), options)
    report.settings |= origin(f"experiments.comparison, {system}")
    write(report, Path(folder), checkpoint.sheet_pictures(pages, Path(folder)), checkpoint.TITLES)
    wanted = {
        "BLEU": (checkpoint.PICTURE, "BLEU"),
        "chrF": (checkpoint.PICTURE, "chrF"),
        "CER": (checkpoint.OWN_TEXT, "CER"),
        "Structure-BLEU": (checkpoint.STRUCTURE, "Structure-BLEU"),
        "Structure-BLEU 1:1": (checkpoint.STRUCTURE, "Structure-BLEU 1:1"),
        "SSIM": (checkpoint.PIXELS, "SSIM"),
        "BLEU of the text": (checkpoint.TRANSLATION, "BLEU"),
        "seconds": (checkpoint.COST, "CPU-seconds"),
    }
    lines = {(line.what, line.score.name): line for line in report.lines}
    found = {name: lines[key] for name, key in wanted.items() if key in lines}
    return {
        "scores": {name: line.score.value for name, line in found.items()},
        "ceiling": {name: line.ceiling.value for name, line in found.items() if line.ceiling is not None},
        "read": [row["read on the picture"] for row in report.rows],
        "references": [row["reference"] for row in report.rows],
        "signatures": {name: line.score.signature for name, line in found.items()},
        "notes": report.notes,
    }


def peak_memory(main: Path, own: Path, system: str, look: Look, data: str, split: str) -> float:
    """Peak resident memory in GB of a fresh process that loads a system and translates some pages, one at a time."""
    from translatotron_v.config import load_config
    from translatotron_v.inference.pictures import save_picture

    config = load_config(main / "config.yaml")
    config.data.folder = data
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for index, picture in enumerate(source_pictures(config, look, split, MEMORY_PAGES)):
            paths.append(str(Path(folder) / f"{index}.png"))
            save_picture(picture, paths[-1])
        try:
            # spawn: a fork would start with this process's memory
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                return pool.submit(peak_of, main, own, system, paths).result()
        except BrokenProcessPool:
            raise UserError(f"{system}: the process whose memory was measured was killed") from None


def peak_of(main: Path, own: Path, system: str, paths: Sequence[str]) -> float:
    """Peak resident memory of this process in GB after it has translated some pictures."""
    from benchmarks.process import Memory

    memory, translator = Memory(), _load(main, own, system)
    for path in paths:
        translator(path)
    return memory.in_all()


def source_pictures(config: Any, look: Look, split: str, count: int) -> list[Any]:
    """The source pages of the first pairs, as pictures; those whose text does not fit are left out."""
    from translatotron_v.evaluation.generation import to_image

    return [to_image(page.source_page) for page in _pages(config, look, split, count) if page.source_page is not None]


def _pages(config: Any, look: Look, split: str, limit: int) -> list[Any]:
    from translatotron_v.evaluation.rendering import Drawing, render_split

    return render_split(config, split, limit, drawing=Drawing(**look))


def _load(main: Path, own: Path, system: str) -> Any:
    from translatotron_v.inference.pipeline import Translator

    return Translator.from_pretrained(
        main, device="cpu", threads=1, system=system, system_weights="" if own == main else own
    )


def _reader(folder: str) -> Any:
    from translatotron_v.evaluation.reading import PageReader
    from translatotron_v.ocr import make_reader

    return PageReader(make_reader, Path(folder), quiet=True)
