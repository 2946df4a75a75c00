"""docs/fidelity.md says what the configurations say: its table of settings, cell by cell."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from translatotron_v.config import load_config

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ("paper", "paper_tiny", "tiny", "small")  # the last columns, in order
ABSENT = "—"
ROW = re.compile(r"^\| `(?:(\w+): )?([\w.]+)` \|(.+)\|$", re.M)


load = lru_cache(load_config)


def rows() -> list[tuple[str, str, list[str]]]:
    """(stage or "model", key, cells of the four configurations) of every setting in the table."""
    text = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
    found = []
    for stage, key, cells in ROW.findall(text):
        columns = [cell.strip() for cell in cells.split("|")]
        assert len(columns) == 2 + len(CONFIGS), key
        found.append((stage or "model", key, columns[2:]))
    return found


def written(value: Any) -> str:
    """A setting as the table writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        numbers = [written(item) for item in value]
        return (" x " if all(isinstance(item, int) for item in value) else ", ").join(numbers) or "none"
    return f"{value:.10g}" if isinstance(value, int | float) else str(value)


@pytest.mark.parametrize(("stage", "key", "cells"), rows(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_row_says_what_the_configurations_say(stage: str, key: str, cells: list[str]):
    for folder, cell in zip(CONFIGS, cells, strict=True):
        if cell != ABSENT:
            value: Any = load(ROOT / "configs" / folder / f"{stage}.yaml")
            for name in key.split("."):
                value = getattr(value, name)
            assert cell == written(value), f"docs/fidelity.md: {stage}, {key}, column {folder}"


def test_the_table_is_read_whole():
    keys = {key for _, key, _ in rows()}
    assert len(keys) > 60 and {"loss.commitment", "trainer.clip", "model.image_decoder.fusion_start"} <= keys


def test_every_difference_of_the_model_from_the_papers_stands_in_the_table():
    """What `paper_tiny` sets otherwise than `paper`, but for lengths and the number of heads."""
    settings = [yaml.safe_load((ROOT / f"configs/{name}/model.yaml").read_text())["model"] for name in CONFIGS[:2]]
    keys = {key for _, key, _ in rows()}
    for part, values in settings[0].items():
        for name, value in values.items() if isinstance(values, dict) else ():
            if settings[1][part].get(name) == value or name in ("max_length", "heads", "feed_forward", "layout_width"):
                continue
            known = f"model.{part}.{name}" in keys or part in ("discriminator", "teacher_encoder")
            assert known, f"docs/fidelity.md: no row for model.{part}.{name}"
