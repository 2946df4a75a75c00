"""Text to ids and back: one joint vocabulary for all languages, with language and task tags.

Two tables share the same special symbols. *Pieces* are what the text decoder writes: byte-pair subwords, or characters
at the paper's size. *Characters* are what the CTC head reads and what the picture is drawn from.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from translatotron_v.errors import UserError

PAD, BOS, EOS, UNKNOWN = 0, 1, 2, 3
LANGUAGES = ("de", "en", "fr", "ro", "cs")
TASKS = ("ocr", "translate")
SPECIALS = (
    "<pad>",
    "<bos>",
    "<eos>",
    "<unk>",
    *(f"<{language}>" for language in LANGUAGES),
    *(f"<{task}>" for task in TASKS),
)
_SPACE = "\u2581"  # how the byte-pair vocabulary writes a space


class VocabularyError(UserError):
    """A vocabulary that cannot be read or a tag that does not exist."""


class Vocabulary:
    """Pieces and characters of all languages, and their ids.

    Args:
        characters: the drawable characters, in the order of their ids.
        subwords: a trained byte-pair tokenizer as JSON, or ``None`` when pieces are characters.
        symbols: the piece table is padded to this size (0: not at all).
    """

    def __init__(self, characters: Sequence[str], subwords: str | None = None, symbols: int = 0):
        self.characters = list(characters)
        self._character_ids = {character: len(SPECIALS) + index for index, character in enumerate(self.characters)}
        self._subwords_json = subwords
        self._subwords = Tokenizer.from_str(subwords) if subwords is not None else None
        if self._subwords is not None:
            self._subwords.encode_special_tokens = True  # "<eos>" in a text is text
        self._symbols = symbols

    @classmethod
    def build(cls, texts: Iterable[str], subwords: int = 0, symbols: int = 0) -> "Vocabulary":
        """Collect characters and, for ``subwords`` > 0, train byte-pair subwords of that table size.

        Raises:
            VocabularyError: ``symbols`` is too small for the characters; the rarest are dropped only down to it.
        """
        texts = list(texts)
        counts = Counter(character for text in texts for character in text)
        counts.setdefault(" ", 1)
        characters = sorted(counts)
        if symbols and len(characters) + len(SPECIALS) > symbols:
            kept = [character for character, _ in counts.most_common(symbols - len(SPECIALS))]
            characters = sorted(kept)
        if not subwords:
            return cls(characters, None, symbols)
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="always"), pre_tokenizers.Punctuation()]
        )
        trainer = trainers.BpeTrainer(
            vocab_size=subwords, special_tokens=list(SPECIALS), show_progress=False, min_frequency=2
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(characters, tokenizer.to_str(), symbols)

    @classmethod
    def from_json(cls, text: str, origin: str = "vocabulary.json") -> "Vocabulary":
        """Read what ``to_json`` wrote.

        Raises:
            VocabularyError: the text is no vocabulary.
        """
        try:
            fields = json.loads(text)
            return cls(fields["characters"], fields["subwords"], fields["symbols"])
        except (ValueError, KeyError, TypeError) as error:
            raise VocabularyError(f"{origin}: not a vocabulary ({error})") from None

    @classmethod
    def from_file(cls, path: Path) -> "Vocabulary":
        """Read a ``vocabulary.json``; a missing file is a ``VocabularyError``."""
        if not path.is_file():
            raise VocabularyError(f"{path}: no such file; a checkpoint folder holds its vocabulary.json")
        return cls.from_json(path.read_text(encoding="utf-8"), str(path))

    def to_json(self) -> str:
        """Everything needed to rebuild the vocabulary."""
        fields = {"characters": self.characters, "subwords": self._subwords_json, "symbols": self._symbols}
        return json.dumps(fields, ensure_ascii=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    @property
    def writes_characters(self) -> bool:
        """Whether pieces are characters."""
        return self._subwords is None

    def __len__(self) -> int:
        """Number of pieces, special symbols included."""
        size = len(SPECIALS) + len(self.characters) if self._subwords is None else self._subwords.get_vocab_size()
        return max(size, self._symbols)

    @property
    def character_count(self) -> int:
        """Number of characters, special symbols included."""
        return len(SPECIALS) + len(self.characters)

    @staticmethod
    def tag(name: str) -> int:
        """Id of a language or task tag, such as ``de`` or ``translate``.

        Raises:
            VocabularyError: there is no such tag.
        """
        if name not in (*LANGUAGES, *TASKS):
            raise VocabularyError(f"unknown tag {name!r}; there are {', '.join((*LANGUAGES, *TASKS))}")
        return SPECIALS.index(f"<{name}>")

    def piece_names(self) -> list[str]:
        """What each piece is called, by id; the same name in two vocabularies means the same piece, "" is padding."""
        if self._subwords is None:
            names = [*SPECIALS, *self.characters]
        else:
            names = [
                piece for _, piece in sorted((index, piece) for piece, index in self._subwords.get_vocab().items())
            ]
        return names + [""] * (len(self) - len(names))

    def character_names(self) -> list[str]:
        """What each character id stands for."""
        return [*SPECIALS, *self.characters]

    def encode(self, text: str) -> list[int]:
        """Ids of the pieces of a text, without tags or end."""
        if self._subwords is None:
            return self.encode_characters(text)
        return self._subwords.encode(text, add_special_tokens=False).ids

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

    def encode_characters(self, text: str) -> list[int]:
        """Ids of the characters of a text; one that is not in the table is ``UNKNOWN``."""
        return [self._character_ids.get(character, UNKNOWN) for character in text]

    def decode_characters(self, ids: Iterable[int]) -> str:
        """The text of character ids; special symbols are left out."""
        first = len(SPECIALS)
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
        if self._subwords is None:
            return [""] * len(SPECIALS) + self.characters
        return ["" if piece in SPECIALS else piece.replace(_SPACE, " ") for piece in self.piece_names()]
