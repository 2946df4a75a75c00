"""What this machine can do: read bandwidth and matrix rates, the two limits that everything else is held against."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.process import say, seconds_of
from benchmarks.results import Measure, Settings

CASES = ("rates",)
REPEATS = 5


def cases(settings: Settings) -> list[str]:
    """One process for all of them."""
    return list(CASES)


def run(case: str, settings: Settings) -> list[Measure]:
    """Best of a few runs each."""
    say("bandwidth and matrix rates")
    device = settings.device
    read = bandwidth(device, settings.quick)
    measures = [Measure("read bandwidth", read / 1e9, "GB/s", details={"key": "bandwidth"})]
    for precision in ("fp32", "bf16", "int8"):
        rate = matrix_rate(precision, device, settings.quick)
        if rate is not None:
            measures.append(Measure(f"matrix rate, {precision}", rate / 1e9, "GFLOP/s", details={"key": precision}))
    return measures


def rates(measures: list[Measure]) -> dict[str, float]:
    """The measures by name, in bytes and FLOP a second."""
    return {measure.details["key"]: measure.value * 1e9 for measure in measures if measure.value is not None}


def skipped_bf16(case: str, settings: Settings) -> list[Measure]:
    """A row that says why a bf16 case is left out, where the CPU only emulates bf16; empty where it should run."""
    rates = settings.rates
    if settings.quick or not rates or rates["bf16"] >= rates["fp32"]:
        return []
    note = f"left out: this CPU emulates bf16, {rates['bf16'] / 1e9:.0f} GFLOP/s"
    return [Measure(case, None, "", note=note)]


def bandwidth(device: str = "cpu", quick: bool = False) -> float:
    """Bytes a second of a matrix-vector product over a matrix larger than any cache: the access of decoding."""
    rows = 2**10 if quick else 2**15 if device == "cpu" else 2**18
    matrix = torch.ones(rows, 4096, device=device)  # 16 KiB a row: 512 MiB on a CPU, 4 GiB on a GPU
    vector = torch.ones(4096, device=device)
    work = _warm(lambda: torch.mv(matrix, vector))
    return matrix.numel() * matrix.element_size() / seconds_of(work, device, REPEATS)


def matrix_rate(precision: str, device: str = "cpu", quick: bool = False) -> float | None:
    """FLOP a second of large products (a multiplication and an addition are two); ``None`` where there is no way."""
    size = 256 if quick else 1536 if device == "cpu" else 8192
    products: list[Callable[[], Tensor]] = []
    if precision == "int8":
        if device == "cpu" and (product := _int8_product(size)) is not None:
            products.append(product)
    else:
        kind = torch.float32 if precision == "fp32" else torch.bfloat16
        left, right = (torch.randn(size, size, device=device).to(kind) for _ in range(2))
        products += [lambda: F.linear(left, right), lambda: torch.mm(left, right)]  # either may have the better kernel
    flops = 2 * size**3
    return max((flops / seconds_of(_warm(product), device, 3) for product in products), default=None)


def _int8_product(size: int) -> Callable[[], Tensor] | None:
    """float32 states times int8 weights, states quantised on the way, by the kernels that PyTorch brings along."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # quantised tensors are deprecated; the kernels are not
            weight = torch.quantize_per_tensor(torch.randn(size, size), 0.05, 0, torch.qint8)
            packed = torch.ops.quantized.linear_prepack(weight, None)
        states = torch.randn(size, size)
        torch.ops.quantized.linear_dynamic(states, packed, True)
    except (RuntimeError, AttributeError, NotImplementedError):
        return None
    return lambda: torch.ops.quantized.linear_dynamic(states, packed, True)


def _warm(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
    work()
    return work
