"""One detector and one reader for all tests of pages."""

import pytest

from translatotron_v.ocr import LineDetector, Reader, make_reader


@pytest.fixture(scope="session")
def detector() -> LineDetector:
    return LineDetector()


@pytest.fixture(scope="session")
def reader() -> Reader:
    return make_reader()
