"""State that a resumed run needs beside the weights, as tensors and JSON values only."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from translatotron_v.checkpoint import load_tensors, read_json
from translatotron_v.training.averaging import MovingAverage
from translatotron_v.training.launch import TrainingError
from translatotron_v.training.sharding import like, whole_tensors


def collect(
    stage: nn.Module,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    average: MovingAverage | None,
) -> dict[str, Any]:
    """All that a run needs to go on beside its modules' weights: what ``save_checkpoint`` takes as ``resume``.

    Where parameters are shared out, all ranks must call it.
    """
    names = parameter_names(stage)
    found: dict[str, Any] = {"stage": whole_tensors(uncovered_state(stage, modules, optimizers))}
    found["random-torch"], found["random"] = random_state()
    for name, optimizer in optimizers.items():
        found[f"optimizer-{name}"] = whole_tensors(optimizer_tensors(optimizer, names))
    if average is not None:
        found["ema"] = whole_tensors(average.tensors(names))
    return {name: value for name, value in found.items() if value}


def restore(
    folder: Path,
    stage: nn.Module,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    average: MovingAverage | None,
) -> None:
    """Put back what ``collect`` has found, from the ``resume`` folder of a checkpoint."""
    names = parameter_names(stage)
    own = uncovered_state(stage, modules, optimizers)
    if own:
        stored = load_tensors(folder / "stage.safetensors")
        with torch.no_grad():
            for key, tensor in own.items():
                tensor.copy_(like(stored[key], tensor))
    for name, optimizer in optimizers.items():
        path = folder / f"optimizer-{name}.safetensors"
        if path.is_file():  # absent where no parameter had received a gradient
            restore_optimizer(optimizer, load_tensors(path), names)
    if average is not None and (folder / "ema.safetensors").is_file():  # absent if it was switched on since
        average.restore(load_tensors(folder / "ema.safetensors"), names)
    restore_random_state(load_tensors(folder / "random-torch.safetensors"), read_json(folder / "random.json"))


def parameter_names(stage: nn.Module) -> dict[int, str]:
    """``id(parameter)`` -> its name."""
    return {id(parameter): name for name, parameter in stage.named_parameters()}


def seed_everything(*key: int) -> None:
    """Seed Python, NumPy and torch with a function of some integers, such as (seed, step, optimizer)."""
    words = np.random.SeedSequence([part & 0xFFFFFFFF for part in key]).generate_state(4)
    seed = int(words[0]) << 32 | int(words[1])
    # torch.manual_seed takes milliseconds where CUDA is not in use: it keeps a formatted stack for every later device.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    random.seed(int(words[2]))
    np.random.seed(int(words[3]))


def random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The random states of torch (tensors), and of Python and NumPy (JSON values)."""
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        tensors["cuda"] = torch.cuda.get_rng_state()
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    numpy_state = [name, np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)]
    return tensors, {"python": [version, list(words), gauss], "numpy": numpy_state}


def restore_random_state(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Put back what ``random_state`` has returned."""
    torch.set_rng_state(tensors["cpu"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
    version, words, gauss = values["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = values["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))


def optimizer_tensors(optimizer: Optimizer, names: Mapping[int, str]) -> dict[str, Tensor]:
    """The optimizer's state, as "PARAMETER|QUANTITY" -> tensor; ``names`` maps ``id(parameter)`` to its name."""
    return {
        f"{names[id(parameter)]}|{quantity}": value if isinstance(value, Tensor) else torch.as_tensor(value)
        for group in optimizer.param_groups
        for parameter in group["params"]
        for quantity, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor], names: Mapping[int, str]) -> None:
    """Put back what ``optimizer_tensors`` has returned."""
    per_parameter: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, quantity = key.rpartition("|")
        per_parameter.setdefault(name, {})[quantity] = tensor
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {
        index: {name: like(value, parameter) for name, value in per_parameter[names[id(parameter)]].items()}
        for index, parameter in enumerate(parameters)
        if names[id(parameter)] in per_parameter
    }
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def parameter_groups(
    root: nn.Module,
    parameters: list[nn.Parameter],
    weight_decay: float,
    factors: Mapping[str, float] | None = None,
    modules: Mapping[str, nn.Module] | None = None,
) -> list[dict[str, Any]]:
    """Groups with weight decay and without; each once for every factor of the learning rate.

    Weight decay for the matrices of linear maps and convolutions, unless they are tied to an embedding.

    Nothing else shrinks: no biases, norms and scales, no embeddings, and none of the tables that look like matrices:
    positions, relative biases, class tokens, start vectors.

    Args:
        root: what the parameters are of.
        factors: module -> ``factor`` of its groups; the others have none.
        modules: by the names of ``factors``; what two of them share has the factor of the first.

    Raises:
        TrainingError: a factor of no module.
    """
    modules = modules or {}
    factor_of: dict[int, float] = {}
    for name, factor in (factors or {}).items():
        if name not in modules:
            known = ", ".join(modules)
            raise TrainingError(f"trainer.rate_factors: this stage has no module {name!r}; it has {known}")
        for parameter in modules[name].parameters():
            factor_of.setdefault(id(parameter), factor)
    maps = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
    embeddings = {id(module.weight) for module in root.modules() if isinstance(module, nn.Embedding)}
    matrices = {id(module.weight) for module in root.modules() if isinstance(module, maps)} - embeddings
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {
        (matrix, factor): [] for factor in (1.0, *dict.fromkeys(factor_of.values())) for matrix in (True, False)
    }
    for parameter in parameters:
        groups[id(parameter) in matrices, factor_of.get(id(parameter), 1.0)].append(parameter)
    return [
        {"params": own, "weight_decay": weight_decay if matrix else 0.0, **({} if factor == 1 else {"factor": factor})}
        for (matrix, factor), own in groups.items()
        if own
    ]


def uncovered_state(
    root: nn.Module, modules: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]
) -> dict[str, Tensor]:
    """What training may change and none of the modules holds, such as a buffer of the stage itself, by its name.

    Frozen helpers (teachers, perceptual features) are loaded anew by each life of a run, and nobody looks at what
    beside the saved modules is built and not trained (a model's other half): neither is part of it.
    """
    covered = {id(value) for module in modules.values() for value in module.state_dict(keep_vars=True).values()}
    trained = {id(p) for optimizer in optimizers.values() for group in optimizer.param_groups for p in group["params"]}
    changing = {
        name
        for name, part in root.named_children()
        if not any(id(value) in covered for value in part.state_dict(keep_vars=True).values())
        and (any(id(p) in trained for p in part.parameters()) or not any(True for _ in part.parameters()))
    }
    found: dict[str, Tensor] = {}
    for name, value in root.state_dict(keep_vars=True).items():
        place, below, _ = name.partition(".")
        changes = id(value) in trained if isinstance(value, nn.Parameter) else not below or place in changing
        if changes and id(value) not in covered:
            found[name] = value
    return found
