"""Where the shipped weights, examples and configurations lie: in a checkout, or inside an installed package."""

from pathlib import Path

from translatotron_v.errors import UserError
from translatotron_v.hub import fetch, is_hub_name

DEFAULT_WEIGHTS = "small"  # what is used where no weights are named

_PACKAGE = Path(__file__).resolve().parent


def shipped_folder(kind: str) -> Path:
    """The folder of `kind` ("weights", "examples" or "configs").

    An installed package carries them inside itself; in a checkout they stand beside the package, at its root.
    Raises UserError where there is neither.
    """
    for folder in (_PACKAGE / kind, _PACKAGE.parent / kind):
        if folder.is_dir():
            return folder
    raise UserError(f"this installation has no folder of {kind}: install the package again, or work from a checkout")


def shipped_weights() -> dict[str, Path]:
    """Name -> folder of every set of weights that came with the package."""
    try:
        root = shipped_folder("weights")
    except UserError:
        return {}
    return {folder.name: folder for folder in sorted(root.iterdir()) if any(folder.glob("*.safetensors"))}


def find_weights(name_or_path: str | Path) -> Path:
    """The folder behind the name of shipped weights, behind a path, or behind the name of a model on the Hub.

    A path wins where several exist. Raises UserError that lists the shipped names where there is none (see also
    `hub.fetch`).
    """
    path = Path(name_or_path).expanduser()
    shipped = shipped_weights()
    if path.is_dir() and (any(path.iterdir()) or str(name_or_path) not in shipped):
        return path
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    if path.is_file():
        raise UserError(f"{path}: a checkpoint is a folder; give the folder that holds this file")
    if is_hub_name(str(name_or_path)):
        return fetch(str(name_or_path))
    known = ", ".join(shipped) or "none"
    raise UserError(f"{name_or_path}: no such folder, nor weights of that name (shipped with this version: {known})")


def find_config(name_or_path: str | Path) -> Path:
    """A configuration file by path, or by its place among the shipped ones: `paper/translator`.

    Raises UserError that lists the shipped names where there is neither.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    root = shipped_folder("configs")
    shipped = root / Path(name_or_path).with_suffix(".yaml")
    if shipped.is_file():
        return shipped
    known = ", ".join(file.relative_to(root).with_suffix("").as_posix() for file in sorted(root.rglob("*.yaml")))
    raise UserError(f"{name_or_path}: no such file, nor configuration of that name (shipped: {known or 'none'})")
