"""Commands whose streams fail them: one line and a status, never a traceback. Each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

SCRIPT = """
import os, sys
from translatotron_v.errors import UserError
from translatotron_v.terminal import guarded, print_json

def command():
    kind, count = sys.argv[1], int(sys.argv[2])
    for number in range(count):
        if kind == "json":
            name = os.fsdecode(b"gru\\xdf.png")
            print_json({"input": name, "text": "Gr\\u00fc\\u00dfe \\u2192 \\u263a", "n": [number]})
        else:
            print("Gr\\u00fc\\u00dfe \\u2192", os.fsdecode(b"gru\\xdf.png"), number)
    if kind == "file":
        open(sys.argv[3])
    if kind == "memory":
        raise MemoryError
    if kind == "user":
        raise UserError("\\u00e4rger")
    if kind == "interrupt":
        raise KeyboardInterrupt
    return 0

sys.exit(guarded(command, "interrupted; so what"))
"""


def start(*arguments: str, environment: dict[str, str] | None = None, **streams) -> subprocess.Popen:
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=settings | {"PYTHONPATH": str(ROOT)} | (environment or {}),
        stderr=subprocess.PIPE,
        **streams,
    )


LOCALES = [
    {"LC_ALL": "C"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "cp1252"},
    {"LC_ALL": "C.UTF-8"},
]


@pytest.mark.parametrize("environment", LOCALES, ids=str)
def test_umlauts_and_odd_names_pass_every_locale(environment: dict[str, str]):
    process = start("text", "1", environment=environment, stdout=subprocess.PIPE)
    written, complaint = process.communicate()
    assert process.returncode == 0 and not complaint
    assert written.startswith(b"Gr") and len(written.splitlines()) == 1


@pytest.mark.parametrize("environment", LOCALES, ids=str)
def test_json_is_utf_8_in_every_locale(environment: dict[str, str]):
    process = start("json", "2", environment=environment, stdout=subprocess.PIPE)
    written, complaint = process.communicate()
    assert process.returncode == 0 and not complaint
    records = [json.loads(line) for line in written.decode("utf-8").splitlines()]
    assert records == [{"input": "gru\\xdf.png", "text": "Grüße → ☺", "n": [number]} for number in range(2)]
    assert "Grüße" in written.decode("utf-8")  # not escaped


@pytest.mark.parametrize("kind", ["json", "text"])
def test_a_pipe_that_closes_ends_in_one_line(kind: str):
    process = start(kind, "100000", stdout=subprocess.PIPE)
    assert process.stdout.readline()
    process.stdout.close()
    complaint = process.stderr.read().decode()
    assert process.wait() == 1
    assert complaint == "error: standard output was closed before everything was said\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("kind", ["json", "text"])
def test_a_full_disk_ends_in_one_line(kind: str):
    with open("/dev/full", "w") as full:
        process = start(kind, "3", stdout=full)
        _, complaint = process.communicate()
    assert process.returncode == 1
    assert complaint.decode() == "error: standard output: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="streams are closed by a shell")
def test_closed_streams_are_no_reason_to_fail():
    command = ["sh", "-c", 'exec "$0" "$@" >&- 2>&-', sys.executable, "-c", SCRIPT, "text", "3"]
    assert subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode == 0


@pytest.mark.parametrize(
    ("kind", "status", "line"),
    [
        ("file", 1, "error: {place}: Not a directory"),
        ("memory", 1, "error: not enough memory"),
        ("user", 2, "error: ärger"),
        ("interrupt", 130, "interrupted; so what"),
    ],
)
def test_what_goes_wrong_gets_one_line(tmp_path: Path, kind: str, status: int, line: str):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "below"
    environment = {"PYTHONIOENCODING": "utf-8"}
    process = start(kind, "0", str(place), environment=environment, stdout=subprocess.PIPE)
    written, complaint = process.communicate()
    assert (process.returncode, written) == (status, b"")
    assert complaint.decode() == line.format(place=place) + "\n"
