"""How many parameters the systems of the comparison need: ours as they are trained, the paper's from its sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from translatotron_v.config import Config, TransformerConfig
from translatotron_v.errors import UserError
from translatotron_v.models.parameters import CHARACTERS, module_sizes
from translatotron_v.models.teacher import TextToImage

FLOAT = 4  # bytes of a weight in the files of the OCR engine
PAPER_SHARE = 0.709  # of the cascade's parameters, as the paper says
_NEAR = 0.015  # of it: a reading that comes so close explains it

READER = ("image_encoder", "ctc_head", "family_head")
TRANSLATION = ("text_encoder", "text_decoder")
_READS = {"reader": READER, "tit": READER, "rapidocr": ()}
_DRAWS = {"draw": ("teacher", "image_tokenizer"), "render": ()}
_COUNTED: dict[tuple[str, int | None, int | None], dict[str, int]] = {}  # what has been counted in this process


@dataclass(frozen=True)
class Reading:
    """One way of counting both sides of the paper's claim.

    Attributes:
        name: what the cascade is made of.
        cascade: names of parts and their parameters.
    """

    name: str
    cascade: Mapping[str, int]

    @property
    def sum(self) -> int:
        """Parameters of the cascade."""
        return sum(self.cascade.values())


def modules_of(system: str) -> tuple[str, ...]:
    """The modules, as `module_sizes` names them, that a system goes through from picture to picture."""
    if system == "end-to-end":
        return (*READER, *TRANSLATION, "character_encoder", "image_decoder", "image_tokenizer")
    if system == "pixels":
        return ("pixels",)
    _, reads, draws = system.split("-")
    return (*_READS[reads], *TRANSLATION, *_DRAWS[draws])


def inference_parameters(system: str, config: Config, pieces: int, characters: int) -> int:
    """Parameters that a system needs to translate a picture, each counted once.

    What finds lines of text and takes them off their background serves all systems alike and is not counted; see
    `shared_parameters`. Neither is the codebook, which no gradient trains; see `codebook_values`.

    Args:
        system: one of `SYSTEMS`.
        config: sizes of all modules.
        pieces, characters: sizes of the two vocabulary tables.
    """
    if system == "pixels":
        return _pixels(config)
    sizes = _sizes(config, pieces, characters)
    engine = engine_parameters("rec") if "-rapidocr-" in system else 0
    return engine + sum(sizes.get(name, 0) for name in modules_of(system))


def codebook_values(system: str, config: Config) -> int:
    """Numbers in the codebook that a system draws from; 0 where it draws otherwise."""
    size = config.model.tokenizer
    width = (
        config.model.canvas.channels * size.patch[0] * size.patch[1] if size.encoder == "pixels" else size.code_width
    )
    return size.codes * width if "image_tokenizer" in modules_of(system) else 0


def shared_parameters(config: Config) -> dict[str, int]:
    """What serves every system: the detection of lines, and the network that takes ink off its background."""
    from translatotron_v.models.separator import Separator

    with torch.device("meta"):
        separator = Separator(config.model.separator)
    return {"detection": engine_parameters("det"), "separator": _count(separator)}


def engine_parameters(part: str) -> int:
    """About how many weights a model of the OCR engine holds: the size of its file; "rec" reads, "det" detects."""
    package = find_spec("rapidocr")
    folders = package.submodule_search_locations if package else None
    found = [path for folder in folders or () for path in Path(folder).glob(f"models/*_{part}_*.onnx")]
    if not found:
        raise UserError(f"rapidocr's {part} model is not where its package has it: pip install 'rapidocr>=3.9'")
    return found[0].stat().st_size // FLOAT


def paper_end_to_end(config: Config) -> dict[str, int]:
    """The parts of the paper's model that translating needs: name -> parameters."""
    sizes = _sizes(config)
    names = {"image encoder": "image_encoder", "target-text decoder": "text_decoder", "image decoder": "image_decoder"}
    return {**{name: sizes[module] for name, module in names.items()}, "tokenizer's decoder": _drawing(config)}


def paper_readings(config: Config) -> list[Reading]:
    """Cascades of the paper's sizes, the plainest first; the paper names their kinds and not their sizes."""
    sizes = _sizes(config)
    seeing, tokens = {"image encoder": sizes["image_encoder"]}, {"tokenizer's decoder": _drawing(config)}
    reading = {"OCR: text decoder": sizes["text_decoder"]}
    large, small = ({f"NMT: {count} + {count} layers": _translating(config, count)} for count in (8, 6))
    teacher = {"text-to-image": sizes["teacher"]}
    model = config.model
    drawer = replace(config, model=replace(model, teacher_decoder=replace(model.image_decoder, fusion="text")))
    wide = {"text-to-image": _teacher(drawer)}
    blind = replace(config, model=replace(model, teacher=replace(model.teacher, layout="none")))
    plain = {"text-to-image": _teacher(blind)}
    head = {"OCR: text decoder": sizes["ocr_head"]}
    told = {"text decoder": sizes["text_decoder"]}
    return [
        Reading(
            "OCR with a decoder of 8 x 512, NMT of 8 + 8 layers, teacher", seeing | reading | large | teacher | tokens
        ),
        Reading("the same, OCR with the head of 4 x 256", seeing | head | large | teacher | tokens),
        Reading("the same, NMT of 6 + 6 layers", seeing | reading | small | teacher | tokens),
        Reading("the same, text-to-image decoder of 8 x 512", seeing | reading | large | wide | tokens),
        Reading("the same, no layout encoder (ResNet-50)", seeing | reading | large | plain | tokens),
        Reading("image to text (image encoder, text decoder), then teacher", seeing | told | teacher | tokens),
    ]  # fmt: skip


def paper_share_sentence(end_to_end: Mapping[str, int], readings: Sequence[Reading]) -> str:
    """Which reading of the paper's claim fits, from the figures."""
    total = sum(end_to_end.values())
    shares = {reading.name: total / reading.sum for reading in readings}
    nearest = min(shares, key=lambda name: abs(shares[name] - PAPER_SHARE))
    off = abs(shares[nearest] - PAPER_SHARE)
    fits = "fits best" if off < _NEAR else "comes nearest, and does not fit"
    also = (
        ""
        if nearest == readings[0].name
        else f" The plainest ({readings[0].name}) gives {_percent(readings[0], total)}."
    )
    return (
        f"The paper says {100 * PAPER_SHARE:.1f} %, and not how large the parts of its cascade are. In these readings "
        f"the share goes from {100 * min(shares.values()):.1f} % to {100 * max(shares.values()):.1f} %. “{nearest}” "
        f"{fits}: {100 * shares[nearest]:.1f} %, {100 * off:.1f} points off.{also} The figure hinges on what the "
        f"cascade is given: against “{readings[-1].name}” it is {_percent(readings[-1], total)}."
    )


def _percent(reading: Reading, total: int) -> str:
    return f"{100 * total / reading.sum:.1f} %"


def _sizes(config: Config, pieces: int | None = None, characters: int | None = None) -> dict[str, int]:
    """Module -> parameters; counting takes a second, so that sizes are counted once."""
    key = repr(config.model), pieces, characters
    if key not in _COUNTED:
        _COUNTED[key] = {row.name: row.parameters for row in module_sizes(config, pieces, characters)}
    return _COUNTED[key]


def _teacher(config: Config) -> int:
    with torch.device("meta"):
        return _count(TextToImage(config.model, CHARACTERS))


def _translating(config: Config, layers: int) -> int:
    """Text to text as wide as the target-text decoder, by its own classes."""
    from translatotron_v.models.text_decoder import TextDecoder, TextEncoder

    model = config.model
    size: TransformerConfig = replace(model.text_decoder, layers=layers)
    with torch.device("meta"):
        encoder = TextEncoder(size, model.vocabulary.symbols, model.image_encoder.width, image_length=1)
        decoder = TextDecoder(size, model.vocabulary.symbols, size.width)
    used = [
        tensor
        for name, tensor in encoder.named_parameters()
        if not name.startswith(TextEncoder.IMAGE_MODE_ONLY)  # of which there is no use without pictures
    ]
    return sum(tensor.numel() for tensor in used) + _count(decoder)


def _drawing(config: Config) -> int:
    """The image tokenizer's way from codes to pixels."""
    from translatotron_v.models.image_tokenizer import make_tokenizer

    with torch.device("meta"):
        tokenizer = make_tokenizer(config.model.tokenizer, config.model.canvas)
    ways = ("from_code", "decoder_positions", "decoder", "decoder_norm", "patch_out")
    return sum(tensor.numel() for name, tensor in tokenizer.named_parameters() if name.split(".")[0] in ways)


def _pixels(config: Config) -> int:
    return module_sizes(replace(config, stage="pixels"))[0].parameters


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
