"""Translate the example pages and write docs/gallery.md with its pictures: `python examples/gallery.py`.

Each pair of pictures is what `translatotron-v translate examples/pages -o out/gallery --compare` writes, as JPEG.
"""

import argparse
import datetime
from pathlib import Path

from translatotron_v.checkpoint import weights_digest
from translatotron_v.inference.loaded import Translation
from translatotron_v.inference.pictures import open_picture, save_picture
from translatotron_v.inference.pipeline import Translator
from translatotron_v.sheets import contact_sheet
from translatotron_v.shipped import DEFAULT_WEIGHTS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FAILURES = {
    "astronaut": "White letters run over a white stripe and a bright visor. What was read is not sure enough, so that "
    "the block is left.",
    "grass": "Grey letters on grass: the detector does not see them, and the command says that there is nothing to "
    "translate. The picture is unharmed, and untranslated.",
    "law": "A sentence from a lease. Letters are read, but the model has learnt from captions; of such words it knows "
    "none, and it writes what captions say. Only the low score of the text tells.",
    "poem": "Verses, set as one block: the model takes them for sentences of captions.",
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--weights", default=DEFAULT_WEIGHTS, help=f"shipped weights or a checkpoint ({DEFAULT_WEIGHTS})"
    )
    options = parser.parse_args()
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
