"""Models by their name on the Hugging Face Hub: fetched once, and taken from its cache after that.

What is fetched is safetensors, graphs of the ONNX engine, JSON, YAML and texts that lie at the root of a repository.
One that holds weights of another kind, many of which can run code when they are loaded, is refused by that file's name.
"""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from translatotron_v.errors import UserError, first_line

MARK = "checkpoint.json"  # what a folder of ours has
KEPT = ("*.safetensors", "*.onnx", "*.json", "*.yaml", "*.md", "LICENSE*")
_WITHOUT = ("*/*",)
_NAME = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w./-]*))?", re.ASCII)
_OTHER_WEIGHTS = {
    ".bin", ".ckpt", ".gguf", ".h5", ".hdf5", ".joblib", ".keras", ".msgpack", ".npy", ".npz", ".pb", ".pickle", ".pkl",
    ".pt", ".pt2", ".pth", ".tflite",
}  # fmt: skip


def is_hub_name(name: str) -> bool:
    """Whether it may be `user/model`, or `user/model@revision`; what begins with a folder that is there is a path."""
    return bool(_NAME.fullmatch(name)) and not Path(name.split("/")[0]).exists()


def fetch(name: str) -> Path:
    """The folder of a model in the cache of the Hub, where it is put first if it is new or has changed.

    Offline (`HF_HUB_OFFLINE=1`), and where the Hub cannot be reached, it is what the cache holds.

    Args:
        name: `user/model` or `user/model@revision`.

    Raises:
        UserError: no such model or revision, one that takes a token, not one of ours or with weights other than
            safetensors; not in the cache while the Hub cannot be reached; huggingface_hub is missing.
    """
    hub = require_hub("loading a model by name")
    found = _NAME.fullmatch(name)
    assert found is not None
    where: dict[str, Any] = {"repo_id": found["repository"], "revision": found["revision"]}
    files = None if hub.constants.is_offline_mode() else _list(name, where)
    if files is not None:
        _check(name, files)
    try:
        folder = Path(
            hub.snapshot_download(
                **where, local_files_only=files is None, allow_patterns=list(KEPT), ignore_patterns=list(_WITHOUT)
            )
        )
    except hub.errors.LocalEntryNotFoundError:
        why = "HF_HUB_OFFLINE is set" if hub.constants.is_offline_mode() else "the Hub cannot be reached"
        raise UserError(f"{name}: no such folder, nor a model of that name in the Hub's cache, and {why}") from None
    except Exception as error:  # of the HTTP library, whichever it is
        raise UserError(f"{name}: {refusal(error) or f'cannot be fetched ({first_line(error)})'}") from None
    _check(name, (file.relative_to(folder).as_posix() for file in folder.rglob("*")))
    return folder


def _list(name: str, where: dict[str, Any]) -> list[str] | None:
    """The files of a model; None where the Hub cannot be reached. Raises UserError where it refuses."""
    import huggingface_hub as hub

    try:
        return [file.rfilename for file in hub.HfApi().model_info(**where).siblings or ()]
    except Exception as error:  # of the HTTP library, whichever it is
        if told := refusal(error):
            raise UserError(f"{name}: {told}") from None
        return None


def require_hub(what: str) -> Any:
    """The package huggingface_hub. Raises UserError where it is missing."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ModuleNotFoundError:
        raise UserError(f"{what} takes huggingface_hub: pip install 'translatotron-v[hub]'") from None
    return huggingface_hub


def refusal(error: Exception) -> str:
    """What the Hub's refusal means; "" where it is none, such as no connection."""
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        return "no such folder, nor a name that the Hub could have"
    if isinstance(error, errors.GatedRepoError):
        return "its terms have to be accepted on the Hub first, with the account of your token (`hf auth login`)"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such folder, nor a model of that name on the Hub; a private one takes a token (`hf auth login`)"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the model has no such revision"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return "the Hub refuses your token; `hf auth login` takes another one"
    return ""


def _check(name: str, files: Iterable[str]) -> None:
    """Raises UserError for what is no model of ours, or holds weights that are not safetensors."""
    files = sorted(files)
    if MARK not in files or not any(file.endswith(".safetensors") for file in files):
        raise UserError(f"{name}: not a model of translatotron-v: it has no {MARK} with safetensors beside it")
    others = [file for file in files if PurePosixPath(file).suffix.lower() in _OTHER_WEIGHTS]
    if others:
        raise UserError(f"{name}: holds {others[0]}; weights are loaded from safetensors alone, which run no code")
