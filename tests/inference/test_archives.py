"""Archives of pictures: every picture translated, everything else as it was; dangerous ones are refused."""

import io
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.inference.turned import INSIDE, Inverts, convert, flat, inverted, noise, outside
from translatotron_v.inference import archives
from translatotron_v.inference.pictures import PictureError
from translatotron_v.inference.sources import open_source


def packed(picture: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def archive(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return path


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def opened(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def comic(path: Path) -> tuple[Path, dict[str, bytes]]:
    film = io.BytesIO()
    flat("white").save(film, "GIF", save_all=True, append_images=[flat("gold")], duration=50)
    entries = {
        "ComicInfo.xml": b"<ComicInfo/>",
        "chapter/": b"",
        "chapter/page10.png": packed(noise(1), "PNG"),
        "chapter/page2.jpg": packed(noise(2).resize((64, 48)), "JPEG", quality=80),
        "chapter/film.gif": film.getvalue(),
        "chapter/again.png": packed(noise(1), "PNG", compress_level=1),
        "notes.txt": b"not a picture",
        "__MACOSX/chapter/._page10.png": b"junk",
    }
    return archive(path, entries), entries


def test_an_archive_keeps_its_names_their_order_and_what_is_no_picture(tmp_path: Path):
    source, entries = comic(tmp_path / "in.cbz")
    translate = Inverts()
    (lost,) = convert(source, tmp_path / "out.cbz", translate)
    assert lost.startswith("chapter/page2.jpg: JPEG is packed with loss")
    assert sum(translate.calls) == 4  # two pages, two frames; the page that comes again is not asked for
    after = contents(tmp_path / "out.cbz")
    assert list(after) == list(entries)
    for name in ("ComicInfo.xml", "notes.txt", "__MACOSX/chapter/._page10.png"):
        assert after[name] == entries[name]
    for name in ("chapter/page10.png", "chapter/again.png"):
        assert np.array_equal(opened(after[name]), np.asarray(inverted(noise(1))))
    assert Image.open(io.BytesIO(after["chapter/page2.jpg"])).format == "JPEG"
    with Image.open(io.BytesIO(after["chapter/film.gif"])) as film:
        assert (film.n_frames, film.info["duration"]) == (2, 50)


def test_pictures_without_a_change_keep_their_bytes(tmp_path: Path):
    source, entries = comic(tmp_path / "in.zip")
    with closing(open_source(source)) as unpacked, open(tmp_path / "out.zip", "w+b") as file:
        writer = unpacked.writer(file, ".zip")
        for frame in unpacked.frames():
            writer.add(frame, frame.plain)
        assert writer.finish() == []
    assert contents(tmp_path / "out.zip") == entries


def test_a_broken_picture_is_named_and_copied_and_the_rest_is_done(tmp_path: Path):
    cut = packed(noise(3, (300, 200)), "PNG")[:4000]
    good = packed(noise(1), "PNG")
    source = archive(tmp_path / "in.cbz", {"a.png": good, "b.png": cut, "c.png": b"text", "d.png": good})
    lost = convert(source, tmp_path / "out.cbz")
    assert len(lost) == 2 and lost[0].startswith("b.png: broken picture") and lost[1].startswith("c.png: not a PNG")
    after = contents(tmp_path / "out.cbz")
    assert (after["b.png"], after["c.png"]) == (cut, b"text")
    assert np.array_equal(outside(opened(after["d.png"])), outside(np.asarray(noise(1))))
    assert (opened(after["d.png"])[INSIDE] != np.asarray(noise(1))[INSIDE]).any()


def test_loss_that_many_share_is_told_once(tmp_path: Path):
    pages = {f"{number}.jpg": packed(noise(number), "JPEG") for number in range(3)}
    (lost,) = convert(archive(tmp_path / "in.zip", pages), tmp_path / "out.zip")
    assert lost.startswith("3 pictures: JPEG is packed with loss")


@pytest.mark.parametrize(
    "name", ["../out.png", "a/../../out.png", "/etc/out.png", "..\\out.png", "C:/out.png", "C:\\out.png"]
)
def test_names_outside_are_refused(tmp_path: Path, name: str):
    source = archive(tmp_path / "in.zip", {"a.png": packed(noise(), "PNG"), name: b""})
    with pytest.raises(PictureError, match=r"in\.zip: names a place outside itself"):
        open_source(source)


def test_bombs_are_refused_before_anything_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.png", packed(noise(), "PNG"))
        for number in range(4):
            made.writestr(f"{number}.png", bytes(1_000_000))
    assert (tmp_path / "bomb.zip").stat().st_size < 20_000
    monkeypatch.setattr(archives, "MAX_UNPACKED", 3_000_000)
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    with pytest.raises(PictureError, match=r"bomb\.zip: unpacks to 4,00\d,\d{3} bytes in 5 files, more than 3,000,000"):
        open_source(tmp_path / "bomb.zip")
    monkeypatch.setattr(archives, "MAX_FILES", 4)
    with pytest.raises(PictureError, match="in 5 files"):
        open_source(tmp_path / "bomb.zip")


def test_an_entry_that_says_less_than_it_holds_gives_no_more(tmp_path: Path):
    """The size in the directory is what is read at most, so that the sum of them is a bound."""
    source = archive(tmp_path / "in.zip", {"a.png": packed(noise(), "PNG"), "b.png": bytes(100_000)})
    content = source.read_bytes()
    assert content.count((100_000).to_bytes(4, "little") * 2) == 2  # packed and unpacked, in both headers
    source.write_bytes(content.replace((100_000).to_bytes(4, "little") * 2, (50).to_bytes(4, "little") * 2))
    assert convert(source, tmp_path / "out.zip") == ["b.png: is damaged, and left out"]
    assert list(contents(tmp_path / "out.zip")) == ["a.png"]


def test_bad_archives_are_named_in_one_line(tmp_path: Path):
    good = archive(tmp_path / "good.zip", {"a.png": packed(noise(), "PNG")})
    (tmp_path / "cut.zip").write_bytes(good.read_bytes()[:100])
    (tmp_path / "empty.cbz").write_bytes(b"")
    archive(tmp_path / "none.zip", {})
    archive(tmp_path / "text.zip", {"a.txt": b"text"})
    locked = bytearray(good.read_bytes())
    locked[locked.index(b"PK\1\2") + 8] |= 1
    locked[6] |= 1
    (tmp_path / "locked.zip").write_bytes(bytes(locked))
    for name, message in (
        ("cut.zip", "broken archive"),
        ("empty.cbz", "broken archive"),
        ("none.zip", "no pictures in this archive"),
        ("text.zip", "no pictures in this archive"),
        ("locked.zip", "encrypted; pack it without its password first"),
        ("missing.cbz", "no such file"),
    ):
        with pytest.raises(PictureError, match=message) as raised:
            open_source(tmp_path / name)
        assert str(raised.value).startswith(f"{tmp_path / name}: ") and "\n" not in str(raised.value)
    with pytest.raises(PictureError, match=r"pictures of an archive go into a \.zip file, not \.png"):
        convert(good, tmp_path / "out.png")
