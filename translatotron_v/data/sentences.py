"""Text as a page breaks it: lines are joined, list markers set apart, and sentences found.

A block of lines becomes items (one for a paragraph, one for each entry of a list), an item becomes sentences, and each
sentence is translated for itself. What stands between them is kept as it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from translatotron_v.data.marks import TERM_CLOSE, TERM_OPEN


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HYPHENS = "-\u2010\u2011"
_SOFT = "\u00ad"
_LETTER = r"[^\W\d_]"

# Words before which a hyphen is suspended: "Ein- und Ausgang", "Vor- oder Nachname".
_SUSPENDING = re.compile(r"(?:und|oder|bzw\.?|sowie|bis|noch|and|or|et|ou|a|nebo|i|și|sau)\b|[&/+]", re.IGNORECASE)
# What French hyphenates for good: "rendez-vous", "celui-ci", "peut-être".
_FRENCH = re.compile(
    r"(?:vous|nous|je|tu|ils?|elles?|on|ce|ci|là|mêmes?|être|t|moi|toi|lui|leur|en|y|les?|la|midi|dessus|dessous|end)\b"
)

_BULLETS = "•▪●■◦‣∙·◆★✓✔☐☑☒►▶➔➜→⇒"
_MONTHS = _words(
    "januar jänner februar märz april mai juni juli august september oktober november dezember jan feb mär apr jun "
    "jul aug sep sept okt nov dez"
)
# Nouns that "3." counts: a line that begins so is no list entry.
_COUNTED = _words(
    "stock etage obergeschoss untergeschoss stockwerk og ug eg dg klasse platz liga mal tag woche monat jahr "
    "jahrhundert quartal halbjahr semester auflage gang reihe preis sieger runde stufe teil kapitel advent weltkrieg "
    "geburtstag februára ledna"
)
_NUMBERED = _MONTHS | _COUNTED
_MARKER = re.compile(
    rf"\s*(?P<mark>[{_BULLETS}]+(?=\s*\S)|[*–—\-](?=\s+\S)|\(?\d{{1,2}}\)(?=\s+\S)|\(?[a-zA-Z]\)(?=\s+\S)"
    rf"|(?P<number>\d{{1,2}})\.(?=\s+(?P<next>{_LETTER}+)))\s*"
)

_ABBREVIATIONS = {
    "de": "z d u a i e v o s b h m ä r c nr nrn str dr prof usw ca tel bzw abs hr hrn fr st art bd vgl evtl ggf ggfs "
    "geb gest inh hbf bhf pl mio mrd jh jhd inkl exkl zzgl zgl abzgl max min std sek stk stck st tgl wö mtl "
    "jährl mo di mi do sa so jan feb febr mär apr jun jul aug sep sept okt nov dez bspw sog allg bes betr bez "
    "dgl ehem einschl entspr etc ev kath ff gem ges gez hg hrsg ing dipl mag kl gr lfd lt mind mwst od österr "
    "pkt rd sen jun so schw südl nördl östl westl techn tlw u.a u.ä u.u usf v.a verh vers vol vorm nachm wg zb "
    "z.b d.h o.ä i.d.r e.v s.o s.u zt z.t zus zzt art.-nr best.-nr tel.-nr hausnr postf apt fa fam urspr versch "
    "vll vllt gebr abt anm anl aufl ausg",
    "en": "mr mrs ms dr prof st jr sr no nos vs etc e.g i.e eg ie approx dept est fig inc ltd co corp tel vol pp p "
    "a.m p.m jan feb mar apr jun jul aug sep sept oct nov dec mt ave blvd rd",
    "fr": "m mm mme mlle dr pr st ste no n° nos p pp etc cf ex env tél av bd boul art janv févr avr juil sept oct nov "
    "déc vol fig chap éd hab min max p.ex c.-à-d apr j.-c",
    "cs": "např tj tzn atd apod č čís str tel dr ing mgr bc prof doc sv ul nám odst obr tab mj popř resp cca hod min "
    "max kč mil mld stol př n.l r s viz pozn tř zvl s.r.o a.s",
    "ro": "dl dna d-na d-l dr prof nr str tel etc ex pt p.ex art alin lit bl sc et ap jud com bd max min aprox cca "
    "sec pag vol fig ian febr mart apr iun iul aug sept oct noiem dec",
}
_SHORT = {language: _words(words) for language, words in _ABBREVIATIONS.items()}
_BEFORE_DIGITS = _words("art so no nos mag bes gem ges so ev p s nr n°")  # words, too: short only before a number
_ORDINALS = ("de", "cs")  # languages in which "3." is the third
# Words that begin a new sentence after a number and a full stop, since they do not follow an ordinal.
_OPENING = _words(
    "der die das ein eine er sie es wir ich ihr du dies diese dieser dieses danach dann bitte im am in auf und aber "
    "oder doch nicht kein keine alle wer was wo wann wie warum wenn weil da dort hier heute morgen gestern nur noch "
    "auch so für mit von nach bei seit ab bis zu zum zur ihre ihr sein seine unser unsere mehr man jeder jede jedes"
)


# Where a sentence ends; the next one may begin with a term that is annotated.
_END = re.compile(
    rf"(?P<stop>[.!?…]+)[\"'”“’»)\]]*(?P<space>\s+)"
    rf"(?=(?:{TERM_OPEN} )?[\"'„“‚‘«»(\[¿¡]*(?:[A-ZÀ-ÖØ-ÞĀ-Ž]|\d|[•▪●■◦‣→✓✔]))"
)


@dataclass(frozen=True)
class Part:
    """A stretch of a text: one sentence, or one list entry's first, with the marker that stands before it.

    Attributes:
        start, end: of what is translated, ``text[start:end]``, without spaces around it.
        marker: of the list entry that begins here, "" elsewhere; it stands in the text right before ``start``.
    """

    start: int
    end: int
    marker: str = ""


def join_lines(lines: Sequence[str], language: str = "de") -> str:
    """The lines of a block as one text; entries of a list each keep a line of their own.

    A word that is hyphenated at a line's end is joined: without its hyphen where it goes on in lower case
    ("Sonnen-/brille") or all is in capitals, with it where the hyphen belongs to it: before a capital
    ("E-Mail-/Adresse"), a digit, after a letter, number or acronym ("PKW-/Fahrer"), and, with a space, before "und"
    and its like ("Ein-/und Ausgang").
    """
    text = ""
    for line in (" ".join(line.split()) for line in lines):
        if not line:
            continue
        if not text:
            text = line
        elif _begins_entry(line, language):
            text += "\n" + line
        else:
            text = _join(text, line, language)
    return text.replace(_SOFT, "")


def _join(text: str, line: str, language: str) -> str:
    head = re.search(rf"(\S*)[{_HYPHENS}{_SOFT}]$", text)
    if not head or not head[1] or not head[1][-1].isalnum():
        return f"{text} {line}"
    if text.endswith(_SOFT):
        return text[:-1] + line
    if _SUSPENDING.match(line):
        return f"{text} {line}" if line[0] not in "/" else text + line
    first = re.split(rf"[{_HYPHENS}]", head[1])[-1]
    first = re.sub(r"^\W+", "", first)
    shouted = head[1].isupper() and line[:2].isupper() and len(first) > 1
    acronym = len(first) == 1 or first.isdigit() or (len(first) < 5 and first.isupper() and not shouted)
    belongs = (
        not line[0].isalpha()
        or acronym
        or (line[0].isupper() and not (shouted and not re.search(rf"[{_HYPHENS}]", head[1])))
        or (shouted and not re.search("[AEIOUYÄÖÜ]", first))
        or (language == "fr" and bool(_FRENCH.match(line)))
    )
    return text + line if belongs else text[:-1] + line


def _begins_entry(line: str, language: str) -> bool:
    return _marker_of(line, language) is not None


def _marker_of(text: str, language: str) -> "re.Match[str] | None":
    """The list marker at a text's beginning; a number that counts what follows ("3. Mai") is none."""
    found = _MARKER.match(text)
    if found is None or found["next"] is None:
        return found
    following = found["next"]
    counts = following.lower() in _NUMBERED or (language in _ORDINALS and following[0].islower())
    return None if counts else found


def split_parts(text: str, language: str = "de") -> list[Part]:
    """The sentences of a text, entry by entry; what stands between them (spaces, separators, line ends) is no part.

    Args:
        text: as ``join_lines`` made it, or one line from elsewhere.
        language: whose abbreviations and ordinals do not end sentences.
    """
    parts = []
    for start, end in _entries(text):
        found = _marker_of(text[start:end], language)
        marker = ""
        if found:
            marker, start = (
                found["mark"] + ("." if found["number"] and not found["mark"].endswith(".") else ""),
                start + found.end(),
            )
        for first, last in _sentences(text, start, end, language):
            parts.append(Part(first, last, marker))
            marker = ""
    return parts


def split_sentences(text: str, language: str = "de") -> list[str]:
    """The sentences of a text without list markers."""
    return [text[start:end] for start, end in _sentences(text, 0, len(text), language)]


def is_abbreviation(word: str, language: str = "de") -> bool:
    """Whether a word (without its full stop) is one of the abbreviations that are known of a language."""
    return word.lower() in _SHORT.get(language, frozenset())


def is_wordless(text: str) -> bool:
    """Whether a text holds no letter: nothing but digits, punctuation and symbols."""
    return not any(sign.isalpha() for sign in text)


def _entries(text: str) -> list[tuple[int, int]]:
    """Lines, and within them what bullets or bars part, as stretches of the text."""
    edges = [0]
    for found in re.finditer(rf"\n|(?<=\S)\s+(?=[{_BULLETS}]+\s)|\s+\|\s+", text):
        edges += [found.start(), found.end()]
    edges.append(len(text))
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if text[start:end].strip()]


def _sentences(text: str, start: int, end: int, language: str) -> list[tuple[int, int]]:
    edges = [start]
    for found in _END.finditer(text, start, end):
        if text.rfind(TERM_OPEN, start, found.start()) > text.rfind(TERM_CLOSE, start, found.start()):
            continue  # within a term
        if _ends(text[edges[-1] : found.start("stop")], found["stop"], text[found.end() :], language):
            edges += [found.start("space"), found.end()]
    edges.append(end)
    spans = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        inner = text[first:last]
        first += len(inner) - len(inner.lstrip())
        if inner.strip():
            spans.append((first, first + len(inner.strip())))
    return spans


def _ends(before: str, stop: str, after: str, language: str) -> bool:
    """Whether a stop ends a sentence, given what the sentence holds before it and what follows."""
    if stop != ".":
        return True
    word = re.split(r"[\s\"'„“”‚‘’«»(\[]", before)[-1].lower()
    if re.fullmatch(r"(?:\d{1,2}\.)*\d{1,2}|[ivx]+", word) and language in _ORDINALS:
        following = re.match(r"\W*(\w+)", after)
        return following is not None and following[1].lower() in _OPENING
    if re.fullmatch(_LETTER, word):
        return False  # an initial, "z. B."
    if word in _BEFORE_DIGITS and not after[:1].isdigit():
        return True
    return word not in _SHORT.get(language, frozenset()) and not (language == "de" and word.endswith("str"))
