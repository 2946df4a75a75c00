"""Natural pages against rendered strips: what is cut out of them can be read, and each sentence counts once."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from data_synth.corpora import TextPair
from tests.small import save_small, small
from translatotron_v.errors import UserError
from translatotron_v.evaluation import natural_pages
from translatotron_v.evaluation.command import main
from translatotron_v.evaluation.natural_pages import NaturalGap, measure_natural, natural_strips
from translatotron_v.inference import answers as answering
from translatotron_v.inference.answers import Answers, ctc_readings
from translatotron_v.inference.loaded import load_translator
from translatotron_v.metrics import cer
from translatotron_v.shipped import find_weights

SENTENCES = [
    TextPair("Ein Hund rennt über das grüne Gras.", "A dog runs over the green grass."),
    TextPair("Zwei Männer schlafen auf einer Bank.", "Two men sleep on a bench."),
    TextPair("Eine Frau liest am Fenster ein Buch.", "A woman reads a book by the window."),
    TextPair("Drei Kinder spielen vor dem alten Haus.", "Three children play outside the old house."),
]
FACES = """\
unseen:
  bundled:
    Any: {kind: sans, faces: [DejaVuSans, Ubuntu-Regular]}
training:
  bundled:
    Other: {kind: sans, faces: [DejaVuSerif]}
"""


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of faces that every machine has."""
    path = tmp_path_factory.mktemp("faces") / "faces.yaml"
    path.write_text(FACES, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def loaded():
    return load_translator(find_weights("small"))


def test_what_is_cut_out_of_natural_pages_can_be_read(loaded, faces: str):
    strips = list(natural_strips(loaded, SENTENCES, faces, "small", True, 4, 0))
    assert sorted(strip.source for strip in strips) == sorted(pair.source for pair in SENTENCES)  # each once
    meaning = {pair.source: pair.target for pair in SENTENCES}
    for strip in strips:
        assert strip.pixels.shape == strip.rendered.shape == (96, 512, 1) and strip.pixels.dtype == np.uint8
        assert strip.target == meaning[strip.source] and strip.font in ("DejaVuSans", "Ubuntu-Regular")
    sources = [strip.source for strip in strips]
    for name in ("rendered", "pixels"):
        read = ctc_readings(loaded, [getattr(strip, name) for strip in strips], quiet=True)
        assert cer(read, sources).value < 0.15, (name, read)
    assert len(list(natural_strips(loaded, SENTENCES, faces, "small", True, 2, 0))) == 2


def test_the_figures_of_the_three_ways(loaded, faces: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """Around answers that are right as text, a word short on rendered strips, and wrong off natural pages."""
    asked: list[str] = []
    shown: list[int] = []

    def text_answers(loaded, sources, **_) -> Answers:
        asked.extend(sources)
        return Answers([{pair.source: pair.target for pair in SENTENCES}[source] for source in sources])

    def image_answers(loaded, pages, **_) -> Answers:
        shown.append(len(pages))
        right = text_answers(loaded, asked[: len(pages)]).texts
        return Answers([text.rpartition(" ")[0] if len(shown) == 1 else "no" for text in right])

    def readings(loaded, pages, **_) -> list[str]:
        return [source if len(shown) == 1 else "" for source in asked[: len(pages)]]

    monkeypatch.setattr(answering, "text_answers", text_answers)
    monkeypatch.setattr(answering, "image_answers", image_answers)
    monkeypatch.setattr(answering, "ctc_readings", readings)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for language, texts in (("de", [p.source for p in SENTENCES]), ("en", [p.target for p in SENTENCES])):
        (corpus / f"val.{language}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    found = measure_natural(loaded, data=str(corpus), split="val", limit=3, faces=faces, quiet=True)
    assert shown == [3, 3] and found.sentences == 3 == sum(found.layouts.values())
    assert found.text_bleu == pytest.approx(100) and 40 < found.rendered_bleu < 100 and found.natural_bleu == 0
    assert (found.rendered_cer, found.natural_cer) == (0.0, 1.0)
    lines = found.screen().splitlines()
    assert lines[-1].startswith("3 sentences: ") and f"{100 - found.rendered_bleu:.3f}" in lines[3]


def test_other_models_and_faces_that_are_not_there(tmp_path: Path, faces: str):
    other = load_translator(save_small(tmp_path / "weights", small()))
    with pytest.raises(UserError, match="96x512 pixels, this model reads 16x128"):
        list(natural_strips(other, SENTENCES, faces, "small", True, 1, 0))


def test_the_command_writes_what_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    made = NaturalGap(5, 30.0, 25.0, 20.0, 0.01, 0.05, {"menu": 2, "comic": 3}, "BLEU|x")
    given = {}
    monkeypatch.setattr(natural_pages, "measure_natural", lambda loaded, **options: given.update(options) or made)
    assert main(["natural-pages", "small", "--seen", "--limit", "5", "--out", str(tmp_path)]) == 0
    assert given["held_out"] is False and given["limit"] == 5
    printed = capsys.readouterr().out
    assert "10.000" in printed and "2 on menu, 3 on comic" in printed
    content = json.loads((tmp_path / "natural.json").read_text(encoding="utf-8"))
    assert {key: content[key] for key in dataclasses.asdict(made)} == dataclasses.asdict(made)
