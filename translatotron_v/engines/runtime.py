"""A translator of ONNX graphs, run by onnxruntime: what ``decoding`` asks of ``TranslatotronV``, without PyTorch.

Arrays are numpy's. What a decoder keeps between its steps stays with onnxruntime.

Shapes: as in ``graphs``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from translatotron_v.config import ModelConfig
from translatotron_v.engines import graphs
from translatotron_v.engines.graphs import part
from translatotron_v.errors import UserError, first_line
from translatotron_v.models.states import SourceStates


class Session:
    """A graph that is loaded when it is first run.

    Args:
        path: of the file.
        threads: that compute; None leaves onnxruntime's choice.
    """

    def __init__(self, path: Path, threads: int | None) -> None:
        self.path, self.threads = path, threads

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = self.threads or 0
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # no core is kept busy by waiting
        if not self.path.is_file():
            raise UserError(f"{self.path}: no such file; translatotron-v export --onnx writes it")
        try:
            session = onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class for every kind, and no base of them all
            raise UserError(f"{self.path}: cannot be loaded: {first_line(error)}") from None
        layout = session.get_modelmeta().custom_metadata_map.get("layout", self.layout)
        if layout != self.layout:
            raise UserError(f"{self.path}: of other weights than lie beside it; take translatotron-v export --onnx")
        return session

    @cached_property
    def layout(self) -> str:
        """Of the weights that lie beside the graph."""
        return graphs.layout(self.path.parent)

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Name -> what is known of the shape of each input."""
        return {one.name: one.shape for one in self._session.get_inputs()}

    @cached_property
    def outputs(self) -> list[str]:
        """Names."""
        return [one.name for one in self._session.get_outputs()]

    def __call__(self, *values: np.ndarray) -> dict[str, np.ndarray]:
        """Run on arrays, in the order of the inputs."""
        given = dict(zip(self.inputs, values, strict=True))
        return dict(zip(self.outputs, self._session.run(None, given), strict=True))

    def on_values(self, values: "dict[str, Any]") -> list[Any]:
        """Run on onnxruntime's own values, which are not copied: name -> value; those of the outputs."""
        found: list[Any] = self._session.run_with_ort_values(self.outputs, values)
        return found


def _value(array: np.ndarray) -> Any:
    from onnxruntime import OrtValue

    return OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


class Steps:
    """A decoder that goes on position by position, with what it reads and what it has computed before.

    Args:
        start, step: graphs.
        read: what ``start`` takes.
        mask: (R, L), which of it may be read.
    """

    def __init__(self, start: Session, step: Session, read: Sequence[np.ndarray], mask: np.ndarray) -> None:
        self.session, self.length = step, 0
        self.fixed = {name: _value(array) for name, array in start(*read).items()} | {"mask": _value(mask)}
        shapes = {name: shape for name, shape in step.inputs.items() if name.startswith("own_")}
        empty = {shape: np.zeros((len(mask), shape[0], 0, shape[1]), np.float32)
                 for shape in {(one[1], one[3]) for one in shapes.values()}}  # fmt: skip
        self.caches = {name: _value(empty[shape[1], shape[3]]) for name, shape in shapes.items()}

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Ids of the position -> logits (R, V or K)."""
        logits, *new = self.session.on_values(self.fixed | self.caches | {"ids": _value(ids)})
        self.caches = dict(zip(self.caches, new, strict=True))
        self.length += 1
        scores: np.ndarray = logits.numpy()
        return scores

    def reorder(self, rows: np.ndarray) -> None:
        """Let rows go on from these; what they read must be the same, as it is for the beams of one page."""
        self.caches = {name: _value(value.numpy()[rows]) for name, value in self.caches.items()}

    def keep(self, rows: np.ndarray) -> None:
        """Go on with these rows alone, each with what it reads."""
        self.fixed = {name: _value(value.numpy()[rows]) for name, value in self.fixed.items()}
        self.reorder(rows)


class OnnxTextDecoder:
    """What decoding asks of ``TextDecoder``."""

    def __init__(self, sessions: "Sessions", name: str, max_length: int) -> None:
        self.max_length = max_length
        self._start, self._step, self._states = (
            sessions[part(name, one)] for one in (graphs.START, graphs.STEP, graphs.STATES)
        )

    def start(self, memory: np.ndarray, mask: np.ndarray | None, capacity: int) -> Steps:
        """Prepare stepwise decoding over a memory (R, S, D); ``capacity`` needs no promise here."""
        return Steps(self._start, self._step, [memory], _all(memory) if mask is None else mask)

    def step(self, ids: np.ndarray, cache: Steps) -> tuple[np.ndarray, None]:
        """One more position: ids (R, 1) -> logits (R, 1, V); its states are not told."""
        return cache(ids)[:, None], None

    def states(self, ids: np.ndarray, memory: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """The states (B, T, D) of all positions of ids (B, T)."""
        return self._states(ids, memory, _all(memory) if mask is None else mask)["states"]


class OnnxImageDecoder:
    """What decoding asks of ``ImageDecoder``."""

    def __init__(self, sessions: "Sessions", config: ModelConfig) -> None:
        rows, columns = config.token_grid
        self.length = rows * columns
        self.reads_image = config.image_decoder.fusion != "text"
        self._start, self._step = (sessions[part(graphs.IMAGE, one)] for one in (graphs.START, graphs.STEP))

    def start(self, text: np.ndarray, text_mask: np.ndarray | None, image: np.ndarray | None) -> "_ImageSteps":
        """Prepare stepwise decoding from text states (B, C, D) and image states (B, S, D)."""
        read = [text]
        if self.reads_image:
            assert image is not None
            read.append(image)
        return _ImageSteps(Steps(self._start, self._step, read, _all(text) if text_mask is None else text_mask))


@dataclass
class _ImageSteps:
    steps: Steps

    def __call__(self, ids: np.ndarray | None) -> np.ndarray:
        """The previous tokens (B,), None at first -> logits (B, K) of the next."""
        if ids is None:  # what the graph does not look at
            ids = np.zeros(self.steps.fixed["mask"].shape()[0], np.int64)
        return self.steps(ids)

    def keep(self, rows: np.ndarray) -> None:
        """Go on with these rows of the batch alone."""
        self.steps.keep(rows)


class OnnxTokenizer:
    """What decoding asks of the image tokenizer."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def decode_from_ids(self, ids: np.ndarray) -> np.ndarray:
        """Token ids (B, N) -> pixels (B, channels, H, W) in [0, 1]."""
        return self._session(ids)["pixels"]


class OnnxMatting:
    """What pages ask of ``TextMatting``.

    Args:
        folder: a checkpoint with graphs.
        threads: as of ``Session``.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        self._session = Session(Path(folder) / f"{graphs.MATTING}{graphs.SUFFIX}", threads)

    def coverage(self, pixels: np.ndarray) -> np.ndarray:
        """Of a picture (H, W, 3) float32 in [0, 1] the share of each pixel under ink (H, W)."""
        return self._session(np.ascontiguousarray(pixels))["coverage"]


@dataclass
class SeenStates(SourceStates):
    """States of a page, and what the heads say of it: CTC logits (B, frames, characters), of fonts (B, fonts)."""

    ctc: np.ndarray | None = None
    fonts: np.ndarray | None = None


class Sessions:
    """The graphs of a folder, by name."""

    def __init__(self, folder: Path, threads: int | None, quantised: bool) -> None:
        self.folder, self.threads, self.quantised = folder, threads, quantised

    def __getitem__(self, name: str) -> Session:
        bytes_too = self.quantised and name != graphs.TOKENIZER
        return Session(self.folder / f"{name}{graphs.QUANTISED if bytes_too else graphs.SUFFIX}", self.threads)


class OnnxTranslator:
    """What decoding asks of ``TranslatotronV``, by ONNX graphs.

    Args:
        folder: a checkpoint with graphs.
        config: its sizes.
        threads: as of ``Session``.
        quantised: take the graphs of eight bits.

    Raises:
        UserError: there are no graphs, or none of eight bits.
    """

    def __init__(self, folder: Path, config: ModelConfig, threads: int | None = None, quantised: bool = False) -> None:
        self.config, sessions = config, Sessions(folder, threads, quantised)
        first = sessions[graphs.ENCODER].path
        if not first.is_file():
            wanted = "--onnx --int8" if quantised else "--onnx"
            raise UserError(f"{folder}: no graphs ({first.name}); translatotron-v export {wanted} writes them")
        self.ctc_head = True if config.ctc_frames else None
        self.font_head = True if config.fonts else None
        self.text_decoder = OnnxTextDecoder(sessions, graphs.TEXT, config.text_decoder.max_length)
        self.ocr_head = (
            OnnxTextDecoder(sessions, graphs.OCR, config.ocr_head.max_length) if config.ocr_head.layers else None
        )
        self.image_decoder = OnnxImageDecoder(sessions, config)
        self.image_tokenizer = OnnxTokenizer(sessions[graphs.TOKENIZER])
        self._encoder, self._reader = sessions[graphs.ENCODER], sessions[graphs.READER]
        self._text_encoder, self._characters = sessions[graphs.TEXT_ENCODER], sessions[graphs.CHARACTERS]

    def eval(self) -> "OnnxTranslator":
        """It is never anything else."""
        return self

    def array(self, values: np.ndarray) -> np.ndarray:
        """Numbers where the model is."""
        return values

    def encode_image(self, pixels: np.ndarray) -> SeenStates:
        """See ``TranslatotronV.encode_image``."""
        made = self._encoder(pixels)
        states = made.get("states")
        memory = made.get("memory", states)
        return SeenStates(memory, None, made.get("reading"), states, made.get("ctc"), made.get("fonts"))

    def encode_reading(
        self, source: SeenStates, pieces: np.ndarray, mask: np.ndarray, first: np.ndarray, last: np.ndarray
    ) -> SeenStates:
        """See ``TranslatotronV.encode_reading``."""
        assert source.picture is not None
        memory = self._reader(pieces, mask, source.picture, first, last)["memory"]
        return SeenStates(memory, mask, source.reading, source.picture, source.ctc, source.fonts)

    def encode_text(self, pieces: np.ndarray, mask: np.ndarray) -> SourceStates:
        """See ``TranslatotronV.encode_text``."""
        return SourceStates(self._text_encoder(pieces, mask)["memory"], mask, None)

    def ctc_logits(self, source: SeenStates) -> np.ndarray:
        """What the CTC head reads: (B, frames, characters)."""
        if source.ctc is None:
            raise ValueError("there is no CTC head (model.ctc_frames is 0), or no page was seen")
        return source.ctc

    def font_logits(self, source: SeenStates) -> np.ndarray:
        """Which font each page is set in: (B, fonts)."""
        if source.fonts is None:
            raise ValueError("this model knows one font (model.fonts is empty), or no page was seen")
        return source.fonts

    def drawing_states(
        self,
        text_states: np.ndarray,
        text_mask: np.ndarray,
        characters: np.ndarray,
        character_mask: np.ndarray,
        char_to_token: np.ndarray,
        fonts: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See ``TranslatotronV.drawing_states``."""
        if not self.config.character_encoder.layers:
            return text_states, text_mask
        more = [] if fonts is None or self.font_head is None else [fonts]
        drawn = self._characters(characters, character_mask, text_states, char_to_token, *more)["drawn"]
        return drawn, character_mask


def _all(states: np.ndarray) -> np.ndarray:
    return np.ones(states.shape[:2], dtype=bool)
