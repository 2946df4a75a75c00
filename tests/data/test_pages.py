"""Batches of pages: that every sample follows from seed and index, what a batch holds, and that nothing is lost."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from data_synth.corpora import TextPair
from data_synth.render import render_page
from tests.small import ALL
from translatotron_v.config import Config, load_config
from translatotron_v.data import pages
from translatotron_v.data.page_dataset import MixedDataset, PageDataset
from translatotron_v.data.pages import Batch, Collator
from translatotron_v.data.pairs import ReviewedPair, TaggedPair
from translatotron_v.data.parts import SharedBatches
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.errors import UserError

TAGS = Vocabulary.build([""])  # any new vocabulary has these tags

SMALL = ("model.canvas.height=32", "model.canvas.width=192", "model.vocabulary.subwords=90", "trainer.batch_size=4")
WORDS_DE = ["ein", "hund", "läuft", "durch", "den", "park", "und", "trägt", "einen", "stock"]
WORDS_EN = ["a", "dog", "runs", "through", "the", "park", "and", "carries", "a", "stick"]
PAIRS = [
    TextPair(f"{i} " + " ".join(WORDS_DE[: i % 7 + 2]), f"{i} " + " ".join(WORDS_EN[: i % 7 + 2]))
    for i in range(10, 32)
]
VOCABULARY = Vocabulary.build([text for pair in PAIRS for text in (pair.source, pair.target)], subwords=90)


def settings(*overrides: str) -> Config:
    return load_config(None, [*SMALL, *overrides])


def dataset(*overrides: str, wanted: frozenset[str] = ALL, pairs: list[TextPair] = PAIRS) -> PageDataset:
    config = settings(*overrides)
    return PageDataset(pairs, config, Collator(config, VOCABULARY, wanted))


def same(one: Batch, other: Batch) -> bool:
    values = [(getattr(one, item.name), getattr(other, item.name)) for item in fields(Batch)]
    return all((a is None and b is None) or torch.equal(a, b) for a, b in values)


def texts(batch: Batch) -> list[str]:
    """The source texts, read back from their characters."""
    return [VOCABULARY.decode_characters(row.tolist()) for row in batch.source_characters]


class Looking:
    """Stands for a collator and hands on the samples."""

    def __init__(self, config: Config):
        self.layout = pages.page_layout(config.model.canvas)

    def __call__(self, samples):
        return samples


def samples(*overrides: str, pairs: list[TextPair] = PAIRS) -> PageDataset:
    """A dataset whose batches are samples instead of tensors."""
    config = settings(*overrides)
    return PageDataset(pairs, config, Looking(config))  # type: ignore[arg-type]


RANDOM = ("data.spans=0.5", "data.shuffled=0.5", "data.curriculum_steps=6", "page.fonts=[DejaVuSans,DejaVuSerif]")


def test_a_batch_follows_from_seed_and_index_alone():
    straight, jumping, other = dataset(*RANDOM), dataset(*RANDOM), dataset(*RANDOM, "trainer.seed=2")
    expected = [straight[i] for i in range(12)]
    for i in (11, 3, 3, 0, 7):  # in any order, again and again, across epochs
        assert same(jumping[i], expected[i])
    assert not any(same(other[i], expected[i]) for i in range(12))
    assert not any(same(expected[0], batch) for batch in expected[1:])


def test_global_random_state_does_not_matter():
    first = dataset(*RANDOM)[2]
    torch.manual_seed(99)
    np.random.seed(99)
    assert same(dataset(*RANDOM)[2], first)


@pytest.mark.parametrize("window", [0, 2, 100])
def test_an_epoch_shows_every_pair_once(window: int):
    data = samples(f"data.sort_window={window}", pairs=PAIRS[:20])
    assert data.batches_per_epoch == 5
    orders = []
    for epoch in range(3):
        shown = [sample.source for i in range(5) for sample in data[5 * epoch + i]]
        assert sorted(shown) == sorted(pair.source for pair in PAIRS[:20])
        orders.append(shown)
    assert orders[0] != orders[1] != orders[2]


def test_the_rest_of_an_epoch_is_dropped_and_differs_each_time():
    data = samples()  # 22 pairs, batches of 4
    assert data.batches_per_epoch == 5
    epochs = [{sample.source for i in range(5) for sample in data[5 * epoch + i]} for epoch in range(6)]
    assert all(len(shown) == 20 for shown in epochs)
    assert set.union(*epochs) == {pair.source for pair in PAIRS}


def test_fewer_pairs_than_a_batch_still_fill_it():
    assert len(samples(pairs=PAIRS[:3])[0]) == 4


def test_pairs_stay_aligned():
    partner = {pair.source: pair.target for pair in PAIRS}
    data = samples()
    for i in range(5):
        assert all(partner[sample.source] == sample.target for sample in data[i])


def test_sorting_puts_like_lengths_together():
    def spread(data: PageDataset) -> float:
        return float(np.mean([np.ptp([len(s.source) for s in data[i]]) for i in range(data.batches_per_epoch)]))

    sorted_data = samples("data.sort_window=100")
    assert spread(sorted_data) < 0.5 * spread(samples())
    means = [np.mean([len(s.source) for s in sorted_data[i]]) for i in range(sorted_data.batches_per_epoch)]
    assert means != sorted(means)  # batches themselves come in random order


def test_the_curriculum_grows():
    data = samples("data.curriculum_steps=40", "data.curriculum_words=2")
    longest = [max(len(sample.target.split()) for sample in data[i]) for i in range(60)]
    assert max(longest[:3]) <= 2
    assert max(longest[:20]) <= 6 < max(longest[40:])
    partner = {pair.source: pair.target for pair in PAIRS}
    assert all(partner.get(sample.source) == sample.target for i in range(40, 60) for sample in data[i])  # whole ones
    for i in range(40):
        assert all(any(sample.target in pair.target for pair in PAIRS) for sample in data[i])  # runs of words


def test_the_curriculum_counts_optimizer_steps():
    data = samples("data.curriculum_steps=40", "data.curriculum_words=2", "trainer.accumulate=10")
    assert max(len(sample.target.split()) for i in range(30) for sample in data[i]) <= 3


def test_shuffled_words_are_the_same_words_and_fit():
    partner = {" ".join(sorted(pair.target.split())): pair.target for pair in PAIRS}
    config = settings()
    data = samples("data.shuffled=1.0")
    shown = [sample for i in range(5) for sample in data[i]]
    assert sum(" ".join(sorted(sample.target.split())) in partner for sample in shown) >= 0.8 * len(shown)
    assert sum(sample.target in partner.values() for sample in shown) < 0.5 * len(shown)
    layout, style = pages.page_layout(config.model.canvas), pages.page_style(config.page)
    assert all(render_page(sample.target, layout, style) is not None for sample in shown)


def test_both_languages_take_turns():
    sources = {pair.source for pair in PAIRS}
    data = samples("data.both_languages=true")
    shown = [sample.source in sources for i in range(20) for sample in data[i]]
    assert 0.3 < np.mean(shown) < 0.7


@pytest.mark.parametrize("tagged", [False, True])
def test_the_tags_change_places_with_the_languages(tagged: bool):
    """A German sentence is never labelled English, whichever side of its pair it stands on."""
    other = "fr" if tagged else "en"
    pairs = [TaggedPair(pair.source, pair.target, "fr") for pair in PAIRS] if tagged else PAIRS
    wanted = frozenset({pages.SOURCE_PIECES, pages.TARGET_PIECES})
    data = dataset("data.both_languages=true", wanted=wanted, pairs=pairs)
    sources, seen = {pair.source for pair in PAIRS}, set()
    for index in range(8):
        batch = data[index]
        for read, written in zip(batch.source_input.tolist(), batch.target_input.tolist(), strict=True):
            german = VOCABULARY.decode(read[2:]) in sources
            own, answer = ("de", other) if german else (other, "de")
            assert read[:2] == [VOCABULARY.tag("ocr"), VOCABULARY.tag(own)]
            assert written[:2] == [VOCABULARY.tag("translate"), VOCABULARY.tag(answer)]
            seen.add(german)
    assert seen == {True, False}


def test_fonts_are_mixed():
    data = samples("page.fonts=[DejaVuSans,DejaVuSerif]")
    shown = [sample.style.font for i in range(5) for sample in data[i]]
    assert set(shown) == {"DejaVuSans", "DejaVuSerif"}


# --- what a batch holds -----------------------------------------------------------------------------------------------


def test_a_batch_holds_what_was_asked_for():
    batch = dataset(wanted=frozenset({pages.SOURCE_PIXELS, pages.SOURCE_CHARACTERS}))[0]
    given = {item.name for item in fields(Batch) if getattr(batch, item.name) is not None}
    assert given == {"source_pixels", "source_characters"}
    batch = dataset(wanted=frozenset({pages.TARGET_CHARACTERS}))[0]
    assert {item.name for item in fields(Batch) if getattr(batch, item.name) is not None} == {"target_characters"}


def test_pixels_are_the_rendered_pages():
    config = settings("model.canvas.channels=3")
    sample = pages.plain_samples(PAIRS[:1], config)[0]
    batch = Collator(config, VOCABULARY, ALL)([sample])
    page = render_page(PAIRS[0].target, pages.page_layout(config.model.canvas), sample.style)
    assert batch.target_pixels.shape == (1, 3, 32, 192) and batch.target_pixels.dtype == torch.float32
    assert torch.equal((batch.target_pixels[0] * 255).byte().permute(1, 2, 0), torch.from_numpy(page.pixels))
    assert float(batch.target_pixels.max()) == 1.0 and float(batch.target_pixels.min()) < 0.2


def test_inputs_are_outputs_moved_by_one_behind_the_tags():
    config = settings()
    chosen = PAIRS[:3]
    batch = Collator(config, VOCABULARY, ALL)(pages.plain_samples(chosen, config))
    for row, pair in enumerate(chosen):
        pieces = VOCABULARY.encode(pair.target)
        tags = [TAGS.tag("translate"), TAGS.tag("en")]
        length = len(pieces) + 2
        assert batch.target_input[row].tolist()[:length] == tags + pieces
        assert batch.target_output[row].tolist()[:length] == [PAD, *pieces, EOS]
        assert not batch.target_input[row, length:].any() and not batch.target_output[row, length:].any()
        pieces = VOCABULARY.encode(pair.source)
        assert batch.source_input[row].tolist()[:2] == [TAGS.tag("ocr"), TAGS.tag("de")]
        assert batch.source_output[row].tolist()[: len(pieces) + 2] == [PAD, *pieces, EOS]
        assert batch.source_pieces[row].tolist()[: len(pieces) + 1] == [*pieces, EOS]
    assert texts(batch) == [pair.source for pair in chosen]


def test_tags_follow_the_languages():
    config = settings("data.source_language=fr", "data.target_language=ro")
    batch = Collator(config, VOCABULARY, ALL)(pages.plain_samples(PAIRS[:1], config))
    assert batch.source_input[0, 1] == TAGS.tag("fr") and batch.target_input[0, 1] == TAGS.tag("ro")


def test_char_to_token_points_at_the_position_that_wrote_the_piece():
    config = settings()
    batch = Collator(config, VOCABULARY, ALL)(pages.plain_samples(PAIRS[:4], config))
    for row, pair in enumerate(PAIRS[:4]):
        spelled = ""
        output = batch.target_output[row].tolist()
        for position in range(1, output.index(EOS)):
            owned = batch.target_characters[row][(batch.char_to_token[row] == position)]
            spelled += VOCABULARY.decode_characters(owned.tolist())
        assert spelled == pair.target


def test_a_cut_text_keeps_its_end():
    names = ("text_decoder", "text_encoder", "ocr_head", "character_encoder")
    config = settings(*(f"model.{name}.max_length=7" for name in names))
    chosen = [TextPair("park ".join("einhund"), "park ".join("dogruns"))] * 2
    batch = Collator(config, VOCABULARY, ALL)(pages.plain_samples(chosen, config))
    pieces = VOCABULARY.encode(chosen[0].target)
    assert len(pieces) > 7
    assert batch.target_input.shape == batch.target_output.shape == (2, 7)
    assert batch.target_output[0].tolist() == [PAD, *pieces[:5], EOS]
    assert batch.source_output[0, -1] == EOS and batch.source_output.shape == (2, 7)
    assert batch.source_pieces[0, -1] == EOS and batch.source_pieces.shape == (2, 7)
    assert batch.target_characters[0].tolist() == VOCABULARY.characters_of_pieces(pieces[:5])[0][:7]
    assert int(batch.char_to_token.max()) <= 5  # positions that exist


def test_a_text_that_does_not_fit_is_no_silent_blank():
    config = settings()
    long = TextPair(" ".join(WORDS_DE * 3), "a dog")
    with pytest.raises(ValueError, match="does not fit the page"):
        Collator(config, VOCABULARY, ALL)(pages.plain_samples([long], config))
    assert pages.fitting([long, PAIRS[0]], config) == [PAIRS[0]]
    with pytest.raises(UserError, match="no training pair fits"):
        samples(pairs=[])


def test_fitting_looks_at_every_font():
    narrow = TextPair("i" * 60, "i")  # 3 pixels each, and 4 in bold
    assert pages.fitting([narrow], settings()) == [narrow]
    assert pages.fitting([narrow], settings("page.fonts=[DejaVuSans,DejaVuSans-Bold]")) == []


# --- answers with a transcript ----------------------------------------------------------------------------------------


def reviewed(source: str, target: str, transcript: str, config: Config, translated: bool = True) -> pages.Sample:
    style = pages.page_style(config.page)
    return pages.Sample(source, target, style, transcript=transcript, translated=translated)


def test_an_answer_is_the_transcript_and_then_the_translation():
    config = settings()
    given = [("ein hund läuft", "a dog runs", "ein hun läuf"), ("ein hund", "a dog", ""), ("hund", "dog", "hund den")]
    batch = Collator(config, VOCABULARY, ALL)([reviewed(*texts, config) for texts in given])
    ocr, german, translate, english = (TAGS.tag(name) for name in ("ocr", "de", "translate", "en"))
    width = batch.target_input.shape[1]
    for row, (_, target, transcript) in enumerate(given):
        read, pieces = VOCABULARY.encode(transcript), VOCABULARY.encode(target)
        inputs = [ocr, german, *read, translate, english, *pieces]
        outputs = [PAD, *read, translate, PAD, *pieces, EOS]
        padding = [PAD] * (width - len(inputs))
        assert batch.target_input[row].tolist() == inputs + padding
        assert batch.target_output[row].tolist() == outputs + padding
        first = 3 + len(read)  # the place of the language's tag
        marked = batch.translation_mask[row].nonzero().flatten().tolist()
        assert marked == list(range(first, first + len(pieces) + 1))
        assert [batch.target_output[row, place].item() for place in marked] == [*pieces, EOS]
        spelled = ""
        for place in marked[:-1]:
            owned = batch.target_characters[row][
                (batch.char_to_token[row] == place) & (batch.target_characters[row] != PAD)
            ]
            assert VOCABULARY.decode_characters(owned.tolist()) != ""
            spelled += VOCABULARY.decode_characters(owned.tolist())
        assert spelled == target


def test_without_transcript_every_written_piece_is_of_the_translation():
    config = settings()
    batch = Collator(config, VOCABULARY, ALL)(pages.plain_samples(PAIRS[:4], config))
    written = batch.target_output != PAD
    assert torch.equal(batch.translation_mask[:, 1:], written[:, 1:])
    assert batch.translation_mask[:, 1].all() and not batch.translation_mask[:, 0].any()


def test_pages_without_a_translation_have_their_transcript_alone():
    config = settings()
    samples = [reviewed("ein hund läuft", "never seen", text, config, translated=False) for text in ("ein hund", "ein")]
    batch = Collator(config, VOCABULARY, ALL)(samples)
    ocr, german = TAGS.tag("ocr"), TAGS.tag("de")
    read = VOCABULARY.encode("ein hund")
    assert batch.target_input[0].tolist() == [ocr, german, *read]
    assert batch.target_output[0].tolist() == [PAD, *read, EOS]
    assert batch.target_pixels is batch.target_characters is batch.char_to_token is None
    assert not batch.translation_mask.any() and batch.source_pixels.shape == (2, 1, 32, 192)
    assert batch.source_pieces[0].tolist() == [*VOCABULARY.encode("ein hund läuft"), EOS]


def test_a_cut_answer_keeps_its_turn_and_its_end():
    config = settings("model.text_decoder.max_length=12")
    long = " ".join(WORDS_DE)
    read, pieces = VOCABULARY.encode(long), VOCABULARY.encode("a dog runs through the park and")
    assert pages.longest_transcript(12) == 4 < len(read) and len(pieces) > 6
    style = pages.page_style(config.page)
    samples = [
        pages.Sample("ein", "a dog runs through the park and", style, transcript=long, translated=translated)
        for translated in (True, False)
    ]
    [whole, alone] = [Collator(config, VOCABULARY, frozenset({pages.TARGET_PIECES}))([sample]) for sample in samples]
    translate = TAGS.tag("translate")
    assert whole.target_input.shape == whole.target_output.shape == (1, 12)
    assert whole.target_output[0].tolist() == [PAD, *read[:4], translate, PAD, *pieces[:4], EOS]
    assert alone.target_output[0].tolist() == [PAD, *read[:4], EOS]


def test_transcripts_stay_with_their_pages():
    pairs = [ReviewedPair(pair.source, pair.target, f"read {pair.source}", i % 2 == 0) for i, pair in enumerate(PAIRS)]
    known = {pair.source: pair for pair in pairs}
    shown = [sample for i in range(5) for sample in samples(pairs=pairs)[i]]
    assert len(shown) == 20
    for sample in shown:
        assert sample.transcript == f"read {sample.source}"
        assert (sample.target, sample.translated) == (known[sample.source].target, known[sample.source].translated)


@pytest.mark.parametrize("change", ["data.spans=0.5", "data.shuffled=0.1", "data.curriculum_steps=3"])
def test_words_of_pages_with_a_transcript_stay_in_place(change: str):
    pairs = [ReviewedPair(pair.source, pair.target, pair.source) for pair in PAIRS]
    with pytest.raises(UserError, match=rf"pages with a transcript .*{change.split('=')[0]}=0") as caught:
        samples(change, pairs=pairs)
    assert "\n" not in str(caught.value)


# --- batches of two kinds ---------------------------------------------------------------------------------------------


class Named(SharedBatches[tuple[str, int]]):
    """A data set whose batches say where they come from."""

    def __init__(self, name: str):
        self.name = name

    def part(self, index: int, rank: int = 0, ranks: int = 1) -> tuple[str, int]:
        return self.name, index


def mixture(share: float, seed: int = 0) -> MixedDataset:
    return MixedDataset(Named("main"), Named("other"), share, seed)  # type: ignore[arg-type]


def test_a_share_of_the_batches_is_of_the_other_kind():
    for share, least, most in ((0.0, 0, 0), (1.0, 1000, 1000), (0.3, 250, 350), (0.05, 25, 80)):
        drawn = [mixture(share)[i] for i in range(1000)]
        assert [index for _, index in drawn] == list(range(1000))
        assert least <= sum(name == "other" for name, _ in drawn) <= most


def test_what_kind_a_batch_is_follows_from_seed_and_index():
    straight = [mixture(0.3, seed=5)[i] for i in range(60)]
    again = mixture(0.3, seed=5)
    assert [again[i] for i in reversed(range(60))] == straight[::-1]
    assert [mixture(0.3, seed=6)[i] for i in range(60)] != straight


def test_every_sentence_brings_its_own_language():
    config = settings()
    pairs = [TaggedPair("ein hund", "a dog", language) for language in ("fr", "en", "cs", "")]
    batch = Collator(config, VOCABULARY, ALL)(pages.plain_samples(pairs, config))
    assert batch.target_input[:, 1].tolist() == [TAGS.tag(name) for name in ("fr", "en", "cs", "en")]
    data = samples(pairs=[TaggedPair(pair.source, pair.target, "fr") for pair in PAIRS])
    assert {sample.language for sample in data[0]} == {"fr"}


def test_source_strips_may_be_hard_to_read():
    """Half of them are, the target pages are not, and each is what it was when it is asked for again."""
    strips = ["page.source_sizes=[12,30]", "page.font_size=20", "page.line_height=32", "model.canvas.height=96"]
    plain, worn = (dataset(*strips, "model.canvas.width=512", *more) for more in ([], ["data.degraded=0.5"]))
    samples = [sample for index in range(40) for sample in worn.samples(index)]
    assert 0.3 < np.mean([sample.degraded > 0 for sample in samples]) < 0.7
    assert not any(sample.degraded for index in range(4) for sample in plain.samples(index))
    assert same(worn[2], worn[2])
    hard, clean = replace(samples[0], degraded=1.0), replace(samples[0], degraded=0.0)
    source, target = ([worn.collator.pixels([one], side) for one in (hard, clean)] for side in (0, 1))
    assert not torch.equal(*source) and torch.equal(*target)
