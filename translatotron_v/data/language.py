"""Which language a text is in: by py3langid, and by the small words that give a sentence away at once."""

import copy
import re
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
    "es": """el la los las un una de del y o que en es son para por con no se su sus al como más pero este esta estos
        estas está están ser ha han fue muy ya también si le les lo""",
    "it": """il lo la i gli le un una di del della dei delle e o che in è sono per con non si suo sua al alla come più
        ma questo questa questi nel nella ha hanno essere anche da dal se ci""",
    "nl": """de het een en of van in is zijn wordt worden voor op met niet dat die deze dit aan door naar bij ook uit
        om als maar er zich kan kunnen heeft hebben was waren je u ik wij zij der des den te nog wie""",
    "pl": """i w na z do nie się jest są to że dla od po przez jak ale lub oraz jego jej ten ta te tego tej być był
        była było co już tylko może ich za przy im""",
    "pt": """o a os as um uma de do da dos das e ou que em no na é são para por com não se seu sua ao como mais mas
        este esta ser foi também já""",
}
_PLAINLY = 3  # words of one language alone, and none of another's, that leave no doubt


def small_words(language: str) -> frozenset[str]:
    """The commonest words of a language, in lower case; none where it is not one of ours.

    A sentence that has some of them and none of another language's needs no identifier, which is fifty times slower.
    """
    return frozenset(_SMALL_WORDS.get(language, "").split())


def plainly(text: str, languages: Sequence[str] = LANGUAGES) -> str:
    """The one of some languages whose small words a text has, and no other's; "" where they leave a doubt.

    The words of all languages that have any are told apart, so that Dutch is not taken for German.
    """
    words = re.findall(r"[^\W\d_]+", text.lower())
    counts = {language: sum(map(own.__contains__, words)) for language, own in _own_words().items()}
    spoken = [language for language, count in counts.items() if count]
    sure = len(spoken) == 1 and counts[spoken[0]] >= _PLAINLY and spoken[0] in languages
    return spoken[0] if sure else ""


@lru_cache(maxsize=1)
def _own_words() -> dict[str, frozenset[str]]:
    """Of each language the small words that no other one has."""
    lists = {language: small_words(language) for language in _SMALL_WORDS}
    others = {one: frozenset().union(*(lists[other] for other in lists if other != one)) for one in lists}
    return {language: words - others[language] for language, words in lists.items()}


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
