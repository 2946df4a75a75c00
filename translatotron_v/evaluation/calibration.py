"""What the scores of answers mean: on strips of validation texts, how probable it is that an answer is right.

Texts of several domains are drawn as strips and translated, no picture drawn. One half of them (those of even number in
a domain) fits a map from scores to probabilities (`reliability.fit`), the other half tells how well it holds. The map
goes into the checkpoint's folder, where inference finds it (`inference.certainty`).

An answer counts as right when its sentence chrF, case folded, is at least that of LF+ (`metrics.language`), and every
literal (number, price, date ...) that source and reference share stands in it as often as in both. The former is a
convention: a score of meaning would need a model that judges.
"""

import argparse
import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translatotron_v.arguments import not_negative, positive
from translatotron_v.errors import UserError
from translatotron_v.evaluation.options import add_checkpoint, add_results, name_list, out_folder
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.metrics.language import THRESHOLD
from translatotron_v.metrics.score import Score

if TYPE_CHECKING:  # torch and the models take seconds: only an evaluation pays for them
    from translatotron_v.evaluation.report import Line, Report, Row
    from translatotron_v.inference.certainty import Calibration
    from translatotron_v.inference.loaded import LoadedTranslator

LIMIT = 400  # texts of a domain
DIAGRAM = "calibration.png"
CALIBRATED, RAW = "probability that an answer is right", "token probability of its text, taken for one"


@dataclass(frozen=True)
class Judged:
    """One answer to a strip.

    Attributes:
        domain: that its text is of; ``fits``: whether it is of the half that fits the map.
        reading, text: mean log-probability (nats) of the letters that were read, and of the pieces that were written.
        right: see `is_right`.
    """

    domain: str
    source: str
    reference: str
    answer: str
    reading: float
    text: float
    right: bool
    fits: bool

    @property
    def scores(self) -> tuple[float, float, int]:
        """Those of `Calibration.probability`."""
        return self.reading, self.text, len(self.answer.split())


def is_right(answer: str, source: str, reference: str, least_chrf: float = THRESHOLD) -> bool:
    """Whether an answer is near enough to its reference, and has the literals that source and reference share."""
    from translatotron_v.metrics import chrf

    wanted = _literals(source) & _literals(reference)
    return not wanted - _literals(answer) and chrf([answer], [reference]).value >= least_chrf


def _literals(text: str) -> Counter[str]:
    from translatotron_v.data.literals import find_literals

    return Counter("".join(literal.text.split()) for literal in find_literals(text))


def judge(
    loaded: "LoadedTranslator",
    domains: Sequence[str],
    *,
    split: str = "",
    limit: int = LIMIT,
    seed: int = 0,
    beams: int = 1,
    batch_size: int = 32,
    least_chrf: float = THRESHOLD,
    quiet: bool = False,
) -> list[Judged]:
    """Translate strips of texts of several domains, and judge the answers.

    Args:
        domains: corpora, each one domain: as of ``data.folder`` or files ``.tsv`` (``.gz``); see `named_domain`.
        split: of those that have several.
        limit: texts of a domain, drawn by ``seed``; those that fit no strip are left out.

    Raises:
        UserError: a corpus that is missing, or a model without a CTC head.
    """
    import numpy as np

    from translatotron_v.data.pairs import read_split
    from translatotron_v.evaluation.rendering import render_pairs
    from translatotron_v.inference.answers import image_answers

    if loaded.model.ctc_head is None:
        raise UserError(
            f"{loaded.folder}: has no CTC head (model.ctc_frames is 0), so there is no score of its reading"
        )
    judged = []
    for number, (name, path) in enumerate(map(named_domain, domains)):
        config = dataclasses.replace(loaded.config, data=dataclasses.replace(loaded.config.data, folder=path))
        pairs = read_split(config, split or config.data.validation)
        order = np.random.default_rng((seed, number)).permutation(len(pairs))[:limit]
        pages = [
            page for page in render_pairs([pairs[place] for place in order], config) if page.source_page is not None
        ]
        shown = [page.source_page for page in pages]
        answers = image_answers(
            loaded, shown, GenerationConfig(beams=beams), batch_size=batch_size, title=name, quiet=quiet
        )
        found = zip(pages, answers.texts, answers.certainties, answers.scores, strict=True)
        for index, (page, answer, reading, text) in enumerate(found):
            right = is_right(answer, page.source, page.reference, least_chrf)
            judged.append(Judged(name, page.source, page.reference, answer, reading, text, right, index % 2 == 0))
    return judged


def named_domain(text: str) -> tuple[str, str]:
    """Name and path of ``NAME=PATH``; a path alone is named by its first part, ``ted`` of ``data/ted.de-en.tsv.gz``."""
    name, equals, path = text.partition("=")
    return (name, path) if equals else (Path(text).name.split(".")[0], text)


def calibrate(judged: Sequence[Judged]) -> "tuple[Calibration, Report]":
    """Fit one half, and report the other.

    Returns:
        The map, and a report without title and settings: expected calibration errors (ECE) of all domains and of each,
        and the share that is right.

    Raises:
        UserError: nothing to fit or to report, or answers of one kind only.
    """
    from translatotron_v.evaluation.reliability import expected_calibration_error, fit
    from translatotron_v.evaluation.report import Line
    from translatotron_v.evaluation.texts import TextReport
    from translatotron_v.inference.certainty import RIGHT, features

    fitted, others = ([one for one in judged if one.fits is half] for half in (True, False))
    if not fitted or not others:
        raise UserError(f"{len(judged)} answers are too few to fit one half and report the other")
    found = fit([features(*one.scores) for one in fitted], [one.right for one in fitted])

    def lines_of(what: str, part: Sequence[Judged]) -> "list[Line]":
        right = [one.right for one in part]
        calibrated = [found.probability(*one.scores) for one in part]
        raw = [math.exp(one.text) for one in part]
        share = Score("right", 100 * sum(right) / len(right), "unit:answers|half:held out")
        errors = {CALIBRATED: calibrated, RAW: raw}
        return [
            Line(share, f"{what}answers that are right", count=len(part)),
            *(
                Line(
                    Score("ECE", expected_calibration_error(values, right), "bins:10|width:equal|half:held out"),
                    f"{what}{name}",
                    count=len(part),
                )
                for name, values in errors.items()
            ),
        ]

    lines = lines_of("", others)
    for domain in dict.fromkeys(one.domain for one in others):
        lines += lines_of(f"{domain}: ", [one for one in others if one.domain == domain])
    rows: list[Row] = [
        {
            "name": f"{index:05d}",
            **{key: str(value) for key, value in dataclasses.asdict(one).items() if isinstance(value, str)},
            "reading": one.reading,
            "text": one.text,
            RIGHT: found.probability(*one.scores),
            "is right": int(one.right),
            "half": "fitted" if one.fits else "held out",
        }
        for index, one in enumerate(judged)
    ]
    return found, TextReport("", {}, lines, rows=rows)


def add_command(commands: Any) -> None:
    """Add ``calibration`` to the sub-parsers of ``evaluate.py``."""
    parser = commands.add_parser(
        "calibration",
        help="how probable it is that an answer is right, by its scores",
        description="Translate strips of validation texts, fit a map from scores to the probability that an answer is "
        "right on one half, and report the other. The map is left in the checkpoint's folder as calibration.json: "
        "translations then carry that probability, and --min-confidence goes by it.",
    )
    add_checkpoint(parser, limit=LIMIT, limited="texts of each corpus, drawn by the seed", batch_size=32)
    parser.add_argument("--seed", type=not_negative, default=0, metavar="N", help="of that drawing (0)")
    parser.add_argument("--beams", type=positive, default=1, metavar="N", help="beams of translations (1: greedy)")
    parser.add_argument(
        "--right-chrf", type=float, default=THRESHOLD, metavar="C",
        help=f"sentence chrF of an answer that counts as right ({THRESHOLD:g})",
    )  # fmt: skip
    parser.add_argument("--no-store", action="store_true", help="leave the checkpoint's folder as it is")
    add_results(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Calibrate, write everything, and print the errors and where everything went."""
    import torch

    from translatotron_v.checkpoint import weights_digest
    from translatotron_v.engines.choice import choose_device
    from translatotron_v.evaluation.reliability import draw, reliability
    from translatotron_v.inference.certainty import CALIBRATION
    from translatotron_v.inference.loaded import load_translator
    from translatotron_v.shipped import find_weights

    torch.set_num_threads(options.threads)
    loaded = load_translator(find_weights(options.checkpoint), choose_device(options.device))
    domains = name_list(options.data) if options.data else (loaded.config.data.folder,)
    judged = judge(
        loaded, domains, split=options.split, limit=options.limit, seed=options.seed, beams=options.beams,
        batch_size=options.batch_size, least_chrf=options.right_chrf,
    )  # fmt: skip
    found, report = calibrate(judged)
    names = ", ".join(dict.fromkeys(one.domain for one in judged))
    report.title = f"{options.checkpoint}: certainty of {len(judged):,} answers to strips of {names}"
    report.settings = {
        "checkpoint": options.checkpoint,
        "weights": weights_digest(loaded.folder),
        "data": names,
        "split": options.split or loaded.config.data.validation,
        "right": f"sentence chrF >= {options.right_chrf:g}, and all literals that source and reference share",
        "limit": options.limit,
        "seed": options.seed,
        "beams": options.beams,
    }
    details = {
        **{key: report.settings[key] for key in ("weights", "data", "right")},
        "answers": len(judged),
        "ece": report.value(CALIBRATED, "ECE"),
    }
    found = dataclasses.replace(found, details=details)
    out = out_folder(options, "calibration")
    report.finish(out, options.command)
    others = [one for one in judged if not one.fits]
    bins = reliability([found.probability(*one.scores) for one in others], [one.right for one in others])
    draw(bins, out / DIAGRAM, f"{len(others):,} answers, ECE {details['ece']:.3f}")
    folders = [out] if options.no_store else [out, loaded.folder]
    for folder in folders:
        _write(folder / CALIBRATION, found.to_json())
    print(f"{DIAGRAM} in {out}; {CALIBRATION} in {' and '.join(map(str, folders))}")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
