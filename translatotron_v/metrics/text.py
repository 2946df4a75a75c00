"""BLEU, chrF, character error rate and exact matches of texts, by corpus."""

import unicodedata
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from translatotron_v.metrics.score import Score

_NOTHING = "\ue000"  # stands for an empty reference where a library skips those; no text contains it


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    others: Sequence[Sequence[str]] = (),
    lower_case: bool = True,
    effective_order: bool = False,
) -> Score:
    """Corpus BLEU by sacrebleu (13a, exponential smoothing), 0..100.

    Words where the reference is empty count as wrong.

    Args:
        hypotheses: one text for each reference.
        references: same length.
        others: further references, lists of the same length; an empty text in one of them says nothing.
        lower_case: fold both sides; `case:lc` in the signature, otherwise `case:mixed`.
        effective_order: leave out n-gram orders that are longer than the text; for single sentences only.
    """
    _check(hypotheses, references, others)
    metric = _bleu_metric(lower_case, effective_order)
    result = metric.corpus_score(list(hypotheses), [list(references), *_given(others)])
    return Score("BLEU", float(result.score), str(metric.get_signature()))


def chrf(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    others: Sequence[Sequence[str]] = (),
    lower_case: bool = True,
) -> Score:
    """Corpus chrF2 by sacrebleu (character 6-grams), 0..100; arguments as of `bleu`."""
    _check(hypotheses, references, others)
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF(lowercase=lower_case)
    first = [reference or _NOTHING for reference in references]
    result = metric.corpus_score(list(hypotheses), [first, *_given(others)])
    return Score("chrF", float(result.score), str(metric.get_signature()))


def cer(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    others: Sequence[Sequence[str]] = (),
    lower_case: bool = True,
) -> Score:
    """Character error rate of a corpus: all edits (Levenshtein) by all characters of the references, 0 and up.

    Both sides are compared as composed characters (NFC) with single spaces. Where the references hold no character at
    all, the rate is 0 if the hypotheses are empty too, otherwise the number of their characters. Of several references
    of a text the one counts to which it has the lowest rate. Arguments as of `bleu`.
    """
    _check(hypotheses, references, others)
    counts = []
    for hypothesis, reference, *more in zip(hypotheses, references, *others, strict=True):
        all_counts = [edits(hypothesis, one, lower_case=lower_case) for one in (reference, *filter(None, more))]
        counts.append(min(all_counts, key=lambda count: count[0] / max(count[1], 1)))
    wrong, total = sum(count[0] for count in counts), sum(count[1] for count in counts)
    case = "lc" if lower_case else "mixed"
    several = f"nrefs:{1 + len(others)},nearest|" if others else ""
    signature = f"{several}case:{case}|norm:nfc,spaces|level:corpus|rapidfuzz:{version('rapidfuzz')}"
    return Score("CER", wrong / max(total, 1), signature)


def exact(hypotheses: Sequence[str], references: Sequence[str], *, lower_case: bool = True) -> Score:
    """Percent of texts that equal their reference, after the folding that `cer` does and without spaces, 0..100.

    OCR drops and adds spaces between words that are drawn as they should be. Arguments as of `bleu`.
    """
    _check(hypotheses, references, ())
    sides = ([_plain(text, lower_case).replace(" ", "") for text in texts] for texts in (hypotheses, references))
    right = sum(left == other for left, other in zip(*sides, strict=True))
    case = "lc" if lower_case else "mixed"
    return Score("exact", 100 * right / len(references), f"case:{case}|norm:nfc,no spaces")


def edits(hypothesis: str, reference: str, *, lower_case: bool = True) -> tuple[int, int]:
    """Edits between two texts, and the characters of the reference, after the folding that `cer` does."""
    from rapidfuzz.distance import Levenshtein

    left, right = _plain(hypothesis, lower_case), _plain(reference, lower_case)
    return Levenshtein.distance(left, right), len(right)


def _plain(text: str, lower_case: bool) -> str:
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text.lower() if lower_case else text


def _bleu_metric(lower_case: bool, effective_order: bool) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    # force: captions do end in " .", which is no reason for a warning
    return BLEU(lowercase=lower_case, effective_order=effective_order, force=True)


def _given(others: Sequence[Sequence[str]]) -> list[Any]:
    """Further references as sacrebleu takes them: None where there is none."""
    return [[text or None for text in texts] for texts in others]


def _check(hypotheses: Sequence[str], references: Sequence[str], others: Sequence[Sequence[str]]) -> None:
    for texts in (hypotheses, references, *others):
        if isinstance(texts, str):
            raise TypeError("give lists of texts, not a single text")
        if len(hypotheses) != len(texts) or not texts:
            raise ValueError(f"{len(hypotheses)} hypotheses and {len(texts)} references: give as many, at least one")
