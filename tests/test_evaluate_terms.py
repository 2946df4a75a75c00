"""Share of terms that come out as asked, with and without asking."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from data_synth.corpora import TextPair
from tests.small import TEXTS, small, write_corpus
from translatotron_v.checkpoint import save_checkpoint
from translatotron_v.config import to_yaml
from translatotron_v.data.marks import TERM_OPEN
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.evaluation import terms
from translatotron_v.evaluation.command import build_parser
from translatotron_v.evaluation.terms import WITH, WITHOUT, Asked, as_glossary, matching, score_terms
from translatotron_v.inference import answers
from translatotron_v.inference.answers import Answers
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.models.translator import TranslatotronV

PAIRS = [
    TextPair("Der Hund schläft am Zaun", "The hound sleeps at the fence"),
    TextPair("Ein Hund rennt", "A dog runs"),
    TextPair("Er rennt", "He runs"),
]
ENTRIES = [("Hund", "hound"), ("Zaun", "fence"), ("Mann", "man")]


def loaded_translator(folder: Path, marks: bool = True) -> LoadedTranslator:
    torch.manual_seed(0)
    config = small("model.text_encoder.layers=1", f"data.folder={folder / 'corpus'}", "data.validation=val")
    vocabulary = Vocabulary.build(TEXTS, 90, marks=marks)
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count).eval()
    return LoadedTranslator(model, vocabulary, config, folder)


def test_what_is_asked() -> None:
    found = matching(PAIRS, [*ENTRIES, ("Hund", "dog")])
    assert [one.source for one in found] == [PAIRS[0].source, PAIRS[1].source]
    assert [one.annotated.count(TERM_OPEN) for one in found] == [2, 1]
    assert "hound" in found[0].annotated and "dog" in found[1].annotated
    every = as_glossary(PAIRS, ENTRIES)
    assert [one.annotated.count(TERM_OPEN) for one in every] == [2, 1]
    assert "hound" in every[1].annotated  # though the reference says dog
    with pytest.raises(UserError, match="stands twice"):
        as_glossary(PAIRS, [*ENTRIES, ("Hund", "dog")])


def test_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(loaded: Any, sources: list[str], *_: Any, **__: Any) -> Answers:
        if any(TERM_OPEN in source for source in sources):
            return Answers(["The hound sleeps at the fence", "A hound runs"])
        return Answers(["The dog sleeps at the fence", "A dog runs"])

    monkeypatch.setattr(answers, "text_answers", told)
    report = score_terms(loaded_translator(tmp_path), as_glossary(PAIRS, ENTRIES), quiet=True)
    assert report.value(WITHOUT, "terms") == pytest.approx(100 / 3)
    assert report.value(WITH, "terms") == 100
    assert {line.count for line in report.lines if line.score.name == "terms"} == {3}
    assert 0 < report.value(WITHOUT, "BLEU") < 100
    assert report.rows[1]["used, terms not annotated"] == 0 and report.rows[1]["used, terms annotated"] == 1
    assert report.rows[0]["terms"] == "Hund: hound; Zaun: fence"


def test_weights_without_marks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="take no glossary"):
        score_terms(loaded_translator(tmp_path, marks=False), [Asked("a", "b", "c")], quiet=True)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path / "corpus")
    loaded = loaded_translator(tmp_path)
    loaded.config.stage = "text"
    modules = {name: getattr(loaded.model, name) for name in ("text_encoder", "text_decoder")}
    files = {"config.yaml": to_yaml(loaded.config), "vocabulary.json": loaded.vocabulary.to_json()}
    save_checkpoint(tmp_path / "run", modules, files, {"stage": "text", "step": 1})
    (tmp_path / "g.tsv").write_text("hund\tdog\nhund\thound\nmann\tman\n", encoding="utf-8")
    arguments = ["terms", str(tmp_path / "run"), "--glossary", str(tmp_path / "g.tsv"), "-o", str(tmp_path / "out")]
    options = build_parser().parse_args(arguments)
    options.command = "evaluate"
    terms.run(options)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert [(score["name"], score["samples"]) for score in scores["scores"]] == 2 * [
        ("terms", 4), ("BLEU", 4), ("chrF", 4)
    ]  # fmt: skip
    assert not (tmp_path / "out" / "worst.png").exists()
    (tmp_path / "g.tsv").write_text("fremd\tstrange\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"g\.tsv: no term of it stands in .*corpus val"):
        terms.run(argparse.Namespace(**vars(options)))
