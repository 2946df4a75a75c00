"""The registry of stages: what it lists, that it is light, and what settings it refuses."""

import subprocess
import sys
from dataclasses import replace

import pytest

from translatotron_v.config import ConfigError, load_config
from translatotron_v.training.command import load_stage
from translatotron_v.training.stages import STAGES, check_stage, stage_class
from translatotron_v.training.stages.base import Stage


def refusal(*settings: str) -> str:
    """The message of the ConfigError, which must be one line."""
    config = load_config(None, settings)
    with pytest.raises(ConfigError) as caught:
        check_stage(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(STAGES))
def test_every_name_has_a_class(name: str):
    found = stage_class(name)
    assert issubclass(found, Stage) and found.__name__ == STAGES[name].cls
    assert found.__module__ == f"translatotron_v.training.stages.{STAGES[name].module}"
    settings = ["model.pixel_baseline.segment=[16,8]"] if name == "pixel_baseline" else []
    check_stage(load_config(None, [f"stage={name}", *settings]))


def test_names_cost_no_torch():
    code = "import sys, translatotron_v.training.stages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_unknown_stage_names_all():
    everything = "separator, tokenizer, reader, text, teacher, translator, pixel_baseline or probe"
    assert refusal("stage=painter") == f"stage must be {everything}, not painter"


@pytest.mark.parametrize("stage", sorted(name for name, entry in STAGES.items() if entry.losses))
def test_a_stage_with_nothing_to_learn_is_refused(stage: str):
    names = STAGES[stage].losses
    zero = [f"loss.{name}=0" for name in names]
    message = refusal(f"stage={stage}", *zero)
    assert message.startswith(f"loss: nothing to train the stage '{stage}' on") and names[0] in message
    check_stage(load_config(None, [f"stage={stage}", f"loss.{names[0]}=1", *zero[1:]]))


def test_settings_that_the_stage_does_not_have_are_refused():
    no_text_mode = "data.text_share: the stage 'tokenizer' has no text mode; reader, text, translator have"
    assert refusal("stage=tokenizer", "data.text_share=.1") == no_text_mode
    assert "data.text_share: the stage 'teacher'" in refusal("data.text_share=.1", "stage=teacher")
    assert "ssr.reader: the stage 'text' writes no answer" in refusal("stage=text", "ssr.reader=runs/reader")
    assert "model.pixel_baseline.segment 32x8 does not divide" in refusal("stage=pixel_baseline")


def test_the_command_checks_before_any_work(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("stage: teacher\ndata: {text_share: 0.5}\n")
    with pytest.raises(ConfigError, match="has no text mode"):
        load_stage("teacher", file, [])
    assert check_stage(replace(load_config(None, ["stage=text"]))) is None
