"""Load on the service: `python -m benchmarks.serving [--clients 16] [--seconds 300]`.

Clients send mixed pictures, each its next when the last has come back, to a service in a process of its own on the
loopback interface. What counts: no answer but 200 and 429, memory that does not grow once it is warm, and at least as
many pictures a second as the same pictures take as a folder, on the same cores, in the same run. CPU-seconds a picture
say the same where other work shares the cores.
"""

import argparse
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.results import Measure, Settings, record, table
from translatotron_v.evaluation.report import as_json, write_whole
from translatotron_v.shipped import shipped_folder

START = "from translatotron_v.cli import main; raise SystemExit(main())"
FOLDER = """
import sys, time
from pathlib import Path
from translatotron_v.inference.files import translate_jobs
from translatotron_v.inference.jobs import plan_jobs
from translatotron_v.inference.pipeline import Translator
translator = Translator.from_pretrained("small", device="cpu", threads=1)
source, target = sys.argv[1:]
translator(sorted(Path(source).iterdir())[0])
start, used = time.monotonic(), time.process_time()
done = list(translate_jobs(translator, plan_jobs([source], target)))
assert all(outcome.error is None for outcome in done), [outcome.error for outcome in done]
print(time.monotonic() - start, time.process_time() - used, len(done))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the load; 1 where an answer was neither 200 nor 429."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.split("\n")[0])
    parser.add_argument("--clients", type=int, default=4, metavar="N")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S")
    parser.add_argument(
        "--limit", action="append", default=[], metavar="NAME=VALUE", help="of the service, as of serve"
    )
    parser.add_argument("--output", type=Path, default=Path("out/serving.json"), metavar="FILE")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_pictures(Path(folder) / "in")
        with serving(options.limit) as (address, process):
            load = Load(address, process, [path.read_bytes() for path in paths])
            load.run(options.clients, options.seconds)
        command = [sys.executable, "-c", FOLDER, str(Path(folder) / "in"), str(Path(folder) / "out")]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    seconds, used, count = map(float, answer.stdout.split()[-3:])
    measures = load.measures(count / seconds, used / count, options)
    print(table({"serving": measures}))
    values = record({"serving": measures}, Settings(), time.perf_counter() - started, {})
    write_whole(options.output, as_json(values).encode())
    return 1 if load.wrong else 0


def environment() -> dict[str, str]:
    """One thread for each process that translates."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


def write_pictures(folder: Path) -> list[Path]:
    """The example pages as they are, and some of them in other formats, sizes and modes."""
    folder.mkdir(parents=True)
    pages = sorted(shipped_folder("examples").glob("pages/*.jpg"))
    for page in pages:
        shutil.copy(page, folder)
    for number, (page, kind) in enumerate(zip(pages, (".png", ".webp", ".tif", ".bmp", ".gif"), strict=False)):
        with Image.open(page) as image:
            small = image.resize((image.width * (3 + number) // 4, image.height * (3 + number) // 4))
            small.convert("L" if number % 2 else "RGB").save(folder / f"other{number}{kind}")
    return sorted(folder.iterdir())


@contextmanager
def serving(limits: Sequence[str] = ()) -> Iterator[tuple[str, psutil.Process]]:
    """A service on a free port of the loopback interface."""
    command = [sys.executable, "-c", START, "serve", "--port", "0", "--device", "cpu"]
    command += [part for limit in limits for part in ("--limit", limit)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"running on (http://[\d.:]+)", line):
                break
        else:
            raise RuntimeError("the service did not start")
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield found[1], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


class Load:
    """Clients of a service, and what they were told."""

    def __init__(self, address: str, process: psutil.Process, pictures: list[bytes]) -> None:
        self.address, self.process, self.pictures = address, process, pictures
        self.statuses: Counter[int] = Counter()
        self.waits: list[float] = []
        self.memory: list[tuple[float, float, int]] = []  # seconds, bytes, pictures so far
        self.seconds = self.used = 0.0  # of the run, and of the service's CPU
        self.batch = 0.0  # pictures, on average

    @property
    def wrong(self) -> int:
        """Answers that were neither 200 nor 429."""
        return sum(count for status, count in self.statuses.items() if status not in (200, 429))

    def run(self, clients: int, seconds: float) -> None:
        """Let them ask, for a while."""
        self._ask(self.pictures[0])  # loads what is loaded late
        self.statuses.clear()
        start, used = time.monotonic(), self._used()
        threads = [threading.Thread(target=self._client, args=(seed, start + seconds)) for seed in range(clients)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.memory.append((time.monotonic() - start, self.process.memory_info().rss, self.statuses[200]))
            print(f"\r{self.memory[-1][0]:.0f} s, {dict(self.statuses)}", end="", file=sys.stderr)
            time.sleep(1)
        print(file=sys.stderr)
        self.seconds, self.used = time.monotonic() - start, self._used() - used
        with urllib.request.urlopen(f"{self.address}/metrics") as answer:
            told = answer.read().decode()
        pictures, batches = (
            float(re.search(rf"^translatotron_batch_pictures_{name} (\S+)$", told, re.MULTILINE)[1])  # type: ignore[index]
            for name in ("sum", "count")
        )
        self.batch = pictures / batches

    def _used(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def _client(self, seed: int, ends: float) -> None:
        draw = random.Random(seed)
        while time.monotonic() < ends:
            start = time.monotonic()
            wait = self._ask(draw.choice(self.pictures))
            if wait:
                time.sleep(min(wait, max(0.0, ends - time.monotonic())))
            else:
                self.waits.append(time.monotonic() - start)

    def _ask(self, picture: bytes) -> float:
        """One picture; seconds after which to come again."""
        try:
            with urllib.request.urlopen(f"{self.address}/translate", data=picture, timeout=600) as answer:
                Image.open(io.BytesIO(answer.read())).load()
                self.statuses[answer.status] += 1
        except urllib.error.HTTPError as error:
            self.statuses[error.code] += 1
            if error.code != 429:
                print(error.code, json.loads(error.read()), file=sys.stderr)
            return float(error.headers.get("Retry-After") or 1)
        except OSError as error:
            self.statuses[0] += 1
            print(error, file=sys.stderr)
        return 0.0

    def measures(self, folder: float, folder_used: float, options: argparse.Namespace) -> list[Measure]:
        """The figures, beside pictures a second and CPU-seconds a picture of folder mode."""
        times, sizes, counts = (np.array(column) for column in zip(*self.memory, strict=True))
        # within a batch memory goes up and down: what is left between batches is the least of each tenth of the time
        low = [min(part, key=lambda at: sizes[at]) for part in np.array_split(np.arange(len(times)), 10)[3:]]
        slope = float(np.polyfit(times[low] / 60, sizes[low] / 1e6, 1)[0])
        each = float(np.polyfit(counts[low] / 100, sizes[low] / 1e6, 1)[0]) if np.ptp(counts[low]) else None
        told_of_memory = f"{sizes[low[0]] / 1e6:.0f} to {sizes[low[-1]] / 1e6:.0f} MB, {max(sizes) / 1e6:.0f} at most"
        served = self.statuses[200] / self.seconds
        name = f"{options.clients} clients, {options.seconds:g} s"
        told = dict(sorted(self.statuses.items()))
        return [
            Measure(f"wrong answers, {name}", self.wrong, "", 0, note=f"statuses {told}"),
            Measure(
                "memory between batches, slope",
                slope,
                "MB/min",
                1.0,
                note=told_of_memory,
                details={"seconds": times.tolist(), "bytes": sizes.tolist(), "pictures": counts.tolist()},
            ),
            Measure("the same", each, "MB per 100 pictures"),
            Measure("pictures a second", served, "/s", folder, at_least=True, note=f"folder mode {folder:.3f} /s"),
            Measure(
                "CPU-seconds a picture",
                self.used / max(1, self.statuses[200]),
                "s",
                folder_used,
                note=f"folder mode {folder_used:.2f} s",
            ),
            Measure("pictures in a batch", self.batch, ""),
            Measure("median wait of a client", float(np.median(self.waits)) if self.waits else None, "s"),
        ]


if __name__ == "__main__":
    sys.exit(main())
