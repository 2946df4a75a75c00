"""Scores of a folder of pictures against one or several folders of reference pictures, paired by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from translatotron_v.errors import named
from translatotron_v.evaluation.folders import PictureFolder, texts_for
from translatotron_v.evaluation.reading import PageOcr
from translatotron_v.evaluation.report import Line, Report, Row, worst_of
from translatotron_v.evaluation.scoring import Scorer, TextPairs, similarity, similarity_lines, texts_of
from translatotron_v.metrics import Comet, Score
from translatotron_v.terminal import progress

TITLES = ("generated", "reference")  # columns of the sheet
_PAIRS = "pictures against reference texts"


@dataclass(frozen=True)
class Expected:
    """What pictures should be.

    Attributes:
        folders: of reference pictures, at least one, with the same names; layout and pixels are compared with those of
            the first.
        texts: files of reference texts, see `texts_for`; without any, what OCR reads on the folders stands in, and
            there is no ceiling.
        sources: the source text of each picture, in the order of names; wanted by COMET alone.
        comet: a model to score with.
        limit: only the first pictures; 0 takes all.
    """

    folders: Sequence[PictureFolder]
    texts: Sequence[Path] = ()
    sources: Sequence[str] | None = None
    comet: Comet | None = None
    limit: int = 0

    @property
    def names(self) -> list[str]:
        """Of the pictures, in their order."""
        return self.first(list(self.folders[0].paths))

    def first(self, items: Sequence[str]) -> list[str]:
        """Those of the pictures that are scored, of one item for each."""
        return list(items[: self.limit] if self.limit else items)


@dataclass(frozen=True)
class Scored:
    """What `compare` found, from which a report is made.

    Attributes:
        scorer: with the settings of the scores.
        names: of the pictures.
        read: what OCR read on each.
        wanted: lists of reference texts.
        ceiling: what OCR read on the reference pictures against their texts, where these are known.
        lines, notes, rows: of the report.
    """

    scorer: Scorer
    names: list[str]
    read: list[str]
    wanted: list[list[str]]
    ceiling: TextPairs | None
    lines: list[Line]
    notes: list[str]
    rows: list[Row]


def score_pictures(
    hypotheses: PictureFolder,
    expected: Expected,
    reader: PageOcr,
    *,
    lower_case: bool = True,
    worst: int = 12,
    quiet: bool = False,
) -> Report:
    """Score every reference against the picture of the same name.

    A picture that is missing or broken is named and counts as empty: no text, SSIM 0, PSNR 0.

    Args:
        worst: how many samples of the highest CER the sheet shows.
        quiet: show no progress.

    Raises:
        UserError: a broken reference picture, or a text that is missing.
    """
    found = compare(hypotheses, expected, reader, lower_case=lower_case, quiet=quiet)
    settings = {"pictures": str(hypotheses.folder), **settings_of(expected), "lower case": lower_case}
    title = f"{hypotheses.folder.name} against {expected.folders[0].folder.name}: {len(found.names):,} pictures"
    return Report(title, settings, found.lines, found.notes, found.rows, worst_of(found.rows, worst))


def settings_of(expected: Expected) -> dict[str, str | int]:
    """For the report."""
    return {
        "references": ", ".join(str(folder.folder) for folder in expected.folders),
        "texts": ", ".join(map(str, expected.texts)) or "read on the references",
        **({"limit": expected.limit} if expected.limit else {}),
    }


def compare(
    hypotheses: PictureFolder, expected: Expected, reader: PageOcr, *, lower_case: bool = True, quiet: bool = False
) -> Scored:
    """Read both sides and compare texts, layout and pixels; see `score_pictures`."""
    names, references = expected.names, expected.folders[0]
    scorer = Scorer(reader.signature, lower_case)
    known = [expected.first(texts_for(path, references)) for path in expected.texts]
    originals, *others = (
        reader.read_all((folder.open(name) for name in names), len(names), "reading references")
        for folder in (expected.folders[:1] if known else expected.folders)
    )
    readings = reader.read_all((hypotheses.find(name) for name in names), len(names), "reading pictures")
    original_texts, read = texts_of(originals), texts_of(readings)
    wanted = known or [original_texts, *map(texts_of, others)]
    alike, resized = _compare(hypotheses, references, names, quiet)

    pairs = TextPairs(read, wanted[0], wanted[1:])
    ceiling = TextPairs(original_texts, known[0], known[1:]) if known else None
    beside = " (the first folder's)" if len(expected.folders) > 1 else ""
    lines = [
        scorer.read("BLEU", pairs, _PAIRS, ceiling),
        scorer.read("chrF", pairs, _PAIRS, ceiling),
        scorer.read("CER", pairs, _PAIRS, ceiling),
        *scorer.structure(readings, originals, f"paragraphs of both pictures{beside}", known[0] if known else None),
        *similarity_lines(alike, f"pictures against references{beside}"),
    ]
    rows = [
        {
            "name": name,
            **scorer.sample(answer, text, more),
            **values,
            "read": answer,
            "reference": text,
            **{f"reference {number}": other for number, other in enumerate(more, start=2)},
        }
        for name, answer, values, (text, *more) in zip(names, read, alike, zip(*wanted, strict=True), strict=True)
    ]
    if expected.comet is not None and expected.sources is not None:
        line, values_of = comet_line(expected.comet, expected.sources, pairs, _PAIRS, scorer.reader, ceiling)
        lines.append(line)
        rows = [{**row, "COMET": value} for row, value in zip(rows, values_of, strict=True)]
    notes = _notes(hypotheses, expected, resized, bool(known))
    return Scored(scorer, names, read, wanted, ceiling, lines, notes, list(rows))


def comet_line(
    comet: Comet,
    sources: Sequence[str],
    pairs: TextPairs,
    what: str,
    reader: str = "",
    ceiling: TextPairs | None = None,
) -> tuple[Line, list[float]]:
    """COMET of texts, which OCR has read where its signature is given, beside that of a ceiling; and each value."""

    def signed(chosen: TextPairs) -> tuple[Score, list[float]]:
        score, values = comet.score(sources, chosen.hypotheses, [chosen.references, *chosen.others])
        return Score(score.name, score.value, f"{score.signature}|{reader}" if reader else score.signature), values

    score, values = signed(pairs)
    return Line(score, what, None if ceiling is None else signed(ceiling)[0], len(values)), values


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


def _notes(hypotheses: PictureFolder, expected: Expected, resized: list[str], with_ceiling: bool) -> list[str]:
    notes = []
    references, chosen = expected.folders[0], set(expected.names)
    missing = [name for name in expected.names if name not in hypotheses.paths]
    surplus = [name for name in hypotheses.paths if name not in references.paths]
    lossy = [
        name for name, path in hypotheses.paths.items() if name in chosen and path.suffix.lower() in (".jpg", ".jpeg")
    ]
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
    for folder in (hypotheses, *expected.folders):
        if folder.several:
            count, names = len(folder.several), named([folder.paths[name].name for name in folder.several])
            notes.append(f"Of several frames or pages in {folder.folder}, only the first counts ({count}): {names}.")
    if not with_ceiling:
        notes.append(
            "Reference texts were read by OCR as well, so there is no ceiling; --texts FILE gives the true ones."
        )
    return notes
