"""Runs that are killed, and started again until they are whole."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from tests.fuzz.damage import Part

ROOT = Path(__file__).resolve().parents[2]

# The command line with a translator that takes a hundredth of a second, in a process of its own; workers import it.
SLOW = """\
import sys
sys.path.insert(0, {root!r})
from tests.fuzz.kills import slow_command
if __name__ == "__main__":
    sys.exit(slow_command())
"""


def slow_command() -> int:
    """`translatotron-v` with a slow fake in place of the model, and parts of two files."""
    from translatotron_v import cli
    from translatotron_v.commands import translate
    from translatotron_v.inference import parts

    translate.load = load_slow
    parts.BYTES = 400
    return cli.main(sys.argv[1:])


def load_slow(options: object) -> Any:
    """See `slow_command`."""
    from tests.inference.fakes import fake_translator
    from tests.inference.test_workers import Slow

    return fake_translator(Slow())


def kill_folder(folder: Path, count: int, seed: int) -> Part:
    """A folder run with two workers, killed at random moments and started again until it is whole, again and again."""
    chance, part = random.Random(seed), Part(count)
    (folder / "slow.py").write_text(SLOW.format(root=str(ROOT)))
    (folder / "in").mkdir()
    for number in range(60):
        page = Image.new("L", (60 + number, 16), 255)
        page.putpixel((number, 5), 0)
        page.save(folder / "in" / f"{number}.png")

    def start(out: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "slow.py", "translate", "in", "-o", out, "--compare", "--workers", "2"]
        return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def contents(out: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes().replace(b'"one/', b'"cut/') for path in (folder / out).iterdir()}

    began = time.perf_counter()
    if start("one").wait():
        part.failures.append("the undisturbed run failed")
        return part
    needed = time.perf_counter() - began

    def wait(process: "subprocess.Popen[bytes]") -> None:
        """In one case of four right away, else until it is at work."""
        if chance.random() < 0.75:
            _wait_for_more(folder / "cut", process)
            time.sleep(chance.uniform(0, 0.15))
        else:
            time.sleep(chance.uniform(0, needed))

    return _kill_often(part, folder, start, wait, lambda: is_done(folder / "cut"), contents)


def is_done(out: Path) -> bool:
    """Whether a run has written its report and let go of its journal, after which the same command is a new run."""
    from translatotron_v.commands.journal import JOURNAL

    return (out / "report.json").is_file() and not (out / JOURNAL).exists()


def _kill_often(
    part: Part,
    folder: Path,
    start: Callable[[str], "subprocess.Popen[bytes]"],
    wait: Callable[["subprocess.Popen[bytes]"], None],
    whole: Callable[[], bool],
    contents: Callable[[str], dict[str, bytes]],
) -> Part:
    """Kill the run ``cut`` and start it again until it is whole, which must be as ``one`` is; again and again.

    Args:
        part: what became of it, of so many kills as it says.
        start: begins a run by its name; ``wait`` ends where it is to be killed.
        whole: whether a killed run had ended all the same; ``contents`` are what two runs must have alike.
    """
    kills = wholes = 0
    while kills < part.count:
        process = start("cut")
        try:
            wait(process)
            if process.poll() is None:
                process.kill()
                kills += 1
        finally:
            _, said = process.communicate()
        if process.returncode not in (0, -signal.SIGKILL):
            part.failures.append(f"after {kills} kills: status {process.returncode}: {said.decode()[-200:]}")
            break
        done = process.returncode == 0 or whole()
        if done or kills == part.count:
            if not done and (last := _failed(start("cut"))):
                part.failures.append(f"the last run failed: {last}")
            wholes += 1
            if contents("cut") != contents("one"):
                part.failures.append(f"after {kills} kills: other bytes")
            shutil.rmtree(folder / "cut")
    part.statuses = {"whole runs": wholes}
    return part


def _failed(process: "subprocess.Popen[bytes]") -> str:
    """Why a run that nobody kills fails; "" where it does not."""
    _, said = process.communicate()
    return f"status {process.returncode}: {said.decode()[-200:]}" if process.returncode else ""


def _wait_for_more(out: Path, process: "subprocess.Popen[bytes]") -> None:
    """Until a run writes something that was not there."""
    before = set(os.listdir(out)) if out.is_dir() else set()
    while process.poll() is None and not (out.is_dir() and set(os.listdir(out)) - before):
        time.sleep(0.01)


def kill_training(folder: Path, count: int, seed: int) -> Part:
    """A training run, killed at random moments and started again until it is whole, again and again."""
    from translatotron_v.checkpoint import list_checkpoints

    chance, part = random.Random(seed), Part(count)
    config = {"steps": 400, "checkpoint_every": 5, "evaluate_every": 150, "ema": 0.9, "accumulate": 2, "device": "cpu"}
    toy = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "training" / "toy.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def start(run: str) -> subprocess.Popen[bytes]:
        command = [*toy, str(folder / run), json.dumps(config), "--adversary"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def weights(run: str) -> dict[str, bytes]:
        last = list_checkpoints(folder / run)[-1]
        return {path.name: path.read_bytes() for path in sorted(last.glob("*.safetensors"))}

    if start("one").wait():
        part.failures.append("the undisturbed run failed")
        return part

    def wait(process: "subprocess.Popen[bytes]") -> None:
        before = list_checkpoints(folder / "cut") if (folder / "cut").is_dir() else []
        while process.poll() is None and (not (folder / "cut").is_dir() or list_checkpoints(folder / "cut") == before):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))

    return _kill_often(part, folder, start, wait, lambda: False, weights)
