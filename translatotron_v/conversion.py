"""Checkpoints of format 1 to format 2, whose settings, tensors and files have other names; the numbers stay."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import yaml
from safetensors import SafetensorError, safe_open

from translatotron_v.checkpoint import (
    FORMAT_VERSION,
    INFO_FILE,
    CheckpointError,
    list_checkpoints,
    read_json,
    to_json,
    write_folder,
)

OLD_FORMAT = 1
# Modules, which are files, and stages of their names.
MODULES = {"family_head": "font_head", "separator": "matting", "pixels": "pixel_baseline"}
STAGES = {"pixels": "pixel_baseline"}
# Parts of the dotted names of tensors.
TENSORS = MODULES | {
    "bridge": "connector",
    "bridge_norm": "connector_norm",
    "sight": "visual_projection",
    "piece_bridge": "piece_projection",
    "family": "font",
    "merge": "concat_proj",
}
# Section -> its keys that have another name, and (section, key) -> its values that have.
KEYS = {
    "model": {"bridge": "connector", "families": "fonts", "separator": "matting", "pixels": "pixel_baseline"},
    "page": {"snap": "word_grid", "pitch": "advance_grid"},
    "loss": {"pixels": "pixel_regression"},
    "start": MODULES,
}
VALUES = {
    ("model.tokenizer", "encoder"): {"pixels": "patch_codebook"},
    ("model.image_decoder", "fusion"): {"sum": "add"},
    ("model.teacher_decoder", "fusion"): {"sum": "add"},
    ("", "stage"): STAGES,
}
# What every vocabulary of format 1 began with that did not say so itself.
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>", "<de>", "<en>", "<fr>", "<ro>", "<cs>", "<ocr>", "<translate>")


def convert(folder: Path, output: Path | None = None) -> list[Path]:
    """Bring a checkpoint, or all of a run's, to the format that is read now.

    Args:
        folder: a checkpoint, or a run: its ``final`` and its ``checkpoints``, those in between included.
        output: where to write, of a run in folders of the same names; ``None``: in place.

    Returns:
        The folders that were written; what is of the new format already is passed over.

    Raises:
        CheckpointError: there is no checkpoint, one of an unknown format or a damaged one, or something stands at
            ``output``. Nothing of a checkpoint that fails is written.
    """
    folder = Path(folder)
    if (folder / INFO_FILE).is_file():
        found = {folder: output or folder}
    else:
        parts = [*list_checkpoints(folder), folder / "final"]
        found = {path: (output or folder) / path.relative_to(folder) for path in parts if (path / INFO_FILE).is_file()}
    if not found:
        raise CheckpointError(f"{folder}: holds no checkpoint; name a run folder or a checkpoint folder")
    written = []
    for origin, place in found.items():
        info = read_json(origin / INFO_FILE)
        version = info.get("format_version") if isinstance(info, dict) else None
        if version == FORMAT_VERSION:
            continue
        if version != OLD_FORMAT:
            raise CheckpointError(f"{origin}: checkpoint format {version}; only format {OLD_FORMAT} is converted")
        if place != origin and place.exists():
            raise CheckpointError(f"{place}: exists already; name a folder that does not")
        write_folder(place, _converted(origin, info))
        written.append(place)
    return written


def _converted(origin: Path, info: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The files of a checkpoint under their new names, with what they hold now; ``checkpoint.json`` comes last."""
    for path in sorted(origin.rglob("*")):
        name = path.relative_to(origin).as_posix()
        if not path.is_file() or name == INFO_FILE:
            continue
        try:
            if path.suffix == ".safetensors":
                stem = path.stem.replace("optimiser-", "optimizer-")
                stem = stem if name.startswith("resume/") else MODULES.get(stem, stem)
                yield path.with_name(f"{stem}.safetensors").relative_to(origin).as_posix(), _tensors(path)
            elif name == "config.yaml":
                yield name, _settings(path.read_text(encoding="utf-8")).encode()
            elif name == "vocabulary.json":
                yield name, _vocabulary(path.read_text(encoding="utf-8")).encode()
            else:
                yield name, path.read_bytes()
        except (SafetensorError, yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: cannot be converted: {str(error).splitlines()[0]}") from None
    modules = sorted(MODULES.get(name, name) for name in info.get("modules", []))
    yield INFO_FILE, to_json({**info, "format_version": FORMAT_VERSION, "modules": modules})


def _tensors(path: Path) -> bytes:
    """A safetensors file with tensors of the new names; types and ties stay."""
    with safe_open(path, framework="pt", device="cpu") as file:
        tensors = {_tensor_name(key): file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        metadata = dict(file.metadata() or {})
    if "tied" in metadata:
        tied = json.loads(metadata["tied"])
        metadata["tied"] = json.dumps({_tensor_name(key): _tensor_name(of) for key, of in tied.items()})
    return safetensors.torch.save(tensors, metadata or None)


def _tensor_name(key: str) -> str:
    """A tensor's name now; of an optimizer's state "PARAMETER|QUANTITY"."""
    name, bar, quantity = key.partition("|")
    return ".".join(TENSORS.get(part, part) for part in name.split(".")) + bar + quantity


def _settings(text: str) -> str:
    """``config.yaml`` with keys and values of the new names."""
    config = yaml.safe_load(text)
    for section, names in KEYS.items():
        if section in config:
            config[section] = {names.get(key, key): value for key, value in config[section].items()}
    for (path, key), names in VALUES.items():
        place = config
        for part in filter(None, path.split(".")):
            place = place.get(part, {})
        if key in place:
            place[key] = names.get(place[key], place[key])
    root = config.get("data", {}).pop("root", None)  # for a while, where a mixture's paths start from
    if root is not None and config["data"].get("mixture"):
        config["data"]["folder"] = root
    if "freeze" in config:
        config["freeze"] = [MODULES.get(name, name) for name in config["freeze"]]
    return str(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def _vocabulary(text: str) -> str:
    """``vocabulary.json`` that says itself what its special symbols are."""
    fields = json.loads(text)
    if "specials" not in fields:
        specials = {name: index for index, name in enumerate(SPECIALS)}
        fields = {"specials": specials, "first_character": len(specials), **fields}
    return json.dumps(fields, ensure_ascii=False)
