"""Text pairs: where they come from, how they are folded, and which of them are trained on."""

from pathlib import Path

import pytest

from data_synth.corpora import TextPair
from translatotron_v.config import Config, load_config
from translatotron_v.data import pairs
from translatotron_v.data.pages import fitting
from translatotron_v.errors import UserError

PAIRS = [TextPair(f"{i} hunde", f"{i} dogs") for i in range(10, 32)]


def settings(*overrides: str) -> Config:
    return load_config(None, overrides)


def test_the_grammar_needs_no_file_and_holds_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pairs, "GRAMMAR_PAIRS", 600)
    monkeypatch.setattr(pairs, "GRAMMAR_HELD_OUT", 60)
    config = settings("data.folder=grammar")
    train, validation, test = (pairs.read_split(config, name) for name in ("train", "val", "test_2016_flickr"))
    assert len(validation) == len(test) == 60 and len(train) > 500
    for one, other in ((train, validation), (train, test), (validation, test)):
        assert not {pair.source for pair in one} & {pair.source for pair in other}
    assert train == pairs.read_split(config, "train")
    assert all(pair.source == pair.source.lower() for pair in train)


def test_grammar_in_other_languages_and_numbers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pairs, "GRAMMAR_HELD_OUT", 5)
    config = settings("data.folder=grammar", "data.source_language=cs", "data.target_language=fr", "data.limit=30")
    train = pairs.read_split(config, "train")
    assert 0 < len(train) <= 30
    assert any(set(pair.source) & set("ěščřžýůí") for pair in train)


def test_files_are_read_and_folded(tmp_path):
    (tmp_path / "train.de").write_text("Ein  MÄDCHEN\nZwei A\u0308pfel\n", encoding="utf-8")
    (tmp_path / "train.en").write_text("A GIRL\nTwo Apples\n", encoding="utf-8")
    expected = [TextPair("ein mädchen", "a girl"), TextPair("zwei äpfel", "two apples")]
    assert pairs.read_split(settings(f"data.folder={tmp_path}"), "train") == expected
    kept = pairs.read_split(settings(f"data.folder={tmp_path}", "page.lower_case=false"), "train")
    assert kept == [TextPair("Ein MÄDCHEN", "A GIRL"), TextPair("Zwei Äpfel", "Two Apples")]


def test_a_missing_corpus_names_the_setting(tmp_path):
    with pytest.raises(UserError, match=r"data\.folder: .*gone does not exist; .*data\.folder=grammar"):
        pairs.read_split(settings(f"data.folder={tmp_path / 'gone'}"), "train")


def test_errors_of_the_renderer_are_errors_of_the_package(tmp_path: Path):
    (tmp_path / "train.de").write_text("eins\nzwei\n", encoding="utf-8")
    (tmp_path / "train.en").write_text("one\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"train\.de has 2 lines but .*train\.en has 1"):
        pairs.read_split(load_config(None, [f"data.folder={tmp_path}"]), "train")
    with pytest.raises(UserError, match="no font 'DejaVuSens'"):
        fitting([TextPair("a", "b")], load_config(None, ["page.fonts=[DejaVuSens]"]))


def test_portions_of_the_training_pairs():
    for skip, limit, expected in ((0, 0, PAIRS), (0, 5, PAIRS[:5]), (7, 0, PAIRS[7:]), (7, 5, PAIRS[7:12])):
        config = settings(f"data.skip={skip}", f"data.limit={limit}")
        assert pairs.portion(PAIRS, config.data) == expected
    assert pairs.portion(PAIRS, settings("data.skip=20", "data.limit=9").data) == PAIRS[20:]
    with pytest.raises(UserError, match=r"data\.skip=22 leaves nothing: .* has 22 training pairs"):
        pairs.portion(PAIRS, settings("data.skip=22").data)


def test_the_grammar_counts_what_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pairs, "GRAMMAR_HELD_OUT", 5)
    both = settings("data.folder=grammar", "data.limit=40")
    second = settings("data.folder=grammar", "data.skip=20", "data.limit=20")
    whole, part = (pairs.portion(pairs.read_split(config, "train"), config.data) for config in (both, second))
    assert part == whole[20:] and part


def test_pairs_of_text_only_batches(tmp_path: Path):
    for language, words in (
        ("de", ["ein", "hund", "läuft"]),
        ("fr", ["un", "chien", "Court"]),
        ("cs", ["a", "pes", "běží"]),
    ):
        (tmp_path / f"train.{language}").write_text("\n".join(words[:3]) + "\n", encoding="utf-8")
        (tmp_path / f"val.{language}").write_text(words[0] + "\n", encoding="utf-8")
    languages = "model.vocabulary.languages=[de,fr,cs,ro,xx]"
    folder = f"data.folder={tmp_path}"
    config = settings(folder, languages, "data.text_languages=[fr,cs]", "data.skip=1", "data.limit=2")
    expected = [("hund", "chien", "fr"), ("läuft", "court", "fr"), ("hund", "pes", "cs"), ("läuft", "běží", "cs")]
    found = pairs.read_text_pairs(config, "train")
    assert [(pair.source, pair.target, pair.language) for pair in found] == expected
    assert [pair.language for pair in pairs.read_text_pairs(config, "val")] == ["fr", "cs"]  # no portion of these
    alone = settings(folder, "data.target_language=cs")
    assert {pair.language for pair in pairs.read_text_pairs(alone, "train")} == {"cs"}
    for asked, named in (("[fr,xx]", "train.xx"), ("[fr,ro]", "train.ro")):
        with pytest.raises(UserError, match=named) as caught:
            pairs.read_text_pairs(settings(folder, languages, f"data.text_languages={asked}"), "train")
        assert "\n" not in str(caught.value)


def test_public_texts_train_and_nothing_else():
    train = pairs.read_split(settings("data.folder=public-texts", "page.lower_case=false"), "train")
    assert TextPair("Ausgang", "Exit") in train
    with pytest.raises(UserError, match=r"public-texts is for training only and has no split 'val'; .*data\.extra"):
        pairs.read_split(settings("data.folder=public-texts"), "val")


def test_a_corpus_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "x.de-en.tsv").write_text("Ein  Hund\tA  dog\nJa\tYes\n", encoding="utf-8")
    (tmp_path / "bad.de-en.tsv").write_text("Ein Hund\tA dog\nohne\n", encoding="utf-8")
    expected = [TextPair("Ein  Hund", "A  dog"), TextPair("Ja", "Yes")]
    assert pairs.read_corpus("x.de-en.tsv", tmp_path, ("de", "en")) == expected
    assert pairs.read_corpus("x.de-en.tsv", tmp_path, ("de", "en"), limit=1) == expected[:1]
    assert TextPair("Exit", "Ausgang") in pairs.read_corpus("public-texts", tmp_path, ("en", "de"))
    monkeypatch.setattr(pairs, "GRAMMAR_PAIRS", 30)
    monkeypatch.setattr(pairs, "GRAMMAR_HELD_OUT", 5)
    phrases = pairs.read_corpus("grammar", tmp_path, ("fr", "en"))
    assert 0 < len(phrases) <= 30 and any(pair.source != pair.source.lower() for pair in phrases)
    for path, languages, message in [
        ("public-texts", ("cs", "en"), "public-texts is in de and en"),
        ("grammar", ("pl", "en"), "the built-in grammar speaks"),
        ("gone", ("de", "en"), "no text at .*gone"),
        ("bad.de-en.tsv", ("de", "en"), r"bad\.de-en\.tsv, line 2: expected source TAB target, found no tab"),
    ]:
        with pytest.raises(UserError, match=message):
            pairs.read_corpus(path, tmp_path, languages)
