"""Differences of colours: the published test pairs, and the library that evaluation uses."""

import numpy as np
import pytest

from translatotron_v.page.colours import ciede2000, rgb_to_lab

# Sharma, Wu and Dalal 2005, table 1: pairs 1, 4, 7, 11, 13, 16, 17, 20, 25, 28, 32, 34
PAIRS = (
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0011), 7.2195),
    ((50.0, -0.001, 2.49), (50.0, 0.0009, -2.49), 4.8045),
    ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
    ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
    ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
)


@pytest.mark.parametrize(("one", "other", "difference"), PAIRS)
def test_the_published_pairs(one: tuple[float, ...], other: tuple[float, ...], difference: float):
    found = ciede2000(np.array(one), np.array(other))
    assert found == pytest.approx(difference, abs=5e-5)
    assert ciede2000(np.array(other), np.array(one)) == pytest.approx(difference, abs=5e-5)


def test_colours_of_pictures_differ_as_scikit_image_says():
    from skimage.color import deltaE_ciede2000, rgb2lab

    pairs = np.random.default_rng(1).random((2, 500, 3))
    pairs[1, :100] = pairs[1, :100, :1]  # greys
    np.testing.assert_allclose(rgb_to_lab(pairs), rgb2lab(pairs), atol=1e-3)
    lab = rgb_to_lab(pairs)
    np.testing.assert_allclose(ciede2000(lab[0], lab[1]), deltaE_ciede2000(lab[0], lab[1]), atol=1e-4)
