"""Shards: reproducible, resumable, and open to Hugging Face `datasets`."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_synth import build as build_module
from data_synth.build import BuildOptions, build
from data_synth.card import shard_metadata
from data_synth.cli import main
from data_synth.corpora import TextPair
from data_synth.errors import UserError
from data_synth.grammar import GrammarPairs, grammar_pairs
from data_synth.render import PageLayout, StyleOptions, render_sample

OPTIONS = BuildOptions(
    layout=PageLayout(64, 160, 3),
    style=StyleOptions(sizes=(9, 12), line_height=0, colours=True, noise=5.0, backgrounds=("plain", "gradient")),
    shard_size=4,
    seed=3,
)
TEXTS = grammar_pairs("de", "en", 10, 0)


def _bytes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_number_of_workers_does_not_change_a_byte(tmp_path: Path) -> None:
    build(TEXTS, OPTIONS, tmp_path / "one", workers=1, quiet=True)
    build(TEXTS, OPTIONS, tmp_path / "two", workers=2, quiet=True)
    assert len(_bytes(tmp_path / "one")) == 4  # three shards and the card
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def test_an_interrupted_run_continues_and_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(TEXTS, OPTIONS, tmp_path / "whole", quiet=True)
    rendered = 0

    def stop_in_the_second_shard(*arguments, **keywords):
        nonlocal rendered
        rendered += 1
        if rendered == 6:
            raise KeyboardInterrupt
        return render_sample(*arguments, **keywords)

    monkeypatch.setattr(build_module, "render_sample", stop_in_the_second_shard)
    with pytest.raises(KeyboardInterrupt):
        build(TEXTS, OPTIONS, tmp_path / "broken", quiet=True)
    assert len(_bytes(tmp_path / "broken")) == 1
    (tmp_path / "broken" / "data" / ".tmp-train-00001-of-00003.parquet-1").write_bytes(b"half a shard")
    rendered = 100
    summary = build(TEXTS, OPTIONS, tmp_path / "broken", quiet=True)
    assert rendered == 106 and summary.shards_found == 1 and summary.counts["asked"] == 10
    assert _bytes(tmp_path / "broken") == _bytes(tmp_path / "whole")


def test_other_settings_do_not_mix(tmp_path: Path) -> None:
    build(TEXTS, OPTIONS, tmp_path, quiet=True)
    other = replace(OPTIONS, seed=4)
    with pytest.raises(UserError, match="--force"):
        build(TEXTS, other, tmp_path, quiet=True)
    build(TEXTS, other, tmp_path, quiet=True, force=True)
    with pytest.raises(UserError, match="other texts"):
        build([*TEXTS[:-1], TextPair("neu", "new")], other, tmp_path, quiet=True)


def test_a_full_disk_leaves_one_line_and_no_half_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left"):
        build(TEXTS, OPTIONS, tmp_path, quiet=True)
    assert _bytes(tmp_path) == {}


def test_hugging_face_datasets_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    build(TEXTS, OPTIONS, tmp_path / "pages", quiet=True)
    build(TEXTS[:3], replace(OPTIONS, split="validation"), tmp_path / "pages", quiet=True)
    opened = datasets.load_dataset(str(tmp_path / "pages"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in opened.items()} == {"train": 10, "validation": 3}
    pages, style = render_sample(TEXTS[5], OPTIONS.layout, OPTIONS.style, OPTIONS.seed, 5)
    row = opened["train"][5]
    assert pages is not None and row["id"] == 5
    assert (row["source_text"], row["target_language"]) == (TEXTS[5].source, "en")
    assert np.array_equal(np.asarray(row["target_image"]), pages.target.pixels)
    assert [box["text"] for box in row["source_boxes"]] == pages.source.lines
    assert json.loads(row["style"])["font_size"] == style.font_size
    one = datasets.Dataset.from_parquet(
        str(tmp_path / "pages/data/validation-00000-of-00001.parquet"), cache_dir=str(tmp_path / "cache")
    )
    assert one[0]["source_image"].size == (160, 64)


def test_grey_pages_are_grey_png(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    build(TEXTS[:2], replace(OPTIONS, layout=PageLayout(64, 160, 1)), tmp_path, quiet=True)
    column = pq.read_table(tmp_path / "data/train-00000-of-00001.parquet")["source_image"].to_pylist()
    with Image.open(io.BytesIO(column[0]["bytes"])) as picture:
        assert (picture.format, picture.mode) == ("PNG", "L")


def test_what_is_skipped_or_shrunk_is_counted(tmp_path: Path) -> None:
    texts = [
        TextPair("kurz", "short"),
        TextPair("ein langer Satz mit vielen Wörtern, der so groß nicht auf die Seite geht", "long"),
        TextPair("Wort " * 200, "much too long"),
        TextPair("eine 猫", "a cat"),
    ]
    options = replace(OPTIONS, style=StyleOptions(sizes=(16, 16), line_height=0), smallest=8)
    summary = build(texts, options, tmp_path, quiet=True)
    assert summary.counts == {"asked": 4, "written": 2, "shrunk": 1, "no_room": 1, "no_glyph": 1}
    assert "| train | built-in grammar | de -> en | 2 | 1 | 1 | 1 |" in (tmp_path / "README.md").read_text()


def test_blocks_take_several_pairs_and_the_grammar_is_sliced(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    options = replace(OPTIONS, layout=PageLayout(160, 256, 1, "blocks"), blocks=(1, 3), smallest=7)
    texts = GrammarPairs("de", "en", 0, range(30))
    build(texts, options, tmp_path, pages=6, quiet=True)
    rows = [row for path in sorted(tmp_path.glob("data/*")) for row in pq.read_table(path).to_pylist()]
    blocks = [row["source_text"].count("\n") + 1 for row in rows]
    assert len(rows) == 6 and set(blocks) <= {1, 2, 3} and len(set(blocks)) > 1
    assert "\n".join(row["source_text"] for row in rows).split("\n") == [pair.source for pair in texts[: sum(blocks)]]


def test_records_do_not_tell_folders(tmp_path: Path) -> None:
    picture = tmp_path / "private" / "photo.png"
    picture.parent.mkdir()
    Image.new("RGB", (90, 90), (250, 250, 250)).save(picture)
    style = StyleOptions(backgrounds=("folder",), pictures=(str(picture),))
    build(TEXTS[:2], replace(OPTIONS, style=style), tmp_path / "out", quiet=True)
    shard = tmp_path / "out/data/train-00000-of-00001.parquet"
    assert b"private" not in shard.read_bytes() and shard_metadata(shard) is not None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--fonts", "NoSuchFont"], "NoSuchFont"),
        (["--text", "/no/such/corpus"], "corpus"),
        (["--source", "xx"], "xx"),
        (["--background-folder", "/no/such/folder"], "/no/such/folder"),
        (["--jpeg", "200"], "jpeg=200"),
    ],
)
def test_mistakes_get_one_line(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and named in error and error.count("\n") == 1


def test_the_command_line_renders_the_grammar_and_sums_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pages"
    command = [str(out), "--count", "6", "--size", "64x256", "--grey", "--font-size", "10-12", "--margin", "2"]
    assert main([*command, "--top", "0", "--workers", "1", "--source", "ro", "--target", "cs"]) == 0
    assert "6 page pairs of 6 written" in capsys.readouterr().out
    assert (out / "README.md").is_file() and len(list((out / "data").iterdir())) == 1


@pytest.mark.parametrize("command", [["--help"], ["--list-fonts"]])
def test_help_and_font_list(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert main(command) == 0
    except SystemExit as stop:
        assert stop.code == 0
    printed = capsys.readouterr().out
    assert "examples" in printed or "FiraGO-Regular" in printed
