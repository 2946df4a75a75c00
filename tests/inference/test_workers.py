"""Folders by several processes and by runs that are cut off: the same bytes, whatever happens on the way."""

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from PIL import Image

from tests.fuzz.kills import is_done
from tests.inference.fakes import FakeGenerate, fake_translator
from translatotron_v import cli
from translatotron_v.commands import journal as journals
from translatotron_v.commands import translate as command
from translatotron_v.errors import UserError
from translatotron_v.inference import parts, workers
from translatotron_v.inference.files import plan_jobs
from translatotron_v.inference.parts import cut
from translatotron_v.inference.pipeline import Translator
from translatotron_v.inference.workers import Settings, fitting_workers, in_workers, one_by_one


class Fragile(FakeGenerate):
    """Dies on a picture with 7 black pixels."""

    def __call__(self, model, vocabulary, pixels, generation):
        answer = super().__call__(model, vocabulary, pixels, generation)
        if "ink 7" in answer.texts:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


class Slow(FakeGenerate):
    """Takes a while."""

    def __call__(self, model, vocabulary, pixels, generation):
        time.sleep(0.01)
        return super().__call__(model, vocabulary, pixels, generation)


def load_fragile() -> Translator:
    return fake_translator(Fragile())


def load_nothing(options: object = None) -> Translator:
    raise UserError("no such weights")


def write_pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        page = Image.new("L", (60 + number, 16), 255)
        for dot in range(number):
            page.putpixel((dot, 5), 0)
        page.save(folder / f"{number}.png")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "in", 10)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "load", lambda options: fake_translator(Slow()))
    monkeypatch.setattr(parts, "BYTES", 250)


def test_parts_follow_from_the_plan_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sizes = [400, 500, 200, 5000, 1, 1, 1, 1, 0]
    for number, size in enumerate(sizes):
        (tmp_path / f"{number}.png").write_bytes(b"x" * size)
    monkeypatch.setattr(parts, "BYTES", 1000)
    jobs = plan_jobs([str(tmp_path / f"{number}.png") for number in range(10)], tmp_path / "out")  # the last is missing
    assert cut(jobs, 3) == [[0, 1], [2], [3], [4, 5, 6], [7, 8, 9]]
    assert cut([], 3) == []


def test_workers_are_as_many_as_cores_work_and_memory_allow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "cores", lambda: 4)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 5e9}))
    assert fitting_workers(None, 2, 0) == (2, "")
    assert fitting_workers(3, 9, 0) == (3, "")
    count, note = fitting_workers(None, 9, 0)
    assert count == 3 and note.startswith("3 workers instead of 4: each takes up to 1.5 GB")
    assert fitting_workers(None, 9, 500_000_000)[1].startswith("1 worker instead of 4: each takes up to 3.0 GB")
    assert fitting_workers(None, 9, 10**11)[0] == 1


def test_several_processes_write_what_one_writes(pages: Path):
    told: list[tuple[str, int, int]] = []
    made = []
    for name in ("one", "two"):
        jobs = plan_jobs([str(pages)], pages.parent / name, compare=True)
        plan = [jobs[:4], jobs[4:8], jobs[8:]]
        if name == "one":
            stream = one_by_one(fake_translator(), plan, Settings(), lambda *_: None)
        else:
            told_to = lambda job, done, count: told.append((job.source.name, done, count))  # noqa: E731
            stream = in_workers(fake_translator, plan, Settings(others={"dpi": 100}), told_to, 2)
        made.append(dict(stream))
        assert {number: outcome.job for number, outcome in made[-1].items()} == dict(enumerate(jobs))
    assert contents(pages.parent / "one") == contents(pages.parent / "two")
    assert [outcome.translations[0].text for _, outcome in sorted(made[1].items())] == [
        f"ink {number}" for number in range(10)
    ]
    assert made[1][9].sizes == ((69, 16),) and made[1][9].translation.image.size == (1, 1)
    assert sorted(told) == sorted((f"{number}.png", done, 1) for number in range(10) for done in (0, 1))


def test_a_worker_that_dies_takes_nothing_with_it(pages: Path):
    jobs = plan_jobs([str(pages)], pages.parent / "out")
    outcomes = dict(in_workers(load_fragile, [jobs[:5], jobs[5:]], Settings(), lambda *_: None, 2))
    assert sorted(outcomes) == list(range(10))
    assert {number: outcome.error for number, outcome in outcomes.items() if outcome.error} == {
        7: f"{pages / '7.png'}: the process that translated it died (signal 9); memory?"
    }
    assert sorted(contents(pages.parent / "out")) == [f"{number}.png" for number in range(10) if number != 7]


def test_what_serves_no_picture_is_said_once(pages: Path):
    jobs = plan_jobs([str(pages)], pages.parent / "out")
    with pytest.raises(UserError, match="no such weights"):
        list(in_workers(load_nothing, [jobs[:5], jobs[5:]], Settings(), lambda *_: None, 2))


def test_the_command_shares_a_folder_among_workers(pages: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(command, "load", partial(load_nothing))
    monkeypatch.setattr(parts, "BYTES", 250)
    assert cli.main(["translate", str(pages), "-o", str(pages.parent / "out"), "--workers", "2"]) == 2
    assert capsys.readouterr().err == "error: no such weights\n"


def test_the_report_says_what_became_of_every_file(pages: Path, small_parts: None, capsys: pytest.CaptureFixture[str]):
    (pages / "3.png").write_bytes(b"broken")
    (pages / "notes.txt").write_text("no picture")
    out = pages.parent / "out"
    arguments = ["translate", str(pages), "-o", str(out), "--json"]
    assert cli.main([*arguments[:-1], "--workers", "1", "--json"]) == 1
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    report = json.loads((out / "report.json").read_text())
    assert [Path(record["input"]).name for record in report["files"]] == ["notes.txt", *(f"{n}.png" for n in range(10))]
    assert sorted(report["files"], key=lambda record: record["input"]) == sorted(told, key=lambda one: one["input"])
    assert [record.get("text") for record in told if "outputs" in record] == [f"ink {n}" for n in range(10) if n != 3]
    assert not (out / journals.JOURNAL).exists()
    assert cli.main([*arguments[:-1], "--workers", "1"]) == 1  # once more: all exists, and the report stands
    assert json.loads((out / "report.json").read_text()) == report
    capsys.readouterr()
    # What is there already keeps its record; so do files of other runs, while they are there.
    Image.new("L", (20, 16), 255).save(pages / "3.png")
    assert cli.main([*arguments, "--skip-existing"]) == 0
    again = {record["input"]: record for record in json.loads((out / "report.json").read_text())["files"]}
    assert again[str(pages / "9.png")]["text"] == "ink 9" and again[str(pages / "3.png")]["size"] == [20, 16]
    (out / "9.png").unlink()
    assert cli.main(["translate", str(pages / "3.png"), "-o", str(out), "--force"]) == 0
    inputs = [Path(record["input"]).name for record in json.loads((out / "report.json").read_text())["files"]]
    assert sorted(inputs) == [f"{n}.png" for n in range(9)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="wants a fork server")
def test_a_run_that_is_killed_anywhere_ends_as_one_that_is_not(pages: Path, small_parts: None):
    """Without `--skip-existing` or `--force`: the same command goes on by itself."""
    chance = random.Random(4)
    arguments = ["translate", pages.name, "-o", "out", "--compare", "--workers", "1"]
    places = {name: pages.parent / name for name in ("whole", "cut")}
    for name, place in places.items():
        place.mkdir()
        (place / pages.name).symlink_to(pages)
        kills = 6 if name == "cut" else 0
        for _ in range(kills):
            if run(arguments, place, chance.uniform(0.005, 0.12)) == 0 or is_done(place / "out"):
                break  # it was faster, be it that it was killed on its way out: nothing is left to go on with
        else:
            assert run(arguments, place) == 0
    assert contents(places["cut"] / "out") == contents(places["whole"] / "out")
    assert len(contents(places["cut"] / "out")) == 21


def run(arguments: list[str], place: Path, kill_after: float | None = None) -> int | None:
    """The command in a process of its own, perhaps killed; its exit status."""
    context = multiprocessing.get_context("forkserver")  # a copy of this one would wait for threads that it lacks
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=answer, args=(arguments, place, there))
    process.start()
    here.recv()
    if kill_after is not None:
        time.sleep(kill_after)
        process.kill()
    process.join()
    return process.exitcode


def answer(arguments: list[str], place: Path, ready: Connection) -> None:
    """What that process does: once for nothing, so that all is imported, then the command."""
    os.chdir(place)
    command.load, parts.BYTES = lambda options: fake_translator(Slow()), 250
    with open(os.devnull, "w") as null, redirect_stdout(null), redirect_stderr(null):
        cli.main([*arguments[:3], "before", *arguments[4:], "--force"])
        ready.send(None)
        sys.exit(cli.main(arguments))


def test_a_full_disk_is_said_and_the_same_command_goes_on(
    pages: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    out = pages.parent / "out"
    arguments = ["translate", str(pages), "-o", str(out), "--workers", "1"]
    full = []

    def replace(source: Path, target: Path) -> None:
        if full and Path(target).name in ("5.png", "8.png"):
            raise OSError(28, "No space left on device")
        os.rename(source, target)

    monkeypatch.setattr("translatotron_v.inference.pictures.os.replace", replace)
    full.append(True)
    assert cli.main(arguments) == 1
    assert f"error: {out / '5.png'}: cannot be written (No space left on device)" in capsys.readouterr().err
    assert "5.png" not in contents(out) and "4.png" in contents(out)
    full.clear()
    before = (out / "0.png").stat().st_mtime_ns
    assert cli.main(arguments) == 0
    assert (out / "0.png").stat().st_mtime_ns == before  # what was done is not done again
    assert sorted(contents(out)) == sorted([*(f"{number}.png" for number in range(10)), "report.json"])
    assert all("error" not in record for record in json.loads((out / "report.json").read_text())["files"])


def test_other_settings_do_not_go_on_with_a_run(pages: Path, small_parts: None, capsys: pytest.CaptureFixture[str]):
    out = pages.parent / "out"
    out.mkdir()
    (pages / "0.png").rename(pages / "x.png")
    jobs = plan_jobs([str(pages)], out)
    first = journals.Journal(out, "one", jobs)
    first.begin()
    with pytest.raises(UserError, match="another run is writing into this folder"):
        journals.Journal(out, "one", jobs).begin()
    jobs[0].target.write_bytes(b"done")
    first.add(jobs[0], {"outputs": [str(jobs[0].target)]})
    first.add(jobs[1], {"error": "no room"})
    first.close()
    assert not journals.Journal(out, "two", jobs).resumed
    again = journals.Journal(out, "one", jobs)
    assert again.resumed and again.record(jobs[0]) == {"outputs": [str(jobs[0].target)]}
    assert again.record(jobs[1]) is None and again.record(jobs[2]) is None and again.existed(jobs[0]) == [False]
    with open(out / journals.JOURNAL, "a") as file:
        file.write('{"target": "cut off')
    cut_off = journals.Journal(out, "one", jobs)
    cut_off.begin()
    cut_off.close()
    assert (out / journals.JOURNAL).read_text().count("\n") == 3
    assert "cut off" not in (out / journals.JOURNAL).read_text()
    os.utime(jobs[0].source, (0, 0))
    assert journals.Journal(out, "one", jobs).record(jobs[0]) is None  # another picture by now
