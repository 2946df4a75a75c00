"""What became of each picture, told on the terminal or as JSON."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from translatotron_v.terminal import print_json

if TYPE_CHECKING:
    from translatotron_v.inference.glossary import Term
    from translatotron_v.inference.jobs import Outcome
    from translatotron_v.inference.loaded import BlockTranslation, Translation

PRINTED = 12  # runs of up to this many pictures print each of them; longer ones print what needs attention


def report(outcome: "Outcome", as_json: bool, whole: bool) -> None:
    """One file's result: JSON on stdout, or text; errors and warnings go to stderr, a line each."""
    source, translation = outcome.job.source, outcome.translation
    if outcome.error is not None:
        print(f"error: {outcome.error}", file=sys.stderr)
    if as_json:
        print_json(as_dict(outcome))
    elif outcome.skip_reason:
        if not outcome.existing:  # those are counted
            print(f"skipped: {outcome.skip_reason}", file=sys.stderr)
    elif outcome.pages and whole:
        translated = sum(bool(page.scores) for page in outcome.pages)
        print(f"{source}\n  pages: {len(outcome.pages)}, {translated} translated\n  file:  {outcome.job.target}")
    elif translation is not None and whole:
        if translation.scores:
            read, wrote = (text.replace("\n", "\n         ") for text in (translation.source_text, translation.text))
            scores = ", ".join(f"{name} {value:.2f}" for name, value in translation.scores.items())
            print(f"{source}\n  read:  {read}\n  wrote: {wrote}\n  file:  {outcome.job.target}")
            print(f"  confidence: {scores}")
        elif any(not block.skip_reason for block in translation.blocks):  # by a baseline that knows no text
            print(f"{source}\n  file:  {outcome.job.target}")
        else:
            print(f"{source}\n  nothing to translate: written as it was\n  file:  {outcome.job.target}")
    for warning in outcome.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for number, page in enumerate(outcome.translations, start=1):
        _warn(f"{source}: page {number}" if outcome.pages else str(source), page)


def _warn(place: str, translation: "Translation") -> None:
    """What needs attention on one page."""
    if left := [block.skip_reason for block in translation.blocks if block.skip_reason]:
        reasons = ", ".join(f"{left.count(reason)} {reason}" for reason in dict.fromkeys(left))
        print(f"warning: {place}: {len(left)} of {len(translation.blocks)} blocks left as they were ({reasons})",
              file=sys.stderr)  # fmt: skip
    if unused := [term for term in translation.terms if not term.used]:
        wanted = ", ".join(f"{term.source}: {term.target}" for term in unused)
        print(f"warning: {place}: {len(unused)} of {len(translation.terms)} terms not as the glossary says ({wanted})",
              file=sys.stderr)  # fmt: skip
    if translation.low_confidence:
        low = ", ".join(f"{name} {translation.scores[name]:.2f}" for name in translation.low_confidence)
        print(f"warning: {place}: low confidence ({low}); check the translation", file=sys.stderr)


def as_dict(outcome: "Outcome") -> dict[str, Any]:
    """One picture's result as JSON values."""
    record: dict[str, Any] = {"input": str(outcome.job.source)}
    if outcome.skip_reason:
        outputs = {"outputs": [str(path) for path in outcome.job.outputs]} if outcome.existing else {}
        return record | {"skip_reason": outcome.skip_reason} | outputs
    if outcome.error is not None or not outcome.translations:
        return record | {"error": outcome.error}
    record["outputs"] = [str(path) for path in outcome.job.outputs]
    if outcome.job.clean is not None:
        record["clean"] = str(outcome.job.clean)
    warnings = {"warnings": list(outcome.warnings)}
    if outcome.translation is not None:
        size = outcome.sizes[0] if outcome.sizes else outcome.translation.image.size
        return record | page_record(outcome.translation, size) | warnings
    pages = zip(outcome.pages, outcome.sizes, strict=True)
    return record | {"pages": [page_record(page, size) for page, size in pages]} | warnings


def page_record(translation: "Translation", size: tuple[int, int]) -> dict[str, Any]:
    """What was read and written on one picture of that size, as JSON values; `--json` and the service say the same."""
    return {
        "source_text": translation.source_text,
        "text": translation.text,
        "scores": {name: round(value, 4) for name, value in translation.scores.items()},
        "low_confidence": translation.low_confidence,
        "size": list(size),
        **({"turns": translation.turns} if translation.turns else {}),
        **({"terms": _terms(translation.terms)} if translation.terms else {}),
        **({"blocks": [_block(block) for block in translation.blocks]} if translation.blocks else {}),
    }


def _block(block: "BlockTranslation") -> dict[str, Any]:
    """One block of a page as JSON values: what it says, and all that it can be drawn again from."""
    from translatotron_v.inference.wanted import stamp

    record: dict[str, Any] = {"box": _points(block.quad)}
    if block.skip_reason:
        record["skip_reason"] = block.skip_reason
    if block.unwritable:
        record["unwritable"] = list(block.unwritable)
    if block.scores:  # it was read
        record |= {
            "source_text": block.source_text,
            "language": block.language,
            "text": block.text,
            "scores": {name: round(value, 4) for name, value in block.scores.items()},
            "font": block.font,
            "size": block.size,
            "weight": block.weight,
            "colour": list(block.colour),
        }
    record |= {"alignment": block.alignment, "angle": block.angle}
    record["rows"] = [[_points(quad, 6) for quad in row] for row in block.rows]
    if block.words:
        record["words"] = [_points(quad) for quad in block.words]
    if block.terms:
        record["terms"] = _terms(block.terms)
    return record | {"drawn": stamp(record)}


def _points(quad: "Iterable[tuple[float, float]]", digits: int = 1) -> list[list[float]]:
    return [[round(x, digits), round(y, digits)] for x, y in quad]


def _terms(terms: "Iterable[Term]") -> list[dict[str, Any]]:
    """What a glossary asked for as JSON values."""
    return [{"source": term.source, "target": term.target, "used": term.used} for term in terms]


def summarise(outcomes: "Iterable[Outcome]", file: Any, before: int = 0) -> int:
    """Say how many of several pictures were translated; returns the exit status.

    Args:
        before: how many a run that was cut off had translated.
    """
    outcomes = list(outcomes)
    existing = sum(outcome.existing for outcome in outcomes) + before
    outcomes = [outcome for outcome in outcomes if not outcome.skip_reason]
    failed = sum(outcome.error is not None for outcome in outcomes)
    places = sorted({str(outcome.job.target.parent) for outcome in outcomes})
    if len(outcomes) > 1:
        print(f"{len(outcomes) - failed} of {len(outcomes)} pictures translated into {', '.join(places)}", file=file)
    if existing:
        print(f"{existing} exist already", file=file)
    return 1 if failed else 0
