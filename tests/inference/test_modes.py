"""Answers come back in the mode of their source, and pixels that were not changed are the source's own."""

import numpy as np
import pytest
from PIL import Image

from tests.inference.turned import INSIDE, inverted, noise, outside
from translatotron_v.inference.modes import give_back
from translatotron_v.inference.pictures import to_plain


def made(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.random.default_rng(0).integers(300, 65_536, (24, 40), dtype=np.uint16))
    if mode in ("I", "F"):
        values = np.random.default_rng(0).integers(300, 60_000, (24, 40))
        return Image.fromarray(values.astype(np.int32 if mode == "I" else np.float32))
    if mode == "P":
        return noise().quantize(64)
    if mode in ("LA", "RGBA"):
        picture = noise(1, channels=4)
        return picture.convert(mode)
    return Image.fromarray(np.asarray(noise()) // 2 + 64).convert(mode)  # a range that they all have


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "I", "F"])
def test_a_mode_comes_back_and_nothing_else_changes(mode: str):
    original = made(mode)
    plain = to_plain(original)
    answer = give_back(original, plain, inverted(plain))
    assert answer.mode == mode and answer.size == original.size
    if mode == "P":  # entries may move, colours do not
        original, answer = original.convert("RGB"), answer.convert("RGB")
    assert np.array_equal(outside(np.asarray(answer)), outside(np.asarray(original)))
    again = np.asarray(to_plain(answer), dtype=int)[INSIDE]
    error = np.abs(again - np.asarray(inverted(plain), dtype=int)[INSIDE])
    bound = {"P": 40, "HSV": 12, "LAB": 12, "YCbCr": 3, "LA": 2, "RGBA": 2}.get(mode, 1)
    assert (np.median(error) if mode == "P" else error.max()) <= bound


def test_what_has_not_changed_is_the_picture_itself():
    original = made("CMYK")
    plain = to_plain(original)
    assert give_back(original, plain, plain.copy()) is original


def test_ink_on_nothing_is_ink_on_nothing_again():
    """The old stroke becomes nothing, the new one has the ink's colour, half covered pixels half of its alpha."""
    values = np.zeros((20, 40, 4), dtype=np.uint8)
    values[4:8, 10:30] = (200, 30, 30, 255)
    original = Image.fromarray(values)
    plain = to_plain(original)
    drawn = np.array(plain)
    drawn[4:8, 10:30] = 255
    drawn[12:15, 10:30] = (200, 30, 30)
    drawn[15, 10:30] = (228, 142, 142)  # half of the way to the white that it was laid on
    answer = np.asarray(give_back(original, plain, Image.fromarray(drawn)))
    assert not answer[4:8, 10:30, 3].any()
    assert (answer[12:15, 10:30] == (200, 30, 30, 255)).all()
    assert np.abs(answer[15, 10:30, 3].astype(int) - 128).max() <= 1
    assert np.abs(answer[15, 10:30, :3].astype(int) - (200, 30, 30)).max() <= 2
    assert not answer[..., 3][:4].any()


def test_ink_on_a_solid_label_stays_solid():
    values = np.zeros((20, 40, 4), dtype=np.uint8)
    values[2:18, 4:36] = (250, 240, 200, 255)
    original = Image.fromarray(values)
    plain = to_plain(original)
    drawn = np.array(plain)
    drawn[8:10, 10:20] = (20, 20, 120)
    drawn[10, 10:20] = (135, 130, 160)
    answer = np.asarray(give_back(original, plain, Image.fromarray(drawn)))
    assert (answer[8:10, 10:20] == (20, 20, 120, 255)).all() and (answer[10, 10:20] == (135, 130, 160, 255)).all()
    assert np.array_equal(answer[..., 3], values[..., 3])


def test_light_ink_on_nothing_is_seen_on_black():
    values = np.zeros((20, 40, 4), dtype=np.uint8)
    values[4:8, 10:30] = (255, 250, 240, 255)
    original = Image.fromarray(values)
    plain = to_plain(original)
    drawn = np.array(plain)
    drawn[4:8, 10:30] = 0
    drawn[12:15, 10:30] = (255, 250, 240)
    answer = np.asarray(give_back(original, plain, Image.fromarray(drawn)))
    assert not answer[4:8, 10:30, 3].any() and (answer[12:15, 10:30] == (255, 250, 240, 255)).all()


def test_a_full_palette_takes_the_nearest_of_its_colours():
    values = np.arange(256, dtype=np.uint8).repeat(4).reshape(32, 32)
    original = Image.frombytes("P", (32, 32), values.tobytes())
    original.putpalette([level for grey in range(256) for level in (grey, grey, grey)])
    plain = to_plain(original)
    drawn = np.array(plain)
    drawn[0, 0] = (200, 90, 100)
    answer = give_back(original, plain, Image.fromarray(drawn))
    assert answer.mode == "P" and len(set(answer.convert("RGB").getpixel((0, 0)))) == 1
    assert np.array_equal(np.asarray(answer)[1:], values[1:])
