"""The only training loop: steps, accumulation, evaluation, checkpoints, resume. It knows no model.

Every step is seeded with (seed, step, optimizer) and every batch is a function of its index, so that a run that was
killed and resumed ends with the same weights, bit for bit, as one that was not (CPU, one thread).
"""

import contextlib
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from translatotron_v import checkpoint, ranks
from translatotron_v.config import TrainerConfig
from translatotron_v.training import sharding, state
from translatotron_v.training.averaging import MovingAverage, mean_of_checkpoints
from translatotron_v.training.launch import TrainingError, make_accelerator
from translatotron_v.training.micro_batches import MicroBatches
from translatotron_v.training.muon import make_optimizer
from translatotron_v.training.protocol import TrainableStage
from translatotron_v.training.reporting import Clock, Interval, Reporter, read_entries
from translatotron_v.training.schedule import learning_rate_factor, progress
from translatotron_v.training.signals import Interruption, StopSignals
from translatotron_v.training.stopping import BEST, Watch, finished

_RESUME = "the same command goes on from the last checkpoint"
_EVALUATION, _AFTER_STEP = 1_000_000, 1_000_001  # take the place of the optimizer where those are seeded


class Trainer:
    """Trains a stage in a run folder; the same call continues a run that was interrupted.

    Args:
        stage: a ``TrainableStage``.
        config: the loop's settings.
        folder: of the run: ``checkpoints/``, ``final/``, ``sheets/``, ``tensorboard/``, ``metrics.jsonl``.
    """

    def __init__(self, stage: TrainableStage, config: TrainerConfig, folder: Path) -> None:
        if config.ema and config.average:
            raise TrainingError("trainer.ema and trainer.average both average the weights: set one of them to 0")
        if config.patience and config.average:
            raise TrainingError("trainer.patience ends with the best weights, not their mean: set trainer.average=0")
        torch.set_num_threads(config.threads)
        self.stage: Any = stage
        self.config, self.folder = config, Path(folder)
        self.accelerator = make_accelerator(config)
        self.device = self.accelerator.device
        self.micro_batches = MicroBatches(
            self.stage, config, self.device, self.accelerator.process_index, self.accelerator.num_processes
        )
        self.step = 0
        self.signals = StopSignals()
        self.watch = Watch(config, self.folder)
        self.over = False  # the watch has waited long enough
        self._metrics: dict[str, float] = {}

    def fit(self) -> dict[str, float]:
        """Train to the end.

        Returns:
            The metrics of the final evaluation.

        Raises:
            TrainingError: the loss is not finite, or the run folder cannot be written.
            LostRank: another process of the run has ended.
            CheckpointError: a checkpoint cannot be written, or the one to resume from belongs to another model.
            SystemExit: 130 or 143, after SIGINT or SIGTERM, when everything is saved.
        """
        done = self._finished_metrics()
        if done is not None:
            if self.accelerator.is_main_process:
                print(f"{self.folder}: this run is finished; its weights are in {self.folder / 'final'}")
            return done
        self._set_up()
        try:
            with self.signals.active(), ranks.one_line_for_a_lost_rank(f"{self.folder}: {_RESUME}"):
                try:
                    self._train()
                    return self._finish()
                except Interruption:
                    self._stop()
        finally:
            self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
            self.reporter.close()
            self.clock.stop()

    # --- setting up ---------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        """Put the stage on its device, build optimizers and averages, and load what an earlier life has saved."""
        config = self.config
        state.seed_everything(config.seed)
        latest = checkpoint.latest_checkpoint(self.folder)
        if latest is not None:
            for name, module in self.stage.modules_to_save.items():
                checkpoint.load_module(module, latest, name)
        self.model = self._shard() if config.shard else self.accelerator.prepare(self.stage)
        self.trained = {name: list(parameters) for name, parameters in self.stage.optimized().items()}
        for name, parameters in self.trained.items():
            if not parameters:
                raise TrainingError(f"{self.folder}: nothing to train ({name}): all modules are frozen; see freeze")
        self.optimizers = {
            name: self.accelerator.prepare(
                make_optimizer(
                    config.optimizer,
                    self.stage,
                    state.parameter_groups(
                        self.stage, parameters, config.weight_decay, config.rate_factors, self.stage.modules_to_save
                    ),
                    config.learning_rate,
                    config.muon_learning_rate,
                    (config.betas[0], config.betas[1]),
                )
            )
            for name, parameters in self.trained.items()
        }
        unique = {id(p): p for parameters in self.trained.values() for p in parameters}
        self.parameters = list(unique.values())
        self.averaged = MovingAverage(self.parameters, config.ema) if config.ema else None
        spent = self._resume(latest) if latest else (0.0, 0.0, 0.0)
        self.accelerator.wait_for_everyone()  # all have read what the first is going to write
        if self.accelerator.is_main_process:
            self._prune()  # what a kill between two steps has left
        self.clock = Clock(*(spent if self.accelerator.is_main_process else (spent[0], 0.0, 0.0)))
        self.reporter = Reporter(self.folder, config.steps, self.step, quiet=not self.accelerator.is_main_process)
        if self.step:
            self.over = ranks.told_by_first(self.watch.is_over())
            self.reporter.note(f"{self.folder}: resuming from step {self.step}")
            for name in self._changed_files():
                self.reporter.note(f"{self.folder}: {name} has changed since the checkpoint; the new one counts")

    def _shard(self) -> nn.Module:
        """Let the ranks share out parameters and optimizer state.

        Raises:
            TrainingError: a stage or an optimizer that needs them whole.
        """
        names = list(self.stage.optimized())
        if len(names) > 1 or self.config.optimizer != "adamw":
            what = f"several optimizers ({', '.join(names)})" if len(names) > 1 else "Muon"
            raise TrainingError(f"{self.folder}: trainer.shard does not go with {what}; set trainer.shard=false")
        if not torch.distributed.is_initialized():
            raise TrainingError(f"{self.folder}: trainer.shard is for several ranks: start them with torchrun")
        if self.config.patience:
            raise TrainingError(f"{self.folder}: trainer.shard does not go with trainer.patience; set one of them")
        stage: nn.Module = self.stage.to(self.device)
        sharding.shard(stage, self.stage.blocks())
        return stage

    def _resume(self, latest: Path) -> tuple[float, float, float]:
        """Load what a checkpoint holds beside the modules; returns what the run has taken so far: see ``Clock``."""
        info = checkpoint.read_info(latest)
        state.restore(
            latest / "resume", self.stage, self.stage.modules_to_save, self._plain_optimizers(), self.averaged
        )
        self.step, self._metrics = int(info["step"]), dict(info["metrics"])
        # What was spent after the checkpoint is lost, but it was spent.
        spent = [entry for entry in read_entries(self.folder) if entry["step"] > self.step]
        return (
            max([info["elapsed_seconds"], *(entry.get("elapsed_seconds", 0.0) for entry in spent)]),
            max([info["cpu_seconds"], *(entry.get("cpu_seconds", 0.0) for entry in spent)]),
            info.get("loop_cpu_seconds", 0.0),
        )

    def _changed_files(self) -> list[str]:
        """Names of the text files that differ from those of the checkpoint that the run continues from."""
        folder = checkpoint.checkpoint_folder(self.folder, self.step)
        texts = ((name, folder / name, text) for name, text in self.stage.extra_files().items())
        return [name for name, path, text in texts if not path.is_file() or path.read_text("utf-8") != text]

    def _plain_optimizers(self) -> dict[str, Optimizer]:
        return {name: wrapped.optimizer for name, wrapped in self.optimizers.items()}

    def _finished_metrics(self) -> dict[str, float] | None:
        """The metrics of a run that has already come to its end under these settings."""
        final = self.folder / "final"
        if not (final / checkpoint.INFO_FILE).is_file():
            return None
        info = checkpoint.read_info(final)
        return dict(info["metrics"]) if finished(info, self.config) else None

    # --- the loop -----------------------------------------------------------------------------------------------

    def _train(self) -> None:
        config = self.config
        self._train_mode()
        saved = self.step
        scored = ranks.told_by_first(self.reporter.evaluated_at(self.step))
        if self.step and self.step % config.evaluate_every == 0 and not scored:
            self._evaluate()  # the run was cut off between saving and scoring
        interval = Interval(started=self.clock.elapsed())
        begun_at = self.clock.elapsed()
        start = done = self._progress()
        with contextlib.closing(self.micro_batches.steps(self.step)) as batches:
            while done < 1.0 or self.step == 0:
                factor = learning_rate_factor(
                    self.step, done, config.warmup_steps, config.decay, config.decay_power, config.decay_from
                )
                rate = config.learning_rate * factor
                interval.add(self._one_step(next(batches), factor))
                interval.steps += 1
                self.step += 1
                self.reporter.tick()
                done = self._progress()
                if self.step % config.log_every == 0 or done >= 1.0:
                    now = self.clock.elapsed()
                    self._log(interval, rate, eta=(1 - done) * (now - begun_at) / max(done - start, 1e-12))
                    interval = Interval(started=now)
                if self._stop_requested():
                    raise Interruption
                if self.step % config.checkpoint_every == 0:
                    self._save()
                    saved = self.step
                if self.step % config.evaluate_every == 0 and done < 1.0:
                    before = self.clock.elapsed()
                    if saved != self.step and self._ranks > 1:  # a signal cannot break off what several do together
                        self._save()
                        saved = self.step
                    self._evaluate()
                    interval.started += self.clock.elapsed() - before
                    done = self._progress()
        if saved != self.step:
            self._save()

    def _one_step(self, batches: Sequence[Any], factor: float) -> dict[str, Tensor | float]:
        """All turns of one optimizer step; returns the means over its micro-batches."""
        config, rank = self.config, self.accelerator.process_index  # the first draws as a single process would
        report = Interval()
        for index, (name, optimizer) in enumerate(self.optimizers.items()):
            for group in optimizer.param_groups:
                group["lr"] = factor * group["peak"]
            label = "loss" if len(self.trained) == 1 else f"{name}_loss"
            losses: list[Tensor] = []
            with self._only(name):
                for micro, batch in enumerate(batches):
                    state.seed_everything(config.seed, self.step, index, micro, rank)
                    with self.accelerator.accumulate(self.model), self._autocast():
                        loss, metrics = self.model(batch, name, self.step)
                        if not loss.requires_grad:
                            raise TrainingError(
                                f"{self.folder}: the loss reaches no parameter ({name}): its weights under loss are 0, "
                                "or what they weigh is frozen or left out of the model"
                            )
                        self.accelerator.backward(loss)
                    losses.append(loss.detach().float())
                    report.add({label: losses[-1], **metrics})
                if config.clip:
                    norm = sharding.whole(self.accelerator.clip_grad_norm_(self.trained[name], config.clip))
                    losses.append(norm)
                    report.add({label.replace("loss", "gradient_norm"): norm})
            self._require_finite(losses, name)
            with self.accelerator.autocast():  # Muon's products too are in the precision of the run
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.averaged is not None:
            self.averaged.update()
        state.seed_everything(config.seed, self.step, _AFTER_STEP)
        self.stage.after_step(self.step)
        return report.means()

    def _autocast(self) -> contextlib.AbstractContextManager[None]:
        """What accelerate does by itself in the ``forward`` of a model that it has prepared."""
        return self.accelerator.autocast() if self.config.shard else contextlib.nullcontext()

    @contextlib.contextmanager
    def _only(self, name: str) -> Iterator[None]:
        """No gradients for the other optimizers' parameters while one has its turn."""
        own = {id(parameter) for parameter in self.trained[name]}
        others = [p for p in self.parameters if p.requires_grad and id(p) not in own]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in others:
                parameter.requires_grad_(True)

    def _require_finite(self, values: Sequence[Tensor], name: str) -> None:
        if bool(torch.stack([value.to(self.device) for value in values]).isfinite().all()):
            return
        latest = checkpoint.latest_checkpoint(self.folder)
        where = f"the last checkpoint is {latest}" if latest else "there is no checkpoint yet"
        raise TrainingError(
            f"{self.folder}: the loss or its gradient is not finite at step {self.step} ({name}); {where}; "
            "lower trainer.learning_rate, or use trainer.precision=fp32"
        )

    def _log(self, interval: Interval, rate: float, eta: float) -> None:
        now = self.clock.elapsed()
        pace = {
            "learning_rate": rate,
            "steps_per_second": round(interval.steps / max(now - interval.started, 1e-9), 4),
            "cpu_seconds": round(self._cpu_seconds(), 2),
            "elapsed_seconds": round(now, 2),
        }
        means = self._means(interval)
        self.reporter.training(self.step, means, pace, eta)

    def _means(self, interval: Interval) -> dict[str, float]:
        """The mean of each value over the times that any rank has reported it."""
        own = [(name, float(total), interval.counts[name]) for name, total in interval.sums.items()]
        sums: dict[str, tuple[float, int]] = {}
        for name, total, count in ranks.joined([own]):
            before = sums.get(name, (0.0, 0))
            sums[name] = (before[0] + total, before[1] + count)
        return {name: total / count for name, (total, count) in sums.items()}

    def _cpu_seconds(self) -> float:
        """What all ranks have spent."""
        return float(ranks.add_up(torch.tensor([self.clock.cpu()], dtype=torch.float64, device=self.device)))

    def _loop_cpu_seconds(self) -> float:
        """What all ranks have spent inside the loop."""
        return float(ranks.add_up(torch.tensor([self.clock.loop_cpu()], dtype=torch.float64, device=self.device)))

    @property
    def _ranks(self) -> int:
        return self.accelerator.num_processes

    def _progress(self) -> float:
        config = self.config
        cpu = self._loop_cpu_seconds() if config.cpu_seconds is not None else 0.0
        done = progress(self.step, config.steps, self.clock.elapsed(), config.minutes, cpu, config.cpu_seconds)
        done = 1.0 if self.over else done
        return self._agreed(done) if config.minutes is not None else done

    def _stop_requested(self) -> bool:
        return self._agreed(float(self.signals.received is not None)) > 0

    def _agreed(self, value: float) -> float:
        """The largest of the processes' values: all must stop at the same step."""
        return max(ranks.joined([[value]]))

    # --- evaluation, saving, the end ----------------------------------------------------------------------------

    def _train_mode(self) -> None:
        """Training mode, except for the parts of the stage whose parameters are all frozen: tools, not pupils."""
        self.stage.train()
        trained = {id(parameter) for parameter in self.parameters}
        for module in [*self.stage.children(), *self.stage.modules_to_save.values()]:
            ids = {id(parameter) for parameter in module.parameters()}
            if ids and not ids & trained:
                module.eval()

    def _evaluate(self) -> None:
        """Score the model as it would be shipped: in eval mode, with the averaged weights if there are any."""
        self.stage.eval()
        state.seed_everything(self.config.seed, self.step, _EVALUATION)
        try:
            breakable = self.signals.breakable() if self._ranks == 1 else contextlib.nullcontext()
            gathered = sharding.gathered(self.stage) if self.config.shard else contextlib.nullcontext()
            with self._shipped_weights(), torch.no_grad(), gathered, self.accelerator.autocast(), breakable:
                evaluation = self.stage.evaluate(self.step)
        except Exception:
            here = checkpoint.checkpoint_folder(self.folder, self.step)
            if self._ranks == 1 and checkpoint.latest_checkpoint(self.folder) != here:
                self._save()  # a fault in the scoring must not cost the training
            raise
        self._train_mode()
        self._metrics = ranks.told_by_first({name: float(value) for name, value in evaluation.metrics.items()})
        watches = bool(self.config.patience)
        if watches and ranks.told_by_first(self.watch.gains(self._metrics)):
            self._keep_best()  # before it is logged: a run that is cut off in between scores again
        self.reporter.evaluation(self.step, self._metrics, evaluation.sheet, self._cpu_seconds())
        self.over = watches and ranks.told_by_first(self.watch.is_over())

    def _shipped_weights(self) -> contextlib.AbstractContextManager[None]:
        """Averaged weights in place of the trained ones."""
        return self.averaged.in_place() if self.averaged is not None else contextlib.nullcontext()

    def _save(self) -> None:
        """Write ``checkpoints/step-N``, then delete what is no longer kept."""
        info = self._info()
        modules = self._modules()
        if self.accelerator.is_main_process or self.config.shard:
            resume = state.collect(self.stage, self.stage.modules_to_save, self._plain_optimizers(), self.averaged)
        if self.accelerator.is_main_process:
            path = checkpoint.checkpoint_folder(self.folder, self.step)
            checkpoint.save_checkpoint(path, modules, self.stage.extra_files(), info, resume)
            self._prune()
        self.accelerator.wait_for_everyone()

    def _prune(self) -> None:
        checkpoint.prune(self.folder, max(self.config.keep, self.config.average))

    def _modules(self) -> Mapping[str, nn.Module | Mapping[str, Tensor]]:
        """What is saved, with whole tensors."""
        modules: Mapping[str, nn.Module] = self.stage.modules_to_save
        if not self.config.shard:
            return modules
        return {name: sharding.whole_tensors(module.state_dict()) for name, module in modules.items()}

    def _info(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "steps": self.config.steps,
            "metrics": self._metrics,
            "cpu_seconds": round(self._cpu_seconds(), 2),
            "loop_cpu_seconds": round(self._loop_cpu_seconds(), 2),
            "elapsed_seconds": round(self.clock.elapsed(), 2),
            "device": str(self.device),
            "ranks": self._ranks,
            "precision": self.config.precision,
            "threads": self.config.threads,
            "seed": self.config.seed,
            "torch": torch.__version__,
        }

    def _finish(self) -> dict[str, float]:
        """The last evaluation, and ``final/``."""
        averaged: list[int] = []
        if self.config.average:
            averaged = self._load_mean_of_checkpoints()
        best = self._load_best() if self.config.patience else {}
        if not best:
            self._evaluate()
        info = self._info() | {"ema": self.config.ema, "averaged_steps": averaged, **best}
        with self._shipped_weights():
            modules = self._modules()
            if self.accelerator.is_main_process:
                checkpoint.save_checkpoint(self.folder / "final", modules, self.stage.extra_files(), info)
        self.accelerator.wait_for_everyone()
        cost = f"{info['cpu_seconds']:.0f} CPU-seconds, {self.clock.elapsed() / 60:.1f} minutes"
        self.reporter.note(
            f"{self.folder}: finished at step {self.step} after {cost}; weights: {self.folder / 'final'}"
        )
        return dict(self._metrics)

    def _keep_best(self) -> None:
        """Write ``best``: the weights as they were scored."""
        info = self._info()
        if self.accelerator.is_main_process:
            with self._shipped_weights():
                texts = self.stage.extra_files()
                checkpoint.save_checkpoint(self.folder / BEST, self.stage.modules_to_save, texts, info)
        self.accelerator.wait_for_everyone()

    def _load_best(self) -> dict[str, Any]:
        """Put the weights and scores of the best evaluation in place of the last; returns what ``final`` says of it."""
        if not ranks.told_by_first(self.reporter.evaluated_at(self.step)):
            self._evaluate()  # the last may be the best
        for name, module in self.stage.modules_to_save.items():
            checkpoint.load_module(module, self.folder / BEST, name)
        self.averaged = None  # they hold the average already
        best = checkpoint.read_info(self.folder / BEST)
        self._metrics = dict(best["metrics"])
        return {"best_step": best["step"], "without_gain": self.watch.without_gain()}

    def _load_mean_of_checkpoints(self) -> list[int]:
        """Put the mean of the last checkpoints into the trained parameters; returns the steps it was taken over."""
        folders = checkpoint.list_checkpoints(self.folder)[-self.config.average :]
        trained = {id(parameter) for parameter in self.parameters}
        for name, module in self.stage.modules_to_save.items():
            own = {key: p for key, p in module.named_parameters() if id(p) in trained}
            if own:
                means = mean_of_checkpoints(folders, name)
                with torch.no_grad():
                    for key, parameter in own.items():
                        parameter.copy_(sharding.like(means[key], parameter))
        return [int(checkpoint.read_info(folder)["step"]) for folder in folders]

    def _stop(self) -> NoReturn:
        """Save after a signal, say how to go on, and leave."""
        number = self.signals.received or signal.SIGTERM  # of another rank
        path = checkpoint.checkpoint_folder(self.folder, self.step)
        if self.step and not ranks.told_by_first((path / checkpoint.INFO_FILE).is_file()):
            self._save()
        name = signal.Signals(number).name
        self.reporter.note(f"{self.folder}: {name} at step {self.step}; saved, run the same command again to resume")
        raise SystemExit(128 + number)
