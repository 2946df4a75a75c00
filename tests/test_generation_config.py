"""The options of one call: one set of names, one place that checks them, and what is put over what weights say."""

import math
from dataclasses import fields
from typing import Any

import pytest
from PIL import Image

from tests.inference.fakes import FakeGenerate, fake_translator
from translatotron_v import cli
from translatotron_v.errors import UserError
from translatotron_v.generation_config import GenerationConfig, GenerationOptions, check_option
from translatotron_v.inference.glossary import Glossary


def test_keywords_are_the_fields():
    assert set(GenerationOptions.__annotations__) == {field.name for field in fields(GenerationConfig)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 0}, "beams must lie in 1..1,024, not 0"),
        ({"top_k": 0}, "top_k must lie in 1..1,000,000,000, not 0"),
        ({"temperature": 0.0}, "temperature must lie in (0, 1,000,000], not 0.0"),
        ({"temperature": math.nan}, "temperature must lie in (0, 1,000,000], not nan"),
        ({"image_steps": -1}, "image_steps must lie in 0..1,000,000,000, not -1"),
        ({"seed": -1}, "seed must lie in 0..4,294,967,295, not -1"),
        ({"min_confidence": 1.1}, "min_confidence must lie in 0..1, not 1.1"),
        ({"beams": 1.5}, "beams must be of the type int, not 1.5"),
        ({"glossary": 3}, "glossary must be of the type Annotator, not 3"),
        ({"image_steps": 4, "top_k": 2}, "parallel decoding (image_steps 4) is greedy; take image_steps 0 with top_k"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(options: dict[str, Any], message: str):
    with pytest.raises(UserError) as caught:
        GenerationConfig(**options)
    assert str(caught.value) == message


def test_a_single_option_is_checked_as_in_the_set():
    check_option("beams", 1024)
    with pytest.raises(UserError, match=r"^beams must lie in 1\.\.1,024, not 1025$"):
        check_option("beams", 1025)


def test_what_is_asked_for_is_put_over_what_the_weights_say():
    own = GenerationConfig("de", "en", beams=4, image_steps=8)
    assert own.updated(beams=None, seed=3) == GenerationConfig("de", "en", beams=4, image_steps=8, seed=3)
    assert own.updated(top_k=5) == GenerationConfig("de", "en", beams=4, top_k=5)  # sampling goes token by token
    glossary = Glossary([("Hund", "hound")])
    assert own.updated(glossary=glossary).glossary is glossary
    with pytest.raises(TypeError, match="beam"):
        own.updated(beam=2)  # type: ignore[call-arg]


def test_a_set_and_keywords_reach_the_decoders():
    generate = FakeGenerate()
    translator = fake_translator(generate)
    translator(Image.new("L", (256, 48), 255), GenerationConfig(beams=3, seed=1))
    translator(Image.new("L", (256, 48), 255), generation=GenerationConfig(beams=3), beams=2, target_language="de")
    assert [asked for _, asked in generate.calls] == [
        GenerationConfig("de", "en", beams=3, seed=1),
        GenerationConfig("de", "de", beams=2),
    ]


@pytest.mark.parametrize("command", ["translate", "demo"])
def test_help_shows_the_defaults(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    for said in (
        "greedy (as the weights say)",
        "best K (1)",
        "of that sampling (1.0)",
        "probability (0: translate all)",
    ):
        assert said in printed
