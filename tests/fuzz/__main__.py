"""``python -m tests.fuzz``: damaged files of every kind through the command line, and runs that are killed.

No damaged file may end in a traceback, take longer than 20 s or more than 4 GB, or end the process; a killed run that
is started again must end with the bytes of one that nobody killed. Not part of ``make test``.

    .venv/bin/python -m tests.fuzz                    # a little of everything, minutes
    .venv/bin/python -m tests.fuzz --full             # 1,000 pictures and containers, 300 of the others, 50 kills each
    .venv/bin/python -m tests.fuzz pictures --count 200 --seed 7
"""

import argparse
import json
import resource
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.damage import Part, damage
from tests.fuzz.kills import kill_folder, kill_training

PARTS = ("pictures", "configs", "checkpoints", "vocabularies", "redraws", "folder", "training")
FULL = {"pictures": 1000, "folder": 50, "training": 50}
FULL_ELSE, LITTLE = 300, 20


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


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
