"""The stage of the separator: which pixels are ink, learnt from pages whose renderer knows.

Shapes: B batch, H and W pixels of a crop.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from einops import repeat
from PIL import Image, ImageFilter
from torch import Tensor

from translatotron_v import ranks as own_ranks
from translatotron_v.config import Config
from translatotron_v.data.pages import PageLayout, PageStyle, cut, default_fonts, is_bundled, render_page
from translatotron_v.data.pairs import TextPair, one_family_of_errors
from translatotron_v.data.parts import SharedBatches
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.models.matting import TextMatting
from translatotron_v.ranks import joined
from translatotron_v.training import losses
from translatotron_v.training.protocol import Evaluation
from translatotron_v.training.sheets import SHEET_PAGES, contact_sheet
from translatotron_v.training.stages.base import Stage

KINDS = ("plain", "gradient", "photo")  # of backgrounds
TRAINING_PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "grass.png", "hubble_deep_field.jpg", "rocket.jpg",
)  # fmt: skip
VALIDATION_PHOTOGRAPHS = ("coffee.png", "gravel.png")  # never seen in training

SIZES = (8, 64)  # smallest and largest font size, pixels per em
_EMPTY = 0.1  # share of training crops without text
_PANELS = 0.3  # share of training crops with a piece of another one pasted over it
_RULES = 0.15  # share of training crops with a ruled line
_PLAIN_INK = 0.2  # share of pages that are black on white, or white on black
_CONTRAST = 0.22  # least distance of ink and background, as a share of that from black to white

Crop = tuple[np.ndarray, np.ndarray]  # pixels (H, W, 3) and the ink's coverage (H, W), uint8 both


@dataclass
class InkBatch:
    """One micro-batch.

    Attributes:
        pixels: (B, 3, H, W) in [0, 1].
        coverage: (B, 1, H, W), the share of each pixel that is under ink.
    """

    pixels: Tensor
    coverage: Tensor

    def to(self, device: torch.device | str) -> "InkBatch":
        """The same batch on another device."""
        return InkBatch(self.pixels.to(device), self.coverage.to(device))


@lru_cache(maxsize=1)
def faces() -> tuple[str, ...]:
    """The regular and the bold face of every bundled family, by name."""
    both = ((regular, f"{regular.removesuffix('-Regular')}-Bold") for regular in default_fonts())
    return tuple(name for names in both for name in names if is_bundled(name))


class InkCrops(SharedBatches[InkBatch]):
    """Batches of crops of pages in every look, by number, without end: ``crops[i]`` is a function of the seed and i.

    Args:
        texts: what is written on them, whole or in part.
        config: canvas (size of a crop), seed and batch size.
        photographs: names of those that pages may stand on.
        stream: tells apart data sets of one seed.
    """

    def __init__(self, texts: Sequence[str], config: Config, photographs: Sequence[str], stream: int):
        self.texts = texts
        self.height, self.width = config.model.canvas.height, config.model.canvas.width
        self.fonts = faces()
        self.seed, self.batch_size = config.trainer.seed, config.trainer.batch_size
        self.photographs, self.stream = photographs, stream

    def part(self, index: int, rank: int = 0, ranks: int = 1) -> InkBatch:
        """Every R-th crop of a micro-batch, from number ``rank`` on; the others are not drawn."""
        return as_batch([self._panel(index, place) for place in range(rank, self.batch_size, ranks)])

    def _panel(self, index: int, place: int) -> Crop:
        """A crop of a micro-batch, perhaps with a piece of the next one and a ruled line."""
        rng, crop = self._drawn(index, place)
        if rng.random() < _PANELS:
            crop = _paste(crop, self._drawn(index, (place + 1) % self.batch_size)[1], rng)
        return _rule(crop, rng) if rng.random() < _RULES else crop

    def _drawn(self, index: int, place: int) -> tuple[np.random.Generator, Crop]:
        rng = np.random.default_rng((self.seed, self.stream, index, place))
        kind = KINDS[rng.integers(len(KINDS))]
        return rng, self.crop(rng, kind, empty=rng.random() < _EMPTY)

    def samples(self, kind: str, count: int, empty: bool = False, rank: int = 0, ranks: int = 1) -> list[Crop]:
        """So many crops on one kind of background, or every R-th; crop i is the same however many there are."""
        key = (self.seed, self.stream, KINDS.index(kind), int(empty))
        return [self.crop(np.random.default_rng((*key, i)), kind, empty) for i in range(rank, count, ranks)]

    @one_family_of_errors()
    def crop(self, rng: np.random.Generator, kind: str, empty: bool = False) -> Crop:
        """Render a page with some text, or with none, and cut a piece out of it."""
        size = round(float(np.exp(rng.uniform(*np.log(SIZES)))))
        layout = PageLayout(self.height + size, self.width + 3 * size, 3)
        style = _draw_style(rng, kind, size, self.fonts[int(rng.integers(len(self.fonts)))], self.photographs)
        text = "" if empty else cut(self._text(rng, layout, size), layout, style)
        page = render_page(text, layout, style)
        assert page is not None  # ``cut`` left what fits
        top, left = rng.integers(size + 1), rng.integers(3 * size + 1)
        window = (slice(top, top + self.height), slice(left, left + self.width))
        coverage = page.mask
        if style.blur:  # the ink runs just as far as it does in the picture
            coverage = np.asarray(Image.fromarray(page.mask).filter(ImageFilter.GaussianBlur(style.blur)))
        return page.pixels[window], coverage[window]

    def _text(self, rng: np.random.Generator, layout: PageLayout, size: int) -> str:
        """Words for a part of the page, or all of it; a few in capitals, and a few numbers."""
        room = rng.uniform(0.1, 0.9) * layout.height * layout.width / (0.65 * size * size)  # characters
        words: list[str] = []
        while sum(map(len, words)) + len(words) < room:
            sentence = self.texts[int(rng.integers(len(self.texts)))].split()
            words += sentence[rng.integers(len(sentence)) :] if sentence else ["-"]
            if rng.random() < 0.25:
                words.append(("{}", "{} %", "({})", "{},50", "{}:30")[rng.integers(5)].format(rng.integers(2000)))
        short = [word for word in words if 0.65 * size * len(word) < layout.width - 40]
        text = " ".join(short)
        return text.upper() if rng.random() < 0.1 else text


def _draw_style(rng: np.random.Generator, kind: str, size: int, font: str, photographs: Sequence[str]) -> PageStyle:
    """A look in which text can be told from its background, if not always read with comfort."""
    ink, paper, end, fade = _draw_colours(rng, kind)
    return PageStyle(
        font=font,
        font_size=size,
        line_height=0 if rng.random() < 0.6 else round(size * rng.uniform(1.4, 2.0)),
        margin=int(rng.integers(2, 20)),
        top=int(rng.integers(0, size)) // 2,
        ink=ink,
        paper=paper,
        background=kind,
        paper_end=end,
        picture=photographs[int(rng.integers(len(photographs)))] if kind == "photo" else "",
        fade=fade,
        noise=float(rng.uniform(0, 12)) if rng.random() < 0.4 else 0.0,
        blur=float(rng.uniform(0.2, min(1.2, size / 16))) if rng.random() < 0.4 else 0.0,
        jpeg=int(rng.integers(40, 96)) if rng.random() < 0.5 else 0,
        seed=int(rng.integers(2**31)),
    )


def _draw_colours(
    rng: np.random.Generator, kind: str
) -> tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int], float]:
    """Ink, paper, a gradient's end and the share of paper in a photograph.

    Ink keeps its distance from every colour of the paper; on a photograph, where that could be any, from every
    brightness.
    """
    if kind == "plain" and rng.random() < _PLAIN_INK:
        black, white = (0, 0, 0), (255, 255, 255)
        return (black, white, white, 0.0) if rng.random() < 0.7 else (white, black, black, 0.0)
    while True:
        ink, paper, end = rng.integers(0, 256, (3, 3))
        fade = float(rng.uniform(0.25, 0.85))
        if kind == "photo":
            paper = np.full(3, 255 * rng.integers(2)) if rng.random() < 0.7 else paper
            lowest, highest = _brightness(paper) * fade, _brightness(paper) * fade + 255 * (1 - fade)
            distance = max(lowest - _brightness(ink), _brightness(ink) - highest) / 255
        else:
            shades = np.linspace(paper, end if kind == "gradient" else paper, 9)
            distance = np.linalg.norm(shades - ink, axis=1).min() / np.linalg.norm((255, 255, 255))
        if distance >= _CONTRAST * (0.5 if kind == "photo" else 1.0):
            return _rgb(ink), _rgb(paper), _rgb(end), round(fade, 3) if kind == "photo" else 0.0


def _brightness(colour: np.ndarray) -> float:
    return float(colour @ (0.299, 0.587, 0.114))


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(level) for level in colour)
    return red, green, blue


def _paste(crop: Crop, other: Crop, rng: np.random.Generator) -> Crop:
    """A rectangle of another crop over this one: panels have edges, and pages text of more than one colour."""
    height, width = crop[1].shape
    rows, columns = (np.sort(rng.integers(0, size + 1, 2)) for size in (height, width))
    window = (slice(*rows), slice(*columns))
    pixels, coverage = crop[0].copy(), crop[1].copy()
    pixels[window], coverage[window] = other[0][window], other[1][window]
    return pixels, coverage


def _rule(crop: Crop, rng: np.random.Generator) -> Crop:
    """A straight line behind the text, of any colour, from edge to edge: it is no ink."""
    pixels, coverage = crop[0].copy(), crop[1]
    across = rng.random() < 0.7
    place = int(rng.integers(coverage.shape[0 if across else 1]))
    line = slice(place, place + int(rng.integers(1, 4)))
    window = (line, slice(None)) if across else (slice(None), line)
    under = coverage[window][..., None] / 255
    pixels[window] = np.rint(pixels[window] * under + rng.integers(0, 256, 3) * (1 - under)).astype(np.uint8)
    return pixels, coverage


def as_batch(crops: Sequence[Crop]) -> InkBatch:
    """Crops of one size as a batch."""
    pixels = torch.from_numpy(np.stack([crop[0] for crop in crops])).permute(0, 3, 1, 2)
    coverage = torch.from_numpy(np.stack([crop[1] for crop in crops]))[:, None]
    return InkBatch((pixels.float() / 255).contiguous(memory_format=torch.channels_last), coverage.float() / 255)


class SeparatorStage(Stage):
    """Trains a separator on rendered crops; the corpus lends its words.

    Crops have the size of the canvas, which must be RGB.
    """

    wanted: frozenset[str] = frozenset()

    def __init__(self, config: Config, vocabulary: Vocabulary, train: list[TextPair], validation: list[TextPair]):
        if config.model.canvas.channels != 3:
            raise UserError("the separator works on colours: set model.canvas.channels=3")
        super().__init__(config, vocabulary, train, validation)
        # channels_last: a third of the time on a CPU
        self.matting = TextMatting(config.model.matting).to(memory_format=torch.channels_last)
        self.modules_to_save = {"matting": self.matting}
        self.freeze(*config.freeze)
        self.dataset = InkCrops(_texts(train), config, TRAINING_PHOTOGRAPHS, 3)  # type: ignore[assignment]
        self.held_out = InkCrops(_texts(validation), config, VALIDATION_PHOTOGRAPHS, 4)

    def forward(self, batch: InkBatch, optimizer: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """The loss of the coverage, and its mean absolute error."""
        logits = self.matting(batch.pixels)
        error = (logits.detach().sigmoid() - batch.coverage).abs().mean()
        return losses.ink_loss(logits, batch.coverage, own_ranks.summed), {"error": error}

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """IoU of ink, and error of the coverage, for each kind of background and as their mean; a sheet.

        ``KIND_iou`` is that of coverages over one half, the mean over crops; ``KIND_error`` the mean absolute error of
        coverage. ``blank_ink`` is the share of pixels that are taken for ink where there is no text at all.
        """
        count = max(1, self.config.data.validation_limit // len(KINDS))
        metrics: dict[str, float] = {}
        rows: list[tuple[Tensor, Tensor, Tensor]] = []
        rank, ranks = own_ranks.number(), own_ranks.count()
        shown = -(-SHEET_PAGES // len(KINDS))
        for kind in KINDS:
            found = list(self._separate(self.held_out.samples(kind, count, rank=rank, ranks=ranks)))
            scores = joined([[(iou(ink, wanted), float((ink - wanted).abs().mean()))] for _, ink, wanted in found])
            metrics[f"{kind}_iou"] = float(np.mean([score for score, _ in scores if score is not None] or [0.0]))
            metrics[f"{kind}_error"] = float(np.mean([error for _, error in scores]))
            rows += joined([[row] for row in found[:shown]])[:shown]
        for name in ("iou", "error"):
            metrics[name] = float(np.mean([metrics[f"{kind}_{name}"] for kind in KINDS]))
        blank = list(self._separate(self.held_out.samples("photo", count, empty=True, rank=rank, ranks=ranks)))
        metrics["blank_ink"] = float(np.mean(joined([[float((ink > 0.5).float().mean())] for _, ink, _ in blank])))
        rows += joined([[row] for row in blank[:1]])[:1]
        columns = [torch.stack(column) for column in zip(*rows, strict=True)]
        columns[1:] = [repeat(ink, "b 1 h w -> b c h w", c=3) for ink in columns[1:]]
        return Evaluation(metrics, contact_sheet(columns))

    def _separate(self, crops: Sequence[Crop], size: int = 32) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Pixels (3, H, W), coverage as it is found, and as it should be (1, H, W)."""
        device = next(self.parameters()).device
        for start in range(0, len(crops), size):
            batch = as_batch(crops[start : start + size]).to(device)
            ink = self.matting(batch.pixels).float().sigmoid()
            yield from zip(batch.pixels.cpu(), ink.cpu(), batch.coverage.cpu(), strict=True)


def iou(ink: Tensor, wanted: Tensor) -> float | None:
    """Intersection over union of two coverages, each taken for ink over one half; None where neither has any."""
    found, true = ink > 0.5, wanted > 0.5
    union = int((found | true).sum())
    return int((found & true).sum()) / union if union else None


def _texts(pairs: Sequence[TextPair]) -> list[str]:
    return [text for pair in pairs for text in (pair.source, pair.target)]
