"""How test pages are drawn, and scores of pages with several blocks: fakes that know every page by its pixels."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_synth.corpora import TextPair
from data_synth.photographs import bundled_photographs
from data_synth.render import PageLayout, PageStyle, StyleOptions, render_page, render_sample
from tests.small import small, write_corpus
from tests.test_evaluate import make_checkpoint
from translatotron_v.config import Config
from translatotron_v.data.pages import page_layout, page_style
from translatotron_v.errors import UserError
from translatotron_v.evaluation import checkpoint as checkpoints
from translatotron_v.evaluation import command, reading, rendering
from translatotron_v.evaluation.checkpoint import Options, score_checkpoint
from translatotron_v.evaluation.generation import GeneratedBlock, GeneratedPage, Page, generate_pages
from translatotron_v.evaluation.loading import generated_block
from translatotron_v.evaluation.reading import PageOcr
from translatotron_v.evaluation.regions import answered, in_reading_order, texts_in
from translatotron_v.evaluation.rendering import TestPages, render_split
from translatotron_v.evaluation.report import Report
from translatotron_v.inference.loaded import BlockTranslation
from translatotron_v.ocr import TextBox, box_from_bounds

FONTS = ("DejaVuSans", "DejaVuSerif")
PAIRS = [
    TextPair("Ein Hund läuft durch das Gras.", "A dog runs through the grass."),
    TextPair("Zwei Kinder spielen im Sand.", "Two children play in the sand."),
    TextPair("Eine Frau liest ein Buch in der Bahn.", "A woman reads a book on the train."),
    TextPair("Der Mann mit Hut wartet hier.", "The man with a hat is waiting here."),
    TextPair("Vögel sitzen auf einem Dach.", "Birds are sitting on a roof."),
    TextPair("Ein Auto steht vor dem Haus.", "A car stands in front of the house."),
    TextPair("Drei Männer tragen einen Tisch.", "Three men are carrying a table."),
]
TALKS = Path(__file__).resolve().parent.parent / "configs" / "iwslt14"
LEFT, RIGHT = (10.0, 10.0, 100.0, 60.0), (200.0, 40.0, 300.0, 90.0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_corpus(tmp_path / "corpus", PAIRS)
    return small(
        f"data.folder={tmp_path / 'corpus'}", f"page.fonts=[{','.join(FONTS)}]", "page.lower_case=false",
        "model.canvas.height=48", "model.canvas.width=256", "data.test=train",
    )  # fmt: skip


def same(first: rendering.TestPage, second: rendering.TestPage) -> bool:
    pixels = [(first.source_page, second.source_page), (first.reference_page, second.reference_page)]
    return replace(first, source_page=None, reference_page=None) == replace(
        second, source_page=None, reference_page=None
    ) and all(np.array_equal(one, other) for one, other in pixels)


# how pages are drawn


def test_strips_look_as_in_training(config: Config) -> None:
    layout = page_layout(config.model.canvas)
    for index, page in enumerate(render_split(config, "train", 3)):
        style = page_style(config.page, FONTS[index % 2])
        for shown, text in ((page.source_page, PAIRS[index].source), (page.reference_page, PAIRS[index].target)):
            rendered = render_page(text, layout, style)
            assert rendered is not None and np.array_equal(shown, rendered.pixels)
        assert page.regions == () and page.sources == [PAIRS[index].source]


@pytest.mark.parametrize("setting", ["page.word_grid=8", "page.advance_grid=2", "page.source_sizes=[8,40]"])
def test_strips_are_plain_typography_where_training_was_not(config: Config, setting: str) -> None:
    name, _, value = setting.partition("=")
    own = replace(config, page=replace(config.page, **{name.removeprefix("page."): json.loads(value)}))
    plain = render_split(replace(config, page=replace(config.page, fonts=[FONTS[0]])), "train", 2)
    assert all(map(same, render_split(own, "train", 2), plain))
    assert TestPages().settings(own)["fonts"] == FONTS[0] and TestPages().settings(config)["fonts"] == ", ".join(FONTS)
    assert all(
        map(same, render_split(own, "train", 2, test_pages=TestPages(fonts=FONTS)), render_split(config, "train", 2))
    )


def test_pages_of_a_configuration_have_its_canvas_and_typography(config: Config) -> None:
    """Whatever the checkpoint was trained on: pages of talks, as the paper has them, and the same in true case."""
    for name, text in (("pages", PAIRS[0].source.lower()), ("pages_cased", PAIRS[0].source)):
        test_pages = TestPages(str(TALKS / f"{name}.yaml"))
        page = render_split(config, "train", 1, test_pages=test_pages)[0]
        style = PageStyle(font="DejaVuSans", font_size=24, line_height=32, margin=16, top=0)
        rendered = render_page(text, PageLayout(512, 512, 3), style)
        assert rendered is not None and page.source == text and page.regions == ()
        assert page.source_page is not None and page.source_page.shape == (512, 512, 3)
        assert np.array_equal(page.source_page, rendered.pixels)
        assert test_pages.settings(config)["fonts"] == "DejaVuSans"
    with pytest.raises(UserError, match="backgrounds: strips are black on white"):
        TestPages(str(TALKS / "pages.yaml"), backgrounds=("plain",))


def test_layouts_show_each_block_and_its_translation(config: Config) -> None:
    """A page of each layout in turn; its reference is the same page but for the ink of its blocks."""
    write_corpus(Path(config.data.folder), PAIRS * 2)
    pages = render_split(config, "train", 12, test_pages=TestPages("layouts", seed=3))
    again = render_split(config, "train", 12, test_pages=TestPages("layouts", seed=3))
    assert len(pages) == 3 and all(map(same, pages, again))
    assert not same(pages[0], render_split(config, "train", 4, test_pages=TestPages("layouts", seed=4))[0])
    sentences = {pair.source: pair.target for pair in PAIRS}
    stood = 0
    for page in pages:
        assert len(page.sources) == len(page.references) == len(page.regions) > 1
        assert page.source_page is not None and page.reference_page is not None
        assert page.source_page.shape == page.reference_page.shape
        for source, target in zip(page.sources, page.references, strict=True):
            if source in sentences:
                stood += 1
                assert target == sentences[source]
        outside = np.ones(page.reference_page.shape[:2], dtype=bool)
        for left, top, right, bottom in page.regions:
            block = page.reference_page[top:bottom, left:right]
            assert block.reshape(-1, 3).std(axis=0).max() > 0  # something stands there
            outside[top - 2 : bottom + 2, left - 2 : right + 2] = False
        apart = np.abs(page.source_page.astype(int) - page.reference_page.astype(int)).mean(axis=-1)[outside]
        assert np.median(apart) < 8  # but for noise and JPEG
    assert stood


def test_test_sets_that_a_release_lacks_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for language, text in (("de", "ein hund"), ("en", "a dog")):
        path = tmp_path / f"IWSLT17.TED.tst2010.en-de.{language}.xml"
        path.write_text(f'<doc><seg id="1">{text}</seg></doc>', encoding="utf-8")
    weights = make_checkpoint(tmp_path / "random")
    arguments = ["checkpoint", str(weights), "--data", str(tmp_path), "--split", "test", "--out", str(tmp_path / "out")]
    assert command.main(arguments) == 0
    assert "lacks, so that they are left out: dev2010, dev2012, tst2011, tst2012." in capsys.readouterr().out


def test_mix_is_a_function_of_seed_and_index(config: Config) -> None:
    test_pages = TestPages("mix", seed=5)
    pages = render_split(config, "train", 3, test_pages=test_pages)
    looks = StyleOptions(FONTS, (10, 28), 0, 16, 16, True, ("plain", "gradient", "photo"))
    for index, page in enumerate(pages):
        drawn, _ = render_sample(PAIRS[index], PageLayout(192, 640, 3), looks, 5, index, 10)
        assert drawn is not None and page.source == PAIRS[index].source and page.regions == ()  # true case
        assert np.array_equal(page.source_page, drawn.source.pixels)
        assert np.array_equal(page.reference_page, drawn.target.pixels)
    assert all(map(same, pages, render_split(config, "train", 2, test_pages=test_pages)))
    assert not same(pages[0], render_split(config, "train", 1, test_pages=TestPages("mix", seed=6))[0])
    folded = replace(config, page=replace(config.page, lower_case=True))
    assert render_split(folded, "train", 1, test_pages=test_pages)[0].source == PAIRS[0].source.lower()
    blank = render_split(config, "train", 1, True, test_pages)[0]
    assert blank.source_page is not None and blank.source_page.min() == 255 and blank.reference_page is not None


def test_degraded_pages_are_harder_to_read_and_functions_of_their_seed(config: Config) -> None:
    plain, some, more = (
        render_split(config, "train", 3, test_pages=TestPages("mix", backgrounds=("plain",), degraded=strength))
        for strength in (0.0, 0.3, 0.9)
    )
    again = render_split(config, "train", 3, test_pages=TestPages("mix", backgrounds=("plain",), degraded=0.9))
    assert all(map(same, more, again))

    def distance(page: Page, other: Page) -> float:
        return float(np.abs(page.astype(float) - other).mean())

    for one, worse, worst in zip(plain, some, more, strict=True):
        assert np.array_equal(one.reference_page, worst.reference_page)  # what is to be drawn is not degraded
        assert 0 < distance(worse.source_page, one.source_page) < distance(worst.source_page, one.source_page)
    noises = [page.source_page - one.source_page.astype(float) for one, page in zip(plain, more, strict=True)]
    assert not np.array_equal(noises[0], noises[1])
    assert TestPages(degraded=0.5).settings(config)["degraded"] == "0.5" and "degraded" not in TestPages().settings(
        config
    )
    with pytest.raises(UserError, match=r"degraded must lie in 0\.\.1, not 1\.5"):
        TestPages(degraded=1.5)


def test_mix_takes_smaller_sizes_where_a_text_does_not_fit(config: Config, tmp_path: Path) -> None:
    texts = ("wort " * 130).strip(), "wort " * 2000  # the first fits at 16 pixels at most
    write_corpus(Path(config.data.folder), [TextPair(text, text) for text in texts])
    for seed in range(3):
        first, second = render_split(config, "train", test_pages=TestPages("mix", seed=seed))
        assert first.source_page is not None and second.source_page is None and second.reference_page is None


@pytest.mark.parametrize("seed", [0, 1])
def test_every_caption_is_on_one_page_of_blocks(config: Config, seed: int) -> None:
    pages = render_split(config, "train", test_pages=TestPages("blocks", seed=seed))
    assert [text for page in pages for text in page.sources] == [pair.source for pair in PAIRS]
    assert [text for page in pages for text in page.references] == [pair.target for pair in PAIRS]
    assert max(len(page.regions) for page in pages) > 1
    for page in pages:
        assert len(page.regions) == len(page.sources) <= 4
        assert page.source_page is not None and page.source_page.shape == (512, 512, 3)
        for index, first in enumerate(page.regions):
            for second in page.regions[:index]:
                across = max(first[0], second[0]) - min(first[2], second[2])
                assert max(across, max(first[1], second[1]) - min(first[3], second[3])) >= 10
    limited = render_split(config, "train", 5, test_pages=TestPages("blocks", seed=seed))
    assert sum(len(page.sources) for page in limited) == 5 and same(limited[0], pages[0])


def test_a_caption_without_room_is_alone(config: Config) -> None:
    long = TextPair("wort " * 2000, "word")
    write_corpus(Path(config.data.folder), [PAIRS[0], long, PAIRS[1]])
    pages = render_split(config, "train", test_pages=TestPages("blocks"))
    assert [len(page.sources) for page in pages] == [1, 1, 1]
    assert [page.source_page is None for page in pages] == [False, True, False] and pages[1].regions == ()


def test_fonts_and_photographs_by_name(config: Config, tmp_path: Path) -> None:
    test_pages = TestPages("mix", ("DejaVuSerif",), ("chelsea", "coffee.png"), 2)
    looks, bundled = test_pages.looks(config), bundled_photographs()
    assert looks.fonts == ("DejaVuSerif",) and looks.backgrounds == ("plain", "gradient", "folder")
    assert looks.pictures == (str(bundled["chelsea.png"]), str(bundled["coffee.png"]))
    assert test_pages.settings(config) == {
        "pages": "mix", "fonts": "DejaVuSerif", "photographs": "chelsea, coffee.png", "seed": 2,
    }  # fmt: skip
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    folder = TestPages("blocks", photographs=(str(tmp_path),))
    assert folder.pictures == (str(tmp_path / "red.png"),) and folder.settings(config)["photographs"] == tmp_path.name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pages": "posters"}, "pages 'posters': choose one of strips, mix, blocks, layouts, or name a conf"),
        ({"pages": "configs/nowhere.yaml"}, "configs/nowhere.yaml: no such config file"),
        ({"fonts": ("DejaVuSans", "DejaVuSant")}, "no font 'DejaVuSant': give the path .* a name such as DejaVuSans"),
        ({"pages": "mix", "photographs": ("chelsea", "chelsey")}, r"photograph 'chelsey': neither .*\(astronaut, "),
        ({"pages": "mix", "photographs": ("nowhere/chelsea",)}, "photograph 'nowhere/chelsea': neither a folder"),
        ({"photographs": ("chelsea",)}, "photographs: strips have none"),
        ({"pages": "mix", "backgrounds": ("plain", "grass")}, "background 'grass': choose from plain, gradient, photo"),
        ({"backgrounds": ("plain",)}, "backgrounds: strips are black on white"),
        ({"pages": "layouts", "backgrounds": ("plain",)}, "backgrounds: layouts have their own"),
        ({"pages": "layouts", "photographs": ("chelsea",)}, "photographs: layouts have none"),
        ({"pages": "mix", "photographs": ("chelsea",), "backgrounds": ("plain",)}, "drawn on backgrounds plain"),
    ],
)
def test_names_that_do_not_exist(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        TestPages(**options)
    assert "\n" not in str(caught.value)


def test_a_font_that_is_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    assert command.main(["checkpoint", "tiny", "--fonts", str(tmp_path / "broken.ttf")]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: cannot read font") and len(printed.splitlines()) == 1
    with pytest.raises(SystemExit):
        command.main(["checkpoint", "tiny", "--fonts", " , "])


# which block a text belongs to


def test_boxes_belong_to_the_region_around_or_nearest_to_them() -> None:
    boxes = [
        box_from_bounds(200, 64, 290, 84, "below"),
        box_from_bounds(200, 42, 290, 62, "right"),
        box_from_bounds(5, 58, 120, 72, "under it"),  # its middle is outside both
        box_from_bounds(12, 30, 180, 50, "left"),  # reaches beyond its region
    ]
    assert texts_in((LEFT, RIGHT), boxes) == ["left under it", "right below"]
    assert texts_in((RIGHT, LEFT), boxes[::-1]) == ["right below", "left under it"]
    assert texts_in((LEFT, RIGHT), boxes[2:]) == ["left under it", ""]
    assert texts_in((), boxes[:2]) == ["right below"] and texts_in((LEFT, RIGHT), []) == ["", ""]
    assert in_reading_order((RIGHT, LEFT), ["right", "left"]) == ["left", "right"]


def test_blocks_of_an_answer() -> None:
    picture = np.zeros((100, 300, 3), dtype=np.uint8)
    blocks = (GeneratedBlock(RIGHT, "b", "zwei"), GeneratedBlock(LEFT, "a", "eins"))
    assert answered((LEFT, RIGHT), GeneratedPage("b a", "zwei eins", picture, blocks)) == [("a", "eins"), ("b", "zwei")]
    assert answered((LEFT, RIGHT), GeneratedPage("b a", "zwei eins", picture)) == [("b a", "zwei eins"), ("", "")]
    assert answered((), GeneratedPage("b a", "", picture, blocks)) == [("a b", "eins zwei")]  # by place, not as listed
    assert answered((LEFT, RIGHT), None) == [("", "")] * 2


def test_a_block_that_was_left_says_nothing() -> None:
    quad = ((10.0, 12.0), (30.0, 10.0), (31.0, 20.0), (11.0, 22.0))
    block = BlockTranslation(quad, "Hund", "dog")
    assert generated_block(block) == GeneratedBlock((10.0, 10.0, 31.0, 22.0), "dog", "Hund")
    assert generated_block(replace(block, skip_reason="too small to be read")).text == ""


def test_blocks_are_kept_and_older_folders_start_anew(tmp_path: Path) -> None:
    page = np.full((48, 64, 3), 200, dtype=np.uint8)
    calls: list[int] = []

    def translate(pages: Sequence[Page]) -> list[GeneratedPage]:
        calls.append(len(pages))
        return [GeneratedPage("a b", "c", one, (GeneratedBlock(LEFT, "a", "c"),)) for one in pages]

    first, second = (
        generate_pages(translate, [page], tmp_path / "kept", {"weights": 1}, quiet=True)[0] for _ in range(2)
    )
    assert first is not None and second is not None and calls == [1]
    assert second.page.blocks == first.page.blocks == (GeneratedBlock(LEFT, "a", "c"),)
    (tmp_path / "kept" / "identity.json").write_text(json.dumps({"weights": 1}, indent=2), encoding="utf-8")
    generate_pages(translate, [page], tmp_path / "kept", {"weights": 1}, quiet=True)
    assert calls == [1, 1]


# scores of pages with several blocks


class Swapping:
    """Draws every page as it should be, and lists its blocks the wrong way round; it may leave the first of them."""

    def __init__(self, config: Config, pages: Sequence[rendering.TestPage], leaves: bool = False) -> None:
        self.config, self.identity = config, {"checkpoint": "fake"}
        self._pages = {page.source_page.tobytes(): page for page in pages if page.source_page is not None}
        self._leaves = leaves

    def translate(self, pages: Sequence[Page]) -> list[GeneratedPage]:
        return [self._answer(self._pages[page.tobytes()]) for page in pages]

    def _answer(self, page: rendering.TestPage) -> GeneratedPage:
        assert page.reference_page is not None
        texts = list(page.references)
        if self._leaves:
            texts[0] = ""
        blocks = tuple(map(GeneratedBlock, page.regions, texts, page.sources))[::-1]
        return GeneratedPage(" ".join(texts[::-1]), " ".join(page.sources[::-1]), page.reference_page, blocks)

    def reconstruct(self, pages: Sequence[Page]) -> list[Page]:
        raise AssertionError("a tokenizer is for strips")


class BlockReader:
    """Reads one line in the middle of every region of the reference pages, the last block first."""

    signature = "ocr:fake"

    def __init__(self, pages: Sequence[rendering.TestPage]) -> None:
        self._pages = {page.reference_page.tobytes(): page for page in pages if page.reference_page is not None}

    def read(self, image: Image.Image | np.ndarray) -> list[TextBox]:
        page = self._pages[np.asarray(image).tobytes()]
        return [box_from_bounds(*region, text) for region, text in zip(page.regions, page.references, strict=True)][
            ::-1
        ]


def score_blocks(config: Config, folder: Path, leaves: bool = False) -> tuple[Report, list[rendering.TestPage]]:
    test_pages = TestPages("blocks", seed=1)
    pages = render_split(config, "train", test_pages=test_pages)
    reader = PageOcr(lambda: BlockReader(pages), quiet=True)
    options = Options("train", lower_case=False, quiet=True, test_pages=test_pages)
    return score_checkpoint(Swapping(config, pages, leaves), pages, reader, folder, options), pages


def test_the_order_of_blocks_means_nothing(config: Config, tmp_path: Path) -> None:
    report, pages = score_blocks(config, tmp_path / "out")
    assert len(pages) < len(PAIRS)
    for what in (checkpoints.TRANSLATION, checkpoints.PICTURE):
        assert report.value(what, "BLEU") == pytest.approx(100) and report.value(what, "chrF") == pytest.approx(100)
    assert report.value(checkpoints.OWN_TEXT, "CER") == report.value(checkpoints.READER, "CER") == 0
    assert report.value(checkpoints.STRUCTURE, "Structure-BLEU") == pytest.approx(100)
    counts = {line.what: line.count for line in report.lines}
    assert counts[checkpoints.PICTURE] == len(PAIRS) and counts[checkpoints.STRUCTURE] == len(pages) == len(report.rows)
    assert checkpoints.TOKENIZER not in counts
    assert report.title.endswith(f"{len(PAIRS)} pairs on {len(pages)} pages of blocks")
    assert report.settings["pages"] == "blocks" and report.settings["seed"] == 1
    assert report.rows[0]["reference"] == " / ".join(pages[0].references) == report.rows[0]["model's text"]


def test_blocks_that_were_left_count_as_empty(config: Config, tmp_path: Path) -> None:
    report, pages = score_blocks(config, tmp_path / "out", leaves=True)
    assert report.value(checkpoints.TRANSLATION, "BLEU") < 90
    assert report.value(checkpoints.PICTURE, "BLEU") == pytest.approx(100)
    left = sum(len(page.references[0]) for page in pages)
    said = sum(len(text) for page in pages for text in page.references[1:])
    # CER against the own text: every letter of the blocks that were left is too much
    assert report.value(checkpoints.OWN_TEXT, "CER") == pytest.approx(left / said)
    assert report.value(checkpoints.OWN_TEXT, "exact") == 100  # of those that were drawn


def test_command_on_blocks(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Blind:
        signature = "ocr:fake"

        def read(self, image: Image.Image | np.ndarray) -> list[TextBox]:
            return []

    monkeypatch.setattr(reading, "make_ocr_engine", lambda *_: Blind())
    monkeypatch.chdir(tmp_path)
    look = ["--fonts", "DejaVuSerif, DejaVuSansMono", "--photographs", "chelsea", "--seed", "3"]
    data = ["--data", config.data.folder, "--split", "train", "--limit", "2"]
    weights = make_checkpoint(tmp_path / "random")
    assert command.main(["checkpoint", str(weights), *data, "--pages", "blocks", *look]) == 0
    out = tmp_path / "out" / "evaluate" / "random-train-blocks-fonts-photographs"
    settings = json.loads((out / "scores.json").read_text(encoding="utf-8"))["settings"]
    assert {name: settings[name] for name in ("pages", "fonts", "photographs", "seed", "limit")} == {
        "pages": "blocks", "fonts": "DejaVuSerif, DejaVuSansMono", "photographs": "chelsea", "seed": 3, "limit": 2,
    }  # fmt: skip
    assert "2 pairs on" in capsys.readouterr().out


# what lies behind the text


def test_backgrounds_by_name(config: Config) -> None:
    plain = TestPages("mix", backgrounds=("plain",))
    assert plain.looks(config).backgrounds == ("plain",)
    assert plain.settings(config)["backgrounds"] == "plain" and plain.settings(config)["photographs"] == "none"
    photo = TestPages("mix", photographs=("chelsea",), backgrounds=("gradient", "photo"))
    assert photo.looks(config).backgrounds == ("gradient", "folder")
    assert photo.settings(config)["backgrounds"] == "gradient, photo"
    assert photo.settings(config)["photographs"] == "chelsea"
    assert "backgrounds" not in TestPages("mix").settings(config) and "backgrounds" not in TestPages().settings(config)
    everything = TestPages("mix", backgrounds=("plain", "gradient", "photo"))
    assert all(
        map(
            same,
            render_split(config, "train", 3, test_pages=everything),
            render_split(config, "train", 3, test_pages=TestPages("mix")),
        )
    )
    for page in render_split(config, "train", test_pages=plain):
        assert page.source_page is not None
        edge = np.concatenate([page.source_page[:4].reshape(-1, 3), page.source_page[-4:].reshape(-1, 3)])
        assert (edge == edge[0]).all()  # one colour, from the first row to the last


def test_backgrounds_on_the_command_line() -> None:
    parsed = command.build_parser().parse_args(
        ["checkpoint", "tiny", "--pages", "mix", "--backgrounds", "plain, photo"]
    )
    assert parsed.backgrounds == ("plain", "photo")
    assert command.main(["checkpoint", "tiny", "--pages", "mix", "--backgrounds", "grass"]) == 2
