"""Translate the example pages and write docs/gallery.md with its pictures: `python examples/gallery.py`.

`--layouts` writes docs/gallery-layouts.md in its place: twelve layouts drawn by `data_synth.layouts`, with words that
are known beforehand, so that it shows how pages are handled whatever the weights can read.

Each pair of pictures is what `translatotron-v translate examples/pages -o out/gallery --compare` writes, as JPEG.
"""

import argparse
import datetime
import itertools
from pathlib import Path

from PIL import Image

from data_synth.layouts import LAYOUTS
from translatotron_v.baselines.known_texts import KnownTexts
from translatotron_v.checkpoint import weights_digest
from translatotron_v.evaluation.rendering import layout_pages
from translatotron_v.inference.loaded import Translation
from translatotron_v.inference.pictures import open_picture, save_picture
from translatotron_v.inference.pipeline import Translator
from translatotron_v.sheets import contact_sheet
from translatotron_v.shipped import DEFAULT_WEIGHTS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FACES = str(ROOT / "configs" / "faces.yaml")
FAILURES = {
    "grass": "Grey letters on grass: the detector does not see them, and the command says that there is nothing to "
    "translate. The picture is unharmed, and untranslated.",
    "law": "A sentence from a lease. Letters are read, but of such words the model knows none yet, and it guesses. "
    "Only the low score of the text tells.",
    "poem": "Verses, set as one block, are taken for prose.",
    "train": "A ticket: “Gleis” and “Wagen” are not known, what is said of times is guessed, and a name of a town is "
    "changed for another.",
}
HEAD = """\
# Gallery

Source on the left, what came out on the right: nothing is chosen or touched up, and every mistake is left in. The
sentences were written for this project (`examples/pages.py`); the photographs are those that scikit-image carries.

```sh
.venv/bin/translatotron-v translate examples/pages -o out/gallery --compare
```

`make gallery` writes this page and its pictures anew. Here: weights `{weights}` ({digest}), {date}.
"""

SEED = 5  # of the layouts; nothing was chosen on it
LAYOUT_HEAD = """\
# Layouts

Twelve pages drawn by `data_synth.layouts` (held-out measures and faces), source on the left, what came out on the
right. Their words are known beforehand: a recogniser reads each block's ink, what it reads is looked up, and the
translation is drawn in one face at a strip's size (`baselines/known_texts.py`). So this page shows how pages are
handled - blocks, order, room, style, ground - and nothing of what the shipped weights read or write; for that see the
[gallery](gallery.md). Nothing is chosen or touched up: a block that was merged, cut or found no room is left, and
named.

`python examples/gallery.py --layouts` writes this page anew. Here: {date}.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--weights", default=DEFAULT_WEIGHTS, help=f"shipped weights or a checkpoint ({DEFAULT_WEIGHTS})"
    )
    parser.add_argument("--layouts", action="store_true", help="twelve layouts with known words instead")
    options = parser.parse_args()
    if options.layouts:
        write_layouts(options.weights)
        return
    translator = Translator.from_pretrained(options.weights, threads=1)
    digest = weights_digest(translator.loaded.folder)[:12]
    parts = [HEAD.format(weights=options.weights, digest=digest, date=datetime.date.today())]
    failures = []
    pages = sorted((ROOT / "examples" / "pages").iterdir())
    for path in pages:
        name, source = path.stem, open_picture(path)
        translation = translator(source)
        picture = Path("images") / "gallery" / f"{name}.jpg"
        (DOCS / picture).parent.mkdir(parents=True, exist_ok=True)
        save_picture(contact_sheet([[source, translation.image]]), DOCS / picture)
        section = f"![{name}: source and translation]({picture.as_posix()})\n\n{_said(translation)}"
        if name in FAILURES:
            failures.append(f"{section}\n\n{FAILURES[name]}")
        else:
            parts.append(section)
    parts += ["## What fails", *failures]
    (DOCS / "gallery.md").write_text("\n\n".join(part.rstrip() for part in parts) + "\n", encoding="utf-8")
    print(f"{DOCS / 'gallery.md'}: {len(pages)} pages, {len(failures)} of them failures")


def write_layouts(weights: str) -> None:
    """The ten kinds of layouts, and two of them once more, on measures and faces that nothing was chosen on."""
    parts = [LAYOUT_HEAD.format(date=datetime.date.today())]
    drawn = [*((kind, 0) for kind in LAYOUTS), ("menu", 1), ("comic", 1)]
    failures = 0
    for kind, index in drawn:
        pages = layout_pages((kind,), FACES, True, index + 1, SEED)
        page = next(itertools.islice(pages, index, None))
        known = KnownTexts({block.text: block.target for block in page.blocks})
        translator = Translator.from_pretrained(weights, threads=1, baseline=known)
        source = Image.fromarray(page.pixels)
        translation = translator(source)
        picture = Path("images") / "gallery" / f"layout-{kind}-{index + 1}.jpg"
        save_picture(contact_sheet([[source, translation.image]]), DOCS / picture)
        left = [block for block in translation.blocks if block.skip_reason not in ("", "numbers and symbols")]
        failures += bool(left)
        done = sum(not block.skip_reason for block in translation.blocks)
        lines = [f"{done} blocks put back, of {len(page.blocks)} on the page."]
        lines += [f"- left: “{block.source_text}” ({block.skip_reason})" for block in left]
        parts.append(
            f"## {kind.capitalize()}\n\n![{kind}: source and translation]({picture.as_posix()})\n\n" + "\n".join(lines)
        )
    (DOCS / "gallery-layouts.md").write_text("\n\n".join(part.rstrip() for part in parts) + "\n", encoding="utf-8")
    print(f"{DOCS / 'gallery-layouts.md'}: {len(drawn)} layouts, {failures} of them with blocks that were left")


def _said(translation: Translation) -> str:
    """What was read and written, block by block."""
    lines = []
    for block in translation.blocks:
        read = f"“{block.source_text}”" if block.source_text else "a block that was not read"
        became = (
            f"left as it was ({block.skip_reason})"
            if block.skip_reason
            else f"“{block.text}” ({block.scores['text']:.2f})"
        )
        lines.append(f"- {read} → {became}")
    return "\n".join(lines) or "Nothing to translate: written as it was."


if __name__ == "__main__":
    main()
