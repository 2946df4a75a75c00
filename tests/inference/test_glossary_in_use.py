"""A glossary on its way: what reaches the text encoder, on pictures and as text, and what comes back."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.small import TEXTS, small
from translatotron_v import cli
from translatotron_v.commands import records
from translatotron_v.data.marks import LITERALS, TERM_CLOSE, TERM_IS, TERM_OPEN
from translatotron_v.data.sentences import split_sentences
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.decoding import text as decoding
from translatotron_v.decoding.source import encode_and_read
from translatotron_v.decoding.text import DecodedText
from translatotron_v.decoding.text_mode import insert, prepare
from translatotron_v.errors import UserError
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.answers import text_answers
from translatotron_v.inference.files import Job, Outcome
from translatotron_v.inference.glossary import Glossary, Term
from translatotron_v.inference.loaded import BlockTranslation, LoadedTranslator, Translation, require_terms
from translatotron_v.inference.pipeline import Translator
from translatotron_v.inference.text_files import translate_file
from translatotron_v.models.translator import TranslatotronV

MARKED = Vocabulary.build(TEXTS, 90, marks=True)
GLOSSARY = Glossary([("hund", "hound"), ("baum", "")])
ASKED = GenerationConfig(glossary=GLOSSARY)


def translator(tmp_path: Path, vocabulary: Vocabulary = MARKED, *overrides: str) -> LoadedTranslator:
    torch.manual_seed(0)
    config = small("model.connector=read", "model.text_encoder.layers=1", *overrides)
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count).eval()
    return LoadedTranslator(model, vocabulary, config, tmp_path)


def spelling(text: str, frames: int) -> torch.Tensor:
    """CTC logits (1, frames, characters) that spell a text, a character every other frame."""
    logits = torch.zeros(1, frames, MARKED.character_count)
    logits[0, :, PAD] = 1.0
    for place, character in enumerate(MARKED.encode_characters(text)):
        logits[0, 2 * place, character] = 2.0
    return logits


def test_text_that_is_written_into_another_has_no_place() -> None:
    text, spans = insert("abc", [(0, "x"), (2, "yz"), (3, "!")])
    assert text == "xabyzc!"
    assert spans == [(0, 0), (0, 1), (1, 2), (2, 2), (2, 2), (2, 3), (3, 3)]
    assert insert("abc", []) == ("abc", [(0, 1), (1, 2), (2, 3)])


def test_terms_and_literals_of_one_sentence() -> None:
    glossary = Glossary([("Hund", "hound"), ("Raum 5", "room five"), ("Ost", "")])
    prepared = prepare("EIN HUND UM 12:30 IN RAUM 5", insertions=glossary.insertions)
    assert prepared.text == (
        f"ein {TERM_OPEN} hund{TERM_IS} hound{TERM_CLOSE} um {LITERALS[0]} in "
        f"{TERM_OPEN} raum 5{TERM_IS} room five{TERM_CLOSE}"
    )
    assert [(one.text, one.start, one.end) for one in prepared.literals] == [("12:30", 12, 17)]
    for sign, (start, end) in zip(prepared.text, prepared.spans, strict=True):
        there = prepared.source[start:end]
        assert there.lower() in (sign, "") or there == "12:30"
    read = "".join(prepared.source[start:end] for start, end in prepared.spans)
    assert read == prepared.source == "EIN HUND UM 12:30 IN RAUM 5"


def test_terms_on_a_picture_carry_no_states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = translator(tmp_path).model
    monkeypatch.setattr(model, "ctc_logits", lambda source: spelling("ein hund", 32))
    seen: dict[str, Any] = {}
    monkeypatch.setattr(model, "encode_reading", lambda *arguments: seen.update(given=arguments) or arguments[0])
    encode_and_read(model, MARKED, torch.rand(1, 1, 16, 128), "de", insertions=GLOSSARY.insertions)
    _, pieces, _, first, last = seen["given"]
    annotated = f"ein {TERM_OPEN} hund{TERM_IS} hound{TERM_CLOSE}"
    assert pieces.tolist() == [[*MARKED.encode(annotated), EOS]]
    spans = list(zip(pieces[0].tolist(), first[0].tolist(), last[0].tolist(), strict=True))
    read = [(piece, start, end) for piece, start, end in spans if start <= end]
    plain = MARKED.encode_spans("ein hund")  # two frames a state and two a character: state number is character number
    assert read == [(piece, start, end - 1) for piece, start, end in plain]
    opened, closed = (pieces[0].tolist().index(MARKED.specials[mark]) for mark in (TERM_OPEN, TERM_CLOSE))
    assert all(start > end for _, start, end in (spans[opened], *spans[closed:]))


def test_annotated_texts_are_cut_into_the_same_sentences() -> None:
    text = "Zum Amt. Gleis 3 ist zu, frag Dr. Ost. Bitte gehen."
    glossary = Glossary([("Gleis", "track"), ("Dr. Ost", "Dr. East. Really")])
    cut = [glossary.annotate(sentence) for sentence in split_sentences(text)]
    assert len(cut) == 3 and split_sentences(glossary.annotate(text)) == cut


def test_pictures_say_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = translator(tmp_path)
    monkeypatch.setattr(loaded.model, "ctc_logits", lambda source: spelling("ein hund baum", 32))
    monkeypatch.setattr(
        decoding,
        "generate_answer",
        lambda *_, **__: DecodedText([MARKED.encode("a dog")], ["a dog"], [-0.1], prefixes=[[1, 2]]),
    )
    glossary = Glossary([("hund", "dog"), ("baum", "")])
    translation = Translator(loaded).translate([torch.zeros(16, 128, dtype=torch.uint8).numpy()], glossary=glossary)[0]
    assert translation.terms == (Term("hund", "dog", True), Term("baum", "baum", False))
    assert Translator(loaded).translate([torch.zeros(16, 128, dtype=torch.uint8).numpy()])[0].terms == ()


def test_text_mode_is_given_terms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = translator(tmp_path)
    given: list[list[int]] = []

    def told(model: Any, vocabulary: Any, pieces: Any, *_: Any) -> DecodedText:
        given.extend(pieces)
        return DecodedText([[5]] * len(pieces), ["a hound"] * len(pieces), [-0.1] * len(pieces))

    monkeypatch.setattr(decoding, "translate_pieces", told)
    answers = text_answers(loaded, ["ein hund", "ein mann"], ASKED, quiet=True)
    assert sorted(given) == sorted(
        [MARKED.encode(f"ein {TERM_OPEN} hund{TERM_IS} hound{TERM_CLOSE}"), MARKED.encode("ein mann")]
    )
    assert answers.terms == [[Term("hund", "hound", True)], []]
    (tmp_path / "in.de").write_text("ein hund\n\nhund und baum\n", encoding="utf-8")
    written = translate_file(loaded, tmp_path / "in.de", tmp_path / "out.en", ASKED)
    assert (written.now, written.lines) == (3, 3)
    assert [term.used for term in written.terms] == [True, True, False]
    assert text_answers(loaded, ["ein hund"], quiet=True).terms == []


def test_weights_that_take_no_glossary_say_so(tmp_path: Path) -> None:
    unmarked = translator(tmp_path, Vocabulary.build(TEXTS, 60))
    with pytest.raises(UserError, match=r"these weights take no glossary.*model\.vocabulary\.marks"):
        text_answers(unmarked, ["ein hund"], ASKED, quiet=True)
    direct = translator(tmp_path, MARKED, "model.connector=states")
    require_terms(direct)
    with pytest.raises(UserError, match=r"on pictures these weights take no glossary"):
        Translator(direct).translate([], glossary=GLOSSARY)


def test_the_command_line_reads_the_glossary_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "g.tsv"
    path.write_text("Gleis\n", encoding="utf-8")
    for command in (["translate", "none.png", "-o", str(tmp_path / "o.png")], ["text", "none.de", "-o", "o.en"]):
        assert cli.main([*command, "--weights", "nowhere", "--glossary", str(path)]) == 2
        assert capsys.readouterr().err == (
            f"error: {path}:1: one column, where source and target are wanted; "
            "leave the target empty for a word that is to stay\n"
        )


def test_terms_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    terms = (Term("Gleis", "track", True), Term("Ost", "Ost", False))
    block = BlockTranslation(((0, 0),) * 4, "Gleis Ost", "track East", {"text": 0.9}, terms=terms)
    answer = Translation(Image.new("L", (4, 4)), "track East", "Gleis Ost", {"text": 0.9}, (block,), terms=terms)
    outcome = Outcome(Job(Path("a.png"), Path("b.png")), answer)
    records.report(outcome, as_json=True, whole=True)
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    expected = [{"source": "Gleis", "target": "track", "used": True}, {"source": "Ost", "target": "Ost", "used": False}]
    assert record["terms"] == record["blocks"][0]["terms"] == expected
    assert captured.err == "warning: a.png: 1 of 2 terms not as the glossary says (Ost: Ost)\n"
