"""CPU-seconds that whole pages take, part by part, with words that are given: nothing is read, translated or drawn."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
from PIL import Image

from benchmarks import finding
from benchmarks.finding import picture
from benchmarks.process import say
from benchmarks.results import Measure, Settings
from translatotron_v.baselines.known_texts import typeset_words
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig
from translatotron_v.inference import whole_pages
from translatotron_v.inference.block_state import BlockState
from translatotron_v.inference.whole_pages import PageTranslator
from translatotron_v.ocr import LineDetector
from translatotron_v.page.separate import load_matting
from translatotron_v.shipped import shipped_folder, shipped_weights

TARGETS = dict(zip(finding.PICTURES, (1.1, 3.0, 10.0, 8.0), strict=True))  # CPU-seconds at most
# part -> names in `whole_pages` of what belongs to it
PARTS = {
    "finding": ("find_lines",),
    "grouping": ("find_blocks",),
    "separating": ("straighten", "separate"),
    "measuring": ("measure_style", "BlockAlpha", "cut_lines"),
    "composing": ("_shares", "compose", "dress"),
}
WORDS = "Warm soup with bread and salad is served in the garden until ten in the evening".split()  # noqa: SIM905


class Given:
    """Writes the same words on every block."""

    reads: ClassVar[bool] = False
    folder: ClassVar[Path | None] = None

    def read(self, pages: Sequence[np.ndarray], states: Sequence[Sequence[BlockState]], batch_size: int) -> None:
        """Nothing: `reads` says so."""

    def translate(self, states: Sequence[BlockState], batch_size: int, generation: GenerationConfig) -> None:
        """See `BlockTranslator.translate`."""
        for state in states:
            words = WORDS[: max(len(state.paragraph.runs), 1)]
            state.paragraph.translations = [" ".join(words)]
            state.paragraph.words = typeset_words(state.paragraph.translation)


def cases(settings: Settings) -> list[str]:
    """One process: detector and separator are loaded once."""
    return ["pages"]


def run(case: str, settings: Settings) -> list[Measure]:
    """One measure a picture, by names of `finding.PICTURES`; notes tell the parts."""
    matting = load_matting(shipped_folder("weights") / "small") if "small" in shipped_weights() else None
    pages = PageTranslator(Given(), matting, LineDetector())
    pages.translate([Image.fromarray(picture(200, 120, 2, (16, 16), 0.0))], 1, AS_TRAINED)
    measures = []
    for name, target in list(TARGETS.items())[: 1 if settings.quick else None]:
        say(name)
        page = Image.fromarray(picture(*finding.PICTURES[name][:-1]))
        with _timed() as spent:
            started = time.process_time()
            (translation,) = pages.translate([page], 1, AS_TRAINED)
            seconds = time.process_time() - started
        done = sum(not block.skip_reason for block in translation.blocks)
        note = ", ".join(f"{part} {value:.2f}" for part, value in spent.items())
        note = f"{done} of {len(translation.blocks)} blocks; {note}"
        measures.append(Measure(f"page of {name}", seconds, "CPU-s", target, note=note, details=dict(spent)))
    return measures


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """CPU-seconds of each of `PARTS`, while it lasts."""
    spent = dict.fromkeys(PARTS, 0.0)

    def watched(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.process_time()
            try:
                return call(*arguments, **named)
            finally:
                spent[part] += time.process_time() - started

        return timed

    names = {name: watched(part, getattr(whole_pages, name)) for part, those in PARTS.items() for name in those}
    with patch.multiple(whole_pages, **names):
        yield spent
