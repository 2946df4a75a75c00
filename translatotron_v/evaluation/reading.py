"""OCR over many pictures: in several processes, with a cache that makes an interrupted run cheap to repeat."""

import argparse
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from translatotron_v.errors import UserError
from translatotron_v.ocr import OcrEngine, TextBox, make_ocr_engine
from translatotron_v.terminal import progress

Boxes = list[TextBox]
Picture = Image.Image | np.ndarray

CACHE_FILE = "readings.jsonl"
_CHUNK = 16  # pictures for each process between two looks at the cache

_reader: OcrEngine | None = None  # of a worker process


class PageOcr:
    """Reads pictures and remembers what they say, by their content.

    Args:
        make: builds the reader; called in each worker, so it must be a function of a module, or a partial of one.
        folder: where `readings.jsonl` is kept; None keeps nothing.
        workers: processes; 1 reads in this one.
        quiet: show no progress.
    """

    def __init__(
        self, make: Callable[[], OcrEngine], folder: Path | None = None, workers: int = 1, quiet: bool = False
    ) -> None:
        self._make = make
        self._reader = make()
        self._workers = workers
        self._quiet = quiet
        self._file = None if folder is None else folder / CACHE_FILE
        self._known = {} if self._file is None else _load_cache(self._file)

    @property
    def signature(self) -> str:
        """Of the engine."""
        return self._reader.signature

    def read_all(self, pictures: Iterable[Picture | None], total: int, label: str) -> list[Boxes]:
        """The lines of each picture, in order; a missing picture (None) has none.

        Args:
            pictures: taken a few at a time, so that a generator can open files as they are needed.
            total: how many there are, for the progress bar.
            label: what the progress bar calls them.
        """
        boxes: list[Boxes] = []
        with (
            self._executor() as executor,
            progress(total, label, self._quiet) as bar,
        ):
            waiting = iter(pictures)
            while chunk := list(islice(waiting, _CHUNK * self._workers)):
                boxes += self._read_chunk(chunk, executor, bar)
        return boxes

    def _read_chunk(self, chunk: list[Picture | None], executor: Executor | None, bar: "tqdm[Any]") -> list[Boxes]:
        pixels = [None if picture is None else _pixels(picture) for picture in chunk]
        keys = [None if page is None else _key(page, self.signature) for page in pixels]
        missing = {key: page for key, page in zip(keys, pixels, strict=True) if key and key not in self._known}
        bar.update(sum(key not in missing for key in keys))
        for key, found in zip(missing, self._read(missing.values(), executor), strict=True):
            self._remember(key, found)
            bar.update(keys.count(key))
        return [self._known[key] if key else [] for key in keys]

    def _read(self, pages: Iterable[np.ndarray | None], executor: Executor | None) -> Iterator[Boxes]:
        if executor is None:
            return (self._reader.read(page) for page in pages if page is not None)
        return executor.map(_read_in_worker, pages)

    def _executor(self) -> AbstractContextManager[Executor | None]:
        if self._workers == 1:
            return nullcontext()
        # spawn: a fork would copy the threads' locks of torch and onnxruntime without their threads
        return ProcessPoolExecutor(self._workers, get_context("spawn"), _start_worker, (self._make,))

    def _remember(self, key: str, boxes: Boxes) -> None:
        self._known[key] = boxes
        if self._file is not None:
            line = json.dumps({"key": key, "boxes": [[box.polygon, box.text, box.score] for box in boxes]})
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with open(self._file, "a", encoding="utf-8") as file:
                    file.write(line + "\n")
            except OSError as error:
                raise UserError(f"{self._file}: cannot be written ({error.strerror or error})") from None


def page_ocr(options: argparse.Namespace) -> PageOcr:
    """What the options ``--engine``, ``--languages``, ``--workers`` and ``--out`` describe."""
    languages = tuple(language.strip() for language in options.languages.split(","))
    return PageOcr(functools.partial(make_ocr_engine, options.engine, languages), options.out, options.workers)


def _start_worker(make: Callable[[], OcrEngine]) -> None:
    global _reader
    _reader = make()


def _read_in_worker(page: np.ndarray) -> Boxes:
    assert _reader is not None
    return _reader.read(page)


def _load_cache(path: Path) -> dict[str, Boxes]:
    """Key -> boxes; a line that a kill has cut short is read again."""
    known = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                known[entry["key"]] = [
                    TextBox(tuple((x, y) for x, y in polygon), text, score) for polygon, text, score in entry["boxes"]
                ]
            except (ValueError, KeyError, TypeError):
                continue
    return known


def _pixels(picture: Picture) -> np.ndarray:
    if isinstance(picture, np.ndarray):
        return picture
    return np.asarray(picture if picture.mode in ("L", "RGB") else picture.convert("RGB"))


def _key(page: np.ndarray, signature: str) -> str:
    digest = hashlib.sha256(f"{signature}\n{page.shape}\n".encode())
    digest.update(np.ascontiguousarray(page).data)
    return digest.hexdigest()[:32]
