"""A painter of the user's: an ONNX model that fills holes in pictures, such as LaMa (Suvorov et al. 2022).

The model takes a picture (1, 3, H, W) in [0, 1] and a mask (1, 1, H, W), 1 where to paint, and gives a picture
(1, 3, H, W) in [0, 1] or 0 to 255. Sides that the file fixes are kept to by scaling; others are padded to multiples of
8.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from translatotron_v.errors import UserError, first_line

_MULTIPLE = 8  # that free sides are padded to


class OnnxPainter:
    """Fills holes with a model of the user's.

    Args:
        path: of an ONNX file.

    Raises:
        UserError: the file cannot be read, or is no such model.
    """

    def __init__(self, path: str | Path) -> None:
        import onnxruntime

        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"{path}: no such file; the painter is an ONNX model that takes a picture and a mask")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is said once, by the error below
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of its own for each way to fail
            raise UserError(f"{path}: not an ONNX model that can be loaded ({first_line(error)})") from None
        inputs = {one.shape[1] if len(one.shape) == 4 else None: one for one in self._session.get_inputs()}
        if len(self._session.get_inputs()) != 2 or set(inputs) != {3, 1}:
            found = ", ".join(f"{one.name} {one.shape}" for one in self._session.get_inputs())
            raise UserError(f"{path}: a painter takes a picture (1, 3, H, W) and a mask (1, 1, H, W), not {found}")
        self._picture, self._mask = inputs[3], inputs[1]

    def __call__(self, pixels: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """See `inpaint.Painter`.

        Raises:
            UserError: the model fails, or gives something else than a picture of that size.
        """
        height, width = hole.shape
        rows, columns = (_fixed(side) for side in self._picture.shape[2:])
        size = (columns or width, rows or height)
        scaled = size != (width, height)
        picture = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scaled else pixels
        area = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) if scaled else hole
        mask = (area > 0).astype(np.float32)
        down, right = (0 if rows else -size[1] % _MULTIPLE), (0 if columns else -size[0] % _MULTIPLE)
        picture = np.pad(picture, ((0, down), (0, right), (0, 0)), mode="edge")
        mask = np.pad(mask, ((0, down), (0, right)))
        given = {
            self._picture.name: picture.transpose(2, 0, 1)[None].astype(np.float32),
            self._mask.name: mask[None, None],
        }
        try:
            painted: Any = self._session.run(None, given)[0]
        except Exception as error:
            raise UserError(
                f"{self.path}: the painter failed on {width}x{height} pixels ({first_line(error)})"
            ) from None
        if painted.shape != (1, 3, *picture.shape[:2]) or not np.isfinite(painted).all():
            raise UserError(
                f"{self.path}: the painter gave {painted.shape}, not a picture (1, 3, H, W) of the size asked"
            )
        answer = painted[0].transpose(1, 2, 0).astype(np.float32)
        answer = answer / 255 if answer.max() > 2 else answer
        answer = np.ascontiguousarray(answer[: size[1], : size[0]])
        if scaled:
            answer = cv2.resize(answer, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(answer, 0, 1)


def _fixed(side: Any) -> int | None:
    """A side that the file gives as a number."""
    return side if isinstance(side, int) and side > 0 else None
