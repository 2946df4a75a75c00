"""How well a checkpoint reads strips in faces that no training page has: by face, by kind of text, clean and degraded.

The same strips are read by an OCR engine for comparison. Everything is compared in true case.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from translatotron_v.arguments import positive
from translatotron_v.errors import UserError
from translatotron_v.evaluation.options import add_results, out_folder
from translatotron_v.evaluation.report import Line, Report
from translatotron_v.ocr import ENGINES

if TYPE_CHECKING:  # torch and the models take seconds: only an evaluation pays for them
    from translatotron_v.data.vocabulary import Vocabulary
    from translatotron_v.models.translator import TranslatotronV

STATES = ("clean", "degraded")
_TRIES = 50  # texts that are drawn before a face is given up
_WORST = 12  # samples on the sheet


@dataclass(frozen=True)
class DrawnStrip:
    """One strip of the test.

    Attributes:
        name: of the sample.
        pixels: (H, W, C) uint8.
        text: what stands on it.
        face, kind, state: what it belongs to.
    """

    name: str
    pixels: np.ndarray
    text: str
    face: str
    kind: str
    state: str


class ReadingReport(Report):
    """Error rates by face, kind of text and state."""

    def screen(self) -> str:
        """A row for each face and kind of text: percent, clean and degraded, each beside the OCR engine's."""
        found = {line.what: line for line in self.lines}
        names = [what.partition(": ")[2] for what in found if what.startswith(STATES[0])]
        rows = [f"{'CER, %':<34}" + "".join(f"{state:>10}{'OCR':>8}" for state in STATES)]
        for name in names:
            cells = f"{name:<34}"
            for state in STATES:
                line = found.get(f"{state}: {name}")
                own = "" if line is None else f"{100 * line.score.value:.2f}"
                beside = "" if line is None or line.ceiling is None else f"{100 * line.ceiling.value:.2f}"
                cells += f"{own:>10}{beside:>8}"
            rows.append(cells)
        return "\n".join([self.title, "", *rows])


def draw_strips(texts: dict[str, list[str]], faces: Sequence[str], layout: Any, count: int) -> list[DrawnStrip]:
    """``count`` strips of each kind of text in each face and state, the same for every checkpoint.

    What a checkpoint's vocabulary lacks is drawn too, and counts as misread.

    Raises:
        UserError: a face lacks characters of every text of a kind.
    """
    from translatotron_v.data.pages import TextsByKind, draw_cutout, has_all, require_all
    from translatotron_v.data.pairs import one_family_of_errors
    from translatotron_v.data.reading import CLEAN_SIZES, DEGRADED, DEGRADED_SIZES

    makers = TextsByKind(texts)
    strips = []
    with one_family_of_errors():
        for place, face in enumerate(faces):
            for number, kind in enumerate(makers.kinds):
                for index in range(2 * count):
                    degraded = index % 2
                    rng = np.random.default_rng((0, place, number, index // 2))
                    text = drawn = ""
                    for _ in range(_TRIES):
                        text = makers.draw(kind, rng)
                        if has_all(face, text):
                            state, sizes = ((0.0, CLEAN_SIZES), (DEGRADED, DEGRADED_SIZES))[degraded]
                            pixels, drawn = draw_cutout(text, face, layout, rng, state, sizes)
                            if drawn:
                                break
                    if not drawn:
                        require_all(face, text)
                        raise UserError(f"no text of kind {kind!r} fits a strip in {face}")
                    name = f"{face}-{kind.replace(' ', '-')}-{STATES[degraded]}-{index // 2}"
                    strips.append(DrawnStrip(name, pixels, drawn, face, kind, STATES[degraded]))
    return strips


def held_back_texts(data: str, root: Path, cache: Path, limit: int = 2000) -> dict[str, list[str]]:
    """Source texts by domain: what a mixture (YAML) holds back, or the validation split of a corpus.

    Raises:
        UserError: it is missing, or holds no text.
    """
    from translatotron_v.data.mixture import load_mixture, prepare
    from translatotron_v.data.pairs import read_corpus
    from translatotron_v.data.text_batches import MixtureSource

    texts: dict[str, list[str]] = {}
    if data.endswith((".yaml", ".yml")):
        mixture = load_mixture(data)
        for pair in MixtureSource(mixture, prepare(mixture, root, cache, allow_missing=True)).held_back(limit):
            texts.setdefault(pair.domain.rpartition("-")[0], []).append(pair.source)
    else:
        texts[""] = [pair.source for pair in read_corpus(data, root, ("de", "en"), "val", limit)]
    if not any(texts.values()):
        raise UserError(f"{data}: holds no text to be read")
    return texts


def load_reading(folder: Path, device: str) -> "tuple[TranslatotronV, Vocabulary, Any]":
    """The image encoder and CTC head of a checkpoint of a reader or translator, its vocabulary and its settings.

    Raises:
        UserError: no checkpoint, or one without a CTC head.
    """
    from translatotron_v.checkpoint import load_module, read_info, resolve, skip_init
    from translatotron_v.config import load_config
    from translatotron_v.data.vocabulary import Vocabulary
    from translatotron_v.models.translator import TranslatotronV

    folder = resolve(folder)
    read_info(folder)
    config = load_config(folder / "config.yaml")
    if config.stage not in ("reader", "translator") or not config.model.ctc_frames:
        raise UserError(f"{folder}: a checkpoint of the stage {config.stage!r} without a CTC head reads no strip")
    vocabulary = Vocabulary.from_file(folder / "vocabulary.json")
    with skip_init():
        model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count)
    for name in ("image_encoder", "ctc_head"):  # no other module takes part
        load_module(getattr(model, name), folder, name)
    return model.eval().to(device), vocabulary, config


def read_strips(
    model: "TranslatotronV", vocabulary: "Vocabulary", strips: Sequence[DrawnStrip], size: int, device: str
) -> list[str]:
    """What the CTC head reads on the strips.

    Strips of whole pages are read as there: their words laid out anew, and what is narrow or doubted read twice.
    """
    from translatotron_v.page.strips import HEIGHT, WIDTH

    if strips and strips[0].pixels.shape[:2] == (HEIGHT, WIDTH):
        return _read_as_on_pages(model, vocabulary, strips, size)
    import torch

    from translatotron_v.data.pages import to_pixels
    from translatotron_v.decoding.source import read_ctc

    read: list[str] = []
    with torch.inference_mode():
        for start in range(0, len(strips), size):
            pixels = to_pixels(np.stack([strip.pixels for strip in strips[start : start + size]])).to(device)
            read += read_ctc(model.ctc_logits(model.encode_image(pixels)), vocabulary)
    return read


def _read_as_on_pages(
    model: "TranslatotronV", vocabulary: "Vocabulary", strips: Sequence[DrawnStrip], size: int
) -> list[str]:
    from translatotron_v.inference.paragraphs import see
    from translatotron_v.inference.pieces import Paragraph
    from translatotron_v.page.profile import Setting
    from translatotron_v.page.strips import BASELINE, EM, LINE, LINES, WIDTH, BlockAlpha, cut_lines

    rows = [(0, row * LINE, WIDTH, (row + 1) * LINE) for row in range(LINES)]
    setting = Setting(EM, tuple(float(row * LINE + BASELINE) for row in range(LINES)), 1.0)
    paragraphs = []
    for strip in strips:
        ink = BlockAlpha(1 - strip.pixels[:, :, 0].astype(np.float32) / 255, rows, setting)
        paragraphs.append(Paragraph(cut_lines(ink.lines), ink))
    return [seen.text for seen in see(model, vocabulary, paragraphs, size)]


def reading_report(
    title: str,
    settings: dict[str, Any],
    strips: Sequence[DrawnStrip],
    read: Sequence[str],
    other: Sequence[str] | None,
) -> "ReadingReport":
    """CER by state: over all strips, by face and by kind; beside the OCR engine's, where there is one."""
    from translatotron_v.metrics.text import cer

    lines: list[Line] = []
    for state in STATES:
        groups: dict[str, list[int]] = {f"{state}: all": []}
        for place, strip in enumerate(strips):
            if strip.state == state:
                for name in (f"{state}: all", f"{state}: face {strip.face}", f"{state}: kind {strip.kind}"):
                    groups.setdefault(name, []).append(place)
        ordered = sorted(groups, key=lambda name: ("face" in name) + 2 * ("kind" in name))
        lines += [_line(name, groups[name], strips, read, other) for name in ordered if groups[name]]
    rows: list[dict[str, str | float | None]] = []
    for place, strip in enumerate(strips):
        row: dict[str, str | float | None] = {"name": strip.name, "text": strip.text, "read": read[place]}
        row["CER"] = cer([read[place]], [strip.text], lower_case=False).value
        if other is not None:
            row["OCR"] = other[place]
        rows.append(row)
    worst = sorted(rows, key=lambda row: -float(row["CER"] or 0))[:_WORST]
    notes = [] if other is None else ["The OCR column is the OCR engine's CER on the same strips."]
    return ReadingReport(title, settings, lines, notes, list(rows), [str(row["name"]) for row in worst])


def _line(
    name: str, places: Sequence[int], strips: Sequence[DrawnStrip], read: Sequence[str], other: Sequence[str] | None
) -> "Line":
    from translatotron_v.evaluation.report import Line
    from translatotron_v.metrics.text import cer

    texts = [strips[place].text for place in places]
    score = cer([read[place] for place in places], texts, lower_case=False)
    beside = None if other is None else cer([other[place] for place in places], texts, lower_case=False)
    return Line(score, name, beside, len(places))


def add_command(commands: Any) -> None:
    """Add ``reading`` to the sub-parsers of ``evaluate.py``."""
    parser = commands.add_parser(
        "reading",
        help="how well a reader reads strips, by face and by kind of text",
        description="Draw strips in faces that no training page has and let the checkpoint's CTC head read them, clean "
        "and degraded; an OCR engine reads the same strips.",
    )
    parser.add_argument("checkpoint", metavar="NAME|DIR", help="shipped weights, a checkpoint or a run")
    parser.add_argument(
        "--data", default="configs/small/mixture.yaml", metavar="FILE|FOLDER",
        help="mixture, whose held-back texts are drawn, or a corpus (configs/small/mixture.yaml)",
    )  # fmt: skip
    parser.add_argument("--root", type=Path, default=Path("data"), metavar="DIR", help="where corpora lie (data)")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs/cache"), metavar="DIR", help="of mixtures (runs/cache)"
    )
    parser.add_argument(
        "--faces", default="configs/faces.yaml", metavar="FILE|LIST",
        help="file of faces, of which those under `unseen` are drawn, or faces by name with commas between them "
        "(configs/faces.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=positive, default=4, metavar="N", help="strips of each kind in each face and state (4)"
    )
    parser.add_argument("--batch-size", type=positive, default=16, metavar="N", help="strips at a time (16)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda, cuda:1, ... (cpu)")
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="CPU threads of the model (1)")
    parser.add_argument("--engine", choices=(*ENGINES, "none"), default="rapidocr", help="OCR engine (rapidocr)")
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that run OCR (1)")
    add_results(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Draw, read, score, write everything, and print the table and where everything went."""
    import functools

    import torch
    from PIL import Image

    from translatotron_v.checkpoint import resolve, weights_digest
    from translatotron_v.data.pages import page_layout
    from translatotron_v.evaluation.reading import PageOcr
    from translatotron_v.ocr import boxes_to_text, make_ocr_engine
    from translatotron_v.shipped import find_weights

    torch.set_num_threads(options.threads)
    folder = resolve(find_weights(options.checkpoint))
    model, vocabulary, config = load_reading(folder, options.device)
    faces = _faces(options.faces)
    texts = held_back_texts(options.data, options.root, options.cache)
    strips = draw_strips(texts, faces, page_layout(config.model.canvas), options.limit)
    read = read_strips(model, vocabulary, strips, options.batch_size, options.device)
    options.out = out_folder(options, "reading")
    other, signature = None, "none"
    if options.engine != "none":
        reader = PageOcr(functools.partial(make_ocr_engine, options.engine), options.out, options.workers)
        found = reader.read_all((strip.pixels for strip in strips), len(strips), "OCR of the strips")
        other, signature = [boxes_to_text(boxes) for boxes in found], reader.signature
    settings = {
        "checkpoint": options.checkpoint,
        "weights": weights_digest(folder),
        "data": options.data,
        "faces": ", ".join(faces),
        "strips of each kind, face and state": options.limit,
        "OCR": signature,
        "torch": torch.__version__,
    }
    title = f"{options.checkpoint}: reading of {len(strips):,} strips in {len(faces)} faces"
    report = reading_report(title, settings, strips, read, other)
    pictures = {strip.name: Image.fromarray(strip.pixels.squeeze(-1)) for strip in strips}
    report.finish(options.out, options.command, lambda name: [pictures[name]], ("strip",))


def _faces(given: str) -> list[str]:
    """The faces of a file's part ``unseen``, or those that are named."""
    from translatotron_v.data.pages import find_font, read_faces
    from translatotron_v.data.pairs import one_family_of_errors

    with one_family_of_errors():
        if given.endswith((".yaml", ".yml")):
            faces = [face for family in read_faces(given, "unseen") for face in family.faces]
        else:
            faces = [name for part in given.split(",") if (name := part.strip())]
        for face in faces:
            find_font(face)  # one that is missing is an error before any work starts
    return faces
