"""Whole pictures: their blocks of text are found, translated strip by strip, and put back where they stood.

Everything that is no language is done by `translatotron_v.page`; this module leads each block there and back.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from PIL import Image, ImageDraw

from translatotron_v.arguments import ONNX
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.block_state import BlockState
from translatotron_v.inference.certainty import RIGHT, Calibration
from translatotron_v.inference.loaded import BlockTranslation, LoadedTranslator, Translation
from translatotron_v.inference.paragraphs import read_paragraphs, translate_paragraphs
from translatotron_v.inference.pictures import in_mode
from translatotron_v.inference.pieces import Paragraph
from translatotron_v.ocr import LineDetector
from translatotron_v.page.arrange import arrange
from translatotron_v.page.blocks import Block, find_blocks
from translatotron_v.page.compose import compose, erase
from translatotron_v.page.free_ground import panel
from translatotron_v.page.groups import size_groups
from translatotron_v.page.inpaint import Painter
from translatotron_v.page.lines import Line, Point
from translatotron_v.page.orientation import Oriented, orient, turn_points
from translatotron_v.page.search import find_lines
from translatotron_v.page.separate import Matting, load_matting, separate
from translatotron_v.page.shaping import Word
from translatotron_v.page.straighten import straighten
from translatotron_v.page.strips import BlockAlpha, cut_lines
from translatotron_v.page.style import Style, measure_style

UNREADABLE = 0.7  # how well ink must agree with the profile of text; less is no text, or handwriting
STRIPS = 16  # strips at a time, at least: a picture often has several


class BlockTranslator(Protocol):
    """What happens between the blocks of a page and the words that are put back: `EndToEnd`, or what is handed in."""

    @property
    def reads(self) -> bool:
        """Whether it says what stands on a block, so that those in another language can be left."""
        ...

    @property
    def folder(self) -> Path | None:
        """Of the weights that it has beside the translator's."""
        ...

    def read(self, pages: Sequence[np.ndarray], states: Sequence[Sequence[BlockState]], batch_size: int) -> None:
        """Fill text, certainty and font of the paragraphs of pages (H, W, 3), in place."""
        ...

    def translate(self, states: Sequence[BlockState], batch_size: int, generation: GenerationConfig) -> None:
        """Fill translations, words and scores of paragraphs, in place."""
        ...


class BaselineMaker(Protocol):
    """What builds a baseline for loaded weights, such as `baselines.Baseline`."""

    @property
    def name(self) -> str:
        """What messages and reports call the baseline."""
        ...

    def __call__(self, loaded: LoadedTranslator) -> BlockTranslator:
        """What takes the model's place."""
        ...


class EndToEnd:
    """The model as it is: it reads strips and writes strips."""

    reads: ClassVar[bool] = True
    folder: ClassVar[Path | None] = None

    def __init__(self, loaded: LoadedTranslator) -> None:
        self.loaded = loaded

    def read(self, pages: Sequence[np.ndarray], states: Sequence[Sequence[BlockState]], batch_size: int) -> None:
        """See `BlockTranslator.read`."""
        read_paragraphs(self.loaded, [[state.paragraph for state in page] for page in states], batch_size)

    def translate(self, states: Sequence[BlockState], batch_size: int, generation: GenerationConfig) -> None:
        """See `BlockTranslator.translate`."""
        translate_paragraphs(self.loaded, [state.paragraph for state in states], batch_size, generation)


class PageTranslator:
    """Translates pictures of any size and kind with a model of strips.

    Args:
        translator: reads, translates and draws; the model itself where none is given.
        matting: takes ink off its background; None: without a network, which sees ink in photographs.
        detector: finds lines of text.
        calibration: what the scores of the system's answers mean; None: nobody has found out.
        painter: fills the ground under text where it is not smooth; None: what is around it does.
    """

    def __init__(
        self,
        translator: BlockTranslator,
        matting: Matting | None,
        detector: LineDetector,
        calibration: Calibration | None = None,
        painter: Painter | None = None,
    ) -> None:
        self.translator, self.matting, self.detector = translator, matting, detector
        self.calibration, self.painter = calibration, painter

    @classmethod
    def from_folder(
        cls, loaded: LoadedTranslator, translator: BlockTranslator | None = None, painter: Painter | None = None
    ) -> "PageTranslator":
        """With the separator that lies beside the model's weights, and the calibration of the model itself."""
        calibration = Calibration.from_folder(loaded.folder) if translator is None else None
        matting: Matting
        if loaded.engine == ONNX:
            from translatotron_v.engines.runtime import OnnxMatting

            matting = OnnxMatting(loaded.folder, loaded.threads)
        else:
            matting = load_matting(loaded.folder)
        return cls(translator or EndToEnd(loaded), matting, LineDetector(), calibration, painter)

    def translate(
        self,
        pictures: Sequence[Image.Image],
        batch_size: int,
        generation: GenerationConfig,
        debug: bool = False,
        clean: bool = False,
    ) -> list[Translation]:
        """Translate pictures of mode L or RGB; strips of all of them share batches.

        Args:
            batch_size: strips at a time, where it is more than `STRIPS`.
            generation: blocks that are read as another language than the source's stay as they are; its minimal
                confidence takes a calibration.
            debug: keep pictures of what was seen on the way in `Translation.debug`.
            clean: keep the pictures without the text that was translated in `Translation.clean`.
        """
        batch_size = max(batch_size, STRIPS)
        upright = [self._orient(np.array(in_mode(picture, "RGB"))) for picture in pictures]
        pages, found = [page.pixels for page in upright], [page.lines for page in upright]
        states = [self._prepare(page, lines) for page, lines in zip(pages, found, strict=True)]
        asked = [[state for state in page if not state.skip_reason] for page in states]
        self.translator.read(pages, asked, batch_size)
        if self.translator.reads:
            for page in asked:
                whole = " ".join(state.paragraph.text for state in page)
                for state in page:
                    state.judge(generation.source_language, generation.target_language, whole)
        wanted = [state for page in asked for state in page if not state.skip_reason]
        self.translator.translate(wanted, batch_size, generation)
        for state in wanted:
            if state.paragraph.misdrawn:
                state.skip_reason = "misdrawn"
        if self.calibration is not None:
            for state in wanted:
                state.right = state.paragraph.certainty(self.calibration)
                if state.right is not None and state.right < generation.min_confidence:
                    state.skip_reason = state.skip_reason or "doubtful"
        return [
            _turn_back(self._finish(picture, page.pixels, page.lines, state, debug, clean), page.turns)
            for picture, page, state in zip(pictures, upright, states, strict=True)
        ]

    def _orient(self, page: np.ndarray) -> Oriented:
        """The page (H, W, 3) with its text upright, and its lines."""
        return orient(page, find_lines(page, self.detector), self._reads if self.translator.reads else None)

    def _reads(self, page: np.ndarray, lines: Sequence[Line]) -> float:
        """How surely lines of a page can be read: see `page.orientation.Reading`."""
        states = [state for state in self._prepare(page, lines) if not state.skip_reason]
        self.translator.read([page], [states], STRIPS)
        read = [(state.paragraph.reading, len(state.paragraph.text)) for state in states]
        sure = [(reading, length) for reading, length in read if reading is not None and length]
        total = sum(length for _, length in sure)
        return sum(reading * length for reading, length in sure) / total if total else -math.inf

    def _prepare(self, page: np.ndarray, lines: Sequence[Line]) -> list[BlockState]:
        """The blocks of a page, separated and brought to the model's size."""
        blocks = find_blocks(lines, page.shape[1], page)
        left = [line.quad for line in lines if line.skip_reason]
        return [self.prepare_block(page, block, [*lines_of(blocks, block), *left]) for block in blocks]

    def prepare_block(self, page: np.ndarray, block: Block, others: Sequence[Sequence[Point]] = ()) -> BlockState:
        """A block of a page (H, W, 3), separated and brought to the model's size.

        Args:
            others: corners of other blocks' lines, whose ink is left alone.
        """
        crop = straighten(page, block, others=others)
        pixels = crop.pixels.astype(np.float32) / 255
        within = panel(block.region, crop, block.em)
        layers = separate(pixels, self.matting, crop.where(), block.em, self.painter, within, crop.foreign)
        layers, setting, style = measure_style(crop, layers)
        crop = crop.fitted(layers.text_alpha)
        ink = BlockAlpha(layers.text_alpha, crop.rows, setting)
        runs = cut_lines(ink.lines)
        left = "unreadable" if not runs or setting.fit < UNREADABLE else ""
        return BlockState(block, crop, layers, setting, Paragraph(runs, ink), left, style=style)

    def _finish(
        self,
        picture: Image.Image,
        page: np.ndarray,
        lines: Sequence[Line],
        states: Sequence[BlockState],
        debug: bool,
        clean: bool = False,
    ) -> Translation:
        """Put translations back, on the page itself unless it is asked for again, and say what became of each block."""
        answer = page.copy() if debug or clean else page  # a copy of 100 million pixels takes 300 MB
        new: dict[int, tuple[tuple[Point, ...], ...]] = {}  # boxes of the words that stand already, by block
        left = [line.quad for line in lines if line.skip_reason]
        dressed = [state.dressed() for state in states]
        largest = _shares(states, dressed, left)
        for number, state in enumerate(states):
            if state.skip_reason:
                continue
            obstacles = _beside(state, states, left) + [quad for quads in new.values() for quad in quads]
            words, gap = dressed[number]
            composed = compose(
                answer,
                state.crop,
                state.layers,
                state.setting,
                words,
                state.block.alignment,
                obstacles=obstacles,
                gap=gap,
                breaks=state.paragraph.breaks,
                style=state.style,
                largest=largest[number],
                in_place=True,
                ground=state.ground,
            )
            state.skip_reason, new[number] = composed.skip_reason, composed.quads
        if not (debug or clean):
            for state in states:
                state.forget_pixels()
        blocks = [state.report(new.get(number, ())) for number, state in enumerate(states)]
        blocks += [
            BlockTranslation(line.quad, skip_reason=line.skip_reason, rows=((line.quad,),), angle=round(line.angle, 1))
            for line in lines
            if line.skip_reason
        ]
        done = [block for block in blocks if not block.skip_reason]
        names = [name for name in (RIGHT, "text", "image") if all(name in block.scores for block in done)]
        return Translation(
            image=in_mode(Image.fromarray(answer), picture.mode),
            text="\n".join(block.text for block in done),
            source_text="\n".join(block.source_text for block in blocks if block.source_text),
            scores={name: min(block.scores[name] for block in done) for name in names} if done else {},
            blocks=tuple(blocks),
            terms=tuple(term for block in done for term in block.terms),
            debug=_debug(page, lines, states) if debug else {},
            clean=_cleaned(page, states, picture.mode) if clean else None,
        )


def lines_of(blocks: Sequence[Block], but: Block) -> list[tuple[Point, ...]]:
    """Corners of the lines of all blocks but one."""
    return [line.quad for block in blocks if block is not but for line in block.lines]


def _turn_back(translation: Translation, turns: int) -> Translation:
    """What became of a page that was turned by so many quarters against the clock, as it stood before."""
    if not turns:
        return translation
    width, height = translation.image.size
    blocks = [
        replace(
            block,
            quad=turn_points(block.quad, 4 - turns, width, height),
            rows=tuple(tuple(turn_points(quad, 4 - turns, width, height) for quad in row) for row in block.rows),
            words=tuple(turn_points(quad, 4 - turns, width, height) for quad in block.words),
            angle=180 - (180 - block.angle - 90 * turns) % 360,
        )
        for block in translation.blocks
    ]
    image, clean = (
        None if one is None else Image.fromarray(np.rot90(np.asarray(one), -turns))
        for one in (translation.image, translation.clean)
    )
    assert image is not None
    return replace(translation, image=image, blocks=tuple(blocks), turns=turns, clean=clean)


def _beside(
    state: BlockState, states: Sequence[BlockState], left: Sequence[tuple[Point, ...]]
) -> list[tuple[Point, ...]]:
    """Corners of what stands beside a block: the other blocks, and lines that are left as they are."""
    return [*(other.block.quad for other in states if other is not state), *left]


def _shares(
    states: Sequence[BlockState], dressed: Sequence[tuple[Sequence[Word], float]], left: Sequence[tuple[Point, ...]]
) -> list[float]:
    """The share of its size with which each block may begin: what the one of its equals needs that has least room."""
    needed: dict[int, float] = {}
    groups = [
        group
        for group in size_groups([state.block for state in states], [state.setting.em for state in states])
        if sum(not states[number].skip_reason for number in group) > 1
    ]
    for number in sorted({number for group in groups for number in group}):
        state, (words, gap) = states[number], dressed[number]
        if not state.skip_reason:
            arranged = arrange(
                state.crop,
                state.setting,
                words,
                state.block.alignment,
                obstacles=_beside(state, states, left),
                gap=gap,
                breaks=state.paragraph.breaks,
                ground=state.ground,
            )
            if arranged is not None:
                needed[number] = arranged.share
    shares = [1.0] * len(states)
    for group in groups:
        least = min((needed[number] for number in group if number in needed), default=1.0)
        for number in group:
            shares[number] = least
    return shares


def _cleaned(page: np.ndarray, states: Sequence[BlockState], mode: str) -> Image.Image:
    """The page without the text that was replaced."""
    ground = page.copy()
    for state in states:
        if not state.skip_reason:
            erase(ground, state.crop, state.layers, state.style or Style())
    return Image.fromarray(ground).convert(mode)


def _debug(page: np.ndarray, lines: Sequence[Line], states: Sequence[BlockState]) -> dict[str, Image.Image]:
    """What was seen on the way: boxes, and for each block its ink, background, strips, and what the model wrote."""
    boxes = Image.fromarray(page)
    pen = ImageDraw.Draw(boxes)
    for line in lines:
        pen.polygon(list(line.quad), outline=(220, 30, 30) if line.skip_reason else (30, 120, 220))
    for state in states:
        pen.polygon(list(state.block.quad), outline=(30, 160, 60))
    seen = {"boxes": boxes}
    for number, state in enumerate(states, start=1):
        seen[f"block-{number:02}-mask"] = _picture(1 - state.layers.text_alpha)
        seen[f"block-{number:02}-background"] = _picture(state.layers.background)
        if state.paragraph.sentences:
            strips = np.concatenate([strip.text_alpha for strip in state.paragraph.sentences])
            seen[f"block-{number:02}-strips"] = _picture(1 - strips)
        if state.paragraph.drawn:
            seen[f"block-{number:02}-drawn"] = _picture(1 - np.concatenate(state.paragraph.drawn))
    return seen


def _picture(values: np.ndarray) -> Image.Image:
    """(H, W) or (H, W, 3) in [0, 1] as a picture."""
    return Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))
