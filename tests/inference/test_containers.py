"""Files of many frames go through a translation whole: order, number, timing, modes, metadata; bad ones are refused."""

import io
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, ImageSequence

from tests.inference.turned import INSIDE, Inverts, convert, flat, inverted, noise, outside
from translatotron_v.inference import containers, frames
from translatotron_v.inference.containers import Failure, Frame, translate_frames
from translatotron_v.inference.deep import read_deep, write_deep
from translatotron_v.inference.formats import FORMATS
from translatotron_v.inference.loaded import Translation
from translatotron_v.inference.pictures import PictureError, open_picture
from translatotron_v.inference.sources import open_source

ORIENTATION, ARTIST = 274, 315
BROKEN_EXIF = b"Exif\0\0\x7fM\0*\0\0\0\x08\0\0\0\0"
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def save(path: Path, pictures: Sequence[Image.Image], **options: object) -> Path:
    pictures[0].save(path, save_all=True, append_images=list(pictures[1:]), **options)
    return path


def seen(path: Path, mode: str = "RGBA") -> list[np.ndarray]:
    with Image.open(path) as image:
        return [np.asarray(frame.convert(mode)) for frame in ImageSequence.Iterator(image)]


def times(path: Path) -> list[float]:
    with Image.open(path) as image:
        return [frame.info.get("duration", 0) for frame in ImageSequence.Iterator(image) if frame.load() or True]


COLOURS = ("white", "gold", "pink")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_keeps_order_number_timing_and_loop(tmp_path: Path, suffix: str):
    durations = [100, 250, 70]
    options = {"lossless": True} if suffix == ".webp" else {}
    source = save(tmp_path / f"in{suffix}", [flat(colour) for colour in COLOURS], duration=durations, loop=3, **options)
    target = tmp_path / f"out{suffix}"
    translate = Inverts()
    assert convert(source, target, translate) == []
    assert translate.calls == [3] and translate.modes == {"RGB"}
    assert times(target) == times(source) == durations
    with Image.open(source) as before, Image.open(target) as after:
        assert after.format == before.format and after.info["loop"] == 3
    for before, after in zip(seen(source, "RGB"), seen(target, "RGB"), strict=True):
        assert np.array_equal(after, np.asarray(inverted(Image.fromarray(before))))


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_equal_frames_are_translated_once_and_stay_apart(tmp_path: Path, suffix: str):
    """Pillow's writers would join equal neighbours, so the file is made by ours from frames that differ."""
    source = save(tmp_path / f"in{suffix}", [flat(colour) for colour in COLOURS], duration=100)
    with closing(open_source(source)) as opened, open(tmp_path / f"equal{suffix}", "w+b") as file:
        writer = opened.writer(file, suffix)
        for frame in opened.frames():
            writer.add(frame, Image.new("RGB", frame.plain.size, "teal"))
        writer.finish()
    translate = Inverts()
    convert(tmp_path / f"equal{suffix}", tmp_path / f"out{suffix}", translate)
    assert translate.calls == [1]
    after = seen(tmp_path / f"out{suffix}")
    assert len(after) == 3 and all(np.array_equal(after[0], frame) for frame in after[1:])
    assert times(tmp_path / f"out{suffix}") == [100, 100, 100]


def test_a_frame_that_comes_again_later_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = save(tmp_path / "in.tif", [flat(colour) for colour in ("white", "gold", "pink", "white", "gold")])
    translate = Inverts()
    with closing(open_source(source)) as opened:
        first = [np.asarray(answer.image) for _, answer in translate_frames(opened.frames(), translate)]
    assert translate.calls == [1, 1, 1]
    assert np.array_equal(first[0], first[3]) and np.array_equal(first[1], first[4])
    monkeypatch.setattr(containers, "REMEMBERED", 0)  # no room: asked again, and still right
    with closing(open_source(source)) as opened:
        again = [np.asarray(answer.image) for _, answer in translate_frames(opened.frames(), translate)]
    assert translate.calls == [1] * 8 and all(map(np.array_equal, first, again))


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
def test_a_gif_keeps_its_disposal_and_what_is_seen(tmp_path: Path, disposal: int):
    """Frames with transparent places: what each shows depends on how the one before is disposed of."""
    pictures = []
    for number in range(4):
        picture = Image.new("RGBA", (40, 24), (0, 0, 0, 0))
        picture.paste((250, 240, 60 * number, 255), (0, 0, 34, 16))
        picture.paste((20, 20, 90, 255), (4 + number, 16, 12 + number, 22))
        pictures.append(picture)
    source = save(tmp_path / "in.gif", pictures, duration=80, disposal=disposal, loop=0)
    convert(source, tmp_path / "out.gif")
    with Image.open(source) as one, Image.open(tmp_path / "out.gif") as other:
        assert one.n_frames == other.n_frames
        for number in range(one.n_frames):
            one.seek(number)
            other.seek(number)
            assert other.disposal_method == one.disposal_method
            before, after = (np.array(image.convert("RGBA")) for image in (one, other))
            for values in (before, after):
                values[values[..., 3] == 0] = 0
            assert np.array_equal(outside(before), outside(after))
            assert not np.array_equal(before[INSIDE], after[INSIDE])


def test_a_gif_of_many_colours_says_that_they_are_fewer(tmp_path: Path):
    source = save(tmp_path / "in.png", [noise(1), noise(2)], duration=100)
    assert convert(source, tmp_path / "out.gif") == ["GIF holds 256 colours a frame"]
    assert times(tmp_path / "out.gif") == [100, 100]


def test_in_a_gif_the_colours_of_what_stays_come_first(tmp_path: Path):
    """240 colours that stay and 128 new ones: those are made fewer, the others do not move."""
    values = np.zeros((24, 40, 3), dtype=np.uint8)
    mask = np.ones((24, 40), dtype=bool)
    mask[INSIDE] = False
    values[mask] = np.resize([(level, 255 - level, 7) for level in range(240)], (mask.sum(), 3))
    values[INSIDE] = np.random.default_rng(0).integers(0, 256, (8, 16, 3))
    source = save(tmp_path / "in.png", [Image.fromarray(values), flat("gold")], duration=100)
    assert convert(source, tmp_path / "out.gif") == ["GIF holds 256 colours a frame"]
    assert np.array_equal(outside(seen(tmp_path / "out.gif", "RGB")[0]), outside(values))


def test_half_transparency_is_lost_in_a_gif_and_told(tmp_path: Path):
    picture = flat("gold")
    picture.putalpha(100)
    picture.save(tmp_path / "in.png")
    (lost,) = convert(tmp_path / "in.png", tmp_path / "out.gif")
    assert lost.startswith("a pixel of a GIF is seen or not")


def test_the_picture_before_an_animation_stays_outside_it(tmp_path: Path):
    source = save(
        tmp_path / "in.png", [flat("red"), flat("white"), flat("gold")], default_image=True, duration=[60, 90]
    )
    convert(source, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.default_image and image.n_frames == 3
        image.seek(1)
        assert image.info["duration"] == 60
        assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(inverted(flat("white"))))


def test_pages_keep_their_modes_sizes_and_compression(tmp_path: Path):
    grey = Image.fromarray(np.random.default_rng(0).integers(300, 65_536, (24, 40), dtype=np.uint16))
    pages = [noise(1), noise(2, (60, 30)).convert("CMYK"), grey, noise(3).convert("1"), noise(4, channels=4)]
    source = tmp_path / "in.tif"
    save(source, pages, dpi=(300, 300), compression="tiff_lzw")
    assert convert(source, tmp_path / "out.tif") == []
    with Image.open(tmp_path / "out.tif") as image:
        assert image.n_frames == 5
        for number, page in enumerate(pages):
            image.seek(number)
            assert (image.mode, image.size, image.info["dpi"]) == (page.mode, page.size, (300, 300))
            assert image.info["compression"] == "tiff_lzw"
            assert np.array_equal(outside(np.asarray(image)), outside(np.asarray(page)))


def test_an_avif_animation_stays_one(tmp_path: Path):
    if ".avif" not in Image.registered_extensions():
        pytest.skip("this Pillow has no AVIF")
    source = save(tmp_path / "in.avif", [flat(colour) for colour in COLOURS], duration=100)
    (lost,) = convert(source, tmp_path / "out.avif")
    assert lost.startswith("AVIF is packed with loss")
    after = seen(tmp_path / "out.avif", "RGB")
    assert len(after) == 3 and times(tmp_path / "out.avif") == [100, 100, 100]
    for frame, before in zip(after, seen(source, "RGB"), strict=True):
        assert np.abs(frame.astype(int) - np.asarray(inverted(Image.fromarray(before)), dtype=int)).mean() < 4


def test_heic_is_read_and_written_where_its_package_is(tmp_path: Path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    exif = Image.Exif()
    exif[ARTIST] = "me"
    flat("gold").save(tmp_path / "in.heic", quality=95, exif=exif.tobytes())
    assert open_source(tmp_path / "in.heic").suffix == ".png"
    convert(tmp_path / "in.heic", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.getexif()[ARTIST] == "me"
        assert np.abs(np.asarray(image, dtype=int) - np.asarray(inverted(flat("gold")), dtype=int)).mean() < 6
    (lost,) = convert(tmp_path / "in.heic", tmp_path / "out.heic")
    assert lost.startswith("HEIF is packed with loss")
    assert open_picture(tmp_path / "out.heic").size == (40, 24)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_exif_profile_and_resolution_are_kept_and_the_orientation_is_applied(tmp_path: Path, suffix: str):
    exif = Image.Exif()
    exif[ORIENTATION], exif[ARTIST] = 6, "me"  # to be turned by a quarter
    source = tmp_path / f"in{suffix}"
    noise(size=(24, 40)).save(source, exif=exif.tobytes(), icc_profile=ICC, dpi=(300, 300), lossless=True, quality=95)
    convert(source, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.size == (40, 24)
        assert image.getexif().get(ORIENTATION, 1) == 1 and image.getexif()[ARTIST] == "me"
        assert image.info["icc_profile"] == ICC
        if suffix != ".webp":
            assert [round(value) for value in image.info["dpi"]] == [300, 300]
        if suffix != ".jpg":
            with Image.open(source) as before:
                turned = np.asarray(ImageOps.exif_transpose(before).convert("RGB"))
            assert np.array_equal(outside(np.asarray(image.convert("RGB"))), outside(turned))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_broken_exif_is_ignored(tmp_path: Path, suffix: str):
    source = tmp_path / f"in{suffix}"
    noise().save(source, exif=BROKEN_EXIF)
    assert np.asarray(open_picture(source)).shape == (24, 40, 3)
    convert(source, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.size == (40, 24) and "exif" not in image.info


def test_cmyk_goes_where_it_is_held_and_is_told_of_elsewhere(tmp_path: Path):
    source = tmp_path / "in.jpg"
    noise().convert("CMYK").save(source, quality=95)
    assert open_source(source).suffix == ".tif"
    assert convert(source, tmp_path / "out.tif") == []
    with Image.open(source) as before, Image.open(tmp_path / "out.tif") as after:
        assert after.mode == "CMYK"
        assert np.array_equal(outside(np.asarray(before)), outside(np.asarray(after)))
    assert convert(source, tmp_path / "out.png") == ["CMYK became RGB, since PNG does not hold it"]
    (lost,) = convert(source, tmp_path / "out.jpg")
    assert lost.startswith("JPEG is packed with loss")
    with Image.open(tmp_path / "out.jpg") as after:
        assert after.mode == "CMYK"


def test_sixteen_bits_go_where_they_are_held_and_are_told_of_elsewhere(tmp_path: Path):
    grey = np.random.default_rng(0).integers(300, 65_536, (24, 40), dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "in.png")
    assert convert(tmp_path / "in.png", tmp_path / "out.png") == []
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "I;16" and np.array_equal(outside(np.asarray(image)), outside(grey))
    (lost,) = convert(tmp_path / "in.png", tmp_path / "out.webp")
    assert lost == "grey of 16 bits became 8 bits, since WEBP does not hold it here"


def test_what_a_format_does_not_hold_is_told(tmp_path: Path):
    noise(channels=4).save(tmp_path / "in.png", dpi=(300, 300), icc_profile=ICC)
    lost = convert(tmp_path / "in.png", tmp_path / "out.bmp")
    assert lost[0].startswith("transparency, which BMP does not hold") and lost[1] == "BMP holds no colour profile"
    lost = convert(tmp_path / "in.png", tmp_path / "out.jpg")
    assert lost[0].startswith("transparency") and lost[1].startswith("JPEG is packed with loss")


def test_a_jpeg_is_packed_by_the_tables_of_its_source(tmp_path: Path):
    noise().resize((64, 48)).save(tmp_path / "in.jpg", quality=63, subsampling=2)
    convert(tmp_path / "in.jpg", tmp_path / "out.jpg")
    with Image.open(tmp_path / "in.jpg") as before, Image.open(tmp_path / "out.jpg") as after:
        assert after.quantization == before.quantization and after.layer == before.layer


@pytest.mark.parametrize(
    ("name", "suffix", "message"),
    [
        ("moving.gif", ".jpg", "has 2 frames, which .jpg files do not hold; write a .gif file"),
        ("moving.gif", ".tif", "has 2 frames, which .tif files do not hold"),
        ("pages.tif", ".webp", "has 2 pages, which .webp files do not hold; write a .tif file"),
        ("moving.gif", ".pdf", "has 2 frames"),
    ],
)
def test_frames_that_a_kind_does_not_hold_are_refused(tmp_path: Path, name: str, suffix: str, message: str):
    source = save(tmp_path / name, [flat("white"), flat("gold")])
    with pytest.raises(PictureError, match=message):
        convert(source, tmp_path / f"out{suffix}")
    assert [file.name for file in tmp_path.iterdir()] == [name]  # nothing half done


def test_bad_files_are_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = save(tmp_path / "cut.tif", [noise(1, (400, 300)), noise(2, (400, 300))])
    source.write_bytes(source.read_bytes()[:300_000])
    with pytest.raises(PictureError, match=r"cut\.tif: broken picture"):
        convert(source, tmp_path / "out.tif")
    (tmp_path / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><text>Hallo</text></svg>")
    with pytest.raises(PictureError, match=r"drawing\.svg: an SVG drawing, which is not read"):
        open_source(tmp_path / "drawing.svg")
    (tmp_path / "drawing").write_text("<?xml version='1.0'?><svg></svg>")
    with pytest.raises(PictureError, match="an SVG drawing"):
        open_source(tmp_path / "drawing")
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(PictureError, match=r"link\.png: a link to a file that is not there"):
        open_source(tmp_path / "link.png")
    monkeypatch.setattr(frames, "MAX_MOVING", 1000)
    moving = save(tmp_path / "long.gif", [flat("white"), flat("gold")])
    with pytest.raises(PictureError, match=r"long\.gif: 2 frames of 40 x 24 pixels are more than 1,000 together"):
        open_source(moving)


def test_one_bad_frame_takes_no_others_with_it():
    pictures = [flat(colour) for colour in COLOURS]

    def translate(given: Sequence[Image.Image]) -> list[Translation]:
        if any(picture.getpixel((0, 0)) == (255, 215, 0) for picture in given):
            raise RuntimeError("no gold")
        return Inverts()(given)

    found = list(translate_frames([Frame(picture, picture) for picture in pictures], translate, batch_size=3))
    assert [isinstance(answer, Failure) for _, answer in found] == [False, True, False]
    assert found[1][1] == Failure("RuntimeError: no gold")


def test_frames_are_taken_as_they_are_needed(tmp_path: Path):
    """A long file is never held whole: no more frames are decoded than a batch and the one after it."""
    source = save(tmp_path / "in.tif", [noise(seed) for seed in range(6)])
    decoded = 0

    def watched(opened: containers.Source):
        nonlocal decoded
        for frame in opened.frames():
            decoded += 1
            yield frame

    with closing(open_source(source)) as opened:
        for number, _ in enumerate(translate_frames(watched(opened), Inverts(), batch_size=2)):
            assert decoded <= number + 3


def test_a_file_in_memory_is_opened_like_one_on_a_disk():
    content = io.BytesIO()
    noise().save(content, "PNG")
    with closing(open_source("name.png", file=content)) as opened:
        (frame,) = opened.frames()
    assert np.array_equal(np.asarray(frame.plain), np.asarray(noise()))


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_of_sixteen_bits_keeps_all_of_them_in_png(tmp_path: Path, channels: int):
    values = np.random.default_rng(0).integers(0, 65_536, (24, 40, channels), dtype=np.uint16)
    if channels == 4:
        values[..., 3] = 65_535
    with open(tmp_path / "in.png", "wb") as file:
        write_deep(file, values, {"format": "PNG", "dpi": (300, 300), "icc_profile": ICC})
    assert convert(tmp_path / "in.png", tmp_path / "out.png") == []
    after = read_deep(tmp_path / "out.png", None, (40, 24))
    assert after is not None and np.array_equal(outside(after), outside(values))
    error = np.abs(65_535 - values[INSIDE].astype(int) - after[INSIDE])[..., :3]
    assert error.max() <= 257
    with Image.open(tmp_path / "out.png") as image:
        assert image.info["icc_profile"] == ICC and round(image.info["dpi"][0]) == 300
    (lost,) = convert(tmp_path / "in.png", tmp_path / "out.tif")
    assert lost == "16 bits a channel became 8"


def test_the_document_says_what_is_kept():
    """docs/files.md, row by row."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("| `.")]
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    said = {}
    for suffixes, several, modes, metadata, lossless in rows:
        kept = set() if metadata == "nothing" else set(metadata.split(", "))
        for suffix in suffixes.split(", "):
            said[suffix.strip("`")] = (several == "yes", set(modes.split(", ")), kept, lossless == "yes")
    assert said == {
        suffix: (kind.frames, set(kind.modes), set(kind.keeps), kind.lossless) for suffix, kind in FORMATS.items()
    }


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".avif"])
def test_xmp_data_are_kept(tmp_path: Path, suffix: str):
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a>mine</a></x:xmpmeta>"
    tags = Image.Exif()
    tags[700] = xmp
    noise().save(tmp_path / f"in{suffix}", **({"exif": tags} if suffix == ".tif" else {"xmp": xmp}))
    convert(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.info["xmp"] == xmp


def test_heic_without_its_package_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "in.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PictureError, match=r"in\.heic: HEIC takes pillow-heif: pip install 'translatotron-v\[files\]'"):
        open_source(tmp_path / "in.heic")
    noise().save(tmp_path / "in.png")
    with pytest.raises(PictureError, match="HEIC takes pillow-heif"):
        convert(tmp_path / "in.png", tmp_path / "out.heic")


def few_colours(mode: str) -> Image.Image:
    """A picture of any mode; of no more colours than a GIF holds."""
    levels = np.resize(np.arange(0, 250, 5, dtype=np.uint8), (24, 40))
    if mode.startswith("I") or mode == "F":
        kind = {"I": np.int32, "F": np.float32}.get(mode, np.uint16)
        return Image.fromarray(levels.astype(kind) * 250 + 300)
    if mode == "LAB":
        return Image.frombytes("LAB", (40, 24), np.repeat(levels[..., None], 3, axis=-1).tobytes())
    colours = np.stack([levels, levels[::-1], levels[:, ::-1]], axis=-1) // 50 * 50
    picture = Image.fromarray(colours)
    if mode == "RGBA":
        picture.putalpha(Image.fromarray(np.where(np.arange(40) < 30, 255, 0).astype(np.uint8)[None].repeat(24, 0)))
    return picture.quantize(64) if mode == "P" else picture.convert(mode)


KEPT = [(suffix, mode) for suffix, kind in FORMATS.items() if kind.lossless for mode in sorted(kind.modes)]


@pytest.mark.parametrize(("suffix", "mode"), [pair for pair in KEPT if pair[1] != "I;16B"])
def test_every_mode_of_every_lossless_format_keeps_its_pixels(tmp_path: Path, suffix: str, mode: str):
    """What the document promises, pair by pair: the mode, and every pixel outside the translation."""
    source = tmp_path / ("in.png" if mode in FORMATS[".png"].modes else "in.tif")
    few_colours(mode).save(source)
    assert convert(source, tmp_path / f"out{suffix}") == []
    with Image.open(source) as before, Image.open(tmp_path / f"out{suffix}") as after:
        if suffix != ".gif":
            assert after.mode == mode
        seen_as = "RGBA" if mode == "P" or suffix == ".gif" else mode
        one, other = (np.array(image.convert(seen_as)) for image in (before, after))
        if seen_as == "RGBA":  # what cannot be seen has no colour
            one[one[..., 3] == 0] = other[other[..., 3] == 0] = 0
        assert np.array_equal(outside(one), outside(other))
