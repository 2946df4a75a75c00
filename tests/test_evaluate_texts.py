"""Scores of texts: closed forms around answers that are given, and what reaches the model; the real ones run small."""

import argparse
import csv
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_synth.corpora import TextPair
from tests.small import PAIRS, enliven, save_small, small, small_vocabulary, write_corpus
from translatotron_v.data.vocabulary import EOS, PAD
from translatotron_v.decoding import text as decoding
from translatotron_v.decoding.text import DecodedText
from translatotron_v.errors import UserError
from translatotron_v.evaluation import texts
from translatotron_v.evaluation.checkpoint import render_split
from translatotron_v.evaluation.texts import CTC, DECODER, TRANSCRIPT, TextTest, make_report, score_texts
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference import answers
from translatotron_v.inference.answers import ctc_readings, image_answers, text_answers, transcripts
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.models.translator import TranslatotronV

LONG = "ein baum " * 40  # fits no page of the small canvas
CORPUS = [PAIRS[0], TextPair(LONG.strip(), "the tree and the dog and the man"), PAIRS[7], PAIRS[20]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pairs that fit and one whose source does not; French is the English, for its file's sake."""
    write_corpus(tmp_path / "corpus", CORPUS)
    english = (tmp_path / "corpus" / "val.en").read_text(encoding="utf-8")
    (tmp_path / "corpus" / "val.fr").write_text(english, encoding="utf-8")
    return tmp_path / "corpus"


def translator(folder: Path, *overrides: str) -> LoadedTranslator:
    config = small(f"data.folder={folder}", "model.vocabulary.languages=[de,en,fr]", *overrides)
    vocabulary = small_vocabulary()
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count)
    enliven(model)
    return LoadedTranslator(model, vocabulary, config, folder / "checkpoint")


@pytest.fixture
def loaded(folder: Path) -> LoadedTranslator:
    return translator(folder)


def source_pages(loaded: LoadedTranslator) -> list[np.ndarray | None]:
    return [page.source_page for page in render_split(loaded.config, "val")]


class Told:
    """Stands in for a decoding function: answers from a list, in turn, and remembers what it was asked."""

    def __init__(self, *texts: str, transcripts: Sequence[str] = ()) -> None:
        self.texts, self.written = list(texts), list(transcripts)
        self.calls: list[tuple[tuple, dict[str, Any]]] = []

    def __call__(self, *arguments: Any, **options: Any) -> DecodedText:
        self.calls.append((arguments, options))
        source = next((item for item in arguments if hasattr(item, "memory")), None)
        count = len(source.memory if source is not None else arguments[2])
        found = [self.texts.pop(0) for _ in range(count)]
        decoded = DecodedText([list(range(len(text.split()))) for text in found], found, [-0.5] * count)
        decoded.transcripts = [self.written.pop(0) for _ in range(count)] if self.written else []
        return decoded


# closed forms


def test_scores_of_translations() -> None:
    reference = ["the brown cat sat on the green mat", "two small dogs run over the grass"]
    scores = texts.score_translations([reference[0].upper(), ""], reference, "en")
    values = {name: score.value for name, score in scores.items()}
    assert list(values) == ["bleu", "chrf", "lf", "lf_plus", "length_ratio"]
    assert values["bleu"] == pytest.approx(100 * math.exp(1 - 15 / 8))  # all that is there is right: brevity alone
    assert 0 < values["chrf"] < 100
    assert values["lf"] == values["lf_plus"] == pytest.approx(50)
    assert values["length_ratio"] == pytest.approx(8 / 15)
    cased = texts.score_translations([reference[0].upper(), ""], reference, "en", lower_case=False)
    assert cased["bleu"].value < 1 and "case:mixed" in cased["bleu"].signature
    assert texts.score_translations(["", ""], reference, "en")["length_ratio"].value == 0
    assert texts.score_translations([" ".join(reference)] * 2, reference, "en")["length_ratio"].value == 2
    other = texts.score_translations(["der braune hund schläft auf der grünen wiese"] * 2, reference, "en")
    assert other["lf"].value == other["lf_plus"].value == 0


@pytest.mark.parametrize(
    ("readings", "sources", "rate", "accuracy"),
    [
        (["abcd", "xy"], ["abcd", "xy"], 0.0, 1.0),
        (["abxd", ""], ["abcd", "efgh"], 5 / 8, 3 / 8),
        (["AB"], ["ab"], 0.0, 1.0),
        (["wholly wrong"], ["ab"], 6.0, 0.0),
    ],
)
def test_accuracy_of_readings(readings: list[str], sources: list[str], rate: float, accuracy: float) -> None:
    scores = texts.score_readings(readings, sources)
    assert scores["cer"].value == pytest.approx(rate) and scores["ocr_accuracy"].value == pytest.approx(accuracy)


# what is asked of the model


def test_image_answers_leave_a_place_for_pages_that_do_not_exist(
    loaded: LoadedTranslator, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told("one", "two words", "three")
    monkeypatch.setattr(decoding, "generate_answer", told)
    shown = source_pages(loaded)
    assert [page is None for page in shown] == [False, True, False, False]
    found = image_answers(loaded, shown, GenerationConfig(target_language="fr", beams=3), batch_size=2, quiet=True)
    assert found.texts == ["one", "", "two words", "three"]
    assert found.lengths == [1, 0, 2, 1] and found.scores == [-0.5, float("-inf"), -0.5, -0.5]
    assert found.transcripts == []
    assert [len(arguments[2].memory) for arguments, _ in told.calls] == [2, 1]
    for arguments, options in told.calls:
        assert arguments[3] == GenerationConfig("de", "fr", beams=3)
        assert options == {"accepts": None}


def test_a_model_trained_by_self_review_transcribes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = translator(folder, "ssr.reader=runs/reader")
    told = Told("a", "b", "c", transcripts=["ein", "zwei", "drei"])
    monkeypatch.setattr(decoding, "generate_answer", told)
    found = image_answers(loaded, source_pages(loaded), GenerationConfig("fr"), quiet=True)
    assert found.transcripts == ["ein", "", "zwei", "drei"] and found.texts == ["a", "", "b", "c"]
    # the checkpoint's own target where none is given
    assert told.calls[0][0][3] == GenerationConfig("fr", "en", transcribe=True)


def test_text_mode_reads_pieces_as_training_does(loaded: LoadedTranslator, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    encode_text = loaded.model.encode_text

    def watched(pieces: torch.Tensor, mask: torch.Tensor) -> Any:
        seen.append((pieces, mask))
        return encode_text(pieces, mask)

    monkeypatch.setattr(loaded.model, "encode_text", watched)
    told = Told("shortest", "short", "longest")
    monkeypatch.setattr(decoding, "generate_text", told)
    found = text_answers(
        loaded, ["ein hund", LONG, "hund"], GenerationConfig(target_language="fr", beams=2), quiet=True
    )
    assert found.texts == ["short", "longest", "shortest"]  # in the order that was asked, however batches were cut
    (pieces, mask), (arguments, _) = seen[0], told.calls[0]
    assert arguments[0] is loaded.model.text_decoder and arguments[4:] == ("translate", "fr", 2)
    assert torch.equal(mask, pieces != PAD)
    rows = [row[row != PAD].tolist() for row in pieces]
    own = loaded.vocabulary.encode(LONG)[: loaded.config.model.text_encoder.max_length - 1]
    assert rows == [[*loaded.vocabulary.encode(text), EOS] for text in ("hund", "ein hund")] + [[*own, EOS]]


def test_reading_is_asked_of_the_text_decoder(loaded: LoadedTranslator, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told("eins", "zwei", "drei")
    monkeypatch.setattr(decoding, "generate_text", told)
    monkeypatch.setattr(decoding, "read_ctc", lambda *_: pytest.fail("the CTC head was asked"))
    shown = source_pages(loaded)
    assert transcripts(loaded, shown, quiet=True) == ["eins", "", "zwei", "drei"]
    arguments, _ = told.calls[0]
    assert arguments[0] is loaded.model.text_decoder and arguments[4:6] == ("ocr", "de")
    monkeypatch.setattr(decoding, "read_ctc", lambda logits, _: ["von ctc"] * len(logits))
    assert ctc_readings(loaded, shown, quiet=True) == ["von ctc", "", "von ctc", "von ctc"]
    assert len(told.calls) == 1  # and that the CTC head reads takes no decoder


def test_batches_do_not_change_answers(loaded: LoadedTranslator) -> None:
    loaded.model.train()  # dropout is switched off by asking
    shown = source_pages(loaded)
    sources = [pair.source for pair in PAIRS[:5]]
    pages = [image_answers(loaded, shown, batch_size=size, quiet=True) for size in (8, 1)]
    read = [text_answers(loaded, sources, batch_size=size, quiet=True) for size in (8, 1)]
    for together, alone in (pages, read):
        assert together.texts == alone.texts and together.lengths == alone.lengths and any(alone.texts)
        assert together.scores == pytest.approx(alone.scores, abs=1e-4)
    assert transcripts(loaded, shown, batch_size=1, quiet=True) == transcripts(loaded, shown, quiet=True)


# errors


def test_errors_come_before_any_work(loaded: LoadedTranslator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded.model, "encode_image", lambda *_: pytest.fail("the model was asked"))
    monkeypatch.setattr(loaded.model, "encode_text", lambda *_: pytest.fail("the model was asked"))
    page = np.full((16, 128, 1), 255, np.uint8)
    with pytest.raises(UserError, match=r"^language 'ro': this model knows de, en, fr$"):
        image_answers(loaded, [page], GenerationConfig(target_language="ro"))
    with pytest.raises(UserError, match="this model knows"):
        transcripts(loaded, [page], "nn")
    with pytest.raises(UserError, match="this model knows"):
        text_answers(loaded, ["ein"], GenerationConfig(target_language="ocr"))  # a tag, but of a task
    with pytest.raises(UserError, match="batch size must be at least 1"):
        image_answers(loaded, [page], batch_size=0, quiet=True)
    with pytest.raises(UserError, match=r"^mode 'pictures': there are image, text, ocr$"):
        score_texts(loaded, mode="pictures")
    with pytest.raises(UserError, match=r"nowhere does not exist"):
        score_texts(loaded, data="nowhere")
    with pytest.raises(UserError, match=r"test\.de"):
        score_texts(loaded, split="test")


def test_a_checkpoint_without_text_mode(folder: Path) -> None:
    loaded = translator(folder, "model.text_encoder.layers=0")
    with pytest.raises(UserError, match=r"no text mode: model\.text_encoder\.layers is 0"):
        score_texts(loaded, mode="text", quiet=True)
    assert "bleu" in score_texts(loaded, mode="image", quiet=True)


def test_nothing_to_read(folder: Path, loaded: LoadedTranslator) -> None:
    write_corpus(folder, [CORPUS[1]])
    with pytest.raises(UserError, match="no source text of 'val' fits the page"):
        score_texts(loaded, mode="ocr", quiet=True)
    assert score_texts(loaded, mode="image", quiet=True)["bleu"] == 0


# whole scores


def test_every_pair_counts(loaded: LoadedTranslator, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = [pair.target for pair in CORPUS]
    monkeypatch.setattr(decoding, "generate_answer", Told(targets[0], targets[2], targets[3]))
    shown = score_texts(loaded, mode="image", quiet=True)
    words = [len(target.split()) for target in targets]
    assert shown["length_ratio"] == pytest.approx(1 - words[1] / sum(words))
    by_length = sorted(range(4), key=lambda i: len(loaded.vocabulary.encode(CORPUS[i].source)))
    monkeypatch.setattr(decoding, "generate_text", Told(*(targets[i] for i in by_length)))
    read = score_texts(loaded, mode="text", quiet=True)
    assert (read["bleu"], read["chrf"], read["length_ratio"]) == pytest.approx((100, 100, 1))
    assert shown["chrf"] < 100


def test_reading_counts_pages_that_exist(loaded: LoadedTranslator, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [pair.source for pair in CORPUS]
    monkeypatch.setattr(decoding, "generate_text", Told(sources[0], sources[2], ""))
    scores = score_texts(loaded, mode="ocr", quiet=True)
    rate = len(sources[3]) / sum(len(sources[i]) for i in (0, 2, 3))
    assert scores == pytest.approx({"ocr_accuracy": 1 - rate, "cer": rate})


def test_transcripts_of_self_review_are_scored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = translator(folder, "ssr.reader=runs/reader")
    sources = [pair.source for i, pair in enumerate(CORPUS) if i != 1]
    monkeypatch.setattr(decoding, "generate_answer", Told("a", "b", "c", transcripts=sources))
    assert score_texts(loaded, mode="image", quiet=True)["transcript_accuracy"] == 1
    monkeypatch.setattr(decoding, "generate_answer", Told("a", "b", "c", transcripts=sources))
    monkeypatch.setattr(decoding, "generate_text", Told("", "", ""))
    monkeypatch.setattr(texts, "_settings", lambda *_: {})
    report = make_report(TextTest(loaded, quiet=True), "small", ["ocr"], ["en", "fr"])
    assert report.value(TRANSCRIPT, "accuracy") == 1 and report.value(DECODER, "accuracy") == 0
    assert report.value(CTC, "CER") > 0
    assert len(report.rows) == 4  # one language: what stands on the page is the same for all


def test_languages_have_lines_of_their_own(loaded: LoadedTranslator, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told(*["the dog is in the house"] * 3, *["le chien est dans la maison"] * 3)
    monkeypatch.setattr(decoding, "generate_answer", told)
    monkeypatch.setattr(texts, "_settings", lambda *_: {})
    report = make_report(TextTest(loaded, quiet=True), "small", ["image"], ["en", "fr"])
    assert [arguments[3].target_language for arguments, _ in told.calls] == ["en", "fr"]
    assert report.value("image mode, de to en", "LF") == report.value("image mode, de to fr", "LF") == 75  # 3 of 4
    assert len({row["name"] for row in report.rows}) == 8
    assert any("1 source texts do not fit" in note for note in report.notes)
    assert loaded.config.data.target_language == "en"  # the checkpoint's settings are left alone


def run(*arguments: str | int | Path) -> None:
    parser = argparse.ArgumentParser()
    texts.add_command(parser.add_subparsers())
    options = parser.parse_args(["texts", *map(str, arguments)])
    options.command = "python evaluate.py texts"
    options.run(options)


def test_the_command(loaded: LoadedTranslator, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    weights, out = save_small(tmp_path / "small", loaded.config, loaded.model), tmp_path / "out"
    run(weights, "--mode", "image,text,ocr", "--targets", "en,fr", "--limit", 3, "--beams", 2, "--out", out)
    printed = capsys.readouterr().out
    content = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert content["settings"]["split"] == "val" and content["settings"]["languages"] == "de to en, fr"
    assert content["settings"]["command"].startswith("python evaluate.py texts")
    found = {entry["of"]: entry["samples"] for entry in content["scores"]}
    modes = [f"{mode} mode, de to {target}" for mode in ("image", "text") for target in ("en", "fr")]
    assert found == {**dict.fromkeys(modes, 3), DECODER: 2, CTC: 2}
    assert all(entry["signature"] for entry in content["scores"])
    with open(out / "samples.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and rows[0]["source"] == CORPUS[0].source
    direct = answers.text_answers(
        loaded, [CORPUS[0].source], GenerationConfig(target_language="fr", beams=2), quiet=True
    )
    assert rows[3]["name"] == "00000-fr" and rows[3]["text mode"] == direct.texts[0]
    assert rows[1]["image mode"] == "" == rows[1]["image mode score"] and rows[3]["text decoder"] == ""
    assert "length ratio" in printed and len(printed.splitlines()) < 24
    assert "Signatures" in (out / "scores.md").read_text(encoding="utf-8")


def test_the_command_names_a_wrong_mode_before_loading() -> None:
    with pytest.raises(UserError, match="mode 'picture': there are"):
        run("nowhere", "--mode", "image,picture")


def test_help_waits_for_no_model() -> None:
    check = "import sys; import translatotron_v.evaluation.texts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], cwd=Path(__file__).parent.parent).returncode == 0
