"""A checkpoint is a folder that opens with nothing but itself and never runs code.

One safetensors file per module, the text files that describe the model (``config.yaml``, ``vocabulary.json``),
``checkpoint.json``, and for a run that is still going ``resume/``. A checkpoint is written aside and renamed, so that
whatever bears its name is whole: a full disk or a kill leaves the previous one in place.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.errors import UserError, first_line

if TYPE_CHECKING:  # whoever only looks for a checkpoint needs no PyTorch
    import torch
    from torch import Tensor, nn

FORMAT_VERSION = 2  # 1: until November 2026, under older names; conversion.py reads it
INFO_FILE = "checkpoint.json"
CALIBRATION = "calibration.json"  # of a checkpoint whose answers were calibrated: how probable it is that one is right
_STEP_FOLDER = re.compile(r"step-(\d+)")


class CheckpointError(UserError):
    """A checkpoint that cannot be written, or read into this model."""


def save_checkpoint(
    folder: Path,
    modules: "Mapping[str, nn.Module | Mapping[str, Tensor]]",
    files: Mapping[str, str],
    info: Mapping[str, Any],
    resume: Mapping[str, Any] | None = None,
    half: bool = False,
) -> None:
    """Write a checkpoint whole or not at all.

    Args:
        folder: where it will stand; one that is there already is replaced at the very end.
        modules: name -> module (or its tensors), written to ``NAME.safetensors`` in float32 (float64 stays).
        files: name -> text, written as they are.
        info: JSON values for ``checkpoint.json``, which the format version joins.
        resume: name -> tensors (``resume/NAME.safetensors``) or a JSON value (``resume/NAME.json``).
        half: write floating-point weights in half precision.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; what stood there before still does.
    """
    import torch
    from torch import nn

    def contents() -> Iterator[tuple[str, bytes]]:
        for name, module in modules.items():
            tensors = module.state_dict() if isinstance(module, nn.Module) else module
            yield f"{name}.safetensors", _pack(tensors, torch.float16 if half else torch.float32)
        for name, text in files.items():
            yield name, text.encode()
        for name, value in (resume or {}).items():
            if _is_tensors(value):
                yield f"resume/{name}.safetensors", _pack(value, None)
            else:
                yield f"resume/{name}.json", to_json(value)
        yield INFO_FILE, to_json({"format_version": FORMAT_VERSION, **info, "modules": sorted(modules)})

    write_folder(folder, contents())


def write_folder(folder: Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write a checkpoint's files, by name, whole or not at all; one that stands there is replaced at the very end.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; what stood there before still does.
    """
    folder = Path(folder)
    aside = _aside(folder)
    try:
        aside.mkdir(parents=True)
        for name, content in contents:
            _write(aside / name, content)
        _put_in_place(aside, folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"{folder}: cannot write the checkpoint: {reason}; earlier ones are untouched") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def skip_init() -> AbstractContextManager[Any]:
    """A context whose new modules are not filled with random numbers, for weights that are loaded next.

    Filling is most of the time that building a model takes. Buffers that are computed are computed as ever; parameters
    hold whatever the memory held, so every one of them must be loaded (as a strict ``load_module`` sees to).
    """
    from torch import Tensor, nn
    from torch.overrides import TorchFunctionMode

    # What initialisation comes down to, as a TorchFunctionMode sees it; erfinv_ is a step of the truncated normal.
    fills = (
        nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_, Tensor.uniform_, Tensor.normal_, Tensor.erfinv_,
    )  # fmt: skip

    class Skipping(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if func in fills:
                return args[0] if args else kwargs["tensor"]
            return func(*args, **kwargs)

    return Skipping()


def load_module(
    module: "nn.Module", folder: Path, name: str, strict: bool = True, prefix: str = "", without: Collection[str] = ()
) -> None:
    """Fill a module from ``folder/NAME.safetensors``.

    Args:
        module: its parameters and buffers are overwritten in place, keeping their types.
        folder: a checkpoint.
        name: of the file, as the module was called when it was saved.
        strict: every tensor must be there, and no other; otherwise what is there is taken.
        prefix: take only the tensors whose names begin so, and drop that beginning.
        without: tensors that are passed over, as if the file did not hold them.

    Raises:
        CheckpointError: the file is missing or broken, or a tensor is missing, unknown, or of another shape.
    """
    path = Path(folder) / f"{name}.safetensors"
    stored = load_tensors(path)
    if prefix:
        stored = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    stored = {key: value for key, value in stored.items() if key not in without}
    wanted = module.state_dict()
    for key, tensor in wanted.items():
        if key not in stored:
            if strict:
                raise CheckpointError(f"{path}: holds no tensor {prefix + key!r}: it belongs to another model")
        elif stored[key].shape != tensor.shape:
            raise CheckpointError(
                f"{path}: {prefix + key!r} has shape {tuple(stored[key].shape)}, this model wants "
                f"{tuple(tensor.shape)}: use the config.yaml that lies beside the weights"
            )
        elif stored[key].element_size() == 1 and tensor.is_floating_point():  # values in [0, 1], in bytes
            stored[key] = stored[key].to(tensor.dtype) / 255
    unknown = [key for key in stored if key not in wanted]
    if strict and unknown:
        raise CheckpointError(f"{path}: {prefix + unknown[0]!r} has no place in this model: it belongs to another one")
    module.load_state_dict(stored, strict=False)


def load_tensors(path: Path) -> "dict[str, Tensor]":
    """All tensors of a safetensors file, on the CPU; tied ones are filled in again."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        others = sorted(item.stem for item in path.parent.glob("*.safetensors")) if path.parent.is_dir() else []
        hint = f"; there are: {', '.join(others)}" if others else ""
        raise CheckpointError(f"{path}: no such file{hint}")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
            tied = json.loads((file.metadata() or {}).get("tied", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file: {first_line(error)}") from error
    return tensors | {key: tensors[original] for key, original in tied.items()}


def read_info(folder: Path) -> dict[str, Any]:
    """What ``checkpoint.json`` says.

    Raises:
        CheckpointError: the file is missing or broken, or its format version is not the one this program reads.
    """
    info = read_json(Path(folder) / INFO_FILE)
    version = info.get("format_version") if isinstance(info, dict) else None
    if version != FORMAT_VERSION:
        number = version if type(version) is int else 0
        remedy = "install a newer translatotron-v" if number > FORMAT_VERSION else "train or download it again"
        if 0 < number < FORMAT_VERSION:
            remedy = f"`translatotron-v convert {folder}` brings it up to date"
        raise CheckpointError(
            f"{folder}: checkpoint format {version}, this version reads format {FORMAT_VERSION}: {remedy}"
        )
    return info


def read_json(path: Path) -> Any:
    """A JSON file of a checkpoint; raises CheckpointError if it is missing or broken."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file: {path.parent} is not a checkpoint") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable: {first_line(error)}") from error


def checkpoint_folder(run_folder: Path, step: int) -> Path:
    """Where the checkpoint of a step stands."""
    return Path(run_folder) / "checkpoints" / f"step-{step:07d}"


def list_checkpoints(run_folder: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    found = [
        (int(match.group(1)), path)
        for path in (Path(run_folder) / "checkpoints").glob("step-*")
        if (match := _STEP_FOLDER.fullmatch(path.name)) and (path / INFO_FILE).is_file()
    ]
    return [path for _, path in sorted(found)]


def latest_checkpoint(run_folder: Path) -> Path | None:
    """The newest checkpoint of a run, or none."""
    found = list_checkpoints(run_folder)
    return found[-1] if found else None


def resolve(path: str | Path) -> Path:
    """The checkpoint that a path means: itself, or of a run the final weights, or else the newest checkpoint.

    Raises:
        CheckpointError: there is no checkpoint.
    """
    path = Path(path)
    if (path / INFO_FILE).is_file():
        return path
    if (path / "final" / INFO_FILE).is_file():
        return path / "final"
    latest = latest_checkpoint(path)
    if latest is None:
        state = "holds no checkpoint" if path.is_dir() else "no such folder"
        raise CheckpointError(f"{path}: {state}; name a run folder or a checkpoint folder")
    return latest


def weights_digest(folder: Path) -> str:
    """Changes when a weight, a setting or the vocabulary of a checkpoint changes."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.safetensors"), folder / "config.yaml", folder / "vocabulary.json"]):
        if path.is_file():
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def prune(run_folder: Path, keep: int) -> None:
    """Delete all but the newest ``keep`` checkpoints, and what an interrupted save or deletion has left behind."""
    folder = Path(run_folder) / "checkpoints"
    for path in list_checkpoints(run_folder)[:-keep]:
        with contextlib.suppress(OSError):  # out of the way first: no half of a checkpoint stands under its name
            path.rename(_aside(path))
    for path in [*folder.glob(".tmp-*"), *Path(run_folder).glob(".tmp-*")]:
        shutil.rmtree(path, ignore_errors=True)


def _aside(path: Path) -> Path:
    """Where what is not yet, or no longer, a checkpoint stands beside it; `prune` deletes it."""
    return path.with_name(f".tmp-{path.name}-{uuid.uuid4().hex[:8]}")


def _is_tensors(value: Any) -> bool:
    from torch import Tensor

    return isinstance(value, Mapping) and bool(value) and all(isinstance(item, Tensor) for item in value.values())


def _pack(tensors: "Mapping[str, Tensor]", floating: "torch.dtype | None") -> bytes:
    """safetensors bytes; tied tensors are stored once and named in the file's metadata."""
    import safetensors.torch
    import torch

    stored: dict[str, torch.Tensor] = {}
    tied: dict[str, str] = {}
    owner: dict[tuple[Any, ...], str] = {}
    for key, tensor in tensors.items():
        tensor = tensor.detach()
        place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in owner:
            tied[key] = owner[place]
            continue
        owner[place] = key
        if tensor.is_floating_point() and (floating == torch.float16 or (floating and tensor.itemsize < 4)):
            tensor = tensor.to(floating)
        # A clone: views that overlap (slices of one storage) are refused by safetensors.
        stored[key] = tensor.to("cpu", copy=True).contiguous()
    return safetensors.torch.save(stored, {"tied": json.dumps(tied)} if tied else None)


def to_json(value: Any) -> bytes:
    """A value as a checkpoint's JSON files hold it."""
    return (json.dumps(value, indent=1) + "\n").encode()


def write_aside(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    aside = _aside(path)
    try:
        _write(aside, content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    """Write and flush to the disk: the rename that follows must not overtake the content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _put_in_place(aside: Path, folder: Path) -> None:
    replaced = folder.parent / f".tmp-replaced-{aside.name[5:]}"
    if folder.exists():
        os.replace(folder, replaced)
    try:
        os.replace(aside, folder)
    except OSError:
        if replaced.exists():
            os.replace(replaced, folder)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
    if os.name == "posix":  # the rename itself must reach the disk
        descriptor = os.open(folder.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
