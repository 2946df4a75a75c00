"""Texts from elsewhere: who is asked for what, and what is drawn of the answers."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from torch import nn

from tests.inference.test_whole_pages import write
from tests.page.pages import render
from translatotron_v import cli
from translatotron_v.config import Config
from translatotron_v.data.literals import mask
from translatotron_v.data.marks import LITERALS
from translatotron_v.decoding.text import with_placeholders
from translatotron_v.errors import UserError
from translatotron_v.inference import other_texts
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.other_texts import OtherTexts, TextFile, TextsFrom, cut_into_sentences, give_text
from translatotron_v.inference.pieces import Paragraph, Piece
from translatotron_v.inference.pipeline import Translator
from translatotron_v.inference.whole_pages import PageTranslator
from translatotron_v.ocr import LineDetector, OcrEngine, boxes_to_text
from translatotron_v.page.strips import Run, pack

READ = ["Ein Hund rennt.", "Die Katze schläft lange.", "Ein Hund rennt."]


def strip_of(word: int = 20):
    run = Run(np.ones((32, word), np.float32), 0, 0, 0)
    return pack([run])[0], [run]


def paragraph_of(*sentences: str, parts: int = 1) -> Paragraph:
    """What reading leaves of a paragraph: sentences of several strips each."""
    pieces = [
        Piece(*strip_of(), sentence=(number, text)) for number, text in enumerate(sentences) for _ in range(parts)
    ]
    paragraph = Paragraph([run for piece in pieces for run in piece.runs], text=" ".join(sentences), pieces=pieces)
    paragraph.reading, paragraph.font = math.log(0.95), "DejaVuSans"
    return paragraph


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was asked for, paragraph by paragraph."""
    asked: list[list[str]] = []

    def reads(loaded: object, pages: Sequence[Sequence[Paragraph]], batch_size: int) -> None:
        for number, paragraph in enumerate(paragraph for page in pages for paragraph in page):
            made = paragraph_of(READ[number % 3])
            for name in ("pieces", "text", "font", "reading"):
                setattr(paragraph, name, getattr(made, name))

    def draws(loaded: object, paragraphs: Sequence[Paragraph], batch_size: int, generation: object,
              texts: Mapping[int, str]) -> None:  # fmt: skip
        for paragraph in paragraphs:
            asked.append([texts[id(piece)] for piece in paragraph.pieces if piece.strip is not None])
            write(paragraph, " ".join(asked[-1]))

    monkeypatch.setattr(other_texts, "read_paragraphs", reads)
    monkeypatch.setattr(other_texts, "translate_paragraphs", draws)
    return asked


def translator_of(translate: other_texts.TranslateTexts, detector: LineDetector) -> Translator:
    loaded = LoadedTranslator(nn.Linear(1, 1), SimpleNamespace(), Config(), Path())  # type: ignore[arg-type]
    return Translator(loaded, pages=PageTranslator(TextsFrom(translate)(loaded), None, detector), baseline="texts")


def test_sentences_of_all_blocks_are_asked_for_at_once_and_once(drawn, detector: LineDetector, reader: OcrEngine):
    asked: list[list[str]] = []

    def translate(sentences: Sequence[str]) -> list[str]:
        asked.append(list(sentences))
        return [{"Ein Hund rennt.": "A  dog\nruns."}.get(sentence, "The cat is asleep.") for sentence in sentences]

    translation = translator_of(translate, detector)(Image.fromarray(render(20).pixels))
    assert asked == [["Ein Hund rennt.", "Die Katze schläft lange."]]
    assert drawn == [["A dog runs."], ["The cat is asleep."], ["A dog runs."]]
    assert [block.text for block in translation.blocks] == ["A dog runs.", "The cat is asleep.", "A dog runs."]
    assert boxes_to_text(reader.read(np.asarray(translation.image))).count("dog") == 2


def test_a_block_without_a_text_is_left(drawn, detector: LineDetector):
    translation = translator_of(lambda texts: ["" if "Katze" in text else "A dog." for text in texts], detector)(
        Image.fromarray(render(20).pixels)
    )
    assert [block.skip_reason for block in translation.blocks] == ["", "no text", ""]
    assert drawn == [["A dog."], ["A dog."]]


@pytest.mark.parametrize(
    ("translate", "message"),
    [
        (lambda texts: ["one"], "gave 1 answers to 2 sentences"),
        (lambda texts: [1, 2], "or others than texts"),
        (lambda texts: 1 / 0, "failed: ZeroDivisionError: division by zero"),
    ],
)
def test_what_a_function_does_wrong_is_said(drawn, detector: LineDetector, translate, message: str):
    with pytest.raises(UserError, match=message):
        translator_of(translate, detector)(Image.fromarray(render(20).pixels))


def test_a_file_knows_sentences_and_whole_blocks(tmp_path: Path, drawn):
    file = tmp_path / "texts.tsv"
    file.write_text("source\ttarget\nein  hund rennt\tA dog runs.\nEine Kuh. Ein Kalb.\tA cow and her calf.\n")
    texts = TextFile(file)
    assert texts(["Ein Hund rennt!", "Eine Kuh"]) == ["A dog runs.", ""]
    states = [SimpleNamespace(paragraph=paragraph, skip_reason="") for paragraph in (
        paragraph_of("Eine Kuh.", "Ein Kalb."), paragraph_of("Ein Hund rennt.", "Ein Kalb."), paragraph_of(READ[0])
    )]  # fmt: skip
    OtherTexts(None, texts).translate(states, 4, None)  # type: ignore[arg-type]
    assert [state.skip_reason for state in states] == ["", "no text", ""]
    assert drawn == [["A cow and her calf."], ["A dog runs."]]
    with pytest.raises(UserError, match=r"bad\.tsv:1: one column"):
        (tmp_path / "bad.tsv").write_text("nothing\n")
        TextFile(tmp_path / "bad.tsv")


def test_long_texts_are_cut_evenly_and_drawn_as_the_strips_of_their_sentence(drawn):
    paragraph = paragraph_of("kurz.", "lang.", parts=2)
    kept = Piece(None, [], kept="7")
    paragraph.pieces.insert(2, kept)
    strips = [piece.strip for piece in paragraph.pieces]
    given: dict[int, str] = {}
    long = " ".join(["word"] * 40)  # 199 characters
    other_texts.give_sentences(paragraph, ["Short.", long], given)
    assert paragraph.pieces[1] is kept and len(paragraph.pieces) == 5
    texts = [given[id(piece)] for piece in paragraph.pieces if piece is not kept]
    assert texts[0] == "Short." and " ".join(texts[1:]) == long
    assert [len(text.split()) for text in texts[1:]] == [13, 14, 13]
    used = [piece.strip for piece in paragraph.pieces if piece is not kept]
    assert used[0] is strips[0] and used[1] is used[2] is strips[3] and used[3] is strips[4]
    give_text(paragraph, "One\n\nTwo", given)
    assert [(given[id(piece)], piece.begins) for piece in paragraph.pieces] == [("One", True), ("Two", True)]
    with pytest.raises(UserError, match="nothing was read here"):
        give_text(Paragraph([]), "text", {})


def test_a_model_that_masks_nothing_gets_its_sentences_too():
    runs = [Run(np.ones((32, 30), np.float32), 0, 40 * place, 0) for place in range(4)]
    paragraph = Paragraph(runs, readings=["Ein", "Hund.", "Eine", "Kuh."])
    cut_into_sentences(paragraph)
    assert [piece.sentence for piece in paragraph.pieces] == [(0, "Ein Hund."), (1, "Eine Kuh.")]
    assert [len(piece.runs) for piece in paragraph.pieces] == [2, 2]


def test_literals_keep_their_ink_where_the_text_has_them_as_the_source_does():
    _, literals = mask("Am 3. Mai um 14.30 kostet es 3 Euro")
    numbers = {literal.text: number for number, literal in enumerate(literals)}
    assert "14.30" in numbers
    number = numbers["14.30"]
    assert with_placeholders("At 14.30 sharp, not 114.301", literals, [number]) == (
        f"At {LITERALS[number]} sharp, not 114.301"
    )
    assert with_placeholders("At 14:30", literals, [number]) == "At 14:30"
    assert with_placeholders("At 14.30", literals, []) == "At 14.30"


def test_texts_and_baseline_exclude_one_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "texts.tsv").write_text("Hund\tdog\n")
    arguments = ["translate", str(tmp_path / "a.png"), "-o", str(tmp_path / "out"), "--texts"]
    assert cli.main([*arguments, str(tmp_path / "texts.tsv"), "--baseline", "pixels"]) == 2
    assert "--texts and --baseline both take the model's place" in capsys.readouterr().err
    assert cli.main([*arguments, str(tmp_path / "none.tsv")]) == 2
    assert "none.tsv: cannot be read (No such file or directory)" in capsys.readouterr().err


def test_a_marian_model_translates(tmp_path: Path, drawn, detector: LineDetector):
    """As the how-to shows it, with a random model in place of OPUS-MT."""
    transformers = pytest.importorskip("transformers")
    config = transformers.MarianConfig(
        vocab_size=32, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
        decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8, max_position_embeddings=32,
        pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    model = transformers.MarianMTModel(config).eval()

    def translate(sentences: Sequence[str]) -> list[str]:
        import torch

        ids = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor([*(2 + ord(sign) % 30 for sign in text[:30]), 1]) for text in sentences], batch_first=True
        )
        made = model.generate(ids, attention_mask=ids.ne(0).long(), max_length=8, do_sample=False)
        return [" ".join(chr(97 + int(one) % 26) for one in row) for row in made]

    translation = translator_of(translate, detector)(Image.fromarray(render(20).pixels))
    assert len(drawn) == 3 and drawn[0] == drawn[2] and translation.blocks[0].text == drawn[0][0]
