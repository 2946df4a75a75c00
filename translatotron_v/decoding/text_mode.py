"""Texts on their way through text mode: into sentences, into what the model is to see, and back.

A text goes list entries -> sentences -> case folded -> literals masked -> model -> every placeholder exactly once ->
case restored -> literals restored -> put back between the markers and separators that stood around it. A vocabulary
without marks (weights from before there were any) gets the texts as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from translatotron_v.data.casing import Case, align, fold_case, head_case, restore_case
from translatotron_v.data.literals import Literal, complete, localize, mask, repair, restore
from translatotron_v.data.marks import LITERALS
from translatotron_v.data.sentences import is_wordless, split_parts

# What is to be written into a text: (place in it, what comes before the character there), from left to right.
Insertions = Callable[[str], Sequence[tuple[int, str]]]

_NO_LITERALS = dict.fromkeys(map(ord, LITERALS))


@dataclass(frozen=True)
class Prepared:
    """One sentence as the model is to see it.

    Attributes:
        source: the sentence as it stood.
        text: folded and masked.
        spans: for each character of ``text``, the characters [start, end) of ``source`` that it stands for; none for
            what was written into it.
        literals: of placeholders 0, 1, 2, .., with their places in ``source``.
        case: that the translation is to have.
    """

    source: str
    text: str
    spans: tuple[tuple[int, int], ...]
    literals: tuple[Literal, ...]
    case: Case

    @property
    def wordless(self) -> bool:
        """Whether there is nothing to translate: literals and symbols alone."""
        return is_wordless(self.text)

    def accepts(self, answer: str) -> bool:
        """Whether an answer of the model holds every placeholder exactly once."""
        return complete(answer, len(self.literals))

    def finish(self, answer: str) -> str:
        """What the model's answer says: placeholders repaired where needed, case and literals as in the source."""
        return restore(restore_case(repair(answer, len(self.literals)), self.case), self.literals)


@dataclass(frozen=True)
class Answer:
    """What the model wrote of a sentence, with placeholders; mean log-probability (nats) and number of its pieces."""

    text: str
    score: float = 0.0
    length: int = 0


# Sentences to answers, one each; an answer that its sentence does not accept is repaired.
Translate = Callable[[Sequence[Prepared]], Sequence[Answer]]


def prepare(
    sentence: str,
    language: str = "de",
    foreign: str = "",
    insertions: Insertions | None = None,
    numbers_for: str = "",
) -> Prepared:
    """Fold and mask one sentence.

    Args:
        sentence: without list marker.
        language: it is in.
        foreign: characters that the vocabulary cannot write (``Vocabulary.unwritable``); they are carried as literals.
        insertions: what to write into it first, such as the terms of a glossary.
        numbers_for: the language as whose texts literals are put back; "": as the source has them.
    """
    sentence = sentence.translate(_NO_LITERALS)
    written, places = insert(sentence, insertions(sentence) if insertions is not None else ())
    folded, case = fold_case(written, language)
    case = case or head_case(sentence)
    before = [(places[start][0], places[end - 1][1]) for start, end in align(written, folded)]
    masked, found = mask(folded, foreign)
    spans, literals, end = [], [], 0
    for literal in found:
        first, last = before[literal.start][0], before[literal.end - 1][1]
        spans += [*before[end : literal.start], (first, last)]
        text = localize(literal, language, numbers_for) if numbers_for else literal.text
        literals.append(literal._replace(start=first, end=last, text=text))
        end = literal.end
    return Prepared(sentence, masked, (*spans, *before[end:]), tuple(literals), case)


def insert(text: str, insertions: Sequence[tuple[int, str]]) -> tuple[str, list[tuple[int, int]]]:
    """A text with others written into it, and for each of its characters which [start, end) of the text it was."""
    parts, spans, done = [], [], 0
    for place, more in insertions:
        parts += [text[done:place], more]
        spans += [*((index, index + 1) for index in range(done, place)), *[(place, place)] * len(more)]
        done = place
    return "".join(parts) + text[done:], [*spans, *((index, index + 1) for index in range(done, len(text)))]


def as_it_is(sentence: str) -> Prepared:
    """A sentence for a vocabulary that knows no marks: nothing is folded, masked or repaired."""
    return Prepared(sentence, sentence, tuple((place, place + 1) for place in range(len(sentence))), (), "")


def translate_texts(
    texts: Sequence[str],
    translate: Translate,
    language: str = "de",
    unwritable: Callable[[str], Sequence[str]] = lambda text: (),
    insertions: Insertions | None = None,
    numbers_for: str = "",
) -> list[Answer]:
    """Translate texts sentence by sentence.

    Args:
        texts: lines or joined blocks (``data.sentences.join_lines``); terms may be annotated.
        translate: called once with all sentences that hold words.
        language: of the texts.
        unwritable: which characters of a text the vocabulary cannot write.
        insertions, numbers_for: see ``prepare``.

    Returns:
        One answer a text: literals and markers in place, its score the mean over all pieces; a text without words is
        its own answer, with score 0.
    """
    plans = []
    asked: list[Prepared] = []
    for text in (text.translate(_NO_LITERALS) for text in texts):
        foreign = "".join(unwritable(text))
        parts = [
            (part, prepare(text[part.start : part.end], language, foreign, insertions, numbers_for))
            for part in split_parts(text, language)
        ]
        parts = [(part, prepared) for part, prepared in parts if not prepared.wordless]
        asked += [prepared for _, prepared in parts]
        plans.append((text, parts))
    given = iter(translate(asked) if asked else [])
    answers = []
    for text, parts in plans:
        pieces, end, total, length = [], 0, 0.0, 0
        for part, prepared in parts:
            answer = next(given)
            pieces += [text[end : part.start], prepared.finish(answer.text)]
            end = part.end
            total, length = total + answer.score * (answer.length + 1), length + answer.length
        score = total / (length + len(parts)) if parts else 0.0
        answers.append(Answer("".join([*pieces, text[end:]]), score, length))
    return answers
