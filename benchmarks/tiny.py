"""The shipped tiny model as it is used: one picture, a fresh process, a folder, and a training loop that renders."""

import contextlib
import functools
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks.models import ROOT
from benchmarks.process import clock, say, seconds_of
from benchmarks.results import Measure, Settings
from benchmarks.steps import build_stage, grammar_texts, one_step, trainer_of
from data_synth.render import render_page
from translatotron_v.config import Config, load_config
from translatotron_v.data.pages import page_layout, page_style
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.inference.files import plan_jobs, translate_jobs
from translatotron_v.inference.pictures import save_picture
from translatotron_v.inference.pipeline import Translator
from translatotron_v.memory import prepare_to_train
from translatotron_v.shipped import find_weights

CASES = ("one picture", "folder", "waiting for data")
PICTURE_TARGET = 0.3  # CPU-s, one warm picture
FIRST_TARGET = 2.0  # CPU-s from loading to the first picture, after the imports
FOLDER_TARGET = 80.0  # % of the best throughput
WAITING_TARGET = 3.0  # % of the time of training
BATCHES = (1, 8, 16, 32, 64)
FOLDER_BATCH = 8  # the command line's own
LOOP_STEPS = 10
LOOPS = ("reader", "teacher", "translator", "tokenizer")  # stages that render


def cases(settings: Settings) -> list[str]:
    """A process each."""
    return list(CASES)


def run(case: str, settings: Settings) -> list[Measure]:
    """One of the cases."""
    say(case)
    return {
        "one picture": _one_picture,
        "folder": _folder,
        "waiting for data": _waiting,
    }[case](settings)


def rendered(count: int) -> list[Image.Image]:
    """Pages of the built-in grammar as the shipped model was trained on."""
    config = load_config(find_weights("tiny") / "config.yaml")
    layout, style = page_layout(config.model.canvas), page_style(config.page)
    pages = [render_page(pair.source, layout, style) for pair in grammar_texts(config, count)]
    return [Image.fromarray(page.pixels.squeeze(-1)) for page in pages if page is not None]


def _one_picture(settings: Settings) -> list[Measure]:
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        save_picture(rendered(1)[0], picture)
        command = [sys.executable, "-m", "benchmarks.first_picture", str(picture)]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        seconds = json.loads(answer)
        before = _children()
        command = [sys.executable, "-m", "translatotron_v", "translate", str(picture), "-o", f"{folder}/out.png"]
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        whole = _children() - before
    return [
        Measure("one picture, warm", seconds["warm"], "CPU-s", target=PICTURE_TARGET, details=seconds),
        Measure(
            "load to first picture",
            seconds["load"] + seconds["first"],
            "CPU-s",
            target=FIRST_TARGET,
            note=f"load {seconds['load']:.2f}, first picture {seconds['first']:.2f}",
        ),
        Measure("imports", seconds["imports"], "CPU-s"),
        Measure("the whole command for one picture", whole, "CPU-s"),
    ]


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _folder(settings: Settings) -> list[Measure]:
    count = 16 if settings.quick else 192
    pictures = rendered(count)
    translator = Translator.from_pretrained("tiny", device="cpu", threads=1)
    translator(pictures[:1])
    rates = {}
    for batch in BATCHES[:2] if settings.quick else BATCHES:
        say(f"folder: batches of {batch}")
        few = pictures[: max(batch, count // 4)]
        taken = seconds_of(functools.partial(translator.translate, few, batch_size=batch))
        rates[batch] = len(few) / taken
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        for number, picture in enumerate(pictures):
            save_picture(picture, source / f"{number:04}.png")
        say(f"folder: {count} files")

        def translate() -> None:
            jobs = plan_jobs([str(source)], Path(folder) / "out")
            outcomes = list(translate_jobs(translator, jobs, force=True, batch_size=None))
            assert not [outcome for outcome in outcomes if outcome.error]

        rate = count / seconds_of(translate)
    best = max(rates, key=lambda batch: rates[batch])
    note = ", ".join(f"batch {batch}: {each:.1f}" for batch, each in rates.items())
    return [
        Measure(
            f"folder, in batches of {translator.batch_size}",
            rate,
            "pictures/s",
            note=f"without files, {note}",
            details={"rates": rates},
        ),
        Measure(
            f"folder, share of the best (batch {best})", 100 * rate / rates[best], "%", FOLDER_TARGET, at_least=True
        ),
    ]


def _waiting(settings: Settings) -> list[Measure]:
    prepare_to_train()  # as train.py does
    vocabulary = Vocabulary.from_file(find_weights("tiny") / "vocabulary.json")
    shares, details = {}, {}
    for name in LOOPS[:1] if settings.quick else LOOPS:
        say(f"waiting for data: {name}")
        config = loop_config(name)
        stage = build_stage(config, grammar_texts(config, 500), vocabulary)
        fetching = 0.0
        steps = 0.0
        now = clock("cpu")
        with trainer_of(stage, config) as trainer, contextlib.closing(trainer._batches()) as batches:
            for number in range(2 + (2 if settings.quick else LOOP_STEPS)):
                started = now()
                batch = next(batches)
                fetched = now()
                times = one_step(trainer, batch)
                if number >= 2:  # the first ones fill caches and allocate
                    fetching += fetched - started
                    steps += times.total
        shares[name] = 100 * fetching / (fetching + steps)
        details[name] = {"fetching": fetching, "steps": steps}
    note = ", ".join(f"{name} {share:.1f} %" for name, share in shares.items())
    worst = max(shares, key=lambda name: shares[name])
    return [
        Measure(f"waiting for data (worst: {worst})", shares[worst], "%", WAITING_TARGET, note=note, details=details)
    ]


def loop_config(stage: str) -> Config:
    """A stage of the tiny recipe with random weights, rendering in the loop."""
    config = load_config(ROOT / "configs" / "tiny" / f"{stage}.yaml", ["trainer.device=cpu", "trainer.workers=0"])
    config.start = {}
    config.data.curriculum_steps = 0  # whole sentences from the first step on
    return config
