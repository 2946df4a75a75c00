"""The steps of the Dockerfile without Docker: an installed package with its weights serves, with a real model."""

import io
import os
import re
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_steps_of_the_image(tmp_path: Path):
    """pip and dependencies are lent by this environment, so that nothing is fetched; all else is as in the image."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").symlink_to(sys.executable)
    lent = {"PYTHONPATH": sysconfig.get_path("purelib"), "PATH": f"{tools}:{os.environ['PATH']}"}
    quick = {"VENV_ARGS": "--without-pip", "PIP_ARGS": "--no-deps --no-build-isolation --no-compile"}
    environment = os.environ | lent | quick | {"OMP_NUM_THREADS": "1"}
    target = tmp_path / "installed"
    done = subprocess.run(
        [ROOT / "docker" / "install.sh", ROOT, target], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    # what the image starts, on this machine alone and with no home, no cache and nothing to write to
    command = [target / "bin" / "translatotron-v", "serve", "--port", "0"]
    environment |= {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        told = []
        for line in process.stderr:
            told.append(line)
            if found := re.search(r"running on (http://[\d.:]+)", line):
                break
        else:
            pytest.fail("".join(told))
        picture = (ROOT / "examples" / "pages" / "sign.jpg").read_bytes()
        with urllib.request.urlopen(f"{found[1]}/translate", data=picture, timeout=300) as answer:
            drawn = np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB")).astype(int)
        source = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
        assert drawn.shape == source.shape and (abs(drawn - source) > 60).any()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_image_runs_as_nobody_and_fetches_nothing_at_start():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and line[0].isalpha()]
    final = max(number for number, (name, _) in enumerate(steps) if name == "FROM")
    names = [name for name, _ in steps[final:]]
    assert "USER" in names and names.index("USER") < names.index("ENTRYPOINT")
    run = [rest for name, rest in steps if name == "RUN"]
    assert run[0].startswith("/source/docker/install.sh /source ") and len(run) == 2 and run[1].startswith("useradd")
    sources = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert [name for name in sources if not (ROOT / name).exists()] == [] and {"weights", "configs"} <= set(sources)
