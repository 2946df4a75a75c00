"""The data card: a README.md that Hugging Face `datasets` takes its splits from."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from data_synth.places import put

METADATA_KEY = b"data_synth"  # under which a shard says what it is
_COLUMNS = """
| column | what it holds |
|---|---|
| `id` | number of the page; skipped pages leave gaps |
| `source_image`, `target_image` | the pages, PNG |
| `source_text`, `target_text` | what they say; blocks are separated by newlines |
| `source_language`, `target_language` | language codes |
| `source_boxes`, `target_boxes` | a line each: `left`, `top`, `right`, `bottom` (end exclusive), `text`, `block` |
| `style` | the look both pages share, as JSON: font, size, colours, background, noise, ... |
"""

_LICENCES = """
The pictures carry the licence of their text; check the terms of the corpus before you pass them on (the built-in
grammar has none). Fonts: DejaVu (Bitstream Vera licence); FiraGO, Fira Mono, Noto Sans, Space Mono and Cascadia Mono
(SIL OFL 1.1); Ubuntu (Ubuntu Font Licence 1.0). Background photographs, where used: those in the scikit-image wheel, in
the public domain or CC0, or the maker's own.
"""


def shard_metadata(path: Path) -> dict[str, Any] | None:
    """What a shard says about itself: fingerprint, counts, options; None for a file that is no shard of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            metadata = pq.read_schema(file).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    record = metadata.get(METADATA_KEY)
    return None if record is None else json.loads(record)


def write_card(folder: Path) -> None:
    """Describe every split that lies in `folder/data`; the same shards give the same card."""
    splits = _splits(folder)
    languages = sorted({options[f"{side}_language"] for options, _ in splits.values() for side in ("source", "target")})
    lines = ["---", "language:", *(f"- {language}" for language in languages)]
    lines += ["task_categories:", "- image-to-image", "- translation", "tags:", "- synthetic", "configs:"]
    lines += ["- config_name: default", "  data_files:"]
    for split in splits:
        lines += [f"  - split: {split}", f"    path: data/{split}-*"]
    lines += [
        "---",
        "",
        "# Rendered page pairs",
        "",
        "Text pairs, each drawn as a source and a target page in one style,",
    ]
    lines += ["on one background and with text blocks in the same places. Made by `python -m data_synth`.", ""]
    lines += ["| split | text | languages | pages | shrunk to fit | skipped: no room | skipped: letters not in font |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for split, (options, counts) in splits.items():
        cells = [split, options["origin"], f"{options['source_language']} -> {options['target_language']}"]
        cells += [f"{counts[key]:,}" for key in ("written", "shrunk", "no_room", "no_glyph")]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "## Columns",
        _COLUMNS.strip(),
        "",
        "## Open",
        "",
        "```python",
        "from datasets import load_dataset",
        "",
    ]
    lines += ['pages = load_dataset("PATH_OF_THIS_FOLDER")', "```", "", "## Settings", ""]
    lines += ["The same settings and texts give the same bytes (same versions of Pillow and pyarrow).", ""]
    lines += ["| setting | " + " | ".join(splits) + " |", "|---" * (len(splits) + 1) + "|"]
    tables = [_flat(options) for options, _ in splits.values()]
    lines += [f"| {key} | " + " | ".join(str(table[key]) for table in tables) + " |" for key in tables[0]]
    lines += ["", "## Licences", _LICENCES.strip(), ""]
    put(folder / "README.md", "\n".join(lines).encode())


def _splits(folder: Path) -> dict[str, tuple[dict[str, Any], Counter[str]]]:
    """Split -> its settings and the sum of its shards' counts."""
    found: dict[str, tuple[dict[str, Any], Counter[str]]] = {}
    for path in sorted((folder / "data").glob("*-?????-of-?????.parquet")):
        record = shard_metadata(path)
        if record is None:
            continue
        _, counts = found.setdefault(record["options"]["split"], (record["options"], Counter()))
        counts.update(record["counts"])
    return found


def _flat(options: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested settings as dotted keys; pictures of the user's are only counted."""
    flat: dict[str, object] = {}
    for key, value in options.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif key == "pictures":
            flat[prefix + key] = len(value)
        elif isinstance(value, list):
            flat[prefix + key] = ", ".join(map(str, value))
        elif key != "split":
            flat[prefix + key] = value
    return flat
