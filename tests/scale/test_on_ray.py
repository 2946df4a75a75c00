"""Folders translated by actors of a local Ray: the bytes that processes write, whichever actor dies."""

import argparse
import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.inference.fakes import FakeGenerate, fake_translator
from tests.inference.test_workers import contents, load_nothing, write_pictures
from translatotron_v import cli
from translatotron_v.commands import translate as command
from translatotron_v.errors import UserError
from translatotron_v.inference import parts
from translatotron_v.inference.files import plan_jobs
from translatotron_v.inference.jobs import Job, Outcome
from translatotron_v.inference.parts import cut
from translatotron_v.inference.pipeline import Translator
from translatotron_v.inference.workers import Died, Part, Settings, share_out
from translatotron_v.scale import elsewhere
from translatotron_v.scale.on_ray import Actors, cluster, fitting_actors, needs

PICTURES = int(os.environ.get("RAY_PICTURES", "40"))


class Killed(FakeGenerate):
    """The first process that comes to a certain picture is killed there; a mark says that one was."""

    def __init__(self, mark: Path) -> None:
        super().__init__()
        self.mark = mark

    def __call__(self, model, vocabulary, pixels, generation):
        answer = super().__call__(model, vocabulary, pixels, generation)
        time.sleep(0.02)
        if "ink 21" in answer.texts and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


class Loads:
    """Gives a translator, and leaves a file for each time that it did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def __call__(self, options: object = None) -> Translator:
        (self.folder / f"{os.getpid()}-{time.time_ns()}").touch()
        return fake_translator(Killed(self.folder / "killed"))


@pytest.fixture(scope="module")
def ray():
    pytest.importorskip("ray")
    with cluster("", 2) as found:
        yield found


def test_one_actor_is_killed_and_nothing_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray, capsys: pytest.CaptureFixture[str]
):
    """The command itself, beside the same command with processes of this machine."""
    monkeypatch.setattr(parts, "BYTES", 1000)
    pages = write_pictures(tmp_path / "in", PICTURES)
    monkeypatch.setattr(command, "load", lambda options: fake_translator())
    assert cli.main(["translate", str(pages), "-o", str(tmp_path / "one"), "--workers", "1"]) == 0
    loads = Loads(tmp_path / "loads")
    monkeypatch.setattr(command, "load", loads)
    monkeypatch.setattr("translatotron_v.scale.on_ray.on_ray.cluster", lambda *a: _kept(ray))
    assert cli.main(["translate", str(pages), "-o", str(tmp_path / "ray"), "--workers", "2", "--ray"]) == 0
    made = [contents(tmp_path / name) for name in ("one", "ray")]
    reports = [json.loads(files.pop("report.json").replace(f"/{name}/".encode(), b"/out/"))
               for files, name in zip(made, ("one", "ray"), strict=True)]  # fmt: skip
    assert made[0] == made[1] and len(made[1]) == PICTURES
    assert reports[0] == reports[1]
    assert (tmp_path / "loads" / "killed").exists()
    loaded = [file.name.partition("-")[0] for file in (tmp_path / "loads").iterdir()]
    assert len(loaded) == len(set(loaded)) and str(os.getpid()) not in loaded  # once in each actor
    assert f"{PICTURES} of {PICTURES} pictures translated" in capsys.readouterr().out


def _kept(ray):
    from contextlib import nullcontext

    return nullcontext(ray)


def test_what_cannot_be_loaded_is_said_once(tmp_path: Path, ray):
    jobs = plan_jobs([str(write_pictures(tmp_path / "in", 2))], tmp_path / "out")
    crew = Actors(ray, load_nothing, Settings(), {"CPU": 1, "memory": 1e8})
    with pytest.raises(UserError, match="no such weights"):
        list(share_out(crew, [jobs], lambda *_: None, 2))


def test_files_elsewhere_are_fetched_and_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("upath")
    pages = write_pictures(tmp_path / "in", 6)
    (pages / "below").mkdir()
    (pages / "5.png").rename(pages / "below" / "5.png")
    (pages / "3.png").write_bytes(b"broken")
    (pages / "notes.txt").write_text("no picture")
    monkeypatch.setattr(command, "load", lambda options: fake_translator())
    monkeypatch.setattr("translatotron_v.scale.on_ray.on_ray.cluster", lambda *a: _kept(ray))
    monkeypatch.setattr(parts, "BYTES", 200)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names = [str(pages), "-o", str(tmp_path / "here")]
    common = ["--recursive", "--compare", "--json", "--workers", "2"]
    assert cli.main(["translate", *names, *common[:-1], "1"]) == 1
    here = capsys.readouterr()
    there = ["translate", f"file://{pages}", "-o", f"file://{tmp_path}/there", *common, "--ray"]
    assert cli.main(there) == 1
    told = capsys.readouterr()
    said = here.err.replace(str(tmp_path), f"file://{tmp_path}").replace("/here", "/there")
    assert "3.png" in said and told.err == said
    everything = [
        {str(file.relative_to(tmp_path / name)): file.read_bytes() for file in (tmp_path / name).rglob("*.png")}
        for name in ("here", "there")
    ]
    assert everything[0] == everything[1] and len(everything[0]) == 10
    report = json.loads((tmp_path / "there" / "report.json").read_text())["files"]
    assert {record["input"] for record in report} == {json.loads(line)["input"] for line in told.out.splitlines()}
    # The journal stays, since one failed: the same command does that one's part alone.
    (journal,) = (tmp_path / "cache").rglob(".report.jsonl")
    stamp = (tmp_path / "there" / "1.png").stat().st_mtime_ns
    write_pictures(tmp_path / "again", 4)
    (tmp_path / "again" / "3.png").rename(pages / "3.png")
    assert cli.main(there) == 0
    assert (tmp_path / "there" / "1.png").stat().st_mtime_ns == stamp and (tmp_path / "there" / "3.png").is_file()
    assert not journal.exists()
    assert cli.main([*there, "--force"][:-2]) == 2  # without --ray
    assert "add --ray" in capsys.readouterr().err


def test_room_on_the_hosts():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "memory": 10e9}},
        {"Alive": True, "Resources": {"CPU": 2.0, "memory": 64e9, "GPU": 1.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "memory": 64e9}},
        {"Alive": True, "Resources": {}},
    ]
    assert needs(2, 500_000_000, True) == {"CPU": 2, "memory": 3e9, "GPU": 1}
    assert fitting_actors(nodes, None, 99, needs(1, 500_000_000, False)) == 3 + 2
    assert fitting_actors(nodes, None, 99, needs(1, 500_000_000, True)) == 1
    assert fitting_actors(nodes, 4, 99, needs(1, 0, False)) == 4 and fitting_actors(nodes, None, 2, {"CPU": 1}) == 2
    with pytest.raises(UserError, match=r"no host of the cluster has room for one worker \(CPU 16"):
        fitting_actors(nodes, None, 9, needs(16, 0, False))


class Scripted:
    """A crew whose workers say what they are told to, and wait their turn."""

    again = 1

    def __init__(self, scripts: list[list[object]]) -> None:
        self.scripts, self.sent = scripts, []

    def start(self):
        crew, script = self, self.scripts.pop(0)

        class Worker:
            part: Part | None = None
            ready = False

            def send(self, jobs):
                crew.sent.append([(job.source.name, job.force) for job in jobs])

            def receive(self):
                said = script.pop(0)
                if isinstance(said, Died):
                    raise said
                self.ready = True
                return said

            def end(self):
                pass

        return Worker()

    def wait(self, workers):
        return workers[:1]


def test_a_part_is_tried_whole_before_it_is_tried_file_by_file(tmp_path: Path):
    jobs = [Job(Path(f"{name}.png"), tmp_path / f"{name}.png") for name in "abc"]
    done = [("done", number, Outcome(job)) for number, job in enumerate(jobs)]
    crew = Scripted([
        [("end",), done[0], Died("host")],
        [("end",), done[0], done[1], Died("host")],  # a is done once more, and told of once
        [("end",), ("done", 0, Outcome(jobs[2])), ("end",)],
    ])  # fmt: skip
    outcomes = list(share_out(crew, [jobs], lambda *_: None, 1))
    assert [(number, outcome.job) for number, outcome in outcomes] == list(enumerate(jobs))
    assert not any(outcome.error for _, outcome in outcomes)
    whole = [(f"{name}.png", False) for name in "abc"]
    assert crew.sent == [whole, [(name, True) for name, _ in whole], [("c.png", True)]]


def test_a_file_that_ends_every_worker_is_named(tmp_path: Path):
    jobs = [Job(Path(f"{name}.png"), tmp_path / f"{name}.png") for name in "ab"]
    fine = [("end",), ("done", 0, Outcome(jobs[1])), ("end",)]
    crew = Scripted([[("end",), Died("host")], [("end",), Died("host")], [("end",), Died("signal 9")], fine])
    outcomes = dict(share_out(crew, [jobs], lambda *_: None, 1))
    assert outcomes[0].error == "a.png: the process that translated it died (signal 9); memory?"
    assert outcomes[1].error is None and len(crew.sent) == 4


def test_names_of_files_elsewhere(tmp_path: Path):
    pytest.importorskip("upath")
    folder = write_pictures(tmp_path / "in", 2)
    (folder / "0.png").rename(folder / "1.jpg")
    (folder / ".hidden.png").touch()
    plan = elsewhere.plan_jobs([f"file://{folder}"], "memory://out", compare=True)
    assert [str(job.source).rpartition("/")[2] for job in plan] == ["1.jpg", "1.png"]
    assert [str(job.target) for job in plan] == ["memory://out/1.jpg.png", "memory://out/1.png.png"]
    assert str(plan[0].comparison) == "memory://out/1.jpg-compare.png" and cut(plan) == [[0, 1]]
    with pytest.raises(UserError, match="the output is a folder"):
        elsewhere.plan_jobs([f"file://{folder}"], "memory://out.png")
    with pytest.raises(UserError, match="no pictures in this folder"):
        elsewhere.plan_jobs([f"file://{tmp_path}"], "memory://out")
    with pytest.raises(UserError, match=r"nosuch://x.*scale"):
        elsewhere.plan_jobs(["nosuch://x"], "memory://out")
    options = argparse.Namespace(inputs=["s3://bucket/in"], output="out", ray=None)
    with pytest.raises(UserError, match="s3://bucket/in: what lies elsewhere is translated by workers of Ray"):
        command.elsewhere(options)
