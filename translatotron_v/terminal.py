"""How a command speaks and ends, whatever its streams are: a pipe that closes, a full disk, a locale without umlauts.

Nothing heavy is imported here: every command line goes through it.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from translatotron_v.errors import UserError

if TYPE_CHECKING:
    from tqdm import tqdm


TORCH_EXTRA = (  # what an installation without PyTorch lacks (pyproject.toml)
    "accelerate", "einops", "fontTools", "matplotlib", "pyarrow", "pymupdf_fonts", "sacrebleu", "safetensors", "scipy",
    "skimage", "tensorboard", "timm", "torch", "torchvision", "vector_quantize_pytorch",
)  # fmt: skip


def guarded(command: Callable[[], int], interrupted: str) -> int:
    """Run a command; what goes wrong through no fault of the code ends in one line on standard error.

    Args:
        command: returns the exit status.
        interrupted: what Ctrl-C says.

    Returns:
        Its status; 1 where a file or stream could not be read or written, 2 for a ``UserError``, 130 interrupted.
    """
    _prepare_streams()
    try:
        try:
            status = command()
        finally:
            sys.stdout.flush()  # a full disk shows here, or else when Python ends
        return status
    except UserError as error:
        return _complain(f"error: {error}", 2)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in TORCH_EXTRA:
            raise
        return _complain(f"error: {package} is not installed: pip install 'translatotron-v[torch]'", 2)
    except KeyboardInterrupt:
        return _complain(interrupted, 130)
    except BrokenPipeError:
        _silence()
        return _complain("error: standard output was closed before everything was said", 1)
    except OSError as error:
        if error.filename is None:  # a stream
            _silence()
        place = "standard output" if error.filename is None else readable(os.fspath(error.filename))
        return _complain(f"error: {place}: {error.strerror or error}", 1)
    except MemoryError:
        return _complain("error: not enough memory", 1)


def print_json(record: dict[str, Any]) -> None:
    """One JSON object as a line of UTF-8 on standard output, in any locale."""
    line = json.dumps(readable_values(record), ensure_ascii=False)
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # replaced by something that takes text alone
        print(line, flush=True)
        return
    sys.stdout.flush()
    buffer.write(line.encode() + b"\n")
    buffer.flush()


def readable(text: str | bytes) -> str:
    r"""Text that UTF-8 can hold: bytes of a file's name that are not UTF-8 become ``\xff``."""
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return content.decode("utf-8", "backslashreplace")


def progress(total: int, label: str, quiet: bool = False, initial: int = 0, unit: str = "picture") -> "tqdm[Any]":
    """A bar with the time that is left; without a terminal a line every half minute."""
    from tqdm import tqdm

    interval = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm(total=total, desc=label, unit=unit, disable=quiet, initial=initial, mininterval=interval)


def readable_values(value: Any) -> Any:
    """JSON values that UTF-8 can hold, see `readable`."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:  # lone surrogates: Python's way of holding such bytes
            return readable(value)
        return value
    if isinstance(value, dict):
        return {readable_values(key): readable_values(item) for key, item in value.items()}
    return [readable_values(item) for item in value] if isinstance(value, list | tuple) else value


def _prepare_streams() -> None:
    """Both streams exist, and what they cannot encode is escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started the command
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _silence() -> None:
    """Let Python's own flush at the end go nowhere: it would fail again, with a status of its own."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _complain(line: str, status: int) -> int:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr)
    return status
