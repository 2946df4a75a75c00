"""A stage of a few hundred parameters, and a command that trains it, for tests of the loop."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from translatotron_v.config import TrainerConfig
from translatotron_v.training.protocol import Evaluation
from translatotron_v.training.trainer import Trainer


class ToyDataset:
    """Micro-batch i is a function of (seed, i): rows of 4 numbers and what the stage shall make of them."""

    def __init__(self, seed: int = 0, rows: int = 8) -> None:
        self.seed, self.rows = seed, rows

    def __getitem__(self, index: int) -> Tensor:
        return torch.randn(self.rows, 4, generator=torch.Generator().manual_seed(1000 * self.seed + index))


class Codebook(nn.Module):
    """Changes its buffers in training mode, and has no parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.lerp_(x.detach().mean(0), 0.1)
            self.count += 1
        return x - self.mean


class ToyStage(nn.Module):
    """Learns to say what a frozen teacher says; with ``adversary``, a critic takes the second turn."""

    def __init__(self, adversary: bool = False, dropout: float = 0.1, codebook: bool = True, rows: int = 8) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.student = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Dropout(dropout), nn.LayerNorm(8), nn.Linear(8, 2))
        self.teacher = nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).requires_grad_(False)
        self.critic = nn.Linear(2, 1)
        self.codebook = Codebook() if codebook else nn.Identity()
        self.register_buffer("own", torch.zeros(3))  # of the stage itself: part of no saved module
        self.adversary = adversary
        self.modules_to_save: Mapping[str, nn.Module] = {
            "student": self.student,
            "teacher": self.teacher,
            "critic": self.critic,
            "codebook": self.codebook,
        }
        self.dataset: Any = ToyDataset(rows=rows)
        self.poison_at = -1
        self.kill_at = -1
        self.evaluations: list[int] = []
        self.modes: list[tuple[bool, bool]] = []

    def optimized(self) -> Mapping[str, list[nn.Parameter]]:
        """One optimizer, or two."""
        if self.adversary:
            return {"generator": list(self.student.parameters()), "discriminator": list(self.critic.parameters())}
        return {"main": list(self.student.parameters())}

    def blocks(self) -> list[nn.Module]:
        return []

    def counts(self, batch: Tensor) -> Mapping[str, float]:
        """All batches are of one size."""
        return {}

    def forward(self, batch: Tensor, optimizer: str, step: int) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Squared distance to the teacher."""
        if step == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.modes.append((self.student.training, self.teacher.training))
        said = self.student(self.codebook(batch))
        wanted = self.teacher(batch)
        loss = (said - wanted).square().mean()
        if optimizer == "generator":
            loss = loss - 0.1 * self.critic(said).mean()
        elif optimizer == "discriminator":
            loss = (self.critic(said.detach()) - self.critic(wanted)).mean() + self.critic.weight.square().sum()
        if step == self.poison_at:
            loss = loss * float("nan")
        return loss, {"distance": loss.detach(), "rows": float(len(batch))}

    def after_step(self, step: int) -> None:
        """Random, as a codebook's restart is."""
        self.own += torch.randn(3)

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """Distance on rows that are always the same."""
        self.evaluations.append(step)
        assert not self.training
        rows = ToyDataset(seed=9, rows=64)[0]
        distance = (self.student(self.codebook(rows)) - self.teacher(rows)).square().mean()
        return Evaluation({"distance": float(distance)}, Image.new("L", (4, 4)))

    def extra_files(self) -> Mapping[str, str]:
        """Two small texts."""
        return {"config.yaml": "toy: true\n", "vocabulary.json": "{}\n"}


def main() -> None:
    """Train in a process of its own: ``python toy.py FOLDER CONFIG-AS-JSON [--kill-at STEP] [--adversary]``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("config")
    parser.add_argument("--kill-at", type=int, default=-1)
    parser.add_argument("--adversary", action="store_true")
    arguments = parser.parse_args()
    stage = ToyStage(adversary=arguments.adversary)
    stage.kill_at = arguments.kill_at
    print("ready", flush=True)
    Trainer(stage, TrainerConfig(**json.loads(arguments.config)), arguments.folder).fit()


if __name__ == "__main__":
    sys.exit(main())
