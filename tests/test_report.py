"""The writer of results: numbers with their spread, tables, pages, plots, files."""

import re
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from translatotron_v.errors import UserError
from translatotron_v.evaluation import plots, report


def test_mean_and_spread():
    assert report.mean_and_spread([1.0, 2.0, 3.0]) == "2.0 ± 1.0"
    assert report.mean_and_spread([0.5, 0.7], digits=3) == "0.600 ± 0.141"
    assert report.mean_and_spread([12.34]) == "12.3"


@pytest.mark.parametrize(
    ("values", "baseline", "delta", "inside"),
    [
        ([5.0, 6.0, 7.0], [1.0, 2.0, 3.0], 4.0, False),
        ([3.0, 4.0, 5.0], [1.0, 2.0, 3.0], 2.0, True),  # as large as a range: still inside
        ([1.0, 1.0], [5.0, 0.0], -1.5, True),  # the larger of the two ranges counts
        ([9.0], [1.0, 2.0], 7.5, False),
        ([9.0], [1.0], 8.0, True),  # nothing is known of the spread
    ],
)
def test_difference(values: list[float], baseline: list[float], delta: float, inside: bool):
    assert report.difference(values, baseline) == (pytest.approx(delta), inside)


def test_a_page_reads_like_this(tmp_path: Path):
    facts = ["2026-11-22 (UTC).", "Data: grammar."]
    page = report.Page(tmp_path / "try.md", "A try", "Partly: it works.", facts, "python -m experiments.try")
    page.section("Scores")
    page.table(
        ["variant", "BLEU", "CER", "pages"],
        [["SFT", "12.3 ± 0.4", 0.5, 1014], ["SSR | both", "9.8 ± 0.1", None, 7]],
        digits=3,
    )
    page.figure(tmp_path / "try" / "curves.png", "Losses.")
    page.text("\nThat is all.\n")
    assert page.write().read_text(encoding="utf-8") == textwrap.dedent(
        """\
        # A try

        Partly: it works.

        2026-11-22 (UTC). Data: grammar.

        ```sh
        python -m experiments.try
        ```

        ## Scores

        | variant     |       BLEU |   CER | pages |
        |-------------|-----------:|------:|------:|
        | SFT         | 12.3 ± 0.4 | 0.500 | 1,014 |
        | SSR \\| both |  9.8 ± 0.1 |       |     7 |

        ![Losses.](try/curves.png)

        That is all.
        """
    )
    assert [path.name for path in tmp_path.iterdir()] == ["try.md"]


def test_a_page_needs_a_verdict_and_whole_rows(tmp_path: Path):
    with pytest.raises(ValueError, match="Reproduced: "):
        report.Page(tmp_path / "try.md", "A try", "It works.")
    with pytest.raises(ValueError, match="2 cells"):
        report.table(["a", "b"], [[1]])


def test_only_columns_of_numbers_are_set_right():
    rule = report.table(["a", "b", "c", "d"], [["-1.5 %", "x", None, "3 of 4"], ["2 ± 1", "1", None, "5"]]).split("\n")
    assert re.sub("-+", "-", rule[1]) == "|-:|-|-|-|"


def test_plots_are_small_pictures(tmp_path: Path):
    steps = list(range(0, 2000, 5))
    curves = {f"variant {n}": (steps, [n + 10 / (1 + s) for s in steps]) for n in range(4)}
    groups = {"seen": {"before": [1.0, 2.0, 4.0], "after": 3.0}, "held out": {"after": [2.0, 2.5]}}
    paths = [
        plots.line_plot(tmp_path / "new" / "lines.png", curves, "step", "loss", "Learning"),
        plots.bar_plot(tmp_path / "bars.png", groups, "BLEU"),
    ]
    for path in paths:
        assert path.stat().st_size < 60_000
        with Image.open(path) as picture:
            assert picture.size == (640, 360)
            assert len(picture.convert("RGB").getcolors(100)) > 3  # more than paper, grid and letters


def test_long_names_of_groups_do_not_lie_on_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn: list[Any] = []
    monkeypatch.setattr(plots, "as_png", lambda figure: drawn.append(figure) or b"")
    groups = {f"a variant whose name is long, {n}": {"before": 1.0, "after": 2.0} for n in range(8)}
    plots.bar_plot(tmp_path / "bars.png", groups, "BLEU")
    figure = drawn[0]
    FigureCanvasAgg(figure).draw()
    labels = figure.axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == list(groups)
    boxes = [label.get_window_extent() for label in labels]
    assert all(box.x0 >= 0 for box in boxes)
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes))  # the first stands at the top
    [legend] = figure.legends
    assert not legend.get_window_extent().overlaps(figure.axes[0].get_window_extent())


def test_files_are_whole_or_an_error(tmp_path: Path):
    said = report.write_files(tmp_path / "new", {"a.md": "text\n", "b.png": Image.new("L", (3, 2), 7)})
    assert said == f"Written to {tmp_path / 'new'}: a.md, b.png"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.md", "b.png"]
    with Image.open(tmp_path / "new" / "b.png") as picture:
        assert picture.mode == "L" and picture.getpixel((2, 1)) == 7  # a picture keeps its pixels; plots get a palette
    with pytest.raises(UserError, match=r"a\.md/c\.csv: cannot be written"):
        report.write_files(tmp_path / "new" / "a.md", {"c.csv": ""})
    assert report.as_csv([{"name": "a", "CER": 0.5}, {"name": "b, c", "CER": None}]) == (
        'name,CER\r\na,0.5\r\n"b, c",\r\n'
    )
