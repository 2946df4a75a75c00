"""What a stage is built from: portions of the corpus, transcripts, text-only batches, and the vocabulary."""

from pathlib import Path

import pytest
import torch

from data_synth.corpora import TextPair
from tests.small import NOUNS, PAIRS, TEXTS, VERBS, enliven, small, small_vocabulary, write_corpus
from translatotron_v.checkpoint import resolve, save_checkpoint
from translatotron_v.config import Config, to_yaml
from translatotron_v.data.page_dataset import MixedDataset, PageDataset
from translatotron_v.data.pages import Batch
from translatotron_v.data.pairs import ReviewedPair, TaggedPair
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.decoding import text as decoding
from translatotron_v.decoding.text import DecodedText
from translatotron_v.errors import UserError
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training.build import build_stage, split_translated
from translatotron_v.training.reviewing import Reader
from translatotron_v.training.stages.base import Stage
from translatotron_v.training.stages.text import TextStage
from translatotron_v.training.trainer import Trainer

TAGS = Vocabulary.build([""])  # any new vocabulary has these tags

FRENCH = {"a": "un", "dog": "chien", "man": "homme", "bird": "oiseau", "tree": "arbre", "bear": "ours"}
FRENCH |= {"runs": "court", "sleeps": "dort", "eats": "mange"}
NO_PICTURE = ("loss.image=0", "loss.distillation=0", "loss.ocr=0")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus in German, English and French."""
    folder = write_corpus(tmp_path_factory.mktemp("data") / "corpus")
    for split in ("train", "val"):
        lines = (folder / f"{split}.en").read_text("utf-8").splitlines()
        french = [" ".join(FRENCH[word] for word in line.split()) for line in lines]
        (folder / f"{split}.fr").write_text("".join(f"{line}\n" for line in french), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of an untrained translator."""
    config, vocabulary = small(), small_vocabulary()
    model = enliven(TranslatotronV(config.model, len(vocabulary), vocabulary.character_count))
    files = {"config.yaml": to_yaml(config), "vocabulary.json": vocabulary.to_json()}
    folder = tmp_path_factory.mktemp("reader")
    save_checkpoint(folder, dict(model.named_children()), files, {"step": 0})
    return folder


@pytest.fixture(autouse=True)
def transcribe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page is said to be of one letter for each page of its batch before it."""
    monkeypatch.setattr(Reader, "transcribe", lambda self, pixels, language: [i * "e" for i in range(len(pixels))])


@pytest.fixture
def settings(corpus: Path, tmp_path: Path):
    def make(stage: str, *overrides: str) -> Config:
        known = "model.vocabulary.languages=[de,en,fr]"
        return small(f"stage={stage}", f"data.folder={corpus}", f"run={tmp_path / 'run'}", known, *overrides)

    return make


@pytest.fixture
def reviewing(settings, reader: Path, tmp_path: Path):
    def make(*overrides: str) -> Config:
        chosen = (f"ssr.reader={reader}", f"ssr.cache={tmp_path / 'cache'}", *NO_PICTURE, *overrides)
        return settings("translator", *chosen)

    return make


def pairs_of(stage: Stage) -> list[TextPair]:
    """The training pairs of a stage that mixes nothing."""
    assert isinstance(stage.dataset, PageDataset)
    return list(stage.dataset.pairs)


def refusal(config: Config) -> str:
    with pytest.raises(UserError) as caught:
        build_stage(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- portions ---------------------------------------------------------------------------------------------------------


def test_a_stage_trains_on_its_portion_of_the_corpus(settings):
    assert pairs_of(build_stage(settings("text"))) == PAIRS
    for stage in ("text", "reader"):
        portion = build_stage(settings(stage, "data.skip=10", "data.limit=12"))
        assert pairs_of(portion) == PAIRS[10:22]
        assert [sample.source for sample in portion.validation] == [pair.source for pair in PAIRS[:4]]
    assert "data.skip=30 leaves nothing" in refusal(settings("text", "data.skip=30"))


def test_translations_are_used_for_a_share_of_the_pairs():
    for share, count in ((1.0, 30), (0.5, 15), (0.1, 3), (0.01, 1), (0.0, 1)):
        used, others = split_translated(PAIRS, share)
        assert len(used) == count and len(others) == 30 - count
        assert [pair for pair in PAIRS if pair in used] == used  # in their order
        assert [pair for pair in PAIRS if pair in others] == others
        assert not set(used) & set(others)
        torch.manual_seed(3)
        assert split_translated(PAIRS, share) == (used, others)  # the same in every run
    assert split_translated(PAIRS, 0.5)[0] != PAIRS[:15]


def test_plain_fine_tuning_leaves_pairs_without_a_translation_out(settings):
    used, _ = split_translated(PAIRS, 0.4)
    stage = build_stage(settings("translator", "data.translated=0.4", "trainer.seed=7", *NO_PICTURE))
    assert pairs_of(stage) == used
    used, _ = split_translated(PAIRS[5:15], 0.4)  # of what skip and limit leave
    assert pairs_of(build_stage(settings("text", "data.translated=0.4", "data.skip=5", "data.limit=10"))) == used


# --- self-review ------------------------------------------------------------------------------------------------------


def test_transcripts_join_the_pairs(reviewing):
    pairs = pairs_of(build_stage(reviewing("data.limit=8")))
    assert pairs == [ReviewedPair(p.source, p.target, i * "e") for i, p in enumerate(PAIRS[:8])]


def test_pages_without_a_translation_take_their_share_of_the_batches(reviewing, tmp_path: Path):
    used, others = split_translated(PAIRS, 0.4)
    stage = build_stage(reviewing("data.translated=0.4", "ssr.untranslated=0.5"))
    assert isinstance(stage.dataset, MixedDataset)
    main, other = stage.dataset.main, stage.dataset.other
    assert isinstance(main, PageDataset) and isinstance(other, PageDataset)
    for dataset, pairs, translated in ((main, used, True), (other, others, False)):
        assert [(pair.source, pair.target) for pair in dataset.pairs] == [(pair.source, pair.target) for pair in pairs]
        assert {pair.translated for pair in dataset.pairs} == {translated}
        places = [PAIRS.index(pair) for pair in pairs]
        assert [pair.transcript for pair in dataset.pairs] == [place * "e" for place in places]  # each page its own
    [cache] = (tmp_path / "cache").iterdir()
    build_stage(reviewing("data.translated=0.9"))
    assert list((tmp_path / "cache").iterdir()) == [cache]  # whatever the share, the pages are the same
    translate = TAGS.tag("translate")
    seen = [bool((stage.dataset[i].target_input == translate).any(1).all()) for i in range(60)]
    assert 18 <= seen.count(False) <= 42
    for share, alone in (("0", 0), ("1", 20)):
        stage = build_stage(reviewing("data.translated=0.4", f"ssr.untranslated={share}"))
        seen = [bool((stage.dataset[i].target_input == translate).any()) for i in range(20)]
        assert seen.count(False) == alone


def test_a_page_without_a_translation_trains_the_transcript_alone(reviewing):
    """No picture is drawn of it, even where the others have one."""
    options = ("data.translated=0.5", "ssr.untranslated=1", "loss.image=1", "loss.label_smoothing=0")
    stage = build_stage(reviewing(*options)).eval()
    batch = stage.dataset[0]
    assert batch.target_pixels is None and batch.target_characters is None
    loss, report = stage(batch, "main", 0)
    assert set(report) == {"text"} and loss.item() == pytest.approx(float(report["text"]))
    logits, _ = stage.translator.text_decoder(
        batch.target_input, stage.translator.encode_image(batch.source_pixels).memory
    )
    log = logits.log_softmax(-1).gather(-1, batch.target_output[..., None])[..., 0]
    written = batch.target_output != PAD
    assert loss.item() == pytest.approx(-log[written].mean().item(), rel=1e-4)
    assert (batch.target_output[written] == EOS).sum() == len(batch.target_output)
    drawn = build_stage(reviewing("data.translated=0.5", "ssr.untranslated=0", "loss.image=1"))
    assert set(drawn(drawn.dataset[0], "main", 0)[1]) == {"text", "image"}


def test_self_review_and_moved_words_do_not_go_together(reviewing):
    assert "pages with a transcript" in refusal(reviewing("data.spans=0.2"))


# --- text-only batches ------------------------------------------------------------------------------------------------


def is_text(batch: Batch) -> bool:
    return batch.source_pixels is None


def tags_of(batch: Batch) -> set[int]:
    return set(batch.target_input[:, 1].tolist())


def test_text_only_batches_take_their_share(settings):
    config = settings("translator", "data.text_share=0.3", "data.target_language=fr", *NO_PICTURE)
    stage = build_stage(config)
    batches = [stage.dataset[i] for i in range(60)]
    assert 9 <= sum(map(is_text, batches)) <= 27
    for batch in batches:
        assert tags_of(batch) == {TAGS.tag("fr")}
        assert batch.source_pieces is not None and batch.target_output is not None
        assert (batch.source_characters is None) == is_text(batch)
    again = build_stage(config)
    for index in (41, 3, 59):  # a function of the index, as resuming needs it
        assert is_text(again.dataset[index]) == is_text(batches[index])
        assert torch.equal(again.dataset[index].target_input, batches[index].target_input)
    other = build_stage(settings("translator", "data.text_share=0.3", "trainer.seed=5", *NO_PICTURE))
    assert [is_text(other.dataset[i]) for i in range(60)] != list(map(is_text, batches))
    for share, count in (("1", 8), ("0", 0)):
        stage = build_stage(settings("translator", f"data.text_share={share}", *NO_PICTURE))
        assert sum(is_text(stage.dataset[i]) for i in range(8)) == count


def test_text_only_batches_are_of_several_languages(settings):
    stage = build_stage(settings("translator", "data.text_share=0.5", "data.text_languages=[en,fr]", *NO_PICTURE))
    batches = [stage.dataset[i] for i in range(20)]
    english, french = TAGS.tag("en"), TAGS.tag("fr")
    assert set().union(*(tags_of(batch) for batch in batches if is_text(batch))) == {english, french}
    assert all(tags_of(batch) == {english} for batch in batches if not is_text(batch))
    known = {english: TEXTS, french: [" ".join(FRENCH[word] for word in pair.target.split()) for pair in PAIRS]}
    for batch in filter(is_text, batches):
        for row, output in zip(batch.target_input.tolist(), batch.target_output.tolist(), strict=True):
            assert stage.vocabulary.decode(output) in known[row[1]]
    message = refusal(settings("translator", "data.text_share=0.5", "data.text_languages=[en,cs]", *NO_PICTURE,
                               "model.vocabulary.languages=[de,en,cs]"))  # fmt: skip
    assert "train.cs" in message


def test_self_review_and_text_only_batches_go_together(reviewing):
    stage = build_stage(reviewing("data.translated=0.5", "data.text_share=0.4", "ssr.untranslated=0.5"))
    batches = [stage.dataset[i] for i in range(40)]
    kinds = {(is_text(b), bool((b.target_input[:, 0] == TAGS.tag("translate")).all())) for b in batches}
    assert kinds == {(True, True), (False, False)}
    assert len({bool(b.translation_mask.any()) for b in batches if not is_text(b)}) == 2


def test_sentences_of_text_only_batches_stay_whole(settings):
    """The reader may look at spans of words and at shuffled ones; of those, nothing would be the translation."""
    options = ("data.spans=1", "data.shuffled=1", "data.curriculum_steps=50", "data.both_languages=true")
    stage = build_stage(settings("reader", "data.text_share=1", *options))
    partner = {pair.source: pair.target for pair in PAIRS}
    for index in range(5):
        batch = stage.dataset[index]
        for source, target in zip(batch.source_pieces.tolist(), batch.target_output.tolist(), strict=True):
            assert partner[stage.vocabulary.decode(source)] == stage.vocabulary.decode(target)


def test_a_text_only_batch_is_a_step_of_text_mode(settings):
    stage = build_stage(settings("translator", "data.text_share=1", "loss.label_smoothing=0", *NO_PICTURE)).eval()
    batch = stage.dataset[0]
    loss, report = stage(batch, "main", 0)
    loss.backward()
    source = stage.translator.encode_text(batch.source_pieces, batch.source_pieces != PAD)
    log = stage.translator(source, batch.target_input).text.log_softmax(-1)
    expected = -log.gather(-1, batch.target_output[..., None])[..., 0][batch.target_output != PAD].mean()
    assert set(report) == {"text_only"} and loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert all(p.grad is None for p in stage.translator.image_encoder.parameters())
    assert stage.translator.text_encoder.embedding.weight.grad.any()
    assert stage.translator.text_decoder.embedding.weight.grad.any()


def test_a_reader_trains_text_mode_beside_reading(settings, tmp_path: Path):
    config = settings("reader", "data.text_share=0.5", "loss.ctc=1", "trainer.weight_decay=0")
    stage = build_stage(config)
    assert len({is_text(stage.dataset[i]) for i in range(4)}) == 2
    before = {key: tensor.clone() for key, tensor in stage.translator.state_dict().items()}
    Trainer(stage, config.trainer, Path(config.run)).fit()
    after = stage.translator.state_dict()
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    assert {key.split(".")[0] for key in changed} == {"image_encoder", "ctc_head", "ocr_head"} | {
        "text_encoder",
        "text_decoder",
    }
    assert "text_encoder.embedding.weight" in changed
    assert not any(key.startswith(("text_encoder.connector", "text_encoder.image_positions")) for key in changed)
    files = {path.stem for path in resolve(tmp_path / "run").glob("*.safetensors")}
    assert files == {"image_encoder", "ctc_head", "ocr_head", "text_encoder", "text_decoder"}
    alone = build_stage(settings("reader", f"run={tmp_path / 'alone'}"))
    assert set(alone.modules_to_save) == {"image_encoder", "ctc_head", "ocr_head"}


# --- text mode of several languages -----------------------------------------------------------------------------------


def test_text_mode_is_scored_by_language(settings, monkeypatch: pytest.MonkeyPatch):
    stage = build_stage(settings("text", "data.text_languages=[en,fr]", "data.validation_limit=6"))
    assert isinstance(stage, TextStage)
    pairs = pairs_of(stage)
    assert len(pairs) == 60 and all(isinstance(pair, TaggedPair) for pair in pairs)
    assert [sample.language for sample in stage.validation] == ["en"] * 3 + ["fr"] * 3
    asked: list[str] = []

    def answer(model, vocabulary, pieces, language, beams, accepts) -> DecodedText:
        asked.append(language)
        text = "un chien court bien vite" if language == "fr" else ""  # never right, and half right
        return DecodedText([[]] * len(pieces), [text] * len(pieces), [0.0] * len(pieces))

    monkeypatch.setattr(decoding, "translate_pieces", answer)
    metrics = stage.eval().evaluate(0).metrics
    assert set(metrics) == {"bleu_en", "bleu_fr"} and asked == ["en", "fr"]
    assert metrics["bleu_en"] == 0 < metrics["bleu_fr"]
    alone = build_stage(settings("text", "data.text_languages=[fr]"))
    assert set(alone.eval().evaluate(0).metrics) == {"bleu"} and asked[2:] == ["fr"]


def test_a_vocabulary_knows_the_languages_of_text_only_batches(settings):
    letters = {"z"} | set("".join(FRENCH.values()))
    assert letters - set("".join(TEXTS))  # some letters are French alone
    for config in (
        settings("text", "data.text_languages=[en,fr]"),
        settings("translator", "data.text_share=0.5", "data.text_languages=[fr]", *NO_PICTURE),
    ):
        assert set("".join(FRENCH.values())) <= set(build_stage(config).vocabulary.characters)
    plain = build_stage(settings("translator", *NO_PICTURE)).vocabulary
    assert build_stage(settings("translator", "data.text_share=0.5", *NO_PICTURE)).vocabulary == plain
    assert plain == small_vocabulary()


def test_the_corpus_is_what_the_tests_take_it_for():
    assert len(PAIRS) == 2 * len(NOUNS) * len(VERBS) == 30
