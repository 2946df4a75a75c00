"""The parts of a meaning that inflection looks at."""

from dataclasses import dataclass

from data_synth.lexicon import Word


@dataclass(frozen=True)
class NounPhrase:
    """A noun with its determiner ("the", "a", "my", "two", "three", "four"), number, adjective and fixed addition."""

    noun: Word
    determiner: str
    plural: bool
    adjective: Word | None = None
    extra: dict[str, str] | None = None
