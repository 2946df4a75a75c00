"""Sentences of a paragraph: where they are cut, which strips they go on, and which run each character belongs to."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ImageFont

from data_synth.fonts import find_font
from tests.small import small
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.inference.letter_widths import columns_of
from translatotron_v.inference.paragraphs import agree_on_fonts, fitting, read_paragraphs, see, sentences
from translatotron_v.inference.pieces import Paragraph
from translatotron_v.inference.strip_reading import assign
from translatotron_v.page.profile import Setting
from translatotron_v.page.strips import BlockAlpha, Run, cut_lines, pack

VOCABULARY = Vocabulary.build(["ab", "ba"], 20)


def runs(*widths: int, line: int = 0) -> list[Run]:
    """Solid words of these widths on one line, an ordinary gap apart."""
    made, left = [], 0
    for width in widths:
        ink = np.zeros((32, width), dtype=np.float32)
        ink[8:24] = 1
        made.append(Run(ink, line, left, 7 if left else 0))
        left += width + 7
    return made


@pytest.mark.parametrize(
    ("texts", "lengths"),
    [
        (["Ein", "Hund", "rennt.", "Er", "bellt."], [3, 2]),
        (["Ein Hund rennt.", "Er bellt.", "Warum?"], [1, 1, 1]),
        (["am", "3.", "mai", "rennt", "er"], [5]),  # nothing begins like a sentence after that dot
        (["Er", "sagt:", "„Nein!“", "Ärger", "droht."], [3, 2]),
        (["Ende.", "", "Neu"], [1, 2]),  # a run on which nothing was read goes with what follows
        (["", ""], [2]),
    ],
)
def test_sentences_end_where_the_next_one_begins(texts: list[str], lengths: list[int]):
    words = runs(*(30 for _ in texts))
    assert [len(part) for part in sentences(words, texts)] == lengths
    assert [run for part in sentences(words, texts) for run in part] == words


def test_a_sentence_that_fits_stays_whole_and_a_longer_one_is_halved():
    words = runs(*(100,) * 12)  # four on a line, so three lines
    assert len(fitting(words)) == 1
    parts = fitting(runs(*(100,) * 14))
    assert [len(strip.placed) for strip in parts] == [7, 7]
    assert len(fitting(runs(4000))) == 4  # a word of eleven lines is cut, not halved for ever


def test_words_go_to_the_run_they_stand_on():
    settings = ("canvas.height=96", "canvas.width=512", "image_encoder.patch=[32,16]", "tokenizer.patch=[32,16]")
    config = small(*(f"model.{setting}" for setting in settings), "model.ctc_frames=2").model
    words = runs(200, 280, 90)  # the third goes to the second line
    (strip,) = pack(words)
    texts = ["", "", ""]
    # states of 16 columns, two frames each: column 40 is frame 5, column 250 frame 31, the second line begins at 64
    assign(texts, strip, "ab c defg h", [5, 20, 25, 25, 25, 25, 31, 32, 40, 50, 66], config)
    assert texts == ["ab c", "defg", "h"]  # "defg" begins a little before its run


class Blind:
    """A model that reads "ab" on strips with much ink and nothing on the others."""

    config = small(
        "model.canvas.height=96", "model.canvas.width=512", "model.image_encoder.patch=[32,16]",
        "model.tokenizer.patch=[32,16]", "model.ctc_frames=1",
    ).model  # fmt: skip
    font_head = None

    def array(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values)

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels

    def ctc_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(pixels), 96, VOCABULARY.character_count)
        logits[..., 0] = 9.0
        for row, ink in enumerate((1 - pixels).sum((1, 2, 3))):
            if ink > 10_000:
                for frame, character in enumerate(VOCABULARY.encode_characters("ab")):
                    logits[row, frame, [0, character]] = torch.tensor([0.0, 9.0])
        return logits


def test_a_strip_on_which_nothing_is_read_does_not_count():
    loaded: Any = SimpleNamespace(model=Blind(), vocabulary=VOCABULARY, device=torch.device("cpu"))
    both, nothing = Paragraph(runs(*(400,) * 4)), Paragraph(runs(40))  # three lines fill the first strip
    read_paragraphs(loaded, [[both, nothing]], 8)
    assert both.text == "ab" and both.reading == pytest.approx(-VOCABULARY.character_count * np.exp(-9), rel=0.2)
    assert nothing.text == "" and nothing.reading is None and nothing.confidence == {}


class Shortsighted(Blind):
    """A model that takes solid words of at least 20 columns for "b", and narrower ones for "a"; of "a" it is less sure.

    Its font is the one of the first strips that it sees.
    """

    font_head = 1
    blur = 1.0  # nats less for "a"

    def __init__(self) -> None:
        self.looks = 0

    def font_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        self.looks += 1
        return torch.eye(2)[[min(self.looks - 1, 1)] * len(pixels)]

    def ctc_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(pixels), 96, VOCABULARY.character_count)
        logits[..., 0] = 9.0
        for row, ink in enumerate(1 - pixels[:, 0, :32]):
            columns = torch.nn.functional.pad((ink.amax(0) > 0.5).int(), (1, 1))
            starts, ends = ((columns.diff() == side).nonzero()[:, 0].tolist() for side in (1, -1))
            for start, end in zip(starts, ends, strict=True):
                wide = end - start >= 20
                character = VOCABULARY.encode_characters("b" if wide else "a")[0]
                frame = (start + end) // 2 // 16
                logits[row, frame, 0] = 0
                logits[row, frame, character] = 9.0 if wide else 9.0 - self.blur
        return logits


def block_of(width: int) -> Paragraph:
    """A solid word as wide as that, as a block that knows its ink."""
    page = np.zeros((32, width + 40), dtype=np.float32)
    page[8:24, 20 : 20 + width] = 1
    ink = BlockAlpha(page, [(0, 0, page.shape[1], 32)], Setting(20, (23.0,), 1.0))
    return Paragraph(cut_lines(ink.lines), ink)


@pytest.mark.parametrize(
    ("width", "blur", "read", "kept"),
    [
        (25, 1.0, "b", True),  # wide enough, and sure
        (14, 1.0, "a", True),  # as wide as an "a" is, and sure
        (18, 6.0, "b", False),  # read in doubt, and surer when it is 1.15 times as wide
        (18, 1.0, "a", True),  # sure of what it reads, and not narrow
        (9, 1.0, "a", True),  # narrow: 1.5 times as wide it reads the same, no surer
    ],
)
def test_what_is_narrow_or_doubted_is_read_once_more(width: int, blur: float, read: str, kept: bool):
    model: Any = Shortsighted()
    model.blur = blur
    paragraph = block_of(width)
    before, ink = paragraph.runs, paragraph.text_alpha
    (seen,) = see(model, VOCABULARY, [paragraph], 8)
    assert seen.text == read and (paragraph.runs is before) == kept and (paragraph.text_alpha is ink) == kept
    assert [fonts.tolist() for fonts in seen.fonts] == [[1.0, 0.0]]  # of the first look
    assert seen.widths == (width, 12.0)  # of the letters as they stand, and of one in an average face
    if not kept:
        assert paragraph.text_alpha is not None
        assert [run.width for run in paragraph.runs] == [round(1.15 * width)]
        (first,), (second,) = before, paragraph.runs
        words = [
            alpha.word(0, run.left, run.left + run.width)(1.0)
            for alpha, run in ((ink, first), (paragraph.text_alpha, second))
            if alpha is not None
        ]
        assert words[0].shape[1] == pytest.approx(words[1].shape[1], abs=1)
    other = Paragraph(before)  # nothing is known of its ink
    assert see(model, VOCABULARY, [other], 8)[0].text == ("b" if width == 25 else "a")
    assert see(model, VOCABULARY, [], 8) == []


@pytest.mark.parametrize(
    ("read", "drawn", "width"),
    [
        ((200, 220.0), (240, 220.0), 5 / 6),
        ((300, 200.0), (100, 100.0), 1.5),
        ((60, 99.0), (240, 200.0), None),  # too few letters tell nothing
        ((60, 200.0), (240, 99.0), None),
        ((60, 200.0), (0, 200.0), None),
        ((0, 0), (0, 0), None),
    ],
)
def test_how_wide_letters_are_is_told_from_drawn_ones(
    read: tuple[int, float], drawn: tuple[int, float], width: float | None
):
    assert Paragraph([], read_widths=read, drawn_widths=drawn).letter_width == pytest.approx(width)


def test_fonts_of_a_page_are_chosen_together():
    def told(text: str, *shares: float) -> Paragraph:
        return Paragraph([], text=text, font_scores=np.log(shares) + 3)  # logits are logarithms up to a constant

    body = told("Ein langer Text von vierzig Buchstaben und mehr", 0.9, 0.05, 0.05)
    word, headline = told("Ein", 0.3, 0.6, 0.1), told("Speisekarte", 0.02, 0.97, 0.01)
    unread = Paragraph([], text="?")
    agree_on_fonts([body, word, headline, unread], ["Sans", "Serif", "Mono"])
    assert [one.font for one in (body, word, headline, unread)] == ["Sans", "Sans", "Serif", ""]
    agree_on_fonts([word], ["Sans", "Serif", "Mono"])
    assert word.font == "Serif"  # alone it says what it says
    agree_on_fonts([], [])


def test_the_confidence_is_that_of_the_worst_sentence():
    paragraph = Paragraph([], scores=[{"text": -0.1, "image": -0.5}, {"text": -2.0, "image": -0.01}], reading=-0.3)
    expected = {"text": np.exp(-2.0), "image": np.exp(-0.5), "reading": np.exp(-0.3)}
    assert paragraph.confidence == pytest.approx(expected)
    assert Paragraph([]).confidence == {} and Paragraph([], reading=0.0).confidence == {"reading": 1.0}
    assert Paragraph([], translations=["A dog.", "", "It barks."]).translation == "A dog. It barks."


def test_letters_are_as_wide_as_in_an_average_face():
    for text in ("Bitte nicht füttern", "Please do not feed", "Samstag, 14. Juli", "MITTWOCH"):
        measured = [
            ImageFont.truetype(str(find_font(face)), 20).getlength(text.replace(" ", ""))
            for face in ("DejaVuSans", "DejaVuSerif", "NotoSans-Regular", "Ubuntu-Regular")
        ]
        assert columns_of(text) == pytest.approx(np.mean(measured), rel=0.06)
