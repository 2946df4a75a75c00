"""Memory of a long run: pictures and batches of ever new sizes leave nothing behind."""

import os
import subprocess
import sys

import pytest

from translatotron_v.memory import CACHES, SERVING, keep_caches_small

CROPS = """
import random
import psutil
from translatotron_v.memory import SERVING, give_back, keep_caches_small
keep_caches_small(SERVING)
import torch
from translatotron_v.page.separate import load_matting
from translatotron_v.shipped import find_weights

torch.set_num_threads(1)
matting, draw = load_matting(find_weights("small")), random.Random(0)
sizes = []
with torch.inference_mode():
    for _ in range(3):
        for _ in range(40):
            matting(torch.zeros(1, 3, draw.randint(20, 200), draw.randint(40, 400)))
        give_back()
        sizes.append(psutil.Process().memory_info().rss)
print((sizes[2] - sizes[0]) / 1e6)
"""
BATCHES = """
import psutil
from translatotron_v.memory import prepare_to_train
prepare_to_train()
import torch

torch.set_num_threads(1)
layer = torch.nn.Linear(64, 64)
sizes = []
for count in (range(200, 600), range(600, 1400)):
    for rows in count:
        with torch.autocast("cpu", torch.bfloat16):
            layer(torch.zeros(rows, 64)).sum().backward()
    sizes.append(psutil.Process().memory_info().rss)
print((sizes[1] - sizes[0]) / 1e6)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have other ways with memory")
@pytest.mark.parametrize("program", [CROPS, BATCHES], ids=["crops", "batches"])
def test_new_sizes_do_not_add_up(program: str):
    """Without the bounds it is 20 MB and more for these 80 sizes of crops, and 500 for 800 of batches."""
    environment = {name: value for name, value in os.environ.items() if name not in CACHES}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 5


def test_what_is_set_by_hand_stays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(CACHES[0], "7")
    monkeypatch.delenv(CACHES[1], raising=False)
    keep_caches_small(SERVING)
    assert (os.environ[CACHES[0]], os.environ.pop(CACHES[1])) == ("7", "32")
