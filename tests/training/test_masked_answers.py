"""Answers with placeholders for readings that have them: what is written, what is drawn, and whose piece it is."""

from pathlib import Path

import pytest
import torch

from tests.small import SETTINGS
from translatotron_v.config import Config, load_config
from translatotron_v.data.marks import LITERALS
from translatotron_v.data.pages import Batch, pad
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.decoding.text_mode import prepare
from translatotron_v.training.build import build_stage
from translatotron_v.training.masked_answers import literal_texts, masked_answers, spelled_out

PAIRS = [
    ("Um 12.30 Uhr fahren 3 Busse", "At 12:30 3 buses leave", "At 12:30 3 buses leave"),
    ("NUR HEUTE: 50 %", "Only today: 50%", "ONLY TODAY: 50%"),
    ("Der Hund schläft", "The dog sleeps", "The dog sleeps"),
]
ZERO, ONE = LITERALS[:2]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.build([text for pair in PAIRS for text in pair], 150, blocks=["ascii", "latin-1"], marks=True)


def answers(vocabulary: Vocabulary, longest: int = 60, drawing: int = 60) -> Batch:
    tags = [vocabulary.tag("translate"), vocabulary.tag("en")]
    given = pad([[*tags, *vocabulary.encode(answer)] for _, answer, _ in PAIRS])
    batch = Batch(target_input=given, target_characters=given, char_to_token=given, texts=[pair[1:] for pair in PAIRS])
    return masked_answers(batch, [prepare(source) for source, _, _ in PAIRS], vocabulary, longest, drawing)


def test_answers_hold_the_placeholders_of_their_readings(vocabulary: Vocabulary):
    batch = answers(vocabulary)
    written = [vocabulary.decode(row[1:]) for row in batch.target_output.tolist()]
    assert written == [f"At {ZERO} {ONE} buses leave", f"Only today: {ZERO}", "The dog sleeps"]
    read = [vocabulary.decode(row) for row in batch.source_pieces.tolist()]
    assert read[0] == f"Um {ZERO} Uhr fahren {ONE} Busse" and read[1].casefold() == f"nur heute: {ZERO}"
    tags = [vocabulary.tag("translate"), vocabulary.tag("en")]
    for row, wanted in zip(batch.target_input.tolist(), batch.target_output.tolist(), strict=True):
        end = wanted.index(EOS)
        assert row[:2] == tags and row[2 : end + 1] == wanted[1:end] and wanted[0] == PAD
    assert torch.equal(batch.translation_mask[:, 1:], (batch.target_output != PAD)[:, 1:])


def test_what_is_drawn_is_what_the_page_shows(vocabulary: Vocabulary):
    batch = answers(vocabulary)
    assert [vocabulary.decode_characters(row) for row in batch.target_characters.tolist()] == [p[2] for p in PAIRS]
    # Each character belongs to the position that writes its piece: those of "12:30" all to the placeholder's.
    row, names = batch.char_to_token[0].tolist(), vocabulary.piece_names()
    owner = row[PAIRS[0][2].index("12:30")]
    assert row[3:8] == [owner] * 5
    assert names[int(batch.target_output[0, owner])] == ZERO


def test_long_answers_are_cut_and_keep_their_end(vocabulary: Vocabulary):
    batch = answers(vocabulary, longest=5, drawing=4)
    assert batch.target_input.shape[1] <= 5 and 0 < batch.target_characters.shape[1] <= 4
    assert all(EOS in row for row in batch.target_output.tolist())


def test_literals_are_found_again():
    assert literal_texts(f"{ONE}: {ZERO}, {ONE} km", "5: 12.30, 7 km") == ["5", "12.30", "7"]
    assert literal_texts("nothing", "nothing") == []
    with pytest.raises(ValueError, match="no masked form"):
        literal_texts(f"at {ZERO} now", "later")
    assert spelled_out(["ab", f" {ZERO}"], ["17"]) == [("a", 0), ("b", 0), (" ", 1), ("1", 1), ("7", 1)]


def settings(folder: Path, *overrides: str) -> Config:
    for split in ("train", "val"):
        (folder / f"{split}.de").write_text("".join(f"{source}\n" for source, _, _ in PAIRS * 4))
        (folder / f"{split}.en").write_text("".join(f"{answer}\n" for _, answer, _ in PAIRS * 4))
    own = [
        f"data.folder={folder}",
        "stage=translator",
        "model.connector=read",
        "model.canvas.width=256",
        "model.vocabulary.marks=true",
        "model.vocabulary.subwords=150",
        "model.vocabulary.characters=[ascii,latin-1]",
        "page.lower_case=false",
        "loss.distillation=0",
        "loss.ctc=1",
    ]
    return load_config(None, [*SETTINGS, *own, *overrides])


def test_a_translator_trains_and_is_scored_on_masked_readings(tmp_path: Path):
    stage = build_stage(settings(tmp_path, "data.capitals=0.5"))
    batch = stage.dataset[0]
    assert batch.texts is not None and any(answer != drawn for answer, drawn in batch.texts)
    loss, report = stage(batch, "main", 0)
    loss.backward()
    assert torch.isfinite(loss) and {"text", "image", "ctc"} <= set(report)
    stage.eval()
    assert {"bleu", "reading_cer", "picture_cer"} <= set(stage.evaluate(0).metrics)
