"""Whole pictures: their blocks of text are found, translated strip by strip, and put back where they stood.

Everything that is no language is done by `translatotron_v.page`; this module leads each block there and back.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from PIL import Image, ImageDraw

from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.certainty import RIGHT, Calibration
from translatotron_v.inference.loaded import BlockTranslation, LoadedTranslator, Translation
from translatotron_v.inference.paragraphs import read_paragraphs, translate_paragraphs
from translatotron_v.inference.pieces import Paragraph
from translatotron_v.metrics.language import identify
from translatotron_v.models.separator import Separator
from translatotron_v.ocr import LineDetector
from translatotron_v.page.blocks import Block, find_blocks
from translatotron_v.page.compose import compose
from translatotron_v.page.lines import Line, Point, find_lines
from translatotron_v.page.profile import Setting, measure
from translatotron_v.page.separate import Layers, load_separator, separate
from translatotron_v.page.straighten import Crop, straighten
from translatotron_v.page.strips import BlockInk, cut_lines

UNREADABLE = 0.7  # how well ink must agree with the profile of text; less is no text, or handwriting
# Geometric mean of the probabilities of what was read; less is other writing, or none. Of 211 blocks of validation
# pages none is under .91; of 120 in families that no training page had, 10 are under .88, a sixth of their letters
# misread.
UNSURE = 0.88
LARGEST = 128.0  # pixels per em above which text is left as it is
STRIPS = 16  # strips at a time, at least: a picture often has several
SPOKEN = ("cs", "de", "en", "es", "fr", "it", "nl", "pl", "ro")  # the languages that a block is told apart from


@dataclass
class Work:
    """One block on its way."""

    block: Block
    crop: Crop
    layers: Layers
    setting: Setting
    paragraph: Paragraph
    left: str = ""
    language: str = ""
    right: float | None = None  # how probable it is that its translation is right


class System(Protocol):
    """What happens between the blocks of a page and the words that are put back: `EndToEnd`, or what is handed in."""

    @property
    def reads(self) -> bool:
        """Whether it says what stands on a block, so that those in another language can be left."""
        ...

    @property
    def folder(self) -> Path | None:
        """Of the weights that it has beside the translator's."""
        ...

    def read(self, pages: Sequence[np.ndarray], works: Sequence[Sequence[Work]], batch_size: int) -> None:
        """Fill text, certainty and family of the paragraphs of pages (H, W, 3), in place."""
        ...

    def translate(self, works: Sequence[Work], batch_size: int, generation: GenerationConfig) -> None:
        """Fill translations, words and scores of paragraphs, in place."""
        ...


class SystemMaker(Protocol):
    """What builds a system for loaded weights, such as `baselines.Baseline`."""

    @property
    def name(self) -> str:
        """What messages and reports call the system."""
        ...

    def __call__(self, loaded: LoadedTranslator) -> System:
        """The system."""
        ...


class EndToEnd:
    """The model as it is: it reads strips and writes strips."""

    reads: ClassVar[bool] = True
    folder: ClassVar[Path | None] = None

    def __init__(self, loaded: LoadedTranslator) -> None:
        self.loaded = loaded

    def read(self, pages: Sequence[np.ndarray], works: Sequence[Sequence[Work]], batch_size: int) -> None:
        """See `System.read`."""
        read_paragraphs(self.loaded, [work.paragraph for page in works for work in page], batch_size)

    def translate(self, works: Sequence[Work], batch_size: int, generation: GenerationConfig) -> None:
        """See `System.translate`."""
        translate_paragraphs(self.loaded, [work.paragraph for work in works], batch_size, generation)


class PageTranslator:
    """Translates pictures of any size and kind with a model of strips.

    Args:
        system: reads, translates and draws; the model itself where none is given.
        separator: takes ink off its background; None: without a network, which sees ink in photographs.
        detector: finds lines of text.
        calibration: what the scores of the system's answers mean; None: nobody has found out.
    """

    def __init__(
        self,
        system: System,
        separator: Separator | None,
        detector: LineDetector,
        calibration: Calibration | None = None,
    ) -> None:
        self.system, self.separator, self.detector = system, separator, detector
        self.calibration = calibration

    @classmethod
    def from_folder(cls, loaded: LoadedTranslator, system: System | None = None) -> "PageTranslator":
        """With the separator that lies beside the model's weights, and the calibration of the model itself."""
        calibration = Calibration.from_folder(loaded.folder) if system is None else None
        return cls(system or EndToEnd(loaded), load_separator(loaded.folder), LineDetector(), calibration)

    def translate(
        self,
        pictures: Sequence[Image.Image],
        batch_size: int,
        generation: GenerationConfig,
        debug: bool = False,
    ) -> list[Translation]:
        """Translate pictures of mode L or RGB; strips of all of them share batches.

        Args:
            batch_size: strips at a time, where it is more than `STRIPS`.
            generation: blocks that are read as another language than the source's stay as they are; its minimal
                confidence takes a calibration.
            debug: keep pictures of what was seen on the way in `Translation.debug`.
        """
        batch_size = max(batch_size, STRIPS)
        pages = [np.asarray(picture.convert("RGB")) for picture in pictures]
        found = [find_lines(page, self.detector) for page in pages]
        works = [self._prepare(page, lines) for page, lines in zip(pages, found, strict=True)]
        asked = [[work for work in page if not work.left] for page in works]
        self.system.read(pages, asked, batch_size)
        if self.system.reads:
            for work in (work for page in asked for work in page):
                _judge(work, generation.source_language)
        wanted = [work for page in asked for work in page if not work.left]
        self.system.translate(wanted, batch_size, generation)
        if self.calibration is not None:
            for work in wanted:
                work.right = work.paragraph.certainty(self.calibration)
                if work.right is not None and work.right < generation.min_confidence:
                    work.left = "doubtful"
        return [
            self._finish(picture, page, lines, work, debug)
            for picture, page, lines, work in zip(pictures, pages, found, works, strict=True)
        ]

    def _prepare(self, page: np.ndarray, lines: Sequence[Line]) -> list[Work]:
        """The blocks of a page, separated and brought to the model's size."""
        works = []
        for block in find_blocks(lines, page.shape[1]):
            crop = straighten(page, block)
            layers = separate(crop.pixels.astype(np.float32) / 255, self.separator, crop.where())
            setting = measure(layers.ink, crop.rows)
            ink = BlockInk(layers.ink, crop.rows, setting)
            runs = cut_lines(ink.lines)
            left = "large" if setting.em > LARGEST else ""
            if not left and (not runs or setting.fit < UNREADABLE):
                left = "unreadable"
            works.append(Work(block, crop, layers, setting, Paragraph(runs, ink), left))
        return works

    def _finish(
        self, picture: Image.Image, page: np.ndarray, lines: Sequence[Line], works: Sequence[Work], debug: bool
    ) -> Translation:
        """Put translations back, and say of each block what became of it."""
        answer = page
        new: dict[int, tuple[tuple[Point, ...], ...]] = {}  # boxes of the words that stand already, by block
        for number, work in enumerate(works):
            if work.left:
                continue
            obstacles = [other.block.quad for other in works if other is not work]
            obstacles += [line.quad for line in lines if line.left]
            obstacles += [quad for quads in new.values() for quad in quads]
            composed = compose(
                answer,
                work.crop,
                work.layers,
                work.setting,
                work.paragraph.words,
                work.block.alignment,
                obstacles=obstacles,
                breaks=work.paragraph.breaks,
            )
            answer, work.left, new[number] = composed.pixels, composed.left, composed.quads
        blocks = [_report(work) for work in works]
        blocks += [BlockTranslation(line.quad, left=line.left) for line in lines if line.left]
        done = [block for block in blocks if not block.left]
        names = [name for name in (RIGHT, "text", "image") if all(name in block.scores for block in done)]
        return Translation(
            image=Image.fromarray(answer).convert(picture.mode),
            text="\n".join(block.text for block in done),
            source_text="\n".join(block.source_text for block in blocks if block.source_text),
            scores={name: min(block.scores[name] for block in done) for name in names} if done else {},
            blocks=tuple(blocks),
            terms=tuple(term for block in done for term in block.terms),
            debug=_debug(page, lines, works) if debug else {},
        )


def _judge(work: Work, source_language: str) -> None:
    """Leave a block on which nothing sure, or nothing in the source language, was read."""
    paragraph = work.paragraph
    work.language = identify(paragraph.text, tuple(sorted({*SPOKEN, source_language})))
    if not paragraph.text or (paragraph.reading or 0.0) < math.log(UNSURE):
        work.left = "unreadable"
    elif paragraph.wordless:
        work.left = "numbers and symbols"
    elif not work.language:
        work.left = "no words"
    elif work.language != source_language:
        work.left = "another language"


def _report(work: Work) -> BlockTranslation:
    paragraph = work.paragraph
    red, green, blue = (round(255 * level) for level in work.layers.colour)
    return BlockTranslation(
        quad=work.block.quad,
        source_text=paragraph.text,
        text="" if work.left else paragraph.translation,
        scores=({} if work.right is None else {RIGHT: work.right}) | paragraph.confidence,
        family=paragraph.family,
        size=round(work.setting.em, 1),
        colour=(red, green, blue),
        angle=round(work.block.angle, 1),
        language=work.language,
        left=work.left,
        terms=() if work.left else tuple(paragraph.terms),
        unwritable=() if work.left else tuple(paragraph.unwritable),
    )


def _debug(page: np.ndarray, lines: Sequence[Line], works: Sequence[Work]) -> dict[str, Image.Image]:
    """What was seen on the way: boxes, and for each block its ink, background, strips, and what the model wrote."""
    boxes = Image.fromarray(page)
    pen = ImageDraw.Draw(boxes)
    for line in lines:
        pen.polygon(list(line.quad), outline=(220, 30, 30) if line.left else (30, 120, 220))
    for work in works:
        pen.polygon(list(work.block.quad), outline=(30, 160, 60))
    seen = {"boxes": boxes}
    for number, work in enumerate(works, start=1):
        seen[f"block-{number:02}-mask"] = _picture(1 - work.layers.ink)
        seen[f"block-{number:02}-background"] = _picture(work.layers.background)
        if work.paragraph.sentences:
            strips = np.concatenate([strip.ink for strip in work.paragraph.sentences])
            seen[f"block-{number:02}-strips"] = _picture(1 - strips)
        if work.paragraph.drawn:
            seen[f"block-{number:02}-drawn"] = _picture(1 - np.concatenate(work.paragraph.drawn))
    return seen


def _picture(values: np.ndarray) -> Image.Image:
    """(H, W) or (H, W, 3) in [0, 1] as a picture."""
    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))
