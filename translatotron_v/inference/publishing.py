"""Weights as a folder to pass on, with a model card, and from there to the Hugging Face Hub."""

import math
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from safetensors import safe_open

from translatotron_v.checkpoint import read_info, write_folder
from translatotron_v.errors import UserError, first_line
from translatotron_v.hub import KEPT, MARK, refusal, require_hub
from translatotron_v.inference.loaded import MATTING, LoadedTranslator

CARD = "README.md"


def save_folder(loaded: LoadedTranslator, folder: Path, name: str, license: str = "", overwrite: bool = False) -> None:
    """Write the files that a translator was loaded from, byte for byte, with a model card where they have none.

    Args:
        name: of the model, in its card.
        license: an identifier such as "apache-2.0"; "": none is stated.
        overwrite: replace a model that stands there.

    Raises:
        UserError: a checkpoint of a run, whose settings name folders of this machine; a folder that holds something
            else, or a model and ``overwrite`` is not given; a disk that cannot be written.
    """
    info = read_info(loaded.folder)
    if "weights" not in info:
        raise UserError(
            f"{loaded.folder}: a checkpoint of a run, whose settings name folders of this machine; "
            f"`translatotron-v export {loaded.folder} -o FOLDER` makes weights of it that can be passed on"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not folder.is_dir() or not (folder / MARK).is_file():
            raise UserError(f"{folder}: exists, and is no model; name a new folder")
        if not overwrite:
            raise UserError(f"{folder}: holds a model already; overwrite=True replaces it")

    def contents() -> Iterator[tuple[str, bytes]]:
        for path in own_files(loaded.folder):
            yield path.name, path.read_bytes()
        if not (loaded.folder / CARD).is_file():
            yield CARD, make_card(loaded, name, license).encode()

    write_folder(folder, contents())


def own_files(folder: Path) -> list[Path]:
    """What of a folder belongs to a model: weights, settings, texts."""
    return sorted({path for pattern in KEPT for path in folder.glob(pattern) if path.is_file()})


def push(
    loaded: LoadedTranslator, repository: str, license: str, private: bool | None, token: str | None, message: str
) -> str:
    """Upload a translator; a card that is there already stays unless the weights bring their own.

    Returns:
        The address of the commit.

    Raises:
        UserError: see `save_folder`; no token, one that may not write there, or no connection.
    """
    hub = require_hub("uploading a model")
    from huggingface_hub import errors

    api = hub.HfApi(token=token)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            save_folder(loaded, folder, repository, license)
            api.create_repo(repository, private=private, exist_ok=True)
            if not (loaded.folder / CARD).is_file() and api.file_exists(repository, CARD):
                (folder / CARD).unlink()
            commit = api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    except errors.OfflineModeIsEnabled:
        raise UserError(f"{repository}: cannot be uploaded while HF_HUB_OFFLINE is set") from None
    except errors.LocalTokenNotFoundError:
        raise UserError(f"{repository}: uploading takes a token: `hf auth login`, or HF_TOKEN") from None
    except UserError:
        raise
    except Exception as error:  # of the HTTP library, whichever it is
        raise UserError(f"{repository}: {refusal(error) or f'cannot be uploaded ({first_line(error)})'}") from None
    return str(commit)


def make_card(loaded: LoadedTranslator, name: str, license: str = "") -> str:
    """The model card of a checkpoint, from `card.md` and what the checkpoint says of itself."""
    config, info = loaded.config, read_info(loaded.folder)
    canvas = config.model.canvas
    strip = f"a strip of {canvas.height} x {canvas.width} pixels goes in, and the same strip in the other language out"
    page = "blocks of text are found on pictures of any size, read, translated, drawn anew and put back"
    sizes = {path.stem: (_parameters(path), path.stat().st_size / 1e6) for path in own_files(loaded.folder)
             if path.suffix == ".safetensors"}  # fmt: skip
    metrics = info.get("metrics") or {}
    rows = "\n".join(f"| {key} | {value:.4g} |" for key, value in metrics.items() if isinstance(value, int | float))
    return Template(files(__package__).joinpath("card.md").read_text(encoding="utf-8")).substitute(
        name=name,
        languages=", ".join(config.model.vocabulary.languages),
        source=config.data.source_language,
        target=config.data.target_language,
        pictures=page if (loaded.folder / MATTING).is_file() else strip,
        parameters=f"{sum(count for count, _ in sizes.values()) / 1e6:.1f}M",
        size=f"{sum(size for _, size in sizes.values()):.1f}",
        license_line=f"license: {license}\n" if license else "",
        terms=f"`{license}`." if license else "Not stated. Those of the data that it learnt from hold all the same.",
        training=_training(info),
        scores=f"On the validation data of its run, as its checkpoint says:\n\n| score | value |\n|---|---:|\n{rows}"
        if rows
        else "Its checkpoint says none. `python evaluate.py checkpoint` measures them.",
        modules="\n".join(f"| {module} | {count:,} | {size:.1f} |" for module, (count, size) in sizes.items()),
    )


def _training(info: dict[str, Any]) -> str:
    told = [f"{label} {info[key]}" for key, label in
            (("step", "step"), ("seed", "seed"), ("precision", "trained in"), ("weights", "stored in"))
            if info.get(key) is not None]  # fmt: skip
    return f"{', '.join(told)}." if told else "Its checkpoint says nothing of it."


def _parameters(path: Path) -> int:
    with safe_open(path, framework="np") as file:
        return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118 (no mapping)
