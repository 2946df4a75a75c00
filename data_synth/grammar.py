"""A phrase grammar in five languages: any number of aligned sentences, with no file at all.

A sentence is drawn once as a meaning (who does what, to what, where, when) and put into words per language, each with
its own articles, genders, cases, adjective endings and word order. Sentences can be joined without end, and hold
numbers, so there are always more.
"""

import random
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import overload

from data_synth.corpora import TextPair
from data_synth.errors import UserError
from data_synth.inflection import noun_phrase, predicate
from data_synth.lexicon import ADJECTIVES, EXTRAS, LANGUAGES, NOUNS, PLACES, TIMES, VERBS, Phrase, Word
from data_synth.meaning import NounPhrase

TEMPLATES = ("intransitive", "transitive", "adjective", "where", "question", "joined")
SPLITS = ("train", "validation", "test")
_ATTEMPTS = 20_000
_CONJUNCTIONS = (
    {"en": " and", "de": " und", "fr": " et", "ro": " și", "cs": " a"},
    {"en": ", but", "de": ", aber", "fr": ", mais", "ro": ", dar", "cs": ", ale"},
)
_BE = {
    "en": ("is", "are"),
    "de": ("ist", "sind"),
    "fr": ("est", "sont"),
    "ro": ("este", "sunt"),
    "cs": ("je", "jsou"),
}
_WHERE = {"en": "where", "de": "wo", "fr": "où", "ro": "unde", "cs": "kde"}


@dataclass(frozen=True)
class Clause:
    """One statement or question, without words."""

    template: str
    subject: NounPhrase
    verb: Word | None = None
    object: NounPhrase | None = None
    adjective: Word | None = None
    place: dict[str, str] | None = None
    time: dict[str, str] | None = None
    time_first: bool = False


@dataclass(frozen=True)
class Sentence:
    """Clauses and the conjunctions between them."""

    clauses: tuple[Clause, ...]
    conjunctions: tuple[dict[str, str], ...]


def grammar_pair(
    source_language: str,
    target_language: str,
    seed: int,
    index: int,
    *,
    templates: Sequence[str] = TEMPLATES,
    max_words: int | None = None,
    split: str | None = None,
) -> TextPair:
    """Pair number `index` of an endless, seeded sequence: a pure function of its arguments.

    Args:
        source_language: one of en, de, fr, ro, cs.
        target_language: likewise.
        seed: which sequence.
        index: which pair of it, from 0.
        templates: kinds of sentence to draw from, a subset of TEMPLATES.
        max_words: longest sentence in words, on either side.
        split: draw only sentences of "train" (90 %), "validation" or "test" (5 % each). Which split a sentence belongs
            to depends on its meaning alone, so no sentence is in two of them, whatever the seed and the languages.

    Raises:
        UserError: an unknown language, template or split, or `max_words` too small for any sentence.
    """
    _check(source_language, target_language, templates, split)
    rng = random.Random(f"{seed}/{index}")
    for _ in range(_ATTEMPTS):
        meaning = _sentence(rng, templates)
        source, target = realise(meaning, source_language), realise(meaning, target_language)
        if max_words is not None and max(len(source.split()), len(target.split())) > max_words:
            continue
        if split is None or split_of(meaning) == split:
            return TextPair(source, target)
    raise UserError(f"max_words={max_words} leaves the grammar no sentence of the kinds {', '.join(templates)}")


def grammar_pairs(
    source_language: str,
    target_language: str,
    count: int,
    seed: int,
    *,
    templates: Sequence[str] = TEMPLATES,
    max_words: int | None = None,
    split: str | None = None,
    distinct: bool = False,
    keep: Callable[[TextPair], bool] | None = None,
) -> list[TextPair]:
    """The first `count` pairs of the endless sequence (see `grammar_pair`), optionally only new and wanted ones.

    Args:
        distinct: leave out a pair whose source or target has been seen before.
        keep: leave out pairs for which this is False, for example those that do not fit a page.

    Raises:
        UserError: as `grammar_pair`, or too few pairs pass `distinct` and `keep`.
    """
    pairs: list[TextPair] = []
    seen: set[str] = set()
    templates = tuple(templates)
    sequence = GrammarPairs(
        source_language, target_language, seed, range(200 * count + 2_000), templates, max_words, split
    )
    for pair in sequence:
        if len(pairs) == count:
            break
        if distinct and (f"<{pair.source}" in seen or f">{pair.target}" in seen):
            continue
        if keep is None or keep(pair):
            seen.update((f"<{pair.source}", f">{pair.target}"))
            pairs.append(pair)
    if len(pairs) < count:
        raise UserError(
            f"the grammar gave only {len(pairs)} of {count} pairs: allow longer sentences or more templates"
        )
    return pairs


@dataclass(frozen=True)
class GrammarPairs(Sequence[TextPair]):
    """A stretch of the endless sequence as a sequence of its own; nothing is made before it is looked at."""

    source_language: str
    target_language: str
    seed: int
    indices: range
    templates: tuple[str, ...] = TEMPLATES
    max_words: int | None = None
    split: str | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, at: int) -> TextPair: ...

    @overload
    def __getitem__(self, at: slice) -> "GrammarPairs": ...

    def __getitem__(self, at: int | slice) -> "TextPair | GrammarPairs":
        if isinstance(at, slice):
            return replace(self, indices=self.indices[at])
        return grammar_pair(
            self.source_language,
            self.target_language,
            self.seed,
            self.indices[at],
            templates=self.templates,
            max_words=self.max_words,
            split=self.split,
        )


def split_of(sentence: Sentence) -> str:
    """The split a sentence belongs to, by a hash of its meaning; articles do not count, for Czech has none."""
    key = re.sub(r"\b(the|an?) ", "", realise(sentence, "en").lower())
    bucket = zlib.crc32(key.encode()) % 20
    return {0: "validation", 1: "test"}.get(bucket, "train")


def realise(sentence: Sentence, language: str) -> str:
    """Put a meaning into words: a capital first, a full stop or question mark last."""
    text = _clause(sentence.clauses[0], language)
    for conjunction, clause in zip(sentence.conjunctions, sentence.clauses[1:], strict=True):
        text += f"{conjunction[language]} {_clause(clause, language)}"
    mark = "?" if sentence.clauses[0].template in ("where", "question") else "."
    return text[0].upper() + text[1:] + mark


def _check(source: str, target: str, templates: Sequence[str], split: str | None) -> None:
    for language in (source, target):
        if language not in LANGUAGES:
            raise UserError(f"the built-in grammar speaks {', '.join(LANGUAGES)}, not {language!r}: give text files")
    for template in templates or ("",):
        if template not in TEMPLATES:
            raise UserError(f"template {template!r}: choose from {', '.join(TEMPLATES)}")
    if split is not None and split not in SPLITS:
        raise UserError(f"split {split!r}: the built-in grammar has {', '.join(SPLITS)}")


def _sentence(rng: random.Random, templates: Sequence[str]) -> Sentence:
    template = rng.choice(list(templates))
    if template != "joined":
        return Sentence((_draw_clause(rng, template),), ())
    clauses = [_draw_clause(rng, rng.choice(TEMPLATES[:3])) for _ in range(2)]
    conjunctions = [rng.choice(_CONJUNCTIONS)]
    while rng.random() < 0.2:
        clauses.append(_draw_clause(rng, rng.choice(TEMPLATES[:3])))
        conjunctions.append(_CONJUNCTIONS[0])
    return Sentence(tuple(clauses), tuple(conjunctions))


def _draw_clause(rng: random.Random, template: str) -> Clause:
    if template == "adjective":
        adjective = rng.choice(ADJECTIVES)
        subject = replace(_draw_noun(rng, adjective.kinds, plain=True), adjective=None)
        return Clause(template, subject, adjective=adjective)
    if template == "where":
        subject = _draw_noun(rng, frozenset(("person", "animal", "thing")), determiners=("the", "my"))
        return Clause(template, subject)
    with_object = template == "transitive" or (template == "question" and rng.random() < 0.5)
    verb = rng.choice([verb for verb in VERBS if ("-" not in verb.objects) == with_object])
    place = _draw_phrase(rng, PLACES) if rng.random() < 0.5 else None
    time = _draw_phrase(rng, TIMES) if template != "question" and rng.random() < 0.4 else None
    return Clause(
        template,
        _draw_noun(rng, verb.kinds),
        verb,
        _draw_noun(rng, verb.objects, plain=True) if with_object else None,
        place=place,
        time=time,
        time_first=time is not None and rng.random() < 0.5,
    )


def _draw_noun(
    rng: random.Random, kinds: frozenset[str], plain: bool = False, determiners: Sequence[str] | None = None
) -> NounPhrase:
    """A noun of one of the kinds (or named in English among them), with a determiner and perhaps an adjective."""
    noun = rng.choice([noun for noun in NOUNS if noun.kinds & kinds or noun.forms["en"][0] in kinds])
    determiner = rng.choice(determiners or ("the", "the", "the", "a", "a", "my", "two", "three", "four"))
    plural = determiner in ("two", "three", "four") or rng.random() < 0.3
    adjective = None
    if rng.random() < 0.45:
        adjective = rng.choice([adjective for adjective in ADJECTIVES if adjective.kinds & noun.kinds])
    extra = None
    if not plain and "person" in noun.kinds and rng.random() < 0.2:
        extra = _draw_phrase(rng, EXTRAS)
    return NounPhrase(noun, determiner, plural, adjective, extra)


def _draw_phrase(rng: random.Random, phrases: Sequence[Phrase]) -> dict[str, str]:
    phrase = rng.choice(phrases)
    number = rng.randint(phrase.low, phrase.high)
    return {language: text.replace("{n}", str(number)) for language, text in phrase.texts.items()}


def _clause(clause: Clause, language: str) -> str:
    """One clause in the word order of its language, without punctuation."""
    subject = noun_phrase(clause.subject, language, "nominative")
    number = 1 if clause.subject.plural else 0
    if clause.template == "where":
        return f"{_WHERE[language]} {_BE[language][number]} {subject}"
    if clause.adjective is not None:
        return f"{subject} {_BE[language][number]} {predicate(clause.adjective, clause.subject, language)}"
    assert clause.verb is not None
    verb = clause.verb.forms[language][number]
    object_ = noun_phrase(clause.object, language, "accusative") if clause.object is not None else ""
    place = clause.place[language] if clause.place is not None else ""
    time = clause.time[language] if clause.time is not None else ""
    if clause.template == "question":
        words = _question(language, clause, subject, verb, object_, place, number)
    elif clause.time_first:
        comma = "," if language == "fr" else ""
        rest = [verb, subject] if language == "de" else [subject, verb]
        words = [time + comma, *rest, object_, place]
    elif language in ("de", "cs"):
        words = [subject, verb, time, object_, place]
    else:
        words = [subject, verb, object_, place, time]
    return " ".join(word for word in words if word)


def _question(
    language: str, clause: Clause, subject: str, verb: str, object_: str, place: str, number: int
) -> list[str]:
    """Does ... ? in each language."""
    assert clause.verb is not None
    if language == "en":
        return [("does", "do")[number], subject, clause.verb.forms["en"][1], object_, place]
    if language == "fr":
        elided = subject[0] in "aeiouéêœ" or subject.startswith("h")
        return [f"est-ce qu'{subject}" if elided else f"est-ce que {subject}", verb, object_, place]
    if language == "ro":
        return ["oare", subject, verb, object_, place]
    return [verb, subject, object_, place]
