"""The how-tos are walked: their files are written and their commands and code run, in order, on what they show.

Of a document's fenced blocks those with a title are files (``yaml title="configs/mine/text.yaml"``), those in
``python`` run with one namespace for all, and in ``sh`` every command is called in this process. The walk takes place
in an empty folder, beside the project's own ``configs``, a font ``fonts/MyFace.ttf`` and a small corpus ``my-pairs``.
"""

import re
import shlex
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from data_synth import cli as data_synth
from data_synth.fonts import find_font
from tests.small import write_corpus
from translatotron_v import cli
from translatotron_v.training import command as training

ROOT = Path(__file__).resolve().parent.parent
HOWTO = ROOT / "docs" / "howto"
COMMANDS = {
    ".venv/bin/python -m data_synth": data_synth.main,
    ".venv/bin/python train.py": training.main,
    ".venv/bin/translatotron-v": cli.main,
}
# What makes a training command a matter of seconds; where a document sets one of these itself, these win.
QUICK = ("trainer.steps=2", "trainer.batch_size=4", "trainer.device=cpu", "data.validation_limit=4")


class Block(NamedTuple):
    """A fenced block: its language, the file that it is (empty: none), and what stands in it."""

    language: str
    title: str
    text: str


def blocks(document: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    fence = re.compile(r'^( *)```(\w+)(?: title="([^"]+)")?\n(.*?)^\1```$', re.M | re.S)
    found = fence.findall(document.read_text(encoding="utf-8"))
    return [Block(language, title, textwrap.dedent(text)) for _, language, title, text in found]


def run(line: str) -> None:
    """Call what a shell command would call."""
    words = shlex.split(line, comments=True)
    if words[:2] == ["mkdir", "-p"]:
        for folder in words[2:]:
            Path(folder).mkdir(parents=True, exist_ok=True)
        return
    if words[0] == "cp":
        shutil.copy(words[1], words[2])
        return
    start = next((start for start in COMMANDS if line.startswith(start)), None)
    assert start is not None, f"the test knows no way to run {line!r}"
    arguments = words[len(start.split()) :]
    if COMMANDS[start] is training.main:
        arguments += QUICK
    assert COMMANDS[start](arguments) == 0, line


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a reader stands, at the root of a checkout; what the walk writes does not touch the project."""
    (tmp_path / "configs").mkdir()
    for path in (ROOT / "configs").iterdir():
        (tmp_path / "configs" / path.name).symlink_to(path)
    (tmp_path / "fonts").mkdir()
    shutil.copy(find_font("SpaceMono"), tmp_path / "fonts" / "MyFace.ttf")
    write_corpus(tmp_path / "my-pairs")
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def walk(document: Path) -> int:
    """Write, run and call what a document says; returns how many steps it took."""
    namespace: dict[str, object] = {}
    steps = 0
    for block in blocks(document):
        if block.title:
            path = Path(block.title)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, str(document), "exec"), namespace)
        elif block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                if line.strip() and not line.startswith("#"):
                    run(line)
        else:
            continue
        steps += 1
    return steps


@pytest.mark.parametrize("document", sorted(HOWTO.glob("*.md")), ids=lambda path: path.stem)
def test_a_how_to_can_be_walked(document: Path, folder: Path, capsys: pytest.CaptureFixture[str]):
    assert walk(document) >= 4


def test_there_is_one_for_languages_typefaces_and_corpora():
    assert {path.stem for path in HOWTO.glob("*.md")} >= {"add-a-corpus", "add-a-language", "add-a-typeface"}


def test_a_document_that_lies_is_caught(folder: Path, tmp_path: Path):
    wrong = tmp_path / "wrong.md"
    for text in (
        "```python\nassert 1 == 2\n```\n",
        "```sh\n.venv/bin/python train.py tokeniser\n```\n",
        "```sh\nrm -rf data\n```\n",
    ):
        wrong.write_text(text, encoding="utf-8")
        with pytest.raises(AssertionError):
            walk(wrong)
