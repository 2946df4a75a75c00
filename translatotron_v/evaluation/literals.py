"""Whether literals survive: generated German sentences with one to four of them, translated as text and as pictures.

A literal is right where it stands in the answer as it stood in the source, spaces apart, as often as it stood there. In
pictures the answer is what OCR reads; what the same OCR finds of the literals in the source pictures is its ceiling.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from translatotron_v.arguments import not_negative, positive
from translatotron_v.errors import UserError
from translatotron_v.evaluation.options import add_results, out_folder
from translatotron_v.metrics.score import Score

if TYPE_CHECKING:  # torch takes seconds: `--help` does not wait for it
    pass

COUNT = 500  # sentences
WORST = 12
_PAGE = (640, 200)  # pixels of a picture: width, height
_SIZES = (20, 36)  # pixels per em
_DIGITS = "0123456789"

_TEMPLATES = (
    "Der Eintritt kostet {price} für Erwachsene und {price} für Kinder.",
    "Geöffnet von {time} bis {time} Uhr.",
    "Der Zug {code} fährt um {time} Uhr von Gleis {small}.",
    "Am {date} bleibt das Geschäft geschlossen.",
    "Rufen Sie uns an: {phone}.",
    "Bis zum Ausgang sind es noch {length}.",
    "Mehr dazu steht unter {url}.",
    "Schreiben Sie bitte an {email}.",
    "Heute {percent} Rabatt auf alle Schuhe!",
    "Raum {code} liegt im Haus {small}.",
    "Die Wohnung hat {small} Zimmer und kostet {price} im Monat.",
    "Das Wasser ist {degrees} warm, die Luft {degrees}.",
    "Ihre Bestellung {order} vom {date} ist angekommen.",
    "Das Paket wiegt {weight} und ist {length} lang.",
    "Vom {date} bis {date} bauen wir um.",
    "Bitte geben Sie den Code {order} bis {time} Uhr ein.",
    "Die Fahrt dauert {small} Stunden und kostet {price}.",
    "Folgen Sie {name} und {tag}.",
    "Von {number} Gästen kamen {number} wieder, das sind {percent}.",
    "Die Linie {code} hält um {time}, {time} und {time} Uhr.",
    "Höchstens {small} Personen oder {weight}.",
    "Die Sitzung beginnt am {date} um {time} Uhr in Raum {code}, Telefon {phone}.",
)
_HOSTS = ("stadtbad-beispiel.de", "beispiel.org", "muster-markt.de", "fahrplan.example.com")
_NAMES = ("info", "kasse", "anna.muster", "buero", "post")
_TAGS = ("Sommerfest", "Lesenacht", "Marktplatz", "Radtag")


@dataclass(frozen=True)
class Sentence:
    """A source text, and its literals as they stand in it."""

    text: str
    literals: tuple[str, ...]


def make_sentences(count: int, seed: int = 0) -> list[Sentence]:
    """Sentences with one to four literals, the same for the same seed; the templates take turns."""
    rng = np.random.default_rng((seed, 13))
    sentences = []
    for number in range(count):
        found: list[str] = []

        def fill(slot: "re.Match[str]", found: list[str] = found) -> str:
            found.append(_literal(slot[1], rng))
            return found[-1]

        text = re.sub(r"\{(\w+)\}", fill, _TEMPLATES[number % len(_TEMPLATES)])
        sentences.append(Sentence(text, tuple(found)))
    return sentences


def _literal(kind: str, rng: np.random.Generator) -> str:
    """A literal of a kind that the templates name."""

    def digits(count: int) -> str:
        return "".join(rng.choice(list(_DIGITS), count))

    def one(values: Sequence[str]) -> str:
        return values[int(rng.integers(len(values)))]

    euros, cents = int(rng.integers(1, 900)), int(rng.integers(100))
    if kind == "price":
        return one((f"{euros},{cents:02} €", f"{euros} €", f"{euros},{cents:02} €", f"{euros},- €"))
    if kind == "time":
        return f"{rng.integers(24)}{one(('.', ':'))}{rng.integers(60):02}"
    if kind == "date":
        return f"{rng.integers(1, 29)}.{rng.integers(1, 13)}.{rng.integers(2019, 2032)}"
    if kind == "phone":
        return one(
            (f"0{rng.integers(20, 99)} {rng.integers(1, 9)}{digits(6)}", f"+49 {rng.integers(20, 99)} 4{digits(5)}")
        )
    if kind == "url":
        return one((f"www.{one(_HOSTS)}", f"https://{one(_HOSTS)}/{one(_NAMES)}"))
    if kind == "email":
        return f"{one(_NAMES)}@{one(_HOSTS)}"
    if kind == "code":
        return one((f"{one('ABCSU')}{rng.integers(1, 99)}", f"{one('ABC')}{rng.integers(1, 9)}-{rng.integers(10, 99)}"))
    if kind == "order":
        return f"{one('KRB')}{one('ATX')}-{rng.integers(1, 9)}{digits(4)}"
    if kind == "name":
        return f"@{one(_NAMES)}"
    if kind == "tag":
        return f"#{one(_TAGS)}"
    amounts = {
        "small": f"{rng.integers(1, 20)}",
        "number": one((f"{rng.integers(100, 999)}", f"{rng.integers(1, 99)}.{rng.integers(1000):03}")),
        "percent": f"{rng.integers(1, 100)} %",
        "degrees": f"{rng.integers(1, 40)} °C",
        "length": one((f"{rng.integers(1, 900)} m", f"{rng.integers(1, 30)},{rng.integers(1, 9)} km")),
        "weight": one((f"{rng.integers(50, 900)} g", f"{rng.integers(1, 30)},{rng.integers(1, 9)} kg")),
    }
    return amounts[kind]


def count_right(literals: Sequence[str], answer: str) -> int:
    """How many literals stand in an answer, each as often as it is wanted at most.

    Spaces inside a literal do not count ("02 . 05 ." is "02.05."). A literal that is only part of a longer number is
    wrong; a number that stands a space, or a comma and a space, beside it is another one, and so is one with points or
    colons after a comma alone, where OCR has lost a space.
    """
    right = 0
    for literal, wanted in Counter("".join(one.split()) for one in literals).items():
        inside = r"(?<!\d)(?<!\d[.:])" if literal[0].isdigit() else ""
        if inside and not re.search("[.:]", literal):
            inside += r"(?<!\d,)"
        after = r"(?!\d)(?![.:]\d)(?!,\d+(?![\d.:]))" if literal[-1].isdigit() else ""
        spelled = r"\s*".join(map(re.escape, literal))
        right += min(len(re.findall(f"{inside}{spelled}{after}", answer)), wanted)
    return right


def make_pictures(sentences: Sequence[Sentence], fonts: Sequence[str], seed: int = 0) -> list[np.ndarray]:
    """A picture (H, W, 3) for each sentence: dark on light, sizes and fonts in turn.

    Raises:
        UserError: a sentence that does not fit at the smallest size.
    """
    from translatotron_v.evaluation.rendering import draw_paragraph

    rng = np.random.default_rng((seed, 14))
    pictures = []
    for number, sentence in enumerate(sentences):
        size = int(rng.integers(_SIZES[0], _SIZES[1] + 1))
        page = draw_paragraph(sentence.text, _PAGE, fonts[number % len(fonts)], size, _SIZES[0])
        if page is None:
            raise UserError(f"{sentence.text!r} does not fit a picture of {_PAGE[0]} x {_PAGE[1]} pixels")
        pictures.append(page)
    return pictures


def add_command(commands: Any) -> None:
    """Add ``literals`` to the sub-parsers of ``evaluate.py``."""
    parser = commands.add_parser(
        "literals",
        help="whether numbers, prices, dates and addresses come through, as text and in the picture",
        description="Translate generated sentences with one to four literals and count those that come out right.",
    )
    parser.add_argument("checkpoint", metavar="NAME|DIR", help="shipped weights, a checkpoint or a run")
    parser.add_argument("--limit", type=positive, default=COUNT, metavar="N", help=f"sentences ({COUNT})")
    parser.add_argument("--text-only", action="store_true", help="no pictures")
    parser.add_argument("--beams", type=positive, metavar="N", help="beams of the text (as the weights say)")
    parser.add_argument("--seed", type=not_negative, default=0, metavar="N", help="of the sentences (0)")
    parser.add_argument("--batch-size", type=positive, default=32, metavar="N", help="pictures at a time (32)")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ... (auto)")
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="CPU threads of the model (1)")
    parser.set_defaults(languages="en,de")
    add_results(parser, ocr=True)
    parser.set_defaults(run=run)


def run(options: Any) -> None:
    """Translate, count, write everything, and print the shares."""
    import functools

    from translatotron_v.evaluation.generation import to_image
    from translatotron_v.evaluation.reading import PageOcr
    from translatotron_v.evaluation.report import Line, Report, Row
    from translatotron_v.inference.pipeline import Translator
    from translatotron_v.ocr import boxes_to_text, make_ocr_engine

    translator = Translator.from_pretrained(options.checkpoint, device=options.device, threads=options.threads)
    sentences = make_sentences(options.limit, options.seed)
    written = translator.translate_texts([sentence.text for sentence in sentences], beams=options.beams)
    columns: dict[str, list[str]] = {"text": written}
    lines, notes = [], []
    out = out_folder(options, "literals")
    sources: list[np.ndarray] = []
    pictures: list[Any] = []
    if not options.text_only:
        sources = make_pictures(sentences, translator.loaded.config.page.fonts, options.seed)
        translations = translator.translate(sources, batch_size=options.batch_size, beams=options.beams)
        pictures = [translation.image for translation in translations]
        reader = PageOcr(functools.partial(make_ocr_engine, options.engine), out, options.workers)
        columns["text of the picture"] = [translation.text for translation in translations]
        stayed = [bool(one.blocks) and all(block.skip_reason for block in one.blocks) for one in translations]
        read = reader.read_all(pictures, len(pictures), "reading")
        columns["picture"] = ["" if left else boxes_to_text(boxes) for left, boxes in zip(stayed, read, strict=True)]
        read = reader.read_all(sources, len(sources), "reading sources")
        columns["source picture"] = [boxes_to_text(found) for found in read]
        if any(stayed):
            notes = [f"{sum(stayed)} of {len(sources)} pictures were left as they were: none of their literals counts."]
    total = sum(len(sentence.literals) for sentence in sentences)
    signature = f"sentences:{len(sentences)}|seed:{options.seed}|literals:{total}"
    shares = {name: _share(sentences, answers, signature) for name, answers in columns.items()}
    ceiling = shares.pop("source picture", None)
    for name, score in shares.items():
        lines.append(Line(score, f"literals in the {name}", ceiling if name == "picture" else None, total))
    rows: list[Row] = [
        {"name": f"{number:04}", "source": sentence.text, "literals": " | ".join(sentence.literals)}
        | {name: answers[number] for name, answers in columns.items()}
        | {f"right in {name}": count_right(sentence.literals, answers[number]) for name, answers in columns.items()}
        for number, sentence in enumerate(sentences)
    ]
    shown = "picture" if pictures else "text"
    missing = [len(one.literals) - count_right(one.literals, columns[shown][at]) for at, one in enumerate(sentences)]
    worst = sorted(range(len(sentences)), key=lambda at: -missing[at])[:WORST]
    report = Report(
        title=f"{options.checkpoint}: {total} literals in {len(sentences)} generated sentences",
        settings={"checkpoint": options.checkpoint, "seed": options.seed, "beams": options.beams},
        lines=lines,
        notes=notes,
        rows=rows,
        worst=[f"{at:04}" for at in worst] if pictures else [],
    )

    def sheet(name: str) -> list[Any]:
        return [to_image(sources[int(name)]), pictures[int(name)]]

    report.finish(out, options.command, sheet, ("source", "translation"))


def _share(sentences: Sequence[Sentence], answers: Sequence[str], signature: str) -> Score:
    """Percent of all literals that are right."""
    total = sum(len(sentence.literals) for sentence in sentences)
    right = sum(count_right(one.literals, answer) for one, answer in zip(sentences, answers, strict=True))
    return Score("right", 100 * right / total, signature)
