"""A corpus in many languages, joined by English: whole rows only, disjoint splits, translations only."""

import gzip
from pathlib import Path

import pytest

from experiments import pivot
from translatotron_v.config import Config
from translatotron_v.data.pairs import read_split

MIXTURE = """
domains: {interfaces: 1}
languages: {de: 1, fr: 1, cs: 1, ro: 1}
corpora:
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Corpora of four languages: `count` strings are in all of them."""
    entries = []
    for language in pivot.LANGUAGES:
        lines = [f"{language} text number {number} here\tthe text number {number} here" for number in range(200)]
        lines += [
            "OK OK OK OK\tOK OK OK OK",
            f"{language} kurz\ttoo short",
            f"{language} {'x' * 99}\tlong in all but English",
        ]
        lines += [f"{language} second of number 3\tthe text number 3 here"]
        if language != "ro":
            lines.append(f"{language} not in all languages\tnot in all of them")
        with gzip.open(tmp_path / f"ui.{language}-en.tsv.gz", "wt", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
        entries.append(
            "  - "
            f"{{name: {language}, path: ui.{language}-en.tsv.gz, languages: [{language}, en], domain: interfaces}}\n"
        )
    (tmp_path / "mixture.yaml").write_text(MIXTURE + "".join(entries), encoding="utf-8")
    return tmp_path


def test_rows_stand_in_all_languages(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert pivot.main([str(data), str(out), "--mixture", str(data / "mixture.yaml")]) == 0
    assert str(out) in capsys.readouterr().out
    config, seen = Config(), []
    config.data.folder, config.page.lower_case = str(out), False
    for split in ("train", "val", "test"):
        for language in ("en", "fr", "cs", "ro"):
            config.data.target_language = language
            pairs = read_split(config, split)
            numbers = [pair.source.split()[3] for pair in pairs]
            assert numbers and [pair.target.split()[3] for pair in pairs] == numbers  # lines belong together
            assert all(pair.source.startswith("de ") for pair in pairs)
            assert all(pair.target.startswith("the " if language == "en" else language) for pair in pairs)
        seen += numbers
    assert len(seen) == len(set(seen)) == 200  # each once, in one split


def test_a_language_without_corpora_is_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (data / "ui.cs-en.tsv.gz").unlink()
    assert pivot.main([str(data), str(tmp_path / "out"), "--mixture", str(data / "mixture.yaml")]) == 2
    assert "into cs is there" in capsys.readouterr().err
