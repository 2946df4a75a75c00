"""Text mode as a whole can be frozen: image mode is then taught beside it, and text mode stays the same to the bit."""

from pathlib import Path

import pytest
import torch

from tests.small import PAIRS, small, small_vocabulary, write_corpus
from translatotron_v.data.vocabulary import PAD
from translatotron_v.errors import UserError
from translatotron_v.models.text_decoder import TextEncoder
from translatotron_v.training.build import build_stage
from translatotron_v.training.stages import stage_class
from translatotron_v.training.trainer import Trainer

NO_PICTURE = ("loss.image=0", "loss.distillation=0", "loss.ocr=0", "trainer.weight_decay=0.5")


@pytest.mark.parametrize("options", [(), ("model.tie_embeddings=true",), ("model.connector=read",)])
def test_text_mode_stays_and_image_mode_learns(tmp_path: Path, options: tuple[str, ...]):
    data = f"data.folder={write_corpus(tmp_path / 'corpus')}"
    dropout = ("model.text_encoder.dropout=0.5", "model.text_decoder.dropout=0.5")
    config = small(
        "stage=translator", data, f"run={tmp_path / 'run'}", "freeze=[text_mode]", *NO_PICTURE, *dropout, *options
    )
    stage = build_stage(config)
    model = stage.translator
    pieces, given = (torch.tensor([[4, 5, 6, 2, 0], [7, 8, 2, 0, 0]]) for _ in range(2))

    def text_mode() -> torch.Tensor:
        stage.eval()
        return model(model.encode_text(pieces, pieces != PAD), given).text

    before, begun = text_mode(), {key: tensor.clone() for key, tensor in model.state_dict().items()}
    Trainer(stage, config.trainer, tmp_path / "run").fit()
    assert torch.equal(text_mode(), before)
    changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, begun[key])}
    own = {key for key in changed if key.startswith("text_encoder.")}
    assert own and all(key.removeprefix("text_encoder.").startswith(TextEncoder.IMAGE_MODE_ONLY) for key in own)
    assert any(key.startswith("image_encoder.") for key in changed)
    assert not any(key.startswith("text_decoder.") for key in changed)
    stage.train()
    assert not model.text_decoder.training and not model.text_encoder.training and model.image_encoder.training


def test_a_stage_without_text_mode_says_so():
    for options in (("stage=reader",), ("stage=translator", "model.text_encoder.layers=0")):
        config = small(*options, "freeze=[text_mode]")
        with pytest.raises(UserError, match="no text mode to freeze; it has"):
            stage_class(config.stage)(config, small_vocabulary(), PAIRS, PAIRS[:4])
