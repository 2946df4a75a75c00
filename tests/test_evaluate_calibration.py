"""Certainty: which answers count as right, and from strips of several domains to a calibration beside the weights."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data_synth.corpora import TextPair
from tests.small import PAIRS, enliven, small, small_vocabulary, write_corpus
from translatotron_v.checkpoint import save_checkpoint
from translatotron_v.config import to_yaml
from translatotron_v.errors import UserError
from translatotron_v.evaluation import calibration
from translatotron_v.evaluation.calibration import CALIBRATED, RAW, Judged, calibrate, is_right, judge, named_domain
from translatotron_v.evaluation.command import build_parser
from translatotron_v.inference import answers
from translatotron_v.inference.answers import Answers, image_answers
from translatotron_v.inference.certainty import CALIBRATION, Calibration
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.models.translator import TranslatotronV

LONG = "ein baum " * 40  # fits no strip


def loaded_translator(folder: Path, *overrides: str) -> LoadedTranslator:
    torch.manual_seed(0)
    config = small(f"data.folder={folder / 'corpus'}", "data.validation=val", *overrides)
    vocabulary = small_vocabulary()
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count).eval()
    enliven(model)
    return LoadedTranslator(model, vocabulary, config, folder)


@pytest.mark.parametrize(
    ("answer", "source", "reference", "expected"),
    [
        ("The train leaves at 10:30", "Der Zug fährt um 10:30", "The train leaves at 10:30", True),
        ("the train departs at 10:30", "Der Zug fährt um 10:30", "The train leaves at 10:30", True),
        ("The train leaves at 10:50", "Der Zug fährt um 10:30", "The train leaves at 10:30", False),  # a literal
        ("The train leaves", "Der Zug fährt um 10:30", "The train leaves at 10:30", False),
        ("A dog sleeps", "Der Zug fährt ab", "The train leaves", False),
        ("There are twelve dogs", "Es gibt 12 Hunde", "There are twelve dogs", True),  # which the reference spells
        ("Rooms 5 and 6", "Zimmer 5 und 5", "Rooms 5 and 5", False),  # as often as in both
        ("", "Der Zug", "The train", False),
    ],
)
def test_what_counts_as_right(answer: str, source: str, reference: str, expected: bool) -> None:
    assert is_right(answer, source, reference) is expected


def test_domains_are_named() -> None:
    assert named_domain("data/ted.de-en.tsv.gz") == ("ted", "data/ted.de-en.tsv.gz")
    assert named_domain("talks=data/ted.tsv") == ("talks", "data/ted.tsv")
    assert named_domain("data/corpus") == ("corpus", "data/corpus")


def test_pages_come_with_the_certainty_of_their_reading(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    loaded = loaded_translator(tmp_path)
    from translatotron_v.evaluation.checkpoint import render_split

    page = render_split(loaded.config, "val")[0].source_page
    found = image_answers(loaded, [page, None], quiet=True)
    assert found.certainties[0] < 0 and found.certainties[1] == float("-inf")
    assert image_answers(replace(loaded, model=_blind(loaded)), [page], quiet=True).certainties == []


def _blind(loaded: LoadedTranslator) -> TranslatotronV:
    config = small("model.ctc_frames=0")
    torch.manual_seed(0)
    return TranslatotronV(config.model, len(loaded.vocabulary), loaded.vocabulary.character_count).eval()


def test_strips_of_several_domains_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "corpus", [*PAIRS[:3], TextPair(LONG.strip(), "trees")])
    (tmp_path / "other.de-en.tsv").write_text("ein hund rennt\ta dog runs\nein mann\ta cat\n", encoding="utf-8")
    loaded = loaded_translator(tmp_path)

    def told(loaded: Any, pages: list[Any], *_: Any, **__: Any) -> Answers:
        count = len(pages)
        return Answers(["a dog runs"] * count, scores=[-0.5] * count, certainties=[-0.1] * count)

    monkeypatch.setattr(answers, "image_answers", told)
    found = judge(loaded, [str(tmp_path / "corpus"), f"signs={tmp_path / 'other.de-en.tsv'}"], quiet=True)
    assert [one.domain for one in found] == ["corpus"] * 3 + ["signs"] * 2  # what fits no strip is left out
    assert [one.fits for one in found] == [True, False, True, True, False]
    assert {one.source: one.right for one in found}["ein mann"] is False
    assert {one.source: one.right for one in found}["ein hund rennt"] is True
    assert found[0].scores == (-0.1, -0.5, 3)
    assert len(judge(loaded, [str(tmp_path / "corpus")], limit=2, quiet=True)) <= 2
    with pytest.raises(UserError, match=r"no CTC head"):
        judge(replace(loaded, model=_blind(loaded)), [str(tmp_path / "corpus")], quiet=True)


def judged(count: int = 40) -> list[Judged]:
    """Of each four answers three are sure and one is not; of the sure half is right, of the others none."""
    found = []
    for index in range(count):
        sure, right = index % 8 < 6, index % 8 in (0, 1, 2)
        score = -0.1 if sure else -3.0
        found.append(Judged("ab"[index % 16 < 8], "s", "r", "an answer", -0.1, score, right, (index // 8) % 2 == 0))
    return found


def test_one_half_fits_and_the_other_reports() -> None:
    found, report = calibrate(judged(160))
    assert found.probability(-0.1, -0.1, 2) == pytest.approx(0.5, abs=0.03)
    assert found.probability(-0.1, -3.0, 2) < 0.1
    assert report.value(CALIBRATED, "ECE") < 0.05 < 0.3 < report.value(RAW, "ECE")
    assert report.value("answers that are right", "right") == pytest.approx(37.5)
    assert len(report.rows) == 160 and {row["half"] for row in report.rows} == {"fitted", "held out"}
    with pytest.raises(UserError, match="too few"):
        calibrate(judged(1))
    with pytest.raises(UserError, match="none of 24 answers is right"):
        calibrate([replace(one, right=False) for one in judged(40)])


def test_the_command_leaves_a_calibration_beside_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = loaded_translator(tmp_path)
    loaded.config.stage = "translator"
    files = {"config.yaml": to_yaml(loaded.config), "vocabulary.json": loaded.vocabulary.to_json()}
    save_checkpoint(tmp_path / "run", dict(loaded.model.named_children()), files, {"stage": "translator", "step": 1})
    monkeypatch.setattr(calibration, "judge", lambda *_, **__: judged())
    options = build_parser().parse_args(["calibration", str(tmp_path / "run"), "-o", str(tmp_path / "out")])
    options.command = "evaluate"
    for kept, where in ((True, ["out"]), (False, ["out", "run"])):
        options.no_store = kept
        calibration.run(options)
        assert [name for name in ("out", "run") if (tmp_path / name / CALIBRATION).is_file()] == where
    made = Calibration.from_folder(tmp_path / "run")
    assert made is not None and made.details["answers"] == 40 and 0 <= made.details["ece"] < 0.2
    assert (tmp_path / "out" / "calibration.png").is_file()
    scores = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert scores["settings"]["right"].startswith("sentence chrF >= 40")
