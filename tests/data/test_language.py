"""The small words that tell a language (its identification is tested with the metric it serves)."""

import pytest

from translatotron_v.data.language import identify, small_words
from translatotron_v.data.vocabulary import LANGUAGES

SENTENCES = {
    "de": "der schlüssel liegt nicht auf dem tisch",
    "en": "the key is not on the table",
    "fr": "la clé n est pas sur la table",
    "cs": "klíč není na stole ale v kapse",
    "ro": "cheia nu este pe masă dar în buzunar",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plain_sentence_has_more_small_words_of_its_own_language_than_of_any_other(language: str) -> None:
    words = SENTENCES[language].split()
    found = {code: sum(word in small_words(code) for word in words) for code in LANGUAGES}
    assert found[language] >= 2
    assert all(count < found[language] for code, count in found.items() if code != language)
    assert identify(SENTENCES[language]) == language


def test_a_language_that_is_not_ours_has_none() -> None:
    assert small_words("sv") == frozenset()
