"""How large a model is, module by module, counted without allocating it."""

from dataclasses import dataclass

import torch
from torch import nn

from translatotron_v.config import Config
from translatotron_v.errors import building_a_model
from translatotron_v.models.baselines import PixelBaseline
from translatotron_v.models.discriminator import PatchDiscriminator
from translatotron_v.models.teacher import TextToImage
from translatotron_v.models.translator import TranslatotronV

CHARACTERS = 128  # size of the character table where no vocabulary says: Latin letters, digits, punctuation


@dataclass(frozen=True)
class ModuleSize:
    """One row of the table."""

    name: str
    parameters: int
    buffers: int  # what is saved beside them and not trained by gradient, such as the tokenizer's codebook
    used: str  # when the module is needed


def module_sizes(config: Config, pieces: int | None = None, characters: int | None = None) -> list[ModuleSize]:
    """Parameters of every module that the settings describe; of the pixel-level baseline, of that alone.

    Args:
        pieces, characters: sizes of the two vocabulary tables; by default what the settings ask for, and `CHARACTERS`.
    """
    with building_a_model():
        return _module_sizes(config, pieces, characters)


def _module_sizes(config: Config, pieces: int | None, characters: int | None) -> list[ModuleSize]:
    model = config.model
    if config.stage == "pixel_baseline":
        with torch.device("meta"):
            return [_size("pixel_baseline", PixelBaseline(model.pixel_baseline, model.canvas), "inference")]
    characters = characters or CHARACTERS
    pieces = pieces or max(model.vocabulary.subwords or characters, model.vocabulary.symbols)
    with torch.device("meta"):
        translator = TranslatotronV(model, pieces, characters)
        teacher = TextToImage(model, characters)
        discriminator = PatchDiscriminator(model.discriminator, model.canvas.channels)
    rare = {"text_encoder": "inference, text mode", "ocr_head": "training, reading", "ctc_head": "training, reading"}
    if model.connector == "read":  # what the CTC head reads is what the text encoder gets
        rare["ctc_head"] = "inference"
    rows = [_size(name, module, rare.get(name, "inference")) for name, module in translator.named_children()]
    rows += [_size("teacher", teacher, "training"), _size("discriminator", discriminator, "training, if adversarial")]
    return [row for row in rows if row.parameters or row.buffers]


def parameter_table(config: Config, pieces: int | None = None, characters: int | None = None) -> str:
    """The sizes as text, a row for each module, with the sums of what translating needs and of all."""
    rows = module_sizes(config, pieces, characters)
    inference = [row for row in rows if row.used.startswith("inference")]
    totals: list[ModuleSize] = []
    for name, part, what in (("at inference", inference, "sum of what translating needs"), ("all", rows, "sum")):
        totals.append(ModuleSize(name, sum(row.parameters for row in part), sum(row.buffers for row in part), what))
    rows = rows + totals
    width = max(len(row.name) for row in rows)
    lines = [f"{'module':<{width}}  {'parameters':>12}  {'buffers':>9}  used for"]
    lines += [
        f"{row.name:<{width}}  {row.parameters / 1e6:>10.2f} M  {row.buffers / 1e6:>7.2f} M  {row.used}" for row in rows
    ]
    return "\n".join(lines)


def _size(name: str, module: nn.Module, used: str) -> ModuleSize:
    parameters = sum(parameter.numel() for parameter in module.parameters())
    saved = sum(tensor.numel() for tensor in module.state_dict().values())
    return ModuleSize(name, parameters, saved - parameters, used)
