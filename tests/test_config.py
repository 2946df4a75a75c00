"""Settings: what is refused and how, layering of files and overrides, and that a run's settings survive being saved."""

from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from translatotron_v.config import Config, ConfigError, ModelConfig, config_from_text, load_config, to_yaml
from translatotron_v.ranges import sections


def refusal(*overrides: str, path: Path | None = None) -> str:
    """The message of the ConfigError, which must be one line."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("setting", "nearest"),
    [
        ("trainer.step=5", "trainer.steps"),
        ("trainer.learningrate=1", "trainer.learning_rate"),
        ("model.tokeniser.codes=4", "model.tokenizer"),
        ("modle.canvas.height=4", "model"),
        ("loss.imgae=1", "loss.image"),
        ("steps=5", "trainer.steps"),  # the right name without its section
    ],
)
def test_an_unknown_key_names_the_nearest(setting: str, nearest: str):
    message = refusal(setting)
    assert message.startswith(f"{setting}: unknown key")
    assert message.endswith(f"the nearest is '{nearest}'")


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("trainer.steps=many", "trainer.steps"),
        ("trainer.steps=1.5", "trainer.steps"),
        ("page.lower_case=perhaps", "page.lower_case"),
        ("model.canvas=big", "model.canvas"),
        ("trainer.betas=0.9", "trainer.betas"),
        ("model.image_encoder.patch=[a,b]", "model.image_encoder.patch"),
    ],
)
def test_a_value_of_the_wrong_type_names_its_key(setting: str, named: str):
    assert named in refusal(setting)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("model.canvas.channels=2", "model.canvas.channels"),
        ("model.canvas.height=0", "model.canvas.height must lie in 1..16,384, not 0"),
        ("model.image_encoder.ocr_layer=5", "ocr_layer must be 1 to 4"),
        ("model.image_encoder.patch=[16]", "model.image_encoder.patch"),
        ("model.image_encoder.patch=[16,7]", "16x7 does not divide the canvas 48x256"),
        ("model.tokenizer.patch=[10,4]", "model.tokenizer.patch 10x4"),
        ("model.tokenizer.encoder=cnn", "model.tokenizer.encoder"),
        ("model.text_decoder.heads=5", "model.text_decoder.width 192 must be a multiple of model.text_decoder.heads 5"),
        ("model.text_decoder.heads=0", "model.text_decoder.heads must lie in 1..256, not 0"),
        ("model.image_encoder.heads=5", "model.image_encoder.width 192 must be a multiple"),
        ("model.tokenizer.heads=3", "model.tokenizer.width 128 must be a multiple"),
        ("model.text_decoder.dropout=1.0", "model.text_decoder.dropout must lie in [0, 1), not 1.0"),
        ("model.teacher_encoder.dropout=-.5", "model.teacher_encoder.dropout must lie in [0, 1), not -0.5"),
        ("model.image_decoder.kv_heads=3", "model.image_decoder.heads 4 must be a multiple of"),
        ("model.text_encoder.feed_forward=-1", "model.text_encoder.feed_forward must lie in 1..16,384, not -1"),
        (
            "model.image_encoder.layers=1099511627776",
            "model.image_encoder.layers must lie in 1..256",
        ),
        (
            "model.image_encoder.patch=[-1,8]",
            "model.image_encoder.patch has an entry that must lie in 1..",
        ),
        ("model.pixel_baseline.segment=[]", "model.pixel_baseline.segment needs 2 entries, not 0: []"),
        ("model.discriminator.layers=40", "model.discriminator.layers must lie in 1..8, not 40"),
        ("page.fonts=[{}]", "page.fonts has an entry that must be of the type str, not {}"),
        ("page.fonts=[]", "page.fonts needs at least 1 entries"),
        ("page.source_sizes=[9]", "page.source_sizes needs 0 or 2 entries, not 1: [9]"),
        ("page.source_sizes=[9,8]", "page.source_sizes: the smallest size comes first"),
        ('page.fonts=["a\\0b"]', "page.fonts has an entry that must be text without zero bytes"),
        ("data.validation_limit=0", "data.validation_limit"),
        ("loss.temperature=0", "loss.temperature must lie in (0, 1,000,000], not 0"),
        ("trainer.learning_rate=-1", "trainer.learning_rate must lie in 0..1,000,000, not -1"),
        ("trainer.learning_rate=nan", "trainer.learning_rate must lie in 0..1,000,000, not nan"),
        ("trainer.clip=inf", "trainer.clip must lie in 0..1,000,000, not inf"),
        ("trainer.seed=-1", "trainer.seed must lie in 0..4,294,967,295, not -1"),
        ("trainer.betas=[0.9,1.0]", "trainer.betas has an entry that must lie in [0, 1), not 1.0"),
        ("trainer.minutes=nan", "trainer.minutes"),
        ("model.image_decoder.fusion=sometimes", "gated, add, concat, text or image"),
        ("model.image_decoder.fusion_start=left", "fusion_start must be text or even"),
        ("model.character_encoder.layers=0", "model.character_encoder"),
        ("data.spans=1.5", "data.spans"),
        ("data.shuffled=-0.1", "data.shuffled"),
        ("data.translated=1.1", "data.translated"),
        ("data.text_share=1.5", "data.text_share"),
        ("data.text_share=-0.1", "data.text_share"),
        ("data.skip=-1", "data.skip"),
        ("data.limit=-1", "data.limit"),
        ("ssr.untranslated=2", "ssr.untranslated"),
        ("ssr.dropped=1.5", "ssr.dropped must lie in 0..1, not 1.5"),
        ("ssr.weight=-0.1", "ssr.weight"),
        ("trainer.cpu_seconds=0", "trainer.cpu_seconds"),
        ("model.image_encoder.fuse_by=sum", "model.image_encoder.fuse_by must be add or concat, not sum"),
        ("model.image_encoder.fuse=[4]", "block 4 cannot be fused; it must be 1 to 3"),
        ("model.image_encoder.fuse=[2,0]", "block 0 cannot be fused"),
        ("model.image_encoder.fuse=[1,2,1]", "twice: [1, 2, 1]"),
        ("model.image_encoder.detach=[1]", "block 1 is not fused"),
        ("loss.image=-1", "loss.image"),
        ("loss.masked=1.1", "loss.masked must lie in 0..1, not 1.1"),
        ("loss.masked=-0.1", "loss.masked must lie in 0..1, not -0.1"),
        ("model.image_decoder.passes=-1", "model.image_decoder.passes must lie in 0..1,000,000,000, not -1"),
        ("loss.self_distillation_from=end", "loss.self_distillation_from must be start or step, not end"),
        ("trainer.steps=0", "trainer.steps"),
        ("trainer.minutes=0", "trainer.minutes"),
        ("trainer.keep=0", "trainer.keep"),
        ("trainer.betas=[0.9]", "trainer.betas"),
        ("trainer.ema=1.0", "trainer.ema"),
        ("trainer.decay=linear", "trainer.decay"),
        ("trainer.precision=fp8", "trainer.precision"),
        ("trainer.device=tpu", "trainer.device"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(setting: str, named: str):
    assert named in refusal(setting)


def bounds_of(hint: object) -> bool:
    """Whether a field's type says what it may be."""
    parts = [hint, *get_args(hint)]
    return any(getattr(part, "__metadata__", ()) for part in parts)


def test_every_number_has_a_range():
    """A new setting cannot come without one: no number that is not finite, no size that memory cannot hold."""
    open_ended = {"model.canvas.channels", "model.image_encoder.fuse", "model.image_encoder.detach"}  # checked by hand
    for key, section in sections(Config()):
        for name, hint in get_type_hints(type(section), include_extras=True).items():
            full = f"{key}.{name}".removeprefix(".")
            numbers = "int" in repr(hint) or "float" in repr(hint)
            assert bounds_of(hint) or not numbers or full in open_ended, full


def test_settings_that_do_not_go_together_are_refused():
    assert "block 3 is not fused" in refusal("model.image_encoder.fuse=[1,2]", "model.image_encoder.detach=[1,3]")
    assert "data.text_languages: 'fr' is not in" in refusal("stage=text", "data.text_languages=[en,fr]")
    review, no_text = ("stage=translator", "ssr.reader=runs/reader"), "model.text_encoder.layers=0"
    assert "data.both_languages=false" in refusal(*review, "data.both_languages=true")
    assert "page.source_sizes=[8,40]" in refusal("data.degraded=0.5", "page.source_sizes=[]")
    assert "set data.degraded=0" in refusal(*review, "data.degraded=0.5", "page.source_sizes=[8,40]")
    assert "loss.self_distillation_kl=0" in refusal(*review, "loss.self_distillation_kl=1")
    assert "model.text_encoder.layers is 0" in refusal("stage=translator", no_text, "data.text_share=0.1")
    assert "model.text_encoder.layers is 0" in refusal("stage=translator", no_text, "loss.self_distillation=1")


@pytest.mark.parametrize("setting", ["trainer.steps", "=5", "trainer.steps:5"])
def test_what_is_no_setting(setting: str):
    assert "key=value" in refusal(setting)


def test_files_are_laid_over_their_base_and_settings_over_both(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "bottom.yaml").write_text("model: {canvas: {height: 96, width: 64}}\ntrainer: {steps: 1, keep: 7}\n")
    (tmp_path / "middle.yaml").write_text("base: bottom.yaml\ntrainer: {steps: 2, seed: 5}\n")
    (tmp_path / "sub" / "top.yaml").write_text(
        "base: ../middle.yaml\nstage: text\ntrainer: {steps: 3}\nstart: {text_encoder: runs/a}\n"
    )
    config = load_config(tmp_path / "sub" / "top.yaml", ["trainer.threads=2", "start.text_decoder=runs/b", "run=x=y"])
    assert (config.model.canvas.height, config.model.canvas.width, config.model.canvas.channels) == (96, 64, 1)
    assert (config.trainer.steps, config.trainer.keep, config.trainer.seed, config.trainer.threads) == (3, 7, 5, 2)
    assert config.start == {"text_encoder": "runs/a", "text_decoder": "runs/b"}
    assert (config.stage, config.run) == ("text", "x=y")
    assert load_config(tmp_path / "middle.yaml", ["trainer.steps=9"]).trainer.steps == 9


def test_an_empty_value_empties_a_text(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("vocabulary: runs/text\n")
    assert load_config(tmp_path / "a.yaml", ["vocabulary="]).vocabulary == ""


def test_files_that_cannot_be_used(tmp_path: Path):
    assert "no such config file" in refusal(path=tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n- 2\n")
    assert "keys and values" in refusal(path=tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("model: {canvas: [\n")
    assert "broken.yaml: not a YAML file" in refusal(path=tmp_path / "broken.yaml")
    (tmp_path / "orphan.yaml").write_text("base: gone.yaml\n")
    assert "gone.yaml" in refusal(path=tmp_path / "orphan.yaml")
    (tmp_path / "typo.yaml").write_text("trainer: {stepps: 3}\n")
    message = refusal(path=tmp_path / "typo.yaml")
    assert "typo.yaml" in message and "'trainer.steps'" in message
    (tmp_path / "value.yaml").write_text("trainer: {steps: lots}\n")
    message = refusal(path=tmp_path / "value.yaml")
    assert "value.yaml" in message and "trainer.steps" in message


def test_bases_that_name_each_other_are_refused(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    assert "is its own base" in refusal(path=tmp_path / "a.yaml")


def test_yaml_round_trip():
    config = load_config(
        None,
        [
            "stage=teacher",
            "trainer.learning_rate=3e-4",
            "trainer.minutes=2.5",
            "start.image_tokenizer=runs/ä b#other",
            "freeze=[image_encoder]",
            "page.fonts=[DejaVuSans,FiraGO-Regular]",
            "model.image_encoder.stem=[16,16]",
        ],
    )
    text = to_yaml(config)
    assert config_from_text(text, "config.yaml") == config
    assert "learning_rate: 0.0003" in text


def test_a_saved_text_is_checked_too():
    with pytest.raises(ConfigError, match=r"c\.yaml: unknown key 'trainer\.stps'; the nearest is 'trainer\.steps'"):
        config_from_text("trainer: {stps: 4}", "c.yaml")
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        config_from_text("trainer: {steps: four}", "c.yaml")


def test_defaults_are_valid_and_not_shared():
    one, other = Config(), Config()
    one.model.canvas.height = 5
    one.page.fonts.append("x")
    assert other.model.canvas.height == 48 and other.page.fonts == ["DejaVuSans"]


def test_the_token_grid_follows_the_patches():
    config = load_config(None, ["model.canvas.height=64", "model.canvas.width=512", "model.tokenizer.patch=[8,16]"])
    assert config.model.token_grid == (8, 32)
    assert ModelConfig().token_grid == (3, 64)
