"""PDF: what is laid over a page lies where it was seen, and the document stays what it was around it."""

import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inference.turned import INSIDE, Inverts, convert, inverted, outside
from translatotron_v.inference import pdf as module
from translatotron_v.inference.pdf import boxes, placed
from translatotron_v.inference.pictures import PictureError
from translatotron_v.inference.sources import open_source

pikepdf = pytest.importorskip("pikepdf")
pytest.importorskip("pypdfium2")
CONTENT = b"0.9 0.9 0.7 rg 0 0 400 400 re f 0.8 0.1 0.1 rg 30 25 40 20 re f BT /F1 12 Tf 40 60 Td (Guten Tag) Tj ET"


def document(path: Path, pages: list[dict[str, object]], **options: object) -> Path:
    """Vector pages of 200 x 100 points; their font stands on the node above them, as many writers have it."""
    made = pikepdf.new()
    for settings in pages:
        page = made.add_blank_page(page_size=(200, 100))
        page.contents_add(CONTENT)
        for key, value in settings.items():
            page[f"/{key}"] = pikepdf.Array(value) if isinstance(value, list) else value
    font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
    for page in made.pages:
        del page["/Resources"]
    made.Root.Pages.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
    made.save(path, **options)
    return path


def shown(path: Path) -> list[np.ndarray]:
    """The pages as they are seen at 72 dpi, a pixel a point."""
    with closing(open_source(path, dpi=72)) as source:
        return [np.asarray(frame.plain) for frame in source.frames()]


@pytest.mark.parametrize("turned", [0, 90, 180, 270])
@pytest.mark.parametrize("crop", [None, [10, 20, 180, 90]])
def test_a_patch_lies_where_it_was_seen(tmp_path: Path, turned: int, crop: list[int] | None):
    settings: dict[str, object] = {"Rotate": turned} | ({"CropBox": crop} if crop else {})
    source = document(tmp_path / "in.pdf", [settings])
    assert convert(source, tmp_path / "out.pdf", dpi=72) == []
    (before,), (after,) = shown(source), shown(tmp_path / "out.pdf")
    assert before.shape == after.shape
    assert np.array_equal(outside(before), outside(after))
    assert np.abs(np.asarray(inverted(Image.fromarray(before)), dtype=int)[INSIDE] - after[INSIDE]).max() <= 1


def test_pages_keep_their_sizes_their_order_and_what_they_are_made_of(tmp_path: Path):
    source = document(tmp_path / "in.pdf", [{}, {"MediaBox": [0, 0, 300, 50]}, {"UserUnit": 2}])
    with pikepdf.open(source, allow_overwriting_input=True) as opened:
        opened.docinfo["/Title"] = "Speisekarte"
        with opened.open_outline() as outline:
            outline.root.append(pikepdf.OutlineItem("Seite 2", 1))
        opened.save()
    translate = Inverts()
    convert(source, tmp_path / "out.pdf", translate, dpi=72)
    assert translate.calls == [2]  # three pages, two alike
    with pikepdf.open(source) as one, pikepdf.open(tmp_path / "out.pdf") as other:
        for before, after in zip(one.pages, other.pages, strict=True):
            assert [float(value) for value in before.mediabox] == [float(value) for value in after.mediabox]
            assert b"(Guten Tag) Tj" in b"".join(part.read_bytes() for part in after.Contents)
        assert str(other.docinfo["/Title"]) == "Speisekarte"
        with other.open_outline() as outline:
            assert [item.title for item in outline.root] == ["Seite 2"]
    for before, after in zip(shown(source), shown(tmp_path / "out.pdf"), strict=True):
        assert np.array_equal(outside(before), outside(after))


def test_pages_are_seen_at_the_dpi_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = document(tmp_path / "in.pdf", [{}])
    with closing(open_source(source, dpi=144)) as opened:
        assert [frame.plain.size for frame in opened.frames()] == [(400, 200)]
    monkeypatch.setattr(module, "MAX_PIXELS", 10_000)
    with closing(open_source(source, dpi=144)) as opened, pytest.raises(PictureError, match=r"take a smaller --dpi"):
        list(opened.frames())


def test_scans_are_translated_like_drawings(tmp_path: Path):
    pictures = [Image.new("RGB", (100, 50), colour) for colour in ("beige", "ivory")]
    pictures[0].save(tmp_path / "in.pdf", save_all=True, append_images=pictures[1:])
    convert(tmp_path / "in.pdf", tmp_path / "out.pdf", dpi=72)
    for before, after in zip(shown(tmp_path / "in.pdf"), shown(tmp_path / "out.pdf"), strict=True):
        assert np.array_equal(outside(before), outside(after)) and (before[INSIDE] != after[INSIDE]).all()


def test_bad_documents_are_named_in_one_line(tmp_path: Path):
    source = document(tmp_path / "in.pdf", [{}, {}])
    (tmp_path / "cut.pdf").write_bytes(source.read_bytes()[:300])
    (tmp_path / "empty.pdf").write_bytes(b"")
    document(tmp_path / "locked.pdf", [{}], encryption=pikepdf.Encryption(owner="a", user="b"))
    pikepdf.new().save(tmp_path / "none.pdf")
    for name, message in (
        ("cut", "broken PDF"),
        ("empty", "broken PDF"),
        ("locked", "encrypted; save it without its password first"),
        ("none", "broken PDF"),
        ("missing", "no such file"),
    ):
        with pytest.raises(PictureError, match=rf"{name}\.pdf: {message}") as raised:
            open_source(tmp_path / f"{name}.pdf")
        assert "\n" not in str(raised.value)
    with pytest.raises(PictureError, match=r"pages of a PDF go into a \.pdf file, not \.png"):
        convert(source, tmp_path / "out.png")


def test_a_password_for_changes_is_told_of(tmp_path: Path):
    source = document(tmp_path / "in.pdf", [{}], encryption=pikepdf.Encryption(owner="a", user=""))
    assert convert(source, tmp_path / "out.pdf", dpi=72) == ["its password for changes is not kept"]


def test_boxes_part_what_lies_apart():
    where = np.zeros((60, 80), dtype=bool)
    where[2:5, 3:9] = where[8:10, 20:22] = where[50:55, 70:80] = True
    assert sorted(boxes(where)) == [(3, 2, 22, 10), (70, 50, 80, 55)]


def test_matrices_by_hand():
    """A quarter turn clockwise: the left edge of the page is seen at the top."""
    assert placed((0, 0, 1, 1), (0, 0, 200, 100), 0) == (200, 0, 0, 100, 0, 0)
    a, b, c, d, e, f = placed((0, 0, 1, 1), (0, 0, 200, 100), 90)
    assert (e, f) == (200, 0)  # lower left corner as seen: lower right of the page
    assert (a, b) == (0, 100) and (c, d) == (-200, 0)  # to the right as seen is up, up is to the left


@pytest.mark.parametrize("package", ["pikepdf", "pypdfium2"])
def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str):
    source = document(tmp_path / "in.pdf", [{}])
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PictureError, match=r"in\.pdf: PDF takes pypdfium2 and pikepdf: pip install 'translatotron-v\["):
        open_source(source)
