"""Language identification of short lower-cased sentences, and golden values of LF and LF+."""

from importlib.metadata import version

import pytest

from translatotron_v.errors import UserError
from translatotron_v.metrics import chrf, identify, language_fidelity, language_fidelity_plus

SENTENCES = {
    "de": ["zwei kinder spielen am strand mit einem ball.", "der alte mann liest eine zeitung im park."],
    "en": ["two children play with a ball on the beach.", "the old man is reading a newspaper in the park."],
    "fr": ["deux enfants jouent au ballon sur la plage.", "le vieil homme lit un journal dans le parc."],
    "cs": ["dvě děti si hrají s míčem na pláži.", "starý muž čte noviny v parku."],
    "ro": ["doi copii se joacă cu o minge pe plajă.", "bătrânul citește un ziar în parc."],
}
NOTHING = ["", "   ", "12, 34!", "…", "x"]  # nothing to read, no letters, nothing the identifier knows


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_are_identified_in_any_case(language: str) -> None:
    for text in SENTENCES[language]:
        assert [identify(text), identify(text.capitalize()), identify(text.upper())] == [language] * 3


@pytest.mark.parametrize("text", NOTHING)
def test_what_says_nothing_has_no_language(text: str) -> None:
    assert identify(text) == ""


def test_only_the_languages_given_are_answered() -> None:
    assert identify(SENTENCES["fr"][0], ["de", "en"]) in ("de", "en")
    assert identify(SENTENCES["cs"][0], ["en", "cs"]) == identify(SENTENCES["cs"][0], ["cs", "en"]) == "cs"
    assert identify(SENTENCES["fr"][0]) == "fr"  # the shorter lists have left nothing behind


def test_the_identifier_that_all_programs_share_stays_as_it_is() -> None:
    import py3langid

    identify(SENTENCES["de"][0], ["de", "en"])
    assert py3langid.classify("Dwoje dzieci bawi się piłką na plaży nad morzem.")[0] == "pl"


@pytest.mark.parametrize(
    ("hypotheses", "language", "expected"),
    [
        (SENTENCES["fr"], "fr", 100.0),
        (SENTENCES["fr"], "cs", 0.0),
        ([*SENTENCES["fr"], *SENTENCES["en"]], "fr", 50.0),
        ([SENTENCES["cs"][0], "", "12.", SENTENCES["en"][0]], "cs", 25.0),  # what says nothing counts, as unfaithful
        (NOTHING, "de", 0.0),
        (NOTHING, "cs", 0.0),
    ],
)
def test_language_fidelity(hypotheses: list[str], language: str, expected: float) -> None:
    assert language_fidelity(hypotheses, language).value == pytest.approx(expected)


def test_fidelity_plus_asks_for_the_language_and_the_meaning() -> None:
    references = [SENTENCES["fr"][0]] * 4
    hypotheses = [
        SENTENCES["fr"][0].upper(),  # right, but for the case
        SENTENCES["fr"][1],  # in French, about something else
        SENTENCES["en"][0],  # right in English
        "",
    ]
    assert language_fidelity(hypotheses, "fr").value == pytest.approx(50.0)
    assert language_fidelity_plus(hypotheses, references, "fr").value == pytest.approx(25.0)
    # a right answer in another language stays wrong, whatever its chrF
    assert language_fidelity_plus([SENTENCES["en"][0]], [SENTENCES["en"][0]], "fr").value == 0.0


def test_a_sentence_at_the_threshold_is_right() -> None:
    hypothesis, reference = "deux chiens jouent sur la plage.", SENTENCES["fr"][0]
    exact = chrf([hypothesis], [reference]).value
    assert 40 < exact < 100

    def plus(threshold: float) -> float:
        return language_fidelity_plus([hypothesis], [reference], "fr", threshold=threshold).value

    assert [plus(exact - 1e-9), plus(exact), plus(exact + 1e-9)] == [100.0, 100.0, 0.0]
    assert language_fidelity_plus([hypothesis], [reference], "fr").value == 100.0


def test_signatures_say_how_it_was_counted() -> None:
    score = language_fidelity(SENTENCES["fr"], "fr")
    assert (score.name, score.signature) == ("LF", f"lang:fr|among:cs,de,en,fr,ro|py3langid:{version('py3langid')}")
    plus = language_fidelity_plus(SENTENCES["fr"], SENTENCES["fr"], "fr", ["fr", "en"])
    assert plus.name == "LF+"
    assert plus.signature.startswith(f"lang:fr|among:en,fr|py3langid:{version('py3langid')}|chrF:40|nrefs:1|case:lc|")


@pytest.mark.parametrize(
    ("language", "languages", "message"),
    [
        ("it", ("de", "en"), "unknown language 'it'; the languages are de, en"),
        ("xx", ("de", "xx"), "unknown language 'xx'; py3langid knows de"),
        ("de", (), "unknown language 'de'"),
    ],
)
def test_unknown_languages_are_refused(language: str, languages: tuple[str, ...], message: str) -> None:
    for score in (
        lambda: language_fidelity([""], language, languages),
        lambda: language_fidelity_plus([""], [""], language, languages),
    ):
        with pytest.raises(UserError, match=message) as caught:
            score()
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no languages to choose from"):
        identify("der hund", ())


def test_wrong_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="2 hypotheses and 1 references"):
        language_fidelity_plus(["a", "b"], ["a"], "en")
    with pytest.raises(ValueError, match="at least one"):
        language_fidelity([], "en")
    with pytest.raises(TypeError):
        language_fidelity("a", "en")
