"""ALL CAPS and Title Case: what a sign shouts is translated as its lower-case words are, and comes back in its case.

German nouns are capitalised anyway, so "Frische Milch" is no Title Case: a text is that only where every word begins
with a capital and one of them is a word that never does so inside a sentence ("Bitte Nicht Rauchen"). An acronym inside
an ordinary sentence tells nothing about that sentence and stays; so do literals, private marks, and in ALL CAPS the
words that cannot be spoken (PKW, WC): those are acronyms, whatever stands around them.
"""

import re
from typing import Literal

from translatotron_v.data.literals import find_literals
from translatotron_v.data.marks import LOWER, MARKS, TERM_CLOSE, TERM_IS
from translatotron_v.data.sentences import is_abbreviation

# Of a text: ALL CAPS, Title Case, an ordinary one that begins with a capital ("head"), or any other.
Case = Literal["", "upper", "title", "head"]

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_HEAD = re.compile(rf"[^\w{''.join(MARKS)}]*([^\W\d_]+)(?!\.?\w)")  # an answer's first word, where it is one
_SPACED = re.compile(r"(?<![^\s])[^\W\d_](?: [^\W\d_]){2,}(?![^\s])")  # A U S G A N G
_VOWEL = re.compile("[AEIOUYÄÖÜÀÁÂÃÅÆÈÉÊËÌÍÎÏÒÓÔÕØÙÚÛÝĂĄĚĘŮŒŐŰ]", re.IGNORECASE)
_FIXED = re.compile(f"{TERM_IS}[^{TERM_CLOSE}]*{TERM_CLOSE}|[{''.join(MARKS)}]")

# Words that stand in lower case inside a sentence, by language; "Sie", "Ihr" and "Du" do not belong here.
_SMALL = {
    "de": "ab als am an auf aus außer bei beim bis bitte da dann das dass dein dem den der des die diese diesem "
    "diesen dieser dieses doch durch ein eine einem einen einer eines erst es etwas frei für gegen geschlossen "
    "gibt hat heute hier hin hinter ich im immer in ins ist ja jede jedem jeden jeder jedes jetzt kann kein "
    "keine keinen keiner mehr mein meine mit nach neben neu nicht nichts noch nur ob oder ohne pro rund schon "
    "sehr sein seit selbst sich sind so sowie über um und uns unser unsere unseren unserem unserer unter "
    "verboten viel vom von vor war was wegen wenn wer werden wie wieder wir wird wo zu zum zur zwischen",
    "fr": "à au aux avec ce ces cette chez dans de des du elle en est et ici il la le les leur mais ne nos notre nous "
    "ou où par pas pour qui que sans se ses si son sont sous sur tout un une vos votre vous",
    "cs": "a aby ale až bez bude by co do i jako je jen jsou k ke na nad ne nebo není o od po pod pro před při s se "
    "si to u v ve z za ze že",
    "ro": "a al ale ca că cu de din dintr este fără în între la mai nu o pe pentru prin sau se sub sunt și un unei "
    "unui",
}
_SMALL_WORDS = {language: frozenset(words.split()) for language, words in _SMALL.items()}

# Stems that are written with ß: capitals have none, so STRASSE is to be read as straße; the others keep their ss.
# Those with \b would otherwise be found where two words meet: Preis|schild, Ausweis|stelle, Aus|sendung.
_SHARP = re.compile(
    r"straß|groß|größ|\bgruß|grüß|fuß|füße|\bspaß|\b(?:dr)?außen(?!d)|außer|äußer|\bheiß|\bweiß|\breiß|\bbeiß|süß|schließ"
    r"|fließ|gieß|spieß|\bgrieß|genieß|dreißig|fleiß|stoß|stöß|\bstrauß|bloß|kloß|klöß|mäßig|gemäß|\bmaßnahm|\bmaßstab"
    r"|soße|\bschweiß|schoß".replace("ß", "ss")
)


def fold_case(text: str, language: str = "de") -> tuple[str, Case]:
    """The text as the model is to see it, and the case that its translation is to have.

    Args:
        text: one sentence, heading or label; literals and private marks in it stay as they are.
        language: of the text; one without a list of small words has no Title Case here.
    """
    text = _joined(text)
    kept = [(one.start, one.end) for one in find_literals(text)]
    kept += [found.span() for found in _FIXED.finditer(text)]
    words = [
        found
        for found in _WORD.finditer(text)
        if all(found.end() <= start or end <= found.start() for start, end in kept)
    ]
    inside = [text[: found.start()].rstrip()[-1:].isalnum() for found in words]  # not at the head of a clause
    case = _case_of([found.group() for found in words], inside, language)
    if not case:
        return text, ""
    parts, end = [], 0
    for found in words:
        word = found.group()
        parts.append(text[end : found.start()])
        kept_word = _is_acronym(word) and not (text[found.end() :][:1] == "." and is_abbreviation(word, language))
        parts.append(word if kept_word else _lower(word, language if case == "upper" else ""))
        end = found.end()
    return "".join([*parts, text[end:]]), case


def head_case(text: str) -> Case:
    """The case of an ordinary text, which is translated as it stands: a label or sentence keeps its first capital."""
    found = None if LOWER in text else _WORD.search(text)
    return "head" if found and found.group()[0].isupper() else ""


def restore_case(translation: str, case: Case) -> str:
    """A translation in the case of its source; restore literals afterwards, so that they keep their own."""
    if case == "upper":
        return translation.upper()
    if case == "title":
        return re.sub(rf"(?<!\S)[^\w\s{''.join(MARKS)}]*\w", lambda found: found.group().upper(), translation)
    found = _HEAD.match(translation) if case == "head" else None
    if found and found.group(1).islower():  # iPhone begins as it likes
        return translation[: found.start(1)] + translation[found.start(1)].upper() + translation[found.start(1) + 1 :]
    return translation


def align(before: str, after: str) -> list[tuple[int, int]]:
    """For each character of a text that was joined and folded, the characters [start, end) that it was before.

    Characters were dropped (hyphens and spaces where words were joined), lowered, or "ss" became "ß", and words that
    were read as one were parted; nothing moved.
    """
    spans, place = [], 0
    for sign in after:
        if sign.isspace() and place < len(before) and before[place].isalnum():  # a new space: it was nowhere
            spans.append((place, place + 1))
            continue
        while place < len(before) and not (
            _same(before[place], sign) or (sign == "ß" and before[place : place + 2].lower() == "ss")
        ):
            place += 1
        width = 2 if sign == "ß" and place < len(before) and before[place] != "ß" else 1
        spans.append((min(place, len(before) - 1), min(place + width, len(before))))
        place += width
    return spans


def _same(sign: str, other: str) -> bool:
    return sign == other or sign.lower() == other or (sign.isspace() and other.isspace())


def _joined(text: str) -> str:
    """The text with letter-spaced words closed up; inside ordinary text only those of four letters and more."""
    rest = _SPACED.sub("", text)
    least = 4 if any(sign.islower() for sign in rest) else 3

    def close(found: re.Match[str]) -> str:
        letters = found.group()[::2]
        alike = letters.isupper() or letters.islower()
        return letters if len(letters) >= least and alike else found.group()

    return re.sub(r"  +", " ", _SPACED.sub(close, text)) if _SPACED.search(text) else text


def _case_of(words: list[str], inside: list[bool], language: str) -> Case:
    plain = [word for word in words if not _mixed(word)]  # GmbH and McDonald are neither
    cased = [word.replace("ß", "") for word in plain if len(word) > 1]
    if cased and all(not word or word.isupper() for word in cased):
        spoken = any(not _is_acronym(word) for word in plain if len(word) > 1)
        singles = [word for word in plain if len(word) == 1 and word.islower()]
        return "upper" if spoken and not singles else ""
    small = _SMALL_WORDS.get(language, frozenset())
    if len(words) > 1 and all(word[0].isupper() for word in words):
        telling = (word for word, within in zip(words, inside, strict=True) if within and not word.isupper())
        return "title" if any(word.lower() in small for word in telling) else ""
    return ""


def _mixed(word: str) -> bool:
    """Whether a capital follows a small letter, ß apart."""
    return bool(re.search(r"[^\W\d_ß](?<=[a-zà-öø-ÿ])[A-ZÀ-ÖØ-Þ]", word))


def _is_acronym(word: str) -> bool:
    """Capitals that cannot be spoken, or a word of odd case."""
    return (word.isupper() and len(word) > 1 and not _VOWEL.search(word)) or _mixed(word)


def _lower(word: str, language: str) -> str:
    """A word in lower case; of German capitals with the ß that they cannot show."""
    low = word.lower()
    if language != "de" or "ss" not in low:
        return low
    return _SHARP.sub(lambda found: found.group().replace("ss", "ß"), low)
