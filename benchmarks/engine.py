"""One engine in a process of its own: ``python -m benchmarks.engine ENGINE WEIGHTS BATCH REPEATS PICTURE ...``.

Prints as JSON CPU-seconds a picture, the best of some runs after a first one, and the peak of resident memory in bytes.
Nothing is imported here that the engine does not need itself.
"""

import json
import os
import sys
import time
from pathlib import Path


def main(engine: str, weights: str, batch: str, repeats: str, *pictures: str) -> int:
    """Translate the pictures again and again."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from translatotron_v.inference.pipeline import Translator

    translator = Translator.from_pretrained(weights, device="cpu", threads=1, engine=engine)
    seconds = []
    for _ in range(int(repeats) + 1):
        started = time.process_time()
        translator.translate(list(pictures), batch_size=int(batch))
        seconds.append((time.process_time() - started) / len(pictures))
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    print(json.dumps({"seconds": min(seconds[1:]), "peak": peak}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
