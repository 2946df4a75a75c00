"""A text file to a text file in text mode, line by line: translations, and back-translations to train on."""

from pathlib import Path

from translatotron_v.data.marks import strip_marks
from translatotron_v.data.pairs import fold, read_text_lines
from translatotron_v.errors import UserError
from translatotron_v.evaluation.answers import text_answers
from translatotron_v.evaluation.reading import progress
from translatotron_v.inference.loaded import LoadedTranslator

CHUNK = 1024  # lines that are translated and written together; within them like lengths share a batch


def translate_file(
    loaded: LoadedTranslator,
    source: Path,
    target: Path,
    target_language: str = "",
    *,
    beams: int = 1,
    batch_size: int = 64,
    restart: bool = False,
) -> tuple[int, int, dict[int, str]]:
    """Translate each line of a file; goes on after the lines that ``target`` holds already, unless told to restart.

    Lines are folded as the model's pages show text; an empty line stays empty.

    Returns:
        How many lines were translated now, how many the file has, and for each line that was translated now (counted
        from 1) and holds characters that the vocabulary cannot write, those characters.

    Raises:
        UserError: a file that cannot be read or written, or more lines in the target than in the source; otherwise as
            of ``text_answers``.
    """
    lines = [fold(strip_marks(line), loaded.config.page) for line in read_text_lines(source)]
    foreign: dict[int, str] = {}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        done = 0 if restart or not target.exists() else _whole_lines(target)
        if done > len(lines):
            raise UserError(f"{target}: has {done} lines, more than the {len(lines)} of {source}; --force begins anew")
        with open(target, "ab" if done else "wb") as file, progress(len(lines), "translating", False) as bar:
            bar.update(done)
            for start in range(done, len(lines), CHUNK):
                chunk = lines[start : start + CHUNK]
                texts, unwritable = _translate(loaded, chunk, target_language, beams, batch_size)
                foreign |= {start + place + 1: "".join(signs) for place, signs in unwritable.items() if signs}
                file.write("".join(f"{text}\n" for text in texts).encode())
                file.flush()
                bar.update(len(chunk))
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from None
    return len(lines) - done, len(lines), foreign


def _translate(
    loaded: LoadedTranslator, chunk: list[str], target_language: str, beams: int, batch_size: int
) -> tuple[list[str], dict[int, list[str]]]:
    places = [place for place, line in enumerate(chunk) if line]
    answers = text_answers(
        loaded, [chunk[place] for place in places], target_language, beams=beams, batch_size=batch_size, quiet=True
    )
    texts = [""] * len(chunk)
    for place, text in zip(places, answers.texts, strict=True):
        texts[place] = text
    return texts, dict(zip(places, answers.unwritable, strict=True))


def _whole_lines(path: Path) -> int:
    """How many whole lines a file holds; one that was cut in the middle is taken off."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with open(path, "r+b") as file:
            file.truncate(end)
    return content.count(b"\n")
