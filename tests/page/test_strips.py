"""Lines at a strip's size, packed into strips, and strips cut into words."""

import numpy as np
import pytest

from data_synth.typeset import Face, load_face
from tests.page.pages import as_picture, render, take_apart, tilt
from translatotron_v.metrics import cer
from translatotron_v.ocr import LineDetector, OcrEngine, boxes_to_text
from translatotron_v.page.profile import Setting
from translatotron_v.page.strips import BASELINE, EM, LINE, BlockAlpha, Run, cut, cut_lines, pack, usual_gap, words_of


def test_the_baseline_is_the_renderers() -> None:
    assert Face("DejaVuSans", EM, LINE).baseline == BASELINE


@pytest.mark.parametrize(
    ("size", "font", "angle"), [(10, "DejaVuSans", 0), (16, "NotoSans-Regular", -5), (30, "DejaVuSerif", 0)]
)
def test_packed_strips_read_as_the_page(
    detector: LineDetector, reader: OcrEngine, size: int, font: str, angle: int
) -> None:
    page = render(size, font)
    texts = []
    for taken in take_apart(tilt(page.pixels, angle) if angle else page.pixels, detector):
        assert abs(taken.setting.em / size - 1) < 0.1
        if not angle:
            true = [box.top + load_face(font, size).baseline for box in page.boxes]
            found = [base - taken.crop.matrix[1, 2] for base in taken.setting.baselines]
            assert all(min(abs(base - other) for other in true) < 1.5 for base in found)
        texts += [boxes_to_text(reader.read(as_picture(strip.text_alpha))) for strip in pack(taken.runs)]
    assert cer([" ".join(texts)], [" ".join(page.lines)]).value < 0.02


def run(width: int, line: int = 0, left: int = 0, gap: int = 0) -> Run:
    return Run(np.ones((LINE, width), dtype=np.float32), line, left, gap)


def test_packing_keeps_gaps_within_a_line_and_joins_lines() -> None:
    runs = [run(100), run(300, 0, 105, 5), run(90, 1), run(400, 1, 100, 10), run(500, 2), run(20, 3)]
    first, second = pack(runs)
    assert [(place.run, place.row, place.left) for place in first.placed] == [
        (0, 0, 2),
        (1, 0, 107),
        (2, 0, 414),
        (3, 1, 2),
        (4, 2, 2),
    ]
    assert [(place.run, place.row) for place in second.placed] == [(5, 0)]
    assert first.text_alpha[:, 510:].max() == 0 and first.run_at(0, 110) == 1 and first.run_at(0, 104) == 0
    assert second.run_at(1, 5) is None and pack([]) == []
    assert usual_gap(runs) == pytest.approx(7.5 / EM)


def test_a_run_wider_than_a_strip_is_cut() -> None:
    (strip,) = pack([run(1200)])
    assert {place.run for place in strip.placed} == {0}
    assert sum(place.right - place.left for place in strip.placed) == 1200


def test_a_line_is_cut_at_its_widest_gaps() -> None:
    line = np.ones((LINE, 100), dtype=np.float32)
    for start, end in ((10, 12), (30, 37), (50, 51), (70, 76)):
        line[:, start:end] = 0
    assert [(piece.left, piece.width, piece.gap) for piece in cut(line)] == [(0, 30, 0), (37, 33, 7), (76, 24, 6)]
    assert [piece.left for piece in cut(line, count=2)] == [0, 37]
    assert [piece.left for piece in cut(line, count=9)] == [0, 12, 37, 51, 76]
    assert cut(np.zeros((LINE, 9), dtype=np.float32)) == []


def test_a_written_strip_is_cut_into_its_words() -> None:
    text = "Zwei ältere Frauen sitzen auf einer Bank im Park und füttern die Tauben mit Brot und Kuchen."
    face = Face("DejaVuSans", EM, LINE, word_grid=8, advance_grid=2)
    lines = face.wrap(text.split(), 508, 3)
    assert lines is not None
    mask = np.zeros((96, 512), dtype=np.uint8)
    for row, words in enumerate(lines):
        face.set_line(mask, words, 2, row * LINE)
    ink = mask.astype(np.float32) / 255
    found = words_of(ink, len(text.split()))
    assert [piece.shape[1] for piece in found] == pytest.approx(
        [face.word(word).mask.shape[1] for word in text.split()], abs=2
    )
    assert len(words_of(ink, 1)) == len(lines) and words_of(np.zeros_like(ink), 5) == []


@pytest.mark.parametrize("em", [20, 33])
def test_words_of_widened_lines_are_set_as_they_were(em: int) -> None:
    rng = np.random.default_rng(0)
    ink = np.zeros((2 * em, 12 * em), dtype=np.float32)
    for left in (em, 4 * em, 8 * em):
        ink[em // 2 : 3 * em // 2, left : left + 2 * em] = rng.uniform(0.5, 1, (em, 2 * em))
    alpha = BlockAlpha(ink, [(0, 0, 12 * em, 2 * em)], Setting(em, (1.5 * em,), 1.0))
    wider = alpha.widened(1.4)
    plain, wide = cut_lines(alpha.lines), cut_lines(wider.lines)
    assert len(plain) == len(wide) == 3
    for before, after in zip(plain, wide, strict=True):
        assert after.width == pytest.approx(1.4 * before.width, abs=2)
        assert after.left == pytest.approx(1.4 * before.left, abs=2)
        for scale in (1.0, em / EM):
            own = alpha.word(0, before.left, before.left + before.width)(scale)
            again = wider.word(0, 1.4 * before.left, 1.4 * (before.left + before.width))(scale)
            assert again == pytest.approx(own, abs=1e-5)
    assert alpha.lines[0].shape[1] < wider.lines[0].shape[1]  # the first is as it was
