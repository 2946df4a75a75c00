"""Noun phrases and predicative adjectives in English, German, French, Romanian and Czech."""

from data_synth.lexicon import Word
from data_synth.meaning import NounPhrase

_NUMBERS = ("two", "three", "four")
_FRENCH_VOWELS = tuple("aeiouâàéèêîôûœh")  # every h of the lexicon is mute


def noun_phrase(phrase: NounPhrase, language: str, case: str) -> str:
    """A noun phrase in the nominative or the accusative."""
    words = _INFLECT[language](phrase, case)
    if phrase.extra is not None:
        words.append(phrase.extra[language])
    return " ".join(word for word in words if word).replace("' ", "'")


def predicate(adjective: Word, subject: NounPhrase, language: str) -> str:
    """The adjective of "<subject> is <adjective>"."""
    forms = adjective.forms[language]
    gender = subject.noun.forms[language][0]
    if language == "en":
        return forms[0]
    if language == "de":
        return forms[1]
    if language == "fr":
        return _french_adjective(forms, gender, subject.plural, before_vowel=False)
    if language == "ro":
        return _romanian_adjective(forms, gender, subject.plural)
    return _czech_adjective(forms, gender, subject.plural, "nominative")


def _english(phrase: NounPhrase, case: str) -> list[str]:
    noun = phrase.noun.forms["en"][1 if phrase.plural else 0]
    adjective = phrase.adjective.forms["en"][0] if phrase.adjective else ""
    determiner = phrase.determiner
    if determiner == "a":
        determiner = "" if phrase.plural else "an" if (adjective or noun)[0] in "aeiou" else "a"
    return [determiner, adjective, noun]


def _german(phrase: NounPhrase, case: str) -> list[str]:
    gender, nominative, accusative, plural = phrase.noun.forms["de"]
    slot = "p" if phrase.plural else gender
    masculine_object = slot == "m" and case == "accusative"
    if phrase.determiner == "the":
        article = "den" if masculine_object else {"m": "der", "f": "die", "n": "das", "p": "die"}[slot]
        ending = "en" if masculine_object or slot == "p" else "e"
    elif phrase.determiner in _NUMBERS:
        article, ending = {"two": "zwei", "three": "drei", "four": "vier"}[phrase.determiner], "e"
    else:
        stem = "mein" if phrase.determiner == "my" else "ein"
        if slot == "p":
            article, ending = ("meine", "en") if stem == "mein" else ("", "e")
        else:
            article = stem + ("en" if masculine_object else {"m": "", "f": "e", "n": ""}[slot])
            ending = "en" if masculine_object else {"m": "er", "f": "e", "n": "es"}[slot]
    noun = plural if phrase.plural else accusative if case == "accusative" else nominative
    return [article, phrase.adjective.forms["de"][0] + ending if phrase.adjective else "", noun]


def _french_adjective(forms: tuple[str, ...], gender: str, plural: bool, before_vowel: bool) -> str:
    _, masculine, vowel, feminine, masculine_plural, feminine_plural = forms
    if plural:
        return masculine_plural if gender == "m" else feminine_plural
    if gender == "f":
        return feminine
    return vowel if before_vowel else masculine


def _french(phrase: NounPhrase, case: str) -> list[str]:
    gender, singular, plural = phrase.noun.forms["fr"]
    noun = plural if phrase.plural else singular
    before = after = ""
    if phrase.adjective:
        forms = phrase.adjective.forms["fr"]
        if forms[0] == "before":
            before = _french_adjective(forms, gender, phrase.plural, noun.startswith(_FRENCH_VOWELS))
        else:
            after = _french_adjective(forms, gender, phrase.plural, before_vowel=False)
    vowel = (before or noun).startswith(_FRENCH_VOWELS)
    if phrase.determiner in _NUMBERS:
        article = {"two": "deux", "three": "trois", "four": "quatre"}[phrase.determiner]
    elif phrase.determiner == "the":
        article = "les" if phrase.plural else "l'" if vowel else "le" if gender == "m" else "la"
    elif phrase.determiner == "my":
        article = "mes" if phrase.plural else "mon" if gender == "m" or vowel else "ma"
    elif phrase.plural:
        article = "de" if before else "des"
    else:
        article = "un" if gender == "m" else "une"
    return [article, before, noun, after]


def _romanian_adjective(forms: tuple[str, ...], gender: str, plural: bool) -> str:
    """Neuter nouns take masculine adjectives in the singular and feminine ones in the plural."""
    feminine = gender == "f" or (gender == "n" and plural)
    return forms[(3 if feminine else 2) if plural else (1 if feminine else 0)]


def _romanian(phrase: NounPhrase, case: str) -> list[str]:
    gender, singular, plural, definite, definite_plural = phrase.noun.forms["ro"]
    feminine = gender == "f" or (gender == "n" and phrase.plural)
    adjective = _romanian_adjective(phrase.adjective.forms["ro"], gender, phrase.plural) if phrase.adjective else ""
    if phrase.determiner in ("the", "my"):
        mine = (("meu", "mea"), ("mei", "mele"))[phrase.plural][feminine] if phrase.determiner == "my" else ""
        return [definite_plural if phrase.plural else definite, mine, adjective]
    if phrase.determiner in _NUMBERS:
        two = "două" if feminine else "doi"
        return [{"two": two, "three": "trei", "four": "patru"}[phrase.determiner], plural, adjective]
    return ["niște", plural, adjective] if phrase.plural else ["o" if feminine else "un", singular, adjective]


def _czech_adjective(forms: tuple[str, ...], gender: str, plural: bool, case: str) -> str:
    """Hard declension from the masculine form in -ý; animate masculines soften in the nominative plural."""
    stem = forms[0][:-1]
    if plural:
        if gender == "ma" and case == "nominative":
            return forms[1]
        return stem + ("á" if gender == "n" else "é")
    if gender == "ma" and case == "accusative":
        return stem + "ého"
    if gender == "f":
        return stem + ("ou" if case == "accusative" else "á")
    return stem + ("é" if gender in ("n", "nf") else "ý")


def _czech(phrase: NounPhrase, case: str) -> list[str]:
    """Czech has no articles: "the" and "a" are left out."""
    gender, *forms = phrase.noun.forms["cs"]
    masculine, accusative = gender in ("ma", "mi"), case == "accusative"
    noun = forms[2 * phrase.plural + accusative]
    determiner = ""
    if phrase.determiner in _NUMBERS:
        determiner = {"two": "dva" if masculine else "dvě", "three": "tři", "four": "čtyři"}[phrase.determiner]
    elif phrase.determiner == "my":
        if phrase.plural:
            determiner = "moji" if gender == "ma" and not accusative else "moje"
        elif gender == "ma" and accusative:
            determiner = "mého"
        elif gender == "f":
            determiner = "moji" if accusative else "moje"
        else:
            determiner = "můj" if masculine else "moje"
    adjective = _czech_adjective(phrase.adjective.forms["cs"], gender, phrase.plural, case) if phrase.adjective else ""
    return [determiner, adjective, noun]


_INFLECT = {"en": _english, "de": _german, "fr": _french, "ro": _romanian, "cs": _czech}
