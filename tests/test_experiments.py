"""The experiments' harness: order of trainings, kept measurements, numbers with their spread, the report."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from experiments import (
    comparison,
    harness,
    measurements,
    modality_gap,
    skip_links,
    ssr,
    textual_regularization,
    variants,
)
from translatotron_v.checkpoint import resolve, save_checkpoint
from translatotron_v.config import load_config, to_yaml
from translatotron_v.errors import UserError
from translatotron_v.evaluation.gap_report import Cell, GapReport
from translatotron_v.training.recipe import Step

ROOT = Path(__file__).resolve().parent.parent


def step(name: str, start: str = "", *settings: str) -> Step:
    origin = [f"start.text_decoder={start}"] if start else []
    config = load_config(None, ["stage=text", f"run=runs/try/{name}", "trainer.steps=5", *origin, *settings])
    return Step(name, Path(f"configs/try/{name}.yaml"), config)


def finish(one: Step, content: str = "") -> None:
    """Leave what a finished run leaves; `content` stands for its weights."""
    info = {"step": 5, "metrics": {}, "cpu_seconds": 7.0, "elapsed_seconds": 9.0}
    files = {"config.yaml": to_yaml(one.config), "vocabulary.json": content}
    save_checkpoint(one.run / "final", {}, files, info)


class Child:
    """A training that ends at its third look, finished unless it is to fail."""

    def __init__(self, trainings: "Trainings", one: Step) -> None:
        self.trainings, self.step, self.looks, self.returncode = trainings, one, 0, None

    def poll(self) -> int | None:
        self.looks += 1
        if self.looks < 3:
            return None
        self.trainings.running.discard(self.step.name)
        self.returncode = self.trainings.status.get(self.step.name, 0)
        if self.returncode == 0:
            finish(self.step)
        return self.returncode

    def terminate(self) -> None:
        self.trainings.terminated.append(self.step.name)

    def wait(self) -> int:
        return 143


class Trainings:
    """Stands in for `variants.launch` and notes what it is asked for."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.running: set[str] = set()
        self.most = 0
        self.terminated: list[str] = []
        self.status: dict[str, int] = {}
        self.output = ""

    def launch(self, one: Step, log: Path) -> Child:
        for origin in variants.origins(one.config):
            assert resolve(origin).name == "final", f"{one.name} began before {origin} was finished"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(self.output)
        self.begun.append(one.name)
        self.running.add(one.name)
        self.most = max(self.most, len(self.running))
        return Child(self, one)


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(variants, "_POLL_SECONDS", 0.0)
    stand_in = Trainings()
    monkeypatch.setattr(variants, "launch", stand_in.launch)
    return stand_in


# --- variants ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_a_variant_waits_for_what_it_starts_from(trainings: Trainings, jobs: int):
    steps = [
        step("late", "runs/try/b#text_decoder"),
        step("b", "runs/try/a/final"),
        step("c", "", "vocabulary=runs/try/a"),
        step("d", "", "stage=translator", "ssr.reader=runs/try/a"),
        step("a"),
    ]
    variants.train(steps, jobs)
    assert sorted(trainings.begun) == ["a", "b", "c", "d", "late"]
    assert trainings.begun[0] == "a"
    assert trainings.most == jobs
    variants.train(steps, jobs)
    assert len(trainings.begun) == 5  # finished ones are passed over


def test_a_failure_names_the_log_and_stops_the_others(trainings: Trainings):
    trainings.status["bad"] = 2
    trainings.output = "step 1/5\nerror: the disk is full\n\n"
    with pytest.raises(UserError, match=r"bad: .*runs/try/logs/bad\.log: error: the disk is full$") as caught:
        variants.train([step("bad"), step("other"), step("after", "runs/try/bad")], 2)
    assert "\n" not in str(caught.value)
    assert trainings.terminated == ["other"]
    assert "after" not in trainings.begun


def test_a_signal_stops_the_children(trainings: Trainings, monkeypatch: pytest.MonkeyPatch):
    def interrupted(seconds: float) -> None:
        raise harness.Stopped(signal.SIGINT)

    monkeypatch.setattr(variants.time, "sleep", interrupted)
    with pytest.raises(harness.Stopped):
        variants.train([step("a"), step("b")], 2)
    assert trainings.terminated == ["a", "b"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([step("a", "runs/other/x")], "'a' starts from runs/other/x, which is not there"),
        ([step("a", "runs/try/b"), step("b", "runs/try/a")], "wait for each other.*runs/try/a, runs/try/b"),
        ([step("a"), step("b", "", "run=runs/try/a")], "share the run folder runs/try/a"),
    ],
)
def test_impossible_orders_are_found_before_anything_runs(trainings: Trainings, steps: list[Step], message: str):
    with pytest.raises(UserError, match=message):
        variants.train(steps)
    assert trainings.begun == []


def test_a_run_of_other_settings_does_not_pass_for_the_variant(trainings: Trainings):
    finish(step("a"))
    variants.train([step("a", "", "trainer.log_every=7", "data.folder=./data/multi30k")])
    with pytest.raises(UserError, match=r"runs/try/a: .*trainer\.learning_rate 0\.001, now 0\.5\): delete"):
        variants.train([step("a", "", "trainer.learning_rate=0.5")])
    assert trainings.begun == []


def test_a_run_from_weights_that_were_trained_anew_does_not_pass_either(trainings: Trainings):
    steps = [step("a"), step("b", "runs/try/a")]
    variants.train(steps)
    finish(steps[0], content="others")
    with pytest.raises(UserError, match="runs/try/b: runs/try/a, where it started from, has changed"):
        variants.train(steps)


def test_seeds_and_variants_have_runs_of_their_own():
    first = step("a")
    second = step("b", "runs/try/a#text_decoder", "vocabulary=weights/tiny")
    alone, together = variants.seeded(second, 3), variants.seeded(second, 3, also=[first])
    assert (alone.name, alone.run, alone.config.trainer.seed) == ("b-seed3", Path("runs/try/b-seed3"), 3)
    assert alone.config.start == {"text_decoder": "runs/try/a#text_decoder"}
    assert together.config.start == {"text_decoder": "runs/try/a-seed3#text_decoder"}
    assert together.config.vocabulary == "weights/tiny"
    assert second.config.run == "runs/try/b" and second.config.trainer.seed == 1
    shares = variants.varied(second, "-text25", "data.text_share=0.25", "data.text_languages=[en, de]")
    assert (shares.config.data.text_share, shares.config.data.text_languages) == (0.25, ["en", "de"])
    assert shares.run == Path("runs/try/b-text25")


def test_a_child_trains_with_the_settings_of_its_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The real launch, with a stand-in for train.py that prints what it is given."""
    (tmp_path / "train.py").write_text("import os, sys; print(sys.argv[1:], os.environ['OMP_NUM_THREADS'])\n")
    monkeypatch.setattr(variants, "ROOT", tmp_path)
    log = tmp_path / "logs" / "a.log"
    one = step("a", "", "trainer.learning_rate=0.25")
    assert variants.launch(one, log).wait() == 0
    settings = log.with_suffix(".yaml")
    assert str(["text", "--config", str(settings)]) + " 1" in log.read_text()
    assert load_config(settings) == one.config


def test_cost_and_curves_come_from_the_runs(trainings: Trainings):
    one, other = step("a"), step("b")
    finish(one)
    finish(other)
    assert variants.cpu_seconds([one, other]) == 14.0
    entries = [{"kind": "training", "step": 20, "loss": 2.5}, {"kind": "evaluation", "step": 20, "bleu": 4.0}]
    (one.run / "metrics.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries) + '{"kind": "tr')
    assert variants.curve(one.run, "loss") == ([20], [2.5])
    assert variants.curve(one.run, "bleu", "evaluation") == ([20], [4.0])


# --- measurements -----------------------------------------------------------------------------------------------------


def measured(folder: Path, log: str, factor: int) -> dict[str, float]:
    """A measurement: length of the vocabulary file times a factor; notes in a file that it ran."""
    with open(log, "a") as file:
        file.write("x")
    return {"value": factor * len((folder / "vocabulary.json").read_text())}


def process(folder: Path) -> list[int]:
    time.sleep(0.2)  # long enough for a second worker to begin
    return [os.getpid(), int(os.environ.get("OMP_NUM_THREADS", 0))]


def refused(folder: Path) -> None:
    raise UserError("no such split")


def test_measurements_are_kept_until_weights_or_arguments_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    one, log, folder = step("a"), tmp_path / "log", tmp_path / "measurements"

    def measure(factor: int) -> dict[str, float]:
        return measurements.measure_all([(one.run, "length", measured, str(log), factor)], folder)["length"]

    finish(one, "four")
    assert [measure(2), measure(2)] == [{"value": 8}, {"value": 8}]
    assert log.read_text() == "x"
    finish(one, "seven..")
    assert measure(2) == {"value": 14}
    assert measure(3) == {"value": 21}
    assert log.read_text() == "xxx"
    (folder / "length.json").write_text('{"value": 2')  # cut short
    assert measure(3) == {"value": 21}
    assert measurements.cpu_seconds(folder, ["length"]) >= 0.0


def test_several_measurements_run_in_processes_and_what_was_measured_outlives_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    one = step("a")
    finish(one)
    tasks = [(one.run, key, process) for key in "ab"]
    values = measurements.measure_all(tasks, tmp_path, jobs=2)
    assert list(values) == ["a", "b"]
    assert all(value[0] != os.getpid() for value in values.values())
    with pytest.raises(UserError, match="no such split"):
        measurements.measure_all([*tasks, (one.run, "c", process), (one.run, "d", refused)], tmp_path, jobs=1)
    assert (tmp_path / "c.json").is_file()
    with pytest.raises(ValueError, match="used twice"):
        measurements.measure_all([*tasks, tasks[0]], tmp_path)


# --- the command line -------------------------------------------------------------------------------------------------


def test_options_teach_and_have_defaults(capsys: pytest.CaptureFixture[str]):
    chosen = harness.options("What for.", "skip_links", [])
    assert (chosen.data, chosen.jobs, chosen.seeds, chosen.quick) == ("data/multi30k", 2, 3, False)
    assert chosen.report == Path("docs/experiments/skip-links.md")
    quick = harness.options("", "ssr", ["--quick", "trainer.steps=1", "--jobs", "1", "sft:data.limit=9"])
    assert (quick.data, quick.report) == ("grammar", Path("out/quick/ssr/ssr.md"))
    assert quick.settings == ["trainer.steps=1", "sft:data.limit=9"]
    for bad in (["--jobs", "0"], ["--quick", "--report", "docs/experiments/ssr.md"]):
        with pytest.raises(SystemExit, match="2"):
            harness.options("", "ssr", bad)
    with pytest.raises(SystemExit, match="0"):
        harness.options("What for.", "ssr", ["--help"])
    text = capsys.readouterr().out
    assert all(word in text for word in ("What for.", "--quick", "measurements", "examples:"))
    own = harness.options("", "comparison", ["--limit", "9"], comparison.more)
    assert own.limit == 9 and not hasattr(own, "settings")


def test_a_whole_experiment_in_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainings: Trainings):
    """From options to a page: with --quick the runs and what they start from lie below out/quick."""
    folder = tmp_path / "configs" / "ssr"
    folder.mkdir(parents=True)
    (folder / "start.yaml").write_text("stage: text\nrun: runs/ssr/start\n")
    (folder / "sft.yaml").write_text("stage: text\nrun: runs/ssr/sft\nstart: {text_decoder: runs/ssr/start}\n")
    (folder / "recipe.yaml").write_text("steps: [start, sft]\n")
    monkeypatch.setattr(harness, "find_recipe", lambda name: folder)
    monkeypatch.setattr(harness, "ROOT", tmp_path)

    def body(experiment: harness.Experiment) -> None:
        sft = experiment.variants["sft"]
        assert sft.run == Path("out/quick/ssr/sft")
        assert sft.config.start == {"text_decoder": "out/quick/ssr/start"}
        assert sft.config.trainer.steps == 3 and sft.config.trainer.batch_size == 4
        seeds = [variants.seeded(sft, seed) for seed in experiment.seeds]
        experiment.train([experiment.variants["start"], *seeds])
        value = experiment.measure([(seeds[0].run, "length", measured, str(tmp_path / "log"), 2)])["length"]
        page = experiment.report("Small", f"Not reproduced: {value['value']} of {experiment.limited(100)}.")
        page.figure(experiment.picture("a.png"), "A.")
        page.write()

    assert harness.run("ssr", "", body, ["--quick", "trainer.steps=3", f"--report={tmp_path}/out/a.md"]) == 0
    assert trainings.begun[0] == "start" and sorted(trainings.begun[1:]) == ["sft-seed1", "sft-seed2"]
    lines = (tmp_path / "out" / "a.md").read_text(encoding="utf-8").splitlines()
    assert lines[2] == "Not reproduced: 0 of 4."
    assert "Seeds 1, 2." in lines[4] and " 21 CPU-seconds" in lines[4] and "`train` " in lines[4]
    assert lines[7] == "python -m experiments.ssr --quick trainer.steps=3 --report=out/a.md"
    assert lines[-1] == "![A.](a/a.png)"


def test_errors_and_signals_end_an_experiment_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(harness, "Experiment", lambda *arguments, **options: None)

    def bad(experiment: harness.Experiment) -> None:
        raise UserError("no such corpus")

    def stopped(experiment: harness.Experiment) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.chdir(ROOT)
    before = signal.getsignal(signal.SIGTERM)
    assert harness.run("ssr", "", bad, []) == 2
    assert harness.run("ssr", "", stopped, []) == 143
    monkeypatch.chdir(ROOT / "docs")
    assert harness.run("ssr", "", bad, []) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: no such corpus"
    assert "same command goes on" in lines[1]
    assert "from the root" in lines[2] and len(lines) == 3
    assert signal.getsignal(signal.SIGTERM) is before


# --- what is shipped --------------------------------------------------------------------------------------------------


def test_every_script_has_a_target():
    targets = re.findall(
        r"^experiment-([a-z-]+):.*##.*\n\t@\$\(BIN\)/python -m experiments\.(\w+) --data \$\(DATA\)$",
        (ROOT / "Makefile").read_text(encoding="utf-8"),
        re.M,
    )
    assert [module for _, module in targets] == list(harness.EXPERIMENTS)
    assert [target for target, _ in targets] == [module.replace("_", "-") for module in harness.EXPERIMENTS]
    modules = (ROOT / "experiments").glob("*.py")
    scripts = {path.stem for path in modules if '__name__ == "__main__"' in path.read_text(encoding="utf-8")}
    assert scripts == {*harness.EXPERIMENTS, "comparison", "pivot"}  # the last ones train no variants


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ocr", "bleu", "begin"),
    [
        ((97.0, 60.0, 96.0), (20.0, 20.5), "Reproduced: plain fine-tuning forgets"),
        ((97.0, 60.0, 96.0), (20.0, 19.6), "Reproduced: plain fine-tuning forgets"),  # inside the spread of seeds
        ((97.0, 60.0, 96.0), (20.0, 18.0), r"Partly: .* keeps the reading, at a cost in BLEU\."),
        ((97.0, 60.0, 90.0), (20.0, 20.0), r"Partly: .* keeps more of the reading\."),
        ((97.0, 80.0, 96.0), (20.0, 20.0), "Not reproduced: "),  # plain fine-tuning has lost less than 20 points
        ((94.0, 60.0, 94.0), (20.0, 20.0), "Not tested: the start reads less than 95 %"),
    ],
)
def test_the_verdict_on_self_review(ocr: tuple[float, ...], bleu: tuple[float, ...], begin: str):
    accuracies = dict(zip(("start", "sft", "ssr"), ([value, value] for value in ocr), strict=True))
    answers = dict(zip(("sft", "ssr"), ([value - 0.25, value + 0.25] for value in bleu), strict=True))
    rest = {
        "sft_converged": [90.0],
        "ssr_converged": [96.0],
        "sft_tenth": [50.0],
        "ssr_tenth": [96.0],
        ssr.ALONE: [1.0],
    }
    assert re.match(begin, ssr.verdict(accuracies | rest, answers | rest))
    forgotten = {"sft_converged": [30.0], "ssr_converged": [96.0]}
    told = ssr.verdict(
        accuracies | rest | forgotten, answers | rest | {"sft_converged": [22.0], "ssr_converged": [22.0]}
    )
    assert told.startswith("Reproduced: " if ocr[0] >= 95 else "Not tested: ")
    worse = ssr.verdict(
        accuracies | rest | forgotten, answers | rest | {"sft_converged": [22.0], "ssr_converged": [9.0]}
    )
    assert re.match(begin, worse)
    alone = ssr.verdict(accuracies | rest | {ssr.ALONE: [96.0]}, answers | rest | {ssr.ALONE: [19.6]})
    short_of_it = not begin.startswith(("Reproduced", "Not"))
    assert alone.startswith("Reproduced: where half of the answers") if short_of_it else re.match(begin, alone)


@pytest.mark.parametrize(
    ("bleu", "begin"),
    [
        ((8.0, 9.0, 10.0), "Reproduced: fusion helps and detaching"),
        ((9.0, 9.0, 10.0), "Partly: fusion against none: BLEU inside the spread"),
        ((9.0, 9.0, 9.0), "Not reproduced: "),
    ],
)
def test_the_verdict_on_skip_links(bleu: tuple[float, ...], begin: str):
    same = {"reading accuracy (CTC), %": 90.0, "reading accuracy (text decoder), %": 80.0, "probe MSE": 0.01}
    values = {
        variant: [{"BLEU": value + jitter, **same} for jitter in (0.0, 0.1)]
        for variant, value in zip(skip_links.VARIANTS, bleu, strict=True)
    }
    assert skip_links.verdict(values).startswith(begin)


def grid(text: float, tuned: float, held_out: float, cer: float = 0.01) -> GapReport:
    """Two faces, one of them never tuned on, and a cell of each that nobody can read."""
    cells = [
        Cell("A", "20 px", 20, out, bleu, text - bleu, 1.0, 1.0, error)
        for out, bleu, error in ((False, tuned, cer), (True, held_out, cer), (False, 0.0, 0.9), (True, 0.0, 0.9))
    ]
    return GapReport({}, text, 1.0, 10, cells, [])


@pytest.mark.parametrize(
    ("token", "begin"),
    [
        (grid(30.0, 26.0, 24.0), "reproduced: self-distillation halves the gap, in faces never tuned on too"),
        (grid(29.0, 26.0, 24.0), "partly: .* but text mode loses"),
        (grid(30.0, 26.0, 19.0), "partly: .* in faces never tuned on by less than half"),
        (grid(30.0, 22.0, 24.0), "partly: .* by less than half"),
        (grid(30.0, 20.0, 18.0), "not reproduced: "),
        (grid(18.0, 18.0, 17.0), "not reproduced: "),  # a gap to a text mode that has fallen
    ],
)
def test_the_verdict_on_the_modality_gap(token: GapReport, begin: str):
    start, gold = grid(30.0, 20.0, 18.0), grid(30.0, 21.0, 18.0)
    worse = grid(30.0, 10.0, 10.0)
    gaps = {"start": [start], "gold": [gold], "sequence": [worse], "token": [token, token], "token_beside": [worse]}
    reads = {"reads": [grid(30.0, 2.0, 1.0)], "reads_gold": [gold], "reads_sequence": [grid(30.0, 20.0, 18.0)]}
    said = modality_gap.verdict(gaps | reads)
    assert re.match(f"Partly: from a start that translates pages {begin}", said)
    assert " From one that only reads them partly: " in said and "gold translations do as much" in said
    both = modality_gap.verdict(gaps | reads | {"reads_gold": [worse]})
    assert both.startswith("Reproduced: " if begin.startswith("reproduced") else "Partly: ")
    assert modality_gap.readable_mean(token, start) == pytest.approx((token.cells[0].bleu + token.cells[1].bleu) / 2)


@pytest.mark.parametrize(
    ("gold", "begin"),
    [
        (grid(30.0, 19.0, 17.0), "reproduced"),
        (grid(30.0, 21.0, 19.0), "partly: .* gold translations do as much at no more cost"),
        (grid(26.0, 21.0, 19.0), "reproduced"),  # at the cost of text mode
    ],
)
def test_self_distillation_has_to_do_more_than_gold_translations(gold: GapReport, begin: str):
    gaps = {"reads": [grid(30.0, 2.0, 1.0)], "reads_gold": [gold], "reads_sequence": [grid(30.0, 20.0, 18.0)]}
    assert re.match(begin, modality_gap.judged(gaps, "reads", "reads_gold", ["reads_sequence"]))


def test_a_gap_of_cells_that_nobody_reads_is_not_tested():
    blind = grid(30.0, 1.0, 1.0, cer=0.3)
    names = ("start", "gold", *modality_gap.SELF, "reads", *modality_gap.READS)
    assert modality_gap.verdict({name: [blind] for name in names}).startswith("Not tested: ")


@pytest.mark.parametrize(
    ("without", "with_text", "begin"),
    [
        ((30.0, 20.0), (95.0, 20.0), "Reproduced: "),
        ((30.0, 20.0), (95.0, 18.0), "Partly: .* at a cost"),
        ((30.0, 20.0), (35.0, 20.0), "Not reproduced: text-only batches do not"),
        ((95.0, 20.0), (97.0, 20.0), "Not reproduced: image tuning in one language hardly"),
    ],
)
def test_the_verdict_on_text_only_batches(without: tuple[float, float], with_text: tuple[float, float], begin: str):
    def of(fidelity: float, bleu: float) -> dict[str, dict[str, float]]:
        return {"en": {"lf": 100.0, "bleu": bleu}} | {name: {"lf": fidelity, "bleu": 5.0} for name in ("fr", "ro")}

    image = {name: of(*with_text) for name in textual_regularization.SHARES} | {"none": of(*without)}
    assert re.match(begin, textual_regularization.verdict(image, ["en", "fr", "ro"]))
