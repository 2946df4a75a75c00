"""Colour of 16 bits a channel, which Pillow reads as 8: read by OpenCV, and written as PNG chunk by chunk.

Shapes: H and W are a picture's height and width; channels are red, green, blue and, where there is one, alpha.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image


def is_deep(image: Image.Image) -> bool:
    """Whether a picture as opened has colours of 16 bits a channel."""
    return image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))


def read_deep(path: Path, file: BinaryIO | None, size: tuple[int, int]) -> np.ndarray | None:
    """All bits of a picture's first frame: (H, W, 3 or 4) uint16; None where OpenCV sees another picture, or none."""
    if file is None:
        content = path.read_bytes()
    else:
        file.seek(0)
        content = file.read()
    values = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if values is None or values.dtype != np.uint16 or values.ndim != 3 or values.shape[2] not in (3, 4):
        return None
    if (values.shape[1], values.shape[0]) != size:
        return None
    order = [2, 1, 0, 3][: values.shape[2]]
    return np.ascontiguousarray(values[..., order])


def write_deep(file: BinaryIO, values: np.ndarray, metadata: dict[str, Any]) -> None:
    """Write (H, W, 3 or 4) uint16 as PNG, with what Pillow's `save` would be told of metadata."""
    shallow = io.BytesIO()
    Image.fromarray((values >> 8).astype(np.uint8)).save(shallow, **metadata)
    rows = values.astype(">u2").reshape(len(values), -1).view(np.uint8)
    content = zlib.compress(np.concatenate([np.zeros((len(rows), 1), np.uint8), rows], axis=1).tobytes())
    file.write(b"\x89PNG\r\n\x1a\n")
    for name, data in png_chunks(shallow.getvalue()):
        if name == b"IHDR":
            data = data[:8] + b"\x10" + data[9:]
        if name == b"IDAT":
            data, content = content, b""  # the first takes all
            if not data:
                continue
        write_chunk(file, name, data)


def png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of a PNG's chunks."""
    place = 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += 12 + length


def write_chunk(file: BinaryIO, name: bytes, content: bytes) -> None:
    """One chunk of a PNG."""
    file.write(struct.pack(">I", len(content)) + name + content)
    file.write(struct.pack(">I", zlib.crc32(name + content)))
