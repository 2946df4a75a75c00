"""Reading pictures: text boxes out of any picture, by an engine of one's choice.

`rapidocr` carries its weights (PP-OCRv6) inside its wheel, so nothing is downloaded; `tesserocr` is optional.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

import cv2
import numpy as np
from PIL import Image

from translatotron_v.errors import UserError

Picture = Image.Image | np.ndarray
Point = tuple[float, float]

ENGINES = ("rapidocr", "tesserocr")
_WINDOW = 127  # pixels along an edge whose median is the ground there


@dataclass(frozen=True)
class TextBox:
    """A piece of text on a picture.

    Attributes:
        polygon: corners in pixels, (x, y), clockwise from the top left.
        text: what is written there.
        score: the engine's confidence in [0, 1].
    """

    polygon: tuple[Point, ...]
    text: str
    score: float = 1.0

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        columns, rows = zip(*self.polygon, strict=True)
        return min(columns), min(rows), max(columns), max(rows)


class OcrEngine(Protocol):
    """Reads the lines of a picture."""

    signature: str  # engine, version and settings, in sacrebleu's key:value|key:value form

    def read(self, image: Picture) -> list[TextBox]:
        """One box for each line of text, in no particular order."""
        ...


def make_ocr_engine(engine: str = "rapidocr", languages: Sequence[str] = ("en", "de")) -> OcrEngine:
    """An OCR engine on one CPU thread.

    Args:
        engine: "rapidocr" or "tesserocr".
        languages: of the text, as two-letter codes; rapidocr reads all Latin scripts with one model and needs none.

    Raises:
        UserError: an unknown engine, or one that is not installed.
    """
    if engine == "rapidocr":
        return RapidOcr()
    if engine == "tesserocr":
        return Tesserocr(languages)
    raise UserError(f"OCR engine {engine!r} is unknown: choose one of {', '.join(ENGINES)}")


def box_from_bounds(left: float, top: float, right: float, bottom: float, text: str, score: float = 1.0) -> TextBox:
    """An upright box."""
    return TextBox(((left, top), (right, top), (right, bottom), (left, bottom)), text, score)


def _rapidocr(settings: Mapping[str, Any]) -> Any:
    """The engine of rapidocr on one thread, without its remarks."""
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise UserError(f"rapidocr cannot be loaded ({error}): pip install 'rapidocr>=3.9' onnxruntime") from None
    quiet = {
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "Global.log_level": "critical",
    }
    return RapidOCR(params={**settings, **quiet})


class RapidOcr:
    """PP-OCRv6 small through onnxruntime.

    On 48x256 strips of 11-px DejaVu Sans it reads captions at a CER of 0.0000 (English) and 0.0003 (German);
    enlarging the strips or putting white around them changes nothing but the time.
    """

    _SETTINGS: ClassVar[dict[str, Any]] = {  # what the engine's accuracy or speed on small pictures depends on
        "Det.limit_type": "max",
        "Det.limit_side_len": 960,
        "Global.use_cls": False,
        "Global.text_score": 0.5,
        "Rec.rec_batch_num": 1,  # a batch is as wide as its widest line; so it is faster, and each line is read alone
    }

    def __init__(self) -> None:
        self._engine: Any = _rapidocr(self._SETTINGS)
        settings = "|".join(f"{key.partition('.')[2]}:{value}" for key, value in self._SETTINGS.items())
        versions = f"ocr:rapidocr-{version('rapidocr')}|onnxruntime:{version('onnxruntime')}"
        self.signature = f"{versions}|{settings}"

    def read(self, image: Picture) -> list[TextBox]:
        """See `OcrEngine.read`."""
        result = self._engine(np.ascontiguousarray(_to_rgb(image)[..., ::-1]))  # the engine takes BGR
        if getattr(result, "boxes", None) is None or getattr(result, "txts", None) is None:
            return []
        boxes = []
        for polygon, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
            corners = tuple((float(x), float(y)) for x, y in polygon)
            boxes.append(TextBox(corners, text, float(score)))
        return boxes


class LineReader:
    """The text recognition of PP-OCRv6 alone: what stands on a picture of a single line."""

    def __init__(self) -> None:
        self._engine: Any = _rapidocr({"Global.use_cls": False, "Global.use_det": False, "Global.text_score": 0.0})

    def read(self, image: Picture) -> tuple[str, float]:
        """The text of a line, and the engine's confidence in [0, 1]; an empty text where it sees none."""
        result = self._engine(np.ascontiguousarray(_to_rgb(image)[..., ::-1]), use_det=False, use_cls=False)
        if not getattr(result, "txts", None):
            return "", 0.0
        return result.txts[0], float(result.scores[0])


class LineDetector:
    """The text detection of PP-OCRv6 alone: where lines of text are, without reading them.

    It finds lines from 5 to 160 pixels per em; smaller ones run together, larger ones fall into pieces. It takes about
    0.5 seconds per million pixels on one core. `page.search` leads it over pictures of any size, at several scales.
    """

    _MODEL = "models/PP-OCRv6_det_small.onnx"  # in rapidocr, whose own way to it takes a second of imports
    _BORDER = 16  # pixels of ground around a picture, in which text at its very edge is still found
    _HALO = 1.5  # pixels of the searched picture by which boxes stand off from their text too far
    _MOST = 100_000  # boxes of one picture

    def __init__(self) -> None:
        package = find_spec("rapidocr")
        path = Path(package.origin if package is not None and package.origin else "").parent / self._MODEL
        if not path.is_file():
            raise UserError(f"rapidocr has no {self._MODEL}: pip install 'rapidocr>=3.9'")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def find(self, image: Picture) -> list[tuple[Point, ...]]:
        """The corners of each line in pixels, (x, y), clockwise from the top left; tilted where the line is tilted.

        The whole picture is searched at once, at its own size.
        """
        return self.boxes(self.probabilities(image))

    def probabilities(self, image: Picture) -> np.ndarray:
        """How probable it is that each pixel is in the middle of a line of text: (H, W) bytes, 255 where sure."""
        pixels = _to_rgb(image)
        height, width = pixels.shape[:2]
        border = self._BORDER
        below, right = (border + -(length + 2 * border) % 32 for length in (height, width))
        padded = _pad(pixels, border, below, border, right)
        values = (padded[..., ::-1].astype(np.float32) / 255 - 0.5) / 0.5  # the engine takes BGR
        batch = np.ascontiguousarray(values.transpose(2, 0, 1)[None])
        found = self._session.run(None, {self._session.get_inputs()[0].name: batch})[0][0, 0]  # (h, w)
        return np.rint(found[border : border + height, border : border + width] * 255).astype(np.uint8)

    def boxes(self, probabilities: np.ndarray) -> list[tuple[Point, ...]]:
        """The corners of each line, as of `find`, from the probabilities (H, W) of a picture."""
        height, width = probabilities.shape
        border = self._BORDER
        padded = np.pad(probabilities, border)  # a box reaches farther than what is probable
        polygons = []
        for box in _spread_boxes(padded, self._MOST):
            corners = _trim(box - border, self._HALO)
            corners = np.clip(corners, 0, (width, height))
            polygons.append(tuple((float(x), float(y)) for x, y in corners))
        return polygons


_FINE = 8  # parts of a pixel that corners are rounded to
_LIKELY = 0.3 * 255  # probability of a pixel from which it counts as text (rapidocr's settings, as all of these are)
_SURE = 0.5 * 255  # mean probability of a box from which it is one
_LEAST = 3  # pixels of a side
_SPREAD = 1.6  # times its area, divided by its outline: what a box grows by on all sides


def _spread_boxes(probabilities: np.ndarray, most: int) -> list[np.ndarray]:
    """Rectangles (4, 2) around what is probable of (H, W) bytes, clockwise from the top left.

    The detector is taught a line's middle alone, from which the line is grown again (DB, Liao et al. 2020, section
    3.4). The same as rapidocr's `DBPostProcess`, whose import takes most of a second.
    """
    import pyclipper

    likely = cv2.dilate((probabilities > _LIKELY).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(likely * 255, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    height, width = probabilities.shape
    boxes = []
    for contour in contours[:most]:
        middle, side = _least_rectangle(contour)
        if side < _LEAST or _mean_inside(probabilities, middle) < _SURE:
            continue
        grown = pyclipper.PyclipperOffset()
        grown.AddPath(middle, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
        by = cv2.contourArea(middle) * _SPREAD / cv2.arcLength(middle, closed=True)
        outline = np.array([point for part in grown.Execute(by) for point in part]).reshape(-1, 1, 2)
        box, side = _least_rectangle(outline)
        if side < _LEAST + 2:
            continue
        box = np.round(box * _FINE).clip(0, (width * _FINE - 1, height * _FINE - 1))
        box = _clockwise(box)
        if min(int(np.linalg.norm(box[0] - box[1])), int(np.linalg.norm(box[0] - box[3]))) > _LEAST:
            boxes.append(box.astype(np.float64) / _FINE)
    return boxes


def _least_rectangle(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The smallest rectangle (4, 2) around points, clockwise from the top left, and its shorter side."""
    rectangle = cv2.minAreaRect(points)
    corners = sorted(cv2.boxPoints(rectangle), key=lambda corner: corner[0])
    left = sorted(corners[:2], key=lambda corner: corner[1])
    right = sorted(corners[2:], key=lambda corner: corner[1])
    return np.array([left[0], right[0], right[1], left[1]]), min(rectangle[1])


def _clockwise(corners: np.ndarray) -> np.ndarray:
    """Corners (4, 2) in order, from the top left."""
    by_column = corners[np.argsort(corners[:, 0])]
    left, right = (side[np.argsort(side[:, 1])] for side in (by_column[:2], by_column[2:]))
    return np.array([left[0], right[0], right[1], left[1]])


def _mean_inside(values: np.ndarray, box: np.ndarray) -> float:
    """The mean of values (H, W) within a box (4, 2)."""
    height, width = values.shape
    left, top = np.floor(box.min(axis=0)).astype(int).clip(0, (width - 1, height - 1))
    right, bottom = np.ceil(box.max(axis=0)).astype(int).clip(0, (width - 1, height - 1))
    mask = np.zeros((bottom - top + 1, right - left + 1), dtype=np.uint8)
    cv2.fillPoly(mask, [(box - (left, top)).astype(np.int32)], (1,))
    return float(cv2.mean(values[top : bottom + 1, left : right + 1], mask)[0])


def _pad(pixels: np.ndarray, above: int, below: int, left: int, right: int) -> np.ndarray:
    """A picture (H, W, 3) of bytes with ground around it: its outermost pixels, smoothed until no text is left."""
    padded = cv2.copyMakeBorder(np.ascontiguousarray(pixels), above, below, left, right, cv2.BORDER_REPLICATE)
    for rows, edge in ((slice(0, above), above), (slice(len(padded) - below, None), len(padded) - below - 1)):
        padded[rows] = cv2.medianBlur(padded[edge : edge + 1], _WINDOW)
    for columns, edge in ((slice(0, left), left), (slice(-right, None), padded.shape[1] - right - 1)):
        padded[:, columns] = cv2.medianBlur(padded[:, edge : edge + 1], _WINDOW)
    return padded


def _trim(quad: np.ndarray, margin: float) -> np.ndarray:
    """A rectangle (4, 2), clockwise from the top left, made smaller by a margin on every side, by a third at most."""
    across, down = quad[1] - quad[0], quad[3] - quad[0]
    steps = []
    for edge in (across, down):
        length = max(float(np.hypot(*edge)), 1e-6)
        steps.append(edge / length * min(margin, length / 6))
    right, below = steps
    return quad + np.stack([right + below, below - right, -right - below, right - below])


class Tesserocr:
    """Tesseract through tesserocr: several times faster on clean print, lost on noise and script fonts.

    It needs the package `tesserocr` and Tesseract's language data (Debian: tesseract-ocr-deu and so on).
    """

    _SCALE = 2  # its models expect larger print than a strip's
    _NAMES: ClassVar[dict[str, str]] = {"en": "eng", "de": "deu", "fr": "fra", "ro": "ron", "cs": "ces"}

    def __init__(self, languages: Sequence[str] = ("en", "de")) -> None:
        try:
            import tesserocr
        except ImportError:
            raise UserError("tesserocr is not installed: pip install 'translatotron-v[tesserocr]'") from None
        names = "+".join(self._NAMES.get(language, language) for language in languages)
        self._tesserocr: Any = tesserocr
        try:
            self._engine: Any = tesserocr.PyTessBaseAPI(lang=names, psm=tesserocr.PSM.SINGLE_BLOCK)
        except RuntimeError as error:
            raise UserError(f"Tesseract has no language data for {names}: {error}") from None
        self.signature = f"ocr:tesserocr-{version('tesserocr')}|lang:{names}|psm:6|scale:{self._SCALE}"

    def read(self, image: Picture) -> list[TextBox]:
        """See `OcrEngine.read`."""
        page = Image.fromarray(_to_rgb(image))
        self._engine.SetImage(page.resize((page.width * self._SCALE, page.height * self._SCALE)))
        self._engine.Recognize()
        line = self._tesserocr.RIL.TEXTLINE
        found = self._engine.GetIterator()
        boxes = []
        for item in self._tesserocr.iterate_level(found, line) if found else ():
            try:
                text = item.GetUTF8Text(line).strip()
            except RuntimeError:  # how it says that a block holds none
                continue
            bounds = item.BoundingBox(line)
            if bounds and text:
                left, top, right, bottom = (edge / self._SCALE for edge in bounds)
                boxes.append(box_from_bounds(left, top, right, bottom, text, item.Confidence(line) / 100))
        return boxes


def _to_rgb(image: Picture) -> np.ndarray:
    """(H, W, 3) uint8 of a PIL picture, or of an array (H, W), (H, W, 1) or (H, W, 3) of uint8; alpha goes on white."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8:
            raise TypeError(f"a picture's array must be uint8, not {image.dtype}")
        grey = image.ndim == 2 or image.shape[-1] == 1
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=-1) if grey else image[..., :3]
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def rows_of(boxes: Sequence[TextBox]) -> list[list[TextBox]]:
    """Boxes in reading order: rows from top to bottom, each from left to right.

    A box joins a row when its middle lies within 40 % of the smaller height from the middle of the row's first box.
    """
    rows: list[list[TextBox]] = []
    for box in sorted(boxes, key=_middle):
        if rows:
            first = rows[-1][0]
            if _middle(box) - _middle(first) <= 0.4 * min(_height(box), _height(first)):
                rows[-1].append(box)
                continue
        rows.append([box])
    return [sorted(row, key=lambda box: box.bounds[0]) for row in rows]


def boxes_to_text(boxes: Sequence[TextBox]) -> str:
    """The text of a picture in reading order (see `rows_of`), joined by single spaces."""
    return " ".join(" ".join(box.text for row in rows_of(boxes) for box in row).split())


def _middle(box: TextBox) -> float:
    return (box.bounds[1] + box.bounds[3]) / 2


def _height(box: TextBox) -> float:
    return box.bounds[3] - box.bounds[1]
