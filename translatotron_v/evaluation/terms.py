"""How often terms come out as asked, and what asking costs: text mode with and without annotated terms.

As in Dinu et al. 2019 (arXiv:1906.01105), the terms asked of a sentence are the entries of a dictionary that stand in
it with a translation that its reference has; or, as a user would ask them, all that a glossary has for it.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from translatotron_v.arguments import positive
from translatotron_v.errors import UserError
from translatotron_v.evaluation.options import add_checkpoint, add_results, out_folder
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.metrics.score import Score

if TYPE_CHECKING:  # torch and the models take seconds: only an evaluation pays for them
    from translatotron_v.data.pairs import TextPair
    from translatotron_v.evaluation.report import Report
    from translatotron_v.inference.loaded import LoadedTranslator

WITHOUT, WITH = "terms not annotated", "terms annotated"
_SIGNATURE = "match:whole words,lc|unit:terms"


@dataclass(frozen=True)
class Asked:
    """One pair, and its source with terms annotated."""

    source: str
    reference: str
    annotated: str


def matching(pairs: "Sequence[TextPair]", entries: Sequence[tuple[str, str]]) -> list[Asked]:
    """The pairs in which entries of a dictionary stand that their references have too, with all of these annotated."""
    from translatotron_v.data.terms import TermDictionary, annotated, matching_terms

    dictionary = TermDictionary(entries)
    found = []
    for pair in pairs:
        if terms := matching_terms(pair.source, pair.target, dictionary, names=False):
            found.append(Asked(pair.source, pair.target, annotated(pair.source, sorted(terms))))
    return found


def as_glossary(pairs: "Sequence[TextPair]", entries: Sequence[tuple[str, str]]) -> list[Asked]:
    """The pairs in which terms of a glossary stand, with all of these annotated, whatever their references say."""
    from translatotron_v.inference.glossary import Glossary

    glossary = Glossary(entries)
    found = [Asked(pair.source, pair.target, glossary.annotate(pair.source)) for pair in pairs]
    return [asked for asked in found if asked.annotated != asked.source]


def score_terms(
    loaded: "LoadedTranslator",
    asked: Sequence[Asked],
    *,
    beams: int = 1,
    batch_size: int = 64,
    lower_case: bool = True,
    quiet: bool = False,
) -> "Report":
    """Translate the sources of pairs twice, without and with their terms annotated.

    Returns:
        A report without title and settings: the share of terms as asked (percent), BLEU and chrF of both.

    Raises:
        UserError: the checkpoint has no text mode or takes no glossary.
    """
    from translatotron_v.evaluation.report import Line, Row
    from translatotron_v.evaluation.texts import TextReport
    from translatotron_v.inference.answers import text_answers
    from translatotron_v.inference.glossary import asked_terms
    from translatotron_v.inference.loaded import require_terms, require_text_mode
    from translatotron_v.metrics import bleu, chrf

    require_text_mode(loaded)
    require_terms(loaded)
    generation = GenerationConfig(beams=beams)
    answers = {
        what: text_answers(loaded, texts, generation, batch_size=batch_size, title=what, quiet=quiet).texts
        for what, texts in (
            (WITHOUT, [one.source for one in asked]),
            (WITH, [one.annotated for one in asked]),
        )
    }
    references = [one.reference for one in asked]
    lines: list[Line] = []
    terms = {}
    for what, texts in answers.items():
        terms[what] = [asked_terms(one.annotated, text) for one, text in zip(asked, texts, strict=True)]
        every = [term for found in terms[what] for term in found]
        share = Score("terms", 100 * sum(term.used for term in every) / len(every), _SIGNATURE)
        lines.append(Line(share, what, count=len(every)))
        lines += [
            Line(metric(texts, references, lower_case=lower_case), what, count=len(asked)) for metric in (bleu, chrf)
        ]
    rows: list[Row] = [
        {
            "name": f"{index:05d}",
            "source": one.source,
            "reference": one.reference,
            **{what: texts[index] for what, texts in answers.items()},
            "terms": "; ".join(f"{term.source}: {term.target}" for term in terms[WITH][index]),
            **{f"used, {what}": sum(term.used for term in found[index]) for what, found in terms.items()},
        }
        for index, one in enumerate(asked)
    ]
    return TextReport("", {}, lines, rows=rows)


def add_command(commands: Any) -> None:
    """Add ``terms`` to the sub-parsers of ``evaluate.py``."""
    parser = commands.add_parser(
        "terms",
        help="how often the terms of a glossary come out as asked",
        description="Translate texts with and without terms annotated: the share that comes out as asked, and BLEU. "
        "Asked are the entries of the glossary that stand in a text with a translation that its reference has.",
    )
    add_checkpoint(parser, batch_size=64, batch="texts at a time")
    parser.add_argument(
        "--glossary", required=True, metavar="FILE", help="TSV or CSV: source, target; a source may have several"
    )
    parser.add_argument(
        "--all", action="store_true",
        help="ask for all terms that stand in a text, whatever its reference says; a source has one target then",
    )  # fmt: skip
    parser.add_argument("--beams", type=positive, default=1, metavar="N", help="beams of translations (1: greedy)")
    add_results(parser, cased=True)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Score, write everything, and print the scores and where they went."""
    import torch

    from translatotron_v.checkpoint import weights_digest
    from translatotron_v.data.pairs import read_split
    from translatotron_v.engines.choice import choose_device
    from translatotron_v.inference.glossary import read_entries
    from translatotron_v.inference.loaded import load_translator
    from translatotron_v.shipped import find_weights

    torch.set_num_threads(options.threads)
    entries = [(source, target) for _, source, target in read_entries(options.glossary)]
    loaded = load_translator(find_weights(options.checkpoint), choose_device(options.device), text_only=True)
    data = loaded.config.data
    data = dataclasses.replace(data, folder=options.data or data.folder)
    split = options.split or data.validation
    pairs = read_split(dataclasses.replace(loaded.config, data=data), split)
    pairs = pairs[: options.limit] if options.limit else pairs
    asked = (as_glossary if options.all else matching)(pairs, entries)
    if not asked:
        raise UserError(f"{options.glossary}: no term of it stands in {data.folder} {split}")
    report = score_terms(
        loaded, asked, beams=options.beams, batch_size=options.batch_size, lower_case=not options.cased
    )
    report.title = (
        f"{options.checkpoint} on {data.folder} {split}: terms in {len(asked):,} of {len(pairs):,} pairs, "
        f"{len(entries):,} entries"
    )
    report.settings = {
        "checkpoint": options.checkpoint,
        "weights": weights_digest(loaded.folder),
        "data": data.folder,
        "split": split,
        "glossary": options.glossary,
        "asked": "all terms" if options.all else "terms whose translation the reference has",
        "beams": options.beams,
        "limit": options.limit,
        "lower case": not options.cased,
    }
    name = f"{split}-terms-all" if options.all else f"{split}-terms"
    report.finish(out_folder(options, name), options.command)
