"""Text to ids and back, tags, tables, and that pieces and characters stay aligned."""

import json
import unicodedata
from pathlib import Path

import pytest

from translatotron_v.data.marks import LITERALS, MARKS, TERM_CLOSE, TERM_IS, TERM_OPEN
from translatotron_v.data.vocabulary import (
    BOS,
    EOS,
    LANGUAGES,
    PAD,
    TASKS,
    UNKNOWN,
    Vocabulary,
    VocabularyError,
    tag_specials,
)

SPECIALS = tuple(tag_specials())  # of a new vocabulary, in the order of their ids
TAGS = Vocabulary.build([""])  # any new vocabulary has these tags

TEXTS = [
    "ein mädchen läuft über die straße .",
    "a girl runs across the street .",
    "zwei männer trinken süßen tee , während es regnet .",
    "two men drink sweet tea while it rains .",
    "les élèves mangent une pêche à noël .",
    "o fată aleargă; ștefan și țapul .",
    "žlutý kůň běží přes řeku .",
] * 3


@pytest.fixture(scope="module", params=[0, 150], ids=["characters", "subwords"])
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    return Vocabulary.build(TEXTS, subwords=request.param)


@pytest.mark.parametrize("text", sorted({*TEXTS, "", "straße", "tee tee tee", "ü , ä .", "die ß"}))
def test_text_survives(vocabulary: Vocabulary, text: str):
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert UNKNOWN not in ids and EOS not in ids
    assert vocabulary.decode_characters(vocabulary.encode_characters(text)) == text


def test_combining_characters_are_pieces_like_any_other():
    decomposed = [unicodedata.normalize("NFD", text) for text in TEXTS]
    for subwords in (0, 150):
        vocabulary = Vocabulary.build(decomposed, subwords=subwords)
        assert "\u0308" in vocabulary.characters
        assert all(vocabulary.decode(vocabulary.encode(text)) == text for text in decomposed)


def test_subwords_are_shorter_and_joint():
    vocabulary = Vocabulary.build(TEXTS, subwords=150)
    assert not vocabulary.writes_characters and len(vocabulary) <= 150
    assert Vocabulary.build(TEXTS).writes_characters
    assert all(len(vocabulary.encode(text)) < len(text) for text in TEXTS)


def test_unknown_characters_do_not_break_the_text(vocabulary: Vocabulary):
    ids = vocabulary.encode("a ☃ girl")
    assert UNKNOWN in ids
    assert vocabulary.decode(ids).split() == ["a", "girl"]
    assert vocabulary.encode_characters("a☃") == [*vocabulary.encode_characters("a"), UNKNOWN]


def test_decoding_stops_at_the_end_and_leaves_specials_out(vocabulary: Vocabulary):
    ids = vocabulary.encode("a girl")
    noisy = [BOS, vocabulary.tag("translate"), vocabulary.tag("en"), *ids, EOS, *vocabulary.encode("runs")]
    assert vocabulary.decode(noisy) == "a girl"
    assert vocabulary.decode([EOS, *ids]) == ""
    assert vocabulary.decode([PAD, *ids, PAD]) == "a girl"


def test_tags():
    ids = [TAGS.tag(name) for name in (*LANGUAGES, *TASKS)]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {PAD, BOS, EOS, UNKNOWN}
    assert [SPECIALS[i] for i in ids] == [f"<{name}>" for name in (*LANGUAGES, *TASKS)]
    with pytest.raises(VocabularyError, match="unknown tag 'pt'; there are de, en"):
        TAGS.tag("pt")
    with pytest.raises(VocabularyError, match="unknown tag"):
        TAGS.tag("pad")  # a special symbol that is no tag


def test_specials_never_clash_with_text():
    """Text that looks like a special symbol is text, and no character or piece takes a special symbol's place."""
    texts = [*TEXTS, "<pad> <eos> <de> <translate> <unk>"] * 2
    for subwords in (0, 200):
        vocabulary = Vocabulary.build(texts, subwords=subwords)
        for text in ("<eos>", "<pad> <de>", "a <unk> b"):
            ids = vocabulary.encode(text)
            assert min(ids) >= len(SPECIALS), (subwords, text, ids)
            assert vocabulary.decode(ids) == text
        assert min(vocabulary.encode_characters("<eos>")) >= len(SPECIALS)


def test_characters_of_pieces_align_with_what_pieces_spell(vocabulary: Vocabulary):
    for text in TEXTS[:7]:
        ids = vocabulary.encode(text)
        characters, char_to_token = vocabulary.characters_of_pieces(ids)
        assert vocabulary.decode_characters(characters) == text
        assert char_to_token == sorted(char_to_token) and len(char_to_token) == len(characters)
        for position, spelled in enumerate(vocabulary.spell(ids)):
            owned = [character for character, owner in zip(characters, char_to_token, strict=True) if owner == position]
            assert vocabulary.decode_characters(owned) == spelled


def test_characters_of_pieces_stop_at_the_end(vocabulary: Vocabulary):
    ids = vocabulary.encode("a girl")
    assert vocabulary.characters_of_pieces([*ids, EOS, *ids]) == vocabulary.characters_of_pieces(ids)
    assert vocabulary.characters_of_pieces([EOS]) == ([], [])
    assert vocabulary.characters_of_pieces([]) == ([], [])


def test_json_round_trip(vocabulary: Vocabulary, tmp_path: Path):
    path = tmp_path / "vocabulary.json"
    path.write_text(vocabulary.to_json(), encoding="utf-8")
    again = Vocabulary.from_file(path)
    assert again == vocabulary and len(again) == len(vocabulary)
    assert all(again.encode(text) == vocabulary.encode(text) for text in TEXTS)
    assert "ß" in path.read_text(encoding="utf-8")
    assert Vocabulary.build(["ab"]) != vocabulary


def test_building_is_deterministic():
    assert Vocabulary.build(TEXTS, subwords=150) == Vocabulary.build(list(TEXTS), subwords=150)


def of_fields(characters: str, subwords: str) -> bytes:
    """A vocabulary file that is whole but for what is given."""
    specials = '{"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3}'
    return (
        f'{{"specials": {specials}, "first_character": 4, "characters": {characters}, "subwords": {subwords}, '
        '"symbols": 0}'
    ).encode()


@pytest.mark.parametrize("content", ["", "[]", "{}", of_fields("3", "null").decode()])
def test_what_is_no_vocabulary_is_named(tmp_path: Path, content: str):
    path = tmp_path / "vocabulary.json"
    path.write_text(content)
    with pytest.raises(VocabularyError, match=r"vocabulary\.json: not a vocabulary") as caught:
        Vocabulary.from_file(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(VocabularyError, match="no such file"):
        Vocabulary.from_file(tmp_path / "none.json")


def test_symbols_pad_the_table():
    plain, padded = Vocabulary.build(TEXTS), Vocabulary.build(TEXTS, symbols=256)
    assert len(plain) == plain.character_count < 256
    assert len(padded) == 256 and padded.character_count == plain.character_count
    assert padded.encode(TEXTS[0]) == plain.encode(TEXTS[0])
    assert padded.decode([255, *padded.encode("tee")]) == "tee"  # entries that stand for nothing write nothing


def test_too_few_symbols_drop_the_rarest_characters():
    vocabulary = Vocabulary.build(["a" * 50 + "b" * 30 + "c" * 20 + "z"], symbols=len(SPECIALS) + 3)
    assert vocabulary.characters == ["a", "b", "c"]
    assert len(vocabulary) == len(SPECIALS) + 3
    assert vocabulary.encode("az") == [len(SPECIALS), UNKNOWN]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.encode().replace(b'"characters"', b'"\xff\xfe"', 1), "cannot be read"),
        (lambda text: text.encode()[:-40], "not a vocabulary"),
        (lambda text: text.replace('"symbols": 0', '"symbols": -9').encode(), "not a vocabulary"),
        (lambda text: text.replace('"symbols": 0', '"symbols": 1e99').encode(), "not a vocabulary"),
        (lambda text: text.replace('"symbols": 0', '"symbols": 99999999999').encode(), "not a vocabulary"),
        (lambda text: text.replace('\\"<eos>\\": 2', '\\"<eos>\\": -2').replace('"id\\": 2', '"id\\": x').encode(),
         "not a vocabulary"),
        (lambda text: text.replace('\\"<unk>\\": 3', '\\"<unk>\\": -3').encode(), "not a vocabulary"),
        (lambda text: b"[1, 2]", "not a vocabulary"),
        (lambda text: b"[" * 100_000, "not a vocabulary"),
        (lambda text: of_fields('[1]', 'null'), "not a vocabulary"),
        (lambda text: of_fields('["a"]', '"{}"'), "not a vocabulary"),
        (lambda text: of_fields('["a"]', '7'), "not a vocabulary"),
    ],
)  # fmt: skip
def test_a_damaged_file_gets_one_line(tmp_path: Path, damage, message: str):
    path = tmp_path / "vocabulary.json"
    text = Vocabulary.build(["ein hund läuft", "a dog runs"] * 3, 60).to_json()
    path.write_bytes(damage(text))
    assert path.read_bytes() != text.encode()
    with pytest.raises(VocabularyError, match=message) as caught:
        Vocabulary.from_file(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


BLOCKS = ["ascii", "latin-1", "latin-extended-a", "romanian", "punctuation", "symbols"]


@pytest.fixture(scope="module")
def marked() -> Vocabulary:
    return Vocabulary.build([*TEXTS, "Zimmer 25, 30 und 25", "★ ☃"], 300, blocks=BLOCKS, marks=True)


def test_marks_are_pieces_wherever_they_stand(marked: Vocabulary):
    for text in (
        f"{LITERALS[3]} hunde",
        f"ein {LITERALS[0]}, ({LITERALS[15]})",
        f"der {TERM_OPEN} hund{TERM_IS} dog{TERM_CLOSE} da",
    ):
        ids = marked.encode(text)
        names = [marked.piece_names()[piece] for piece in ids]
        assert [name for name in names if name in MARKS] == [character for character in text if character in MARKS]
        assert marked.decode(ids) == text and UNKNOWN not in ids
        assert marked.encode_batch([text, "x"])[0] == ids
        spans = marked.encode_spans(text)
        assert [piece for piece, _, _ in spans] == ids and all(0 <= start < end <= len(text) for _, start, end in spans)
    assert all(marked.knows(mark) for mark in MARKS) and not any(TAGS.knows(mark) for mark in MARKS)


def test_a_word_beside_a_mark_is_cut_as_anywhere_else(marked: Vocabulary):
    assert marked.encode(f"{LITERALS[0]} mädchen")[1:] == marked.encode("mädchen")


def test_digits_stand_alone(marked: Vocabulary):
    assert len(marked.encode("2530")) == len(marked.encode("2 5 3 0".replace(" ", ""))) >= 4
    assert {marked.piece_names()[piece].strip("\u2581") for piece in marked.encode("25 302")} <= {*"0235", ""}


def test_answers_hold_no_special_symbols_but_literals(marked: Vocabulary):
    forbidden = {marked.piece_names()[index] for index in marked.unwritten}
    assert forbidden == {*marked.specials} - {"<eos>", *LITERALS}


def test_fixed_characters_and_what_cannot_be_written(marked: Vocabulary):
    assert {*"äÿŁșȚ€„“…→★½№"} <= {*marked.characters}
    assert marked.unwritable(f"Schnee ☃ {LITERALS[0]} und 中☃") == ["☃", "中"]
    assert TAGS.unwritable("a\u00a0 b") == ["a", "b"]  # no kind of space is named
    with pytest.raises(VocabularyError, match="no block 'runes'; there are ascii, "):
        Vocabulary.build(["a"], blocks=["runes"])


@pytest.mark.parametrize("subwords", [0, 150])
@pytest.mark.parametrize("symbols", [0, 400])
def test_a_language_is_added_without_moving_an_id(subwords: int, symbols: int):
    old = Vocabulary.build(TEXTS, subwords, symbols)
    new = old.with_language("pt")
    assert new.tag("pt") == len(Vocabulary.build(TEXTS, subwords))
    assert len(new) == (400 if symbols else len(old) + 1)
    assert all(new.encode(text) == old.encode(text) for text in TEXTS)
    assert all(new.encode_characters(text) == old.encode_characters(text) for text in TEXTS)
    assert new.piece_names()[: new.tag("pt")] == old.piece_names()[: new.tag("pt")]
    assert all(new.tag(name) == old.tag(name) for name in (*old.languages, *TASKS))
    assert Vocabulary.from_json(new.to_json()) == new and new.character_count == old.character_count
    assert new.decode([new.tag("pt"), *new.encode("tee"), EOS]) == "tee"
    with pytest.raises(VocabularyError, match="has a tag for 'pt' already"):
        new.with_language("pt")


def test_a_vocabulary_that_does_not_describe_itself_names_the_command():
    fields = json.loads(Vocabulary.build(TEXTS, 150).to_json())
    old = {name: fields[name] for name in ("characters", "subwords", "symbols")}
    with pytest.raises(VocabularyError, match=r"^here: .*`translatotron-v convert FOLDER`"):
        Vocabulary.from_json(json.dumps(old), "here")
