"""``python -m tests.fuzz``: damaged files of every kind through the command line, and runs that are killed.

No damaged file may end in a traceback, take longer than 20 s or more than 4 GB, or end the process; a killed run that
is started again must end with the bytes of one that nobody killed. Not part of ``make test``.

    .venv/bin/python -m tests.fuzz                    # a little of everything, minutes
    .venv/bin/python -m tests.fuzz --full             # 1,000 pictures and containers, 300 of the others, 50 kills each
    .venv/bin/python -m tests.fuzz pictures --count 200 --seed 7
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
SECONDS, BYTES = 20.0, 4e9  # of one damaged file, at most
PARTS = ("pictures", "configs", "checkpoints", "vocabularies", "redraws", "folder", "training")
FULL = {"pictures": 1000, "folder": 50, "training": 50}
FULL_ELSE, LITTLE = 300, 20


@dataclass
class Part:
    """What became of one kind.

    Attributes:
        statuses: how often the command ended with each.
        failures: what should not have been, one line each.
        slowest, largest: seconds of a file, and GB that the process took at most.
    """

    count: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    largest: float = 0.0


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for, and write the figures; returns 1 where something should not have been."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which of {', '.join(PARTS)} (all)")
    parser.add_argument("--count", type=int, help=f"files, or kills, of each part ({LITTLE})")
    parser.add_argument("--full", action="store_true", help="as many as in docs/reliability.md")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("out/fuzz.json"), metavar="FILE")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"{unknown.pop()!r}: there are {', '.join(PARTS)}")
    found: dict[str, Part] = {}
    for name in options.parts or PARTS:
        count = options.count or (FULL.get(name, FULL_ELSE) if options.full else LITTLE)
        with tempfile.TemporaryDirectory() as folder:
            if name == "folder":
                found[name] = kill_folder(Path(folder), count, options.seed)
            elif name == "training":
                found[name] = kill_training(Path(folder), count, options.seed)
            else:
                found[name] = damage(name, Path(folder), count, options.seed)
        part = found[name]
        told = ", ".join(f"{status}: {number}" for status, number in sorted(part.statuses.items()))
        print(f"{name}: {part.count}, {len(part.failures)} failed ({told}); slowest {part.slowest:.1f} s, "
              f"largest {part.largest:.2f} GB", flush=True)  # fmt: skip
        for failure in part.failures[:20]:
            print(f"  {failure}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    record = {"seed": options.seed, "parts": {name: asdict(part) for name, part in found.items()}}
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    return int(any(part.failures for part in found.values()))


# --- damaged files ----------------------------------------------------------------------------------------------------


def damage(name: str, folder: Path, count: int, seed: int) -> Part:
    """So many damaged files of a kind, one after another through a process that is replaced where one ends it."""
    part, child = Part(count), _Child(name, folder)
    statuses: Counter[str] = Counter()
    for number in range(count):
        answer = child.ask(seed * 1_000_003 + number)
        if answer is None:
            part.failures.append(f"{number}: {child.died()}")
            child = _Child(name, folder)
            statuses["died"] += 1
            continue
        part.slowest, part.largest = max(part.slowest, answer["seconds"]), max(part.largest, answer["bytes"] / 1e9)
        statuses[str(answer["status"])] += 1
        if answer["problem"]:
            part.failures.append(f"{number}: {answer['problem']}")
    child.end()
    part.statuses = dict(statuses)
    return part


class _Child:
    """The process in which commands run."""

    def __init__(self, name: str, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, name, folder), daemon=True)
        self.process.start()
        theirs.close()
        assert self.pipe.recv() == "ready"

    def ask(self, seed: int) -> dict[str, Any] | None:
        """What became of the file of a seed; None where the process is gone or does not come back."""
        self.pipe.send(seed)
        if not self.pipe.poll(3 * SECONDS):
            self.process.kill()
            return None
        try:
            return self.pipe.recv()
        except EOFError:
            return None

    def died(self) -> str:
        self.process.join()
        return f"the process ended with {self.process.exitcode}"

    def end(self) -> None:
        self.pipe.close()
        self.process.join(10)


def _serve(pipe: Any, name: str, folder: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    kind = KINDS[name](folder / str(os.getpid()))
    pipe.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            chance = random.Random(pipe.recv())
            arguments = kind(chance)
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            out, err = io.StringIO(), io.StringIO()
            started = time.perf_counter()
            status, problem = _run(arguments, out, err)
            seconds = time.perf_counter() - started
            size = _peak()
            if not problem and seconds > SECONDS:
                problem = f"took {seconds:.0f} s: {arguments}"
            if not problem and size > BYTES:
                problem = f"took {size / 1e9:.1f} GB: {arguments}"
            pipe.send({"status": status, "problem": problem, "seconds": seconds, "bytes": size})


def _run(arguments: list[str], out: io.StringIO, err: io.StringIO) -> tuple[int, str]:
    from translatotron_v import cli

    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(arguments)
        except BaseException:  # what a user would see as a traceback
            return -1, traceback.format_exc(limit=-3).replace("\n", " | ")
    lines = [line for line in err.getvalue().splitlines() if line]
    odd = [line for line in lines if line.split(":")[0] not in ("error", "warning", "skipped", "note")]
    odd = [
        line for line in odd if not line.endswith(("translated", "exist already")) and "pictures translated" not in line
    ]
    if status not in (0, 1, 2):
        return status, f"status {status}: {lines}"
    if status and not any(line.startswith("error: ") for line in lines):
        return status, f"status {status} without a reason: {lines}"
    return status, f"said: {odd[0]}" if odd else ""


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed, cut, repeated, moved or put in, here and there."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        place = chance.randrange(len(data) or 1)
        length = min(chance.choice((1, 2, 4, 16, 256)), len(data) - place)
        kind = chance.randrange(7)
        if kind == 0:
            data[place : place + length] = chance.randbytes(length)
        elif kind == 1 and chance.random() < 0.5:
            del data[place:]
        elif kind == 2:
            del data[place : place + length]
        elif kind == 3:
            data[place:place] = data[place : place + length] * chance.choice((1, 2, 50))
        elif kind == 4:
            data[place : place + length] = bytes([chance.choice((0, 255, 127))]) * length
        elif kind == 5:
            data[place:place] = chance.randbytes(length)
        elif data:
            head = chance.randrange(min(len(data), 64))
            data[head] ^= 1 << chance.randrange(8)
    return bytes(data)


def mutate_values(value: Any, chance: random.Random) -> Any:
    """JSON values with one of them changed for another of any kind, left out, or put somewhere else."""
    odd = [None, True, -1, 0, 1e300, float("nan"), 2**70, "", "x" * 5000, "\ud800", [], {}, [[]], {"": 0}, [1] * 200]
    if isinstance(value, dict) and value and chance.random() < 0.9:
        name = chance.choice(list(value))
        if chance.random() < 0.1:
            return {key: one for key, one in value.items() if key != name}
        return value | {name: mutate_values(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        place = chance.randrange(len(value))
        if chance.random() < 0.1:
            return value[:place] + value[place + 1 :]
        return [*value[:place], mutate_values(value[place], chance), *value[place + 1 :]]
    if isinstance(value, int | float) and not isinstance(value, bool) and chance.random() < 0.6:
        return value * chance.choice((-1, 0, 0.5, 3, 1000)) + chance.choice((0, 1))
    return chance.choice(odd)


class _Files:
    """A folder of whole files, of which one at a time is damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = folder / "whole"
        self.whole.mkdir(parents=True)

    def fresh(self) -> Path:
        """An empty folder."""
        place = self.folder / "case"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place


class Pictures(_Files):
    """Pictures, animations, PDF and archives through `translate`, with a translator that mirrors what it is given."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from tests.inference.fakes import fake_translator
        from translatotron_v.commands import translate

        translate.load = lambda options: fake_translator()
        page = Image.new("RGB", (90, 40), "white")
        ImageDraw.Draw(page).text((5, 10), "Ein Hund", fill="black")
        frames = [page, page.rotate(180), page.resize((60, 50))]
        for name in ("a.png", "a.jpg", "a.gif", "a.webp", "a.bmp", "a.tif", "a.avif"):
            page.save(self.whole / name)
        for name, mode in (("p.png", "P"), ("l.png", "LA"), ("c.jpg", "CMYK"), ("f.tif", "F"), ("i.png", "I;16")):
            page.convert("L").convert(mode).save(self.whole / name)
        exif = Image.Exif()
        exif[0x0112] = 6
        page.save(self.whole / "e.jpg", exif=exif, dpi=(300, 300))
        for name in ("film.gif", "film.webp", "film.png", "pages.tif", "pages.pdf"):
            several = frames if name.startswith("pages") else frames[:2]
            page.save(self.whole / name, save_all=True, append_images=several[1:])
        for name in ("comic.cbz", "all.zip"):
            with zipfile.ZipFile(self.whole / name, "w", zipfile.ZIP_DEFLATED) as archive:
                for source in ("a.png", "a.jpg", "film.gif"):
                    archive.write(self.whole / source, f"pages/{source}")

    def __call__(self, chance: random.Random) -> list[str]:
        """The command of one case."""
        source = chance.choice(sorted(self.whole.iterdir()))
        place = self.fresh()
        name = source.name if chance.random() < 0.9 else chance.choice(sorted(self.whole.iterdir())).name
        (place / name).write_bytes(mutate(source.read_bytes(), chance))
        return ["translate", str(place / name), "-o", str(place / "out"), "--dpi", "72", "--json"]


class Configs(_Files):
    """Configurations through `info`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for number, source in enumerate(sorted((ROOT / "configs").rglob("*.yaml"))):
            if b"paper" not in source.read_bytes():
                shutil.copy(source, self.whole / f"{number:02}-{source.name}")

    def __call__(self, chance: random.Random) -> list[str]:
        """The command of one case."""
        import yaml

        source = chance.choice(sorted(self.whole.iterdir()))
        path = self.fresh() / "config.yaml"
        if chance.random() < 0.5:
            path.write_bytes(mutate(source.read_bytes(), chance))
        else:
            values = mutate_values(yaml.safe_load(source.read_text()), chance)
            path.write_text(yaml.safe_dump(values), encoding="utf-8", errors="replace")
        return ["info", str(path)]


class Checkpoints(_Files):
    """Checkpoints of a small model, one of their files damaged, through `translate`."""

    parts = ("*.safetensors", "*.json", "*.yaml")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from tests.small import save_small, small

        save_small(self.whole / "run", small())
        Image.new("L", (64, 16), 255).save(self.whole / "a.png")

    def __call__(self, chance: random.Random) -> list[str]:
        """The command of one case."""
        place = self.fresh()
        shutil.copytree(self.whole / "run", place / "run")
        path = chance.choice(sorted(path for part in self.parts for path in (place / "run").glob(part)))
        self.damage(path, chance)
        arguments = ["translate", str(self.whole / "a.png"), "-o", str(place / "out.png"), "--device", "cpu"]
        return [*arguments, "--weights", str(place / "run")]

    def damage(self, path: Path, chance: random.Random) -> None:
        """Change a file."""
        content = path.read_bytes()
        if path.suffix == ".json" and chance.random() < 0.7:
            path.write_text(json.dumps(mutate_values(json.loads(content), chance)))
        else:
            path.write_bytes(mutate(content, chance))


class Vocabularies(Checkpoints):
    """Of such checkpoints the vocabulary."""

    parts = ("vocabulary.json",)


class Redraws(_Files):
    """The JSON of a page through `redraw`, with a fake in place of what draws."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from tests.inference.test_corrections import Writer
        from tests.page.pages import render
        from translatotron_v.commands import redraw, translate
        from translatotron_v.inference import corrections, whole_pages

        writer = Writer()
        for module in (whole_pages, corrections):
            module.read_paragraphs = writer.reads  # type: ignore[attr-defined,assignment]
            module.translate_paragraphs = writer.writes  # type: ignore[attr-defined,assignment]
        translator = _page_translator()
        redraw.load = translate.load = lambda options: translator
        Image.fromarray(render(20).pixels).save(self.whole / "page.png")
        arguments = ["translate", str(self.whole / "page.png"), "-o", str(self.whole / "out.png"), "--save-clean"]
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            from translatotron_v import cli

            assert cli.main([*arguments, "--json"]) == 0
        self.record = json.loads(out.getvalue())

    def __call__(self, chance: random.Random) -> list[str]:
        """The command of one case."""
        place = self.fresh()
        path = place / "page.json"
        record = self.record
        if chance.random() < 0.7:
            blocks = list(record["blocks"])
            number = chance.randrange(len(blocks))
            blocks[number] = mutate_values(blocks[number] | {"text": "The cat sleeps.", "leave": False}, chance)
            record = record | {"blocks": blocks}
            if chance.random() < 0.3:
                record = mutate_values(record, chance)
            path.write_text(json.dumps(record))
        else:
            blocks = [block | {"text": "The cat sleeps."} for block in record["blocks"]]
            path.write_bytes(mutate(json.dumps(record | {"blocks": blocks}).encode(), chance))
        return ["redraw", str(path), "-o", str(place / "new.png")]


def _page_translator() -> Any:
    from types import SimpleNamespace

    from torch import nn

    from translatotron_v.config import Config
    from translatotron_v.inference.loaded import LoadedTranslator
    from translatotron_v.inference.pipeline import Translator
    from translatotron_v.inference.whole_pages import EndToEnd, PageTranslator
    from translatotron_v.ocr import LineDetector

    loaded = LoadedTranslator(nn.Linear(1, 1), SimpleNamespace(), Config(), Path())  # type: ignore[arg-type]
    loaded.config.model.fonts = ["DejaVuSans", "DejaVuSerif"]
    return Translator(loaded, pages=PageTranslator(EndToEnd(loaded), None, LineDetector()))


KINDS: dict[str, Callable[[Path], Callable[[random.Random], list[str]]]] = {
    "pictures": Pictures,
    "configs": Configs,
    "checkpoints": Checkpoints,
    "vocabularies": Vocabularies,
    "redraws": Redraws,
}


# --- killed runs ------------------------------------------------------------------------------------------------------

# The command line with a translator that takes a hundredth of a second, in a process of its own; workers import it.
SLOW = """\
import sys
sys.path.insert(0, {root!r})
from tests.fuzz import slow_command
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
    kills = wholes = 0
    while kills < count:
        process = start("cut")
        try:
            # in one case of four right away, else when it is at work
            if chance.random() < 0.75:
                _wait_for_more(folder / "cut", process)
                time.sleep(chance.uniform(0, 0.15))
            else:
                time.sleep(chance.uniform(0, needed))
            if process.poll() is None:
                process.kill()
                kills += 1
        finally:
            _, said = process.communicate()
        if process.returncode not in (0, -signal.SIGKILL):
            part.failures.append(f"after {kills} kills: status {process.returncode}: {said.decode()[-200:]}")
            break
        out = folder / "cut"
        done = process.returncode == 0 or ((out / "report.json").is_file() and not (out / ".report.jsonl").exists())
        if done or kills == count:
            if not done and (said := _failed(start("cut"))):
                part.failures.append(f"the last run failed: {said}")
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
    kills = wholes = 0
    while kills < count:
        process = start("cut")
        before = list_checkpoints(folder / "cut") if (folder / "cut").is_dir() else []
        while process.poll() is None and (not (folder / "cut").is_dir() or list_checkpoints(folder / "cut") == before):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        if process.poll() is None:
            process.kill()
            kills += 1
        _, said = process.communicate()
        if process.returncode not in (0, -signal.SIGKILL):
            part.failures.append(f"after {kills} kills: status {process.returncode}: {said.decode()[-200:]}")
            break
        if process.returncode == 0 or kills == count:
            if process.returncode and (said := _failed(start("cut"))):
                part.failures.append(f"the last run failed: {said}")
            wholes += 1
            if weights("cut") != weights("one"):
                part.failures.append(f"after {kills} kills: other weights")
            shutil.rmtree(folder / "cut")
    part.statuses = {"whole runs": wholes}
    return part


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
