"""Sizes: the paper's, and those of every configuration that is shipped."""

from pathlib import Path

import pytest
import torch
import yaml

from translatotron_v.config import load_config
from translatotron_v.data.vocabulary import characters_of_blocks
from translatotron_v.models.parameters import module_sizes, parameter_table
from translatotron_v.models.teacher import TextToImage
from translatotron_v.models.translator import TranslatotronV

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

PAPER = {"image_encoder": 86.4e6, "text_decoder": 36.0e6, "image_decoder": 39.5e6, "ocr_head": 5.4e6}


@pytest.fixture(scope="module")
def paper() -> dict[str, int]:
    config = load_config(CONFIGS / "paper" / "translator.yaml")
    return {row.name: row.parameters for row in module_sizes(config)}


@pytest.mark.parametrize(("module", "parameters"), PAPER.items())
def test_the_paper_sizes_within_two_percent(paper: dict[str, int], module: str, parameters: float):
    assert paper[module] == pytest.approx(parameters, rel=0.02)


def test_the_paper_has_neither_text_mode_nor_character_encoder(paper: dict[str, int]):
    assert "character_encoder" not in paper
    assert "ctc_head" not in paper
    assert paper["text_encoder"] < 1e5


def test_the_paper_grid_is_1024_tokens_of_8192_codes():
    config = load_config(CONFIGS / "paper" / "translator.yaml")
    assert config.model.token_grid == (32, 32)
    assert (config.model.tokenizer.codes, config.model.tokenizer.code_width) == (8192, 64)
    assert config.trainer.batch_size * config.trainer.accumulate == 80


def test_tiny_is_small_enough_to_ship():
    rows = module_sizes(load_config(CONFIGS / "tiny" / "model.yaml"))
    shipped = [row for row in rows if row.name not in ("teacher", "discriminator")]
    assert sum(row.parameters + row.buffers for row in shipped) * 2 < 22e6  # bytes in half precision


STEPS = yaml.safe_load((CONFIGS / "small_en_de" / "recipe.yaml").read_text(encoding="utf-8"))["steps"]
DIRECTIONS = [CONFIGS / "small" / "model.yaml", *(CONFIGS / "small_en_de" / f"{step}.yaml" for step in STEPS)]


@pytest.mark.parametrize("path", DIRECTIONS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_small_is_within_its_bounds(path: Path):
    """In both directions; of the other one in every stage."""
    config = load_config(path)
    characters = len(characters_of_blocks(config.model.vocabulary.characters)) + 31  # the specials come first
    rows = module_sizes(config, characters=characters)
    shipped = [row for row in rows if row.name not in ("teacher", "discriminator")]
    assert sum(row.parameters + row.buffers for row in shipped) * 2 < 42.2e6  # bytes in half precision
    needed = [row for row in shipped if row.used.startswith("inference")]
    assert sum(row.parameters + row.buffers for row in needed) < 21e6
    assert config.stage != "translator" or "ctc_head" in {row.name for row in needed}  # what it reads is translated


def test_the_table_names_every_module_and_sums():
    config = load_config(CONFIGS / "debug" / "model.yaml")
    rows = module_sizes(config, pieces=50, characters=40)
    lines = parameter_table(config, pieces=50, characters=40).splitlines()
    assert [line.split()[0] for line in lines[1:-2]] == [row.name for row in rows]
    needed = sum(row.parameters for row in rows if row.used.startswith("inference"))
    assert f"{needed / 1e6:.2f} M" in lines[-2]
    assert f"{sum(row.parameters for row in rows) / 1e6:.2f} M" in lines[-1]


def test_a_larger_vocabulary_adds_rows_to_the_tables_alone():
    config = load_config(CONFIGS / "debug" / "model.yaml")
    fewer, more = ({row.name: row.parameters for row in module_sizes(config, pieces, 40)} for pieces in (50, 51))
    model = config.model
    assert more["text_decoder"] - fewer["text_decoder"] == model.text_decoder.width
    assert more["text_encoder"] - fewer["text_encoder"] == model.text_encoder.width
    assert more["image_decoder"] == fewer["image_decoder"]


def test_the_paper_sizes_fit_together():
    """A teacher-forced pass at full size on the meta device: shapes alone, no memory."""
    model = load_config(CONFIGS / "paper" / "translator.yaml").model
    with torch.device("meta"):
        translator, teacher = TranslatotronV(model, 256, 256).eval(), TextToImage(model, 256).eval()
        pixels = torch.zeros(2, 3, 512, 512)
        text, mask = torch.zeros(2, 150, dtype=torch.long), torch.ones(2, 150, dtype=torch.bool)
        ids = torch.zeros(2, 1024, dtype=torch.long)
        source = translator.encode_image(pixels)
        output = translator(source, text, mask, ocr_input=text, image_ids=ids, characters=text, char_to_token=text,
                            character_mask=mask)  # fmt: skip
        expected = teacher(ids, text, mask, pixels)
        drawn = translator.image_tokenizer.decode(torch.zeros(2, 1024, 64))
    assert source.memory.shape == (2, 1025, 768)  # the class token first
    assert output.text is not None and output.text.shape == (2, 150, 256)
    assert output.ocr is not None and output.ocr.shape == (2, 150, 256)
    assert output.image is not None and output.image.shape == expected.shape == (2, 1024, 8192)
    assert drawn.shape == pixels.shape


def test_the_pixel_level_baseline_is_counted_alone():
    (row,) = module_sizes(load_config(CONFIGS / "small" / "pixel_baseline.yaml"))
    assert (row.name, row.used) == ("pixel_baseline", "inference") and 4e6 < row.parameters < 6e6 and row.buffers == 0
