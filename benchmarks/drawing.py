"""Drawing by the shipped model of whole pages: token by token, and word by word, of texts that are given."""

from collections.abc import Sequence
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.process import clock, say
from benchmarks.results import Measure, Settings
from translatotron_v.data.pages import page_layout, page_style, render_page, to_pixels
from translatotron_v.decoding.steps import ImageSteps
from translatotron_v.decoding.text import generate
from translatotron_v.generation_config import TOKENS, WORDS
from translatotron_v.inference.loaded import LoadedTranslator, load_translator
from translatotron_v.shipped import shipped_folder, shipped_weights

TEXTS = (
    "Two young men in red shirts are playing football in the park.",
    "A woman stands near the window of a small shop and smiles.",
    "Several people are waiting for the next train at the station.",
    "The old man with the hat reads a newspaper on a wooden bench.",
)
BATCHES = (1, 16)  # strips at a time
FEWER = 4.0  # times as few passes word by word, at least


def cases(settings: Settings) -> list[str]:
    """One process: the weights are loaded once."""
    return ["strips"]


def run(case: str, settings: Settings) -> list[Measure]:
    """CPU-seconds of the image decoder's passes for a strip, and how many passes the two ways take."""
    if "small" not in shipped_weights():
        return [Measure("drawing", None, "CPU-s", note="the weights `small` are not there")]
    loaded = load_translator(shipped_folder("weights") / "small", settings.device)
    measures, passes = [], {}
    for batch in BATCHES[:1] if settings.quick else BATCHES:
        for drawing in (TOKENS, WORDS):
            say(f"{drawing}, batch {batch}")
            seconds, passes[drawing, batch] = timed(loaded, [TEXTS[n % len(TEXTS)] for n in range(batch)], drawing)
            measures.append(Measure(f"{drawing}, batch {batch}: a strip", seconds / batch, "CPU-s"))
    fewer = passes[TOKENS, 1] / passes[WORDS, 1]
    note = ", ".join(f"{drawing}, batch {batch}: {count}" for (drawing, batch), count in passes.items())
    return [*measures, Measure("passes, tokens / words", fewer, "times", FEWER, True, note=note)]


def timed(loaded: LoadedTranslator, texts: Sequence[str], drawing: str) -> tuple[float, int]:
    """Seconds of all passes of the image decoder that draw texts, and how many there are."""
    config, now = loaded.config, clock(str(loaded.device))
    layout, style = page_layout(config.model.canvas), page_style(config.page)
    pages = [render_page(text, layout, style) for text in texts]
    pixels = to_pixels(np.stack([page.pixels for page in pages if page is not None])).to(loaded.device)
    asked = loaded.complete(loaded.generation.updated(drawing=drawing, image_steps=0))
    spent: list[float] = []
    score = ImageSteps.score

    def measured(self: ImageSteps, x: torch.Tensor) -> torch.Tensor:
        started = now()
        logits = score(self, x)
        spent.append(now() - started)
        return logits

    with patch.object(ImageSteps, "score", measured):
        generate(loaded.model, loaded.vocabulary, pixels, asked, texts=texts)
    return sum(spent), len(spent)
