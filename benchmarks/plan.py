"""What the paper's recipe takes: FLOPs of a step, counted, and memory per GPU, computed from modules and saved tensors.

One page, random weights, float32: what is counted does not depend on precision, and bytes of activations are halved in
bfloat16 but for what norms and losses keep.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.models import ROOT
from benchmarks.process import GIGABYTE, say
from benchmarks.results import Measure, Settings
from benchmarks.steps import flop_counter, one_step, trainer_of
from benchmarks.training import random_stage
from translatotron_v.config import Config, load_config
from translatotron_v.memory import prepare_to_train

STAGES = ("tokenizer", "teacher", "translator")
GPUS = (1, 8, 64)
MFU = 0.4  # share of a GPU's matrix rate that a run is taken to reach
RATE = 989e12  # FLOP a second of an H100 (SXM) in bfloat16, dense, as its maker states
WORD = 4  # bytes of a float32


@dataclass(frozen=True)
class Sizes:
    """Numbers of parameters of a stage, and bytes that one page leaves for the way back.

    Attributes:
        trained, frozen: parameters.
        blocks: of these, those that are gathered block by block where ranks share them out.
        block: of the largest block.
        averaged: whether a moving average of the trained ones is kept.
        inner, outer: bytes that the image encoder's blocks keep for the way back, and all else.
        inputs: bytes of those blocks' inputs, which is what is left of ``inner`` where it is computed again.
        deepest: of ``inner``, the largest block's.
    """

    trained: int
    frozen: int
    blocks: int
    block: int
    averaged: bool
    inner: int
    outer: int
    inputs: int
    deepest: int

    def state(self, gpus: int, shared: bool) -> float:
        """GB of weights, gradients and Adam's moments on each of some GPUs."""
        kept = WORD * ((4 + self.averaged) * self.trained + self.frozen)
        if not shared:
            return (kept + (WORD * self.trained if gpus > 1 else 0)) / GIGABYTE  # DDP's buckets
        rest = self.trained + self.frozen - self.blocks
        gathered = WORD * (2 * rest + 3 * self.block)  # the rest with its gradients; a block, its gradients, the next
        return (kept / gpus + gathered) / GIGABYTE

    def activations(self, recompute: bool) -> float:
        """GB of one page on its way back, in float32."""
        return (self.outer + (self.inputs + self.deepest if recompute else self.inner)) / GIGABYTE


def cases(settings: Settings) -> list[str]:
    """A process for each stage."""
    return list(STAGES)


def run(case: str, settings: Settings) -> list[Measure]:
    """Count a step of one page, then compute."""
    return [measure for name in ([case] if case else STAGES) for measure in _stage(name, settings)]


def _stage(name: str, settings: Settings) -> list[Measure]:
    prepare_to_train()
    config = page_config(name, "debug" if settings.quick else "paper")
    stage = random_stage(config)
    batch = stage.dataset[0]
    with trainer_of(stage, config) as trainer:
        if name == "tokenizer":
            say(f"{name}: a step that fits the codebook")
            one_step(trainer, [batch])
        say(f"{name}: counted step")
        with flop_counter() as counter, kept_for_the_way_back(stage) as kept:
            one_step(trainer, [batch])
        trained = sum(p.numel() for p in trainer.parameters)
    everything = sum(p.numel() for p in stage.parameters())
    blocks = [sum(p.numel() for p in block.parameters()) for block in stage.blocks()]
    sizes = Sizes(trained, everything - trained, sum(blocks), max(blocks, default=0), bool(config.trainer.ema), **kept)
    original = load_config(ROOT / "configs" / "paper" / f"{name}.yaml").trainer
    pages = original.steps * original.batch_size * original.accumulate
    return list(_measures(name, float(counter.get_total_flops()), sizes, pages))


def page_config(name: str, size: str) -> Config:
    """A stage's settings, for one page."""
    overrides = ["trainer.device=cpu", "trainer.precision=fp32", "trainer.batch_size=1", "trainer.accumulate=1"]
    overrides += ["trainer.workers=0", *(["loss.distillation=0"] if name == "translator" else [])]
    if name == "tokenizer" and size == "debug":
        overrides += ["loss.perceptual=1", "loss.adversarial=1", "loss.quantise_from=0", "loss.adversarial_from=0"]
    config = load_config(ROOT / "configs" / size / f"{name}.yaml", overrides)
    config.start = {}
    return config


@contextlib.contextmanager
def kept_for_the_way_back(stage: nn.Module) -> Iterator[dict[str, int]]:
    """Count the bytes of tensors that autograd keeps within, each once and no parameters."""
    own = {p.untyped_storage().data_ptr() for p in [*stage.parameters(), *stage.buffers()]}
    blocks = [b for module in stage.modules() if hasattr(module, "vit") for b in module.vit.blocks]
    kept = {"inner": 0, "outer": 0, "inputs": 0, "deepest": 0}
    seen: dict[int, Tensor] = {}  # tensors stay, so that no address is given twice
    inside: list[int] = []

    def enter(_: nn.Module, given: tuple[Any, ...]) -> None:
        kept["inputs"] += given[0].nbytes
        inside.append(0)

    def leave(*_: Any) -> None:
        kept["deepest"] = max(kept["deepest"], inside.pop())

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen and storage.data_ptr() not in own:
            seen[storage.data_ptr()] = tensor
            kept["inner" if inside else "outer"] += storage.nbytes()
            if inside:
                inside[-1] += storage.nbytes()
        return tensor

    hooks = [block.register_forward_pre_hook(enter) for block in blocks]
    hooks += [block.register_forward_hook(leave) for block in blocks]
    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield kept
    finally:
        for hook in hooks:
            hook.remove()


def _measures(name: str, flops: float, sizes: Sizes, pages: int) -> Iterator[Measure]:
    details: Mapping[str, Any] = {**vars(sizes), "flops": flops, "pages": pages}
    note = f"{sizes.trained / 1e6:.1f} M parameters trained, {sizes.frozen / 1e6:.1f} M frozen, "
    note += f"{sizes.blocks / 1e6:.1f} M in blocks"
    yield Measure(f"{name}: a step, per page", flops / 1e12, "TFLOP", note=note, details=dict(details))
    hours = flops * pages / (MFU * RATE) / 3600
    yield Measure(f"{name}: the recipe at 40 % MFU", hours, "H100-hours", note=f"{pages:,} pages; computed")
    for shared in (False, True):
        states = ", ".join(f"{gpus}: {sizes.state(gpus, shared):.2f}" for gpus in GPUS if gpus > 1 or not shared)
        what = "shared out" if shared else "whole on each"
        yield Measure(f"{name}: state on 8 GPUs, {what}", sizes.state(8, shared), "GB", note=f"by GPUs: {states}")
    for recompute in (False, True):
        what = "computed again" if recompute else "kept"
        yield Measure(f"{name}: activations of a page, {what}", sizes.activations(recompute), "GB")
