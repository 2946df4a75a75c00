"""The experiments on the four methods, the whole way in small: every variant is trained for two steps and measured."""

import os
from itertools import product
from pathlib import Path

import pytest

from experiments import harness, modality_gap, skip_links, ssr, textual_regularization, variants
from translatotron_v.config import Config
from translatotron_v.training.build import train
from translatotron_v.training.recipe import Step

ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    *(f"model.image_encoder.{name}=16" for name in ("width",)),
    *(
        f"model.{part}.{name}"
        for part in ("text_encoder", "text_decoder", "character_encoder")
        for name in ("width=16", "heads=4", "layers=1", "feed_forward=32", "max_length=24")
    ),
    *(f"model.image_decoder.{name}" for name in ("width=16", "feed_forward=32")),
    "model.vocabulary.subwords=150",
    "trainer.device=cpu",
)


NOUNS = (
    ("ein kleiner hund", "a small dog", "un petit chien", "malý pes", "un câine mic"),
    ("der alte mann", "the old man", "le vieil homme", "starý muž", "omul bătrân"),
    ("ein roter vogel", "a red bird", "un oiseau rouge", "červený pták", "o pasăre roșie"),
    ("die junge frau", "the young woman", "la jeune femme", "mladá žena", "femeia tânără"),
)
VERBS = (
    ("schläft", "sleeps", "dort", "spí", "doarme"),
    ("wartet", "waits", "attend", "čeká", "așteaptă"),
    ("singt", "sings", "chante", "zpívá", "cântă"),
)
PLACES = (
    ("im garten", "in the garden", "dans le jardin", "na zahradě", "în grădină"),
    ("vor dem haus", "outside the house", "devant la maison", "před domem", "în fața casei"),
    ("am fluss", "by the river", "près du fleuve", "u řeky", "lângă râu"),
)
LANGUAGES = ("de", "en", "fr", "cs", "ro")


def write_five(folder: Path) -> Path:
    """A corpus of 36 phrases in five languages: 28 to train on, 4 for validation and 4 for the test."""
    folder.mkdir()
    rows = [[" ".join(words) for words in zip(*parts, strict=True)] for parts in product(NOUNS, VERBS, PLACES)]
    for split, part in (("train", rows[8:]), ("val", rows[:4]), ("test_2016_flickr", rows[4:8])):
        for place, language in enumerate(LANGUAGES):
            text = "".join(f"{row[place]}\n" for row in part)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")
    return folder


class Ended:
    """A training that has run in this process."""

    returncode = 0

    def poll(self) -> int:
        return 0


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Trainings take place in this process, below an empty folder; the settings of each."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(harness, "ROOT", tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    configs: list[Config] = []

    def launch(step: Step, log: Path) -> Ended:
        configs.append(step.config)
        train(step.config)
        return Ended()

    monkeypatch.setattr(variants, "launch", launch)
    return configs


def page_of(name: str, trained: list[Config], body, starts, *options: str) -> list[str]:
    """The lines of the page that an experiment writes."""
    command = ["--quick", "--jobs", "1", "--data", str(write_five(Path("corpus"))), *options]
    assert harness.run(name, "", body, [*command, *SMALL], starts=starts) == 0
    dashed = name.replace("_", "-")
    lines = Path("out", "quick", name, f"{dashed}.md").read_text(encoding="utf-8").splitlines()
    assert "figures mean nothing" in lines[4]
    assert all(config.trainer.steps == 2 and config.run.startswith(f"out/quick/{name}/") for config in trained)
    return lines


def cells(lines: list[str], first: str) -> list[str]:
    """The cells of the first table row that begins so."""
    row = next(line for line in lines if line.startswith(f"| {first} "))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_self_review(trained: list[Config]):
    lines = page_of("ssr", trained, ssr.body, ssr.STARTS)
    assert lines[2].startswith("Not tested: the start reads less than 95 %")
    runs = [Path(config.run).name for config in trained]
    names = "start both sft ssr sft-seed2 ssr-seed2 sft-tenth ssr-tenth sft-converged ssr-converged"
    assert sorted(runs) == sorted([*names.split(), "ssr-soft", "ssr-dropped", "ssr-dropped-seed2", "ssr-both"])
    by_name = dict(zip(runs, trained, strict=True))
    assert by_name["start"].start == {}  # nothing is trained yet to start from
    assert by_name["ssr-seed2"].ssr.reader == "out/quick/ssr/start" and by_name["sft-seed2"].trainer.seed == 2
    assert by_name["ssr-both"].ssr.reader == "out/quick/ssr/both"
    assert (by_name["ssr-soft"].ssr.weight, by_name["ssr-dropped"].ssr.dropped) == (0.1, 0.5)
    assert all(cells(lines, name)[1] for name in ssr.VARIANTS.values())
    assert "±" in cells(lines, "SSR")[1] and cells(lines, "SSR")[4] == "2" and cells(lines, "SFT")[2] == ""
    assert "±" in cells(lines, "SSR, half without transcript")[2]
    assert "±" in cells(lines, "SSR, half without transcript, asked for the translation alone")[3]
    assert Path("out", "quick", "ssr", "ssr", "accuracy.png").is_file()


def test_modality_gap(trained: list[Config], monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[str, str, str, int]] = []

    def off_natural_pages(folder: Path, data: str, split: str, limit: int) -> dict[str, float]:
        """In place of `natural_pages.measure_natural`, which has tests of its own."""
        asked.append((folder.parent.name, data, split, limit))
        names = ("text_bleu", "rendered_bleu", "natural_bleu", "rendered_cer", "natural_cer")
        return {name: len(asked) + place for place, name in enumerate(names)}

    monkeypatch.setattr(modality_gap, "off_natural_pages", off_natural_pages)
    monkeypatch.setattr(modality_gap, "FONTS", modality_gap.FONTS[3:5])
    lines = page_of("modality_gap", trained, modality_gap.body, modality_gap.STARTS)
    assert lines[2].startswith("Not tested: ") and lines[2].count("not tested: the start reads no cell") == 2
    names = ("gold", "sequence", "token", "token-beside", "reads-gold", "reads-sequence")
    runs = {Path(config.run).name: config for config in trained}
    assert set(runs) == {"start", "reads"} | {f"{name}{seed}" for name in names for seed in ("", "-seed2")}
    assert runs["reads"].loss.text == 0.0 and runs["reads-sequence-seed2"].start["text_decoder"].endswith("/reads")
    assert runs["token-beside"].freeze == ["text_mode"] and runs["token-beside"].loss.self_distillation_kl == 1.0
    assert "The start reads 0 of 10 cells" in "\n".join(lines)
    assert len(cells(lines, "self, by token, text mode frozen")) == 7
    assert {name for name, *_ in asked} == set(runs)
    assert {tuple(rest) for _, *rest in asked} == {("corpus", "test_2016_flickr", 4)}
    natural = lines[lines.index("## Natural pages") :]
    assert cells(natural, "start")[1:] == ["1.0", "2.0", "3.0", "4.000", "5.000"]


def test_skip_links(trained: list[Config], monkeypatch: pytest.MonkeyPatch):
    def probe(weights: Path, data: str, folder: str, steps: int, pages: int, seed: int) -> dict[str, float]:
        """In place of `r_probe.probe_checkpoint`, which has tests of its own."""
        Path(folder).mkdir(parents=True)
        Path(folder, "pages.png").write_bytes(b"a picture")
        return {"mse": 0.125, "psnr": 9.0, "ssim": 0.5, "cer": 1.0, "cer_ceiling": 0.25}

    monkeypatch.setattr(skip_links, "probe", probe)
    lines = page_of("skip_links", trained, skip_links.body, skip_links.STARTS, "--seeds", "1")
    names = ("none", "fused", "detached")
    assert {Path(config.run).name for config in trained} == {
        f"{name}{deep}-seed1" for name in names for deep in ("", "-deep")
    }
    for config in trained:
        shallow = [1] if config.model.image_encoder.layers == 4 else [1, 2]
        assert config.model.image_encoder.detach == (shallow if "detached" in config.run else [])
        assert bool(config.model.image_encoder.fuse) == ("none" not in config.run)
    for when in ("before", "after"):
        none, fused, detached = cells(lines, f"share of the link of block 1, {when} training")[1:]
        assert none == "" and float(fused) != 0 and detached == "0.000"
    assert len(cells(lines, "reading accuracy (text decoder), %")) == 4
    assert cells(lines, "probe MSE")[1:] == ["0.1250"] * 3
    assert Path("out/quick/skip_links/skip-links/probe-fused.png").read_bytes() == b"a picture"


def test_textual_regularization(trained: list[Config]):
    lines = page_of("textual_regularization", trained, textual_regularization.body, textual_regularization.STARTS)
    runs = [Path(config.run).name for config in trained]
    assert runs[0] == "text" and sorted(runs[1:]) == ["none", "text-10", "text-25", "text-50"]
    assert {config.model.connector for config in trained} == {"read"}
    header = next(line for line in lines if line.startswith("| text-only, %"))
    assert header.count("ro") == 3 and len(cells(lines, "linear 0.5")) == 13


def test_starts_and_budgets_are_chosen_on_the_command_line(trained: list[Config], capsys: pytest.CaptureFixture[str]):
    seen: list[harness.Experiment] = []
    run = ["--cpu-seconds", "77", "--text", "runs/mine", "--data", "grammar"]
    assert harness.run("ssr", "", seen.append, run, starts=ssr.STARTS) == 2
    assert "runs/small/reader: is not there" in capsys.readouterr().err
    for folder in ("runs/mine", "runs/other"):
        Path(folder).mkdir(parents=True)
        Path(folder, "checkpoint.json").write_text("{}")
    assert harness.run("ssr", "", seen.append, [*run, "--reader", "runs/other"], starts=ssr.STARTS) == 0
    found = seen[0].variants
    of = {"runs/other": ("image_encoder", "ctc_head"), "runs/mine": ("text_encoder", "text_decoder")}
    assert found["start"].config.start == {name: run for run, names in of.items() for name in names}
    assert found["sft"].config.vocabulary == "runs/mine"
    assert found["sft"].config.start["text_decoder"] == "runs/ssr/start"
    budgets = {name: step.config.trainer.cpu_seconds for name, step in found.items()}
    assert budgets["sft"] == budgets["ssr_soft"] == 77.0 and budgets["start"] is None
    assert budgets["both"] == 400 and budgets["ssr_converged"] == 1000  # a start, and one that ends by itself
