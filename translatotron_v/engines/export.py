"""A checkpoint's modules as ONNX graphs beside its weights.

The graphs are traced from the modules themselves, so that there is no second list of what a layer computes. They hold
structure alone: each weight is named as a place in the safetensors file that lies beside them (ONNX's external data),
so that a model of any size adds some hundred kilobytes, and nothing is stored twice.

Shapes: as in ``graphs``.
"""

import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translatotron_v.checkpoint import write_aside
from translatotron_v.engines import graphs
from translatotron_v.engines.graphs import caches, part
from translatotron_v.errors import UserError
from translatotron_v.models.layers import CrossAttentionCache, KeyValueCache
from translatotron_v.models.matting import TextMatting
from translatotron_v.models.text_decoder import TextDecoder
from translatotron_v.models.translator import TranslatotronV

OPSET = 17
_ROWS, _LENGTH = 6, 5  # of the made-up inputs; two to four rows would trace a way of multiplying that suits PyTorch


class Growing(KeyValueCache):
    """A cache that becomes longer by joining, as graphs can: what is given to it stays as it is."""

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """See ``KeyValueCache.append``."""
        self.keys, self.values = torch.cat((self.keys, keys), dim=2), torch.cat((self.values, values), dim=2)
        return self.keys, self.values


def _pairs(flat: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _flat(pairs: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    return [tensor for pair in pairs for tensor in pair]


def _kept(own: Sequence[Growing]) -> list[Tensor]:
    return _flat([(cache.keys, cache.values) for cache in own])


class _Part(nn.Module):
    """A graph to be: its modules bear the names of the checkpoint's files."""

    def __init__(self, **modules: nn.Module | None) -> None:
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)


class _Encoder(_Part):
    """Pixels (B, channels, H, W) -> image states or memory, states for the OCR head, logits of the heads there are."""

    image_encoder: Any
    text_encoder: Any
    ctc_head: Any
    font_head: Any

    def __init__(self, model: TranslatotronV) -> None:
        reads = model.config.connector == "read"
        super().__init__(
            image_encoder=model.image_encoder,
            text_encoder=None if reads else model.text_encoder,
            ctc_head=model.ctc_head,
            font_head=model.font_head,
        )
        self.first = int(model.config.image_encoder.class_token)
        names = {"ctc": model.ctc_head, "fonts": model.font_head}
        heads = [name for name, head in names.items() if head is not None]
        self.names = ["states" if reads else "memory", *([] if model.ctc_head else ["reading"]), *heads]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        states = self.image_encoder(pixels)
        made = {"states": states.final, "reading": states.reading}
        if self.text_encoder is not None:
            made["memory"] = self.text_encoder.from_image(states.final)
        if self.ctc_head is not None:
            made["ctc"] = self.ctc_head(states.reading[:, self.first :])
        if self.font_head is not None:
            made["fonts"] = self.font_head(states.reading)
        return tuple(made[name] for name in self.names)


class _Reader(_Part):
    text_encoder: Any

    def forward(self, pieces: Tensor, mask: Tensor, states: Tensor, first: Tensor, last: Tensor) -> Tensor:
        memory: Tensor = self.text_encoder.from_reading(pieces, mask, states, first, last)
        return memory


class _Characters(_Part):
    character_encoder: Any

    def forward(self, characters: Tensor, mask: Tensor, states: Tensor, owners: Tensor, *fonts: Tensor) -> Tensor:
        drawn: Tensor = self.character_encoder(characters, mask, states, owners, *fonts)
        return drawn


class _Tokenizer(_Part):
    image_tokenizer: Any

    def forward(self, ids: Tensor) -> Tensor:
        pixels: Tensor = self.image_tokenizer.decode_from_ids(ids)
        return pixels


class _Matting(_Part):
    matting: Any

    def forward(self, pixels: Tensor) -> Tensor:
        """A picture (H, W, 3) -> (H, W)."""
        coverage: Tensor = self.matting(pixels.permute(2, 0, 1)[None])[0, 0].sigmoid()
        return coverage


class _TextPart(_Part):
    """A part of a text decoder, which is saved under a name."""

    decoder: Any

    def __init__(self, name: str, decoder: TextDecoder) -> None:
        super().__init__(**{name: decoder})
        self.__dict__["decoder"] = decoder


class _TextStart(_TextPart):
    def forward(self, memory: Tensor) -> tuple[Tensor, ...]:
        """(B, S, M) -> keys and values of each layer's cross-attention."""
        return tuple(_flat([layer.cross.project(memory) for layer in self.decoder.layers]))


class _TextStep(_TextPart):
    def forward(self, ids: Tensor, mask: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
        """(R, 1) pieces, (R, S) which states may be read, what is read and what was before -> (R, V), caches."""
        decoder = self.decoder
        count = 2 * len(decoder.layers)
        read = [CrossAttentionCache(*pair, mask[:, None, None]) for pair in _pairs(flat[:count])]
        own = [Growing(*pair) for pair in _pairs(flat[count:])]
        place = torch.arange(flat[count].shape[2] + 1)[-1:]
        x = decoder.embedding(ids) * decoder.scale + decoder.positions.table[place]
        for layer, memory, cache in zip(decoder.layers, read, own, strict=True):
            x = layer(x, memory, cache)
        return (decoder.logits(decoder.norm(x))[:, 0], *_kept(own))


class _TextStates(_TextPart):
    def forward(self, ids: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        states: Tensor = self.decoder.states(ids, memory, mask)
        return states


class _ImageStart(_Part):
    image_decoder: Any

    def forward(self, text: Tensor, *image: Tensor) -> tuple[Tensor, ...]:
        """Text states, and image states if they are read -> keys and values that each layer reads."""
        decoder = self.image_decoder
        read = decoder.project_kv(text, None, image[0] if image else None)
        return tuple(_flat([(memory.keys, memory.values) for layer in read for memory in layer]))


class _ImageStep(_Part):
    image_decoder: Any

    def forward(self, ids: Tensor, mask: Tensor, *flat: Tensor) -> tuple[Tensor, ...]:
        """(B,) tokens, (B, C) which characters may be read, what is read and what was before -> (B, K), caches."""
        decoder = self.image_decoder
        each = len(decoder.layers[0].crosses)
        count = 2 * each * len(decoder.layers)
        memories = [CrossAttentionCache(*pair, None) for pair in _pairs(flat[:count])]
        if decoder.reads_text:
            for memory in memories[::each]:
                memory.mask = mask[:, None, None]
        read = [tuple(memories[start : start + each]) for start in range(0, len(memories), each)]
        own = [Growing(*pair) for pair in _pairs(flat[count:])]
        length = flat[count].shape[2]
        place = torch.arange(length + 1)[-1:]
        x = torch.where(place == 0, decoder.start_vector, decoder.embedding(ids))
        bias = decoder.bias(place, length + 1, causal=False)
        logits = decoder.score((x + decoder.positions()[place])[:, None], read, bias, own)
        return (logits[:, 0], *_kept(own))


@dataclass
class Graph:
    """One graph to be written.

    Attributes:
        name: of the file.
        module: what is traced.
        inputs: name -> a made-up input; ``free`` says of some which axes may have other lengths, and what they are.
        outputs: names.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    free: dict[str, dict[int, str]]
    outputs: list[str]


_STATES = {0: "rows", 1: "states"}
_CACHE = {0: "rows", 2: "length"}


def graphs_of(model: TranslatotronV, matting: TextMatting | None = None) -> Iterator[Graph]:
    """What a translator consists of as graphs, and its separator's."""
    config, canvas = model.config, model.config.canvas
    rows, length = _ROWS, _LENGTH
    pixels = torch.rand(rows, canvas.channels, canvas.height, canvas.width)
    encoder = _Encoder(model)
    yield Graph(graphs.ENCODER, encoder, {"pixels": pixels}, {"pixels": {0: "rows"}}, encoder.names)
    seen: Any = model.encode_image(pixels)
    ids = torch.ones(rows, length, dtype=torch.long)
    mask = torch.ones(rows, length, dtype=torch.bool)
    pieces = {"pieces": ids, "mask": mask}
    ragged = {0: "rows", 1: "pieces"}
    memory = seen.memory
    # Its table of pieces may be the text decoder's own, and is then found under that name.
    reader = {"text_encoder": model.text_encoder, "text_decoder": model.text_decoder}
    if config.connector == "read":
        inputs = pieces | {"states": seen.picture, "first": ids, "last": ids}
        free = {"pieces": ragged, "mask": ragged, "states": {0: "rows"}, "first": ragged, "last": ragged}
        yield Graph(graphs.READER, _Reader(**reader), inputs, free, ["memory"])
        memory = model.encode_reading(seen, ids, mask, ids, ids).memory
    if config.text_encoder.layers:
        yield Graph(graphs.TEXT_ENCODER, _TextMode(**reader), pieces,
                    {"pieces": ragged, "mask": ragged}, ["memory"])  # fmt: skip
    yield from _text_decoder(graphs.TEXT, model.text_decoder, memory)
    if model.ctc_head is None and model.ocr_head is not None:
        yield from _text_decoder(graphs.OCR, model.ocr_head, seen.reading)
    text = model.text_decoder.states(ids, memory, None)
    if model.character_encoder is not None:
        fonts = {} if model.font_head is None else {"fonts": torch.zeros(rows, dtype=torch.long)}
        written = {0: "rows", 1: "characters"}
        yield Graph(
            graphs.CHARACTERS, _Characters(character_encoder=model.character_encoder),
            {"characters": ids, "mask": mask, "states": text, "owners": ids, **fonts},
            {"characters": written, "mask": written, "states": ragged, "owners": written, "fonts": {0: "rows"}},
            ["drawn"],
        )  # fmt: skip
        text = model.drawing_states(text, mask, ids, mask, ids, fonts.get("fonts"))[0]
    yield from _image_decoder(model.image_decoder, text, seen.image_memory)
    tokens = torch.zeros(rows, model.image_decoder.length, dtype=torch.long)
    tokenizer = _Tokenizer(image_tokenizer=model.image_tokenizer)
    yield Graph(graphs.TOKENIZER, tokenizer, {"ids": tokens}, {"ids": {0: "rows"}}, ["pixels"])
    if matting is not None:
        yield Graph(graphs.MATTING, _Matting(matting=matting), {"pixels": torch.rand(70, 90, 3)},
                    {"pixels": {0: "height", 1: "width"}}, ["coverage"])  # fmt: skip


class _TextMode(_Part):
    text_encoder: Any

    def forward(self, pieces: Tensor, mask: Tensor) -> Tensor:
        memory: Tensor = self.text_encoder(pieces, mask)
        return memory


def _text_decoder(name: str, decoder: Any, memory: Tensor) -> Iterator[Graph]:
    layers, rows = len(decoder.layers), len(memory)
    ids = torch.ones(rows, _LENGTH, dtype=torch.long)
    mask = torch.ones(memory.shape[:2], dtype=torch.bool)
    start = _TextStart(name, decoder)
    read, own = caches("read", layers), caches("own", layers)
    yield Graph(part(name, graphs.START), start, {"memory": memory}, {"memory": _STATES}, read)
    inputs = {"ids": ids[:, :1], "mask": mask} | dict(zip(read, start(memory), strict=True))
    inputs |= dict.fromkeys(own, decoder.layers[0].attention.new_cache(memory, 2).keys)
    free = {"ids": {0: "rows"}, "mask": _STATES} | {one: {0: "rows", 2: "states"} for one in read}
    free |= dict.fromkeys(own, _CACHE)
    outputs = ["logits", *(f"new_{one}" for one in own)]
    yield Graph(part(name, graphs.STEP), _TextStep(name, decoder), inputs, free, outputs)
    inputs = {"ids": ids, "memory": memory, "mask": mask}
    free = {"ids": {0: "rows", 1: "pieces"}, "memory": _STATES, "mask": _STATES}
    yield Graph(part(name, graphs.STATES), _TextStates(name, decoder), inputs, free, ["states"])


def _image_decoder(decoder: Any, text: Tensor, image: Tensor) -> Iterator[Graph]:
    name, layers = graphs.IMAGE, len(decoder.layers)
    start = _ImageStart(image_decoder=decoder)
    given = {"text": text} | ({"image": image} if decoder.reads_image else {})
    crosses = len(decoder.layers[0].crosses)
    read, own = caches("read", layers * crosses), caches("own", layers)
    yield Graph(part(name, graphs.START), start, given, {"text": {0: "rows", 1: "characters"}, "image": _STATES}, read)
    mask = torch.ones(text.shape[:2], dtype=torch.bool)
    inputs = {"ids": torch.zeros(len(text), dtype=torch.long), "mask": mask}
    inputs |= dict(zip(read, start(*given.values()), strict=True))
    inputs |= dict.fromkeys(own, decoder.layers[0].attention.new_cache(text, 2).keys)
    free = {"ids": {0: "rows"}, "mask": {0: "rows", 1: "characters"}} | dict.fromkeys(own, _CACHE)
    free |= {one: {0: "rows", 2: f"read_{number // 2 % crosses}"} for number, one in enumerate(read)}
    outputs = ["logits", *(f"new_{one}" for one in own)]
    yield Graph(part(name, graphs.STEP), _ImageStep(image_decoder=decoder), inputs, free, outputs)


def write_graphs(folder: Path, model: TranslatotronV, matting: TextMatting | None, quantised: bool = False) -> None:
    """Write the graphs of a checkpoint beside its weights.

    Args:
        folder: a checkpoint whose weights these are, to the last bit.
        model, matting: in evaluation mode.
        quantised: write those of eight bits as well, of all linear maps but the image tokenizer's.

    Raises:
        UserError: the package ``onnx`` is missing, the folder cannot be written, the image decoder shares keys among
            some of its heads only, or the bridge from reading to translating is soft.
    """
    try:
        import onnx
    except ImportError:
        raise UserError("writing ONNX graphs takes the package onnx: pip install 'translatotron-v[onnx]'") from None

    if model.config.reading != "hard":
        raise UserError(
            "model.reading is soft: what a piece may have been is found between graphs, and none is of that"
        )
    drawer = model.config.image_decoder
    if drawer.kv_heads not in (1, drawer.heads):
        raise UserError(f"model.image_decoder.kv_heads is {drawer.kv_heads}; graphs are of 1, or of one for each head")
    places, layout = stored_places(folder), graphs.layout(folder)
    try:
        with torch.no_grad():
            for graph in graphs_of(model.eval(), matting):
                traced = onnx.load_from_string(_trace(graph))
                if quantised and graph.name not in (graphs.TOKENIZER, graphs.MATTING):
                    _quantise(_trace(graph, fold=True), folder / f"{graph.name}{graphs.QUANTISED}")
                _point_into_files(traced.graph, places)
                traced.metadata_props.add(key="layout", value=layout)
                write_aside(folder / f"{graph.name}{graphs.SUFFIX}", traced.SerializeToString())
    except OSError as error:
        raise UserError(f"{folder}: cannot write the graphs: {error.strerror or error}") from error


def _trace(graph: Graph, fold: bool = False) -> bytes:
    """A graph as ONNX, with its weights in it; ``fold`` computes what depends on weights alone."""
    file: Any = io.BytesIO()  # which torch.onnx takes, though its types do not say so
    with warnings.catch_warnings():  # tracing warns of every Python number that comes of a shape
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            file,
            input_names=list(graph.inputs),
            output_names=graph.outputs,
            dynamic_axes={name: axes for name, axes in graph.free.items() if name in graph.inputs},
            opset_version=OPSET,
            do_constant_folding=fold,
            dynamo=False,
        )
    return file.getvalue()


@dataclass
class Place:
    """Where a tensor lies: the file's name, its type and shape, and the bytes [start, start + length)."""

    file: str
    dtype: str
    shape: list[int]
    start: int
    length: int


def stored_places(folder: Path) -> dict[str, Place]:
    """Where each tensor of a checkpoint lies, by "module.tensor"; the format is safetensors' own."""
    found = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        header, begin = graphs.header(path)
        tied = json.loads(header.pop("__metadata__", {}).get("tied", "{}"))
        for name, entry in [*header.items(), *((name, header[owner]) for name, owner in tied.items())]:
            start, end = entry["data_offsets"]
            place = Place(path.name, entry["dtype"], entry["shape"], begin + start, end - start)
            found[f"{path.stem}.{name}"] = place
    return found


def _point_into_files(graph: Any, places: dict[str, Place]) -> None:
    """Let the weights of a graph be those of the checkpoint's files, cast where they are stored in half precision."""
    from onnx import TensorProto, helper

    casts = []
    for tensor in graph.initializer:
        place = places.get(tensor.name)
        if place is None or place.dtype not in ("F16", "F32", "U8"):  # what the trace has computed, or a buffer
            continue
        if list(tensor.dims) != place.shape:
            raise UserError(f"{place.file}: {tensor.name} has another shape than the model's; export it anew")
        if place.dtype == "F16":
            name, tensor.name = tensor.name, f"{tensor.name}:half"
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
            tensor.data_type = TensorProto.FLOAT16
        if place.dtype == "U8":  # values in [0, 1], in bytes: see `checkpoint.load_module`
            name, tensor.name = tensor.name, f"{tensor.name}:bytes"
            casts.append(helper.make_node("Cast", [tensor.name], [f"{name}:levels"], to=TensorProto.FLOAT))
            casts.append(helper.make_node("Div", [f"{name}:levels", "most"], [name]))
            tensor.data_type = TensorProto.UINT8
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        for key, value in (("location", place.file), ("offset", place.start), ("length", place.length)):
            tensor.external_data.add(key=key, value=str(value))
    if any(node.op_type == "Div" for node in casts):
        graph.initializer.append(helper.make_tensor("most", TensorProto.FLOAT, [], [255.0]))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _quantise(model: bytes, path: Path) -> None:
    """Write a graph whose products with weights are of bytes: a scale for each column, inputs scaled as they come."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quiet = logging.getLogger()  # to which it recommends what tracing has done
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        quantize_dynamic(
            onnx.load_from_string(model),
            path,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
    finally:
        quiet.setLevel(level)
