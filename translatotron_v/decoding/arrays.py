"""Numbers of a model, whoever computes them: tensors of PyTorch, or arrays of numpy around ONNX graphs.

Decoding is written once. What the model has made it hands back to the model as it is; what it looks into, it looks into
as numpy, and what it makes up it brings into the model's kind by ``like``. PyTorch is not imported before a tensor is
there: where models run without it, it need not be installed.

Shapes: K numbers of a row.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

Array = Any  # a tensor of PyTorch, or an array of numpy: both are indexed, compared and added alike
P = ParamSpec("P")
R = TypeVar("R")


def inference_mode() -> AbstractContextManager[Any]:
    """A context in which PyTorch, if it is there, keeps no gradients."""
    torch = sys.modules.get("torch")
    return nullcontext() if torch is None else torch.inference_mode()


def inference(function: Callable[P, R]) -> Callable[P, R]:
    """A function that runs in ``inference_mode``."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with inference_mode():
            return function(*args, **kwargs)

    return run


def to_numpy(values: Array) -> np.ndarray:
    """The numbers on the CPU, floating ones in float32."""
    if isinstance(values, np.ndarray):
        return values
    values = values.detach()
    moved: np.ndarray = (values.float() if values.is_floating_point() else values).cpu().numpy()
    return moved


def like(values: np.ndarray | Sequence[Any], other: Array) -> Array:
    """Numbers as an array of the kind of another one, and where that is."""
    if isinstance(other, np.ndarray):
        return np.asarray(values)
    import torch

    return torch.as_tensor(values, device=other.device)


def log_softmax(logits: Array) -> Array:
    """(..., K), in float32."""
    if not isinstance(logits, np.ndarray):
        return logits.float().log_softmax(-1)
    shifted: np.ndarray = logits - logits.max(-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(-1, keepdims=True))
    return shifted


def take(rows: Array, places: Array) -> Array:
    """Of each row (B, K) the number at its place (B,)."""
    if isinstance(rows, np.ndarray):
        return np.take_along_axis(rows, places[:, None], 1)[:, 0]
    return rows.gather(1, places[:, None])[:, 0]


def largest(rows: Array, count: int) -> tuple[Array, Array]:
    """The ``count`` largest numbers of each row (B, K), the largest first, and their places."""
    if not isinstance(rows, np.ndarray):
        values, places = rows.topk(count)
        return values, places
    places = np.argpartition(rows, -count, axis=1)[:, -count:]
    order = np.argsort(-np.take_along_axis(rows, places, 1), axis=1)
    places = np.take_along_axis(places, order, 1)
    return np.take_along_axis(rows, places, 1), places
