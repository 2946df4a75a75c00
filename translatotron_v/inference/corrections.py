"""Blocks of a page drawn anew: another text, face, size, weight or colour, or the source as it was.

What the JSON of a translation says of each block is complete enough to draw from: where its lines stood, how it is set,
what was drawn. Whoever changes it there gets the block drawn again on the cleaned ground; all others keep their pixels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import cv2
import numpy as np

from translatotron_v.errors import UserError
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.block_state import BlockState
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.other_texts import cut_into_sentences, give_text
from translatotron_v.inference.paragraphs import read_paragraphs, translate_paragraphs
from translatotron_v.inference.wanted import AROUND, Quad, Wanted
from translatotron_v.inference.whole_pages import PageTranslator, lines_of
from translatotron_v.page.compose import compose, erase
from translatotron_v.page.orientation import turn_points
from translatotron_v.page.profile import Setting
from translatotron_v.page.regions import RegionMap
from translatotron_v.page.shaping import Word
from translatotron_v.page.straighten import straighten
from translatotron_v.page.style import Style

SetWord = Callable[[str, str, float], np.ndarray]  # a word, a face and a scale: how a face sets it (`shaping.Word`)

LEFT = "left"  # why a block stands as in the source that somebody wants to stand so

_REACH = 0.6  # ems around a block's boxes within which what differs from the source is its doing, and `AROUND` on top


@dataclass
class Redrawn:
    """What became of a page.

    Attributes:
        pixels: (H, W, 3) bytes.
        words: by the numbers of the blocks that were drawn again, the quads of their words.
        notes: what is to be known, one line each, beginning with the block's number from 1.
    """

    pixels: np.ndarray
    words: dict[int, tuple[Quad, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def redraw_page(
    loaded: LoadedTranslator,
    pages: PageTranslator,
    source: np.ndarray,
    answer: np.ndarray,
    wanted: Sequence[Wanted],
    generation: GenerationConfig,
    *,
    clean: np.ndarray | None = None,
    turns: int = 0,
    set_word: SetWord | None = None,
    batch_size: int = 16,
) -> Redrawn:
    """Draw the blocks of a page again that have changed.

    Args:
        source: the page (H, W, 3), bytes; ``answer`` is its translation.
        wanted: all of its blocks.
        clean: the source without the text that was translated; where it is missing the text is taken off again.
        turns: quarters against the clock by which the page is turned to be read.
        set_word: sets words in faces that the model does not know.
        batch_size: strips at a time.

    Raises:
        UserError: pictures of unequal sizes, a face that nobody knows, or a block outside the picture.
    """
    for other in (answer, clean):
        if other is not None and other.shape != source.shape:
            (height, width), (rows, columns) = source.shape[:2], other.shape[:2]
            raise UserError(f"the source has {width} x {height} pixels, but a picture made of it {columns} x {rows}")
    height, width = source.shape[:2]
    for number, block in enumerate(wanted, start=1):
        if block.changed and not block.lies_on(width, height):
            raise UserError(f"block {number}: rows: they lie outside the picture of {width} x {height} pixels")
    source, answer = np.ascontiguousarray(np.rot90(source, turns)), np.ascontiguousarray(np.rot90(answer, turns))
    clean = None if clean is None else np.ascontiguousarray(np.rot90(clean, turns))
    wanted = [_turned(block, turns, width, height) for block in wanted]
    drawing = _Drawing(loaded, pages, source, clean, wanted, set_word)
    states = drawing.words(generation, batch_size)
    made = drawing.compose(answer, states)
    made.pixels = np.ascontiguousarray(np.rot90(made.pixels, -turns))
    upright = (width, height) if turns % 2 == 0 else (height, width)
    for number, quads in made.words.items():
        made.words[number] = tuple(turn_points(quad, 4 - turns, *upright) for quad in quads)
    return made


def _turned(block: Wanted, turns: int, width: int, height: int) -> Wanted:
    turn = partial(turn_points, turns=turns, width=width, height=height)
    rows = tuple(tuple(turn(quad) for quad in row) for row in block.rows)
    return replace(block, rows=rows, words=tuple(map(turn, block.words)))


class _Drawing:
    """The changed blocks of one upright page, on their way."""

    def __init__(
        self,
        loaded: LoadedTranslator,
        pages: PageTranslator,
        source: np.ndarray,
        clean: np.ndarray | None,
        wanted: Sequence[Wanted],
        set_word: SetWord | None,
    ) -> None:
        self.loaded, self.pages, self.source, self.clean = loaded, pages, source, clean
        self.wanted, self.set_word = wanted, set_word
        self.notes: list[str] = []
        self.blocks = [block.block for block in wanted]
        self.quads = [block.quad for block in self.blocks]

    def words(self, generation: GenerationConfig, batch_size: int) -> dict[int, BlockState]:
        """The states of the blocks that get words or lose theirs, by number, with their words."""
        regions = RegionMap(self.source)
        states: dict[int, BlockState] = {}
        for number, block in enumerate(self.wanted):
            if block.changed and not block.leave:
                states[number] = self._state(number, block, regions)
        texts: dict[int, str] = {}
        asked = [
            (number, state) for number, state in states.items()
            if self.wanted[number].text.strip() and not self._is_set(self.wanted[number])
        ]  # fmt: skip
        read_paragraphs(self.loaded, [[state.paragraph for _, state in asked]], batch_size)
        drawn = []
        for number, state in asked:
            paragraph, block = state.paragraph, self.wanted[number]
            paragraph.font = block.font or paragraph.font
            cut_into_sentences(paragraph)
            try:
                give_text(paragraph, block.text, texts)
            except UserError as error:
                self.notes.append(f"{number + 1}: {error}; give it a face of another name")
                continue
            drawn.append((number, paragraph))
        translate_paragraphs(
            self.loaded, [paragraph for _, paragraph in drawn], batch_size,
            self.loaded.complete(generation), texts,
        )  # fmt: skip
        for number, paragraph in drawn:
            if paragraph.misdrawn:
                self.notes.append(f"{number + 1}: drawn, but not read as it was meant: {' '.join(paragraph.misdrawn)}")
            if paragraph.unwritable:
                self.notes.append(f"{number + 1}: the model cannot draw {' '.join(paragraph.unwritable)}")
        return states

    def _is_set(self, block: Wanted) -> bool:
        """Whether a face sets it that the model does not know."""
        known = self.loaded.config.model.fonts
        if not block.font or block.font in known:
            return False
        if self.set_word is None:
            raise UserError(f"no face {block.font!r}: the model draws {', '.join(known) or 'one face only'}")
        return True

    def _state(self, number: int, block: Wanted, regions: RegionMap) -> BlockState:
        """A block separated again, with what is wanted of it; its words where a face sets them."""
        place = self.blocks[number]
        found = (regions.region(line.bounds, line.em) for line in place.lines)
        state = self.pages.prepare_block(
            self.source, replace(place, region=next((one for one in found if one), None)), lines_of(self.blocks, place)
        )
        style, layers = state.style or Style(), state.layers
        if self.clean is not None and block.words:
            background = straighten(self.clean, place).pixels.astype(np.float32) / 255
            layers = replace(layers, background=background)
        if block.colour is not None and block.colour != tuple(round(255 * level) for level in layers.colour):
            red, green, blue = (level / 255 for level in block.colour)
            layers = replace(layers, colour=(red, green, blue))
            style = replace(style, tints=())
        if block.weight is not None and round(style.stem, 3) != block.weight:
            style = replace(style, stem=block.weight)
        if block.size is not None and round(state.setting.em, 1) != block.size:
            state.setting = _resized(state.setting, block.size)
        state.layers, state.style = layers, style
        if block.text.strip() and self._is_set(block):
            assert self.set_word is not None
            for line in filter(str.strip, block.text.splitlines()):
                state.paragraph.breaks.append(len(state.paragraph.words))
                words: list[Word] = [_SetWord(self.set_word, word, block.font) for word in line.split()]
                state.paragraph.words += words
        return state

    def compose(self, answer: np.ndarray, states: dict[int, BlockState]) -> Redrawn:
        """Put words on; what has no room stays as it was in the answer."""
        owner = _owners(self.source.shape[:2], self.wanted)
        page = answer.copy()
        made = Redrawn(page, notes=self.notes)
        standing = {number: list(block.words) for number, block in enumerate(self.wanted) if not block.changed}
        for number, block in enumerate(self.wanted):
            if block.changed:
                own = owner == number
                page[own] = self.source[own]
                if block.leave:
                    made.words[number] = ()
        for number, state in states.items():
            block = self.wanted[number]
            words, gap = state.dressed()
            obstacles = [quad for other, quad in enumerate(self.quads) if other != number]
            obstacles += [quad for quads in standing.values() for quad in quads]
            if not block.text.strip():
                erase(page, state.crop, state.layers, state.style or Style())
                made.words[number] = ()
                continue
            composed = compose(
                page, state.crop, state.layers, state.setting, words, block.alignment, obstacles=obstacles,
                gap=gap, breaks=state.paragraph.breaks, style=state.style, region=state.block.region,
            )  # fmt: skip
            if composed.skip_reason:
                own = owner == number
                page[own] = answer[own]
                standing[number] = list(block.words)
                made.notes.append(f"{number + 1}: left as it was ({composed.skip_reason})")
                continue
            if composed.em < 0.97 * state.setting.em:
                made.notes.append(f"{number + 1}: set at {composed.em:.1f} instead of {state.setting.em:.1f} for room")
            page = composed.pixels
            made.words[number] = composed.quads
            standing[number] = list(composed.quads)
        made.pixels = page
        made.notes.sort(key=lambda note: int(note.split(":")[0]))
        return made


@dataclass(frozen=True)
class _SetWord:
    """A word that a face sets, at any size."""

    set_word: SetWord
    word: str
    font: str

    def __call__(self, scale: float) -> np.ndarray:
        return self.set_word(self.word, self.font, scale)


def _resized(setting: Setting, em: float) -> Setting:
    """A block's setting at another size: its first line stays where it is, the others move with their distance."""
    first = setting.baselines[0]
    ratio = em / setting.em
    return replace(setting, em=em, baselines=tuple(first + (line - first) * ratio for line in setting.baselines))


def _owners(shape: tuple[int, ...], wanted: Sequence[Wanted]) -> np.ndarray:
    """(H, W): for each pixel the number of the block whose doing it is where it differs from the source; -1: none's.

    That is the block whose boxes are nearest, where they are near; within boxes of two it is the one that stays.
    """
    marks = np.zeros(shape[:2], dtype=np.int32)
    order = sorted(range(len(wanted)), key=lambda number: not wanted[number].changed)
    for number in order:
        for quad in wanted[number].quads:
            cv2.fillPoly(marks, [np.rint(np.array(quad)).astype(np.int32)], number + 1)
    if not marks.any():
        return marks - 1
    distance, labels = cv2.distanceTransformWithLabels(
        (marks == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    names = np.zeros(int(labels.max()) + 1, dtype=np.int32)
    names[labels[marks > 0]] = marks[marks > 0]
    owner = names[labels] - 1
    reach = np.array([_REACH * block.em + AROUND for block in wanted] + [0.0], dtype=np.float32)
    return np.where(distance <= reach[owner], owner, -1)
