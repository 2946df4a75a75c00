"""What was drawn is read, and drawn again where it says something else."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from translatotron_v.config import Config
from translatotron_v.decoding.spelling import DrawnWord, Spelling
from translatotron_v.decoding.text import Draft
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference import proofreading
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.proofreading import DrawnStrip, proofread, reads_as
from translatotron_v.page.strips import Run, Strip, pack

DRAFT = Draft(torch.zeros(3, 1, 1), torch.ones(3, 1, dtype=torch.bool), [0] * 3, torch.zeros(3, 1, 1), None)


def word(text: str, filler: int | None = None) -> DrawnWord:
    return DrawnWord([(sign, 0) for sign in text], {} if filler is None else {filler: 0})


def spelling(text: str) -> Spelling:
    return Spelling([word(one) for one in text.split()])


@pytest.mark.parametrize(
    ("meant", "read", "same"),
    [
        (word("dog"), "dog", True),
        (word("dog"), "Dog", False),
        (word("dog"), "dog.", False),
        (word("it's"), "it’s", True),
        (word("“so”"), '"so"', True),
        (word("on–off"), "on-off", True),
        (word("…"), "...", True),
        (word("0"), "O", False),
        (word("(0)", 1), "(O)", True),
        (word("(0)", 1), "(1)", False),
    ],
)
def test_what_looks_alike_is_the_same(meant: DrawnWord, read: str, same: bool):
    assert reads_as(meant, read) == same


def test_certainty_is_the_share_of_characters():
    strip = DrawnStrip(spelling("a small dog"), [np.zeros((32, 5), dtype=np.float32)] * 3, ["a", "smell", "dog"])
    assert strip.wrong == [1] and strip.misdrawn == ["small"] and strip.certainty == pytest.approx(1 - 1 / 11)
    strip.readings[1] = "small"
    assert strip.wrong == [] and strip.certainty == 1
    lost = DrawnStrip(spelling("a dog"), [np.zeros((32, 5), dtype=np.float32)], ["adog"])
    assert lost.wrong == [0, 1] and lost.certainty == pytest.approx(1 - 1 / 5)
    assert DrawnStrip(Spelling(), [], []).certainty == 1


class Press:
    """Stands in for the model: a word is a box as wide as its number, and what it says is looked up.

    Args:
        drafts: for each drawing in turn, the texts of its strips.
    """

    def __init__(self, *drafts: Sequence[str]) -> None:
        self.drafts, self.texts = list(drafts), [""]
        self.asked: list[list[str]] = []
        self.settings: list[GenerationConfig] = []

    def draw(self, texts: Sequence[str]) -> np.ndarray:
        strips = np.zeros((len(texts), 96, 512), dtype=np.float32)
        for strip, text in zip(strips, texts, strict=True):
            left = 2
            for one in text.split():
                self.texts.append(one)
                width = len(self.texts)
                strip[5:25, left : left + width] = 1
                left += -(-(width + 6) // 8) * 8  # words begin where the model begins them
        return strips

    def redraw(self, model: Any, vocabulary: Any, draft: Draft, spellings: Sequence[Spelling], options: Any) -> Any:
        assert len(draft.first) == len(spellings)
        self.asked.append([one.text for one in spellings])
        self.settings.append(options)
        return torch.from_numpy(1 - self.draw(self.drafts.pop(0)))[:, None]

    def pixels_of(self, strips: Sequence[Strip]) -> torch.Tensor:
        self.strips = strips
        return torch.zeros(1)

    def read(self, logits: Any, vocabulary: Any) -> list[tuple[str, list[int]]]:
        return [(" ".join(map(str, range(len(strip.placed)))), []) for strip in self.strips]

    def assign(self, texts: list[str], strip: Strip, text: str, where: Any, config: Any) -> None:
        for place in strip.placed:
            texts[place.run] = self.texts[place.right - place.left - 1]


@pytest.fixture
def loaded() -> LoadedTranslator:
    model = SimpleNamespace(
        ctc_head=1,
        array=lambda pixels: pixels,
        encode_image=lambda pixels: pixels,
        ctc_logits=lambda source: source,
        config=None,
    )
    return LoadedTranslator(model, None, Config(), Path())  # type: ignore[arg-type]


def proof(
    monkeypatch: pytest.MonkeyPatch, loaded: LoadedTranslator, meant: Sequence[str], press: Press, redraws: int
) -> list[DrawnStrip]:
    monkeypatch.setattr(proofreading, "redraw", press.redraw)
    monkeypatch.setattr(proofreading, "pixels_of", press.pixels_of)
    monkeypatch.setattr(proofreading, "read_ctc_frames", press.read)
    monkeypatch.setattr(proofreading, "reading_doubts", lambda logits: [np.zeros(1)] * len(press.strips))
    monkeypatch.setattr(proofreading, "assign", press.assign)
    drawn = press.draw(press.drafts.pop(0))
    generation = GenerationConfig(redraws=redraws, image_steps=4, beams=3)
    return proofread(loaded, DRAFT, [spelling(text) for text in meant], drawn, generation, 2)


def test_only_words_that_say_something_else_are_drawn_again(monkeypatch, loaded):
    meant = ["a small dog runs", "two men", "it is so"]
    press = Press(["a smoll dag runs", "two men", "it is sso"], ["small dug", "so"], ["dog"])
    strips = proof(monkeypatch, loaded, meant, press, 5)
    assert press.asked == [["small dog", "so"], ["dog"]]
    assert [" ".join(strip.readings) for strip in strips] == meant and not any(strip.wrong for strip in strips)
    first, second = press.settings
    assert first.top_k == 1 and second.top_k > 1 and second.seed is not None
    assert {(one.image_steps, one.beams) for one in press.settings} == {(0, 1)}
    widths = [picture.shape[1] for picture in strips[0].pictures]
    assert [press.texts[width - 1] for width in widths] == meant[0].split()  # pictures went with their readings


def test_what_is_wrong_to_the_last_is_named_and_the_better_try_stays(monkeypatch, loaded):
    strips = proof(monkeypatch, loaded, ["small dog"], Press(["smxxx dog"], ["smxll"], ["zzzzz"]), 2)
    assert strips[0].misdrawn == ["small"] and strips[0].readings == ["smxll", "dog"]


def test_a_strip_that_cannot_be_cut_is_drawn_again_whole(monkeypatch, loaded):
    press = Press(["smalldog"], ["small dogs"], ["dog"])
    strips = proof(monkeypatch, loaded, ["small dog"], press, 2)
    assert press.asked == [["small dog"], ["dog"]] and strips[0].readings == ["small", "dog"]


def test_nothing_is_read_unless_asked_for(monkeypatch, loaded):
    press = Press(["smoll dog"])
    (strip,) = proof(monkeypatch, loaded, ["small dog"], press, 0)
    assert strip.readings == [] and len(strip.pictures) == 2 and not hasattr(press, "strips")


class Workshop:
    """Stands in for a model that draws words alone: a box of six columns for each letter, parts a column apart.

    Args:
        reads: what is read on a picture of a word, given its width, and how much that is doubted.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, reads: Callable[[int], tuple[str, float]]) -> None:
        self.reads = reads
        self.asked: list[tuple[list[str], int]] = []
        monkeypatch.setattr(proofreading, "draw_words", self.draw_words)
        monkeypatch.setattr(proofreading, "_read", self.read)

    def draw_words(
        self, model: Any, vocabulary: Any, draft: Any, parts: Sequence[Spelling], settings: GenerationConfig
    ) -> Any:
        pages = [["".join(sign for sign, _ in one.characters) for one in part.words] for part in parts]
        self.asked.append(([text for page in pages for text in page], settings.top_k))
        return SimpleNamespace(lines=[[self.line(text) for text in page] for page in pages])

    def line(self, text: str) -> np.ndarray:
        line = np.ones((1, 32, 512), dtype=np.float32)
        line[:, 8:24, 7 : 7 + 6 * len(text)] = 0
        return line

    def read(self, loaded: Any, strips: Sequence[DrawnStrip], batch_size: int) -> None:
        for strip in strips:
            found = [self.reads(picture.shape[1]) for picture in strip.pictures]
            strip.readings, strip.doubts = [text for text, _ in found], [doubt for _, doubt in found]

    def proofread(self, text: str, redraws: int = 6) -> DrawnStrip:
        model: Any = SimpleNamespace(model=SimpleNamespace(ctc_head=object()), vocabulary=None)
        settings = GenerationConfig(redraws=redraws, drawing="words", top_k=1)
        lines = [[self.line(one) for one in text.split()]]
        return proofread(model, DRAFT, [spelling(text)], np.zeros((1, 96, 512)), settings, 2, lines)[0]


def test_words_that_were_drawn_alone_are_drawn_anew_in_parts(monkeypatch):
    """First by chance, then four, two and one letters at a time, which stand side by side."""
    shop = Workshop(monkeypatch, lambda width: ("kinds" if width == 5 * 6 + 4 else "kinas", 0.0))
    strip = shop.proofread("kinds")  # nothing says what it should, but letters that were drawn each for itself
    assert shop.asked == [(["kinds"], 4), (list("kinds"), 1)]
    stubborn = Workshop(monkeypatch, lambda width: ("kinas", 0.5))
    assert stubborn.proofread("kinds").misdrawn == ["kinds"]
    assert stubborn.asked[2:] == [(["ki", "nds"], 4), (list("kinds"), 1), (["kinds"], 4), (["kinds"], 4)]
    assert strip.misdrawn == [] and strip.pictures[0].shape == (32, 34)
    assert [int(width) for width in np.diff(np.flatnonzero(np.diff(strip.pictures[0][12])))] == [1, 6, 1, 6, 1, 6, 1]


@pytest.mark.parametrize(
    ("own", "right", "fonts"),
    [
        ("Ubuntu-Regular", "NotoSans-Regular", ["NotoSans-Regular"]),
        ("NotoSans-Regular", "FiraGO-Regular", ["DejaVuSans", "DejaVuSans", "FiraGO-Regular"]),
        ("DejaVuSans", None, ["NotoSans-Regular", "NotoSans-Regular", "FiraGO-Regular", "FiraGO-Regular"]),
    ],
)
def test_a_word_that_its_font_is_not_drawn_right_in_is_drawn_in_another(
    monkeypatch: pytest.MonkeyPatch, own: str, right: str | None, fonts: list[str]
):
    known = ["Ubuntu-Regular", "DejaVuSans", "NotoSans-Regular", "FiraGO-Regular"]
    shop = Workshop(monkeypatch, lambda width: ("kinas", 0.0))
    drawn: list[str] = []

    def draw(model: Any, vocabulary: Any, draft: Any, parts: Sequence[Spelling], settings: GenerationConfig) -> Any:
        assert draft.fonts.shape == (1,)
        drawn.append(known[int(draft.fonts[0])])
        if drawn[-1] == right:
            shop.reads = lambda width: ("kinds", 0.0)
        return shop.draw_words(model, vocabulary, draft, parts, settings)

    monkeypatch.setattr(proofreading, "draw_words", draw)
    model: Any = SimpleNamespace(
        model=SimpleNamespace(ctc_head=object(), config=SimpleNamespace(fonts=known)), vocabulary=None
    )
    settings = GenerationConfig(redraws=2, drawing="words", top_k=1)
    lines = [[shop.line("small"), shop.line("kinds")]]
    draft = replace(DRAFT.rows([0]), fonts=torch.tensor([known.index(own)]))
    (strip,) = proofread(model, draft, [spelling("kinas kinds")], np.zeros((1, 96, 512)), settings, 2, lines)
    assert drawn == [own] * 2 + fonts and strip.misdrawn == ([] if right else ["kinds"])
    assert {text for texts, _ in shop.asked for text in texts} == {"kinds", *"kinds"}  # the other word stays


def test_a_word_that_is_read_right_but_doubted_is_drawn_in_parts_and_the_least_doubted_stays(monkeypatch):
    doubts = {24: 0.4, 24 + 3: 0.02}  # whole, letter by letter
    shop = Workshop(monkeypatch, lambda width: ("also", doubts[width]))
    strip = shop.proofread("also")
    assert shop.asked == [(list("also"), 1)]
    assert strip.pictures[0].shape == (32, 27) and strip.doubts == [0.02]
    shop = Workshop(monkeypatch, lambda width: ("also", 0.08))
    assert shop.proofread("also").pictures[0].shape == (32, 24) and shop.asked == []


def test_a_word_with_a_stray_bar_is_doubted_however_it_is_read(monkeypatch, loaded):
    press = Press(["dog runs"])
    (strip,) = proof(monkeypatch, loaded, ["dog runs"], press, 1)
    assert strip.doubts == [0.0, 0.0] and strip.doubtful == []
    barred = np.pad(strip.pictures[1], ((0, 0), (0, 3)))
    barred[8:20, -1] = 0.4
    press.texts = [""] * 40
    press.texts[barred.shape[1] - 1], press.texts[strip.pictures[0].shape[1] - 1] = "runs", "dog"
    strip.pictures[1] = barred
    proofreading._read(loaded, [strip], 2)
    assert strip.readings == ["dog", "runs"] and strip.doubts == [0.0, 0.5] and strip.doubtful == [1]


def test_a_mark_behind_a_word_is_drawn_alone_unless_it_is_misread_there(monkeypatch):
    shop = Workshop(monkeypatch, lambda width: ("early.", 0.0))
    strip = shop.proofread("early.")
    assert shop.asked == [(["early", "."], 4)] and strip.pictures[0].shape == (32, 6 * 6 + 1)
    shop = Workshop(monkeypatch, lambda width: ("early." if width == 6 * 6 else "early", 0.0))
    assert shop.proofread("early.").pictures[0].shape == (32, 6 * 6)
    shop = Workshop(monkeypatch, lambda width: ("early.", 0.5 if width > 6 * 6 else 0.05))
    assert shop.proofread("early.").pictures[0].shape == (32, 6 * 6)


def test_parts_of_words():
    def parts(text: str, attempt: int, filler: int | None = None) -> list[str]:
        pieces = proofreading._pieces(word(text, filler), attempt)
        return ["".join(sign for sign, _ in part.characters) for part in pieces]

    assert parts("(0)", 2, 1) == ["(0)"]  # a filler is cut out where letters part
    assert parts("(0)", 3, 1) == ["(", "0", ")"]
    assert parts("abcdefghi", 1) == ["abcd", "efghi"] and parts("abcde", 2) == ["ab", "cde"]
    assert parts("abc", 1) == ["a", "b", "c"] and parts("abc", 0) == ["abc"]
    assert [parts("so...", attempt) for attempt in range(5)] == [
        ["so", "..."], list("so..."), ["so..."], list("so..."), ["so..."],
    ]  # fmt: skip
    assert parts("it's", 3) == ["i", "t'", "s"] and parts('"tcsh"', 3) == ['"t', "c", "s", 'h"']  # no quote alone
    assert parts("...", 0) == ["..."] and parts("e.g", 0) == ["e.g"]


def test_a_reading_goes_on_with_the_next_word_where_its_picture_begins():
    """Frames are four columns wide: the first word stands in columns 2 to 22, the second in 29 to 41."""
    config = Config().model
    config.canvas.height, config.canvas.width = 96, 512
    config.image_encoder.patch, config.ctc_frames = [32, 16], 4
    (page,) = pack([Run(np.ones((32, width), dtype=np.float32), 0, left, 7) for width, left in ((20, 0), (12, 27))])
    assert [(one.left, one.right) for one in page.placed] == [(2, 22), (29, 41)]
    text, frames = proofreading._spaced(page, "ab0.", [1, 4, 7, 9], config)
    assert text == "ab 0." and list(frames) == [1, 4, 4, 7, 9]
    assert proofreading._spaced(page, "ab 0.", [1, 4, 6, 7, 9], config) == ("ab 0.", [1, 4, 6, 7, 9])
    assert proofreading._spaced(page, "ab", [1, 4], config)[0] == "ab"


def test_specks_that_stand_apart_are_no_ink_of_a_part():
    mark = np.zeros((32, 9), dtype=np.float32)
    mark[20, 1] = 0.26  # of the patch's neighbour
    mark[20, 4:7] = [0.2, 1.0, 0.7]
    stem = np.ones((32, 3), dtype=np.float32)
    joined = proofreading._side_by_side([stem, mark], 3)
    assert joined.shape == (32, 3 + 3 + 3) and np.array_equal(joined[20, 6:], mark[20, 4:7])
    assert np.array_equal(proofreading._side_by_side([mark], 3), mark)
    faint = np.full((32, 2), 0.3, dtype=np.float32)  # all there is
    assert proofreading._side_by_side([stem, faint], 3).shape == (32, 8)


def test_letters_are_set_as_far_apart_as_those_of_other_words():
    def word(text: str, gap: int) -> np.ndarray:
        letters = [np.ones((32, 4), np.float32), np.zeros((32, gap), np.float32)] * len(text)
        return np.concatenate(letters[:-1], axis=1)

    def gap(*words: tuple[str, int]) -> int:
        spelling = Spelling([DrawnWord([(letter, 0) for letter in text]) for text, _ in words])
        return proofreading._letter_gap(DrawnStrip(spelling, [word(*one) for one in words]))

    assert [gap(("abc", columns), ("abcd", columns)) for columns in (1, 2, 5)] == [1, 2, 5]
    assert gap(("abcdef", 2), ("ab", 5)) == 2  # 5 gaps and 1: (5 * 2 + 5) / 6, rounded to even
    assert gap(("abc", 0), ("de", 0)) == 1  # letters that touch; parts of a word never do
    assert gap(("a", 0)) == gap(("a", 0), ("b", 0)) == 2  # no word tells
    cut_otherwise = DrawnStrip(Spelling([DrawnWord([("a", 0)])]), [])
    assert proofreading._letter_gap(cut_otherwise) == 2
