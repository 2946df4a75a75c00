"""Decoding: cached equals uncached, beams, batches, random drawing, and what may never come out."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.small import PAIRS, enliven, small, small_vocabulary
from translatotron_v.config import TransformerConfig
from translatotron_v.data import pages
from translatotron_v.data.pages import Batch, Collator, Sample, longest_transcript, page_style, plain_samples
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary, tag_specials
from translatotron_v.decoding.image import generate_image
from translatotron_v.decoding.search import PieceScorer, beam_search, beam_search_by_length
from translatotron_v.decoding.source import read_ctc
from translatotron_v.decoding.spelling import Spelling
from translatotron_v.decoding.text import (
    DecodedText,
    drawing_mask,
    drawing_states,
    generate,
    generate_answer,
    generate_image_masked,
    generate_text,
    redraw,
    spelled_states,
)
from translatotron_v.errors import UserError
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.models.image_decoder import ImageDecoder
from translatotron_v.models.text_decoder import TextDecoder
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.ranges import ConfigError
from translatotron_v.training import losses
from translatotron_v.training.stages import check_stage

VOCABULARY = small_vocabulary()
ASKED = GenerationConfig("de", "en")
CONFIG = small()


SOME = [PAIRS[i] for i in (0, 4, 8, 16, 20)]  # of three words and of two


@pytest.fixture(scope="module")
def batch() -> Batch:
    wanted = frozenset({pages.SOURCE_PIXELS, pages.TARGET_PIECES, pages.TARGET_CHARACTERS})
    return Collator(CONFIG, VOCABULARY, wanted)(plain_samples(SOME, CONFIG))


@pytest.fixture(scope="module")
def pixels(batch: Batch) -> torch.Tensor:
    return batch.source_pixels


@pytest.fixture(scope="module")
def model(batch: Batch) -> TranslatotronV:
    """Half trained on five pages: its texts differ and end, its pictures are not all of one colour."""
    torch.manual_seed(0)
    model = TranslatotronV(CONFIG.model, len(VOCABULARY), VOCABULARY.character_count).eval()
    image_ids = torch.randint(24, (5, 16))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    with torch.enable_grad():
        for _ in range(50):
            output = model(
                model.encode_image(batch.source_pixels),
                batch.target_input,
                batch.target_output != PAD,
                image_ids=image_ids,
                characters=batch.target_characters,
                character_mask=drawing_mask(batch.target_characters),
                char_to_token=batch.char_to_token,
            )
            loss = losses.text_cross_entropy(output.text, batch.target_output)
            (loss + losses.image_cross_entropy(output.image, image_ids)).backward()
            optimizer.step()
            optimizer.zero_grad()
    return model


def text_of(model: TranslatotronV, pixels: torch.Tensor, beams: int = 1, cached: bool = True):
    source = model.encode_image(pixels)
    decoder = model.text_decoder
    return generate_text(decoder, VOCABULARY, source.memory, source.mask, "translate", "en", beams, cached)


# --- text -------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_example_is_worth_testing(model: TranslatotronV, pixels: torch.Tensor):
    found = text_of(model, pixels)
    assert len({len(row) for row in found.ids}) >= 2 and len(set(found.texts)) >= 2, found
    assert max(len(row) for row in found.ids) < model.text_decoder.max_length - 2


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_text_with_a_cache_is_the_same_text(model: TranslatotronV, pixels: torch.Tensor, beams: int):
    cached, uncached = (text_of(model, pixels, beams, cached) for cached in (True, False))
    assert cached.ids == uncached.ids and cached.texts == uncached.texts
    assert cached.scores == pytest.approx(uncached.scores, rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_text_scores_are_mean_log_probabilities(model: TranslatotronV, pixels: torch.Tensor, beams: int):
    found = text_of(model, pixels, beams)
    source = model.encode_image(pixels)
    for row, (ids, score) in enumerate(zip(found.ids, found.scores, strict=True)):
        tags = [VOCABULARY.tag("translate"), VOCABULARY.tag("en")]
        written = [*ids, EOS] if len(ids) < model.text_decoder.max_length - 2 else ids
        given = torch.tensor([[*tags, *written[:-1]]])
        logits = model.text_decoder(given, source.memory[row : row + 1])[0][0, 1:]
        expected = logits.log_softmax(-1)[range(len(written)), written].mean()
        assert score == pytest.approx(expected.item(), rel=1e-4)


@torch.no_grad()
def test_greedy_takes_the_best_piece_at_each_step(model: TranslatotronV, pixels: torch.Tensor):
    source = model.encode_image(pixels[:1])
    [ids] = text_of(model, pixels[:1]).ids
    prefix = [VOCABULARY.tag("translate"), VOCABULARY.tag("en")]
    for piece in [*ids, EOS][: model.text_decoder.max_length - 2]:
        logits = model.text_decoder(torch.tensor([prefix]), source.memory)[0][0, -1]
        logits[[i for i in range(len(tag_specials())) if i != EOS]] = float("-inf")
        assert piece == int(logits.argmax())
        prefix.append(piece)


@torch.no_grad()
def test_one_beam_of_the_search_is_greedy(model: TranslatotronV, pixels: torch.Tensor):
    source = model.encode_image(pixels)
    prompts = np.array([[VOCABULARY.tag("translate"), VOCABULARY.tag("en")]] * 5)
    scorer = PieceScorer(model.text_decoder, VOCABULARY, source.memory, source.mask, 1, True)
    ids, scores = beam_search(scorer, prompts, model.text_decoder.max_length - 2, 1)
    greedy = text_of(model, pixels)
    assert ids == greedy.ids and scores == pytest.approx(greedy.scores, rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
def test_enough_beams_find_the_best_text_there_is(seed: int):
    """Against all texts of up to three characters over three letters."""
    vocabulary = Vocabulary(["a", "b", "c"])
    size = TransformerConfig(width=8, layers=1, heads=2, feed_forward=16, max_length=6)  # two tags, three pieces, end
    decoder = enliven(TextDecoder(size, len(vocabulary), 8), seed, scale=0.5)
    memory = torch.randn(1, 2, 8)
    found = generate_text(decoder, vocabulary, memory, None, "translate", "en", beams=64)
    first = [vocabulary.tag("translate"), vocabulary.tag("en")]
    letters = vocabulary.encode("abc")
    best = (float("-inf"), [])
    for length in range(4):
        for ids in itertools.product(letters, repeat=length):
            log = decoder(torch.tensor([[*first, *ids]]), memory)[0][0, 1:].log_softmax(-1)
            score = log[range(length + 1), [*ids, EOS]].mean().item()
            best = max(best, (score, list(ids)))
    assert found.ids[0] == best[1]
    assert found.scores[0] == pytest.approx(best[0], rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_text_does_not_depend_on_its_neighbours(model: TranslatotronV, beams: int):
    """Sources of different lengths, padded into one batch, against each alone."""
    pieces = [VOCABULARY.encode(pair.source) for pair in (PAIRS[0], PAIRS[16], PAIRS[20])]
    batch = pages.pad(pieces)
    source = model.encode_text(batch, batch != PAD)
    decoder = model.text_decoder
    together = generate_text(decoder, VOCABULARY, source.memory, source.mask, "translate", "en", beams)
    assert not source.mask.all()
    for row, ids in enumerate(pieces):
        one = model.encode_text(torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.bool))
        alone = generate_text(decoder, VOCABULARY, one.memory, one.mask, "translate", "en", beams)
        assert alone.ids[0] == together.ids[row]
        assert alone.scores[0] == pytest.approx(together.scores[row], rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
def test_a_slow_neighbour_gives_no_page_another_text(seed: int):
    """A decoder that is sure of nothing ends its pages at very different steps; each stops by itself."""
    vocabulary = Vocabulary(list("abcdefgh"))
    size = TransformerConfig(width=8, layers=1, heads=2, feed_forward=16, max_length=20)
    decoder = enliven(TextDecoder(size, len(vocabulary), 8), seed, scale=0.3)
    memory = 3 * torch.randn(6, 2, 8, generator=torch.Generator().manual_seed(seed))

    def search(pages: torch.Tensor) -> DecodedText:
        return generate_text(decoder, vocabulary, pages, None, "translate", "en", beams=4)

    together, alone = search(memory), [search(page[None]) for page in memory]
    assert together.ids == [one.ids[0] for one in alone]
    assert together.scores == pytest.approx([one.scores[0] for one in alone], rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_special_symbols_never_come_out(pixels: torch.Tensor, beams: int):
    model = enliven(TranslatotronV(CONFIG.model, len(VOCABULARY), VOCABULARY.character_count), seed=1)
    wish = model.text_decoder.norm.bias.data.fill_(1.0)
    for special in range(len(tag_specials())):
        if special != EOS:
            model.text_decoder.embedding.weight.data[special] = wish  # by far the most probable
    ids = text_of(model, pixels, beams).ids
    assert any(ids)
    assert all(piece >= len(tag_specials()) for row in ids for piece in row)


@torch.no_grad()
def test_text_that_never_ends_is_cut(pixels: torch.Tensor):
    model = enliven(TranslatotronV(CONFIG.model, len(VOCABULARY), VOCABULARY.character_count), seed=1)
    model.text_decoder.norm.bias.data.fill_(1.0)
    model.text_decoder.embedding.weight.data[EOS] = -9.0
    for beams in (1, 2):
        assert {len(row) for row in text_of(model, pixels, beams).ids} == {24 - 2}


def written(texts: list[str], transcripts: list[str] | None = None, vocabulary: Vocabulary = VOCABULARY) -> DecodedText:
    """An answer of these texts, as if a decoder had written it."""
    opening = [vocabulary.tag("ocr"), vocabulary.tag("de")]
    translate_tags = [vocabulary.tag("translate"), vocabulary.tag("en")]
    prefixes = [translate_tags] * len(texts)
    if transcripts is not None:
        prefixes = [[*opening, *vocabulary.encode(transcript), *translate_tags] for transcript in transcripts]
    ids = [vocabulary.encode(text) for text in texts]
    return DecodedText(ids, texts, [0.0] * len(texts), transcripts or [], prefixes)


# --- transcripts and translations -------------------------------------------------------------------------------------

READ = ["ein hund rennt", "ein man", "", "hund baum", "vogel"]  # what was learnt to stand on the five pages
OPENING = [VOCABULARY.tag("ocr"), VOCABULARY.tag("de")]
TRANSLATE_TAGS = [VOCABULARY.tag("translate"), VOCABULARY.tag("en")]
LONGEST = CONFIG.model.text_decoder.max_length


@pytest.fixture(scope="module")
def sheets() -> torch.Tensor:
    """Five pages that are soon told apart."""
    return torch.rand(5, 1, 16, 128, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def reviewer(sheets: torch.Tensor) -> TranslatotronV:
    """Has learnt five answers of a transcript and a translation."""
    torch.manual_seed(0)
    model = TranslatotronV(CONFIG.model, len(VOCABULARY), VOCABULARY.character_count).eval()
    style = page_style(CONFIG.page)
    samples = [Sample(p.source, p.target, style, transcript=text) for p, text in zip(SOME, READ, strict=True)]
    batch = Collator(CONFIG, VOCABULARY, frozenset({pages.TARGET_PIECES}))(samples)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-2)
    with torch.enable_grad():
        for _ in range(60):
            output = model(model.encode_image(sheets), batch.target_input)
            losses.text_cross_entropy(output.text, batch.target_output).backward()
            optimizer.step()
            optimizer.zero_grad()
    return model


def untrained(seed: int) -> TranslatotronV:
    return enliven(TranslatotronV(CONFIG.model, len(VOCABULARY), VOCABULARY.character_count), seed)


def wishful(*wishes: str | int, unwanted: tuple[str | int, ...] = ()) -> TranslatotronV:
    """Would write some special symbols before anything else, and others never."""
    model = untrained(1)
    wish = model.text_decoder.norm.bias.data.fill_(1.0)
    for names, row in ((wishes, wish), (unwanted, -9.0 * wish)):
        for name in names:
            model.text_decoder.embedding.weight.data[VOCABULARY.tag(name) if isinstance(name, str) else name] = row
    return model


def answer_of(model: TranslatotronV, pixels: torch.Tensor, cached: bool = True, **options) -> DecodedText:
    generation = replace(ASKED, transcribe=True, **options)
    return generate_answer(model, VOCABULARY, model.encode_image(pixels), generation, cached=cached)


def one_by_one(model: TranslatotronV, page: torch.Tensor) -> tuple[list[int], list[int], float]:
    """The answer to one page, each piece by a pass of its own: first the transcript, then what follows the tags."""
    memory = model.encode_image(page[None]).memory
    specials = len(tag_specials())

    def next_piece(prefix: list[int]) -> torch.Tensor:
        return model.text_decoder(torch.tensor([prefix]), memory)[0][0, -1].log_softmax(-1)

    read: list[int] = []
    while len(read) < longest_transcript(LONGEST):
        log = next_piece([*OPENING, *read])
        if torch.logaddexp(log[EOS], log[VOCABULARY.tag("translate")]) > log[specials:].max():
            break
        read.append(specials + int(log[specials:].argmax()))
    prefix, ids, scores = [*OPENING, *read, *TRANSLATE_TAGS], [], []
    while len(prefix) + len(ids) < LONGEST:
        log = next_piece([*prefix, *ids])
        log[[special for special in range(specials) if special != EOS]] = float("-inf")
        scores.append(float(log.max()))
        if int(log.argmax()) == EOS:
            break
        ids.append(int(log.argmax()))
    return read, ids, sum(scores) / len(scores)


@torch.no_grad()
def test_an_answer_is_split_into_what_was_read_and_what_it_means(reviewer: TranslatotronV, sheets: torch.Tensor):
    answer = answer_of(reviewer, sheets)
    assert answer.transcripts == READ and answer.texts == [pair.target for pair in SOME]
    assert answer.prefixes == [[*OPENING, *VOCABULARY.encode(text), *TRANSLATE_TAGS] for text in READ]
    assert [VOCABULARY.decode(ids) for ids in answer.ids] == answer.texts
    assert len(answer.scores) == 5 and all(score < 0 for score in answer.scores)


@torch.no_grad()
def test_more_beams_find_no_worse_text(reviewer: TranslatotronV, sheets: torch.Tensor):
    """Of a decoder that knows its answers; one that does not may end on short ones (see the page's own stop)."""
    greedy, beams = answer_of(reviewer, sheets), answer_of(reviewer, sheets, beams=8)
    assert all(b >= g - 1e-6 for b, g in zip(beams.scores, greedy.scores, strict=True))


@torch.no_grad()
@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_an_answer_is_that_of_one_page_and_one_piece_at_a_time(
    reviewer: TranslatotronV, sheets: torch.Tensor, seed: int | None
):
    model = reviewer if seed is None else untrained(seed)
    answer = answer_of(model, sheets)
    for row in range(5):
        read, ids, score = one_by_one(model, sheets[row])
        assert answer.prefixes[row] == [*OPENING, *read, *TRANSLATE_TAGS] and answer.ids[row] == ids
        assert answer.transcripts[row] == VOCABULARY.decode(read)
        assert answer.scores[row] == pytest.approx(score, rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("seed", [None, 2])
def test_answers_with_a_cache_are_the_same_answers(
    reviewer: TranslatotronV, sheets: torch.Tensor, beams: int, seed: int | None
):
    model = reviewer if seed is None else untrained(seed)
    cached, uncached = (answer_of(model, sheets, beams=beams, cached=cached) for cached in (True, False))
    assert cached.ids == uncached.ids and cached.prefixes == uncached.prefixes
    assert cached.texts == uncached.texts and cached.transcripts == uncached.transcripts
    assert cached.scores == pytest.approx(uncached.scores, rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("seed", [None, 2])
def test_beams_behind_transcripts_of_different_lengths(
    reviewer: TranslatotronV, sheets: torch.Tensor, seed: int | None
):
    model = reviewer if seed is None else untrained(seed)
    source = model.encode_image(sheets)
    greedy = answer_of(model, sheets)
    ids, scores = beam_search_by_length(model.text_decoder, VOCABULARY, source, greedy.prefixes, 1, True)
    assert ids == greedy.ids and scores == pytest.approx(greedy.scores, rel=1e-4)
    beams = answer_of(model, sheets, beams=4)
    assert beams.prefixes == greedy.prefixes  # the transcript is greedy in any case
    assert all(b >= g - 1e-5 for b, g in zip(beams.scores, greedy.scores, strict=True))
    for row in range(5):
        alone = answer_of(model, sheets[row : row + 1], beams=4)
        assert alone.ids[0] == beams.ids[row] and alone.scores[0] == pytest.approx(beams.scores[row], rel=1e-4)


@torch.no_grad()
def test_the_turn_to_translating_ends_a_transcript_and_nothing_else(sheets: torch.Tensor):
    model = wishful("translate", unwanted=(EOS,))
    answer = answer_of(model, sheets)
    assert answer.transcripts == [""] * 5 and answer.prefixes == [[*OPENING, *TRANSLATE_TAGS]] * 5
    assert {len(ids) for ids in answer.ids} == {LONGEST - 4}  # nothing ends the translation
    source = model.encode_image(sheets)
    for task, length in (("ocr", 0), ("translate", LONGEST - 2)):
        for beams in (1, 2):
            made = generate_text(model.text_decoder, VOCABULARY, source.memory, source.mask, task, "de", beams)
            assert {len(ids) for ids in made.ids} == {length}


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 2])
def test_a_transcript_that_never_ends_leaves_room_for_the_translation(sheets: torch.Tensor, beams: int):
    answer = answer_of(wishful(unwanted=(EOS, "translate")), sheets, beams=beams)
    most = longest_transcript(LONGEST)
    assert most == 10
    assert {len(prefix) for prefix in answer.prefixes} == {2 + most + 2}
    assert {len(ids) for ids in answer.ids} == {LONGEST - most - 4}
    assert all(piece >= len(tag_specials()) for prefix in answer.prefixes for piece in prefix[2:-2])


@torch.no_grad()
def test_the_languages_of_an_answer_are_asked_for(reviewer: TranslatotronV, sheets: torch.Tensor):
    source = reviewer.encode_image(sheets)
    answer = generate_answer(reviewer, VOCABULARY, source, GenerationConfig("en", "fr", transcribe=True))
    tags = {(prefix[0], prefix[1], prefix[-2], prefix[-1]) for prefix in answer.prefixes}
    assert tags == {tuple(VOCABULARY.tag(name) for name in ("ocr", "en", "translate", "fr"))}


@torch.no_grad()
def test_an_answer_without_transcript_is_the_translation(model: TranslatotronV, pixels: torch.Tensor):
    answer, text = generate_answer(model, VOCABULARY, model.encode_image(pixels), ASKED), text_of(model, pixels)
    assert answer == text and answer.transcripts == [] and answer.prefixes == [TRANSLATE_TAGS] * 5


def test_a_picture_is_drawn_from_the_translation_behind_its_transcript(reviewer: TranslatotronV, sheets: torch.Tensor):
    made, uncached = (
        generate(reviewer, VOCABULARY, sheets, replace(ASKED, transcribe=True), cached=c) for c in (True, False)
    )
    assert made.sources == READ and made.texts == [pair.target for pair in SOME]
    assert torch.equal(made.image_ids, uncached.image_ids)
    with torch.no_grad():
        source = reviewer.encode_image(sheets)
        drawn, mask = drawing_states(reviewer, VOCABULARY, source, answer_of(reviewer, sheets))
        ids, _ = generate_image(reviewer.image_decoder, drawn, mask, source.memory)
    assert torch.equal(made.image_ids, ids)


# --- pictures ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def image_inputs(model: TranslatotronV, pixels: torch.Tensor, texts: list[str] | None = None):
    texts = texts or [pair.target for pair in SOME[: len(pixels)]]
    source = model.encode_image(pixels)
    drawn, mask = drawing_states(model, VOCABULARY, source, written(texts))
    return model.image_decoder, drawn, mask, source.memory


@torch.no_grad()
def test_pictures_with_a_cache_are_the_same_pictures(model: TranslatotronV, pixels: torch.Tensor):
    given = image_inputs(model, pixels)
    for options in ({}, {"top_k": 4, "seed": 3, "temperature": 1.5}):
        (ids, scores), (other, other_scores) = (
            generate_image(*given, replace(ASKED, **options), cached=c) for c in (True, False)
        )
        assert torch.equal(ids, other)
        assert scores == pytest.approx(other_scores, rel=1e-5)


@torch.no_grad()
def test_pictures_take_the_best_token_at_each_place(model: TranslatotronV, pixels: torch.Tensor):
    decoder, drawn, mask, memory = image_inputs(model, pixels)
    ids, scores = generate_image(decoder, drawn, mask, memory)
    log = decoder(ids, drawn, mask, memory).log_softmax(-1)
    assert torch.equal(ids, log.argmax(-1))
    assert scores == pytest.approx(log.amax(-1).mean(1).tolist(), rel=1e-4)
    assert len(ids.unique()) > 3


@torch.no_grad()
def test_drawing_at_random_is_seeded_and_keeps_to_the_best(model: TranslatotronV, pixels: torch.Tensor):
    given = image_inputs(model, pixels)
    decoder, drawn, mask, memory = given
    first, again, other = (
        generate_image(*given, replace(ASKED, top_k=3, seed=seed, temperature=9.0))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    ranks = decoder(first, drawn, mask, memory).argsort(-1, descending=True)
    places = (ranks == first[..., None]).int().argmax(-1)
    assert set(places.flatten().tolist()) == {0, 1, 2}
    greedy = generate_image(*given)[0]
    assert torch.equal(generate_image(*given, replace(ASKED, top_k=3, seed=1, temperature=1e-4))[0], greedy)
    assert torch.equal(generate_image(*given, replace(ASKED, seed=9, temperature=5.0))[0], greedy)
    state = torch.get_rng_state()
    generate_image(*given, replace(ASKED, top_k=3))
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's random numbers are spent


@torch.no_grad()
def test_pictures_do_not_depend_on_their_neighbours(model: TranslatotronV, pixels: torch.Tensor):
    texts = ["a dog runs", "man", "bear eats a tree", "a", ""]
    ids, scores = generate_image(*image_inputs(model, pixels, texts))
    for row in range(5):
        one, score = generate_image(*image_inputs(model, pixels[row : row + 1], texts[row : row + 1]))
        assert torch.equal(one[0], ids[row])
        assert score[0] == pytest.approx(scores[row], rel=1e-4)


# --- pictures in a few passes -----------------------------------------------------------------------------------------


class Watched:
    """Stands in for ``ImageDecoder.predict_masked``: keeps its calls; the token 0 of empty pages is never best."""

    def __init__(self, decoder: ImageDecoder):
        self.predict_masked = decoder.predict_masked
        self.calls: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []  # ids, known, logits

    def __call__(self, ids: torch.Tensor, known: torch.Tensor, cross_caches: list) -> torch.Tensor:
        logits = self.predict_masked(ids, known, cross_caches)
        logits[..., 0] = float("-inf")
        self.calls.append((ids.clone(), known.clone(), logits.clone()))
        return logits


@pytest.fixture
def watched(model: TranslatotronV, monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(model.image_decoder)
    monkeypatch.setattr(model.image_decoder, "predict_masked", watched)
    return watched


@torch.no_grad()
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_every_token_is_written_in_as_many_passes_as_were_asked_for(
    model: TranslatotronV, pixels: torch.Tensor, watched: Watched, steps: int
):
    ids, scores = generate_image_masked(*image_inputs(model, pixels), steps=steps)
    assert len(watched.calls) == steps
    assert ids.shape == (5, 16) and (ids > 0).all() and (ids < 24).all()
    written = [16 - int(16 * (1 - step / steps) ** 2) for step in range(steps)]
    for (given, known, _), count in zip(watched.calls, written, strict=True):
        assert known.sum(1).tolist() == [count] * 5
        assert torch.equal(ids[known], given[known])  # what is written stays
    for (_, known, _), (_, later, _) in itertools.pairwise(watched.calls):
        assert (known <= later).all()
    assert len(scores) == 5 and all(score < 0 for score in scores)


@torch.no_grad()
def test_each_pass_keeps_what_it_is_surest_of(model: TranslatotronV, pixels: torch.Tensor, watched: Watched):
    ids, scores = generate_image_masked(*image_inputs(model, pixels), steps=3)
    total = torch.zeros(5)
    states = [known for _, known, _ in watched.calls[1:]] + [torch.ones(5, 16, dtype=torch.bool)]
    for (_, known, logits), after in zip(watched.calls, states, strict=True):
        best, best_ids = logits.log_softmax(-1).max(-1)
        new = after & ~known
        assert torch.equal(ids[new], best_ids[new])
        for row in range(5):
            assert best[row][new[row]].min() >= best[row][~after[row]].max() if not after[row].all() else True
        total += (best * new).sum(1)
    assert scores == pytest.approx((total / 16).tolist(), rel=1e-4)


@torch.no_grad()
def test_one_pass_takes_the_best_of_each_place(model: TranslatotronV, pixels: torch.Tensor):
    decoder, drawn, mask, memory = image_inputs(model, pixels)
    ids, scores = generate_image_masked(decoder, drawn, mask, memory, steps=1)
    nothing = torch.zeros(5, 16, dtype=torch.bool)
    log = decoder.predict_masked(torch.zeros_like(ids), nothing, decoder.project_kv(drawn, mask, memory)).log_softmax(
        -1
    )
    assert torch.equal(ids, log.argmax(-1))
    assert scores == pytest.approx(log.amax(-1).mean(1).tolist(), rel=1e-4)


@torch.no_grad()
def test_as_many_passes_as_tokens_fill_the_page(model: TranslatotronV, pixels: torch.Tensor, watched: Watched):
    for steps in (7, 16):
        assert (generate_image_masked(*image_inputs(model, pixels), steps=steps)[0] > 0).all()


@torch.no_grad()
def test_a_page_filled_again_is_the_same_page(model: TranslatotronV, pixels: torch.Tensor):
    state = torch.get_rng_state()
    (ids, scores), (again, other) = (generate_image_masked(*image_inputs(model, pixels), steps=4) for _ in range(2))
    assert torch.equal(ids, again) and scores == other
    assert torch.equal(torch.get_rng_state(), state)  # nothing is drawn by chance
    for row in range(5):
        texts = [SOME[row].target]
        one, score = generate_image_masked(*image_inputs(model, pixels[row : row + 1], texts), steps=4)
        assert torch.equal(one[0], ids[row]) and score[0] == pytest.approx(scores[row], rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("steps", [-1, 0, 17])
def test_no_pass_and_more_passes_than_tokens_are_refused(model: TranslatotronV, pixels: torch.Tensor, steps: int):
    with pytest.raises(UserError, match=f"image steps must be between 1 and the 16 tokens of a page, not {steps}$"):
        generate_image_masked(*image_inputs(model, pixels), steps=steps)


def test_pictures_are_filled_where_passes_are_asked_for(model: TranslatotronV, pixels: torch.Tensor, watched: Watched):
    plain = generate(model, VOCABULARY, pixels, ASKED)
    assert not watched.calls
    made = generate(model, VOCABULARY, pixels, replace(ASKED, image_steps=3))
    assert len(watched.calls) == 3 and made.texts == plain.texts and made.sources == plain.sources
    ids, scores = generate_image_masked(*image_inputs(model, pixels, made.texts), steps=3)
    assert torch.equal(made.image_ids, ids) and made.image_scores == pytest.approx(scores, rel=1e-5)
    assert torch.equal(made.pixels, model.image_tokenizer.decode_from_ids(ids))


# --- the whole --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"beams": 3}, {"top_k": 3, "seed": 1}])
def test_generate_with_and_without_cache(model: TranslatotronV, pixels: torch.Tensor, options: dict):
    cached, uncached = (generate(model, VOCABULARY, pixels, replace(ASKED, **options), cached=c) for c in (True, False))
    assert cached.texts == uncached.texts and cached.sources == uncached.sources
    assert torch.equal(cached.image_ids, uncached.image_ids) and torch.equal(cached.pixels, uncached.pixels)
    assert cached.text_scores == pytest.approx(uncached.text_scores, rel=1e-5)
    assert cached.image_scores == pytest.approx(uncached.image_scores, rel=1e-5)


def test_generate_returns_pictures(model: TranslatotronV, pixels: torch.Tensor):
    made = generate(model, VOCABULARY, pixels, ASKED)
    assert made.pixels.shape == pixels.shape and made.image_ids.shape == (5, 16)
    assert made.pixels.min() >= 0 and made.pixels.max() <= 1
    assert torch.equal(made.pixels, model.image_tokenizer.decode_from_ids(made.image_ids))
    assert len(made.texts) == len(made.sources) == len(made.text_scores) == len(made.image_scores) == 5
    assert all(score < 0 for score in (*made.text_scores, *made.image_scores))


def test_given_texts_are_drawn(model: TranslatotronV, pixels: torch.Tensor):
    texts = ["a dog runs"] * 5
    made = generate(model, VOCABULARY, pixels, ASKED, texts=texts)
    assert made.texts == texts
    expected, _ = generate_image(*image_inputs(model, pixels, texts))
    assert torch.equal(made.image_ids, expected)
    other = generate(model, VOCABULARY, pixels, ASKED, texts=["a bird sleeps"] * 5)
    assert not torch.equal(made.image_ids, other.image_ids)


def test_words_are_drawn_again_as_they_were_or_alone(
    model: TranslatotronV, pixels: torch.Tensor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(model.image_tokenizer, "decode_from_ids", lambda ids: ids)  # its codes are all alike
    texts = ["a dog runs", "a bird sleeps", "a dog"]
    made = generate(model, VOCABULARY, pixels[:3], ASKED, texts=texts)
    assert made.draft is not None and [spelling.text for spelling in made.spellings] == texts
    assert torch.equal(redraw(model, VOCABULARY, made.draft, made.spellings, ASKED), made.pixels)
    one = redraw(model, VOCABULARY, made.draft.rows([1]), made.spellings[1:2], ASKED)
    assert torch.equal(one, made.pixels[1:2])
    bird = [Spelling(made.spellings[1].words[1:2])]
    assert redraw(model, VOCABULARY, made.draft.rows([1]), bird, ASKED).shape == one.shape
    _, mask = spelled_states(model, VOCABULARY, made.draft.rows([1]), [[]], bird)
    assert mask.sum() == len("bird")
    by_chance = [
        redraw(model, VOCABULARY, made.draft, made.spellings, replace(ASKED, top_k=8, temperature=4.0, seed=seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(by_chance[0], by_chance[1]) and not torch.equal(by_chance[0], by_chance[2])


def test_empty_and_endless_texts_can_be_drawn(model: TranslatotronV, pixels: torch.Tensor):
    made = generate(model, VOCABULARY, pixels[:3], ASKED, texts=["", "☃", "a dog runs " * 30])
    assert made.pixels.shape == (3, 1, 16, 128) and made.pixels.isfinite().all()


def test_the_target_language_is_asked_for(model: TranslatotronV, pixels: torch.Tensor):
    english, romanian = (
        generate(model, VOCABULARY, pixels, replace(ASKED, target_language=name)) for name in ("en", "ro")
    )
    assert english.text_scores != romanian.text_scores


@torch.no_grad()
@pytest.mark.parametrize("paper", [False, True], ids=["characters draw", "decoder states draw"])
@pytest.mark.parametrize("transcripts", [None, ["ein hnd", "", "mann"]], ids=["translation", "transcript first"])
def test_drawing_states_are_those_of_training(pixels: torch.Tensor, paper: bool, transcripts: list[str] | None):
    """What the picture is drawn from in generation equals what training has shown, text by text."""
    options = ["model.text_decoder.max_length=40"]  # room for transcripts of characters
    options += ["model.vocabulary.subwords=0", "model.character_encoder.layers=0"] if paper else []
    config, vocabulary = small(*options), small_vocabulary(0 if paper else 60)
    model = enliven(TranslatotronV(config.model, len(vocabulary), vocabulary.character_count))
    wanted = frozenset({pages.TARGET_PIECES, pages.TARGET_CHARACTERS})
    chosen = [PAIRS[i] for i in (0, 20, 7)]
    samples = plain_samples(chosen, config)
    if transcripts is not None:
        samples = [replace(sample, transcript=text) for sample, text in zip(samples, transcripts, strict=True)]
    batch = Collator(config, vocabulary, wanted)(samples)
    source = model.encode_image(pixels[:3])
    image_ids = torch.randint(24, (3, 16))
    trained = model(
        source,
        batch.target_input,
        batch.translation_mask,
        image_ids=image_ids,
        characters=batch.target_characters,
        character_mask=drawing_mask(batch.target_characters),
        char_to_token=batch.char_to_token,
    ).image
    answer = written([pair.target for pair in chosen], transcripts, vocabulary)
    drawn, mask = drawing_states(model, vocabulary, source, answer)
    torch.testing.assert_close(model.image_decoder(image_ids, drawn, mask, source.memory), trained)
    if not paper:
        return
    assert torch.equal(mask, batch.translation_mask)
    for row, (prefix, ids) in enumerate(zip(answer.prefixes, answer.ids, strict=True)):
        assert mask[row].nonzero().flatten().tolist() == list(range(len(prefix) - 1, len(prefix) + len(ids)))
    # Whatever the states of the transcript hold, the picture is drawn from those of the translation.
    noise = torch.randn_like(drawn)
    other = model.image_decoder(image_ids, drawn + noise * ~mask[..., None], mask, source.memory)
    torch.testing.assert_close(other, trained)
    other = model.image_decoder(image_ids, drawn + noise * mask[..., None], mask, source.memory)
    assert not torch.allclose(other, trained)


def test_the_ocr_head_reads_where_there_is_no_ctc_head(pixels: torch.Tensor):
    config = small("model.ctc_frames=0")
    model = enliven(TranslatotronV(config.model, len(VOCABULARY), VOCABULARY.character_count))
    made = generate(model, VOCABULARY, pixels[:2], ASKED)
    source = model.encode_image(pixels[:2])
    with torch.no_grad():
        expected = generate_text(model.ocr_head, VOCABULARY, source.reading, None, "ocr", "de")
    assert made.sources == expected.texts


def test_a_model_without_an_ocr_head_reads_by_its_ctc_head(pixels: torch.Tensor):
    model = enliven(TranslatotronV(small("model.ocr_head.layers=0").model, len(VOCABULARY), VOCABULARY.character_count))
    assert "ocr_head" not in dict(model.named_children())
    made = generate(model, VOCABULARY, pixels[:2], ASKED)
    with torch.no_grad():
        assert made.sources == read_ctc(model.ctc_logits(model.encode_image(pixels[:2])), VOCABULARY)
    with pytest.raises(ConfigError, match=r"ocr_head\.layers=0 leaves out the OCR head"):
        small("model.ocr_head.layers=0", "model.ctc_frames=0")
    with pytest.raises(ConfigError, match=r"loss\.ocr: the model has no OCR head"):
        check_stage(small("model.ocr_head.layers=0", "stage=translator", "loss.ocr=1"))


def test_ctc_is_read_along_the_best_path():
    characters = {character: VOCABULARY.encode_characters(character)[0] for character in "ab "}
    path = [PAD, "a", "a", PAD, "a", "b", " ", " ", PAD, " ", "b", PAD]
    ids = torch.tensor([[characters.get(step, step) for step in path], [PAD] * len(path)])
    logits = F.one_hot(ids, VOCABULARY.character_count).float()
    assert read_ctc(logits, VOCABULARY) == ["aab b", ""]


def test_what_cannot_be_asked_for(model: TranslatotronV, pixels: torch.Tensor):
    for options, named in (
        ({"target_language": "pt"}, "'pt'"),
        ({"image_steps": 17}, "image steps"),
    ):
        with pytest.raises(UserError, match=named) as caught:
            generate(model, VOCABULARY, pixels, replace(ASKED, **options))
        assert "\n" not in str(caught.value)
