"""Translating many pages with a checkpoint, so that an interrupted run goes on where it stopped."""

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from translatotron_v.errors import UserError
from translatotron_v.inference.pictures import open_picture, save_picture
from translatotron_v.terminal import progress

Page = np.ndarray  # (H, W, C) uint8
Bounds = tuple[float, float, float, float]  # left, top, right, bottom, pixels of the page

_FORMAT = "pages with blocks"  # of what is kept in a folder; what was kept in another one is not read


@dataclass(frozen=True)
class GeneratedBlock:
    """What a translator made of one block of text."""

    bounds: Bounds  # of its source text
    text: str  # the translation it meant to draw; empty where it left the block as it was
    source_text: str  # what it read
    skip_reason: str = ""  # why it left the block as it was


@dataclass(frozen=True)
class GeneratedPage:
    """What a translator made of one page."""

    text: str  # the translation it meant to draw
    source_text: str  # what it read
    picture: Page
    blocks: tuple[GeneratedBlock, ...] = ()  # of a translator that finds them


@dataclass(frozen=True)
class Generation:
    """A page that was generated, and its cost."""

    page: GeneratedPage
    cpu_seconds: float  # all threads, its share of the batch


Translate = Callable[[Sequence[Page]], list[GeneratedPage]]


def generate_pages(
    translate: Translate,
    pages: Sequence[Page | None],
    folder: Path,
    identity: Mapping[str, Any],
    batch_size: int = 8,
    quiet: bool = False,
) -> list[Generation | None]:
    """Translate every page that is there.

    Finished pages are kept in `folder` (`00012.png`, `pages.jsonl`) and taken from it by a later call, as long as the
    identity and the page are the same; under another identity all start anew. Equal pages are translated once.

    Args:
        translate: takes a batch of pages.
        pages: None for a text that did not fit; its answer is None too.
        identity: JSON values that say what the answers depend on, beside the page.

    Raises:
        UserError: the folder cannot be written.
    """
    digests = {index: _digest(page) for index, page in enumerate(pages) if page is not None}
    try:
        done = _open_folder(folder, {**identity, "format": _FORMAT}, digests)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None
    waiting: dict[str, list[int]] = {}  # digest -> the pages that look so
    for index, digest in digests.items():
        if index not in done:
            waiting.setdefault(digest, []).append(index)
    groups = list(waiting.values())
    with progress(len(digests), "translating", quiet, initial=len(done)) as bar:
        for start in range(0, len(groups), batch_size):
            batch = groups[start : start + batch_size]
            started = time.process_time()
            answers = translate([page for group in batch if (page := pages[group[0]]) is not None])
            cost = (time.process_time() - started) / len(batch)
            fresh = {
                index: Generation(answer, cost) for group, answer in zip(batch, answers, strict=True) for index in group
            }
            _keep(folder, fresh, digests)
            done |= fresh
            bar.update(len(fresh))
    return [done.get(index) for index in range(len(pages))]


def left_blocks(pages: Iterable[GeneratedPage | None]) -> list[str]:
    """A sentence that says how many blocks were left as they were, and why; none where there are no such blocks."""
    blocks = [block for page in pages if page is not None for block in page.blocks]
    reasons = Counter(block.skip_reason for block in blocks if block.skip_reason)
    said = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return [f"Of {len(blocks):,} blocks {reasons.total():,} were left as they were ({said})."] if reasons else []


def _open_folder(folder: Path, identity: dict[str, Any], digests: Mapping[int, str]) -> dict[int, Generation]:
    """What a run of the same identity has left of these pages; the remains of any other are removed."""
    mark = folder / "identity.json"
    wanted = json.dumps(identity, indent=2, ensure_ascii=False)
    if not mark.is_file() or mark.read_text(encoding="utf-8") != wanted:
        if mark.is_file():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(wanted, encoding="utf-8")
        return {}
    done = {}
    lines = (folder / "pages.jsonl").read_text(encoding="utf-8") if (folder / "pages.jsonl").is_file() else ""
    for line in lines.splitlines():
        try:
            entry = json.loads(line)
            index = entry["index"]
            if digests.get(index) == entry["page"]:
                blocks = tuple(GeneratedBlock(_bounds(*bounds), *texts) for bounds, *texts in entry["blocks"])
                picture = to_page(open_picture(_file(folder, index)))
                page = GeneratedPage(entry["text"], entry["source_text"], picture, blocks)
                done[index] = Generation(page, entry["cpu_seconds"])
        except (ValueError, KeyError, TypeError, UserError):
            continue  # cut short by a kill: the page is translated again
    return done


def _keep(folder: Path, finished: Mapping[int, Generation], digests: Mapping[int, str]) -> None:
    """Pictures first: a line is only there when its picture is."""
    for index, generation in finished.items():
        save_picture(to_image(generation.page.picture), _file(folder, index))
    entries = [
        {
            "index": index,
            "page": digests[index],
            "text": generation.page.text,
            "source_text": generation.page.source_text,
            "blocks": [
                [block.bounds, block.text, block.source_text, block.skip_reason] for block in generation.page.blocks
            ],
            "cpu_seconds": generation.cpu_seconds,
        }
        for index, generation in finished.items()
    ]
    try:
        with open(folder / "pages.jsonl", "a", encoding="utf-8") as file:
            file.write("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error})") from None


def _bounds(left: float, top: float, right: float, bottom: float) -> Bounds:
    return left, top, right, bottom


def _digest(page: Page) -> str:
    return hashlib.sha256(np.ascontiguousarray(page).data).hexdigest()[:16]


def _file(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.png"


def to_image(page: Page) -> Image.Image:
    """A page (H, W, 1 or 3) as a picture."""
    return Image.fromarray(page[..., 0] if page.shape[-1] == 1 else page)


def to_page(picture: Image.Image) -> Page:
    """A picture of mode L or RGB as a page."""
    values = np.asarray(picture)
    return values[..., None] if values.ndim == 2 else values
