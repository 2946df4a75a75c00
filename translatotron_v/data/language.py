"""Which language a text is in: by py3langid, and by the small words that give a sentence away at once."""

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from translatotron_v.data.vocabulary import LANGUAGES
from translatotron_v.errors import UserError

_SMALL_WORDS = {  # the commonest words of each language, as they stand in a folded text
    "de": """der die das den dem des ein eine einen einem einer eines und oder nicht ist sind wird werden wurde wurden
        kann können mit für auf von zum zur bei nach über auch sich sie ich wir es er im vom aus wenn dass daß diese
        dieser dieses kein keine haben hat sein ihr ihre durch wie noch nur um zu als bitte sollte müssen muss""",
    "en": """the of and to is are was were will be been this that these those with for from your you it its not have
        has had by on or can could should would which when what who there their they we he she his her an as if at
        into only please does do did""",
    "fr": """le la les des du un une et est sont pour dans par sur avec vous votre vos ce cette ces il elle nous ne pas
        plus qui que au aux ou être été avez si leur son sa ses mais comme peut doit cet je""",
    "cs": """je není jsou byl byla bylo být pro nebo na se si že jako který která které při ve ke ze také pokud tento
        tato toto jen již by aby ale jsem jste můžete lze nelze po od do za jeho její bude""",
    "ro": """și este sunt nu pentru din cu pe la în sau care acest această aceste un o să fi fost mai dacă dvs poate
        prin când ce se al ale lui doar după către fără vă ați""",
}


def small_words(language: str) -> frozenset[str]:
    """The commonest words of a language, in lower case; none where it is not one of ours.

    A sentence that has some of them and none of another language's needs no identifier, which is fifty times slower.
    """
    return frozenset(_SMALL_WORDS.get(language, "").split())


def identify(text: str, languages: Sequence[str] = LANGUAGES) -> str:
    """The likeliest of some languages for a text, by py3langid.

    Text in a language that is not among them gets the nearest one.

    Args:
        text: any case.
        languages: codes (ISO 639-1) to choose from; their order plays no part.

    Returns:
        A code, or an empty string where nothing tells: an empty text, one without letters, or one too short to tell.

    Raises:
        UserError: no languages, or one that the identifier does not know.
    """
    identifier, nothing = _identifier(tuple(languages))
    if not any(character.isalpha() for character in text):
        return ""
    code, confidence = identifier.classify(text)
    return code if confidence > nothing else ""


@lru_cache(maxsize=8)
def _identifier(languages: tuple[str, ...]) -> tuple[Any, float]:
    """An identifier of its own for these languages, and its confidence in a text that holds nothing it knows."""
    from py3langid.langid import RAW_FLOOR

    identifier = copy.copy(_all_languages())
    unknown = [language for language in languages if language not in identifier.labels]
    if unknown or not languages:
        wrong = f"unknown language {unknown[0]!r}" if unknown else "no languages to choose from"
        raise UserError(f"{wrong}; py3langid knows {', '.join(LANGUAGES)} and others by their ISO 639-1 codes")
    identifier.set_languages(languages)
    return identifier, RAW_FLOOR


@lru_cache(maxsize=1)
def _all_languages() -> Any:
    """The model that lies inside the package; reading it takes most of a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)
