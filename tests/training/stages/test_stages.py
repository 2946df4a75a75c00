"""The stages as they are trained: frozen helpers, starting weights, resuming, turns, and what a loss is made of."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.small import PAIRS, TEXTS, small, small_vocabulary, write_corpus
from translatotron_v.checkpoint import load_tensors, resolve
from translatotron_v.config import Config, TrainerConfig
from translatotron_v.data import pages
from translatotron_v.data.pages import Batch, plain_samples
from translatotron_v.data.pairs import TextPair
from translatotron_v.data.vocabulary import EOS, PAD, Vocabulary
from translatotron_v.decoding.text import generate_text
from translatotron_v.errors import UserError
from translatotron_v.models.text_decoder import CtcHead
from translatotron_v.training import losses
from translatotron_v.training.build import build_stage
from translatotron_v.training.protocol import TrainableStage
from translatotron_v.training.reviewing import Reader
from translatotron_v.training.stages import STAGES, stage_class
from translatotron_v.training.stages import teacher as teacher_stage
from translatotron_v.training.stages import tokenizer as tokenizer_stage
from translatotron_v.training.stages import translator as translator_stage
from translatotron_v.training.stages.base import Stage, load_mapped
from translatotron_v.training.stages.text import TextStage
from translatotron_v.training.stages.tokenizer import TokenizerStage
from translatotron_v.training.stages.translator import TranslatorStage
from translatotron_v.training.state import collect
from translatotron_v.training.trainer import Trainer

MADE_OF = ("loss.label_smoothing=0", "loss.image_smoothing=0", "loss.ctc=1")


@pytest.fixture(autouse=True)
def no_reader(monkeypatch: pytest.MonkeyPatch):
    """OCR takes seconds to load and is tested elsewhere."""
    for module in (tokenizer_stage, teacher_stage, translator_stage):
        monkeypatch.setattr(module, "picture_error_rate", lambda pictures, texts: 1.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and short runs of every stage that another may start from."""
    folder = tmp_path_factory.mktemp("runs")
    write_corpus(folder / "corpus")
    with pytest.MonkeyPatch.context() as patch:
        for module in (tokenizer_stage, teacher_stage):
            patch.setattr(module, "picture_error_rate", lambda pictures, texts: 1.0)
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
    return stage_class(stage)(small(f"stage={stage}", *overrides), small_vocabulary(), PAIRS, PAIRS[:4])


def require_equal(one: Path, other: Path) -> None:
    """All tensors of two folders are the same, bit for bit."""
    files = sorted(path.relative_to(one) for path in one.rglob("*.safetensors"))
    assert files and files == sorted(path.relative_to(other) for path in other.rglob("*.safetensors"))
    for path in files:
        first, second = load_tensors(one / path), load_tensors(other / path)
        assert first.keys() == second.keys()
        assert [f"{path}:{key}" for key in first if not torch.equal(first[key], second[key])] == []


# --- accumulation -----------------------------------------------------------------------------------------------------


def joined(batches: list[Batch]) -> Batch:
    """Micro-batches as one batch."""
    fields = {name: getattr(batches[0], name) for name in vars(batches[0])}
    together = {
        name: pages.pad([row for batch in batches for row in unpadded(getattr(batch, name))])
        for name, value in fields.items()
        if isinstance(value, torch.Tensor) and value.dtype == torch.long
    }
    pixels = {
        name: torch.cat([getattr(batch, name) for batch in batches])
        for name, value in fields.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }
    whole = Batch(**together, **pixels)
    whole.translation_mask = whole.target_output != PAD
    return whole


def unpadded(rows: torch.Tensor) -> list[list[int]]:
    return [row[: int((row != PAD).nonzero().max()) + 1].tolist() for row in rows]


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("text", ("loss.transcription=0.5",)),
        ("reader", ("loss.ocr=1", "loss.ctc=0")),
        (
            "translator",
            ("loss.distillation=0", "loss.transcription=0.5", "loss.text_mode=1", "loss.text_distillation=1"),
        ),
    ],
)
def test_micro_batches_of_other_lengths_count_by_their_pieces(tmp_path: Path, stage: str, options: tuple[str, ...]):
    """A step of two micro-batches, of long and of short sentences, has the loss and gradients of both as one batch."""
    model = bare(stage, *options).eval()
    micro = [model.collator(plain_samples(part, model.config)) for part in (PAIRS[3:6], PAIRS[24:27])]
    loss, _ = model(joined(micro), "main", 0)
    loss.backward()
    parameters = [p for p in model.optimized()["main"] if p.grad is not None]
    wanted = [p.grad.clone() for p in parameters]
    model.zero_grad()

    trainer = Trainer(model, TrainerConfig(accumulate=2, device="cpu"), tmp_path)
    losses_of_parts = []
    for batch in trainer.micro_batches.weighed(micro):
        part, _ = model(batch, "main", 0)
        (part / 2).backward()
        losses_of_parts.append(part.item())
    assert sum(losses_of_parts) / 2 == pytest.approx(loss.item(), rel=1e-5)
    assert len({round(batch.share("target"), 3) for batch in micro}) == (2 if stage != "reader" else 1)
    for parameter, gradient in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)


def test_a_step_weighs_its_micro_batches(runs: Path, monkeypatch: pytest.MonkeyPatch):
    """Through the loop itself: what ``forward`` is given knows its share."""
    config = settings(runs, "text", "trainer.accumulate=3", "trainer.steps=2", run="weighed")
    stage, shares, forward = build_stage(config), [], TextStage.forward

    def watched(self: Stage, batch: Batch, optimizer: str, step: int):
        shares.append((batch.share("target"), float((batch.target_output != PAD).sum())))
        return forward(self, batch, optimizer, step)

    monkeypatch.setattr(TextStage, "forward", watched)
    Trainer(stage, config.trainer, Path(config.run)).fit()
    assert len(shares) == 6
    for step in (shares[:3], shares[3:]):
        total = sum(count for _, count in step)
        assert [share for share, _ in step] == pytest.approx([3 * count / total for _, count in step])


# --- what a checkpoint holds beside the modules -----------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["text", "reader", "translator", "teacher", "tokenizer"])
def test_resuming_takes_no_frozen_helpers_and_no_unused_halves(runs: Path, stage: str):
    """What a run reads from elsewhere or never looks at is not written into each of its checkpoints."""
    config = translator(runs) if stage == "translator" else settings(runs, stage)
    more = {"tokenizer": ("loss.perceptual=1",)}.get(stage, ())
    model = build_stage(config) if stage == "translator" else bare(stage, *more)
    optimizers = {name: torch.optim.AdamW(parameters) for name, parameters in model.optimized().items()}
    beside = collect(model, model.modules_to_save, optimizers, None)
    assert "stage" not in beside, list(beside["stage"])


# --- frozen helpers ---------------------------------------------------------------------------------------------------


def test_teacher_and_tokenizer_are_frozen_in_stage_two(runs: Path, monkeypatch: pytest.MonkeyPatch):
    config = translator(runs, "trainer.weight_decay=0.5", "trainer.steps=3", run="frozen")
    stage = build_stage(config)
    assert isinstance(stage, TranslatorStage) and stage.teacher is not None
    helpers = {"teacher": stage.teacher, "tokenizer": stage.translator.image_tokenizer}
    before = {name: {k: t.clone() for k, t in module.state_dict().items()} for name, module in helpers.items()}
    own = {k: t.clone() for k, t in stage.translator.image_decoder.state_dict().items()}
    trained = {id(parameter) for parameters in stage.optimized().values() for parameter in parameters}
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
    assert all("piece_projection" in name or "gate" in name or "image_cross" in name for name in new)


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


def test_weights_of_another_vocabulary_keep_what_both_know(runs: Path, tmp_path: Path):
    """Rows of pieces, of characters, and of the CTC head's frames go where the same name stands."""
    other = [pair for pair in PAIRS if "bär" not in pair.source] + [TextPair("zwei katzen", "two cats")] * 2
    write_corpus(tmp_path / "corpus", other)
    for stage in ("text", "reader"):
        vocabulary = f"vocabulary={tmp_path / 'text'}" if stage == "reader" else "run="
        train(settings(tmp_path, stage, "trainer.steps=1", "model.vocabulary.subwords=55", vocabulary))
    start = [f"start.{name}={tmp_path / 'text'}" for name in ("text_encoder", "text_decoder")]
    start += [f"start.{name}={tmp_path / 'reader'}" for name in ("image_encoder", "ctc_head")]
    stage = build_stage(translator(runs, "loss.distillation=0", *start, "map_vocabulary=true", run="mapped"))
    own, theirs = stage.vocabulary, Vocabulary.from_file(tmp_path / "text" / "final" / "vocabulary.json")
    for module, key, names in (
        ("text_decoder", "embedding.weight", "piece_names"),
        ("text_encoder", "embedding.weight", "piece_names"),
        ("ctc_head", "out.weight", "character_names"),
        ("ctc_head", "out.bias", "character_names"),
    ):
        held = load_tensors(
            tmp_path / ("reader" if module == "ctc_head" else "text") / "final" / f"{module}.safetensors"
        )
        frames = 2 if module == "ctc_head" else 1
        source = held[key].unflatten(0, (frames, -1))
        target = stage.modules_to_save[module].state_dict()[key].unflatten(0, (frames, -1))
        known = {name: place for place, name in enumerate(getattr(theirs, names)())}
        listed = getattr(own, names)()
        assert target.shape[1] == len(listed) != source.shape[1] == len(known)
        same = [torch.equal(target[:, row], source[:, known[name]]) for row, name in enumerate(listed) if name in known]
        assert len(same) > 20 and all(same)
        assert names == "character_names" or len(same) < len(listed)
    decoder, held = (
        stage.translator.text_decoder.state_dict(),
        load_tensors(tmp_path / "text/final/text_decoder.safetensors"),
    )
    assert all(torch.equal(decoder[name], held[name]) for name in held if name != "embedding.weight")
    wide = translator(
        runs, "loss.distillation=0", start[1], "map_vocabulary=true", "model.text_decoder.width=20", run="x"
    )
    message = refusal(wide)
    assert "shape (55, 16)" in message and "(60, 20)" in message


def test_new_codes_keep_the_layers_and_begin_the_tables_anew(runs: Path):
    """An image decoder of 8 codes from a teacher's of 24."""
    start = f"start.image_decoder={runs / 'teacher'}#teacher_decoder"
    fewer = ("loss.distillation=0", "start={}", f"vocabulary={runs / 'text'}", "model.tokenizer.codes=8", start)
    message = refusal(settings(runs, "translator", *fewer, run="codes"))
    assert "start.image_decoder" in message and "24 codes" in message and "has 8" in message
    assert "new_codes=true" in message

    stage = build_stage(settings(runs, "translator", *fewer, "new_codes=true", run="codes"))
    decoder = stage.modules_to_save["image_decoder"]
    held = load_tensors(resolve(runs / "teacher") / "teacher_decoder.safetensors")
    state = decoder.state_dict()
    tables = {"embedding.weight", "out.weight"}
    assert tables < held.keys() and all(len(state[name]) == 8 for name in tables)
    assert all(torch.equal(state[name], tensor) for name, tensor in held.items() if name not in tables)
    before = {name: state[name].clone() for name in tables}
    new = stage.load_start()
    assert all(torch.equal(decoder.state_dict()[name], tensor) for name, tensor in before.items())
    assert {name for name in new if "image_cross" not in name} == {
        f"image_decoder.{name}" for name in (*tables, "gate.weight", "gate.bias")
    }


def test_new_codes_leave_other_tables_alone(runs: Path):
    """Nor do they matter where a tokenizer has as many codes: the tables begin anew all the same."""
    starts = (f"start.text_decoder={runs / 'text'}", f"start.image_decoder={runs / 'teacher'}#teacher_decoder")
    stage = build_stage(translator(runs, "loss.distillation=0", *starts, "new_codes=true", run="as-many"))
    texts = load_tensors(resolve(runs / "text") / "text_decoder.safetensors")
    decoder = stage.modules_to_save["text_decoder"].state_dict()
    assert all(torch.equal(decoder[name], tensor) for name, tensor in texts.items())
    held = load_tensors(resolve(runs / "teacher") / "teacher_decoder.safetensors")
    assert not torch.equal(stage.modules_to_save["image_decoder"].state_dict()["out.weight"], held["out.weight"])


def test_the_vocabulary_comes_from_where_the_weights_come_from(runs: Path):
    config = translator(runs, "vocabulary=", f"start.text_decoder={runs / 'text'}", run="vocabulary")
    config.vocabulary = ""
    assert (runs / "text" / "final" / "vocabulary.json").read_text("utf-8") == build_stage(config).vocabulary.to_json()


# --- resuming ---------------------------------------------------------------------------------------------------------


class Cut(Exception):
    """Stands for a power cut."""


def cut_at(config: Config, step: int, optimizer: str) -> None:
    """Train until a step, and die in its middle."""
    stage = build_stage(config)
    forward = stage.forward

    def mortal(batch, now, at):
        if (at, now) == (step, optimizer):
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
    """With teacher, dropout, text mode and self-distillation."""
    options = ("trainer.steps=5", "trainer.ema=0.9", "data.sort_window=2", "loss.text_distillation=0.5")
    options += (
        "loss.self_distillation=0.5",
        *(f"start.text_{name}={runs / 'text'}" for name in ("encoder", "decoder")),
    )
    whole, broken = (translator(runs, *options, run=name) for name in ("translator-1", "translator-2"))
    assert whole.model.text_decoder.dropout > 0
    train(whole)
    cut_at(broken, 3, "main")
    train(broken)
    for part in ("final", "checkpoints"):
        require_equal(runs / "translator-1" / part, runs / "translator-2" / part)


def misread(reader: Reader, pages: torch.Tensor, language: str) -> list[str]:
    """Transcripts with errors, for an untrained reader writes next to nothing."""
    return [("ein man", "vogel isst", "")[i % 3] for i in range(len(pages))]


def test_a_resumed_self_review_equals_an_uninterrupted_one(runs: Path, monkeypatch: pytest.MonkeyPatch):
    """With pages that have no translation, text-only batches, and links of the image encoder."""
    monkeypatch.setattr(Reader, "transcribe", misread)
    nothing_drawn = ("loss.image=0", "loss.distillation=0")
    links = ("model.image_encoder.fuse=[1]", "model.image_encoder.detach=[1]")
    train(translator(runs, *nothing_drawn, *links, "trainer.steps=1", run="seen"))
    options = (*links, "data.translated=0.5", "ssr.untranslated=0.3", "data.text_share=0.3", "trainer.steps=6")
    options += (f"ssr.reader={runs / 'seen'}", f"ssr.cache={runs / 'transcripts'}", "loss.distillation=0")
    options += (f"start.image_encoder={runs / 'seen'}", "trainer.log_every=1")
    whole, broken = (translator(runs, *options, run=name) for name in ("review-1", "review-2"))
    assert whole.model.text_decoder.dropout > 0
    train(whole)
    cut_at(broken, 3, "main")
    train(broken)
    for part in ("final", "checkpoints"):
        require_equal(runs / "review-1" / part, runs / "review-2" / part)
    entries = [json.loads(line) for line in (runs / "review-1" / "metrics.jsonl").read_text().splitlines()]
    shown = [{"text_only", "text", "image"} & set(entry) for entry in entries if "loss" in entry]
    assert len(shown) == 6  # of all three kinds of batches
    assert {"text_only"} in shown and {"text"} in shown and {"text", "image"} in shown
    assert "transcript_cer" in entries[-1]


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

    def watched(batch, optimizer, step):
        states.append((optimizer, copy(stage.image_tokenizer), copy(stage.discriminator)))
        return forward(batch, optimizer, step)

    monkeypatch.setattr(stage, "forward", watched)
    Trainer(stage, config.trainer, Path(config.run)).fit()
    states.append(("end", copy(stage.image_tokenizer), copy(stage.discriminator)))
    assert [optimizer for optimizer, _, _ in states] == ["generator", "discriminator"] * 3 + ["end"]

    def same(one: dict, other: dict) -> bool:
        return all(torch.equal(one[key], other[key]) for key in one)

    for (optimizer, generator, critic), (_, generator_after, critic_after) in itertools.pairwise(states):
        if optimizer == "generator":
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


@pytest.mark.parametrize(
    "name", sorted(set(STAGES) - {"pixel_baseline", "probe", "separator"})
)  # tested beside this file
def test_every_stage_learns_what_it_optimizes(name: str):
    stage = bare(name, "loss.distillation=0", "loss.ctc=1", "loss.quantise_from=0")
    assert isinstance(stage, TrainableStage)
    loss, report = stage(stage.dataset[0], next(iter(stage.optimized())), 5)
    loss.backward()
    assert loss.isfinite() and loss > 0
    assert all(not isinstance(value, torch.Tensor) or not value.requires_grad for value in report.values())
    parameters = [p for part in stage.optimized().values() for p in part]
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
    mask = translator_stage.drawing_mask(batch.target_characters)
    source = stage.translator.encode_image(batch.source_pixels)
    student = stage.translator(
        source,
        batch.target_input,
        batch.target_output != 0,
        image_ids=ids,
        characters=batch.target_characters,
        character_mask=mask,
        char_to_token=batch.char_to_token,
    )
    expected = losses.distillation(student.image, stage.teacher(ids, batch.target_characters, mask), 2.0)
    assert float(report["distillation"]) == pytest.approx(expected.item(), rel=1e-4)
    assert float(report["image"]) == pytest.approx(losses.image_cross_entropy(student.image, ids).item(), rel=1e-4)


DRAWING = ("loss.distillation=0", "loss.ocr=0", "loss.text=0", "loss.label_smoothing=0", "loss.image_smoothing=0")


def drawn(stage: TranslatorStage, batch: Batch, known: torch.Tensor | None = None):
    """Image token ids, and what the translator makes of a batch of which the last pages are masked."""
    ids = stage.translator.image_tokenizer.encode_to_ids(batch.target_pixels)
    output = stage.translator(
        stage.translator.encode_image(batch.source_pixels),
        batch.target_input,
        batch.translation_mask,
        image_ids=ids,
        known=known,
        characters=batch.target_characters,
        character_mask=translator_stage.drawing_mask(batch.target_characters),
        char_to_token=batch.char_to_token,
    )
    return ids, output


def masks(monkeypatch: pytest.MonkeyPatch, pages_to_mask: int) -> torch.Tensor:
    """The same random masks at every step: (pages, 16)."""
    known = losses.random_masks(pages_to_mask, 16)

    def given(count: int, length: int, device: torch.device) -> torch.Tensor:
        assert (count, length) == known.shape
        return known

    monkeypatch.setattr(losses, "random_masks", given)
    return known


@pytest.mark.parametrize(("share", "masked"), [(0.5, 3), (0.7, 4), (1, 6)])
def test_masked_pages_are_the_last_of_a_batch(monkeypatch: pytest.MonkeyPatch, share: float, masked: int):
    """Each page counts as much as any other, masked or not."""
    stage = bare("translator", *DRAWING, "loss.image=2", f"loss.masked={share}").eval()
    batch, known, first = stage.dataset[0], masks(monkeypatch, masked), 6 - masked
    loss, report = stage(batch, "main", 0)
    assert set(report) == ({"image", "image_masked"} if first else {"image_masked"})
    # What a page is scored does not depend on which others are masked.
    ids, output = drawn(stage, batch)
    memories_of = drawn(stage, batch, torch.cat((torch.zeros(first, 16, dtype=torch.bool), known)))[1]
    assert memories_of.image is None and memories_of.masked_image.shape == (6, 16, 24)
    hidden = losses.masked_cross_entropy(memories_of.masked_image[first:], ids[first:], known).item()
    assert float(report["image_masked"]) == pytest.approx(hidden, rel=1e-4)
    expected = 2 * masked / 6 * hidden
    if first:
        plain = losses.image_cross_entropy(output.image[:first], ids[:first]).item()
        assert float(report["image"]) == pytest.approx(plain, rel=1e-4)
        expected += 2 * first / 6 * plain
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_without_masked_pages_no_mask_is_drawn(monkeypatch: pytest.MonkeyPatch):
    """Not even a random number: earlier runs go on as they were."""
    monkeypatch.setattr(losses, "random_masks", None)
    stage = bare("translator", *DRAWING).eval()
    assert stage.config.loss.masked == 0
    batch, state = stage.dataset[0], torch.get_rng_state()
    loss, report = stage(batch, "main", 0)
    ids, output = drawn(stage, batch)
    assert set(report) == {"image"} and output.masked_image is None
    assert loss.item() == pytest.approx(losses.image_cross_entropy(output.image, ids).item(), rel=1e-5)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("other", ["image_cross_entropy", "masked_cross_entropy"])
def test_both_ways_of_drawing_are_learnt(monkeypatch: pytest.MonkeyPatch, other: str):
    """Each of the two losses reaches the decoder without the other's help."""
    stage = bare("translator", *DRAWING, "loss.masked=0.5")
    monkeypatch.setattr(losses, other, lambda logits, *_: logits.detach().sum() * 0)
    loss, _ = stage(stage.dataset[0], "main", 0)
    loss.backward()
    parameters = dict(stage.translator.image_decoder.named_parameters())
    missed = {name for name, p in parameters.items() if p.grad is None or not p.grad.any()}
    assert all("image_cross" in name for name in missed)  # it starts at zero and hides what lies behind it
    assert stage.translator.character_encoder.embedding.weight.grad.any()


@pytest.mark.parametrize("masked", [0.5, 1])
def test_masked_pages_are_not_distilled(runs: Path, monkeypatch: pytest.MonkeyPatch, masked: float):
    """What the teacher expects of a token has seen those before it, and no others."""
    others = ("loss.ocr=0", "loss.text=0", "loss.ctc=0")
    stage = build_stage(translator(runs, *others, f"loss.masked={masked}", "loss.temperature=2", run="masked")).eval()
    batch, count = stage.dataset[0], round(6 * masked)
    known, first = masks(monkeypatch, count), 6 - count
    _, report = stage(batch, "main", 0)
    assert ("distillation" in report) == ("image" in report) == bool(first)
    assert "image_masked" in report
    if first:
        ids, output = drawn(stage, batch, known)
        expected = stage.teacher(
            ids, batch.target_characters, translator_stage.drawing_mask(batch.target_characters), batch.source_pixels
        )
        kl = losses.distillation(output.image, expected[:first], 2.0).item()
        assert float(report["distillation"]) == pytest.approx(kl, rel=1e-4)


def test_distillation_counts_the_pages_that_it_sees(runs: Path, monkeypatch: pytest.MonkeyPatch):
    """Like the cross-entropy beside it: two of six pages weigh a third."""
    weights = ("loss.ocr=0", "loss.text=0", "loss.ctc=0", "loss.image=0.5", "loss.distillation=3")
    stage = build_stage(translator(runs, *weights, "loss.masked=0.667", run="share")).eval()
    masks(monkeypatch, 4)
    loss, report = stage(stage.dataset[0], "main", 0)
    parts = {name: float(value) for name, value in report.items()}
    expected = 0.5 * (2 * parts["image"] + 4 * parts["image_masked"]) / 6 + 3 * 2 / 6 * parts["distillation"]
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("masked", [0.5, 1])
def test_masked_prediction_is_learnt(monkeypatch: pytest.MonkeyPatch, masked: float):
    stage = bare("translator", *DRAWING, f"loss.masked={masked}").eval()
    batch, optimizer = stage.dataset[0], torch.optim.AdamW(stage.optimized()["main"], 1e-2)
    masks(monkeypatch, round(6 * masked))
    reports = []
    for _ in range(15):
        loss, report = stage(batch, "main", 0)
        reports.append({name: float(value) for name, value in report.items()})
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(reports[-1][name] < 0.7 * reports[0][name] for name in reports[0]), (reports[0], reports[-1])


def test_a_weight_of_zero_leaves_its_branch_out():
    stage = bare("translator", "loss.image=0", "loss.distillation=0", "loss.ocr=0", "loss.ctc=0")
    batch = stage.dataset[0]
    assert batch.target_pixels is None and batch.target_characters is None  # not even rendered
    loss, report = stage(batch, "main", 0)
    assert set(report) == {"text"}
    optimized = {id(parameter) for parameter in stage.optimized()["main"]}
    assert not optimized & {id(parameter) for parameter in stage.translator.image_decoder.parameters()}
    assert loss.item() == pytest.approx(float(report["text"]))


def test_the_text_decoder_may_transcribe_too():
    """In the text stage as a copy of the source text, in the translator from the page."""
    plain = ("loss.image=0", "loss.distillation=0", "loss.ocr=0", "loss.text=2", "loss.label_smoothing=0")
    for name in ("text", "translator"):
        stage = bare(name, *plain, "loss.transcription=0.5").eval()
        batch = stage.dataset[0]
        loss, report = stage(batch, "main", 0)
        model = stage.translator
        seen = model.encode_image(batch.source_pixels) if name == "translator" else None
        source = seen or model.encode_text(batch.source_pieces, batch.source_pieces != 0)
        logits, _ = model.text_decoder(batch.source_input, source.memory, source.mask)
        copied = losses.text_cross_entropy(logits, batch.source_output).item()
        assert set(report) == {"text", "transcription"}
        assert float(report["transcription"]) == pytest.approx(copied, rel=1e-5)
        weight = 2 if name == "translator" else 1
        assert loss.item() == pytest.approx(weight * float(report["text"]) + 0.5 * copied, rel=1e-5)


# --- self-distillation ------------------------------------------------------------------------------------------------

ITSELF = ("loss.image=0", "loss.distillation=0", "loss.ocr=0", "loss.text=0", "loss.label_smoothing=0")
OF_THE_STEP = (*ITSELF, "loss.self_distillation=1", "loss.self_distillation_from=step")


def talkative(*overrides: str) -> TranslatorStage:
    """A stage whose text mode has learnt a little, so that it writes different texts that end."""
    stage = bare("translator", *OF_THE_STEP, *overrides)
    assert isinstance(stage, TranslatorStage)
    batch, model = stage.dataset[0], stage.translator.eval()
    optimizer = torch.optim.AdamW([*model.text_encoder.parameters(), *model.text_decoder.parameters()], 2e-2)
    for _ in range(40):
        output = model(model.encode_text(batch.source_pieces, batch.source_pieces != PAD), batch.target_input)
        losses.text_cross_entropy(output.text, batch.target_output).backward()
        optimizer.step()
        optimizer.zero_grad()
    return stage


@torch.no_grad()
def said(stage: TranslatorStage, batch: Batch) -> list[list[int]]:
    """Text mode's greedy translations."""
    model = stage.translator.eval()
    source = model.encode_text(batch.source_pieces, batch.source_pieces != PAD)
    return generate_text(model.text_decoder, stage.vocabulary, source.memory, source.mask, "translate", "en").ids


def test_image_mode_is_taught_what_text_mode_says_itself():
    """By the weights of the step where that is asked for, and not the gold translation."""
    stage = talkative("loss.self_distillation_kl=2")
    batch, model = stage.dataset[1], stage.translator
    tags = [stage.vocabulary.tag("translate"), stage.vocabulary.tag("en")]
    first = said(stage, batch)
    assert len({tuple(ids) for ids in first}) > 1
    for scale in (1.0, 0.5):  # what is said changes with the weights
        with torch.no_grad():
            model.text_encoder.embedding.weight.mul_(scale)
            model.text_decoder.embedding.weight[len(tags) :: 2].mul_(scale)
        ids = said(stage, batch)
        given = pages.pad([[*tags, *row] for row in ids])
        wanted = pages.pad([[PAD, *row, EOS] for row in ids])
        assert not torch.equal(wanted, batch.target_output)
        loss, report = stage(batch, "main", 0)
        source = model.encode_image(batch.source_pixels)
        logits, _ = model.text_decoder(given, source.memory)
        text = model.encode_text(batch.source_pieces, batch.source_pieces != PAD)
        expected, _ = model.text_decoder(given, text.memory, text.mask)
        sequence = losses.text_cross_entropy(logits, wanted).item()
        log, other = logits.log_softmax(-1), expected.log_softmax(-1)
        token = (other.exp() * (other - log)).sum(-1)[wanted != PAD].mean().item()
        assert set(report) == {"self_distillation", "self_distillation_kl"}
        assert float(report["self_distillation"]) == pytest.approx(sequence, rel=1e-4)
        assert float(report["self_distillation_kl"]) == pytest.approx(token, rel=1e-3)
        assert loss.item() == pytest.approx(sequence + 2 * token, rel=1e-3)
    assert ids != first


def test_text_mode_gets_no_gradient_from_teaching():
    stage = talkative("loss.self_distillation_kl=1")
    loss, _ = stage(stage.dataset[0], "main", 0)
    loss.backward()
    model = stage.translator
    assert model.text_encoder.embedding.weight.grad is None  # the one table that text mode alone passes through
    assert model.image_encoder.vit.patch_embed.proj.weight.grad.any() and model.text_encoder.connector.weight.grad.any()
    _, _, expected = stage._text_mode_answers(stage.dataset[0])
    assert not expected.requires_grad


def test_text_mode_says_the_same_in_training():
    """Its answers know no dropout; after them everything trains, or is frozen, as before."""
    dropout = [f"model.{name}.dropout=0.5" for name in ("text_encoder", "text_decoder")]
    stage = talkative("loss.self_distillation_kl=1", "freeze=[text_encoder]", *dropout)
    batch, tags = stage.dataset[0], [stage.vocabulary.tag("translate"), stage.vocabulary.tag("en")]
    expected = said(stage, batch)
    stage.train()
    modes = {name: part.training for name, part in stage.named_modules()}
    assert not modes["translator.text_encoder"] and modes["translator.text_decoder.dropout"]
    for _ in range(2):
        given, _, _ = stage._text_mode_answers(batch)
        assert torch.equal(given, pages.pad([[*tags, *ids] for ids in expected]))
    first, second = (stage(batch, "main", 0)[0].item() for _ in range(2))
    assert first != second  # image mode does learn under dropout
    assert {name: part.training for name, part in stage.named_modules()} == modes


def test_image_mode_comes_nearer_to_text_mode():
    """On pages that are soon told apart; only image mode's own layers learn, so that the answers stay."""
    stage = talkative("loss.self_distillation=0", "loss.self_distillation_kl=1").eval()
    model, batch = stage.translator, stage.dataset[0]
    batch.source_pixels = torch.rand(batch.source_pixels.shape, generator=torch.Generator().manual_seed(0))
    taught = [*model.image_encoder.parameters(), *model.text_encoder.connector.parameters()]
    optimizer = torch.optim.AdamW([*taught, model.text_encoder.image_positions], 1e-2)
    distances = []
    for _ in range(12):
        loss, report = stage(batch, "main", 0)
        distances.append(float(report["self_distillation_kl"]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert distances[-1] < 0.2 * distances[0]


def test_the_start_goes_on_teaching(runs: Path):
    """Unless it is asked for otherwise, the answers are those of text mode before the run, whatever becomes of it."""
    start = [f"start.text_{name}={runs / 'text'}" for name in ("encoder", "decoder")]
    config = translator(runs, *ITSELF, "loss.self_distillation_kl=1", *start, "trainer.steps=3", run="taught")
    stage = build_stage(config)
    assert isinstance(stage, TranslatorStage) and stage.own_teacher is not None
    batch = stage.dataset[0]
    text, logits = (stage.eval()._text_mode_answers(batch)[place] for place in (0, 2))
    assert torch.equal(text, pages.pad([[*text[0, :2].tolist(), *ids] for ids in said(stage, batch)]))  # at the start
    before = {name: tensor.clone() for name, tensor in stage.own_teacher.state_dict().items()}
    trained = {id(parameter) for parameter in stage.optimized()["main"]}
    assert not trained & {id(parameter) for parameter in stage.own_teacher.parameters()}
    Trainer(stage, config.trainer, Path(config.run)).fit()
    stage.train()
    assert not any(part.training for part in stage.own_teacher.modules())
    with torch.no_grad():
        stage.translator.text_decoder.embedding.weight.normal_()
    again, same = (stage._text_mode_answers(batch)[place] for place in (0, 2))
    assert torch.equal(again, text) and torch.equal(same, logits)
    after = stage.own_teacher.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert not list(resolve(runs / "taught").glob("*teacher*"))
    message = refusal(translator(runs, *ITSELF, "loss.self_distillation=1", run="none"))
    assert "start.text_encoder=RUN" in message and "loss.self_distillation_from=step" in message


# --- self-review ------------------------------------------------------------------------------------------------------


def test_self_review_is_learnt(runs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Reader, "transcribe", misread)
    options = ("loss.image=0", "loss.distillation=0", "loss.ocr=0", "loss.ctc=0", f"ssr.cache={runs / 'learnt'}")
    train(translator(runs, *options, "trainer.steps=1", run="beginner"))
    config = translator(
        runs,
        *options,
        f"ssr.reader={runs / 'beginner'}",
        "trainer.steps=30",
        "trainer.learning_rate=3e-2",
        "data.translated=0.6",
        run="learnt",
    )
    stage = build_stage(config).eval()
    batches = [stage.dataset[i] for i in range(1000, 1006)]
    assert len({batch.translation_mask.any().item() for batch in batches}) == 2  # with a translation and without
    before = [stage(batch, "main", 0)[0].item() for batch in batches]
    metrics = Trainer(stage, config.trainer, Path(config.run)).fit()
    stage.eval()
    after = [stage(batch, "main", 0)[0].item() for batch in batches]
    assert all(late < 0.8 * early for early, late in zip(before, after, strict=True))
    assert set(metrics) == {"bleu", "reading_cer", "transcript_cer"}


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


def test_tables_are_told_apart_by_their_kind_not_by_their_size():
    """A vocabulary with as many pieces as characters: pieces go to pieces, characters to characters."""
    theirs = Vocabulary.build(TEXTS, subwords=Vocabulary.build(TEXTS).character_count)
    own = Vocabulary.build([*TEXTS, "xyzéàüß qqq qqq"], subwords=len(theirs) + 5)
    assert len(theirs) == theirs.character_count and own.piece_names() != own.character_names()
    for module, tables in (
        (nn.Sequential(nn.Embedding(len(own), 3)), {"0.weight": (1, "piece_names", len(theirs))}),
        (
            nn.Sequential(CtcHead(3, own.character_count, 2)),
            {f"0.out.{kind}": (2, "character_names", theirs.character_count) for kind in ("weight", "bias")},
        ),
    ):
        given = {
            key: torch.randn(frames * entries, *module.state_dict()[key].shape[1:])
            for key, (frames, _, entries) in tables.items()
        }
        load_mapped(module, given, own, theirs)
        for key, (frames, names, _) in tables.items():
            places = {name: place for place, name in enumerate(getattr(theirs, names)())}
            target = module.state_dict()[key].unflatten(0, (frames, -1))
            source = given[key].unflatten(0, (frames, -1))
            known = [(row, places[name]) for row, name in enumerate(getattr(own, names)()) if name in places]
            assert len(known) > 10 and any(row != place for row, place in known)
            assert all(torch.equal(target[:, row], source[:, place]) for row, place in known)
