"""Scores of the texts that a translator writes, no picture drawn: image mode, text mode and reading, by language.

Image mode and text mode are scored by BLEU, chrF, language fidelity (LF, and LF+ that asks for a right answer too;
arXiv 2503.22577) and the length of the answers; reading by the character accuracy of the text decoder prompted with the
OCR tag, for that is what fine-tuning on translation makes a model forget (arXiv 2507.08309).
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from translatotron_v.arguments import positive
from translatotron_v.errors import UserError
from translatotron_v.evaluation.options import add_checkpoint, add_results, name_list, out_folder
from translatotron_v.evaluation.report import Cell, Line, Report, Row, shown
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.metrics.score import Score

if TYPE_CHECKING:  # torch and the models take seconds: only an evaluation pays for them
    from translatotron_v.evaluation.checkpoint import TestPage
    from translatotron_v.inference.answers import Answers
    from translatotron_v.inference.loaded import LoadedTranslator

MODES = ("image", "text", "ocr")
WORST = 12  # samples whose source pages are shown

# Who read the page, in mode "ocr"; the names by which `Report.value` finds them.
DECODER = "source text as the text decoder writes it after the OCR tag"
TRANSCRIPT = "source text as the answer begins with it (self-review)"
CTC = "source text as the CTC head reads it, for comparison"
OCR_HEAD = "source text as the OCR head reads it, for comparison"  # in its place in a model without a CTC head

_COLUMNS = {DECODER: "text decoder", TRANSCRIPT: "self-review", CTC: "CTC head", OCR_HEAD: "OCR head"}  # in the CSV


class TextReport(Report):
    """Scores of texts, of which there are too many for a line each on one screen."""

    def screen(self) -> str:
        """One line of scores for each thing that was scored."""
        groups: dict[str, list[Line]] = {}
        for line in self.lines:
            groups.setdefault(line.what, []).append(line)
        text, head = [self.title], ""
        for what, lines in groups.items():
            names = [f"{line.score.name:>8}" for line in lines]
            if (above := "  ".join(names)) != head:
                head = above
                text += ["", f"{head}  of"]
            cells = [shown(line.score).rjust(len(name)) for name, line in zip(names, lines, strict=True)]
            text.append(f"{'  '.join(cells)}  {what} ({lines[0].count:,})")
        return "\n".join([*text, "", *self.notes]).rstrip()


def score_translations(
    hypotheses: Sequence[str], references: Sequence[str], language: str, lower_case: bool = True
) -> dict[str, Score]:
    """``bleu``, ``chrf``, ``lf`` and ``lf_plus`` (percent), and ``length_ratio``: words written by words expected."""
    from translatotron_v.metrics import bleu, chrf
    from translatotron_v.metrics.language import language_fidelity, language_fidelity_plus

    written, expected = (sum(len(text.split()) for text in texts) for texts in (hypotheses, references))
    return {
        "bleu": bleu(hypotheses, references, lower_case=lower_case),
        "chrf": chrf(hypotheses, references, lower_case=lower_case),
        "lf": language_fidelity(hypotheses, language),
        "lf_plus": language_fidelity_plus(hypotheses, references, language),
        "length_ratio": Score("length ratio", written / max(expected, 1), "unit:words|level:corpus"),
    }


def score_readings(readings: Sequence[str], sources: Sequence[str], lower_case: bool = True) -> dict[str, Score]:
    """``cer``, and ``ocr_accuracy``: 1 - CER as a share, 0 where more is wrong than there is to read."""
    from translatotron_v.metrics import cer

    errors = cer(readings, sources, lower_case=lower_case)
    accuracy = Score("accuracy", max(0.0, 1 - errors.value), f"1-CER,floor:0|{errors.signature}")
    return {"ocr_accuracy": accuracy, "cer": errors}


@dataclass
class TextTest:
    """The answers of one model to one split, each asked for once.

    Args:
        loaded: the model.
        data, split, source: the checkpoint's corpus, validation split and source language where they are empty.
        limit: only the first pairs; 0 takes all.
        beams: of the translations; readings are greedy.
        quiet: no progress bars.
    """

    loaded: "LoadedTranslator"
    data: str = ""
    split: str = ""
    limit: int = 0
    source: str = ""
    batch_size: int = 32
    beams: int = 1
    lower_case: bool = True
    quiet: bool = False
    _pages: "dict[str, list[TestPage]]" = field(default_factory=dict)
    _answers: "dict[tuple[str, str], Answers]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.loaded.config.data
        self.data = self.data or settings.folder
        self.split = self.split or settings.validation
        self.source = self.source or settings.source_language

    def check(self, mode: str, target: str) -> None:
        """Raises UserError for what this model or corpus cannot do; renders the pages."""
        from translatotron_v.inference.loaded import known_language, require_text_mode

        known_mode(mode)
        known_language(self.loaded, self.source)
        known_language(self.loaded, target)
        if mode == "text":
            require_text_mode(self.loaded)
        if mode == "ocr" and all(page.source_page is None for page in self.pages(target)):
            raise UserError(f"{self.data}: no source text of {self.split!r} fits the page, so there is nothing to read")
        self.pages(target)

    def pages(self, target: str) -> "list[TestPage]":
        """The pairs of the split, with this language on their other side."""
        from translatotron_v.evaluation.checkpoint import render_split

        if target not in self._pages:
            config = self.loaded.config
            data = dataclasses.replace(
                config.data, folder=self.data, source_language=self.source, target_language=target
            )
            self._pages[target] = render_split(dataclasses.replace(config, data=data), self.split, self.limit)
        return self._pages[target]

    def answers(self, mode: str, target: str) -> "Answers":
        """Translations in image or text mode; where the source page does not fit, image mode has an empty answer."""
        from translatotron_v.inference.answers import image_answers, text_answers

        if (mode, target) not in self._answers:
            pages = self.pages(target)
            generation = GenerationConfig(source_language=self.source, target_language=target, beams=self.beams)
            title = f"{mode} mode, {self.source} to {target}"
            if mode == "text":
                texts = [page.source for page in pages]
                found = text_answers(
                    self.loaded, texts, generation, batch_size=self.batch_size, title=title, quiet=self.quiet
                )
            else:
                shown = [page.source_page for page in pages]
                found = image_answers(
                    self.loaded, shown, generation, batch_size=self.batch_size, title=title, quiet=self.quiet
                )
            self._answers[mode, target] = found
        return self._answers[mode, target]

    def translations(self, mode: str, target: str) -> dict[str, Score]:
        """Scores of the translations, over all pairs."""
        references = [page.reference for page in self.pages(target)]
        return score_translations(self.answers(mode, target).texts, references, target, self.lower_case)

    def transcripts(self, target: str) -> list[str]:
        """The text decoder's own, prompted with the OCR tag: one for each pair, empty where there is no page."""
        from translatotron_v.inference.answers import transcripts

        shown = [page.source_page for page in self.pages(target)]
        return transcripts(self.loaded, shown, self.source, batch_size=self.batch_size, quiet=self.quiet)

    def head_readings(self, target: str) -> list[str]:
        """Those of the CTC head, or of the OCR head."""
        from translatotron_v.inference.answers import ctc_readings

        shown = [page.source_page for page in self.pages(target)]
        title = "reading by the CTC head" if self.loaded.config.model.ctc_frames else "reading by the OCR head"
        return ctc_readings(self.loaded, shown, self.source, batch_size=self.batch_size, title=title, quiet=self.quiet)

    def readings(self, texts: Sequence[str], target: str) -> dict[str, Score]:
        """Scores of what was read, over the pages that exist; none where no page does."""
        pairs = [
            (text, page.source)
            for text, page in zip(texts, self.pages(target), strict=True)
            if page.source_page is not None
        ]
        if not pairs:
            return {}
        return score_readings([text for text, _ in pairs], [text for _, text in pairs], self.lower_case)


def score_texts(loaded: "LoadedTranslator", mode: str = "image", target: str = "", **options: Any) -> dict[str, float]:
    """Score one mode of a model on a split, for experiments; ``options`` are those of `TextTest`.

    Returns:
        Of image and text mode ``bleu``, ``chrf``, ``lf``, ``lf_plus`` (percent) and ``length_ratio``; in image mode of
        a model trained by self-review also ``transcript_accuracy`` (a share). Of mode "ocr" ``ocr_accuracy`` and
        ``cer`` (shares) of the text decoder prompted with the OCR tag.

    Raises:
        UserError: an unknown mode or language, no text mode, or a corpus that is missing.
    """
    test = TextTest(loaded, **options)
    target = target or loaded.config.data.target_language
    test.check(mode, target)
    if mode == "ocr":
        scores = test.readings(test.transcripts(target), target)
    else:
        scores = test.translations(mode, target)
        if written := test.answers(mode, target).transcripts:
            found = test.readings(written, target)
            scores |= {"transcript_accuracy": found["ocr_accuracy"]} if found else {}
    return {name: score.value for name, score in scores.items()}


def known_mode(mode: str) -> str:
    """The mode, if there is such; raises UserError otherwise."""
    if mode not in MODES:
        raise UserError(f"mode {mode!r}: there are {', '.join(MODES)}")
    return mode


def make_report(test: TextTest, name: str, modes: Sequence[str], targets: Sequence[str]) -> Report:
    """Score every mode in every target language; readings once, on the pairs of the first of them.

    Args:
        test: whose ``check`` has passed for all of them.
        name: of the checkpoint.
    """
    translating = [mode for mode in modes if mode != "ocr"]
    targets = targets if translating else targets[:1]
    lines = [line for mode in translating for target in targets for line in _translation_lines(test, mode, target)]
    read = _read(test, targets[0]) if "ocr" in modes else {}
    lines += [line for reader, texts in read.items() for line in _reading_lines(test, reader, texts, targets[0])]
    rows = [
        row
        for target in targets
        for row in _rows(test, translating, target, read if target == targets[0] else dict.fromkeys(read))
    ]
    return TextReport(
        title=f"{name} on {test.data} {test.split}: text answers to {len(test.pages(targets[0])):,} pairs",
        settings=_settings(test, name, modes, targets),
        lines=lines,
        notes=_notes(test, targets, bool(read)),
        rows=list(rows),
        worst=[str(row["name"]) for row in sorted(rows, key=_quality)[:WORST]],
    )


def _translation_lines(test: TextTest, mode: str, target: str) -> list[Line]:
    what, count = f"{mode} mode, {test.source} to {target}", len(test.pages(target))
    return [Line(score, what, count=count) for score in test.translations(mode, target).values()]


def _read(test: TextTest, target: str) -> dict[str, list[str]]:
    """What each reader made of the source pages."""
    found = {DECODER: test.transcripts(target)}
    if test.loaded.transcribes:
        found[TRANSCRIPT] = test.answers("image", target).transcripts
    found[CTC if test.loaded.config.model.ctc_frames else OCR_HEAD] = test.head_readings(target)
    return found


def _reading_lines(test: TextTest, reader: str, texts: Sequence[str], target: str) -> list[Line]:
    count = sum(page.source_page is not None for page in test.pages(target))
    return [Line(score, reader, count=count) for score in test.readings(texts, target).values()]


def _rows(
    test: TextTest, modes: Sequence[str], target: str, read: Mapping[str, Sequence[str] | None]
) -> list[dict[str, Cell]]:
    """One for each pair; texts that were not asked for stay empty."""
    from translatotron_v.metrics import cer, chrf

    rows: list[dict[str, Cell]] = []
    for index, page in enumerate(test.pages(target)):
        row: dict[str, Cell] = {"name": f"{index:05d}-{target}"}
        row |= {"source": page.source, "reference": page.reference}
        for mode in modes:
            answers = test.answers(mode, target)
            answered = mode == "text" or page.source_page is not None
            row[f"{mode} mode"] = answers.texts[index]
            row[f"{mode} mode chrF"] = chrf([answers.texts[index]], [page.reference], lower_case=test.lower_case).value
            row[f"{mode} mode pieces"] = answers.lengths[index]
            row[f"{mode} mode score"] = answers.scores[index] if answered else None
        for reader, texts in read.items():
            text = None if texts is None or page.source_page is None else texts[index]
            row[_COLUMNS[reader]] = text
            row[f"{_COLUMNS[reader]} CER"] = (
                None if text is None else cer([text], [page.source], lower_case=test.lower_case).value
            )
        rows.append(row)
    return rows


def _quality(row: Row) -> tuple[float, str]:
    """For sorting, the worst first: by chrF of the first mode, or by CER of the text decoder where none translates."""
    value = next((float(row[key] or 0) for key in row if key.endswith(" chrF")), None)
    if value is None:
        value = -float(row[f"{_COLUMNS[DECODER]} CER"] or 0)
    return value, str(row["name"])


def _notes(test: TextTest, targets: Sequence[str], read: bool) -> list[str]:
    notes = []
    for target in targets:
        if missing := sum(page.source_page is None for page in test.pages(target)):
            notes.append(
                f"{test.source} to {target}: {missing} source texts do not fit the page; their answers count as empty "
                f"in image mode{', and they are left out of reading' if read and target == targets[0] else ''}."
            )
    return notes


def _settings(test: TextTest, name: str, modes: Sequence[str], targets: Sequence[str]) -> dict[str, Any]:
    import torch

    from translatotron_v.checkpoint import weights_digest

    return {
        "checkpoint": name,
        "weights": weights_digest(test.loaded.folder),
        "precision": test.loaded.precision,
        "beams": test.beams,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "data": test.data,
        "split": test.split,
        "modes": ", ".join(modes),
        "languages": f"{test.source} to {', '.join(targets)}",
        "fonts": ", ".join(test.loaded.config.page.fonts),
        "lower case": test.lower_case,
        "limit": test.limit,
        "batch size": test.batch_size,
    }


def add_command(commands: Any) -> None:
    """Add ``texts`` to the sub-parsers of ``evaluate.py``."""
    parser = commands.add_parser(
        "texts",
        help="the texts that a trained translator writes, no picture drawn",
        description="Score a translator's texts by language: in image mode, in text mode, and its reading of the page.",
    )
    add_checkpoint(parser, batch_size=32, batch="pages or texts at a time")
    parser.add_argument(
        "--mode", type=name_list, default=("image",), metavar="LIST", help=f"of {', '.join(MODES)} (image)"
    )
    parser.add_argument(
        "--targets", type=name_list, metavar="LIST", help="target languages, such as en,fr,cs (the checkpoint's)"
    )
    parser.add_argument("--beams", type=positive, default=1, metavar="N", help="beams of translations (1: greedy)")
    add_results(parser, cased=True)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Score, write everything, and print the scores and where they went."""
    modes = [known_mode(mode) for mode in dict.fromkeys(options.mode)]
    from translatotron_v.evaluation.generation import to_image
    from translatotron_v.inference.pipeline import Translator

    loaded = Translator.from_pretrained(options.checkpoint, device=options.device, threads=options.threads).loaded
    test = TextTest(
        loaded,
        options.data,
        options.split,
        options.limit,
        batch_size=options.batch_size,
        beams=options.beams,
        lower_case=not options.cased,
    )
    targets = list(dict.fromkeys(options.targets or [loaded.config.data.target_language]))
    for mode in modes:
        for target in targets:
            test.check(mode, target)
    report = make_report(test, options.checkpoint, modes, targets)

    def source_page(sample: str) -> list[Any]:
        index, target = sample.split("-")
        page = test.pages(target)[int(index)].source_page
        return [None if page is None else to_image(page)]

    report.finish(out_folder(options, f"{test.split}-texts"), options.command, source_page, ("source",))
