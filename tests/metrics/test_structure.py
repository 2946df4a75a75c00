"""Structure-BLEU: golden values by hand, and the weaknesses of the paper's definition beside the one-to-one variant."""

import pytest

from translatotron_v.metrics import merge_lines, structure_bleu
from translatotron_v.metrics.structure import iou, match_boxes
from translatotron_v.ocr import TextBox, box_from_bounds

MAN = "a man rides a red bicycle"
DOG = "two dogs run over green grass"


def box(left: float, top: float, right: float, bottom: float, text: str = "x") -> TextBox:
    return box_from_bounds(left, top, right, bottom, text)


TOP, BOTTOM = box(0, 0, 100, 20, MAN), box(0, 50, 100, 70, DOG)


def both(generated: list[TextBox], reference: list[TextBox]) -> tuple[float, float]:
    """The paper's value and the one-to-one value of one page."""
    paper = structure_bleu([generated], [reference])
    strict = structure_bleu([generated], [reference], one_to_one=True)
    return paper.value, strict.value


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (box(0, 0, 10, 10), box(0, 0, 10, 10), 1.0),
        (box(0, 0, 10, 10), box(5, 0, 15, 10), 50 / 150),
        (box(0, 0, 10, 10), box(20, 0, 30, 10), 0.0),
        (box(0, 0, 10, 10), box(0, 0, 0, 0), 0.0),
        (box(0, 0, 10, 10), TextBox(((5, 0), (10, 5), (5, 10), (0, 5)), "diamond"), 0.5),
        (box(0, 0, 100, 20), box(10, 5, 60, 15), 500 / 2000),  # one inside the other
        (box(0, 0, 10, 10), box(10, 0, 20, 10), 0.0),  # they share an edge
        # a square turned by 45 degrees about the middle of its like: a regular octagon of 2(sqrt 2 - 1) of its area
        (
            box(-10, -10, 10, 10),
            TextBox(((0, -(200**0.5)), (200**0.5, 0), (0, 200**0.5), (-(200**0.5), 0)), "turned"),
            (2**0.5 - 1) / (2 - 2**0.5),
        ),
        # counter-clockwise corners, and halves of a parallelogram: 50 of 150
        (
            TextBox(((0, 0), (5, 10), (15, 10), (10, 0)), "leaning"),
            TextBox(((5, 0), (10, 10), (20, 10), (15, 0)), "shifted"),
            50 / 150,
        ),
    ],
)
def test_iou(first: TextBox, second: TextBox, expected: float) -> None:
    assert iou(first, second) == pytest.approx(expected)


def test_equal_pages_score_100() -> None:
    assert both([TOP, BOTTOM], [TOP, BOTTOM]) == pytest.approx((100.0, 100.0))
    assert both([BOTTOM, TOP], [TOP, BOTTOM]) == pytest.approx((100.0, 100.0))  # reference order decides


def test_right_texts_in_each_others_place_score_little() -> None:
    swapped = [box(0, 50, 100, 70, MAN), box(0, 0, 100, 20, DOG)]
    # "dog... man..." against "man... dog...": all 12 words, 10 of 11 pairs, 8 of 10, 6 of 9: the joined page hides it
    joined = 100 * (12 / 12 * 10 / 11 * 8 / 10 * 6 / 9) ** (1 / 4)
    assert both(swapped, [TOP, BOTTOM]) == pytest.approx((joined, joined))


def test_text_out_of_place_earns_nothing() -> None:
    shifted = [box(0, 12, 100, 32, MAN), box(0, 62, 100, 82, DOG)]  # IoU 8 / 32
    assert both(shifted, [TOP, BOTTOM]) == (0.0, 0.0)


def test_a_box_on_the_threshold_does_not_answer() -> None:
    half = box(0, 0, 50, 20, MAN)  # IoU exactly 0.5
    assert match_boxes([half], [TOP]) == ([""], [half])
    assert match_boxes([half], [TOP], threshold=0.49) == ([MAN], [])


def test_weakness_one_generated_box_answers_several_references() -> None:
    references = [box(0, 0, 100, 20, MAN), box(0, 5, 100, 25, MAN)]
    one = [box(0, 2, 100, 22, MAN)]
    paper, strict = both(one, references)
    assert paper == pytest.approx(100.0)  # the text is there once, the paper's definition counts it twice
    assert strict == pytest.approx(100 * 2.718281828 ** (1 - 12 / 6), abs=1e-4)  # 6 words for 12


def test_weakness_surplus_boxes_cost_nothing() -> None:
    invented = box(0, 80, 100, 95, "one two three four five six")
    paper, strict = both([TOP, BOTTOM, invented], [TOP, BOTTOM])
    assert paper == pytest.approx(100.0)
    # 12 of 18 words, 11 of 16 pairs, 10 of 14, 9 of 12
    assert strict == pytest.approx(100 * (12 / 18 * 11 / 16 * 10 / 14 * 9 / 12) ** (1 / 4))


def test_text_of_a_surplus_box_earns_nothing_even_when_it_is_right_elsewhere() -> None:
    elsewhere = box(0, 80, 100, 95, DOG)
    _, strict = both([TOP, elsewhere], [TOP, BOTTOM])
    # 6 of 12 words, 5 of 10, 4 of 8, 3 of 6; as many words as the reference, so no brevity penalty
    assert strict == pytest.approx(50.0)


def test_assignment_is_the_best_one_not_the_greedy_one() -> None:
    # the first generated box fits the first reference best, but only it can answer the second
    references = [box(0, 0, 100, 20, "first"), box(0, 6, 100, 26, "second")]
    generated = [box(0, 2, 100, 22, "b"), box(0, -4, 100, 16, "a")]
    answers, unmatched = match_boxes(generated, references, one_to_one=True)
    assert answers == ["a", "b"] and unmatched == []
    assert match_boxes(generated, references)[0] == ["b", "b"]


def test_pages_without_boxes() -> None:
    assert both([], [TOP]) == (0.0, 0.0)
    assert both([TOP], []) == (0.0, 0.0)
    # two pages: one equal, one where nothing was there to write
    paper = structure_bleu([[TOP], [BOTTOM]], [[TOP], []])
    strict = structure_bleu([[TOP], [BOTTOM]], [[TOP], []], one_to_one=True)
    assert paper.value == pytest.approx(100.0) and strict.value == pytest.approx(50.0)
    with pytest.raises(ValueError, match="as many"):
        structure_bleu([], [])


def test_signatures_tell_the_variants_apart() -> None:
    paper = structure_bleu([[TOP]], [[TOP]])
    strict = structure_bleu([[TOP]], [[TOP]], one_to_one=True)
    assert paper.signature.startswith("match:best,surplus:free|iou:>0.5|nrefs:1|case:lc|")
    assert strict.signature.startswith("match:one-to-one,surplus:wrong|iou:>0.5|nrefs:1|case:lc|")
    assert (paper.name, strict.name) == ("Structure-BLEU", "Structure-BLEU 1:1")


def test_lines_become_paragraphs() -> None:
    lines = [
        box(4, 32, 60, 48, "the hill."),  # out of order, and short
        box(2, 0, 200, 15, "a man rides"),
        box(2, 16, 190, 32, "a bicycle up"),
        box(2, 80, 200, 96, "another"),  # two empty lines below
        box(260, 0, 400, 15, "right"),  # another column
        box(2, 110, 200, 150, "HEADLINE"),  # another size
    ]
    paragraphs = merge_lines(lines)
    assert [paragraph.text for paragraph in paragraphs] == [
        "a man rides a bicycle up the hill.",
        "right",
        "another",
        "HEADLINE",
    ]
    assert paragraphs[0].bounds == (2, 0, 200, 48)


def test_pieces_of_a_row_are_joined_and_a_late_line_connects_two_groups() -> None:
    lines = [
        box(0, 0, 50, 16, "one"),
        box(0, 34, 50, 50, "three"),
        box(0, 17, 50, 33, "two"),
        box(58, 0, 99, 16, "piece"),
    ]
    assert [paragraph.text for paragraph in merge_lines(lines)] == ["one piece two three"]
    assert merge_lines([]) == []
