"""Runs that end by CPU time, or by their own validation with the weights of its best score; and that resume so."""

from pathlib import Path

import pytest
import torch

from tests.training.toy import ToyStage
from translatotron_v import checkpoint
from translatotron_v.checkpoint import load_tensors
from translatotron_v.config import ConfigError, TrainerConfig, load_config
from translatotron_v.errors import UserError
from translatotron_v.training import reporting
from translatotron_v.training.launch import TrainingError
from translatotron_v.training.protocol import Evaluation
from translatotron_v.training.reporting import read_entries
from translatotron_v.training.schedule import progress
from translatotron_v.training.stopping import BEST, finished, is_better
from translatotron_v.training.trainer import Trainer


def settings(**changes) -> TrainerConfig:
    base = {"steps": 40, "checkpoint_every": 3, "evaluate_every": 2, "log_every": 2, "warmup_steps": 1, "device": "cpu"}
    return TrainerConfig(**(base | changes))


class Scored(ToyStage):
    """A toy whose scores are given: those of steps that are not named are 0."""

    def __init__(self, scores: dict[int, float], name: str = "bleu", die_at: int = -1) -> None:
        super().__init__()
        self.scores, self.name, self.die_at = scores, name, die_at

    def forward(self, batch, optimizer, step):
        if step == self.die_at:
            raise KeyboardInterrupt
        return super().forward(batch, optimizer, step)

    def evaluate(self, step: int) -> Evaluation:
        return Evaluation({**super().evaluate(step).metrics, self.name: self.scores.get(step, 0.0)})


def student(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / "student.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", ["bleu", "reading_cer"])
def test_a_run_ends_when_its_score_no_longer_gets_better(tmp_path: Path, name: str):
    sign = 1 if name == "bleu" else -1
    scores = {step: sign * value for step, value in {2: 1.0, 4: 3.0, 6: 2.0, 8: 3.0, 10: 9.0}.items()}
    metrics = Trainer(Scored(scores, name), settings(patience=2, watch=name), tmp_path / "run").fit()
    info = checkpoint.read_info(tmp_path / "run" / "final")
    assert metrics[name] == sign * 3.0 and info["metrics"] == metrics  # an equal score is no gain
    assert (info["step"], info["best_step"], info["without_gain"]) == (8, 4, 2)
    Trainer(Scored({}), settings(steps=4, decay="constant"), tmp_path / "four").fit()
    Trainer(Scored({}), settings(steps=8, decay="constant"), tmp_path / "eight").fit()
    Trainer(Scored(scores, name), settings(patience=2, watch=name, decay="constant"), tmp_path / "constant").fit()
    ended = student(tmp_path / "constant" / "final")
    assert same(ended, student(tmp_path / "four" / "final")) and not same(ended, student(tmp_path / "eight" / "final"))


def test_the_last_evaluation_may_be_the_best(tmp_path: Path):
    info = {}
    for steps in (5, 6):  # the last step is between evaluations, or at one
        Trainer(
            Scored({2: 1.0, 4: 2.0, steps: 3.0}), settings(steps=steps, patience=3, watch="bleu"), tmp_path / str(steps)
        ).fit()
        info[steps] = checkpoint.read_info(tmp_path / str(steps) / "final")
    assert [(one["best_step"], one["metrics"]["bleu"]) for one in info.values()] == [(5, 3.0), (6, 3.0)]


def test_averaged_weights_are_kept_as_they_were_scored(tmp_path: Path):
    Trainer(Scored({2: 5.0}), settings(patience=2, watch="bleu", ema=0.9), tmp_path).fit()
    assert same(student(tmp_path / "final"), student(tmp_path / BEST))
    assert not same(student(tmp_path / "final"), student(checkpoint.latest_checkpoint(tmp_path)))


@pytest.mark.parametrize("die_at", [3, 5, 7])
def test_a_run_that_was_cut_off_ends_where_it_would_have(tmp_path: Path, die_at: int):
    scores, config = {2: 1.0, 4: 4.0, 6: 2.0, 8: 3.0}, settings(patience=2, watch="bleu")
    Trainer(Scored(scores), config, tmp_path / "whole").fit()
    with pytest.raises(KeyboardInterrupt):
        Trainer(Scored(scores, die_at=die_at), config, tmp_path / "cut").fit()
    Trainer(Scored(scores), config, tmp_path / "cut").fit()
    whole, cut = (checkpoint.read_info(tmp_path / name / "final") for name in ("whole", "cut"))
    assert [whole[key] for key in ("step", "best_step", "metrics")] == [
        cut[key] for key in ("step", "best_step", "metrics")
    ]
    assert same(student(tmp_path / "whole" / "final"), student(tmp_path / "cut" / "final"))


def test_a_run_that_has_ended_goes_on_with_more_patience(tmp_path: Path):
    Trainer(Scored({2: 1.0}), settings(patience=1, watch="bleu"), tmp_path).fit()
    stage = Scored({2: 1.0})
    Trainer(stage, settings(patience=1, watch="bleu"), tmp_path).fit()
    assert not stage.modes
    Trainer(stage, settings(patience=3, watch="bleu"), tmp_path).fit()
    assert checkpoint.read_info(tmp_path / "final")["step"] == 8


def test_what_cannot_be_watched(tmp_path: Path):
    with pytest.raises(UserError, match=r"trainer\.watch: .* no 'chrf'; it has distance, bleu"):
        Trainer(Scored({}), settings(patience=1, watch="chrf"), tmp_path / "a").fit()
    with pytest.raises(TrainingError, match=r"trainer\.average=0"):
        Trainer(Scored({}), settings(patience=1, watch="bleu", average=2), tmp_path / "b")
    with pytest.raises(ConfigError, match=r"trainer\.watch=bleu"):
        load_config(None, ["trainer.patience=2"])


def test_errors_fall_and_scores_rise():
    assert is_better("bleu", 2.0, 1.0) and not is_better("bleu", 1.0, 1.0)
    assert is_better("cer_clean_unseen", 0.1, 0.2) and not is_better("transcript_cer", 0.2, 0.1)


def test_cpu_seconds_bound_a_run_and_survive_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A clock that counts a CPU second at each look at the loop; what was spent before it does not count."""

    class Ticking(reporting.Clock):
        def loop_cpu(self) -> float:
            self._loop_cpu += 1.0
            return self._loop_cpu

        def cpu(self) -> float:
            return 1000.0

    monkeypatch.setattr("translatotron_v.training.trainer.Clock", Ticking)
    config = settings(steps=10**6, cpu_seconds=20.0, evaluate_every=10**6, log_every=1)
    with pytest.raises(KeyboardInterrupt):
        Trainer(Scored({}, die_at=7), config, tmp_path).fit()
    Trainer(Scored({}), config, tmp_path).fit()
    info = checkpoint.read_info(tmp_path / "final")
    assert info["loop_cpu_seconds"] >= 20.0 and 10 <= info["step"] <= 20
    rates = [entry["learning_rate"] for entry in read_entries(tmp_path) if entry["kind"] == "training"]
    assert rates[1:] == sorted(rates[1:], reverse=True) and rates[-1] < 0.1 * rates[1]
    stage = Scored({})
    Trainer(stage, config, tmp_path).fit()
    assert not stage.modes and finished(info, config) and not finished(info, settings(steps=10**6, cpu_seconds=99.0))


def test_the_nearest_end_counts():
    assert progress(5, 10, 90, 2, 30, 100) == 0.75
    assert progress(5, 10, 0, None, 80, 100) == 0.8
    assert progress(5, 10, 0, None, 80, None) == 0.5
