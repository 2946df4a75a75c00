"""How much the renderer's caches save, and what harder pages cost: `python benchmarks/rendering.py`."""

import argparse
import time
from dataclasses import replace

import numpy as np

from data_synth.grammar import grammar_pairs
from data_synth.render import PageLayout, PageStyle, render_pair

PAGES = {  # name -> layout and style beside the plain strip
    "RGB, gradient": (PageLayout(48, 256, 3, "paragraph"), {"background": "gradient"}),
    "noise, blur and JPEG": (PageLayout(48, 256, 1, "paragraph"), {"noise": 8.0, "blur": 0.6, "jpeg": 60}),
    "512 x 512": (PageLayout(512, 512, 1, "paragraph"), {}),
}


def pairs_per_second(texts: list, layout: PageLayout, style: PageStyle) -> float:
    start = time.perf_counter()
    for index, pair in enumerate(texts):
        render_pair(pair, layout, style, np.random.default_rng(index))
    return len(texts) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    texts = grammar_pairs("de", "en", parser.parse_args().pairs, seed=0)
    strip, style = PageLayout(48, 256, 1, "paragraph"), PageStyle()
    cold = pairs_per_second(texts, strip, style)
    warm = pairs_per_second(texts, strip, style)
    print(f"plain strips: {warm:.0f} pairs a second, {warm / cold:.1f} times as many as with cold caches")
    for name, (layout, changes) in PAGES.items():
        changed = replace(style, **changes)
        pairs_per_second(texts[:100], layout, changed)
        print(f"  {name:<22} {warm / pairs_per_second(texts, layout, changed):5.1f} times as long")


if __name__ == "__main__":
    main()
