"""Our vision transformer against timm's: the same names, the same start, the same numbers."""

import pytest
import timm
import torch

from translatotron_v.models.vit import PatchEmbedding, VisionTransformer


@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_it_is_timms(class_token: bool, dropout: float):
    torch.manual_seed(1)
    ours = VisionTransformer(PatchEmbedding, (16, 24), (8, 4), 3, 16, 4, 2, dropout, class_token)
    torch.manual_seed(1)
    theirs = timm.models.VisionTransformer(
        img_size=(16, 24), patch_size=(8, 4), in_chans=3, num_classes=0, global_pool="", embed_dim=16, depth=2,
        num_heads=4, class_token=class_token, pos_drop_rate=dropout, proj_drop_rate=dropout,
    )  # fmt: skip
    weights = ours.state_dict()
    assert weights.keys() == theirs.state_dict().keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in theirs.state_dict().items())
    for parameter, twin in zip(ours.parameters(), theirs.parameters(), strict=True):
        with torch.no_grad():
            parameter.copy_(torch.randn_like(parameter) / 4)
            twin.copy_(parameter)
    pixels = torch.rand(3, 3, 16, 24)
    for model in (ours, theirs):
        model.eval()
    made = ours.norm(ours.blocks(ours.embed(pixels)))
    torch.testing.assert_close(made, theirs.forward_features(pixels))
    assert made.shape == (3, 12 + class_token, 16)


def test_dropout_is_where_timm_has_it():
    parts = VisionTransformer(PatchEmbedding, (8, 8), (4, 4), 1, 8, 2, 1, 0.5, False)
    theirs = timm.models.VisionTransformer(
        img_size=8, patch_size=4, in_chans=1, num_classes=0, embed_dim=8, depth=1, num_heads=2, class_token=False,
        global_pool="", pos_drop_rate=0.5, proj_drop_rate=0.5,
    )  # fmt: skip
    rates = [
        {name for name, part in model.named_modules() if isinstance(part, torch.nn.Dropout) and part.p}
        for model in (parts, theirs)
    ]
    assert rates[0] == rates[1] == {"pos_drop", "blocks.0.attn.proj_drop", "blocks.0.mlp.drop1", "blocks.0.mlp.drop2"}
