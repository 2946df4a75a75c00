"""Several ranks: what they learn is what one process learns of the same global batches, and how they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from data_synth.build import BuildOptions
from data_synth.build import build as build_pages
from data_synth.style import PageLayout, StyleOptions
from tests.small import PAIRS, SETTINGS, small, write_corpus
from tests.training import rank_worker
from translatotron_v.checkpoint import list_checkpoints, load_tensors, read_info
from translatotron_v.training import build
from translatotron_v.training.launch import split_problem
from translatotron_v.training.reporting import read_entries

ROOT = Path(__file__).parents[2]
QUIET = ("trainer.steps=20", "trainer.log_every=1", "data.validation_limit=4", "trainer.learning_rate=2e-3")
STILL = tuple(
    f"model.{name}.dropout=0"
    for name in ("image_encoder", "text_encoder", "text_decoder", "ocr_head", "character_encoder", "image_decoder")
)


def settings(stage: str, corpus: Path | str, run: Path, *more: str) -> list[str]:
    return [f"stage={stage}", f"data.folder={corpus}", f"run={run}", *QUIET, *STILL, *more]


def losses(run: Path, name: str = "loss") -> list[float]:
    return [entry[name] for entry in read_entries(run) if entry["kind"] == "training" and name in entry]


def comparable(run: Path) -> dict[str, torch.Tensor]:
    """The final tensors; a codebook's in an order of their own: restarts with equal claims may change places."""
    found = {
        f"{path.stem}.{key}": tensor
        for path in sorted((run / "final").glob("*.safetensors"))
        for key, tensor in load_tensors(path).items()
    }
    found.pop("image_tokenizer.idle_steps", None)
    for key, tensor in found.items():
        if "_codebook.cluster_size" in key:
            found[key] = tensor.sort().values
        elif "_codebook.embed" in key:
            found[key] = tensor[0][tensor[0, :, 0].argsort()]
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("ranks") / "corpus")


@pytest.fixture(scope="module")
def teacher(corpus, tmp_path_factory) -> tuple[str, ...]:
    """A tokenizer and a teacher of a few steps: where a translator starts."""
    folder = tmp_path_factory.mktemp("starts")
    build.train(small(*settings("tokenizer", corpus, folder / "tokenizer", "trainer.steps=4")))
    start = f"start={{image_tokenizer: {folder}/tokenizer}}"
    build.train(small(*settings("teacher", corpus, folder / "teacher", "trainer.steps=4", start)))
    return (f"start={{image_tokenizer: {folder}/tokenizer, teacher: {folder}/teacher}}",)


NO_LOSSES = ("kind", "step", "learning_rate", "steps_per_second", "cpu_seconds", "elapsed_seconds")
NO_LOSSES += ("gradient_norm", "generator_gradient_norm", "discriminator_gradient_norm")  # of another size
TOKENIZER = ("loss.quantise_from=0.2", "model.tokenizer.restart_after=2", "loss.adversarial=0.1")
CASES = {
    "tokenizer": TOKENIZER,
    "text": ("trainer.optimizer=muon", "trainer.accumulate=2"),
    "reader": ("loss.ctc=1", "data.curriculum_steps=10", "data.spans=0.5", "trainer.ema=0.9"),
    "translator": ("loss.ctc=0.5", "loss.text_mode=1"),
}


@pytest.mark.parametrize("stage", list(CASES))
def test_two_ranks_learn_what_one_process_learns(stage, corpus, tmp_path, request):
    more = CASES[stage] + (request.getfixturevalue("teacher") if stage == "translator" else ())
    build.train(small(*settings(stage, corpus, tmp_path / "one", *more)))
    rank_worker.run(rank_worker.train, 2, settings(stage, corpus, tmp_path / "two", *more))
    entry = next(entry for entry in read_entries(tmp_path / "one") if entry["step"] == 20)
    names = [name for name in entry if name not in NO_LOSSES]
    assert any(len(losses(tmp_path / "one", name)) == 20 for name in names if "loss" in name)
    for name in names:
        assert losses(tmp_path / "two", name) == pytest.approx(losses(tmp_path / "one", name), abs=1e-5), name
    one, two = comparable(tmp_path / "one"), comparable(tmp_path / "two")
    assert one.keys() == two.keys()
    assert max(float((one[key].double() - two[key].double()).abs().max()) for key in one) < 1e-4
    ends = [
        [entry for entry in read_entries(tmp_path / n) if entry["kind"] == "evaluation"][-1] for n in ("one", "two")
    ]
    for name, value in ends[0].items():
        assert name == "cpu_seconds" or ends[1][name] == pytest.approx(value, abs=1e-4), name


def test_streamed_pages_and_their_workers(corpus, tmp_path):
    config = small()
    page = config.page
    style = StyleOptions(tuple(page.fonts), (page.font_size,) * 2, page.line_height, page.margin)
    for split in ("train", "val"):
        layout = PageLayout(16, 128, 1, "paragraph")
        build_pages(PAIRS, BuildOptions(split=split, layout=layout, style=style, shard_size=4), tmp_path, quiet=True)
    more = ("data.spans=0", f"data.cache={tmp_path / 'cache'}", "trainer.workers=1", "loss.ctc=1", "trainer.steps=10")
    stage = settings("reader", f"file://{tmp_path}", tmp_path / "two", *more)
    build.train(small(*stage, f"run={tmp_path / 'one'}"))
    rank_worker.run(rank_worker.train, 2, stage)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 10 and two == pytest.approx(one, abs=1e-5)


def test_a_killed_rank_ends_the_other_and_one_process_goes_on(corpus, tmp_path):
    more = CASES["reader"]
    changes = ("trainer.checkpoint_every=4",)
    build.train(small(*settings("reader", corpus, tmp_path / "whole", *more, *changes)))
    cut = settings("reader", corpus, tmp_path / "cut", *more, *changes)
    processes = rank_worker.start(rank_worker.train, 2, cut, str(tmp_path / "said"), 10)
    processes[1].join(120)
    assert processes[1].exitcode == -signal.SIGKILL
    processes[0].join(30)
    assert processes[0].exitcode == 2
    said = (tmp_path / "said-0").read_text()
    assert "Traceback" not in said and [line.startswith("error: ") for line in said.splitlines()].count(True) == 1
    remedy = f"{tmp_path / 'cut'}: the same command goes on from the last checkpoint"
    assert said.splitlines()[-1] == f"error: another of the 2 ranks has ended: {remedy}"
    assert list_checkpoints(tmp_path / "cut")[-1].name == "step-0000008"
    build.train(small(*cut))
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "whole"), abs=1e-5)
    assert [entry["step"] for entry in read_entries(tmp_path / "cut") if "loss" in entry] == list(range(1, 21))


def test_two_ranks_go_on_where_one_process_was_cut_off(corpus, tmp_path, monkeypatch):
    class Cut(Exception):
        pass

    def cut(self, step):
        if step == 9:
            raise Cut

    more = settings("reader", corpus, tmp_path / "cut", *CASES["reader"], "trainer.checkpoint_every=4")
    with monkeypatch.context() as patch:
        patch.setattr(rank_worker.ReaderStage, "after_step", cut)
        with pytest.raises(Cut):
            build.train(small(*more))
    rank_worker.run(rank_worker.train, 2, more)
    build.train(small(*more, f"run={tmp_path / 'whole'}"))
    assert losses(tmp_path / "cut") == pytest.approx(losses(tmp_path / "whole"), abs=1e-5)


def test_an_impossible_split_is_one_line(corpus, tmp_path):
    assert split_problem(32, 8) == "" and split_problem(1, 1) == ""
    assert "set it to 8 or 12" in split_problem(10, 4) and "set it to 4, or" in split_problem(3, 4)
    log = str(tmp_path / "said")
    processes = rank_worker.start(
        rank_worker.train, 2, settings("text", corpus, tmp_path / "run", "trainer.batch_size=5"), log
    )
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [2, 2]
    [line] = [line for rank in (0, 1) for line in Path(f"{log}-{rank}").read_text().splitlines()]
    assert line == f"error: {split_problem(5, 2)}"


@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_the_launchers(launcher, corpus, tmp_path):
    """The command line itself."""
    command = {
        "torchrun": ["torch.distributed.run", "--nproc-per-node=2", f"--master-port={rank_worker.free_port()}"],
        "accelerate": [
            # accelerate's --cpu starts one process, whatever --num_processes says
            "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1",
            "--mixed_precision=no", "--dynamo_backend=no", f"--main_process_port={rank_worker.free_port()}",
        ],
    }[launcher]  # fmt: skip
    more = settings("text", corpus, tmp_path / "two", "trainer.steps=3")
    build.train(small(*more, f"run={tmp_path / 'one'}"))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [*SETTINGS, *more[1:]]
    done = subprocess.run(
        [sys.executable, "-m", *command, str(ROOT / "train.py"), "text", *arguments],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("finished at step 3") == 1
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)
    assert read_info(tmp_path / "two" / "final")["ranks"] == 2


def test_a_codebook_of_patches_is_counted_by_all_ranks(corpus, tmp_path):
    more = settings("tokenizer", corpus, tmp_path / "two", "model.tokenizer.encoder=patch_codebook", "trainer.steps=3")
    rank_worker.run(rank_worker.train, 2, more)
    build.train(small(*more, f"run={tmp_path / 'one'}"))
    one, two = comparable(tmp_path / "one"), comparable(tmp_path / "two")
    assert one and all(torch.equal(one[key], two[key]) for key in one)
