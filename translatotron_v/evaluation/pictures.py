"""Scores of a folder of pictures against a folder of reference pictures, paired by name."""

import json
from pathlib import Path

from PIL import Image

from translatotron_v.errors import UserError
from translatotron_v.evaluation.reading import PageOcr
from translatotron_v.evaluation.report import Report, Row, named, worst_of
from translatotron_v.evaluation.scoring import Scorer, TextPairs, similarity, similarity_lines, texts_of
from translatotron_v.inference.pictures import SAVE_OPTIONS, PictureError, count_frames, open_picture
from translatotron_v.terminal import progress

TITLES = ("generated", "reference")  # columns of the sheet
_PAIRS = "pictures against reference texts"


class PictureFolder:
    """The pictures of a folder by name, which is the file's without its extension.

    Raises:
        UserError: no such folder, no pictures in it, or two of one name.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
        self.folder = folder
        self.paths: dict[str, Path] = {}
        self.broken: dict[str, str] = {}  # name -> what is wrong with its file, once `find` has met it
        self.several: dict[str, int] = {}  # name -> frames or pages of its file, once it was opened
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in SAVE_OPTIONS and not path.name.startswith(".") and path.is_file():
                other = self.paths.setdefault(path.stem, path)
                if other != path:
                    raise UserError(f"{other} and {path.name} bear one name: pictures are paired by it, keep one")
        if not self.paths:
            raise UserError(f"{folder}: no pictures in this folder ({', '.join(SAVE_OPTIONS)})")

    def open(self, name: str) -> Image.Image:
        """The picture; a PictureError where it is missing or broken."""
        picture = open_picture(self.paths.get(name, self.folder / f"{name}.png"))
        if (frames := count_frames(picture)) > 1:
            self.several[name] = frames
        return picture

    def find(self, name: str) -> Image.Image | None:
        """The picture, or None where it is missing or broken."""
        try:
            return self.open(name) if name in self.paths else None
        except PictureError as error:
            self.broken[name] = str(error)
            return None


def score_pictures(
    hypotheses: PictureFolder,
    references: PictureFolder,
    reader: PageOcr,
    texts: Path | None = None,
    *,
    lower_case: bool = True,
    worst: int = 12,
    quiet: bool = False,
) -> Report:
    """Score every reference against the picture of the same name.

    A picture that is missing or broken is named and counts as empty: no text, SSIM 0, PSNR 0.

    Args:
        texts: the reference texts, see `read_texts`; without it, what OCR reads on the reference pictures stands in,
            and there is no ceiling.
        worst: how many samples of the highest CER the sheet shows.
        quiet: show no progress.

    Raises:
        UserError: a broken reference picture, or a text that is missing.
    """
    names = list(references.paths)
    known = None if texts is None else _in_order(read_texts(texts), names, texts)
    scorer = Scorer(reader.signature, lower_case)
    originals = reader.read_all((references.open(name) for name in names), len(names), "reading references")
    readings = reader.read_all((hypotheses.find(name) for name in names), len(names), "reading pictures")
    original_texts, read = texts_of(originals), texts_of(readings)
    wanted = original_texts if known is None else known
    alike, resized = _compare(hypotheses, references, names, quiet)

    pairs = TextPairs(read, wanted)
    ceiling = None if known is None else TextPairs(original_texts, known)
    lines = [
        scorer.read("BLEU", pairs, _PAIRS, ceiling),
        scorer.read("chrF", pairs, _PAIRS, ceiling),
        scorer.read("CER", pairs, _PAIRS, ceiling),
        *scorer.structure(readings, originals, "paragraphs of both pictures", known),
        *similarity_lines(alike, "pictures against references"),
    ]
    rows: list[Row] = [
        {"name": name, **scorer.sample(answer, text), **values, "read": answer, "reference": text}
        for name, answer, text, values in zip(names, read, wanted, alike, strict=True)
    ]
    settings = {
        "pictures": str(hypotheses.folder),
        "references": str(references.folder),
        "texts": "read on the references" if texts is None else str(texts),
        "lower case": lower_case,
    }
    title = f"{hypotheses.folder.name} against {references.folder.name}: {len(names):,} pictures"
    notes = _notes(hypotheses, references, resized, known is not None)
    return Report(title, settings, lines, notes, rows, worst_of(rows, worst))


def read_texts(path: Path) -> dict[str, str]:
    """Name -> text, from lines "name TAB text" or a JSON object; names with or without a picture's extension.

    Raises:
        UserError: the file is missing or holds something else; the message names the line.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    entries: list[tuple[str, str]] = []
    if path.suffix.lower() == ".json":
        try:
            found = json.loads(content)
        except ValueError as error:
            raise UserError(f"{path}: not a JSON file ({error})") from None
        if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
            raise UserError(f"{path}: expected one JSON object of names and texts")
        entries = list(found.items())
    else:
        for number, line in enumerate(content.split("\n"), start=1):
            name, separator, text = line.rstrip("\r").partition("\t")
            if separator:
                entries.append((name, text))
            elif line.strip():
                raise UserError(f"{path}, line {number}: expected name TAB text, found no tab")
    texts: dict[str, str] = {}
    for name, text in entries:
        key = Path(name).stem if Path(name).suffix.lower() in SAVE_OPTIONS else name
        if key in texts:
            raise UserError(f"{path}: {key!r} has two texts")
        texts[key] = text
    return texts


def _in_order(texts: dict[str, str], names: list[str], path: Path) -> list[str]:
    missing = [name for name in names if name not in texts]
    if missing:
        raise UserError(f"{path}: no text for {named(missing)}")
    return [texts[name] for name in names]


def _compare(
    hypotheses: PictureFolder, references: PictureFolder, names: list[str], quiet: bool
) -> tuple[list[dict[str, float]], list[str]]:
    """SSIM and PSNR of each pair, and the names of those that differ in size."""
    values, resized = [], []
    with progress(len(names), "comparing pictures", quiet) as bar:
        for name in names:
            picture, reference = hypotheses.find(name), references.open(name)
            values.append(similarity(picture, reference))
            if picture is not None and picture.size != reference.size:
                resized.append(name)
            bar.update()
    return values, resized


def _notes(hypotheses: PictureFolder, references: PictureFolder, resized: list[str], with_ceiling: bool) -> list[str]:
    notes = []
    missing = [name for name in references.paths if name not in hypotheses.paths]
    surplus = [name for name in hypotheses.paths if name not in references.paths]
    lossy = [name for name, path in hypotheses.paths.items() if path.suffix.lower() in (".jpg", ".jpeg")]
    if missing:
        notes.append(f"Missing, counted as empty ({len(missing)}): {named(missing)}.")
    if hypotheses.broken:
        notes.append(f"Broken, counted as empty ({len(hypotheses.broken)}): {named(list(hypotheses.broken.values()))}.")
    if surplus:
        notes.append(f"Without a reference, left out ({len(surplus)}): {named(surplus)}.")
    if resized:
        notes.append(
            f"Of another size than their reference, resized for SSIM and PSNR ({len(resized)}): {named(resized)}."
        )
    if lossy:
        notes.append(f"JPEG, so that its losses count as theirs ({len(lossy)}): {named(lossy)}.")
    for folder in (hypotheses, references):
        if folder.several:
            count, names = len(folder.several), named([folder.paths[name].name for name in folder.several])
            notes.append(f"Of several frames or pages in {folder.folder}, only the first counts ({count}): {names}.")
    if not with_ceiling:
        notes.append(
            "Reference texts were read by OCR as well, so there is no ceiling; --texts FILE gives the true ones."
        )
    return notes
