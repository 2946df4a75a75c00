"""Language fidelity: whether a translation is in the language that was asked for (arXiv 2503.22577).

A model tuned on pages of one language may answer in that language whatever it was asked for (image-induced fidelity
loss). LF counts the answers in the right language; LF+ counts those that say the right thing as well.
"""

from collections.abc import Sequence
from importlib.metadata import version

from translatotron_v.data.language import identify as identify
from translatotron_v.data.vocabulary import LANGUAGES
from translatotron_v.errors import UserError
from translatotron_v.metrics.score import Score
from translatotron_v.metrics.text import chrf

THRESHOLD = 40.0  # chrF2 of a sentence from which LF+ takes it for right


def language_fidelity(hypotheses: Sequence[str], language: str, languages: Sequence[str] = LANGUAGES) -> Score:
    """LF: percent of texts that are in the language asked for, 0..100; text that says nothing is not.

    Args:
        hypotheses: at least one.
        language: the one asked for.
        languages: those that the identifier may answer, ``language`` among them.

    Raises:
        UserError: ``language`` is not among ``languages``, or the identifier does not know one of them.
    """
    faithful = _faithful(hypotheses, language, languages)
    return Score("LF", 100 * sum(faithful) / len(faithful), _signature(language, languages))


def language_fidelity_plus(
    hypotheses: Sequence[str],
    references: Sequence[str],
    language: str,
    languages: Sequence[str] = LANGUAGES,
    threshold: float = THRESHOLD,
) -> Score:
    """LF+: percent of texts in the language asked for whose sentence chrF2 is ``threshold`` or more, 0..100.

    Args:
        hypotheses: one text for each reference.
        references: same length.
        language, languages: as of ``language_fidelity``.
        threshold: 0..100; chrF2 is that of ``metrics.text.chrf``, case folded.

    Raises:
        UserError: as ``language_fidelity``.
    """
    whole = chrf(hypotheses, references)  # refuses sides of unequal length, and names the settings of chrF
    faithful = _faithful(hypotheses, language, languages)
    right = [
        said and chrf([hypothesis], [reference]).value >= threshold
        for said, hypothesis, reference in zip(faithful, hypotheses, references, strict=True)
    ]
    signature = f"{_signature(language, languages)}|chrF:{threshold:g}|{whole.signature}"
    return Score("LF+", 100 * sum(right) / len(right), signature)


def _faithful(hypotheses: Sequence[str], language: str, languages: Sequence[str]) -> list[bool]:
    if isinstance(hypotheses, str):
        raise TypeError("give a list of texts, not a single text")
    if not hypotheses:
        raise ValueError("no hypotheses: give at least one")
    if language not in languages:
        raise UserError(f"unknown language {language!r}; the languages are {', '.join(languages)}")
    return [identify(hypothesis, languages) == language for hypothesis in hypotheses]


def _signature(language: str, languages: Sequence[str]) -> str:
    return f"lang:{language}|among:{','.join(sorted(set(languages)))}|py3langid:{version('py3langid')}"
