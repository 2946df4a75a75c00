"""The stages as they are trained: frozen helpers, starting weights, resuming, turns, and what a loss is made of."""

import itertools
from pathlib import Path

import pytest
import torch

from tests.small import PAIRS, small, small_vocabulary, write_corpus
from translatotron_v.config import Config
from translatotron_v.errors import UserError
from translatotron_v.training import losses, stages
from translatotron_v.training.build import build_stage
from translatotron_v.training.checkpoint import load_tensors, resolve
from translatotron_v.training.stages import STAGES, Stage, TokenizerStage, TranslatorStage
from translatotron_v.training.trainer import TrainableStage, Trainer

MADE_OF = ("loss.label_smoothing=0", "loss.image_smoothing=0", "loss.ctc=1")


@pytest.fixture(autouse=True)
def no_reader(monkeypatch: pytest.MonkeyPatch):
    """OCR takes seconds to load and is tested elsewhere."""
    monkeypatch.setattr(stages, "picture_error_rate", lambda pictures, texts: 1.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and short runs of every stage that another may start from."""
    folder = tmp_path_factory.mktemp("runs")
    write_corpus(folder / "corpus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "picture_error_rate", lambda pictures, texts: 1.0)
        for stage in ("text", "tokenizer", "teacher"):
            more = (f"start.image_tokenizer={folder / 'tokenizer'}",) if stage == "teacher" else ()
            train(settings(folder, stage, f"vocabulary={folder / 'text'}" if stage != "text" else "run=", *more))
    return folder


def settings(folder: Path, stage: str, *overrides: str, run: str = "") -> Config:
    chosen = [override for override in overrides if override != "run="]
    return small(f"stage={stage}", f"data.folder={folder / 'corpus'}", f"run={folder / (run or stage)}", *chosen)


def train(config: Config) -> Stage:
    stage = build_stage(config)
    Trainer(stage, config.trainer, Path(config.run)).fit()
    return stage


def translator(folder: Path, *overrides: str, run: str = "translator") -> Config:
    start = [f"start.{name}={folder / name}" for name in ("teacher",)]
    start += [f"start.image_tokenizer={folder / 'tokenizer'}", f"vocabulary={folder / 'text'}"]
    return settings(folder, "translator", *start, *MADE_OF, *overrides, run=run)


def bare(stage: str, *overrides: str) -> Stage:
    """A stage without files behind it."""
    torch.manual_seed(0)
    return STAGES[stage](small(f"stage={stage}", *overrides), small_vocabulary(), PAIRS, PAIRS[:4])


def require_equal(one: Path, other: Path) -> None:
    """All tensors of two folders are the same, bit for bit."""
    files = sorted(path.relative_to(one) for path in one.rglob("*.safetensors"))
    assert files and files == sorted(path.relative_to(other) for path in other.rglob("*.safetensors"))
    for path in files:
        first, second = load_tensors(one / path), load_tensors(other / path)
        assert first.keys() == second.keys()
        assert [f"{path}:{key}" for key in first if not torch.equal(first[key], second[key])] == []


# --- frozen helpers ---------------------------------------------------------------------------------------------------


def test_teacher_and_tokenizer_are_frozen_in_stage_two(runs: Path, monkeypatch: pytest.MonkeyPatch):
    config = translator(runs, "trainer.weight_decay=0.5", "trainer.steps=3", run="frozen")
    stage = build_stage(config)
    assert isinstance(stage, TranslatorStage) and stage.teacher is not None
    helpers = {"teacher": stage.teacher, "tokenizer": stage.translator.image_tokenizer}
    before = {name: {k: t.clone() for k, t in module.state_dict().items()} for name, module in helpers.items()}
    own = {k: t.clone() for k, t in stage.translator.image_decoder.state_dict().items()}
    trained = {id(parameter) for parameters in stage.optimised().values() for parameter in parameters}
    seen = []
    forward = stage.forward

    def watched(*arguments):
        result = forward(*arguments)
        for module in helpers.values():
            seen.append(any(part.training for part in module.modules()))
        return result

    monkeypatch.setattr(stage, "forward", watched)
    Trainer(stage, config.trainer, Path(config.run)).fit()
    assert seen and not any(seen)  # evaluation mode in every step
    for name, module in helpers.items():
        for parameter in module.parameters():
            assert not parameter.requires_grad and parameter.grad is None and id(parameter) not in trained
        changed = [key for key, tensor in module.state_dict().items() if not torch.equal(tensor, before[name][key])]
        assert changed == []
    assert any(not torch.equal(t, own[k]) for k, t in stage.translator.image_decoder.state_dict().items())
    require_equal_file(resolve(runs / "tokenizer"), resolve(runs / "frozen"), "image_tokenizer")
    assert not (resolve(runs / "frozen") / "teacher_decoder.safetensors").exists()


def require_equal_file(one: Path, other: Path, name: str) -> None:
    first, second = (load_tensors(folder / f"{name}.safetensors") for folder in (one, other))
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_the_tokenizer_is_frozen_in_the_teachers_stage(runs: Path):
    require_equal_file(resolve(runs / "tokenizer"), resolve(runs / "teacher"), "image_tokenizer")
    stage = bare("teacher")
    stage.train()
    assert not any(part.training for part in stage.image_tokenizer.modules())
    assert stage.teacher.training


def test_modules_can_be_frozen_by_name(runs: Path):
    config = translator(
        runs, "loss.distillation=0", "freeze=[image_encoder,ctc_head]", "trainer.steps=2", run="by-name"
    )
    stage = build_stage(config)
    before = {k: t.clone() for k, t in stage.translator.image_encoder.state_dict().items()}
    Trainer(stage, config.trainer, Path(config.run)).fit()
    assert all(torch.equal(t, before[k]) for k, t in stage.translator.image_encoder.state_dict().items())
    stage.train()
    assert not stage.translator.image_encoder.training and stage.translator.text_decoder.training


def test_an_unknown_module_to_freeze_is_named():
    with pytest.raises(UserError, match=r"freeze: .*'image_encodr'.*image_encoder") as caught:
        bare("translator", "loss.distillation=0", "freeze=[image_encodr]")
    assert "\n" not in str(caught.value)


# --- starting weights -------------------------------------------------------------------------------------------------


def test_text_mode_and_teacher_become_parts_of_the_translator(runs: Path):
    config = translator(
        runs,
        *(f"start.{name}={runs / 'text'}" for name in ("text_encoder", "text_decoder")),
        f"start.character_encoder={runs / 'teacher'}#teacher_encoder",
        f"start.image_decoder={runs / 'teacher'}#teacher_decoder",
        run="started",
    )
    stage = build_stage(config)
    assert isinstance(stage, TranslatorStage)
    for name, origin, file in (
        ("text_encoder", "text", "text_encoder"),
        ("text_decoder", "text", "text_decoder"),
        ("character_encoder", "teacher", "teacher_encoder"),
        ("image_decoder", "teacher", "teacher_decoder"),
        ("image_tokenizer", "tokenizer", "image_tokenizer"),
    ):
        stored = load_tensors(resolve(runs / origin) / f"{file}.safetensors")
        state = stage.modules_to_save[name].state_dict()
        assert stored and all(torch.equal(state[key], tensor) for key, tensor in stored.items())
    new = stage.load_start()
    assert {name.split(".")[0] for name in new} == {"character_encoder", "image_decoder"}
    assert all("piece_bridge" in name or "gate" in name or "image_cross" in name for name in new)


def refusal(config: Config) -> str:
    with pytest.raises(UserError) as caught:
        build_stage(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_starts_that_do_not_fit_get_one_line(runs: Path, tmp_path: Path):
    plain = ("loss.distillation=0",)
    text = f"start.text_decoder={runs / 'text'}"
    write_corpus(tmp_path / "corpus", [*PAIRS[:6], *PAIRS[20:]])
    train(settings(tmp_path, "text", "model.vocabulary.subwords=50", "trainer.steps=1", run="other"))
    other = settings(tmp_path, "translator", "loss.distillation=0", f"vocabulary={tmp_path / 'other'}", text, run="x")
    message = refusal(other)
    assert "start.text_decoder" in message and "another vocabulary" in message
    assert f"vocabulary={runs / 'text'}" in message

    message = refusal(translator(runs, *plain, text, "model.text_decoder.feed_forward=40", run="shape"))
    assert "text_decoder.safetensors" in message and "(32, 16)" in message and "(40, 16)" in message
    message = refusal(translator(runs, *plain, f"start.painter={runs / 'text'}", run="none"))
    assert "start.painter" in message and "image_decoder" in message
    message = refusal(translator(runs, *plain, f"start.text_decoder={runs / 'gone'}", run="none"))
    assert "gone" in message
    message = refusal(translator(runs, *plain, f"start.image_decoder={runs / 'text'}", run="none"))
    assert "image_decoder.safetensors" in message
    message = refusal(settings(runs, "translator", f"vocabulary={runs / 'text'}", run="none"))
    assert "start.teacher" in message and "loss.distillation=0" in message


def test_the_vocabulary_comes_from_where_the_weights_come_from(runs: Path):
    config = translator(runs, "vocabulary=", f"start.text_decoder={runs / 'text'}", run="vocabulary")
    config.vocabulary = ""
    assert (runs / "text" / "final" / "vocabulary.json").read_text("utf-8") == build_stage(config).vocabulary.to_json()


# --- resuming ---------------------------------------------------------------------------------------------------------


class Cut(Exception):
    """Stands for a power cut."""


def cut_at(config: Config, step: int, turn: str) -> None:
    """Train until a step, and die in its middle."""
    stage = build_stage(config)
    forward = stage.forward

    def mortal(batch, now, at):
        if (at, now) == (step, turn):
            raise Cut
        return forward(batch, now, at)

    stage.forward = mortal  # type: ignore[method-assign]
    with pytest.raises(Cut):
        Trainer(stage, config.trainer, Path(config.run)).fit()


def test_a_resumed_tokenizer_equals_an_uninterrupted_one(runs: Path):
    """With adversary, moving average, the codebook's buffers, restarts, curriculum, and pages rendered on the fly."""
    options = ("trainer.ema=0.9", "loss.adversarial=0.1", "loss.adversarial_from=0.2", "loss.quantise_from=0.3")
    options += ("model.tokenizer.restart_after=1", "trainer.steps=7", "trainer.accumulate=2", "data.curriculum_steps=4")
    options += ("data.shuffled=0.5", "data.both_languages=true", "data.sort_window=2", "trainer.evaluate_every=3")
    whole, broken = (settings(runs, "tokenizer", *options, run=name) for name in ("tokenizer-1", "tokenizer-2"))
    stage = train(whole)
    assert isinstance(stage, TokenizerStage)
    cut_at(broken, 1, "discriminator")  # before the first checkpoint
    cut_at(broken, 3, "generator")
    cut_at(broken, 5, "discriminator")
    train(broken)
    for part in ("final", "checkpoints"):
        require_equal(runs / "tokenizer-1" / part, runs / "tokenizer-2" / part)
    final = load_tensors(runs / "tokenizer-1" / "final" / "image_tokenizer.safetensors")
    assert final["quantizer._codebook.initted"].all() and "idle_steps" in final


def test_a_resumed_translator_equals_an_uninterrupted_one(runs: Path):
    """With teacher, dropout and text mode."""
    options = ("trainer.steps=5", "trainer.ema=0.9", "data.sort_window=2", "loss.text_distillation=0.5")
    whole, broken = (translator(runs, *options, run=name) for name in ("translator-1", "translator-2"))
    assert whole.model.text_decoder.dropout > 0
    train(whole)
    cut_at(broken, 3, "main")
    train(broken)
    for part in ("final", "checkpoints"):
        require_equal(runs / "translator-1" / part, runs / "translator-2" / part)


# --- turns ------------------------------------------------------------------------------------------------------------


def test_the_turns_of_the_adversaries_leave_each_other_alone(runs: Path, monkeypatch: pytest.MonkeyPatch):
    options = ("loss.adversarial=0.5", "loss.adversarial_from=0", "loss.quantise_from=0", "trainer.steps=3")
    config = settings(runs, "tokenizer", *options, "model.tokenizer.kmeans=false", run="turns")
    stage = build_stage(config)
    assert isinstance(stage, TokenizerStage) and stage.discriminator is not None
    states: list[tuple[str, dict, dict]] = []
    forward = stage.forward

    def copy(module: torch.nn.Module) -> dict[str, torch.Tensor]:
        return {key: tensor.clone() for key, tensor in module.state_dict().items()}

    def watched(batch, turn, step):
        states.append((turn, copy(stage.image_tokenizer), copy(stage.discriminator)))
        return forward(batch, turn, step)

    monkeypatch.setattr(stage, "forward", watched)
    Trainer(stage, config.trainer, Path(config.run)).fit()
    states.append(("end", copy(stage.image_tokenizer), copy(stage.discriminator)))
    assert [turn for turn, _, _ in states] == ["generator", "discriminator"] * 3 + ["end"]

    def same(one: dict, other: dict) -> bool:
        return all(torch.equal(one[key], other[key]) for key in one)

    for (turn, generator, critic), (_, generator_after, critic_after) in itertools.pairwise(states):
        if turn == "generator":
            assert same(critic, critic_after) and not same(generator, generator_after)
        else:  # neither weights nor the codebook's averages
            assert same(generator, generator_after) and not same(critic, critic_after)


def test_the_adversary_waits_and_the_codebook_too():
    stage = bare("tokenizer", "loss.adversarial=0.5", "trainer.steps=100")
    assert isinstance(stage, TokenizerStage)
    batch = stage.dataset[0]
    early, late = (stage(batch, "generator", step)[1] for step in (3, 60))
    assert "adversarial" not in early and "codes" not in early
    assert "adversarial" in late and late["codes"] > 0
    waiting, judging = (stage(batch, "discriminator", step)[0].item() for step in (3, 60))
    assert waiting == 0 and judging > 0


# --- what a step is made of -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(STAGES))
def test_every_stage_learns_what_it_optimises(name: str):
    stage = bare(name, "loss.distillation=0", "loss.ctc=1", "loss.quantise_from=0")
    assert isinstance(stage, TrainableStage)
    loss, report = stage(stage.dataset[0], next(iter(stage.optimised())), 5)
    loss.backward()
    assert loss.isfinite() and loss > 0
    assert all(not isinstance(value, torch.Tensor) or not value.requires_grad for value in report.values())
    parameters = [p for part in stage.optimised().values() for p in part]
    reached = [p for p in parameters if p.grad is not None and p.grad.any()]
    assert len(reached) > 0.75 * len(parameters)  # what starts at zero hides what lies behind it
    others = {id(p) for p in parameters}
    assert all(p.grad is None for p in stage.parameters() if id(p) not in others or not p.requires_grad)


def test_the_translators_loss_is_the_weighted_sum(runs: Path):
    weights = {"image": 0.5, "distillation": 0.25, "ocr": 2.0, "text": 3.0, "ctc": 0.75, "text_mode": 1.5}
    weights |= {"text_distillation": 0.3}
    chosen = [f"loss.{name}={value}" for name, value in weights.items()]
    stage = build_stage(translator(runs, *chosen, "loss.temperature=2", run="sum")).eval()
    batch = stage.dataset[0]
    loss, report = stage(batch, "main", 0)
    assert set(report) == set(weights)
    assert loss.item() == pytest.approx(sum(weights[name] * float(value) for name, value in report.items()), rel=1e-5)
    ids = stage.translator.image_tokenizer.encode_to_ids(batch.target_pixels)
    mask = stages.drawing_mask(batch.target_characters)
    source = stage.translator.see(batch.source_pixels)
    student = stage.translator(
        source,
        batch.target_input,
        batch.target_output != 0,
        image_ids=ids,
        characters=batch.target_characters,
        character_mask=mask,
        owners=batch.owners,
    )
    expected = losses.distillation(student.image, stage.teacher(ids, batch.target_characters, mask), 2.0)
    assert float(report["distillation"]) == pytest.approx(expected.item(), rel=1e-4)
    assert float(report["image"]) == pytest.approx(losses.image_cross_entropy(student.image, ids).item(), rel=1e-4)


def test_a_weight_of_zero_leaves_its_branch_out():
    stage = bare("translator", "loss.image=0", "loss.distillation=0", "loss.ocr=0", "loss.ctc=0")
    batch = stage.dataset[0]
    assert batch.target_pixels is None and batch.target_characters is None  # not even rendered
    loss, report = stage(batch, "main", 0)
    assert set(report) == {"text"}
    optimised = {id(parameter) for parameter in stage.optimised()["main"]}
    assert not optimised & {id(parameter) for parameter in stage.translator.image_decoder.parameters()}
    assert loss.item() == pytest.approx(float(report["text"]))


def test_evaluations_of_every_stage_have_figures():
    expected = {
        "tokenizer": {"mean_absolute_error", "codes_used", "cer"},
        "reader": {"cer"},
        "text": {"bleu"},
        "teacher": {"cer"},
        "translator": {"bleu", "reading_cer", "picture_cer"},
    }
    for name, figures in expected.items():
        stage = bare(name, "loss.distillation=0", "loss.ctc=1").eval()
        evaluation = stage.evaluate(0)
        assert set(evaluation.metrics) == figures
        assert (evaluation.sheet is not None) == (name in ("tokenizer", "teacher", "translator"))
