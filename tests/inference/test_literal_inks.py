"""Literals on pages: which ink is theirs, how answers are spelled around them, and how both are put together."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from data_synth.typeset import Face
from tests.small import TEXTS, enliven, small
from translatotron_v.data.marks import LITERALS
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding import source as source_module
from translatotron_v.decoding.spelling import FILLER, spell
from translatotron_v.decoding.text_mode import prepare
from translatotron_v.inference import paragraphs as paragraphs_module
from translatotron_v.inference import proofreading as proofreading_module
from translatotron_v.inference.assembly import assemble
from translatotron_v.inference.literal_inks import LiteralInks, kept_words, place_of
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.paragraphs import pieces_of, read_paragraphs, translate_paragraphs
from translatotron_v.inference.pieces import Paragraph, Piece
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.page.profile import Setting
from translatotron_v.page.strips import BASELINE, LINE, BlockAlpha, Run, Strip, cut_between, cut_lines, pack

CONFIG = small(
    "model.connector=read", "model.canvas.height=96", "model.canvas.width=512", "model.image_encoder.patch=[32,16]",
    "model.tokenizer.patch=[32,16]", "model.ctc_frames=4", "model.text_encoder.max_length=64",
    "model.text_decoder.max_length=64", "model.character_encoder.max_length=64", "model.text_encoder.layers=1",
)  # fmt: skip
FACE = Face("DejaVuSans", 20, 32)


def block(*lines: str) -> tuple[BlockAlpha, list[Run], list[str], np.ndarray]:
    """Lines set at the strips' size, 7 columns between words: their ink, runs, the text of each run, and the crop."""
    crop = np.zeros((LINE * len(lines), 480), dtype=np.float32)
    rows, texts = [], []
    for number, line in enumerate(lines):
        pen = 10
        for word in line.split():
            mask = FACE.word(word).mask.astype(np.float32) / 255
            crop[number * LINE : number * LINE + len(mask), pen : pen + mask.shape[1]] = mask
            pen += mask.shape[1] + 7
            texts.append(word)
        rows.append((10.0, number * LINE + 5.0, float(pen - 7), number * LINE + 28.0))
    setting = Setting(20.0, tuple(float(number * LINE + BASELINE) for number in range(len(lines))), 1.0)
    ink = BlockAlpha(crop, rows, setting)
    runs = cut_lines(ink.lines)
    assert len(runs) == len(texts)
    return ink, runs, texts, crop


def read(strip: Strip, texts: Sequence[str]) -> tuple[str, list[int]]:
    """What a good reader makes of a strip whose runs say these texts: characters, and the frames where they stand."""
    signs: list[str] = []
    frames: list[int] = []
    for place in strip.placed:
        word = texts[place.run]
        for number, sign in enumerate(word):
            column = place.left + (number + 0.5) / len(word) * (place.right - place.left)
            signs.append(sign)
            frames.append(int(place.row * 32 * 4 + column / 4))  # 32 states a line, four frames of 4 columns each
        signs.append(" ")
        frames.append(frames[-1])
    return "".join(signs[:-1]), frames[:-1]


def literals_of(
    ink: BlockAlpha, runs: list[Run], texts: list[str], numbers_for: str = ""
) -> tuple[str, dict[int, list[np.ndarray]]]:
    """The masked reading of a strip, and what stands where each of its literals does."""
    (strip,) = pack(runs)
    piece = Piece(strip, runs)
    found = LiteralInks([(Paragraph(runs, ink), piece)], CONFIG.model, "de", numbers_for=numbers_for)
    prepared = found.prepare(0, *read(strip, texts))
    inks = {number: [word(1.0) for word in words if callable(word)] for number, words in found.inks[0].items()}
    return re.sub("[\ue000-\ue00f]", lambda mark: f"<{LITERALS.index(mark[0])}>", prepared.text), inks


def same_ink(taken: np.ndarray, word: str) -> bool:
    """Whether what was taken up is a word as it was set, to the last bit."""
    mask = FACE.word(word).mask.astype(np.float32) / 255
    columns = [np.flatnonzero(picture.max(axis=0) > 0) for picture in (taken, mask)]
    cut = [picture[:, found[0] : found[-1] + 1] for picture, found in zip((taken, mask), columns, strict=True)]
    return cut[0].shape[1] == cut[1].shape[1] and np.array_equal(cut[0][: len(cut[1])], cut[1])


def test_places_of_frames() -> None:
    assert place_of(0, CONFIG.model) == (0, 2.0)
    assert place_of(4 * 32 + 5, CONFIG.model) == (1, 22.0)


def test_a_literal_of_its_own_word_is_taken_up_to_the_last_bit() -> None:
    ink, runs, texts, _ = block("Zug 579 um 8:15 Uhr", "am 3.12.2026 fort")
    text, inks = literals_of(ink, runs, texts)
    assert text == "Zug <0> um <1> Uhr am <2> fort"
    for number, word in enumerate(("579", "8:15", "3.12.2026")):
        (taken,) = inks[number]
        assert same_ink(taken, word)


def test_a_digit_that_is_a_run_of_its_own_belongs_to_its_literal() -> None:
    ink, runs, texts, _ = block("um 1 5:48 ab")
    (strip,) = pack(runs)
    text, frames = read(strip, texts)
    gap = text.index("1") + 1
    text, frames = text[:gap] + text[gap + 1 :], frames[:gap] + frames[gap + 1 :]  # read as one word: 15:48
    found = LiteralInks([(Paragraph(runs, ink), Piece(strip, runs))], CONFIG.model, "de")
    assert found.prepare(0, text, frames).text == f"um {LITERALS[0]} ab"
    (taken,) = found.inks[0][0]
    assert callable(taken)
    expected = sum(float(FACE.word(word).mask.sum()) / 255 for word in ("1", "5:48"))
    assert taken(1.0).sum() == pytest.approx(expected, rel=1e-6)


def test_a_literal_that_was_read_into_the_word_of_another_line_stands_alone() -> None:
    ink, runs, texts, _ = block("er kostet", "74,47 € hier 1 bis", "9 Leute")
    (strip,) = pack(runs)
    text, frames = read(strip, texts)
    for glued in ("kostet 74,47", "bis 9"):
        gap = text.index(glued) + glued.index(" ")
        text, frames = text[:gap] + text[gap + 1 :], frames[:gap] + frames[gap + 1 :]
    assert text == "er kostet74,47 € hier 1 bis9 Leute"
    found = LiteralInks([(Paragraph(runs, ink), Piece(strip, runs))], CONFIG.model, "de")
    prepared = found.prepare(0, text, frames)
    assert prepared.text == f"er kostet {LITERALS[0]} hier {LITERALS[1]} bis {LITERALS[2]} Leute"
    assert [text[slice(*prepared.spans[prepared.text.index(mark)])] for mark in LITERALS[:3]] == ["74,47 €", "1", "9"]
    ((price, *rest), (one,), (nine,)) = (
        [word(1.0) for word in found.inks[0][number] if callable(word)] for number in range(3)
    )
    assert not rest and price.sum() == pytest.approx(
        sum(float(FACE.word(word).mask.sum()) / 255 for word in ("74,47", "€")), rel=1e-6
    )
    assert same_ink(one, "1") and same_ink(nine, "9")


def test_a_literal_that_is_written_in_another_way_is_drawn() -> None:
    ink, runs, texts, _ = block("Zug 579 um 8.15 Uhr", "kostet 12,50 € heute")
    text, inks = literals_of(ink, runs, texts, numbers_for="en")
    assert text == "Zug <0> um <1> Uhr kostet <2> heute"
    assert set(inks) == {0} and set(literals_of(ink, runs, texts)[1]) == {0, 1, 2}


def test_what_stands_against_a_literal_is_cut_off() -> None:
    ink, runs, texts, _ = block("nur (25) Leute, 17,")
    text, inks = literals_of(ink, runs, texts)
    assert text == "nur (<0>) Leute, <1>,"
    assert same_ink(inks[0][0], "25") and same_ink(inks[1][0], "17")


def test_a_literal_of_several_words_keeps_its_gap_and_a_broken_one_is_two() -> None:
    ink, runs, texts, crop = block("etwa 20 °C warm", "Tel. 030", "123456 ab")
    text, inks = literals_of(ink, runs, texts)
    assert text == "etwa <0> warm Tel. <1> ab"
    (taken,) = inks[0]
    columns = np.flatnonzero(taken.max(axis=0) > 0)
    start = 10 + FACE.word("etwa").mask.shape[1] + 7
    assert columns[-1] - columns[0] > FACE.word("20").mask.shape[1] + 7
    assert crop[:LINE, start : start + taken.shape[1]].sum() == pytest.approx(taken.sum(), rel=1e-6)
    assert [same_ink(word, part) for word, part in zip(inks[1], ("030", "123456"), strict=True)] == [True, True]


def test_a_word_broken_at_a_lines_end_is_one_to_the_model() -> None:
    ink, runs, texts, _ = block("die Sonnen-", "brille kostet 5 €")
    text, inks = literals_of(ink, runs, texts)
    assert text == "die Sonnenbrille kostet <0>"
    assert same_ink(inks[0][0][:, : FACE.word("5").mask.shape[1] + 2], "5")


def test_ink_at_another_size_keeps_its_baseline() -> None:
    ink, runs, _, _ = block("H")
    small_one, large = (word(scale) for word in kept_words(runs, ink) if callable(word) for scale in (0.5, 2.0))
    assert np.flatnonzero(small_one.max(axis=1) > 0.5)[-1] == np.ceil(BASELINE * 0.5) - 1
    assert np.flatnonzero(large.max(axis=1) > 0.5)[-1] == BASELINE * 2 - 1
    assert kept_words(runs, None)[0] is runs[0].text_alpha


def test_cutting_where_letters_touch() -> None:
    ink = np.ones((LINE, 30), dtype=np.float32)
    ink[4:, 14] = 0
    assert cut_between(ink, 8, 22, 1, 2) == 14  # no gap: the emptiest column about the middle
    ink[:, 20] = 0
    assert cut_between(ink, 8, 22, 1, 3) == 20  # one gap where three letters have two: the nearest
    assert cut_between(ink, 2, 3, 1, 2) == 20  # as many gaps as there must be: counted
    assert cut_between(np.ones((LINE, 30), dtype=np.float32) - (np.arange(30) == 2), 20, 24, 2, 4) != 2  # far away
    ink[:, 26] = 0
    assert cut_between(ink, 14, 23, 4, 5) == 26  # what follows is as narrow as a full stop
    assert cut_between(ink, 14, 23, 3, 5) == 20 and cut_between(ink, 14, 23, 2, 5) == 20


@pytest.mark.parametrize(
    ("source", "answer", "inked", "drawn", "fillers"),
    [
        ("Zug 5 um 8:15", ["at", " <1>", " train", " <0>"], [0, 1], "At 0 train 0", [{}, {0: 1}, {}, {0: 0}]),
        ("Zug 5 um 8:15", ["at", " <1>", " train", " <0>"], [0], "At 8:15 train 0", [{}, {}, {}, {0: 0}]),
        ("nur 20 °C", ["just", " <0>", "!"], [], "just 20 °C!", [{}, {}, {}]),
        ("im 3. Stock (2)", ["the", " <0>th", " (<1>)"], [0, 1], "the 0rd (0)", [{}, {0: 0}, {1: 1}]),
        ("NUR 5 KM", ["only", " <0>", " left"], [0], "ONLY 0 LEFT", [{}, {0: 0}, {}]),
        ("NUR 5 km", ["only", " <0>"], [], "ONLY 5 km", [{}, {}, {}]),
        ("Nur zu 5", ["", "<0>", "<1>"], [0], "0", [{0: 0}]),
    ],
)
def test_spelling(source: str, answer: list[str], inked: list[int], drawn: str, fillers: list[dict[int, int]]) -> None:
    pieces = [re.sub(r"<(\d)>", lambda mark: LITERALS[int(mark[1])], piece) for piece in answer]
    spelling = spell(pieces, prepare(source), inked)
    assert spelling.text == drawn.replace("0", FILLER)
    assert [word.fillers for word in spelling.words] == fillers
    assert len(drawn.split()) == len(spelling.words)
    for sign, owner in spelling.characters:
        assert sign == " " or sign == FILLER or sign.lower() in (*pieces[owner].lower(), *source.lower(), "r", "d")


def picture(*heights: int) -> np.ndarray:
    """A word of letters 6 columns wide and so high, 2 columns apart."""
    ink = np.zeros((LINE, 8 * len(heights) - 2), dtype=np.float32)
    for number, height in enumerate(heights):
        ink[BASELINE - height : BASELINE, 8 * number : 8 * number + 6] = 1
    return ink


def test_ink_takes_the_place_of_its_filler() -> None:
    marks = f"a ({LITERALS[0]}). {LITERALS[1]}"
    spelling = spell([marks], prepare("ein 5 (7)"), [0, 1])
    drawn = [picture(4), picture(9, 14, 9, 2), picture(14)]
    first, second = picture(20, 20), picture(21)
    words = assemble(spelling, drawn, {0: [first], 1: [second]})
    assert len(words) == 3 and words[0] is drawn[0] and words[2] is second
    assert callable(words[1])
    heights = [int(column.sum()) for column in words[1](1.0).T]
    assert [value for number, value in enumerate(heights) if number == 0 or value != heights[number - 1]] == [
        9, 0, 20, 0, 20, 0, 9, 0, 2
    ]  # fmt: skip
    assert words[1](2.0).shape[0] == 2 * LINE
    # two inks of a broken literal: brackets at either end
    words = assemble(spelling, drawn, {0: [first, second], 1: [second]})
    assert len(words) == 4 and callable(words[1]) and callable(words[2])
    # too few words drawn: nothing is lost but what cannot be told apart
    assert len(assemble(spelling, drawn[:2], {0: [first], 1: [second]})) >= 2


def test_a_filler_that_breaks_apart_is_cut_off_whole() -> None:
    spelling = spell([f"{LITERALS[0]}."], prepare("7"), [0])
    broken = np.zeros((LINE, 16), dtype=np.float32)
    broken[10:20, :5] = broken[10:20, 7:12] = 1  # a thin 0 is two strokes,
    broken[18:20, 14:] = 1  # and the full stop stands behind it
    (word,) = assemble(spelling, [broken], {0: [picture(21)]})
    assert callable(word)
    heights = [int(column.sum()) for column in word(1.0).T]
    assert set(heights) == {21, 0, 2} and heights.count(2) == 2


@pytest.mark.parametrize(
    ("lines", "pieces"),
    [
        (["Kommen Sie um 8.30 Uhr.", "Bringen Sie z. B. Brot mit."],
         ["Kommen Sie um 8.30 Uhr.", "Bringen Sie z. B. Brot mit."]),
        (["• Hut", "• Son-", "ne und Creme"], ["|•|", "Hut", "|•|", "Son- ne und Creme"]),
        (["Termine:", "1. Anmelden. Fertig.", "2. Zahlen"],
         ["Termine:", "|1.|", "Anmelden.", "Fertig.", "|2.|", "Zahlen"]),
        (["Achtung! 112!"], ["Achtung!", "112!"]),
        (["12.30 - 14.00"], ["12.30 - 14.00"]),
        (["Am 3. Mai geht es los"], ["Am 3. Mai geht es los"]),
    ],
)  # fmt: skip
def test_what_a_block_consists_of(lines: list[str], pieces: list[str]) -> None:
    _, runs, texts, _ = block(*lines)
    found = pieces_of(runs, texts, "de")
    numbers = {id(run): number for number, run in enumerate(runs)}
    said = [" ".join(texts[numbers[id(run)]] for run in piece.runs) for piece in found]
    assert said == [piece.strip("|") for piece in pieces]
    assert [piece.begins for piece in found] == [piece.startswith("|") for piece in pieces]
    for piece, text in zip(found, said, strict=True):
        assert (piece.strip is None) == (not any(sign.isalpha() for sign in text))
        assert piece.kept == (text if piece.strip is None else "")


def test_runs_on_which_nothing_was_read_go_with_what_follows() -> None:
    _, runs, texts, _ = block("Hut Brot. Käse da")
    texts[2] = ""
    assert [piece.runs for piece in pieces_of(runs, texts, "de")] == [runs]
    assert [piece.runs for piece in pieces_of(runs, ["", "", "", ""], "de")] == [runs]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> LoadedTranslator:
    """A translator without training; it draws one solid box for each word that it is asked to draw."""
    vocabulary = Vocabulary.build([*TEXTS, "0123456789 .:•"], 60, marks=True)
    torch.manual_seed(0)
    model = TranslatotronV(CONFIG.model, len(vocabulary), vocabulary.character_count).eval()
    enliven(model)

    def words_of(drawn: np.ndarray, count: int) -> list[np.ndarray]:
        return [picture(10 + number) for number in range(count)]

    monkeypatch.setattr(proofreading_module, "words_of", words_of)
    return LoadedTranslator(model, vocabulary, CONFIG, Path())


def test_a_block_keeps_its_literals_and_markers(loaded: LoadedTranslator, monkeypatch: pytest.MonkeyPatch) -> None:
    ink, runs, texts, _ = block("• hund 579 rennt", "• baum. 8:15")
    words = {run.text_alpha.tobytes(): text for run, text in zip(runs, texts, strict=True)}
    asked: list[Strip] = []
    pack_one = paragraphs_module.pixels_of

    def remember(strips: Sequence[Strip]) -> torch.Tensor:
        asked[:] = strips
        return pack_one(strips)

    def frames(logits: torch.Tensor, vocabulary: Vocabulary) -> list[tuple[str, list[int]]]:
        found = []
        for strip in asked:
            inks = [strip.text_alpha[place.row * LINE : (place.row + 1) * LINE, place.left : place.right]
                    for place in strip.placed]  # fmt: skip
            found.append(read(strip, _by_run(strip, [words[np.ascontiguousarray(part).tobytes()] for part in inks])))
        return found

    monkeypatch.setattr(paragraphs_module, "widening", lambda seen: 1.0)  # what it reads is told by ink as it is
    monkeypatch.setattr(paragraphs_module, "pixels_of", remember)
    monkeypatch.setattr(paragraphs_module, "read_ctc_frames", frames)
    monkeypatch.setattr(source_module, "read_ctc_frames", frames)
    paragraph = Paragraph(runs, ink)
    read_paragraphs(loaded, [[paragraph]], 8)
    assert paragraph.text == "• hund 579 rennt • baum. 8:15" and not paragraph.wordless
    assert [piece.kept for piece in paragraph.pieces] == ["•", "", "•", "", "8:15"]
    translate_paragraphs(loaded, [paragraph], 8, loaded.generation)
    assert len(paragraph.translations) == 2 and "579" in paragraph.translations[0]
    assert paragraph.translation.startswith("• ") and paragraph.translation.endswith(" 8:15")
    own = [word(1.0) for word in paragraph.words if callable(word)]
    assert [sum(same_ink(taken, text) for taken in own) for text in ("•", "579", "8:15")] == [2, 1, 1]
    assert len(paragraph.breaks) == 1 and same_ink(paragraph.words[paragraph.breaks[0]](1.0), "•")  # type: ignore[operator]

    alone = Paragraph(runs[-1:], ink)
    read_paragraphs(loaded, [[alone]], 8)
    assert alone.wordless and alone.sentences == []


def _by_run(strip: Strip, texts: Sequence[str]) -> list[str]:
    """Texts by the number of the run that they stand on."""
    numbered = {place.run: text for place, text in zip(strip.placed, texts, strict=True)}
    return [numbered[number] for number in sorted(numbered)]
