"""A language is added to a vocabulary: weights from before fill the larger model, and answer as they did."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.small import TEXTS, small
from translatotron_v.checkpoint import save_checkpoint
from translatotron_v.config import to_yaml
from translatotron_v.data.vocabulary import PAD, Vocabulary
from translatotron_v.decoding.text import translate_pieces
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training.stages.base import start_module


@pytest.mark.parametrize("overrides", [[], ["model.tie_embeddings=true"]], ids=["two tables", "one table"])
def test_old_weights_answer_the_same(tmp_path: Path, overrides: list[str]):
    old = Vocabulary.build(TEXTS, 60, marks=True)
    config = small(*overrides)
    torch.manual_seed(0)
    before = TranslatotronV(config.model, len(old), old.character_count).eval()
    names = ("text_encoder", "text_decoder", "ctc_head", "character_encoder")
    modules = {name: getattr(before, name) for name in names}
    texts = {"config.yaml": to_yaml(config), "vocabulary.json": old.to_json()}
    save_checkpoint(tmp_path / "run" / "final", modules, texts, {"step": 1, "steps": 1})

    new = old.with_language("pt")
    settings = replace(config.model.vocabulary, languages=[*config.model.vocabulary.languages, "pt"])
    model = replace(config.model, vocabulary=settings)
    torch.manual_seed(1)
    after = TranslatotronV(model, len(new), new.character_count).eval()
    for name in names:
        start_module(getattr(after, name), name, str(tmp_path / "run"), new, map_vocabulary=True)

    pieces = [new.encode(text) for text in TEXTS]
    assert pieces == [old.encode(text) for text in TEXTS]
    for beams in (1, 3):
        one, other = (translate_pieces(m, v, pieces, "en", beams) for m, v in ((before, old), (after, new)))
        assert one.texts == other.texts and one.ids == other.ids
    ids = torch.tensor([[new.tag("translate"), new.tag("pt"), *pieces[0]]])
    source = after.encode_text(ids[:, 2:], ids[:, 2:] != PAD)
    logits, _ = after.text_decoder(ids, source.memory, source.mask)
    assert logits.shape[-1] == len(old) + 1  # the new tag can be asked for, and then be trained
