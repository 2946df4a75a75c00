"""CPU-seconds that whole pages take, part by part, with words that are given: nothing is read, translated or drawn."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
from PIL import Image

from benchmarks.finding import picture
from benchmarks.process import say
from benchmarks.results import Measure, Settings
from data_synth.typeset import load_face
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig
from translatotron_v.inference import whole_pages
from translatotron_v.inference.whole_pages import BlockState, PageTranslator
from translatotron_v.ocr import LineDetector
from translatotron_v.page.separate import load_matting
from translatotron_v.page.strips import EM, LINE
from translatotron_v.shipped import shipped_folder, shipped_weights

# name -> width, height, blocks, pixels per em, unevenness of the ground in grey levels, CPU-seconds at most
PICTURES: dict[str, tuple[int, int, int, tuple[int, int], float, float]] = {
    "512 x 512, 2 blocks": (512, 512, 2, (18, 22), 0.0, 1.1),
    "1,170 x 1,170, 4 blocks": (1170, 1170, 4, (26, 60), 0.0, 3.0),
    "2,250 x 4,000, 35 blocks": (2250, 4000, 35, (44, 60), 0.0, 10.0),
    "4,000 x 3,000 with grain, 10 blocks": (4000, 3000, 10, (40, 120), 4.0, 8.0),
}
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
        face = load_face("DejaVuSansCondensed", EM, LINE)
        for state in states:
            words = WORDS[: max(len(state.paragraph.runs), 1)]
            state.paragraph.translations = [" ".join(words)]
            state.paragraph.words = [face.word(word).mask.astype(np.float32) / 255 for word in words]


def cases(settings: Settings) -> list[str]:
    """One process: detector and separator are loaded once."""
    return ["pages"]


def run(case: str, settings: Settings) -> list[Measure]:
    """One measure a picture, by names of `PICTURES`; notes tell the parts."""
    matting = load_matting(shipped_folder("weights") / "small") if "small" in shipped_weights() else None
    pages = PageTranslator(Given(), matting, LineDetector())
    pages.translate([Image.fromarray(picture(200, 120, 2, (16, 16), 0.0))], 1, AS_TRAINED)
    measures = []
    for name, (width, height, blocks, sizes, grain, target) in list(PICTURES.items())[: 1 if settings.quick else None]:
        say(name)
        page = Image.fromarray(picture(width, height, blocks, sizes, grain))
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
