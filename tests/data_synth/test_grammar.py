"""The built-in grammar: agreement, alignment, splits, and that it never runs dry."""

import itertools

import pytest

from data_synth.errors import UserError
from data_synth.grammar import TEMPLATES, Clause, GrammarPairs, Sentence, grammar_pair, grammar_pairs, realise
from data_synth.lexicon import ADJECTIVES, LANGUAGES, NOUNS, PLACES, TIMES, VERBS, Word
from data_synth.meaning import NounPhrase


def _word(words: list[Word], english: str) -> Word:
    return next(word for word in words if word.forms["en"][0] == english)


def _phrase(noun: str, determiner: str, plural: bool = False, adjective: str | None = None) -> NounPhrase:
    return NounPhrase(_word(NOUNS, noun), determiner, plural, _word(ADJECTIVES, adjective) if adjective else None)


def _all(sentence: Clause) -> dict[str, str]:
    return {language: realise(Sentence((sentence,), ()), language) for language in LANGUAGES}


SEES = next(verb for verb in VERBS if verb.forms["en"][0] == "sees")
SLEEPS = _word(VERBS, "sleeps")

GOLDEN = [
    (
        Clause("transitive", _phrase("man", "the", adjective="old"), SEES, _phrase("dog", "a", adjective="black")),
        {
            "en": "The old man sees a black dog.",
            "de": "Der alte Mann sieht einen schwarzen Hund.",
            "fr": "Le vieil homme voit un chien noir.",
            "ro": "Bărbatul bătrân vede un câine negru.",
            "cs": "Starý muž vidí černého psa.",
        },
    ),
    (
        Clause("transitive", _phrase("boy", "my"), SEES, _phrase("bear", "the", adjective="strong")),
        {
            "en": "My boy sees the strong bear.",
            "de": "Mein Junge sieht den starken Bären.",
            "fr": "Mon garçon voit l'ours fort.",
            "ro": "Băiatul meu vede ursul puternic.",
            "cs": "Můj kluk vidí silného medvěda.",
        },
    ),
    (
        Clause("transitive", _phrase("woman", "a", True, "young"), SEES, _phrase("chair", "two", True, "small")),
        {
            "en": "Young women see two small chairs.",
            "de": "Junge Frauen sehen zwei kleine Stühle.",
            "fr": "De jeunes femmes voient deux petites chaises.",
            "ro": "Niște femei tinere văd două scaune mici.",
            "cs": "Mladé ženy vidí dvě malé židle.",
        },
    ),
    (
        Clause("adjective", _phrase("child", "the", True), adjective=_word(ADJECTIVES, "tired")),
        {
            "en": "The children are tired.",
            "de": "Die Kinder sind müde.",
            "fr": "Les enfants sont fatigués.",
            "ro": "Copiii sunt obosiți.",
            "cs": "Děti jsou unavené.",
        },
    ),
    (
        Clause(
            "intransitive",
            _phrase("friend", "my", True, "happy"),
            SLEEPS,
            place=next(place.texts for place in PLACES if place.texts["en"] == "at home"),
            time=next(time.texts for time in TIMES if time.texts["en"] == "today"),
            time_first=True,
        ),
        {
            "en": "Today my happy friends sleep at home.",
            "de": "Heute schlafen meine glücklichen Freunde zu Hause.",
            "fr": "Aujourd'hui, mes amis heureux dorment à la maison.",
            "ro": "Astăzi prietenii mei fericiți dorm acasă.",
            "cs": "Dnes moji šťastní přátelé spí doma.",
        },
    ),
    (
        Clause("question", _phrase("sister", "my", adjective="beautiful"), SEES, _phrase("tree", "a", adjective="big")),
        {
            "en": "Does my beautiful sister see a big tree?",
            "de": "Sieht meine schöne Schwester einen großen Baum?",
            "fr": "Est-ce que ma belle sœur voit un grand arbre?",
            "ro": "Oare sora mea frumoasă vede un copac mare?",
            "cs": "Vidí moje krásná sestra velký strom?",
        },
    ),
    (
        Clause("where", _phrase("apple", "the", True, "red")),
        {
            "en": "Where are the red apples?",
            "de": "Wo sind die roten Äpfel?",
            "fr": "Où sont les pommes rouges?",
            "ro": "Unde sunt merele roșii?",
            "cs": "Kde jsou červená jablka?",
        },
    ),
]


@pytest.mark.parametrize(("clause", "expected"), GOLDEN, ids=[expected["en"] for _, expected in GOLDEN])
def test_agreement_and_word_order(clause: Clause, expected: dict[str, str]) -> None:
    assert _all(clause) == expected


def test_every_word_has_the_forms_of_its_language() -> None:
    for words, sizes in (
        (NOUNS, {"en": 2, "de": 4, "fr": 3, "ro": 5, "cs": 5}),
        (ADJECTIVES, {"en": 1, "de": 2, "fr": 6, "ro": 4, "cs": 2}),
        (VERBS, dict.fromkeys(LANGUAGES, 2)),
    ):
        for word in words:
            assert {language: len(forms) for language, forms in word.forms.items()} == sizes, word.forms["en"]


def test_objects_of_verbs_are_nouns_or_kinds() -> None:
    known = {noun.forms["en"][0] for noun in NOUNS} | {"person", "animal", "thing", "-"}
    assert all(verb.objects <= known for verb in VERBS)


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(LANGUAGES, 2)))
def test_all_directions_speak_of_the_same_things(source: str, target: str) -> None:
    there, back = grammar_pairs(source, target, 20, 3), grammar_pairs(target, source, 20, 3)
    assert [(pair.source, pair.target) for pair in there] == [(pair.target, pair.source) for pair in back]


def test_a_pair_depends_on_seed_and_index_alone() -> None:
    pairs = grammar_pairs("de", "en", 30, 5)
    assert pairs[17] == grammar_pair("de", "en", 5, 17)
    assert pairs != grammar_pairs("de", "en", 30, 6)
    sequence = GrammarPairs("de", "en", 5, range(30))
    assert list(sequence) == pairs and list(sequence[10:20]) == pairs[10:20] and len(sequence) == 30


def test_it_is_varied() -> None:
    assert len({pair.source for pair in grammar_pairs("de", "en", 2000, 0)}) > 1800


def test_splits_share_no_sentence() -> None:
    train = {pair.target for pair in grammar_pairs("cs", "en", 500, 0, split="train", max_words=4)}
    test = {pair.target for pair in grammar_pairs("cs", "en", 60, 1, split="test", max_words=4)}
    assert not train & test


def test_short_distinct_phrases_for_small_pages() -> None:
    pairs = grammar_pairs(
        "de", "en", 720, 0, templates=("intransitive", "adjective"), max_words=4, distinct=True,
        keep=lambda pair: len(pair.source) <= 22,
    )  # fmt: skip
    assert len({pair.source for pair in pairs}) == len({pair.target for pair in pairs}) == 720
    assert all(len(text.split()) <= 4 for pair in pairs for text in (pair.source, pair.target))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"source_language": "xx"}, "'xx'"),
        ({"templates": ("sonnet",)}, "sonnet"),
        ({"split": "holdout"}, "holdout"),
        ({"max_words": 1}, "max_words=1"),
    ],
)
def test_impossible_wishes_are_named(arguments: dict[str, object], named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_synth.grammar._ATTEMPTS", 100)
    wishes: dict[str, object] = {"source_language": "de", "target_language": "en", "count": 1, "seed": 0} | arguments
    with pytest.raises(UserError, match=named):
        grammar_pairs(**wishes)  # type: ignore[arg-type]


def test_templates_are_all_reachable() -> None:
    for template in TEMPLATES:
        assert grammar_pairs("fr", "ro", 3, 0, templates=(template,))
