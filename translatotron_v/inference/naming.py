"""Names of outputs in a folder: no two of them are the same, on any file system."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

Outputs = Callable[[Path], Sequence[Path]]  # all files that are written where an answer has a given path


def distinct(sources: Sequence[Path], suffixes: Sequence[str], places: Sequence[Path], outputs: Outputs) -> list[Path]:
    """A path for the answer of each source.

    It is the source's name with another extension, `page.png`. Where several sources would be written to one file (also
    on file systems that know no case, or compose accents), each of them takes the first of these that is its own:

    1. its whole name: `page.jpg.png`;
    2. with the folder that it lies in: `scans-page.jpg.png`;
    3. with a number that stands for its whole path: `page.jpg-3f2a9c01.png`.

    Args:
        sources: all different.
        suffixes: of their answers.
        places: the folders that they go to.
        outputs: what is written with an answer, such as its comparison.
    """
    steps = [0] * len(sources)
    while True:
        paths = [
            place / _name(source, suffix, step)
            for source, suffix, place, step in zip(sources, suffixes, places, steps, strict=True)
        ]
        keys = [[_key(output) for output in outputs(path)] for path in paths]
        taken = Counter(key for own in keys for key in set(own))
        again = [step < _LAST and any(taken[key] > 1 for key in own) for step, own in zip(steps, keys, strict=True)]
        if not any(again):
            return paths
        steps = [step + more for step, more in zip(steps, again, strict=True)]


_LAST = 3


def _name(source: Path, suffix: str, step: int) -> str:
    path = os.path.abspath(source)
    if step == 0:
        return f"{source.stem}{suffix}"
    if step == 1:
        return f"{source.name}{suffix}"
    if step == 2:
        return f"{Path(path).parent.name}-{source.name}{suffix}"
    return f"{source.name}-{hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()}{suffix}"


def _key(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()
