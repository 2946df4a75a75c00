"""Export of a translator: small, neutral, and the same translator."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from translatotron_v.checkpoint import CALIBRATION, CheckpointError, load_tensors, read_info, save_checkpoint
from translatotron_v.config import load_config, to_yaml
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding.text import generate
from translatotron_v.inference.loaded import load_translator
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training.export import compare, export_run, neutral, size_table

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "debug" / "translator.yaml"
PLACE = "/somewhere/secret"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has come to its end, with random weights and absolute paths in its settings."""
    folder = tmp_path_factory.mktemp("runs") / "translator"
    places = [f"run={PLACE}/run", f"data.folder={PLACE}/corpus", f"start.teacher={PLACE}/teacher"]
    config = load_config(CONFIG, [*places, f"vocabulary={PLACE}/text"])
    vocabulary = Vocabulary.build(["der hund schläft.", "the dog sleeps."], subwords=60)
    torch.manual_seed(1)
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count)
    model.image_tokenizer.quantizer._codebook.cluster_size.fill_(1e6)  # a count that half precision cannot hold
    model.image_tokenizer.idle_steps.fill_(3)
    files = {"config.yaml": to_yaml(config), "vocabulary.json": vocabulary.to_json()}
    info = {"step": 7, "steps": 7, "metrics": {"bleu": 1.5}, "cpu_seconds": 3.0, "device": "cpu", "host": PLACE}
    save_checkpoint(folder / "final", dict(model.named_children()), files, info)
    (folder / "final" / CALIBRATION).write_text('{"what": "is not read here"}', encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    folder = run.parent / "export"
    export_run(run, folder)
    return folder


def test_every_module_has_a_file_in_half_precision(run: Path, exported: Path):
    names = {path.name for path in (run / "final").iterdir()}
    assert {path.name for path in exported.iterdir()} == names
    for path in exported.glob("*.safetensors"):
        assert all(t.dtype == torch.float16 for t in load_tensors(path).values() if t.is_floating_point())
    sizes = [sum(path.stat().st_size for path in folder.glob("*.safetensors")) for folder in (exported, run / "final")]
    assert sizes[0] < 0.56 * sizes[1]


def test_a_calibration_goes_along(run: Path, exported: Path):
    assert (exported / CALIBRATION).read_text(encoding="utf-8") == (run / "final" / CALIBRATION).read_text("utf-8")
    export_run(run, exported, overwrite=True)  # what is replaced may hold one


def test_nothing_says_where_it_was_trained(exported: Path):
    for path in exported.iterdir():
        assert PLACE.encode() not in path.read_bytes(), path.name
    config = load_config(exported / "config.yaml")
    assert (config.run, config.vocabulary, config.start) == ("runs/exported", "", {})
    assert config.data.folder == "data/corpus"


def test_paths_that_are_no_places_stay():
    config = load_config(CONFIG)
    page = replace(config.page, fonts=["DejaVuSans", f"{PLACE}/Own.ttf"])
    data = replace(config.data, folder="data/multi30k")
    neutralised = neutral(replace(config, page=page, data=data))
    assert neutralised.page.fonts == ["DejaVuSans", "Own.ttf"]
    assert neutralised.data.folder == "data/multi30k"
    assert neutral(replace(config, data=replace(data, folder="../other/corpus"))).data.folder == "data/corpus"
    assert neutral(config).data.folder == "grammar"
    away = neutral(replace(config, data=replace(data, cache="/home/someone/cache", mixture="/home/someone/mine.yaml")))
    assert (away.data.cache, away.data.mixture) == ("runs/cache", "mine.yaml")


def test_a_reviewed_model_stays_one():
    config = load_config(CONFIG, [f"ssr.reader={PLACE}/reader", f"ssr.cache={PLACE}/transcripts"])
    assert (neutral(config).ssr.reader, neutral(config).ssr.cache) == ("reader", "runs/transcripts")
    assert neutral(load_config(CONFIG)).ssr.reader == ""


def test_the_export_says_what_it_is(exported: Path):
    info = read_info(exported)
    assert info["weights"] == "float16"
    assert (info["step"], info["metrics"], info["cpu_seconds"]) == (7, {"bleu": 1.5}, 3.0)
    assert "host" not in info and "device" not in info
    assert "image_decoder" in info["modules"] and "text_encoder" in info["modules"] and "ocr_head" in info["modules"]


def test_an_export_of_merged_weights_says_what_they_were_merged_from(run: Path, tmp_path: Path):
    source = run / "final"
    modules = {path.stem: load_tensors(path) for path in source.glob("*.safetensors")}
    texts = {name: (source / name).read_text() for name in ("config.yaml", "vocabulary.json")}
    merge = {"merge": "ties", "merge_a": f"{PLACE}/tuned", "merge_b": "runs/text", "merge_base": "../other/start"}
    merge |= {"merge_weight": 0.8, "merge_density": 0.2, "merged_modules": ["text_encoder", "text_decoder"]}
    save_checkpoint(tmp_path / "merged", modules, texts, merge)
    export_run(tmp_path / "merged", tmp_path / "out")
    info = read_info(tmp_path / "out")
    assert {key: value for key, value in info.items() if key.startswith("merge")} == merge | {
        "merge_a": "tuned",
        "merge_base": "start",
    }


def test_it_opens_and_computes_the_same(run: Path, exported: Path):
    original, again = load_translator(run), load_translator(exported)
    assert compare(original.model, again.model) < 0.01
    torch.manual_seed(2)
    answer = generate(again.model, again.vocabulary, torch.rand(2, 1, 16, 128), again.complete(again.generation))
    assert answer.pixels.shape == (2, 1, 16, 128)
    assert bool(answer.pixels.isfinite().all())


def test_what_only_training_needs_starts_afresh(exported: Path):
    tensors = load_tensors(exported / "image_tokenizer.safetensors")
    assert torch.equal(tensors["idle_steps"].float(), torch.zeros(256))
    book = {key.rpartition(".")[2]: value for key, value in tensors.items() if "_codebook" in key}
    assert bool((book["cluster_size"] == 1).all())
    assert torch.equal(book["embed_avg"], book["embed"])


def test_an_export_can_be_exported_again(exported: Path, tmp_path: Path):
    sizes = export_run(exported, tmp_path / "again")
    for path in exported.glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
    assert size_table(sizes).splitlines()[-1].startswith("in all")


def test_only_an_export_is_replaced_and_only_when_asked(run: Path, tmp_path: Path):
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "README.md").write_text("the model card\n")
    export_run(run, folder)
    with pytest.raises(CheckpointError, match="exists already"):
        export_run(run, folder)
    export_run(run, folder, overwrite=True)
    assert (folder / "README.md").read_text() == "the model card\n"
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"thesis\.tex"):
        export_run(run, folder, overwrite=True)


def test_other_stages_and_weights_out_of_range_are_refused(run: Path, tmp_path: Path):
    source = run / "final"
    broken = tmp_path / "broken"
    modules = {path.stem: load_tensors(path) for path in source.glob("*.safetensors")}
    texts = {name: (source / name).read_text() for name in ("config.yaml", "vocabulary.json")}
    modules["text_decoder"]["norm.weight"][0] = 1e6
    save_checkpoint(broken, modules, texts, {"step": 1})
    with pytest.raises(CheckpointError, match=r"text_decoder\.norm\.weight"):
        export_run(broken, tmp_path / "out")
    texts["config.yaml"] = texts["config.yaml"].replace("stage: translator", "stage: teacher")
    save_checkpoint(broken, modules, texts, {"step": 1})
    with pytest.raises(CheckpointError, match="teacher"):
        export_run(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    info = json.loads((broken / "checkpoint.json").read_text())
    assert info["step"] == 1  # the origin is never written to
