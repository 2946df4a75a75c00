"""Golden values of BLEU, chrF and CER, worked by hand where that is feasible."""

import math

import pytest

from translatotron_v.metrics import bleu, cer, chrf, exact
from translatotron_v.metrics.text import edits

MAT = "the cat sat on the mat"


@pytest.mark.parametrize(
    ("hypotheses", "references", "expected"),
    [
        ([MAT], [MAT], 100.0),
        # 5/6 words, 3/5 pairs, 2/4 triples, 1/3 quadruples; as long as the reference
        (["the cat sat on a mat"], [MAT], 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4)),
        # all n-grams right, but 4 words for 6: only the brevity penalty
        (["the cat sat on"], [MAT], 100 * math.exp(1 - 6 / 4)),
        # exponential smoothing: no triple and no quadruple right, which count as 1/2 and 1/4 of one
        (["the cat on mat sat the"], [MAT], 100 * (6 / 6 * 1 / 5 * (1 / 2) / 4 * (1 / 4) / 3) ** (1 / 4)),
        # a corpus pools its counts: 6 + 0 of 12 words and so on, not the mean of 100 and 0
        ([MAT, "ein hund sah zwei rote autos"], [MAT] * 2, 50.0),
        ([""], [MAT], 0.0),
        # sacrebleu separates punctuation (13a): 7 tokens equal 7 tokens
        (["the cat sat on the mat ."], ["the cat sat on the mat."], 100.0),
    ],
)
def test_bleu(hypotheses: list[str], references: list[str], expected: float) -> None:
    assert bleu(hypotheses, references).value == pytest.approx(expected, abs=1e-6)


def test_bleu_counts_words_without_a_reference_as_wrong() -> None:
    # 6 of 12 words, 5 of 10 pairs, 4 of 8, 3 of 6; the references' length is 6, so no brevity penalty
    assert bleu([MAT, "ein hund sah zwei rote autos"], [MAT, ""]).value == pytest.approx(50.0)


def test_case_stands_in_the_signature() -> None:
    lower, mixed = bleu([MAT.title()], [MAT]), bleu([MAT.title()], [MAT], lower_case=False)
    assert lower.value == pytest.approx(100.0)
    assert mixed.value == 0.0
    assert lower.signature.startswith("nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|version:2.")
    assert mixed.signature.startswith("nrefs:1|case:mixed|")
    assert "case:lc" in chrf([MAT], [MAT]).signature and "case:lc" in cer([MAT], [MAT]).signature
    assert str(lower).startswith("BLEU|nrefs:1") and str(lower).endswith("= 100")


@pytest.mark.parametrize(
    ("hypothesis", "reference", "expected"),
    [
        (MAT, MAT, 100.0),
        ("abcdefg", "hijklmnop", 0.0),
        ("", "abc", 0.0),
        ("ABCDEFG", "abcdefg", 100.0),
        # 1-grams 1/2, 2-grams 0/1: precision and recall are both the mean, 1/4, and so is F
        ("aa", "ab", 25.0),
        # precision 1 (1-grams 2/2, 2-grams 1/1), recall (2/4 + 1/3) / 2 over two effective orders; F with beta 2
        ("ab", "abcd", 100 * 5 * (5 / 12) / (4 + 5 / 12)),
    ],
)
def test_chrf(hypothesis: str, reference: str, expected: float) -> None:
    assert chrf([hypothesis], [reference]).value == pytest.approx(expected, abs=0.02)


def test_chrf_counts_text_without_a_reference() -> None:
    assert chrf([MAT, "ein hund"], [MAT, ""]).value < chrf([MAT, ""], [MAT, ""]).value


@pytest.mark.parametrize(
    ("hypotheses", "references", "expected"),
    [
        (["kitten"], ["sitting"], 3 / 7),
        (["abc"], ["abc"], 0.0),
        ([""], ["abcd"], 1.0),
        (["abcdef"], ["ab"], 2.0),  # more than everything can be wrong
        # by corpus: 1 + 0 edits over 2 + 8 characters, not the mean of 1/2 and 0
        (["ax", "abcdefgh"], ["ab", "abcdefgh"], 0.1),
        (["U\u0308ber  den\nFluss"], ["über den fluss"], 0.0),  # composed, single spaces, lower case
        ([""], [""], 0.0),
        (["ab"], [""], 2.0),
    ],
)
def test_cer(hypotheses: list[str], references: list[str], expected: float) -> None:
    assert cer(hypotheses, references).value == pytest.approx(expected)


def test_cer_with_case() -> None:
    assert cer(["Abc"], ["abc"], lower_case=False).value == pytest.approx(1 / 3)
    assert edits("Abc", "abcd") == (1, 4)


def test_sides_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 hypotheses and 1 references"):
        bleu(["a", "b"], ["a"])
    with pytest.raises(ValueError):
        cer([], [])
    with pytest.raises(TypeError):
        chrf("a", ["a"])


HAT = "a man with a hat waits here"


def test_several_references() -> None:
    # n-grams are clipped by the reference that has most of them, lengths by the nearest: each text is whole
    both = bleu([MAT, HAT], [MAT, MAT], others=[[HAT, HAT]])
    assert both.value == pytest.approx(100.0) and both.signature.startswith("nrefs:2|")
    assert bleu([MAT], ["the cat sat"], others=[["on the mat"]]).value < 100
    best = chrf([MAT, HAT], [MAT, MAT], others=[[HAT, HAT]])
    assert best.value == pytest.approx(100.0) and best.signature.startswith("nrefs:2|")
    # "abcd" is 1 of 4 from the first and 2 of 8 from the second: alike, the first counts; "xy" is nearer to the second
    nearest = cer(["abcd", "xy"], ["abcx", "ab"], others=[["abcdef", "xz"]])
    assert nearest.value == pytest.approx((1 + 1) / (4 + 2)) and nearest.signature.startswith("nrefs:2,nearest|")
    assert not cer([MAT], [MAT]).signature.startswith("nrefs")


@pytest.mark.parametrize("metric", [bleu, chrf, cer])
def test_a_further_reference_that_is_empty_says_nothing(metric) -> None:
    alone, beside = metric([MAT, "dog"], [HAT, "dogs"]), metric([MAT, "dog"], [HAT, "dogs"], others=[["", ""]])
    assert beside.value == pytest.approx(alone.value)
    with pytest.raises(ValueError, match="2 hypotheses and 1 references"):
        metric([MAT, HAT], [MAT, HAT], others=[[MAT]])


def test_exact_counts_texts_and_no_spaces():
    score = exact(["Ab c", "Abd", "e\u0301", ""], ["abc", "abc", "\u00e9", ""])
    assert score.value == 75.0 and exact(["Ab c"], ["abc"], lower_case=False).value == 0.0
    assert "case:lc" in score.signature
    with pytest.raises(ValueError, match="1 hypotheses and 2"):
        exact(["a"], ["a", "b"])
