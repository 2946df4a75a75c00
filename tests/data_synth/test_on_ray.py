"""Rendering on a local Ray: the bytes of one process, whoever dies on the way."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from data_synth import build as build_module
from data_synth import on_ray
from data_synth.build import _make_shard, build
from data_synth.cli import main
from data_synth.errors import UserError
from tests.data_synth.test_build import OPTIONS, TEXTS, _bytes

pytest.importorskip("ray")


def die_in_the_middle(task, progress=None) -> Counter[str]:
    """Makes shards; the first worker that comes to the second one is killed while it is at it."""
    mark = task.path.parent.parent / "killed"
    if task.first == 4 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    counts = _make_shard(task)
    counts[f"process {os.getpid()}"] += 1
    return counts


def die_always(task, progress=None) -> Counter[str]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def refuse(task, progress=None) -> Counter[str]:
    raise UserError(f"{task.path.name}: no")


def test_a_killed_workers_shard_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    build(TEXTS, OPTIONS, tmp_path / "one", quiet=True)
    monkeypatch.setattr(build_module, "_make_shard", die_in_the_middle)
    summary = build(TEXTS, OPTIONS, tmp_path / "ray", workers=2, ray="", quiet=True)
    assert (tmp_path / "ray" / "killed").is_file()
    (tmp_path / "ray" / "killed").unlink()
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "ray")
    assert summary.counts["asked"] == 10 and summary.shards == 3
    made = {name: count for name, count in summary.counts.items() if name.startswith("process")}
    assert sum(made.values()) == 3 and f"process {os.getpid()}" not in made
    # What is there is not made again, and needs no cluster.
    monkeypatch.setattr(build_module, "make_on_ray", None)
    assert build(TEXTS, OPTIONS, tmp_path / "ray", ray="", quiet=True).shards_found == 3


def test_what_cannot_be_made_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(on_ray, "DEATHS", 1)
    monkeypatch.setattr(build_module, "_make_shard", die_always)
    with pytest.raises(UserError, match=r"train-00000-of-00001.parquet: 2 workers died over it \(WorkerCrashedError\)"):
        build(TEXTS[:2], OPTIONS, tmp_path / "dead", workers=1, ray="", quiet=True)
    assert list((tmp_path / "dead" / "data").iterdir()) == []


def test_mistakes_of_tasks_and_hosts_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    with pytest.raises(UserError, match="this machine with Pillow 0 and FreeType 0: install the same"):
        on_ray._checked(refuse, None, ("Pillow 0", "FreeType 0"))
    monkeypatch.setattr(build_module, "_make_shard", refuse)
    command = [str(tmp_path), "--count", "1", "--size", "64x256", "--workers", "1", "--quiet"]
    assert main([*command, "--ray"]) == 2
    assert capsys.readouterr().err == "error: train-00000-of-00001.parquet: no\n"
    assert main([*command, "--ray", "127.0.0.1:1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --ray 127.0.0.1:1: no cluster") and error.count("\n") == 1


def test_few_tasks_wait(monkeypatch: pytest.MonkeyPatch):
    """The driver reads texts of a few shards ahead, not of all."""

    class Fake:
        """What is used of Ray, for one core that does tasks in order."""

        exceptions = type("E", (), {"RayTaskError": KeyError, "RayError": KeyError})

        def remote(self, **options):
            return lambda function: type("R", (), {"remote": staticmethod(lambda *a: function(*a))})

        def cluster_resources(self):
            return {"CPU": 1.0}

        def wait(self, running, num_returns):
            return running[:1], running[1:]

        def get(self, reference):
            return reference

    from contextlib import nullcontext

    monkeypatch.setattr(on_ray, "cluster", lambda *a: nullcontext(Fake()))
    taken: list[int] = []

    class Tasks:
        def __iter__(self):
            for number in range(10):
                taken.append(number)
                yield number

    stream = on_ray.make_on_ray(Tasks(), lambda task: task, "", 1)
    assert next(stream) == 0 and taken == [0, 1]
    assert list(stream) == list(range(1, 10))
