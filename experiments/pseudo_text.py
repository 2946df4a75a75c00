"""Parallel pictures whose text nobody has written down: rendered pages, labelled by our own OCR."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.arms import progress_bar
from experiments.report import write_whole
from translatotron_v.errors import UserError

if TYPE_CHECKING:
    from experiments.harness import Experiment
    from translatotron_v.inference.loaded import LoadedTranslator

READER = "weights/tiny"  # its CTC head; it has seen German pages only
BATCH = 64  # pages
GRAMMAR_SPLITS = {"val": "validation"}  # what the arms ask for -> what the built-in grammar calls it
# pages as configs/tiny draws them
LOOK = ("--size", "48x256", "--grey", "--lower", "--fonts", "DejaVuSans", "--font-size", "10-10", "--line-height", "16",
        "--margin", "1", "--top", "0")  # fmt: skip


def prepare(experiment: "Experiment", count: int) -> Path:
    """Render pages of the corpus, label those of the training split, and return their folder; once.

    The texts of the validation split stay true. ``labels.json`` in the folder says how many characters of each side
    are wrong (CER).
    """
    gold, folder = experiment.folder / "pages", experiment.folder / "pseudo"
    if not (folder / "labels.json").is_file():
        for split, pages in (("train", count), ("val", 2 * BATCH)):
            _render(gold, experiment.data, split, pages)
        _label(gold, folder)
    return folder


def _render(folder: Path, data: str, split: str, count: int) -> None:
    from data_synth.cli import main as render

    text = ["--text", data]
    if data == "grammar":
        text, split = [], GRAMMAR_SPLITS.get(split, split)
    status = render([str(folder), *text, "--split", split, "--count", str(count), "--workers", "1", "--force", *LOOK])
    if status:
        raise UserError(f"{folder}: the pages of {split} could not be rendered")


def _label(gold: Path, folder: Path) -> None:
    """Copy shards, those of training with what the reader reads in place of their texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from translatotron_v.inference.loaded import load_translator
    from translatotron_v.metrics import cer

    reader = load_translator(READER)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    texts: dict[str, tuple[list[str], list[str]]] = {"source": ([], []), "target": ([], [])}
    shards = sorted((gold / "data").glob("*.parquet"))
    with progress_bar(len(shards), "labelling", "shard", quiet=not sys.stderr.isatty()) as bar:
        for path in shards:
            table = pq.read_table(path)
            if path.name.startswith("train"):
                for side, (read, true) in texts.items():
                    column = f"{side}_text"
                    seen = transcribe(reader, [row["bytes"] for row in table[f"{side}_image"].to_pylist()])
                    read += seen
                    true += table[column].to_pylist()
                    table = table.set_column(table.schema.get_field_index(column), column, pa.array(seen))
            name = path.name
            for asked, called in GRAMMAR_SPLITS.items():
                name = name.replace(f"{called}-", f"{asked}-", 1)
            pq.write_table(table, folder / "data" / name)
            bar.update()
    errors = {side: cer(read, true).value for side, (read, true) in texts.items()}
    write_whole(folder / "labels.json", (json.dumps({"pages": len(texts["source"][0]), "cer": errors}) + "\n").encode())


def transcribe(reader: "LoadedTranslator", pictures: Sequence[bytes]) -> list[str]:
    """What the CTC head reads on PNG pages."""
    import numpy as np
    import torch

    from translatotron_v.data.pages import to_pixels
    from translatotron_v.data.shards import decode
    from translatotron_v.inference.generate import read_ctc

    texts: list[str] = []
    for start in range(0, len(pictures), BATCH):
        pixels = to_pixels(np.stack([decode(picture) for picture in pictures[start : start + BATCH]]))
        with torch.inference_mode():
            texts += read_ctc(reader.model.ctc_logits(reader.model.see(pixels)), reader.vocabulary)
    return texts
