"""Pages written to a real S3 server on this machine's loopback and trained on from there."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_synth.build import BuildOptions, build
from data_synth.cli import main
from data_synth.style import PageLayout, StyleOptions
from tests.data.test_shards import PAIRS, VOCABULARY, settings
from tests.inference.fakes import fake_translator
from tests.inference.test_workers import write_pictures
from tests.small import ALL
from tests.training import rank_worker
from translatotron_v.commands.journal import Journal
from translatotron_v.config import load_config
from translatotron_v.data import remote
from translatotron_v.data.pages import Collator
from translatotron_v.data.remote import ShardCache
from translatotron_v.data.streamed_pages import ShardSource, StreamedPages, first_pages
from translatotron_v.errors import UserError
from translatotron_v.inference.files import plan_jobs, translate_jobs
from translatotron_v.scale import elsewhere

pytest.importorskip("moto")
pytest.importorskip("s3fs")
pytest.importorskip("upath")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket of a server in a process of its own; the environment says where it listens."""
    import fsspec

    port = rank_worker.free_port()
    log = subprocess.DEVNULL
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
    here = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in here}
    os.environ |= here
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{here['AWS_ENDPOINT_URL']}/moto-api/", timeout=5)
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        fsspec.filesystem("s3").mkdir("pages")
        yield "s3://pages"
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def options(config) -> BuildOptions:
    page = config.page
    style = StyleOptions(tuple(page.fonts), (page.font_size,) * 2, page.line_height, page.margin)
    return BuildOptions(layout=PageLayout(32, 192, 1, "paragraph"), style=style, lower=page.lower_case, shard_size=5)


def test_written_to_s3_and_trained_on_from_there(bucket, tmp_path, monkeypatch):
    here, there = tmp_path / "here", f"{bucket}/multi30k"
    own = options(load_config(None, []))
    local, elsewhere = build(PAIRS, own, here, quiet=True), build(PAIRS, own, there, quiet=True)
    assert (elsewhere.shards, elsewhere.size, elsewhere.counts) == (local.shards, local.size, local.counts)
    files, _ = remote.filesystem(there)
    for path in (here / "data").glob("*.parquet"):
        assert files.cat_file(f"pages/multi30k/data/{path.name}") == path.read_bytes()
    assert b"Rendered page pairs" in files.cat_file("pages/multi30k/README.md")
    assert build(PAIRS, own, there, quiet=True).shards_found == 3  # a second call finds them

    config = settings(Path("."), f"data.folder={there}", f"data.cache={tmp_path / 'cache'}")
    pages = StreamedPages(ShardSource.of(config), config, Collator(config, VOCABULARY, ALL))
    assert pages[5].source_pixels.shape == (4, 1, 32, 192)
    assert len(first_pages(config, "train", 100)) == len(PAIRS) - 1

    monkeypatch.setattr(remote, "WAIT", 0.0)
    with pytest.raises(UserError, match=r"s3://pages/multi30k/data/gone\.parquet: cannot be read, tried 4 times"):
        ShardCache(tmp_path / "cache", 10**9).fetch(f"{there}/data/gone.parquet")
    files.pipe_file("pages/multi30k/data/cut.parquet", b"PAR1 and nothing after it")
    with pytest.raises(UserError, match=r"cut\.parquet: cannot be read"):
        ShardCache(tmp_path / "cache", 10**9).fetch(f"{there}/data/cut.parquet")


def test_the_command_writes_to_s3(bucket, capsys):
    command = [f"{bucket}/grammar", "--count", "3", "--size", "128x256", "--font-size", "16-16", "--workers", "1"]
    assert main([*command, "--quiet"]) == 0
    assert "3 page pairs of 3" in capsys.readouterr().out
    files, path = remote.filesystem(f"{bucket}/grammar/data")
    assert [name.rpartition("/")[2] for name in files.ls(path)] == ["train-00000-of-00001.parquet"]


def test_pictures_are_read_from_s3_and_put_there(bucket, tmp_path):
    """What a worker of a cluster does with its part of a plan."""
    files, _ = remote.filesystem(bucket)
    for path in write_pictures(tmp_path / "in", 3).iterdir():
        files.put_file(str(path), f"pages/scans/below/{path.name}")
    files.pipe_file("pages/scans/notes.txt", b"no picture")
    there = (f"{bucket}/scans", f"{bucket}/english")
    jobs = elsewhere.plan_jobs([there[0]], there[1], compare=True, recursive=True)
    assert [str(job.target) for job in jobs] == [f"s3://pages/english/below/{n}.png" for n in range(3)]
    [left] = elsewhere.left_out([there[0]], there[1], recursive=True)
    assert left.skip_reason == "s3://pages/scans/notes.txt: not a picture"
    outcomes = list(elsewhere.translate_staged(fake_translator(), jobs))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    own = plan_jobs([str(tmp_path / "in")], tmp_path / "out", compare=True)
    assert len(list(translate_jobs(fake_translator(), own))) == 3
    for path in (tmp_path / "out").iterdir():
        assert files.cat_file(f"pages/english/below/{path.name}") == path.read_bytes()
    assert elsewhere.refused(jobs[0]).error == "s3://pages/english/below/0.png: exists already; --force overwrites it"
    journal = Journal(elsewhere.place(there[1]), "settings", jobs, tmp_path / "journal")
    assert journal.existed(jobs[0]) == [True, True]
    journal.begin()
    journal.add(jobs[0], {"outputs": [str(path) for path in jobs[0].outputs]})
    again = Journal(elsewhere.place(there[1]), "settings", jobs, tmp_path / "journal")
    assert again.resumed and again.record(jobs[0]) and again.record(jobs[1]) is None
    journal.finish([{"outputs": ["one"]}], whole=True)
    assert b'"one"' in files.cat_file("pages/english/report.json")
