"""Render the example pictures again from `texts.tsv`, in a configuration's page style: `python examples/render.py`."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from data_synth.corpora import read_pairs
from data_synth.render import render_page
from translatotron_v.config import load_config
from translatotron_v.data.pages import page_layout, page_style
from translatotron_v.data.pairs import fold
from translatotron_v.inference.pictures import save_picture
from translatotron_v.shipped import find_config

HERE = Path(__file__).resolve().parent
COLOURED = {
    "06": ((0.10, 0.15, 0.40), (0.98, 0.93, 0.75)),
    "07": ((1.00, 0.90, 0.30), (0.08, 0.12, 0.30)),
}  # ink, paper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="tiny/translator", help="whose canvas and page style are used")
    config = load_config(find_config(parser.parse_args().config))
    layout, style = page_layout(config.model.canvas), page_style(config.page)
    for number, pair in enumerate(read_pairs(HERE / "texts.tsv", "de", "en"), start=1):
        name = f"{number:02d}"
        for kind, text in (("source", pair.source), ("reference", pair.target)):
            page = render_page(fold(text, config.page), layout, style)
            if page is None:
                raise SystemExit(f"texts.tsv line {number}: the {kind} does not fit the page")
            save_picture(_colour(page.pixels, name), HERE / kind / f"{name}.png")


def _colour(pixels: np.ndarray, name: str) -> Image.Image:
    """A few examples are not black on white, because the user's pictures will not be either."""
    if name not in COLOURED or pixels.shape[-1] != 1:
        return Image.fromarray(pixels.squeeze())
    ink, paper = (np.array(colour) * 255 for colour in COLOURED[name])
    return Image.fromarray(np.rint(ink + pixels / 255 * (paper - ink)).astype(np.uint8))


if __name__ == "__main__":
    main()
