"""From a finished translator run to a folder that can be shipped: half precision, no traces of where it was trained."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translatotron_v.checkpoint import (
    CALIBRATION,
    INFO_FILE,
    CheckpointError,
    load_module,
    load_tensors,
    read_info,
    resolve,
    save_checkpoint,
)
from translatotron_v.config import Config, TextMattingConfig, config_from_text, to_yaml
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.models.image_tokenizer import ImageTokenizer, PatchTokenizer
from translatotron_v.models.matting import TextMatting
from translatotron_v.models.translator import TranslatotronV

KEPT_INFO = (
    "step", "steps", "metrics", "cpu_seconds", "elapsed_seconds", "precision", "seed", "torch", "ema", "averaged_steps",
    "merge", "merge_a", "merge_b", "merge_base", "merge_weight", "merge_density", "merged_modules",
)  # fmt: skip
MERGED_FROM = ("merge_a", "merge_b", "merge_base")  # these are places
TOLERANCE = 0.02  # largest difference of the logits in half precision, relative to the largest logit
LARGEST_HALF = 65504.0


def export_run(
    run: Path,
    folder: Path,
    overwrite: bool = False,
    matting: Path | None = None,
    onnx: bool = False,
    quantised: bool = False,
) -> dict[str, int]:
    """Write the weights of a translator as one half-precision file per module, with settings and vocabulary.

    Args:
        run: a run or a checkpoint of the stage ``translator``.
        folder: what is written; Markdown files and licences that lie in it stay.
        overwrite: replace an export that is there already.
        matting: a run or a checkpoint of the stage ``separator``, which makes it a translator of whole pages; by
            default the separator that lies beside the run's own weights, if there is one.
        onnx: write ONNX graphs as well (``engines.export``), and, where it is to be ``quantised``, graphs of eight
            bits.

    Returns:
        File name -> bytes.

    Raises:
        CheckpointError: no such run, one of another stage, weights that half precision changes too much, or a folder
            that holds other things.
    """
    origin = resolve(run)
    info = read_info(origin)
    config = _config_of(origin)
    if config.stage != "translator":
        raise CheckpointError(f"{origin}: a checkpoint of the stage {config.stage!r}; only 'translator' is exported")
    texts = _texts_that_stay(folder, overwrite)
    vocabulary = Vocabulary.from_file(origin / "vocabulary.json")
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count).eval()
    for name, module in model.named_children():
        load_module(module, origin, name)
    halved = halve(model, origin)
    difference = compare(model, halved)
    if not difference <= TOLERANCE:
        raise CheckpointError(f"{origin}: half precision changes the logits by {difference:.1%}; nothing was written")
    modules: dict[str, nn.Module] = dict(halved.named_children())
    separator = None
    if matting is not None:
        separator, config.model.matting = _halved_matting(matting)
    elif (origin / "matting.safetensors").is_file():
        separator = _load_matting(origin, config)
    if separator is not None:
        modules["matting"] = separator
    kept = {
        key: _without_place(str(info[key])) if key in MERGED_FROM else info[key] for key in KEPT_INFO if key in info
    }
    files = texts | {"config.yaml": to_yaml(neutral(config)), "vocabulary.json": vocabulary.to_json()}
    if (origin / CALIBRATION).is_file():
        files[CALIBRATION] = (origin / CALIBRATION).read_text(encoding="utf-8")
    save_checkpoint(folder, modules, files, kept | {"weights": "float16"}, half=True)
    _check_written(folder, modules)
    if onnx:
        from translatotron_v.engines.export import write_graphs

        write_graphs(folder, halved, separator, quantised)
    return {file.name: file.stat().st_size for file in sorted(folder.iterdir())}


def size_table(sizes: dict[str, int]) -> str:
    """The files of an export and what they weigh."""
    width = max(len(name) for name in sizes)
    lines = [f"{name:<{width}}  {size / 1e6:>8.3f} MB" for name, size in sizes.items()]
    return "\n".join([*lines, f"{'in all':<{width}}  {sum(sizes.values()) / 1e6:>8.3f} MB"])


def neutral(config: Config) -> Config:
    """The settings without the places of the machine that they were used on."""
    data = replace(
        config.data,
        folder=_without_place(config.data.folder, "data/"),
        mixture=_without_place(config.data.mixture),
        cache=_without_place(config.data.cache, "runs/"),
    )
    page = replace(config.page, fonts=[_without_place(font) for font in config.page.fonts])
    loss = replace(config.loss, perceptual_weights=_without_place(config.loss.perceptual_weights))
    # Its reader is no longer needed, but that there was one says how the model answers.
    ssr = replace(config.ssr, reader=_without_place(config.ssr.reader), cache=_without_place(config.ssr.cache, "runs/"))
    return replace(
        config, run="runs/exported", vocabulary="", start={}, freeze=[], page=page, data=data, loss=loss, ssr=ssr
    )


def _without_place(path: str, prefix: str = "") -> str:
    """A path that leads elsewhere on the machine becomes its last part."""
    parts = Path(path).parts
    return f"{prefix}{parts[-1]}" if Path(path).is_absolute() or parts[:1] in (("..",), ("~",)) else path


def _config_of(origin: Path) -> Config:
    """The settings of a checkpoint."""
    path = origin / "config.yaml"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file: {origin} is not a whole checkpoint")
    return config_from_text(path.read_text(encoding="utf-8"), str(path))


def _halved_matting(run: Path) -> tuple[TextMatting, TextMattingConfig]:
    """A separator in half precision, and its size."""
    origin = resolve(run)
    config = _config_of(origin)
    if config.stage != "separator":
        raise CheckpointError(f"{origin}: a checkpoint of the stage {config.stage!r}, not of 'separator'")
    return _load_matting(origin, config), config.model.matting


def _load_matting(origin: Path, config: Config) -> TextMatting:
    """The separator of a checkpoint, in half precision."""
    matting = TextMatting(config.model.matting)
    load_module(matting, origin, "matting")
    return matting.half().float().eval()


@torch.no_grad()
def halve(model: TranslatotronV, origin: Path) -> TranslatotronV:
    """A copy whose weights went through half precision; what the codebook keeps for training alone starts afresh.

    Raises:
        CheckpointError: a weight is too large for half precision, or not finite.
    """
    halved = copy.deepcopy(model)
    _reset_codebook(halved.image_tokenizer)
    for name, tensor in halved.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if not bool((tensor.abs() <= LARGEST_HALF).all()):
            raise CheckpointError(f"{origin}: {name} holds values that half precision cannot; nothing was written")
        tensor.copy_(tensor.half())
    return halved


def _reset_codebook(tokenizer: ImageTokenizer | PatchTokenizer) -> None:
    """Running counts and sums of the moving average are no part of translating, and counts may exceed 65,504."""
    if isinstance(tokenizer, PatchTokenizer):
        return
    book: Any = tokenizer.quantizer._codebook
    book.cluster_size.fill_(1.0)
    book.embed_avg.copy_(book.embed)
    tokenizer.get_buffer("idle_steps").zero_()


@torch.no_grad()
def compare(first: TranslatotronV, second: TranslatotronV) -> float:
    """Largest difference of text and image logits on a made-up page, relative to the largest logit."""
    random = torch.Generator().manual_seed(1)
    canvas = first.config.canvas
    pixels = (torch.rand(1, canvas.channels, canvas.height, canvas.width, generator=random) > 0.2).float()
    pieces = torch.randint(first.text_decoder.embedding.num_embeddings, (1, 8), generator=random)
    ids = torch.randint(first.config.tokenizer.codes, (1, first.image_decoder.length), generator=random)
    table = 2 if first.character_encoder is None else first.character_encoder.embedding.num_embeddings
    characters = torch.randint(1, table, (1, 12), generator=random)

    def logits(model: TranslatotronV) -> list[Tensor]:
        source, everything = model.encode_image(pixels), torch.ones_like(pieces, dtype=torch.bool)
        if model.config.connector == "read":
            places = torch.arange(8)[None]
            source = model.encode_reading(source, pieces, everything, places, places + 1)
        output = model(
            source,
            pieces,
            everything,
            image_ids=ids,
            characters=characters,
            character_mask=torch.ones_like(characters, dtype=torch.bool),
            char_to_token=torch.arange(12)[None] // 2,
            fonts=torch.zeros(1, dtype=torch.long),
        )
        return [output.text, output.image]

    pairs = zip(logits(first), logits(second), strict=True)
    return max(float((a - b).abs().max() / a.abs().max()) for a, b in pairs)


def _texts_that_stay(folder: Path, overwrite: bool) -> dict[str, str]:
    """Model card and licence of a folder that is about to be replaced, by name."""
    if folder.is_file():
        raise CheckpointError(f"{folder}: is a file; name a folder to export to")
    found = list(folder.iterdir()) if folder.is_dir() else []
    texts = [path for path in found if path.suffix == ".md" or path.name.startswith("LICENSE")]
    written = {INFO_FILE, CALIBRATION, "config.yaml", "vocabulary.json"}
    others = [
        path
        for path in found
        if path not in texts and path.name not in written and path.suffix not in (".safetensors", ".onnx")
    ]
    if others:
        raise CheckpointError(f"{folder}: holds other things ({others[0].name}); export to a folder of its own")
    if (folder / INFO_FILE).is_file() and not overwrite:
        raise CheckpointError(f"{folder}: exists already; --force replaces it")
    return {path.name: path.read_text(encoding="utf-8") for path in texts}


def _check_written(folder: Path, modules: dict[str, nn.Module]) -> None:
    """What the folder gives back must be what was written."""
    for name, module in modules.items():
        stored: dict[str, Any] = load_tensors(folder / f"{name}.safetensors")
        for key, tensor in module.state_dict().items():
            if not torch.equal(stored[key].to(tensor), tensor):
                raise CheckpointError(f"{folder}: {name}.{key} does not read back as it was written; check the disk")
