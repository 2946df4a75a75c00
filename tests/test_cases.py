"""Small inputs of the kinds that real pages are of: what comes out, in one table."""

from pathlib import Path

import pytest

from tests.cases import Row, all_cases, as_table, make_translator, run_case
from translatotron_v.ocr import LineDetector


@pytest.fixture(scope="module")
def rows(detector: LineDetector, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    folder: Path = tmp_path_factory.mktemp("cases")
    cases = all_cases()
    translator, _ = make_translator(detector)
    found = [run_case(case, translator, folder) for case in cases]
    (folder / "cases.md").write_text(as_table(found), encoding="utf-8")
    return found


def test_every_kind_comes_out_as_it_should(rows: list[Row]) -> None:
    assert len({row.kind for row in rows}) == len(rows) > 30
    wrong = {row.kind: row.wrong for row in rows if row.wrong}
    assert not wrong


def test_the_table_says_what_is_wrong(rows: list[Row]) -> None:
    lines = as_table([*rows, Row("bad", "1 blocks written", "all", ["a | b"])]).splitlines()
    assert len(lines) == len(rows) + 3
    assert lines[-1] == "| bad | all | 1 blocks written | a / b |"
