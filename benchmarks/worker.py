"""The process of one part of a benchmark: ``python -m benchmarks.worker NAME CASE SETTINGS FILE``; see the runner."""

import json
import os
import sys
from importlib import import_module
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Run one case, or all of a benchmark where the case is empty, and write its measures to a file."""
    name, case, settings_json, output = arguments
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
    import torch

    from benchmarks.results import Settings, as_json

    torch.set_num_threads(1)
    settings = Settings(**json.loads(settings_json))
    benchmark = import_module(f"benchmarks.{name}")
    chosen = [case] if case else benchmark.cases(settings)
    measures = [measure for each in chosen for measure in benchmark.run(each, settings)]
    Path(output).write_text(json.dumps(as_json(measures)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
