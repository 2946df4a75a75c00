"""The loop: resuming, averages, accumulation, frozen parts, schedules, signals, and what stops a run."""

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tests.small import small
from tests.training.toy import ToyDataset, ToyStage
from translatotron_v import checkpoint
from translatotron_v.checkpoint import CheckpointError, checkpoint_folder, list_checkpoints, load_tensors
from translatotron_v.config import TrainerConfig
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training import reporting, state
from translatotron_v.training.launch import TrainingError, make_accelerator
from translatotron_v.training.protocol import Evaluation, TrainableStage
from translatotron_v.training.reporting import read_entries
from translatotron_v.training.schedule import learning_rate_factor, progress
from translatotron_v.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
TOY = Path(__file__).with_name("toy.py")


def settings(**changes) -> TrainerConfig:
    base = {"steps": 12, "checkpoint_every": 5, "evaluate_every": 4, "log_every": 3, "warmup_steps": 3, "device": "cpu"}
    return TrainerConfig(**(base | changes))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor below a folder."""
    return {
        f"{path.relative_to(folder)}:{key}": tensor
        for path in sorted(folder.rglob("*.safetensors"))
        for key, tensor in load_tensors(path).items()
    }


def require_equal(one: Path, other: Path) -> None:
    """Two runs have ended with the same weights and the same state, bit for bit."""
    for part in ("final", "checkpoints"):
        first, second = weights(one / part), weights(other / part)
        assert first and first.keys() == second.keys()
        assert [key for key in first if not torch.equal(first[key], second[key])] == []


class Cut(Exception):
    """Stands for a power cut in tests that stay in one process."""


class CutStage(ToyStage):
    """Dies in the middle of a step."""

    cut_at = -1

    def forward(self, batch, optimizer, step):
        if step == self.cut_at and optimizer != "generator":
            raise Cut
        return super().forward(batch, optimizer, step)


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adversary", "changes"),
    [
        (False, {}),
        (False, {"ema": 0.9, "accumulate": 3}),
        (True, {"ema": 0.9, "accumulate": 2}),
        (False, {"average": 2}),
        (True, {"precision": "bf16", "clip": 0.0, "decay": "polynomial"}),
    ],
)
def test_resumed_equals_uninterrupted(tmp_path, adversary, changes):
    config = settings(keep=2, **changes)
    Trainer(ToyStage(adversary), config, tmp_path / "whole").fit()
    for cut_at in (3, 7, 11):  # before the first checkpoint, and after each of the others
        stage = CutStage(adversary)
        stage.cut_at = cut_at
        with pytest.raises(Cut):
            Trainer(stage, config, tmp_path / "cut").fit()
    Trainer(ToyStage(adversary), config, tmp_path / "cut").fit()
    require_equal(tmp_path / "whole", tmp_path / "cut")


def command(folder: Path, config: dict, *more: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-W", "ignore", str(TOY), str(folder), json.dumps(config), *more]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(arguments, env=environment, text=True, start_new_session=True, **pipes)


def test_the_environment_is_never_emptied(tmp_path, monkeypatch):
    """As accelerate does where it is asked what is set: a thread that looks something up then ends the process."""

    def empty() -> None:
        raise AssertionError("the environment is emptied")

    monkeypatch.setattr("accelerate.utils.environment.clear_environment", empty)
    Trainer(ToyStage(), settings(accumulate=2), tmp_path / "run").fit()
    made = make_accelerator(settings(accumulate=3))
    assert made.gradient_accumulation_steps == 3 and made.ddp_handler.to_kwargs() == {"find_unused_parameters": True}


def test_killed_at_a_random_moment(tmp_path):
    config = {"steps": 80, "checkpoint_every": 5, "evaluate_every": 30, "ema": 0.9, "accumulate": 2, "device": "cpu"}
    Trainer(ToyStage(adversary=True), TrainerConfig(**config), tmp_path / "whole").fit()
    process = command(tmp_path / "cut", config, "--adversary")
    while process.poll() is None and not list_checkpoints(tmp_path / "cut"):
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.5))
    process.kill()
    process.communicate()
    assert list_checkpoints(tmp_path / "cut")
    Trainer(ToyStage(adversary=True), TrainerConfig(**config), tmp_path / "cut").fit()
    require_equal(tmp_path / "whole", tmp_path / "cut")


def test_killed_after_the_last_checkpoint_before_older_ones_were_deleted(tmp_path):
    Trainer(ToyStage(), settings(keep=3), tmp_path / "cut").fit()
    shutil.rmtree(tmp_path / "cut" / "final")
    (tmp_path / "cut" / "checkpoints" / ".tmp-step-0000005-0123abcd").mkdir()  # half deleted
    Trainer(ToyStage(), settings(keep=1), tmp_path / "cut").fit()
    assert [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()] == ["step-0000012"]


def test_terminated_from_outside(tmp_path):
    """SIGTERM to the whole process group, data workers included, as a batch system or a closed terminal sends it."""
    config = {"steps": 100_000, "checkpoint_every": 20, "evaluate_every": 50_000, "workers": 1, "device": "cpu"}
    process = command(tmp_path / "run", config)
    while process.poll() is None and not list_checkpoints(tmp_path / "run"):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    _, shown = process.communicate()
    assert process.returncode == 143, shown
    assert "run the same command again to resume" in shown.splitlines()[-1]
    assert "Traceback" not in shown


def test_a_finished_run_does_nothing(tmp_path, capsys):
    first = Trainer(ToyStage(), settings(), tmp_path).fit()
    before = weights(tmp_path)
    stage = ToyStage()
    assert Trainer(stage, settings(), tmp_path).fit() == first
    assert not stage.modes and not stage.evaluations
    assert "this run is finished" in capsys.readouterr().out
    assert all(torch.equal(tensor, before[key]) for key, tensor in weights(tmp_path).items())


def test_a_finished_run_goes_on_with_more_steps(tmp_path):
    Trainer(ToyStage(), settings(steps=5, decay="constant"), tmp_path / "run").fit()
    Trainer(ToyStage(), settings(decay="constant"), tmp_path / "run").fit()
    Trainer(ToyStage(), settings(decay="constant"), tmp_path / "whole").fit()
    require_equal(tmp_path / "run", tmp_path / "whole")


def test_workers_change_nothing(tmp_path):
    Trainer(ToyStage(), settings(), tmp_path / "alone").fit()
    Trainer(ToyStage(), settings(workers=2), tmp_path / "helped").fit()
    require_equal(tmp_path / "alone", tmp_path / "helped")


def test_the_seed_decides(tmp_path):
    Trainer(ToyStage(), settings(seed=1), tmp_path / "a").fit()
    Trainer(ToyStage(), settings(seed=2), tmp_path / "b").fit()
    first, second = (load_tensors(tmp_path / run / "final" / "student.safetensors") for run in "ab")
    assert not torch.equal(first["0.weight"], second["0.weight"])


def test_resuming_with_another_shape_is_refused(tmp_path):
    stage = CutStage()
    stage.cut_at = 7
    with pytest.raises(Cut):
        Trainer(stage, settings(), tmp_path).fit()
    stage = ToyStage()
    stage.student[0] = nn.Linear(4, 9)
    with pytest.raises(CheckpointError, match=r"student\.safetensors: '0\.weight' has shape \(8, 4\).*\(9, 4\)"):
        Trainer(stage, settings(), tmp_path).fit()


def test_changed_settings_are_told(tmp_path, capsys, monkeypatch):
    stage = CutStage()
    stage.cut_at = 7
    with pytest.raises(Cut):
        Trainer(stage, settings(), tmp_path).fit()
    stage = ToyStage()
    monkeypatch.setattr(stage, "extra_files", lambda: {"config.yaml": "toy: false\n", "vocabulary.json": "{}\n"})
    Trainer(stage, settings(), tmp_path).fit()
    told = [line for line in capsys.readouterr().err.splitlines() if "has changed" in line]
    assert len(told) == 1 and "config.yaml" in told[0]


# --- the log and the folder -------------------------------------------------------------------------------------------


def test_log(tmp_path, capsys):
    stage = CutStage()
    stage.cut_at = 9
    with pytest.raises(Cut):
        Trainer(stage, settings(), tmp_path).fit()
    spent = read_entries(tmp_path)[-1]["cpu_seconds"]
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "trai')  # a kill in the middle of a line
    capsys.readouterr()
    Trainer(ToyStage(), settings(), tmp_path).fit()
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    # Interrupted at 9, resumed from 5: what lay between is there once.
    assert [entry["step"] for entry in entries if entry["kind"] == "training"] == [3, 6, 9, 12]
    assert [entry["step"] for entry in entries if entry["kind"] == "evaluation"] == [4, 8, 12]
    costs = [entry["cpu_seconds"] for entry in entries if entry["step"] > 5]
    assert costs == sorted(costs) and costs[0] >= spent  # the lost steps were paid for
    assert json.loads((tmp_path / "final" / "checkpoint.json").read_text())["cpu_seconds"] >= costs[-1]
    lines = capsys.readouterr().err.splitlines()
    assert "resuming from step 5" in lines[0]
    plain = next(line for line in lines if line.startswith("step 6/12"))
    assert all(word in plain for word in ("loss", "distance", "steps/s", "CPU-s", "ETA")) and "\r" not in plain
    assert "finished at step 12" in lines[-1]


def test_reports_are_means(tmp_path):
    class Counting(ToyStage):
        def forward(self, batch, optimizer, step):
            loss, _ = super().forward(batch, optimizer, step)
            return loss, {"step_number": float(step), "sometimes": 1.0} if step % 2 else {"step_number": float(step)}

    Trainer(Counting(), settings(accumulate=2), tmp_path).fit()
    first = read_entries(tmp_path)[0]
    assert first["step_number"] == 1.0 and first["sometimes"] == 1.0  # steps 0, 1, 2


def test_folder(tmp_path):
    Trainer(ToyStage(), settings(ema=0.9, keep=2), tmp_path).fit()
    modules = {f"{name}.safetensors" for name in ("student", "teacher", "critic", "codebook")}
    common = modules | {"checkpoint.json", "config.yaml", "vocabulary.json"}
    assert {path.name for path in (tmp_path / "final").iterdir()} == common
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-0000010", "step-0000012"]
    for folder in list_checkpoints(tmp_path):
        assert {path.name for path in folder.iterdir()} == common | {"resume"}
        assert {path.suffix for path in (folder / "resume").iterdir()} == {".safetensors", ".json"}
    assert (tmp_path / "final" / "config.yaml").read_text() == "toy: true\n"
    assert {path.name for path in (tmp_path / "sheets").iterdir()} == {f"step-{n:07d}.png" for n in (4, 8, 12)}
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".tmp")]
    assert any((tmp_path / "tensorboard").iterdir())


def test_toy_is_a_stage():
    assert isinstance(ToyStage(), TrainableStage)


# --- what a step does -------------------------------------------------------------------------------------------------


class Doubled(ToyDataset):
    """Micro-batches 2i and 2i + 1 of the plain data set in one."""

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.cat([super(Doubled, self).__getitem__(2 * index + k) for k in range(2)])


@pytest.mark.parametrize("clip", [0.0, 0.1])
def test_accumulation_equals_a_bigger_batch(tmp_path, clip):
    stage = ToyStage(dropout=0.0, codebook=False)
    Trainer(stage, settings(accumulate=2, clip=clip), tmp_path / "accumulated").fit()
    stage = ToyStage(dropout=0.0, codebook=False)
    stage.dataset = Doubled()
    Trainer(stage, settings(clip=clip), tmp_path / "bigger").fit()
    first, second = (load_tensors(tmp_path / run / "final/student.safetensors") for run in ("accumulated", "bigger"))
    for key, tensor in first.items():
        torch.testing.assert_close(tensor, second[key], rtol=1e-4, atol=1e-5)


def test_clipping_and_turns(tmp_path):
    """Each optimizer sees a clipped gradient; the others' parameters have none while it has its turn."""
    stage = ToyStage(adversary=True)
    student, critic = list(stage.student.parameters()), list(stage.critic.parameters())
    seen: list[tuple[bool, bool]] = []

    def look(optimizer, arguments, named) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
        assert torch.stack([g.norm() for g in gradients]).norm() <= 0.01 * (1 + 1e-5)
        seen.append((student[0].grad is not None, critic[0].grad is not None))

    handle = register_optimizer_step_pre_hook(look)
    try:
        Trainer(stage, settings(clip=0.01), tmp_path).fit()
    finally:
        handle.remove()
    assert seen == [(True, False), (False, True)] * 12
    assert all(p.requires_grad for p in [*student, *critic])


def test_frozen_parts_are_untouched_and_in_eval_mode(tmp_path):
    stage = ToyStage()
    before = {key: tensor.clone() for key, tensor in stage.teacher.state_dict().items()}
    Trainer(stage, settings(weight_decay=0.5, ema=0.9), tmp_path).fit()
    assert all(torch.equal(before[key], tensor) for key, tensor in stage.teacher.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in stage.teacher.parameters())
    assert set(stage.modes) == {(True, False)}  # (student trains, teacher trains), after evaluations too
    assert stage.evaluations == [4, 8, 12]


def test_weight_decay_groups():
    net = nn.ModuleDict({"embed": nn.Embedding(5, 4), "linear": nn.Linear(4, 4), "norm": nn.LayerNorm(4)})
    decayed, rest = state.parameter_groups(net, list(net.parameters()), 0.1)
    assert [id(p) for p in decayed["params"]] == [id(net["linear"].weight)]
    assert decayed["weight_decay"] == 0.1 and rest["weight_decay"] == 0.0
    assert len(rest["params"]) == 4


def test_only_maps_shrink():
    """Positions, relative biases, class tokens and start vectors look like matrices and are none."""
    model = TranslatotronV(small("model.image_encoder.class_token=true").model, 40, 30)
    model.tied = nn.Linear(16, 40, bias=False)
    model.tied.weight = model.text_decoder.embedding.weight
    decayed, rest = state.parameter_groups(model, list(model.parameters()), 0.1)
    names = state.parameter_names(model)
    kept = {names[id(p)] for p in rest["params"]}
    tables = ("positions", "pos_embed", "cls_token", "_bias", "start_vector", "embedding.weight")
    looked_at = [name for name in names.values() if name.endswith(tables)]
    assert {name.rpartition(".")[2] for name in looked_at} >= {
        "cls_token", "pos_embed", "row_bias", "column_bias", "row_positions", "decoder_positions", "start_vector",
        "weight",
    }  # fmt: skip
    assert kept >= set(looked_at)
    assert all(names[id(p)].endswith("weight") and p.ndim >= 2 for p in decayed["params"])
    maps = [part.weight for part in model.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    assert {id(p) for p in decayed["params"]} == {id(p) for p in maps} - {id(model.tied.weight)}


# --- averages ---------------------------------------------------------------------------------------------------------


class Remembering(ToyStage):
    """Keeps the student as it was after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[dict[str, torch.Tensor]] = []

    def after_step(self, step: int) -> None:
        super().after_step(step)
        self.history.append({key: p.detach().clone() for key, p in self.student.named_parameters()})


def test_moving_average(tmp_path):
    stage = Remembering()
    final = Trainer(stage, settings(ema=0.7), tmp_path).fit()
    expected = dict(stage.history[0])
    for n, current in enumerate(stage.history[1:], 1):
        decay = min(0.7, (1 + n) / (10 + n))
        expected = {key: decay * value + (1 - decay) * current[key] for key, value in expected.items()}
    shipped = load_tensors(tmp_path / "final" / "student.safetensors")
    raw = load_tensors(checkpoint_folder(tmp_path, 12) / "student.safetensors")
    for key, value in expected.items():
        torch.testing.assert_close(shipped[key], value)
        assert torch.equal(raw[key], stage.history[-1][key])
        assert torch.equal(stage.student.state_dict()[key], raw[key])  # swapped back
    # The evaluation has seen the averages.
    checkpoint.load_module(stage.student, tmp_path / "final", "student")
    assert stage.eval().evaluate(0).metrics == final


@pytest.mark.parametrize(("average", "steps"), [(2, [10, 12]), (3, [5, 10, 12]), (9, [5, 10, 12])])
def test_mean_of_the_last_checkpoints(tmp_path, average, steps):
    """The mean divides by how many there are, and no more of them are kept than it needs."""
    stage = Remembering()
    Trainer(stage, settings(average=average), tmp_path).fit()
    shipped = load_tensors(tmp_path / "final" / "student.safetensors")
    for key, value in shipped.items():
        expected = torch.stack([stage.history[step - 1][key] for step in steps]).mean(0)
        torch.testing.assert_close(value, expected)
    assert checkpoint.read_info(tmp_path / "final")["averaged_steps"] == steps
    assert [path.name for path in list_checkpoints(tmp_path)] == [f"step-{step:07d}" for step in steps]
    last = load_tensors(checkpoint_folder(tmp_path, 12) / "codebook.safetensors")
    assert torch.equal(load_tensors(tmp_path / "final" / "codebook.safetensors")["mean"], last["mean"])


def test_two_averages_are_refused(tmp_path):
    with pytest.raises(TrainingError, match=r"trainer\.ema and trainer\.average"):
        Trainer(ToyStage(), settings(ema=0.9, average=2), tmp_path)


# --- schedule and time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "done", "decay", "power", "factor"),
    [
        (0, 0.0, "constant", 1, 0.1),
        (4, 0.0, "constant", 1, 0.5),
        (9, 0.0, "constant", 1, 1.0),
        (99, 0.9, "constant", 1, 1.0),
        (50, 0.5, "polynomial", 1, 0.5),
        (50, 0.5, "polynomial", 2, 0.25),
        (4, 0.2, "polynomial", 1, 0.4),
        (50, 0.5, "cosine", 1, 0.5),
        (50, 0.25, "cosine", 1, 0.5 + math.sqrt(0.5) / 2),
        (99, 1.0, "cosine", 1, 0.0),
    ],
)
def test_schedule(step, done, decay, power, factor):
    assert learning_rate_factor(step, done, 10, decay, power) == pytest.approx(factor, abs=1e-12)


def test_schedule_without_warmup_and_unknown():
    assert learning_rate_factor(0, 0.0, 0, "cosine") == 1.0
    with pytest.raises(ValueError, match="stairs"):
        learning_rate_factor(0, 0.0, 0, "stairs")


@pytest.mark.parametrize(
    ("step", "elapsed", "minutes", "done"),
    [(5, 0, None, 0.5), (5, 90, 2, 0.75), (5, 10, 2, 0.5), (12, 0, None, 1.0), (0, 999, 2, 1.0)],
)
def test_progress(step, elapsed, minutes, done):
    assert progress(step, 10, elapsed, minutes) == done


def test_learning_rate_reaches_the_optimizer(tmp_path):
    rates = []
    handle = register_optimizer_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    try:
        Trainer(ToyStage(), settings(learning_rate=0.01, decay="polynomial"), tmp_path).fit()
    finally:
        handle.remove()
    assert rates == pytest.approx([0.01 * min(1, (step + 1) / 3) * (1 - step / 12) for step in range(12)])


def test_time_bounded_run(tmp_path, monkeypatch):
    """A clock that ticks at each look: the run ends by time, the time survives a kill, and the schedule follows it."""

    class Ticking(reporting.Clock):
        def elapsed(self) -> float:
            self._elapsed += 0.5
            return self._elapsed

    monkeypatch.setattr("translatotron_v.training.trainer.Clock", Ticking)
    config = settings(steps=10**6, minutes=1.0, checkpoint_every=2, log_every=1)
    stage = CutStage()
    stage.cut_at = 9
    with pytest.raises(Cut):
        Trainer(stage, config, tmp_path).fit()
    spent = read_entries(tmp_path)[-1]["elapsed_seconds"]
    assert 0 < spent < 60
    stage = ToyStage()
    Trainer(stage, config, tmp_path).fit()
    entries = [entry for entry in read_entries(tmp_path) if entry["kind"] == "training"]
    assert next(entry for entry in entries if entry["step"] == 9)["elapsed_seconds"] > spent
    assert entries[-1]["elapsed_seconds"] >= 60
    assert entries[-1]["step"] < 100
    rates = [entry["learning_rate"] for entry in entries if entry["step"] > 3]
    assert rates == sorted(rates, reverse=True) and rates[-1] < 0.1 * rates[0]
    stage = ToyStage()
    Trainer(stage, config, tmp_path).fit()
    assert not stage.modes  # finished


def test_a_run_without_time_still_ends(tmp_path):
    Trainer(ToyStage(), settings(minutes=1e-9, average=2), tmp_path).fit()
    assert checkpoint.read_info(tmp_path / "final")["step"] == 1


# --- what stops a run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("during", ["step", "evaluation"])
def test_signals(tmp_path, capsys, number, status, during):
    class Signalled(ToyStage):
        def after_step(self, step: int) -> None:
            super().after_step(step)
            if during == "step" and step == 6:
                os.kill(os.getpid(), number)

        def evaluate(self, step: int) -> Evaluation:
            if during == "evaluation" and step == 8:
                os.kill(os.getpid(), number)
                time.sleep(10)  # left at once
            return super().evaluate(step)

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    config = settings(ema=0.9)
    with pytest.raises(SystemExit) as caught:
        Trainer(Signalled(), config, tmp_path / "stopped").fit()
    assert caught.value.code == status
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    step = 7 if during == "step" else 8
    assert list_checkpoints(tmp_path / "stopped")[-1] == checkpoint_folder(tmp_path / "stopped", step)
    assert f"at step {step}; saved, run the same command again to resume" in capsys.readouterr().err
    Trainer(ToyStage(), config, tmp_path / "stopped").fit()
    Trainer(ToyStage(), config, tmp_path / "whole").fit()
    require_equal(tmp_path / "stopped", tmp_path / "whole")
    assert [e["step"] for e in read_entries(tmp_path / "stopped") if e["kind"] == "evaluation"] == [4, 8, 12]


def test_loss_that_is_not_finite(tmp_path):
    stage = ToyStage()
    stage.poison_at = 3
    with pytest.raises(TrainingError, match=r"not finite at step 3.*there is no checkpoint yet") as caught:
        Trainer(stage, settings(), tmp_path).fit()
    assert "\n" not in str(caught.value)
    stage = ToyStage()
    stage.poison_at = 7
    with pytest.raises(TrainingError, match=f"not finite at step 7.*{checkpoint_folder(tmp_path, 5)}"):
        Trainer(stage, settings(), tmp_path).fit()
    assert all(p.isfinite().all() for p in stage.parameters())


def test_nothing_to_train_gets_one_line(tmp_path):
    """All modules frozen, or losses whose weights are all zero: not an optimizer's or autograd's own complaint."""

    class Frozen(ToyStage):
        def optimized(self):
            return {"main": []}

    class Weightless(ToyStage):
        def forward(self, batch, optimizer, step):
            return torch.zeros(()), super().forward(batch, optimizer, step)[1]

    for stage, message in ((Frozen(), "nothing to train"), (Weightless(), "the loss reaches no parameter")):
        with pytest.raises(TrainingError, match=message) as caught:
            Trainer(stage, settings(), tmp_path).fit()
        assert "\n" not in str(caught.value)


def test_full_disk_while_saving(tmp_path, monkeypatch):
    write = checkpoint._write

    def full(path: Path, content: bytes) -> None:
        if "step-0000010" in str(path) and path.name.startswith("optimizer"):
            raise OSError(28, "No space left on device")
        write(path, content)

    config = settings(keep=2)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", full)
        with pytest.raises(CheckpointError, match="No space left on device"):
            Trainer(ToyStage(), config, tmp_path / "full").fit()
    assert list_checkpoints(tmp_path / "full") == [checkpoint_folder(tmp_path / "full", 5)]
    Trainer(ToyStage(), config, tmp_path / "full").fit()
    Trainer(ToyStage(), config, tmp_path / "whole").fit()
    require_equal(tmp_path / "full", tmp_path / "whole")


def test_a_fault_in_the_scoring_costs_no_training(tmp_path):
    class Faulty(ToyStage):
        def evaluate(self, step: int) -> Evaluation:
            if step == 8:
                raise RuntimeError("the reader is broken")
            return super().evaluate(step)

    with pytest.raises(RuntimeError, match="the reader is broken"):
        Trainer(Faulty(), settings(), tmp_path).fit()
    assert list_checkpoints(tmp_path)[-1] == checkpoint_folder(tmp_path, 8)


def test_missing_device(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match=r"trainer\.device=cpu"):
        Trainer(ToyStage(), settings(device="cuda"), tmp_path)
