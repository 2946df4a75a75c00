"""What every test shares: one thread, and one detector and one reader of pictures."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is first imported; more threads fight over a small machine

os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the Hub; those that need one have one of their own

import pytest

from translatotron_v.ocr import LineDetector, OcrEngine, make_ocr_engine


@pytest.fixture(scope="session")
def detector() -> LineDetector:
    return LineDetector()


@pytest.fixture(scope="session")
def reader() -> OcrEngine:
    return make_ocr_engine()
