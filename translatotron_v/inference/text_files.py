"""A text file to a text file in text mode, line by line: translations, and back-translations to train on."""

from pathlib import Path
from typing import NamedTuple

from translatotron_v.data.marks import strip_marks
from translatotron_v.data.pairs import fold, read_text_lines
from translatotron_v.errors import UserError
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig
from translatotron_v.inference.answers import text_answers
from translatotron_v.inference.glossary import Term
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.terminal import progress

CHUNK = 1024  # lines that are translated and written together; within them like lengths share a batch


class Written(NamedTuple):
    """What became of a file.

    Attributes:
        now: lines that were translated now; ``lines`` are all that it has.
        foreign: of those that hold characters which the vocabulary cannot write, by number from 1, those characters.
        terms: what a glossary asked of them.
    """

    now: int
    lines: int
    foreign: dict[int, str]
    terms: list[Term]


def translate_file(
    loaded: LoadedTranslator,
    source: Path,
    target: Path,
    generation: GenerationConfig = AS_TRAINED,
    *,
    batch_size: int = 64,
    restart: bool = False,
) -> Written:
    """Translate each line of a file; goes on after the lines that ``target`` holds already, unless told to restart.

    Lines are folded as the model's pages show text; an empty line stays empty.

    Raises:
        UserError: a file that cannot be read or written, or more lines in the target than in the source; otherwise as
            of ``text_answers``.
    """
    lines = [fold(strip_marks(line), loaded.config.page) for line in read_text_lines(source)]
    foreign: dict[int, str] = {}
    terms: list[Term] = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        done = 0 if restart or not target.exists() else _whole_lines(target)
        if done > len(lines):
            raise UserError(f"{target}: has {done} lines, more than the {len(lines)} of {source}; --force begins anew")
        with open(target, "ab" if done else "wb") as file, progress(len(lines), "translating", False) as bar:
            bar.update(done)
            for start in range(done, len(lines), CHUNK):
                chunk = lines[start : start + CHUNK]
                places = [place for place, line in enumerate(chunk) if line]
                answers = text_answers(
                    loaded, [chunk[place] for place in places], generation, batch_size=batch_size, quiet=True
                )
                texts = [""] * len(chunk)
                for place, text, signs in zip(places, answers.texts, answers.unwritable, strict=True):
                    texts[place] = text
                    if signs:
                        foreign[start + place + 1] = "".join(signs)
                terms += [term for asked in answers.terms for term in asked]
                file.write("".join(f"{text}\n" for text in texts).encode())
                file.flush()
                bar.update(len(chunk))
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from None
    return Written(len(lines) - done, len(lines), foreign, terms)


def _whole_lines(path: Path) -> int:
    """How many whole lines a file holds; one that was cut in the middle is taken off."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with open(path, "r+b") as file:
            file.truncate(end)
    return content.count(b"\n")
