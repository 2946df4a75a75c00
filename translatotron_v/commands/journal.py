"""What becomes of every file of a run into a folder: kept line by line while it goes on, as `report.json` at its end.

A run that is cut off, by Ctrl-C, SIGKILL or a full disk, leaves its journal. The same command finds it there and goes
on: what is recorded and still there is not made again, and `report.json` is that of a run that nothing disturbed.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from translatotron_v.errors import UserError
from translatotron_v.inference.jobs import Job
from translatotron_v.inference.pictures import written
from translatotron_v.terminal import readable_values

REPORT = "report.json"
JOURNAL = ".report.jsonl"


class Journal:
    """The records of a run into one folder.

    Args:
        folder: of the outputs.
        settings: all that decides how outputs look; the journal of a run with others is not gone on with.
        jobs: of the run.
        place: where the journal lies until then, if not in the folder: one that cannot be appended to.

    Raises:
        UserError: another run is writing into the folder.
    """

    def __init__(self, folder: Path, settings: str, jobs: Sequence[Job], place: Path | None = None) -> None:
        self.folder, self.settings = folder, settings
        self.elsewhere, self.place = place is not None, place or folder
        self.records: dict[str, dict[str, Any]] = {}  # by target: lines of the journal
        self.file: TextIO | None = None
        self.length = 0  # bytes of whole lines that a run which was cut off has left
        lines = self._read()
        self.resumed = bool(lines) and lines[0].get("settings") == settings
        if self.resumed:
            self.before = set(lines[0]["before"])
            self.records = {line["target"]: line for line in lines[1:] if "target" in line}
        else:
            self.before = {_text(path) for job in jobs for path in job.outputs if path.exists()}

    def existed(self, job: Job) -> list[bool]:
        """Of each output, whether it was there before the run began, and still is."""
        return [_text(path) in self.before and path.exists() for path in job.outputs]

    def record(self, job: Job) -> dict[str, Any] | None:
        """What the run that was cut off says of a job whose outputs are there; None where it is to be done."""
        line = self.records.get(_text(job.target))
        if line is None or "error" in line["record"] or line["source"] != _stamp(job.source):
            return None
        return line["record"] if all(path.exists() for path in job.outputs) else None

    def begin(self) -> None:
        """Open the journal in the folder, which is made where it is missing; without a place to write it goes without.

        Raises:
            UserError: another run is writing into the folder.
        """
        path = self.place / JOURNAL
        try:
            self.place.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed by `close`
        except OSError:
            return  # of what cannot be written each file says so
        if not _lock(file):
            file.close()
            raise UserError(f"{self.folder}: another run is writing into this folder; wait for it, or end it")
        self.file = file
        with self._writing():
            # The last line may have been cut in the middle. Whatever is killed here: nothing was made without a head.
            file.truncate(self.length if self.resumed else 0)
            if not self.resumed:
                file.write(f"{json.dumps({'settings': self.settings, 'before': sorted(self.before)})}\n")
                file.flush()

    def add(self, job: Job, record: dict[str, Any]) -> None:
        """Keep what became of a job, before the next one is reported."""
        line = {"target": _text(job.target), "source": _stamp(job.source), "record": readable_values(record)}
        self.records[line["target"]] = line
        if self.file is not None:
            with self._writing():
                self.file.write(f"{json.dumps(line)}\n")
                self.file.flush()

    @contextlib.contextmanager
    def _writing(self) -> Any:
        try:
            yield
        except OSError as error:
            print(f"warning: {self.place / JOURNAL}: cannot be written ({error.strerror}); "
                  "a run that is cut off will do some files again", file=sys.stderr)  # fmt: skip
            self.file = None

    def finish(self, records: Iterable[dict[str, Any]], whole: bool) -> None:
        """Write `report.json`.

        Args:
            records: of all files of the run, in order; those with outputs and a reason why these were not made are of
                files that keep what an earlier report says of them.
            whole: nothing is left that the same command would have to do again; else the journal stays.
        """
        if not self.elsewhere and not self.folder.is_dir():
            return
        new = [readable_values(record) for record in records]
        outputs = {output for record in new for output in record.get("outputs", [])}
        old = self._report()
        kept = [one for one in old.values() if not outputs.intersection(one["outputs"])]
        new = [old.get(tuple(record["outputs"]), record) if _existing(record) else record for record in new]
        content = json.dumps({"files": [*kept, *new]}, ensure_ascii=False, indent=1).encode() + b"\n"
        if self.elsewhere:
            (self.folder / REPORT).write_bytes(content)
        else:
            with written(self.folder / REPORT) as file:
                file.write(content)
        if whole and (self.resumed or self.file is not None):  # else it is that of another run, which may go on
            with contextlib.suppress(OSError):
                (self.place / JOURNAL).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the folder; where nothing has been done it is left as it was."""
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.close()
                if not self.records:
                    (self.place / JOURNAL).unlink(missing_ok=True)
                    self.folder.rmdir()  # unless there is something in it
        self.file = None

    def _read(self) -> list[dict[str, Any]]:
        """All lines of a journal, and their length; what follows a line that is no record was cut off."""
        lines: list[dict[str, Any]] = []
        with contextlib.suppress(OSError, ValueError):
            for line in (self.place / JOURNAL).read_bytes().splitlines(keepends=True):
                value = json.loads(line) if line.endswith(b"\n") else None
                if not isinstance(value, dict) or not {"before", "record"} & value.keys():
                    break
                lines.append(value)
                self.length += len(line)
        return lines

    def _report(self) -> dict[tuple[str, ...], dict[str, Any]]:
        """By outputs, the records of an earlier report whose outputs are still there."""
        try:
            files = json.loads((self.folder / REPORT).read_text(encoding="utf-8"))["files"]
            found = {tuple(record["outputs"]): record for record in files if record.get("outputs")}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}
        if self.elsewhere:  # asking for each would take a request each
            return found
        return {outputs: record for outputs, record in found.items() if all(map(os.path.exists, outputs))}


def _existing(record: dict[str, Any]) -> bool:
    return "outputs" in record and ("skip_reason" in record or "error" in record)


def _text(path: Path) -> str:
    return str(readable_values(str(path)))


def _stamp(source: Path) -> list[int]:
    try:
        status = source.stat()
    except OSError:
        return []
    return [status.st_size, int(status.st_mtime_ns)]


def _lock(file: TextIO) -> bool:
    """Keep other runs out until the file is closed, where the system can; whether nobody else has done so."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
