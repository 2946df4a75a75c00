"""Contact sheets: places, sizes and gaps."""

import numpy as np
from PIL import Image

from translatotron_v.sheets import contact_sheet

RED, BLUE = Image.new("RGB", (100, 20), "red"), Image.new("RGB", (30, 60), "blue")


def test_pictures_keep_their_sizes_without_a_width():
    sheet = contact_sheet([[RED, BLUE], [None, RED]])
    assert sheet.size == (100 + 100 + 3 * 8, 60 + 20 + 3 * 8)  # the second column is as wide as its widest
    pixels = np.asarray(sheet)
    assert (pixels[8:28, 8:108] == (255, 0, 0)).all() and (pixels[8:68, 116:146] == (0, 0, 255)).all()
    assert (pixels[:8] == 208).all() and (pixels[76:96, 8:108] == 208).all()  # a place that is left empty
    assert contact_sheet([[RED, BLUE]], gap=2).size == (100 + 30 + 3 * 2, 60 + 2 * 2)


def test_titles_stand_above_columns_of_one_width():
    sheet = contact_sheet([[RED, None], [BLUE, RED]], ("source", "reference"), column=120)
    assert sheet.size == (2 * 120 + 3 * 8, 28 + 24 + 240 + 3 * 8)
    head = np.asarray(sheet)[8:28]
    assert (head[:, 8:128] < 100).any() and (head[:, 136:] < 100).any()
    assert contact_sheet([], ("source", "reference"), column=120).size == (2 * 120 + 3 * 8, 28 + 8)
