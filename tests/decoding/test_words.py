"""Drawing word by word: one word is what token by token draws, with caches or without, and words find their places."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.small import ALL, PAIRS, small, small_vocabulary
from translatotron_v.data.pages import (
    TARGET_WORDS,
    Batch,
    Collator,
    page_layout,
    page_style,
    plain_samples,
    word_places,
)
from translatotron_v.decoding.image import generate_image, written
from translatotron_v.decoding.spelling import DrawnWord, Spelling, spell_plainly
from translatotron_v.decoding.steps import ImageSteps
from translatotron_v.decoding.text import DecodedText, Draft, generate, make_draft, spelled_states
from translatotron_v.decoding.words import GAP, PAPER, draw_words, lay_out
from translatotron_v.errors import UserError
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training import losses
from translatotron_v.training.stages.codebook import fit_codebook
from translatotron_v.training.word_rows import word_rows

VOCABULARY = small_vocabulary()
GRID = (2, 16)  # rows and columns of tokens
PAGE = ("page.line_height=16", "page.font_size=10", "page.margin=2", "page.word_grid=8", "page.advance_grid=2")
TOKENS = ("model.canvas.height=32", "model.tokenizer.encoder=patch_codebook", "model.tokenizer.codes=200")
CONFIG = small(*PAGE, *TOKENS, "loss.words=1")
SOME = [PAIRS[number] for number in (0, 4, 8, 16)]  # "a dog runs", "a man sleeps", "a bird eats", "dog sleeps"
WANTED = frozenset({*ALL, TARGET_WORDS})
PAGES = [spell_plainly(VOCABULARY.spell(VOCABULARY.encode(pair.target))) for pair in SOME]
WORDS = [(page, word) for page, spelled in enumerate(PAGES) for word in spelled.words]


@pytest.fixture(scope="module")
def batch() -> Batch:
    return Collator(CONFIG, VOCABULARY, WANTED)(plain_samples(SOME, CONFIG))


@pytest.fixture(scope="module")
def model(batch: Batch) -> TranslatotronV:
    """Taught to draw the words of four pages, each on a page of its own, and to end them."""
    torch.manual_seed(0)
    model = TranslatotronV(CONFIG.model, len(VOCABULARY), VOCABULARY.character_count).eval()
    tokenizer, pixels = model.image_tokenizer, batch.target_pixels
    patches = tokenizer.patches(pixels).flatten(0, 1)
    patches = patches[patches.amax(1) > 0].unique(dim=0)
    tokenizer.codebook.copy_(fit_codebook(patches, torch.ones(len(patches)), 200))
    ids = tokenizer.encode_to_ids(pixels)
    rows = word_rows(ids, batch.target_characters, batch.char_to_token, batch.target_words, VOCABULARY, GRID[1])
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    model.rows, model.losses = rows, []
    with torch.enable_grad():
        for _ in range(60):
            source = model.encode_image(batch.source_pixels)
            logits = model(source, batch.target_input, batch.translation_mask, words=rows).words
            loss = losses.counted_cross_entropy(logits, rows.ids, rows.counted)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            model.losses.append(loss.item())
    return model


@pytest.fixture(scope="module")
def draft(model: TranslatotronV, batch: Batch) -> Draft:
    tags = [VOCABULARY.tag("translate"), VOCABULARY.tag("en")]
    ids = [VOCABULARY.encode(pair.target) for pair in SOME]
    with torch.no_grad():
        source = model.encode_image(batch.source_pixels)
        return make_draft(model, source, DecodedText(ids, [""] * 4, [0.0] * 4, prefixes=[tags] * 4))


def alone(model: TranslatotronV, draft: Draft, page: int, word: DrawnWord, cached: bool = True) -> list[int]:
    """What token by token writes of a page that holds one word."""
    own = draft.rows([page])
    drawn, mask = spelled_states(model, VOCABULARY, own, [[]], [Spelling([word])])
    return generate_image(model.image_decoder, drawn, mask, own.memory, cached=cached)[0][0].tolist()


def to_its_end(ids: list[int], longest: int) -> list[int]:
    """A word's tokens up to two of paper."""
    for place in range(1, longest):
        if ids[place] == ids[place - 1] == PAPER:
            return ids[: place + 1]
    return ids[:longest]


@torch.no_grad()
def test_words_are_learnt_and_end(model: TranslatotronV, batch: Batch, draft: Draft):
    """Drawn by itself, each word has the tokens that it has on the page of training."""
    assert model.losses[0] > 3 and model.losses[-1] < 0.2
    drawn = [to_its_end(alone(model, draft, page, word), GRID[1]) for page, word in WORDS]
    rows = [row[counted].tolist() for row, counted in zip(model.rows.ids, model.rows.counted, strict=True)]
    assert sum(one == other for one, other in zip(drawn, rows, strict=True)) >= len(rows) - 1
    page = model.image_tokenizer.encode_to_ids(batch.target_pixels)[0]
    assert rows[1][:-2] == page[1 : len(rows[1]) - 1].tolist()  # "dog", which stands beside "a"
    assert all(score > -0.3 for score in draw_words(model, VOCABULARY, draft, PAGES, AS_TRAINED).scores)


@torch.no_grad()
@pytest.mark.parametrize("at_once", [256, 3])
def test_every_word_is_what_token_by_token_draws_of_it_alone(
    model: TranslatotronV, draft: Draft, monkeypatch: pytest.MonkeyPatch, at_once: int
):
    """Also where rows leave when they are at their ends, and where words are drawn in parts."""
    expected = [to_its_end(alone(model, draft, page, word), GRID[1]) for page, word in WORDS]
    assert len({tuple(row) for row in expected}) >= 5 and len({len(row) for row in expected}) > 2
    assert max(map(len, expected)) < GRID[1]  # all of them end
    monkeypatch.setattr("translatotron_v.decoding.words.AT_ONCE", at_once)
    lines = [row for page in draw_words(model, VOCABULARY, draft, PAGES, AS_TRAINED).lines for row in page]
    for line, tokens in zip(lines, expected, strict=True):
        page = torch.tensor([[*tokens, *[PAPER] * (32 - len(tokens))]])
        assert np.array_equal(line, model.image_tokenizer.decode_from_ids(page)[0, :, :16].numpy())


@torch.no_grad()
@pytest.mark.parametrize("chance", [AS_TRAINED, GenerationConfig(top_k=3, temperature=2.0, seed=4)])
def test_words_with_caches_are_the_same_words(model: TranslatotronV, draft: Draft, chance: GenerationConfig):
    cached, uncached = (draw_words(model, VOCABULARY, draft, PAGES, chance, cached=way) for way in (True, False))
    assert torch.equal(cached.ids, uncached.ids) and cached.ids.any()
    assert cached.scores == pytest.approx(uncached.scores, rel=1e-3)
    for one, other in zip(cached.lines, uncached.lines, strict=True):
        assert all(np.array_equal(mine, its) for mine, its in zip(one, other, strict=True))
    plain = draw_words(model, VOCABULARY, draft, PAGES, AS_TRAINED)
    assert torch.equal(cached.ids, plain.ids) == (chance.top_k == 1)


@torch.no_grad()
def test_words_do_not_depend_on_other_pages(model: TranslatotronV, draft: Draft):
    """Each reads its own page's picture and its own piece's state."""
    together = draw_words(model, VOCABULARY, draft, PAGES, AS_TRAINED)
    for page in range(4):
        one = draw_words(model, VOCABULARY, draft.rows([page]), PAGES[page : page + 1], AS_TRAINED)
        assert torch.equal(one.ids[0], together.ids[page])
        assert one.scores[0] == pytest.approx(together.scores[page], rel=1e-3)
    other = replace(draft, memory=draft.memory.flip(0))
    assert draw_words(model, VOCABULARY, other, PAGES, AS_TRAINED).scores != together.scores
    other = replace(draft, states=draft.states.flip(0))
    assert draw_words(model, VOCABULARY, other, PAGES, AS_TRAINED).scores != together.scores


@torch.no_grad()
def test_as_many_passes_as_the_longest_word_has_tokens(
    model: TranslatotronV, draft: Draft, monkeypatch: pytest.MonkeyPatch
):
    longest = max(len(to_its_end(alone(model, draft, page, word), GRID[1])) for page, word in WORDS)
    passes: list[int] = []
    score = ImageSteps.score

    def counted(self: ImageSteps, x: torch.Tensor) -> torch.Tensor:
        passes.append(len(x))
        return score(self, x)

    monkeypatch.setattr(ImageSteps, "score", counted)
    draw_words(model, VOCABULARY, draft, PAGES, AS_TRAINED)
    assert len(passes) == longest < GRID[0] * GRID[1] / 3
    assert passes[0] == len(WORDS) and passes[-1] < len(WORDS)  # rows leave at their ends


def test_an_end_is_two_of_paper():
    assert written(np.array([3, 0, 4, 0, 0, 0]), PAPER) == 5
    assert written(np.array([3, 0, 4, 0]), PAPER) == 4
    assert written(np.array([0, 0, 0]), PAPER) == 2


def test_words_fill_lines_from_left_to_right():
    words = [np.array([one] * 6 + [0, 0]) for one in (1, 2, 3, 4)]
    page = lay_out(words, [48 - GAP, 48 - GAP + 1, 40, 8], GRID, 8).reshape(GRID)
    assert page[0].tolist() == [1] * 6 + [2] * 6 + [0] * 4  # the third does not fit, though three tokens are free
    assert page[1].tolist() == [3] * 5 + [0] + [4] + [0] * 9
    full = lay_out([np.full(14, one) for one in range(1, 7)], [100] * 6, GRID, 8).reshape(GRID)
    assert (
        full[0, 0] == 1 and full[1, 0] == 2 and set(full.flat) == {0, 1, 2}
    )  # the page is full: the others are not on it
    assert not lay_out([], [], GRID, 8).any()


@pytest.mark.parametrize("font", ["DejaVuSans", "DejaVuSansMono", "DejaVuSerif"])
def test_words_are_laid_out_as_on_the_pages_of_training(font: str):
    """From the words' widths alone, without the font's: at most a token nearer or further."""
    config = small("model.canvas.height=96", "model.canvas.width=512", "model.tokenizer.patch=[32,8]")
    page = replace(config.page, font_size=20, line_height=32, margin=2, word_grid=8, advance_grid=2, fonts=[font])
    text = "Two young men in red shirts are playing football in the park, near a tree."
    places = word_places(text, page_layout(config.model.canvas), page_style(page))
    tokens = [np.arange(1, 1 + 64) for _ in places]
    edges = [right - left // 8 * 8 for _, left, right in places]
    laid = lay_out(tokens, edges, (3, 64), 8).reshape(3, 64)
    starts = [(row, column) for row, column in np.argwhere(laid == 1).tolist()]
    wanted = [(top // 32, left // 8) for top, left, _ in places]
    assert starts[0] == wanted[0] and len(starts) == len(wanted)
    gaps = [[b[1] - a[1] for a, b in pairwise(row) if a[0] == b[0]] for row in (starts, wanted)]
    assert all(abs(its - mine) <= 1 for mine, its in zip(*(gap[:5] for gap in gaps), strict=True)), gaps


@torch.no_grad()
def test_a_page_goes_through_the_whole_way(model: TranslatotronV, batch: Batch):
    asked = GenerationConfig("de", "en", drawing="words")
    made = generate(model, VOCABULARY, batch.source_pixels[:3], asked, texts=["a dog runs", "", "bird eats"])
    assert [len(row) for row in made.lines] == [3, 0, 2] and not made.image_ids[1].any() and made.image_ids[0].any()
    assert torch.equal(made.pixels, model.image_tokenizer.decode_from_ids(made.image_ids))
    assert [one.text for one in made.spellings] == ["a dog runs", "", "bird eats"]
    assert made.lines[0][0].shape == (1, 16, 128)


def test_two_ways_of_drawing_are_refused():
    with pytest.raises(UserError, match="drawing words leaves no passes to image_steps 4"):
        GenerationConfig(drawing="words", image_steps=4)
    with pytest.raises(UserError, match="drawing must be tokens or words, not letters"):
        GenerationConfig(drawing="letters")
    own = GenerationConfig(image_steps=4)
    assert own.updated(drawing="words").image_steps == 0
    assert GenerationConfig(drawing="words").updated(image_steps=2).drawing == "tokens"
    assert GenerationConfig(drawing="words").updated(top_k=2).drawing == "words"
