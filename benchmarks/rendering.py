"""How fast pages are rendered, how much the renderer's caches save, and what harder pages cost."""

import time
from dataclasses import replace

import numpy as np

from benchmarks.process import say
from benchmarks.results import Measure, Settings
from data_synth.corpora import TextPair
from data_synth.grammar import grammar_pairs
from data_synth.render import PageLayout, PageStyle, render_pair

STRIP = PageLayout(48, 256, 1, "paragraph")
PAGES: dict[str, tuple[PageLayout, dict]] = {  # name -> layout and style beside the plain strip
    "RGB, gradient": (PageLayout(48, 256, 3, "paragraph"), {"background": "gradient"}),
    "noise, blur and JPEG": (STRIP, {"noise": 8.0, "blur": 0.6, "jpeg": 60}),
    "512 x 512": (PageLayout(512, 512, 1, "paragraph"), {}),
}


def cases(settings: Settings) -> list[str]:
    """One process, whose caches are cold at first."""
    return ["pages"]


def run(case: str, settings: Settings) -> list[Measure]:
    """Pairs a second of plain strips, with cold caches in place of no caches; other pages below."""
    say("pages of the built-in grammar")
    texts = grammar_pairs("de", "en", 100 if settings.quick else 1000, seed=0)
    style = PageStyle()
    cold = pairs_per_second(texts, STRIP, style)
    warm = pairs_per_second(texts, STRIP, style)
    rates = {"plain strips, caches cold": cold}
    for name, (layout, changes) in PAGES.items():
        changed = replace(style, **changes)
        pairs_per_second(texts[:100], layout, changed)
        rates[name] = pairs_per_second(texts, layout, changed)
    note = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
    return [Measure("plain strips of 48 x 256", warm, "pairs/s", note=note, details={"rates": rates})]


def pairs_per_second(texts: list[TextPair], layout: PageLayout, style: PageStyle) -> float:
    """Source and target pages rendered in a CPU-second."""
    start = time.process_time()
    for index, pair in enumerate(texts):
        render_pair(pair, layout, style, np.random.default_rng(index))
    return len(texts) / (time.process_time() - start)
