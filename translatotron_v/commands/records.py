"""What became of each picture, told on the terminal or as JSON."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from translatotron_v.terminal import print_json

if TYPE_CHECKING:
    from translatotron_v.inference.files import Outcome
    from translatotron_v.inference.glossary import Term
    from translatotron_v.inference.loaded import BlockTranslation

PRINTED = 12  # runs of up to this many pictures print each of them; longer ones print what needs attention


def report(outcome: "Outcome", as_json: bool, whole: bool) -> None:
    """One picture's result: JSON on stdout, or text; errors and warnings go to stderr, a line each."""
    source, translation = outcome.job.source, outcome.translation
    if outcome.error is not None:
        print(f"error: {outcome.error}", file=sys.stderr)
    if as_json:
        print_json(as_dict(outcome))
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
    if translation is not None and (left := [block.skip_reason for block in translation.blocks if block.skip_reason]):
        reasons = ", ".join(f"{left.count(reason)} {reason}" for reason in dict.fromkeys(left))
        print(f"warning: {source}: {len(left)} of {len(translation.blocks)} blocks left as they were ({reasons})",
              file=sys.stderr)  # fmt: skip
    if translation is not None and (unused := [term for term in translation.terms if not term.used]):
        wanted = ", ".join(f"{term.source}: {term.target}" for term in unused)
        print(f"warning: {source}: {len(unused)} of {len(translation.terms)} terms not as the glossary says ({wanted})",
              file=sys.stderr)  # fmt: skip
    if translation is not None and translation.low_confidence:
        low = ", ".join(f"{name} {translation.scores[name]:.2f}" for name in translation.low_confidence)
        print(f"warning: {source}: low confidence ({low}); check the translation", file=sys.stderr)


def as_dict(outcome: "Outcome") -> dict[str, Any]:
    """One picture's result as JSON values."""
    record: dict[str, Any] = {"input": str(outcome.job.source)}
    if outcome.translation is None:
        return record | {"error": outcome.error}
    translation = outcome.translation
    return record | {
        "outputs": [str(path) for path in outcome.job.outputs],
        "source_text": translation.source_text,
        "text": translation.text,
        "scores": {name: round(value, 4) for name, value in translation.scores.items()},
        "low_confidence": translation.low_confidence,
        "warnings": list(outcome.warnings),
        "size": list(translation.image.size),
        **({"terms": _terms(translation.terms)} if translation.terms else {}),
        **({"blocks": [_block(block) for block in translation.blocks]} if translation.blocks else {}),
    }


def _block(block: "BlockTranslation") -> dict[str, Any]:
    """One block of a page as JSON values."""
    record: dict[str, Any] = {"box": [[round(x, 1), round(y, 1)] for x, y in block.quad]}
    if block.skip_reason:
        record["skip_reason"] = block.skip_reason
    if block.unwritable:
        record["unwritable"] = list(block.unwritable)
    if not block.scores:  # it was not even read
        return record
    return record | {
        "source_text": block.source_text,
        "language": block.language,
        "text": block.text,
        "scores": {name: round(value, 4) for name, value in block.scores.items()},
        "font": block.font,
        "size": block.size,
        "colour": list(block.colour),
        "angle": block.angle,
        **({"terms": _terms(block.terms)} if block.terms else {}),
    }


def _terms(terms: "Iterable[Term]") -> list[dict[str, Any]]:
    """What a glossary asked for as JSON values."""
    return [{"source": term.source, "target": term.target, "used": term.used} for term in terms]


def summarise(outcomes: "Iterable[Outcome]", file: Any) -> int:
    """Say how many of several pictures were translated; returns the exit status."""
    outcomes = list(outcomes)
    failed = sum(outcome.error is not None for outcome in outcomes)
    places = sorted({str(outcome.job.target.parent) for outcome in outcomes})
    if len(outcomes) > 1:
        print(f"{len(outcomes) - failed} of {len(outcomes)} pictures translated into {', '.join(places)}", file=file)
    return 1 if failed else 0
