"""Two checkpoints to one: between their weights (linear), or by the changes that they have in common (TIES).

Merging a translator that was tuned on pages with the text-only weights it started from gives back languages that the
tuning lost (arXiv 2503.22577). The result keeps the first checkpoint's modules, settings and vocabulary.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from translatotron_v.checkpoint import (
    INFO_FILE,
    CheckpointError,
    load_tensors,
    read_info,
    resolve,
    save_checkpoint,
)
from translatotron_v.config import Config, config_from_text
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.models.text_decoder import TextEncoder
from translatotron_v.shipped import find_weights

METHODS = ("linear", "ties")
WEIGHT = {"linear": 0.5, "ties": 1.0}
DENSITY = 0.2  # of TIES, as in the paper

# Its codes mean something by their numbers alone, so that two codebooks have no mean; it has to be the same in both.
TOKENIZER = "image_tokenizer"
_COUNTS = ("cluster_size", "embed_avg", "initted", "idle_steps")  # of the codebook, which an export starts afresh
_TRAINING_ONLY = ("dropout", "detach", "max_length")  # settings of a module that do not change what its weights mean
_FILES = (INFO_FILE, "config.yaml", "vocabulary.json")

Name = tuple[str, str]  # a module, and a tensor of it
Weights = Mapping[Name, Tensor]


@dataclass(frozen=True)
class Merged:
    """What became of the tensors of the first checkpoint.

    Attributes:
        folder: the checkpoint that was written.
        merged: module -> how many of its tensors were merged.
        kept: modules, and single tensors of merged modules (``module.tensor``), that are the first checkpoint's.
    """

    folder: Path
    merged: dict[str, int]
    kept: list[str]

    def __str__(self) -> str:
        parts = ", ".join(f"{name} ({count} tensors)" for name, count in self.merged.items())
        return f"merged: {parts}\nof the first alone: {', '.join(self.kept) or 'nothing'}"


@dataclass(frozen=True)
class _Source:
    """A checkpoint to merge: what it was called, where it stands, and what it says of itself."""

    name: str
    folder: Path
    settings: str  # config.yaml as it stands
    config: Config
    vocabulary: Vocabulary
    modules: list[str]

    def file(self, module: str) -> Path:
        return self.folder / f"{module}.safetensors"


def merge_checkpoints(
    a: str | Path,
    b: str | Path,
    out: str | Path,
    method: str = "linear",
    weight: float | None = None,
    density: float | None = None,
    overwrite: bool = False,
    base: str | Path | None = None,
) -> Merged:
    """Merge the modules that two checkpoints share, and write a whole checkpoint like the first.

    Of the first checkpoint alone are: modules that the second lacks, the image tokenizer, tensors that are no floating
    point, and, unless the others are translators too, what image mode has to itself in the text encoder
    (``connector*``, ``image_positions``): stages such as ``text`` save it with random numbers, as they train text mode
    alone.

    Args:
        a: run, checkpoint or shipped weights of the stage ``translator``; its precision is kept.
        b: another one, of any stage that shares modules with it, such as ``text``.
        out: folder to write.
        method: ``linear`` or ``ties``; see the functions of these names.
        weight: ``linear``: share of b, 0..1 (default 0.5): 0 writes the weights of a, 1 those of b (bit for bit if b
            has the precision of a). ``ties``: scale of the merged change, 0 or more (default 1).
        density: ``ties``: share of its changes that each checkpoint keeps, over 0 to 1 (default 0.2).
        overwrite: replace a checkpoint that stands at ``out``.
        base: ``ties``: the checkpoint that both were tuned from. Where a was tuned from b, b itself is the base: its
            own changes are then zero, and the result is the base with the largest changes of a, scaled by ``weight``.

    Raises:
        UserError: anything that does not fit, by file and tensor; nothing has been written then.
    """
    weight, density = _check_request(method, weight, density, base)
    first, *others = (_open(name) for name in (a, b, base) if name is not None)
    out = Path(out)
    _check_output(out, overwrite, [first, *others])
    if first.config.stage != "translator":
        raise CheckpointError(
            f"{first.folder}: a checkpoint of the stage {first.config.stage!r}; the first of two that are merged must "
            "be of the stage 'translator', since the result keeps its modules"
        )
    shared = _shared_modules(first, others)
    modules = {name: load_tensors(first.file(name)) for name in first.modules}
    _check_tokenizers(first, others, modules.get(TOKENIZER), shared)
    keys = _merged_tensors(modules, shared, others)
    own = {key: modules[key[0]][key[1]] for key in keys}
    second, *bases = (_read_alike(other, first, modules, keys) for other in others)
    mixed = ties([own, second], bases[0], weight, density) if bases else linear(own, second, weight)
    for (name, key), tensor in mixed.items():
        tensor = tensor.to(modules[name][key].dtype)
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(
                f"{first.file(name)}: {key!r} would hold numbers that its {tensor.dtype} cannot; nothing was written"
            )
        modules[name][key] = tensor
    half = any(tensor.dtype == torch.float16 for tensors in modules.values() for tensor in tensors.values())
    info = {"merge": method, "merge_a": first.name, "merge_b": others[0].name, "merge_weight": weight}
    if method == "ties":
        info |= {"merge_density": density, "merge_base": others[1].name}
    info |= {"merged_modules": shared} | ({"weights": "float16"} if half else {})
    files = {"config.yaml": first.settings, "vocabulary.json": first.vocabulary.to_json()}
    save_checkpoint(out, modules, files, info, half=half)
    kept = [name for name in first.modules if name not in shared]
    kept += [f"{name}.{key}" for name in shared for key in modules[name] if (name, key) not in own]
    return Merged(out, dict(Counter(name for name, _ in keys)), kept)


@torch.no_grad()
def linear(first: Weights, second: Weights, weight: float) -> dict[Name, Tensor]:
    """``(1 - weight) * first + weight * second`` in single precision; tensors that are equal in both stay as they are.

    At 0 and 1 these are the tensors of one side, bit for bit.
    """
    if weight in (0, 1):
        return dict(second if weight else first)
    return {name: torch.lerp(_single(tensor), _single(second[name]), weight) for name, tensor in first.items()}


@torch.no_grad()
def ties(tuned: Sequence[Weights], base: Weights, scale: float, density: float) -> dict[Name, Tensor]:
    """TIES-Merging (Yadav et al. 2023, arXiv 2306.01708): trim, elect signs, disjoint mean.

    Each task vector (tuned - base) keeps its largest entries by magnitude; each entry takes the sign of the sum over
    task vectors, and the mean of those that have this sign; ``base + scale *`` that is the result. Entries that nobody
    keeps, or that cancel, stay the base's.

    Args:
        tuned: weights of each checkpoint; all have the names and shapes of ``base``.
        base: what they were tuned from.
        scale: the paper's lambda.
        density: share of entries kept, over 0 to 1, counted over all tensors of a task vector together.
    """
    vectors = [
        _trim({name: _single(weights[name]) - _single(tensor) for name, tensor in base.items()}, density)
        for weights in tuned
    ]
    merged: dict[Name, Tensor] = {}
    for name, tensor in base.items():
        changes = torch.stack([vector[name] for vector in vectors])  # (checkpoints, ...)
        elected = changes.sum(0).sign()
        agrees = (changes.sign() == elected) & (changes != 0)
        mean = (changes * agrees).sum(0) / agrees.sum(0).clamp(min=1)
        merged[name] = _single(tensor) + scale * mean
    return merged


def _trim(vector: Weights, density: float) -> Weights:
    """Keep the largest ``density`` of all entries, at least one and any that equal the last; the others become 0."""
    magnitudes = torch.cat([tensor.abs().flatten() for tensor in vector.values()])
    kept = max(1, round(density * len(magnitudes)))
    smallest = magnitudes.kthvalue(len(magnitudes) - kept + 1).values
    return {name: tensor * (tensor.abs() >= smallest) for name, tensor in vector.items()}


def _single(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _check_request(
    method: str, weight: float | None, density: float | None, base: str | Path | None
) -> tuple[float, float]:
    """Weight and density with their defaults filled in, or an error that names the wrong one."""
    if method not in METHODS:
        raise CheckpointError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    weight = WEIGHT[method] if weight is None else weight
    if method == "linear":
        if not 0 <= weight <= 1:
            raise CheckpointError(f"weight is the second checkpoint's share and must lie in 0..1, not {weight}")
        for name, value in (("density", density), ("base", base)):
            if value is not None:
                raise CheckpointError(f"{name} belongs to the method ties; leave it out, or choose ties")
        return weight, DENSITY
    if not 0 <= weight < float("inf"):
        raise CheckpointError(f"weight of ties scales the merged change and must be 0 or more, not {weight}")
    density = DENSITY if density is None else density
    if not 0 < density <= 1:
        raise CheckpointError(f"density is the share of changes kept and must lie over 0 and up to 1, not {density}")
    if base is None:
        raise CheckpointError(
            "ties needs the checkpoint that both were tuned from (--base); where the first was tuned from the second, "
            "name the second"
        )
    return weight, density


def _open(name: str | Path) -> _Source:
    folder = resolve(find_weights(name))
    info = read_info(folder)
    path = folder / "config.yaml"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file: {folder} is not a whole checkpoint")
    settings = path.read_text(encoding="utf-8")
    vocabulary = Vocabulary.from_file(folder / "vocabulary.json")
    return _Source(
        str(name), folder, settings, config_from_text(settings, str(path)), vocabulary, list(info.get("modules", ()))
    )


def _check_output(out: Path, overwrite: bool, sources: Sequence[_Source]) -> None:
    """Only a checkpoint may be replaced, only when asked, and none of those that are merged."""
    if out.is_file():
        raise CheckpointError(f"{out}: is a file; name a folder to write to")
    found = sorted(out.iterdir()) if out.is_dir() else []
    if found and any(out.resolve() == source.folder.resolve() for source in sources):
        raise CheckpointError(f"{out}: is one of the checkpoints that are merged; write to a folder of its own")
    others = [path.name for path in found if path.suffix != ".safetensors" and path.name not in _FILES]
    if others:
        raise CheckpointError(f"{out}: holds other things ({others[0]}); write to a folder of its own")
    if found and not overwrite:
        raise CheckpointError(f"{out}: exists already; --force replaces it")


def _shared_modules(first: _Source, others: Sequence[_Source]) -> list[str]:
    """What the first two share, of one vocabulary and one kind; the base must have all of it."""
    shared = [name for name in first.modules if name in others[0].modules and name != TOKENIZER]
    if not shared:
        raise CheckpointError(
            f"{others[0].folder}: shares no module with {first.folder} that can be merged: it holds "
            f"{', '.join(others[0].modules) or 'none'}"
        )
    for other in others:
        if other.vocabulary != first.vocabulary:
            raise CheckpointError(
                f"{other.folder / 'vocabulary.json'}: is another vocabulary than {first.folder / 'vocabulary.json'}; "
                "merge checkpoints that were trained with one vocabulary"
            )
        for name in shared:
            if name not in other.modules:
                raise CheckpointError(
                    f"{other.file(name)}: no such file: the base must hold every module that the two others share"
                )
            _check_settings(first, other, name)
    return shared


def _check_settings(first: _Source, other: _Source, name: str) -> None:
    """Settings that shapes do not show, such as the number of heads, must be the same as well."""
    ours, theirs = (asdict(part) if (part := getattr(s.config.model, name, None)) else {} for s in (first, other))
    for key in ours:
        if ours[key] != theirs[key] and key not in _TRAINING_ONLY:
            raise CheckpointError(
                f"{other.folder / 'config.yaml'}: model.{name}.{key} is {theirs[key]}, "
                f"{first.folder / 'config.yaml'} has {ours[key]}: only modules of one kind can be merged"
            )


def _check_tokenizers(
    first: _Source, others: Sequence[_Source], own: Mapping[str, Tensor] | None, shared: Sequence[str]
) -> None:
    """Image decoders that write the tokens of unlike tokenizers must not be mixed. Half precision is no difference."""
    for other in others if own is not None and "image_decoder" in shared else ():
        if TOKENIZER not in other.modules:
            continue
        theirs = load_tensors(other.file(TOKENIZER))
        for key, tensor in (own or {}).items():
            if key.rpartition(".")[2] in _COUNTS:
                continue
            if key not in theirs or not torch.equal(theirs[key].half(), tensor.half()):
                raise CheckpointError(
                    f"{other.file(TOKENIZER)}: {key!r} is not that of {first.file(TOKENIZER)}: image tokens of the two "
                    "mean different things; merge checkpoints that were trained with one image tokenizer"
                )


def _merged_tensors(
    modules: Mapping[str, Mapping[str, Tensor]], shared: Sequence[str], others: Sequence[_Source]
) -> list[Name]:
    """Names of the tensors of the first checkpoint that are merged."""
    untrained: dict[str, tuple[str, ...]] = {}
    if any(other.config.stage != "translator" for other in others):  # no other stage sends pages through text layers
        untrained["text_encoder"] = TextEncoder.IMAGE_MODE_ONLY
    return [
        (name, key)
        for name in shared
        for key, tensor in modules[name].items()
        if tensor.is_floating_point() and not key.startswith(untrained.get(name, ()))
    ]


def _read_alike(
    other: _Source, first: _Source, modules: Mapping[str, Mapping[str, Tensor]], keys: Sequence[Name]
) -> dict[Name, Tensor]:
    """The same tensors of another checkpoint; each must be there and have the same shape."""
    names = list(dict.fromkeys(name for name, _ in keys))
    held = {name: load_tensors(other.file(name)) for name in names}
    for name in names:
        for key in held[name]:
            if key not in modules[name]:
                raise CheckpointError(
                    f"{first.file(name)}: holds no tensor {key!r}, {other.file(name)} does: they are of unlike models"
                )
    for name, key in keys:
        if key not in held[name]:
            raise CheckpointError(
                f"{other.file(name)}: holds no tensor {key!r}, {first.file(name)} does: they are of unlike models"
            )
        ours, theirs = tuple(modules[name][key].shape), tuple(held[name][key].shape)
        if ours != theirs:
            raise CheckpointError(
                f"{other.file(name)}: {key!r} has shape {theirs}, in {first.file(name)} it is {ours}: "
                "merge checkpoints of one size"
            )
    return {(name, key): held[name][key] for name, key in keys}
