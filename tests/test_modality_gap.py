"""The modality gap: its grid and its figures around fake answers, then once through a small model of random weights."""

import argparse
import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_synth.corpora import TextPair
from data_synth.render import PageStyle, render_page
from tests.small import PAIRS, save_small, small, write_corpus
from translatotron_v.config import Config
from translatotron_v.data.pages import page_layout
from translatotron_v.errors import UserError
from translatotron_v.evaluation import modality_gap
from translatotron_v.evaluation.gap_report import Cell, GapReport
from translatotron_v.evaluation.modality_gap import Condition, add_command, measure_gap, render_cell
from translatotron_v.inference import answers as answering
from translatotron_v.inference.answers import Answers

FONTS = ("FiraGO", "DejaVuSans", "DejaVuSansMono")  # the first is held out
TOO_LONG = TextPair("wort" + " wort" * 60, "many words")
ONLY_SMALL = TextPair("ein mann läuft" + " ein mann läuft" * 7, "a man walks")  # fits at 9 pixels, not at 12
NO_GLYPH = TextPair("ein 字 rennt", "a sign runs")
SENTENCES = [
    TextPair("ein Hund rennt über das grüne Gras", "A dog runs over the green grass"),
    TextPair("zwei Männer schlafen auf einer Bank", "Two men sleep on a wooden bench"),
    TextPair("ein Vogel sitzt auf dem alten Baum", "A bird sits on the old tree"),
]
CORPUS = [SENTENCES[0], TOO_LONG, SENTENCES[1], NO_GLYPH, ONLY_SMALL, SENTENCES[2]]


class Fake:
    """Right in text mode; in image mode right, too, in the fonts `right`, and a word short in others."""

    def __init__(self, config: Config, *right: str) -> None:
        self.loaded: Any = SimpleNamespace(config=config, folder=Path("nowhere"), precision="fp32")
        self.right = right
        self.references = {pair.source.lower(): pair.target.lower() for pair in CORPUS}
        self.sources: tuple[str, ...] = ()
        self.font = ""
        self.seen: list[tuple[tuple[str, ...], list[np.ndarray]]] = []
        self.asked: list[str] = []

    def install(self, patch: pytest.MonkeyPatch) -> "Fake":
        render = modality_gap.render_cell

        def text_answers(loaded: Any, sources: Sequence[str], *_: Any, **__: Any) -> Answers:
            self.asked += sources
            return Answers([self.references[source] for source in sources])

        def render_cell(sources: Sequence[str], config: Config, font: str, condition: Condition) -> list[np.ndarray]:
            self.sources, self.font = tuple(sources), font
            return render(sources, config, font, condition)

        def image_answers(loaded: Any, pages: list, **_: Any) -> Answers:
            self.seen.append((self.sources, pages))
            texts = [self.references[source] for source in self.sources]
            return Answers(texts if self.font in self.right else [text.rpartition(" ")[0] for text in texts])

        def ctc_readings(loaded: Any, pages: list, **_: Any) -> list[str]:
            return [source if self.font in self.right else source[1:] for source in self.sources]

        for function in (text_answers, image_answers, ctc_readings):
            patch.setattr(answering, function.__name__, function)
        patch.setattr(modality_gap, "render_cell", render_cell)
        return self


@pytest.fixture
def config(tmp_path: Path) -> Config:
    found = Config()
    found.page.fonts = ["DejaVuSans", "DejaVuSansMono"]
    found.page.font_size = 11
    found.data.folder = str(tmp_path / "corpus")
    for language, texts in (("de", [pair.source for pair in CORPUS]), ("en", [pair.target for pair in CORPUS])):
        (tmp_path / "corpus").mkdir(exist_ok=True)
        content = "".join(f"{text.strip()}\n" for text in texts)
        (tmp_path / "corpus" / f"val.{language}").write_text(content, encoding="utf-8")
    return found


def test_every_cell_holds_the_same_sentences(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(config).install(monkeypatch)
    report = measure_gap(fake.loaded, fonts=FONTS, quiet=True)
    assert report.conditions == ["9 px", "10 px", "12 px", "blur 1", "noise 25"]
    assert {(cell.font, cell.condition) for cell in report.cells} == {
        (font, condition) for font in FONTS for condition in report.conditions
    }
    assert len(report.cells) == 15 == len(fake.seen)
    expected = tuple(pair.source.lower() for pair in SENTENCES)
    assert {sources for sources, _ in fake.seen} == {expected} and tuple(fake.asked) == expected
    pages = [np.stack(pages) for _, pages in fake.seen]
    assert len({page.tobytes() for page in pages}) == 15  # no two cells look alike
    assert {page.shape for page in pages} == {(3, 48, 256, 1)}
    assert [cell.size for cell in report.cells[:5]] == [9, 10, 12, 11, 11]  # degraded at the size of training
    assert report.sentences == 3 and report.notes[0].startswith("3 sentences") and "; 3 passed over" in report.notes[0]


def test_sentences_that_fit_later_sizes_are_kept(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(config).install(monkeypatch)
    config.page.font_size = 9
    report = measure_gap(fake.loaded, fonts=["DejaVuSans"], sizes=[9], limit=3, quiet=True)
    assert fake.asked[-1] == ONLY_SMALL.source.lower() and report.sentences == 3
    assert "; 2 passed over" in report.notes[0] and not any("has no more" in note for note in report.notes)
    few = measure_gap(fake.loaded, fonts=["DejaVuSans"], sizes=[9], limit=1, quiet=True)
    assert few.sentences == 1 and "; 0 passed over" in few.notes[0]


def test_the_size_of_training_counts_only_where_it_is_shown(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config.page.font_size = 14  # too large for the longest sentence
    fake = Fake(config).install(monkeypatch)
    plain = measure_gap(fake.loaded, fonts=["DejaVuSans"], sizes=[9], blur=0, noise=0, quiet=True)
    assert plain.conditions == ["9 px"] and plain.sentences == 4
    assert measure_gap(fake.loaded, fonts=["DejaVuSans"], sizes=[9], blur=0, quiet=True).sentences == 3


def test_figures_of_a_cell(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text mode is right; image mode in one font only; elsewhere each answer lacks a word, each reading a letter."""
    fake = Fake(config, "DejaVuSans").install(monkeypatch)
    report = measure_gap(fake.loaded, fonts=FONTS, quiet=True)
    assert report.text_bleu == pytest.approx(100) and report.text_reference_ratio == 1.0
    right, short = report.cell("DejaVuSans", "9 px"), report.cell("FiraGO", "noise 25")
    assert (right.gap, right.length_ratio, right.cer) == (pytest.approx(0), 1.0, 0.0)
    lengths = [len(pair.target.split()) for pair in SENTENCES]
    brevity = math.exp(1 - sum(lengths) / (sum(lengths) - 3))  # every n-gram is right: only the length costs
    assert short.bleu == pytest.approx(100 * brevity) and short.gap == pytest.approx(100 - 100 * brevity)
    assert short.length_ratio == short.reference_ratio == pytest.approx(1 - 3 / sum(lengths))
    assert short.cer == pytest.approx(3 / sum(len(pair.source) for pair in SENTENCES))


def test_held_out_fonts_and_means(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(config, "DejaVuSans").install(monkeypatch)
    report = measure_gap(fake.loaded, fonts=FONTS, sizes=[9, 10], quiet=True)
    assert {cell.font for cell in report.cells if cell.held_out} == {"FiraGO"}
    assert report.fonts == ["DejaVuSans", "DejaVuSansMono", "FiraGO"]  # seen ones first
    gap = report.cell("FiraGO", "9 px").gap
    assert report.mean(held_out=True) == pytest.approx(gap)
    assert report.mean(held_out=False) == pytest.approx(gap / 2)
    assert report.mean(font="DejaVuSans") == pytest.approx(0)
    assert report.mean(condition="9 px") == pytest.approx(2 / 3 * gap)
    assert math.isnan(report.mean(font="Ubuntu"))
    config.page.fonts = ["FiraGO-Regular"]  # the same font under its full name
    assert not any(cell.held_out for cell in measure_gap(fake.loaded, fonts=["FiraGO"], sizes=[9], quiet=True).cells)


def test_the_default_fonts_hold_those_of_training_once(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    config.page.fonts = ["DejaVuSans-Bold", "FiraGO"]
    report = measure_gap(Fake(config).install(monkeypatch).loaded, sizes=[9], blur=0, noise=0, quiet=True)
    assert report.fonts[:2] == ["DejaVuSans-Bold", "FiraGO"] and "FiraGO-Regular" not in report.fonts
    assert len(report.fonts) >= 7 and sum(cell.held_out for cell in report.cells) == len(report.fonts) - 2


def test_blur_and_noise_change_pixels_and_nothing_else(config: Config) -> None:
    sources = [pair.source.lower() for pair in SENTENCES]
    plain, blurred, noisy, again = (
        np.stack(render_cell(sources, config, "DejaVuSans", condition))
        for condition in (
            Condition("", 11),
            Condition("", 11, blur=1.0),
            Condition("", 11, noise=25.0),
            Condition("", 11, noise=25.0),
        )
    )
    style = PageStyle(font="DejaVuSans", font_size=11, line_height=16, margin=config.page.margin)
    expected = render_page(sources[0], page_layout(config.model.canvas), style)
    assert expected is not None and np.array_equal(plain[0], expected.pixels)  # as training pages are
    assert np.array_equal(noisy, again)
    ink, paper = plain < 128, plain == 255
    for changed in (blurred, noisy):
        assert (changed != plain).mean() > 0.05
        assert changed[ink].mean() < changed[paper].mean() - 60  # the letters stand where they stood
    assert blurred[ink].mean() > plain[ink].mean() + 20
    difference = noisy.astype(int) - plain
    middle = (plain > 80) & (plain < 175)  # greys that the noise does not push out of 0..255
    assert difference[middle].std() == pytest.approx(25, rel=0.15)
    assert not np.array_equal(difference[0, 40:], difference[1, 40:])  # each page has noise of its own
    other = np.stack(render_cell(sources, config, "DejaVuSerif", Condition("", 9, noise=25.0)))
    assert np.array_equal(other[:, -4:], noisy[:, -4:])  # and the same in every font and size


def report_of(*gaps: tuple[str, bool, float]) -> GapReport:
    cells = [
        Cell(font, condition, size, held_out, 30 - gap, gap, 1.1, 1.05, 0.25)
        for font, held_out, gap in gaps
        for condition, size in (("9 px", 9), ("blur 2", 11))
    ]
    return GapReport({"checkpoint": "tiny", "data": "corpus", "split": "val"}, 30.0, 0.98, 7, cells, ["7 sentences."])


REPORT = report_of(("FiraGO", True, 22.25), ("DejaVuSans", False, -1.5))


def test_a_heat_map_has_a_row_for_each_font() -> None:
    figure = REPORT.heat_map()
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["DejaVuSans (seen)", "FiraGO (held out)"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["9 px", "blur 2\n11 px"]
    assert [text.get_text() for text in axes.texts] == ["-1.5", "-1.5", "22.2", "22.2"]
    assert axes.images[0].get_clim() == (-1.5, 30.0) and len(axes.lines) == 1
    taller = report_of(*[(f"Font{number}", True, 1.0) for number in range(8)]).heat_map()
    assert taller.get_figheight() > figure.get_figheight() + 2 and not taller.axes[0].lines


def test_reports(tmp_path: Path) -> None:
    names = ("gap.json", "gap.md", "gap.csv", "gap.png")
    assert REPORT.write(tmp_path / "out") == f"Written to {tmp_path / 'out'}: {', '.join(names)}"
    paths = [tmp_path / "out" / name for name in names]
    assert GapReport.of(json.loads(paths[0].read_text(encoding="utf-8"))) == REPORT
    with open(paths[2], encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["font"], float(row["gap"])) for row in rows][::2] == [("FiraGO", 22.25), ("DejaVuSans", -1.5)]
    assert (rows[1]["condition"], rows[1]["size"], rows[1]["bleu"], rows[1]["cer"]) == ("blur 2", "11", "7.75", "0.25")
    with Image.open(paths[3]) as picture:
        assert np.asarray(picture.convert("RGB")).std() > 10
    lines = [" ".join(line.split()) for line in REPORT.markdown().splitlines()]
    assert "| DejaVuSans (seen) | -1.5 | -1.5 | -1.5 | 1.10 | 0.250 |" in lines
    assert "| mean, held out | 22.2 | 22.2 | 22.2 | 1.10 | 0.250 |" in lines
    screen = REPORT.screen().splitlines()
    assert "text mode BLEU 30.00" in screen[0] and max(map(len, screen)) <= 120 and "7 sentences." in screen
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        REPORT.write(tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fonts": ["Firra"]}, r"no font 'Firra'.*Fira"),
        ({"fonts": ["DejaVuSans"], "sizes": [10, 3]}, "3 px is too small"),
        ({"fonts": ["DejaVuSans"], "sizes": []}, "at least one size"),
        (
            {"fonts": ["DejaVuSans"], "sizes": [10, 40]},
            "no sentence fits a page of 48x256 pixels in DejaVuSans at 40 px",
        ),
        ({"fonts": ["DejaVuSans"], "blur": -1.0}, "--blur must be 0"),
        ({"fonts": ["DejaVuSans"], "noise": float("nan")}, "--noise must be 0"),
        ({"fonts": ["DejaVuSans"], "split": "nowhere"}, "nowhere"),
    ],
)
def test_errors_come_before_any_answer(
    config: Config, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    fake = Fake(config).install(monkeypatch)
    with pytest.raises(UserError, match=message) as caught:
        measure_gap(fake.loaded, quiet=True, **options)
    assert "\n" not in str(caught.value) and not fake.asked


def test_a_checkpoint_without_text_mode(config: Config) -> None:
    config.model.text_encoder.layers = 0
    with pytest.raises(UserError, match=r"text_encoder\.layers is 0"):
        measure_gap(Fake(config).loaded)


def parse(*arguments: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_command(parser.add_subparsers())
    options = parser.parse_args(["modality-gap", *map(str, arguments)])
    options.command = "the command"
    return options


def test_arguments_that_cannot_be_used(capsys: pytest.CaptureFixture) -> None:
    options = parse("nowhere")
    with pytest.raises(UserError, match="nowhere: no such folder"):
        options.run(options)
    with pytest.raises(SystemExit, match="2"):
        parse("tiny", "--sizes", "9,big")
    assert "--sizes: 'big' is no whole number" in capsys.readouterr().err


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from translatotron_v.inference.loaded import load_translator
    from translatotron_v.metrics import bleu

    weights = save_small(tmp_path / "random", small(f"data.folder={write_corpus(tmp_path / 'corpus')}"))
    fonts = ["--fonts", "DejaVuSans, Ubuntu", "--sizes", "9"]
    options = parse(weights, *fonts, "--batch-size", "3", "--device", "cpu", "--out", tmp_path / "out")
    options.run(options)
    printed = capsys.readouterr().out
    report = GapReport.of(json.loads((tmp_path / "out" / "gap.json").read_text(encoding="utf-8")))
    assert report.settings["command"] == "the command" and report.settings["split"] == "val"
    assert report.sentences == 4 and len(report.cells) == 6
    assert "Ubuntu (held out)" in printed and "gap.png" in printed
    loaded = load_translator(weights)
    sources, references = [pair.source for pair in PAIRS[:4]], [pair.target for pair in PAIRS[:4]]
    texts = answering.text_answers(loaded, sources, quiet=True).texts
    assert report.text_bleu == pytest.approx(bleu(texts, references).value)
    answers = answering.image_answers(
        loaded, render_cell(sources, loaded.config, "Ubuntu", Condition("", 9)), quiet=True
    )
    cell = report.cell("Ubuntu", "9 px")
    assert cell.bleu == pytest.approx(bleu(answers.texts, references).value)
    assert cell.gap == pytest.approx(report.text_bleu - cell.bleu)
