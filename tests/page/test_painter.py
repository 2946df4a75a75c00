"""A painter of the user's: a tiny ONNX model, written byte by byte as the format says, and files that are none."""

from pathlib import Path

import numpy as np
import pytest

from data_synth.grounds import draw_on_ground
from translatotron_v.errors import UserError
from translatotron_v.page.painter import OnnxPainter
from translatotron_v.page.separate import separate


def _number(value: int) -> bytes:
    """A base-128 varint."""
    answer = b""
    while value > 127:
        answer, value = answer + bytes([value & 127 | 128]), value >> 7
    return answer + bytes([value])


def _field(number: int, value: bytes | str | int) -> bytes:
    """A field of a protocol buffer: a whole number, or bytes with their length."""
    if isinstance(value, int):
        return _number(number << 3) + _number(value)
    value = value.encode() if isinstance(value, str) else value
    return _number(number << 3 | 2) + _number(len(value)) + value


def _value(name: str, channels: int, side: int = 0) -> bytes:
    """A ValueInfoProto of floats (1, channels, H, W); free sides where `side` is 0."""
    sides = [_field(1, side), _field(1, side)] if side else [_field(2, "h"), _field(2, "w")]
    shape = b"".join(_field(1, one) for one in (_field(1, 1), _field(1, channels), *sides))
    return _field(1, name) + _field(2, _field(1, _field(1, 1) + _field(2, shape)))


def _node(kind: str, inputs: list[str], output: str) -> bytes:
    return b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, kind)


def write_model(path: Path, side: int = 0, mask: bool = True) -> Path:
    """A painter that makes holes white: max(picture, mask). Without `mask` it takes the picture alone."""
    nodes = _field(1, _node("Max", ["picture", "mask"], "painted") if mask else _node("Relu", ["picture"], "painted"))
    inputs = _field(11, _value("picture", 3, side)) + (_field(11, _value("mask", 1, side)) if mask else b"")
    graph = nodes + _field(2, "painter") + inputs + _field(12, _value("painted", 3, side))
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13)))
    return path


@pytest.mark.parametrize("side", [0, 64])
def test_a_model_paints_holes_of_any_size(tmp_path: Path, side: int):
    painter = OnnxPainter(write_model(tmp_path / "white.onnx", side))
    pixels = np.full((45, 61, 3), 0.25, dtype=np.float32)
    hole = np.zeros((45, 61), dtype=bool)
    hole[10:30, 10:40] = True
    painted = painter(pixels, hole)
    assert painted.shape == pixels.shape and painted.dtype == np.float32
    assert painted[12:28, 12:38].min() > 0.99 and np.abs(painted[:7] - 0.25).max() < 0.02


def test_it_paints_photographs_and_leaves_paper_to_the_fit(tmp_path: Path):
    painter = OnnxPainter(write_model(tmp_path / "white.onnx"))
    for ground, by_model in (("bare photo", True), ("plain", False)):
        page = draw_on_ground(
            np.random.default_rng(2), ground, "flat", ("Ein Fluss",), "DejaVuSansCondensed", 40, ("grass.png",)
        )
        pixels = page.pixels.astype(np.float32) / 255
        layers = separate(pixels, None, None, 40, painter)
        assert layers.hole.any() and ((layers.background[layers.hole] == 1).mean() > 0.9) == by_model
        assert np.array_equal(layers.background[~layers.hole], pixels[~layers.hole])


def test_what_is_no_painter_is_refused_in_one_line(tmp_path: Path):
    (tmp_path / "text.onnx").write_text("no model")
    for path, named in (
        (tmp_path / "none.onnx", "no such file"),
        (tmp_path / "text.onnx", "not an ONNX model"),
        (write_model(tmp_path / "alone.onnx", mask=False), r"takes a picture \(1, 3, H, W\) and a mask"),
    ):
        with pytest.raises(UserError, match=named) as raised:
            OnnxPainter(path)
        assert "\n" not in str(raised.value) and path.name in str(raised.value)
