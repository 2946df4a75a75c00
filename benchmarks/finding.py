"""CPU-seconds that finding the lines of a picture takes, in one run.

Beside it stands what the detector alone would take of every pixel, by the rate at which it searches a small picture.
"""

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import data_synth
from benchmarks.process import say
from benchmarks.results import Measure, Settings
from translatotron_v.ocr import LineDetector
from translatotron_v.page.search import find_lines

FACE = Path(data_synth.__file__).parent / "typefaces" / "DejaVuSansCondensed.ttf"
WORDS = "Suppe mit Brot und Salat Kuchen vom Blech Kaffee Tee warme Küche bis zehn Uhr".split()  # noqa: SIM905
# name -> width, height, blocks, pixels per em, unevenness of the ground in grey levels, CPU-seconds at most
PICTURES: dict[str, tuple[int, int, int, tuple[int, int], float, float]] = {
    "512 x 512, 2 blocks": (512, 512, 2, (18, 22), 0.0, 0.4),
    "1,170 x 1,170, 4 blocks": (1170, 1170, 4, (26, 60), 0.0, 1.2),
    "2,250 x 4,000, 35 blocks": (2250, 4000, 35, (44, 60), 0.0, 5.0),
    "4,000 x 3,000 with grain, 10 blocks": (4000, 3000, 10, (40, 120), 4.0, 4.0),
}
_TIMES = 3  # each is found so often; the quickest counts


def cases(settings: Settings) -> list[str]:
    """One process: the detector is loaded once."""
    return ["pictures"]


def run(case: str, settings: Settings) -> list[Measure]:
    """One measure a picture, by names of `PICTURES`."""
    detector = LineDetector()
    find_lines(np.full((64, 64, 3), 255, dtype=np.uint8), detector)
    measures = []
    small = picture(512, 512, 2, (18, 22), 0.0)
    rate = _quickest(lambda: len(detector.find(small)), _TIMES)[0] / small[..., 0].size  # CPU-seconds a pixel
    for name, (width, height, blocks, sizes, grain, target) in list(PICTURES.items())[: 1 if settings.quick else None]:
        say(name)
        pixels = picture(width, height, blocks, sizes, grain)
        seconds, lines = _quickest(partial(_count, pixels, detector), 1 if settings.quick else _TIMES)
        note = f"{lines} lines; the detector on every pixel: {rate * width * height:.2f}"
        measures.append(Measure(f"lines of {name}", seconds, "CPU-s", target, note=note))
    return measures


def picture(width: int, height: int, blocks: int, sizes: tuple[int, int], grain: float) -> np.ndarray:
    """Blocks of two lines in two columns on light ground, (height, width, 3) bytes."""
    rng = random.Random(0)
    page = Image.new("RGB", (width, height), (236, 232, 220))
    pen = ImageDraw.Draw(page)
    pitch = height // -(-blocks // 2)
    for block in range(blocks):
        size = rng.randint(*sizes)
        font = ImageFont.truetype(str(FACE), size)
        left, top = width // 20 + block % 2 * width // 2, block // 2 * pitch + pitch // 8
        for row in range(2):
            text = " ".join(rng.choices(WORDS, k=12))[: int(width * 0.42 / size / 0.55)]
            pen.text((left, top + round(1.3 * size * row)), text, font=font, fill=(40, 20, 20))
    noise = np.random.default_rng(0).normal(0, grain, (height, width, 1)) if grain else 0.0
    return np.clip(np.asarray(page) + noise, 0, 255).astype(np.uint8)


def _count(pixels: np.ndarray, detector: LineDetector) -> int:
    return len(find_lines(pixels, detector))


def _quickest(task: Callable[[], int], times: int) -> tuple[float, int]:
    """CPU-seconds of the quickest of some runs, and the answer."""
    spent: list[float] = []
    answer = 0
    for _ in range(times):
        start = time.process_time()
        answer = task()
        spent.append(time.process_time() - start)
    return min(spent), answer
