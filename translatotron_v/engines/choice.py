"""What computes: which engine, on which device, with how many threads."""

from importlib.util import find_spec
from typing import Literal

from translatotron_v.arguments import ONNX, TORCH
from translatotron_v.errors import UserError


def choose_engine(name: Literal["auto"] | str = "auto") -> str:
    """The engine behind a name; "auto" is PyTorch where it is installed. Raises UserError where it is not."""
    installed = find_spec("torch") is not None
    if name == TORCH and not installed:
        raise UserError("engine torch: PyTorch is not installed: pip install 'translatotron-v[torch]'")
    if name == "auto":
        return TORCH if installed else ONNX
    return name


def set_threads(threads: int | None, engine: str = TORCH) -> None:
    """How many threads of the CPU PyTorch takes, where it computes. Raises UserError for less than one."""
    if threads is None:
        return
    if threads < 1:
        raise UserError(f"threads must be at least 1, not {threads}")
    if engine == TORCH:
        import torch

        torch.set_num_threads(threads)


def choose_device(name: Literal["auto"] | str = "auto", engine: str = TORCH) -> str:
    """The device behind a name; "auto" is a GPU where there is one. Raises UserError where it cannot be used."""
    if engine == ONNX:
        if name not in ("auto", "cpu"):
            raise UserError(f"device {name!r}: engine onnx computes on the CPU; take engine torch")
        return "cpu"
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=torch.device(name))
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0].split(". ")[0]
        raise UserError(f"device {name!r} cannot be used here: {reason}") from None
    return name
