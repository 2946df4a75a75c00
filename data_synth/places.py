"""Where pages are written: a folder of this machine, or a place of fsspec's such as ``s3://bucket/pages``."""

import os
from pathlib import Path
from typing import Any

from data_synth.errors import UserError


def place(name: str | Path) -> Path:
    """A folder as a path; with a protocol, as one of universal_pathlib, which does what pathlib's do.

    Raises:
        UserError: an unknown protocol, or a package that it needs is not installed.
    """
    if "://" not in str(name):
        return Path(name)
    if not isinstance(name, str):
        return name
    try:
        from upath import UPath

        found: Any = UPath(name)
        found.exists()  # loads the file system
    except (ImportError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{name}: {reason}; `pip install 'translatotron-v[scale]'` installs what s3:// needs") from None
    return found


def is_local(path: Path) -> bool:
    """Whether a path is of this machine's own file system."""
    return type(path).__module__.partition(".")[0] == "pathlib"


def put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: here it is renamed from beside, elsewhere it is one request."""
    if not is_local(path):
        path.write_bytes(content)
        return
    aside = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
