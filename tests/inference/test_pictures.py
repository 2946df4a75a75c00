"""Reading, fitting, leading back and writing pictures of every kind."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, PngImagePlugin

from translatotron_v.config import CanvasConfig
from translatotron_v.inference import pictures
from translatotron_v.inference.pictures import (
    SAVE_OPTIONS,
    PictureError,
    check_picture,
    count_frames,
    fit,
    fit_back,
    open_picture,
    save_picture,
    to_plain,
)

GREY = CanvasConfig(height=48, width=256, channels=1)
COLOUR = CanvasConfig(height=48, width=256, channels=3)


def drawing(size=(256, 48), ink="black", paper="white") -> Image.Image:
    """Bars of ink on paper, far from the border."""
    image = Image.new("RGB", size, paper)
    ImageDraw.Draw(image).rectangle((size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2), fill=ink)
    return image


def as_array(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), dtype=int)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "bmp", "tiff", "tif", "jpeg", "PNG"])
def test_every_format_is_written_and_read(tmp_path: Path, extension: str):
    path = tmp_path / f"page.{extension}"
    save_picture(drawing(), path)
    tolerance = 8 if extension in ("jpg", "jpeg") else 0
    assert np.abs(as_array(open_picture(path)) - as_array(drawing())).max() <= tolerance
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "RGBA", "LA", "I;16", "I", "F"])
def test_every_mode_reads_alike(tmp_path: Path, mode: str):
    if mode == "I;16":
        image = Image.fromarray(np.asarray(drawing().convert("L")).astype(np.uint16) * 257)
    elif mode in ("I", "F"):
        image = Image.fromarray(np.asarray(drawing().convert("L")).astype(np.int32 if mode == "I" else np.float32))
    else:
        image = drawing().convert(mode)
    path = tmp_path / "page.tiff"
    image.save(path)
    plain = open_picture(path)
    assert plain.mode in ("L", "RGB")
    assert np.abs(as_array(plain) - as_array(drawing())).max() <= 1


def test_floating_point_in_the_unit_interval_is_scaled():
    values = np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)
    assert np.asarray(to_plain(Image.fromarray(values))).tolist() == [[0, 128, 255, 0]]


def test_a_palette_with_a_transparent_colour_is_flattened(tmp_path: Path):
    image = Image.new("P", (4, 2), 0)
    image.putpalette([10, 200, 10, 0, 0, 0])
    image.putpixel((1, 1), 1)
    image.save(tmp_path / "palette.png", transparency=0)
    plain = open_picture(tmp_path / "palette.png")
    assert plain.getpixel((0, 0)) == (255, 255, 255)
    assert plain.getpixel((1, 1)) == (0, 0, 0)


@pytest.mark.parametrize(("ink", "ground"), [((0, 0, 0), (255, 255, 255)), ((255, 255, 255), (0, 0, 0))])
def test_text_on_nothing_stays_visible(ink, ground):
    image = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((10, 5, 20, 10), fill=(*ink, 255))
    plain = to_plain(image)
    assert plain.getpixel((0, 0)) == ground
    assert plain.getpixel((15, 7)) == ink


def test_exif_rotation_is_undone(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned; viewers rotate by 90 degrees clockwise
    drawing((60, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_picture(tmp_path / "turned.jpg").size == (20, 60)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"", "not a PNG"), (b"text, not a picture", "not a PNG"), ("cut", "broken picture")],
)
def test_what_cannot_be_read_gets_one_line(tmp_path: Path, content, message: str):
    path = tmp_path / "bad.png"
    if content == "cut":
        save_picture(Image.effect_noise((64, 64), 50), path)
        path.write_bytes(path.read_bytes()[:900])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(PictureError) as caught:
        open_picture(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_damaged_exif_is_ignored(tmp_path: Path, extension: str):
    """Metadata say nothing about pixels: the picture is read, read again as an image, and written in every format."""
    path = tmp_path / f"page.{extension}"
    drawing().save(path, exif=b"Exif\0\0\x7fM\0*\0\0\0\x08\0\0\0\0")
    plain = to_plain(open_picture(path))
    assert np.abs(as_array(plain) - as_array(drawing())).max() <= 60
    for other in SAVE_OPTIONS:
        save_picture(plain, tmp_path / f"again{other}")
    with Image.open(path) as raw:
        assert to_plain(raw).size == drawing().size


def test_size_and_kind_show_without_reading_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Image.new("1", (10_001, 10_000)).save(tmp_path / "big.png")
    save_picture(drawing(), tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    (tmp_path / "text.png").write_bytes(b"text")
    monkeypatch.setattr(Image.Image, "load", None)
    for name, message in (
        ("big.png", "10001 x 10000 pixels are more"),
        ("text.png", "not a PNG"),
        ("no", "no such file"),
    ):
        with pytest.raises(PictureError, match=message):
            check_picture(tmp_path / name)
    check_picture(tmp_path / "cut.png")  # that one shows later


@pytest.mark.parametrize("extension", ["webp", "png", "tiff"])
def test_frames_are_counted(tmp_path: Path, extension: str):
    path = tmp_path / f"pages.{extension}"
    drawing().save(path, save_all=True, append_images=[drawing(ink="red"), drawing(ink="blue")])
    assert count_frames(open_picture(path)) == 3
    assert count_frames(to_plain(open_picture(path))) == 3
    assert count_frames(drawing()) == 1
    remark = PngImagePlugin.PngInfo()
    remark.add_text("frames", "many")
    drawing().save(tmp_path / "remark.png", pnginfo=remark)
    assert count_frames(open_picture(tmp_path / "remark.png")) == 1


def test_what_cannot_be_written_gets_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "page.png", tmp_path / f"{'n' * 250}.png", tmp_path / "file" / "a" / "b.png"):
        with pytest.raises(PictureError, match="cannot be written") as caught:
            save_picture(drawing(), path)
        assert "\n" not in str(caught.value)


def test_a_folder_is_no_picture(tmp_path: Path):
    with pytest.raises(PictureError, match="a folder"):
        open_picture(tmp_path)


def test_a_picture_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_picture(drawing((200, 100)), tmp_path / "bomb.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 19_999)
    with pytest.raises(PictureError, match="200 x 100 pixels are more than 19,999"):
        open_picture(tmp_path / "bomb.png")


def test_formats_that_start_other_programs_are_refused(tmp_path: Path):
    (tmp_path / "page.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    with pytest.raises(PictureError, match="not a PNG"):
        open_picture(tmp_path / "page.png")


def test_black_on_white_of_the_canvas_size_passes_bit_for_bit():
    values = np.full((48, 256), 255, dtype=np.uint8)
    values[4:20, 4:200] = np.random.default_rng(0).integers(0, 256, (16, 196))
    fitted = fit(Image.fromarray(values), GREY)
    assert fitted.tone is None
    assert np.array_equal(np.rint(fitted.pixels[..., 0] * 255), values)
    assert np.array_equal(np.asarray(fit_back(fitted.pixels, fitted)), values)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (10, 10), (256, 16), (512, 96), (300, 700), (1000, 90)])
@pytest.mark.parametrize("canvas", [GREY, COLOUR], ids=["grey", "colour"])
def test_any_size_comes_back_as_it_was(size: tuple[int, int], canvas: CanvasConfig):
    fitted = fit(drawing(size, "darkblue", "khaki"), canvas)
    assert fitted.pixels.shape == (canvas.height, canvas.width, canvas.channels)
    assert fitted.pixels.dtype == np.float32
    assert fitted.pixels.min() >= 0 and fitted.pixels.max() <= 1
    assert fit_back(fitted.pixels, fitted).size == size


def test_proportions_are_kept_and_small_pictures_are_not_enlarged():
    assert fit(drawing((512, 48)), GREY).placed == (256, 24)
    assert fit(drawing((100, 96)), GREY).placed == (50, 48)
    assert fit(drawing((200, 16)), GREY).placed == (200, 16)


def test_the_rest_of_the_canvas_takes_the_border_colour():
    fitted = fit(drawing((100, 40), "black", (250, 240, 230)), COLOUR)
    assert np.allclose(fitted.pixels[44, 250] * 255, (250, 240, 230), atol=0.01)
    assert np.allclose(fitted.pixels[0, 0], fitted.pixels[44, 250])


@pytest.mark.parametrize(("ink", "paper"), [("white", "black"), ("yellow", "navy"), ("darkred", "beige")])
def test_colours_are_mapped_to_black_on_white_and_back(ink: str, paper: str):
    image = drawing((256, 48), ink, paper)
    fitted = fit(image, GREY)
    assert fitted.tone is not None
    assert fitted.pixels[0, 0, 0] == pytest.approx(1, abs=1e-5)
    assert fitted.pixels[18, 96, 0] == pytest.approx(0, abs=1e-5)
    assert np.abs(as_array(fit_back(fitted.pixels, fitted)) - as_array(image)).max() <= 1


@pytest.mark.parametrize("paper", ["white", "grey", "black"])
def test_a_blank_page_reads_as_white_paper(paper: str):
    fitted = fit(Image.new("RGB", (100, 20), paper), GREY)
    assert np.allclose(fitted.pixels, 1, atol=1e-5)
    assert np.array_equal(as_array(fit_back(fitted.pixels, fitted)), as_array(Image.new("RGB", (100, 20), paper)))


def test_an_answer_of_more_lines_than_the_source_is_shrunk_not_cut():
    fitted = fit(drawing((256, 16)), GREY)
    answer = np.ones((48, 256, 1), dtype=np.float32)
    answer[36:44, 10:60] = 0  # on the third line, where the source had padding
    page = np.asarray(fit_back(answer, fitted))
    assert page.shape == (16, 256)
    assert page.min() < 64
    assert page[:, 40:].min() > 200  # shrunk to a third


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "page.png"
    save_picture(drawing(), path)
    before = path.read_bytes()

    def full(self, file, **options):
        file.write(b"half a pic")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(PictureError, match="No space left on device"):
        save_picture(drawing(ink="red"), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_unknown_extension_is_named(tmp_path: Path):
    with pytest.raises(PictureError, match=r"page\.xyz: unknown kind of picture"):
        save_picture(drawing(), tmp_path / "page.xyz")
