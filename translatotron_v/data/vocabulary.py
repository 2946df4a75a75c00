"""Text to ids and back: one joint vocabulary for all languages, which says itself what its special symbols are.

Two tables share the first special symbols. *Pieces* are what the text decoder writes: byte-pair subwords, or characters
at the paper's size. *Characters* are what the CTC head reads and what the picture is drawn from. Language and task
tags, and the marks of text mode (``marks.py``), stand in ``vocabulary.json`` with their ids: a language that is added
takes the next free id, and no other moves.
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from translatotron_v.data.marks import LITERALS, MARKS, strip_marks
from translatotron_v.errors import UserError

PAD, BOS, EOS, UNKNOWN = 0, 1, 2, 3
SYMBOLS = ("<pad>", "<bos>", "<eos>", "<unk>")  # of every vocabulary, with these ids
LANGUAGES = ("de", "en", "fr", "ro", "cs")  # a new vocabulary has tags for these
TASKS = ("ocr", "translate")
LARGEST = 10**6  # entries of a table
_SPACE = "\u2581"  # how the byte-pair vocabulary writes a space

# What a fixed character table may be made of, by name.
CHARACTER_BLOCKS: dict[str, str] = {
    "ascii": "".join(map(chr, range(0x20, 0x7F))),
    "latin-1": "".join(chr(code) for code in range(0xA1, 0x100) if code != 0xAD),
    "latin-extended-a": "".join(chr(code) for code in range(0x100, 0x180)),
    "romanian": "ȘșȚț",
    "punctuation": "‐‑‒–—―‘’‚‛“”„‟†‡•‣…‰′″‹›⁄",
    "symbols": "€№℗™Ω℮←↑→↓↔⇒−√∞≈≠≤≥■□▪▫▲►▼◄◊○●★☆☎☐☑☒♀♂♠♣♥♦♪✓✔✗✘",
    "fractions": "⅓⅔⅛⅜⅝⅞",
}


class VocabularyError(UserError):
    """A vocabulary that cannot be read or a tag that does not exist."""


def characters_of_blocks(names: Sequence[str]) -> list[str]:
    """The characters of some ``CHARACTER_BLOCKS``, in code order.

    Raises:
        VocabularyError: there is no such block.
    """
    for name in names:
        if name not in CHARACTER_BLOCKS:
            raise VocabularyError(
                f"model.vocabulary.characters: no block {name!r}; there are {', '.join(CHARACTER_BLOCKS)}"
            )
    return sorted({character for name in names for character in CHARACTER_BLOCKS[name]})


def tag_specials(languages: Iterable[str] = LANGUAGES, marks: bool = False) -> dict[str, int]:
    """Special symbols of a new vocabulary and their ids: symbols, language tags, task tags and, if asked for, marks."""
    tags = [f"<{name}>" for name in (*dict.fromkeys((*LANGUAGES, *languages)), *TASKS)]
    return {name: index for index, name in enumerate((*SYMBOLS, *tags, *(MARKS if marks else ())))}


class Vocabulary:
    """Pieces and characters of all languages, and their ids.

    Args:
        characters: the drawable characters, in the order of their ids.
        subwords: a trained byte-pair tokenizer as JSON, or ``None`` when pieces are characters.
        symbols: the piece table is padded to this size (0: not at all).
        specials: special symbols and their ids among the pieces; ``None``: those of ``tag_specials()``.
        first_character: id of the first character; ``None``: after the specials.
    """

    def __init__(
        self,
        characters: Sequence[str],
        subwords: str | None = None,
        symbols: int = 0,
        specials: Mapping[str, int] | None = None,
        first_character: int | None = None,
    ):
        self.characters = list(characters)
        self.specials = dict(tag_specials() if specials is None else specials)
        self.first_character = len(self.specials) if first_character is None else first_character
        self._character_ids = {
            character: self.first_character + index for index, character in enumerate(self.characters)
        }
        self._subwords_json = subwords
        self._subwords = Tokenizer.from_str(subwords) if subwords is not None else None
        if self._subwords is not None:
            self._subwords.encode_special_tokens = True  # "<eos>" in a text is text
        self._symbols = symbols

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        subwords: int = 0,
        symbols: int = 0,
        blocks: Sequence[str] = (),
        marks: bool = False,
        languages: Sequence[str] = (),
    ) -> "Vocabulary":
        """Collect characters and, for ``subwords`` > 0, train byte-pair subwords of that table size.

        Args:
            texts: what it should write well.
            subwords: size of the piece table; 0 makes pieces of characters.
            symbols: pads the piece table; the rarest characters are dropped down to it.
            blocks: of ``CHARACTER_BLOCKS`` that the characters are taken from instead of from the texts.
            marks: whether text mode has marks, and each digit is a piece of its own.
            languages: that get a tag beside ``LANGUAGES``.

        Raises:
            VocabularyError: an unknown block.
        """
        specials = tag_specials(languages, marks)
        fixed = characters_of_blocks(blocks)
        texts = list(texts)
        if fixed:
            foreign = dict.fromkeys(map(ord, {character for text in texts for character in text}.difference(fixed)))
            texts = [text.translate(foreign) for text in texts]
        counts = Counter(character for text in texts for character in text)
        counts.setdefault(" ", 1)
        characters = fixed or sorted(counts)
        if symbols and len(characters) + len(specials) > symbols:
            kept = [character for character, _ in counts.most_common(symbols - len(specials))]
            characters = sorted(kept)
        if not subwords:
            return cls(characters, None, symbols, specials)
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        # A mark cuts the text in two: with "first", what follows it begins with a space only if it has one.
        scheme = "first" if marks else "always"
        splits: list[Any] = [
            pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme=scheme),
            pre_tokenizers.Punctuation(),
        ]
        if marks:
            splits.append(pre_tokenizers.Digits(individual_digits=True))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
        trainer = trainers.BpeTrainer(
            vocab_size=subwords,
            special_tokens=list(specials),
            show_progress=False,
            min_frequency=2,
            initial_alphabet=fixed,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(characters, _marks_as_text(tokenizer.to_str()), symbols, specials)

    @classmethod
    def from_json(cls, text: str, origin: str = "vocabulary.json") -> "Vocabulary":
        """Read what ``to_json`` wrote.

        Raises:
            VocabularyError: the text is no vocabulary.
        """
        try:
            fields = json.loads(text)
            characters, subwords, symbols = (fields[name] for name in ("characters", "subwords", "symbols"))
            if "specials" not in fields:
                raise VocabularyError(
                    f"{origin}: of an older format; `translatotron-v convert FOLDER` brings its checkpoint up to date"
                )
            specials, first = fields["specials"], fields["first_character"]
            numbers = [symbols, first, *specials.values()]
            whole = (
                all(isinstance(character, str) and len(character) == 1 for character in characters)
                and all(type(number) is int and 0 <= number <= LARGEST for number in numbers)
                and set(SYMBOLS) <= set(specials)
            )
            if not whole:
                raise VocabularyError(f"{origin}: not a vocabulary (a character or a number in it is damaged)")
            return cls(characters, subwords, symbols, specials, first)
        except VocabularyError:
            raise
        except Exception as error:  # the tokenizers library has no class of its own for what it cannot read
            reason = str(error).strip().split("\n")[0]
            raise VocabularyError(f"{origin}: not a vocabulary ({reason or type(error).__name__})") from None

    @classmethod
    def from_file(cls, path: Path) -> "Vocabulary":
        """Read a ``vocabulary.json``; a missing file is a ``VocabularyError``."""
        if not path.is_file():
            raise VocabularyError(f"{path}: no such file; a checkpoint folder holds its vocabulary.json")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise VocabularyError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
        return cls.from_json(text, str(path))

    def to_json(self) -> str:
        """Everything needed to rebuild the vocabulary."""
        fields = {
            "specials": self.specials,
            "first_character": self.first_character,
            "characters": self.characters,
            "subwords": self._subwords_json,
            "symbols": self._symbols,
        }
        return json.dumps(fields, ensure_ascii=False)

    def with_language(self, language: str) -> "Vocabulary":
        """The same vocabulary with a tag for one more language; every other id stays what it is.

        The new tag takes the first id after the pieces, or the first that pads the table. Weights of the smaller
        vocabulary fill a model of the larger one with ``map_vocabulary``.

        Raises:
            VocabularyError: the language has a tag already.
        """
        if f"<{language}>" in self.specials:
            raise VocabularyError(f"the vocabulary has a tag for {language!r} already")
        specials = {**self.specials, f"<{language}>": self._piece_count}
        return Vocabulary(self.characters, self._subwords_json, self._symbols, specials, self.first_character)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    @property
    def writes_characters(self) -> bool:
        """Whether pieces are characters."""
        return self._subwords is None

    @property
    def _piece_count(self) -> int:
        """One more than the largest id that stands for something."""
        size = self.character_count if self._subwords is None else self._subwords.get_vocab_size()
        return max(size, *(index + 1 for index in self.specials.values()))

    def __len__(self) -> int:
        """Number of pieces, special symbols included."""
        return max(self._piece_count, self._symbols)

    @property
    def character_count(self) -> int:
        """Number of characters, special symbols included."""
        return self.first_character + len(self.characters)

    @property
    def languages(self) -> list[str]:
        """Languages that have a tag."""
        names = [name[1:-1] for name in self.specials if name not in SYMBOLS and name not in MARKS]
        return [name for name in names if name not in TASKS]

    def tag(self, name: str) -> int:
        """Id of a language or task tag, such as ``de`` or ``translate``.

        Raises:
            VocabularyError: there is no such tag.
        """
        if name not in (*self.languages, *TASKS):
            raise VocabularyError(f"unknown tag {name!r}; there are {', '.join((*self.languages, *TASKS))}")
        return self.specials[f"<{name}>"]

    def knows(self, mark: str) -> bool:
        """Whether a mark of text mode has a piece."""
        return mark in self.specials

    @cached_property
    def unwritten(self) -> list[int]:
        """Ids of the special symbols that no answer may hold: all but the end and the placeholders of literals."""
        return [index for name, index in self.specials.items() if index != EOS and name not in LITERALS]

    def unwritable(self, text: str) -> list[str]:
        """Characters of a text that the vocabulary cannot write, each once, in their order; marks are no characters."""
        missing = (character for character in strip_marks(text) if character not in self._character_ids)
        return list(dict.fromkeys(character for character in missing if unicodedata.category(character) != "Zs"))

    def piece_names(self) -> list[str]:
        """What each piece is called, by id; the same name in two vocabularies means the same piece, "" is padding."""
        names = [""] * len(self)
        if self._subwords is None:
            names[self.first_character : self.character_count] = self.characters
        else:
            for piece, index in self._subwords.get_vocab().items():
                names[index] = piece
        for name, index in self.specials.items():
            names[index] = name
        return names

    @cached_property
    def piece_table(self) -> tuple[list[str], dict[str, int]]:
        """The name of each piece, and the piece of each name."""
        names = self.piece_names()
        return names, {name: index for index, name in enumerate(names) if name}

    def character_names(self) -> list[str]:
        """What each character id stands for."""
        names = {index: name for name, index in self.specials.items() if index < self.first_character}
        return [*(names.get(index, "") for index in range(self.first_character)), *self.characters]

    def encode(self, text: str) -> list[int]:
        """Ids of the pieces of a text, without tags or end."""
        if self._subwords is None:
            return self.encode_characters(text)
        return self._subwords.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of the pieces of several texts, at once and so faster than one by one."""
        if self._subwords is None:
            return [self.encode_characters(text) for text in texts]
        return [encoding.ids for encoding in self._subwords.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_spans(self, text: str) -> list[tuple[int, int, int]]:
        """Ids of the pieces of a text, each with the first and the last of its characters (exclusive)."""
        if self._subwords is None:
            return [(piece, place, place + 1) for place, piece in enumerate(self.encode_characters(text))]
        encoded = self._subwords.encode(text, add_special_tokens=False)
        return [(piece, start, end) for piece, (start, end) in zip(encoded.ids, encoded.offsets, strict=True)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of pieces up to the first end symbol; other special symbols are left out."""
        return "".join(self.spell(ids)).strip()

    def spell(self, ids: Iterable[int]) -> list[str]:
        """What each piece writes, spaces included, up to the first end symbol; special symbols write nothing."""
        written: list[str] = []
        for piece in ids:
            if piece == EOS:
                break
            written.append(self._written[piece] if piece < len(self._written) else "")
        for index, text in enumerate(written):  # a line does not start with the space of its first word
            if text:
                written[index] = text.removeprefix(" ")
                break
        return written

    def encode_characters(self, text: Iterable[str]) -> list[int]:
        """Ids of the characters of a text; one that is not in the table is ``UNKNOWN``."""
        return [self._character_ids.get(character, UNKNOWN) for character in text]

    def decode_characters(self, ids: Iterable[int]) -> str:
        """The text of character ids; special symbols are left out."""
        first = self.first_character
        return "".join(self.characters[index - first] for index in ids if index >= first)

    def characters_of_pieces(self, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """Spell a sequence of pieces.

        Returns:
            Character ids, and for each character the position in ``ids`` of the piece it belongs to.
        """
        characters: list[int] = []
        positions: list[int] = []
        for position, text in enumerate(self.spell(ids)):
            spelled = self.encode_characters(text)
            characters += spelled
            positions += [position] * len(spelled)
        return characters, positions

    @cached_property
    def _written(self) -> list[str]:
        silent = set(self.specials) - set(MARKS)
        return ["" if piece in silent else piece.replace(_SPACE, " ") for piece in self.piece_names()]


def _marks_as_text(subwords: str) -> str:
    """A trained tokenizer as JSON, whose marks are found in any text; other special symbols never are."""
    fields = json.loads(subwords)
    for token in fields["added_tokens"]:
        token["special"] = token["content"] not in MARKS
    return json.dumps(fields, ensure_ascii=False)
