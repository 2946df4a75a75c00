"""Merging of weights: closed forms, what stays the first checkpoint's, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.small import enliven, small, small_vocabulary
from translatotron_v.checkpoint import load_tensors, read_info, save_checkpoint
from translatotron_v.config import Config, to_yaml
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.inference.loaded import load_translator
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.training import merging
from translatotron_v.training.merging import linear, merge_checkpoints, ties

TEXT = ("text_encoder", "text_decoder")
VOCABULARY = small_vocabulary()


def translator(seed: int, config: Config, vocabulary: Vocabulary = VOCABULARY) -> TranslatotronV:
    """A translator with its own weights, but the image tokenizer that all of them share."""
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count)
    enliven(model, seed)
    enliven(model.image_tokenizer, 0)
    model.image_tokenizer.quantizer._codebook.embed.fill_(0.5)
    model.image_tokenizer.quantizer._codebook.cluster_size.fill_(seed)
    return model


def save(
    folder: Path,
    seed: int,
    *settings: str,
    stage: str = "translator",
    modules: tuple[str, ...] | None = None,
    vocabulary: Vocabulary = VOCABULARY,
    half: bool = False,
) -> Path:
    config = small(f"stage={stage}", *settings)
    files = {"config.yaml": to_yaml(config), "vocabulary.json": vocabulary.to_json()}
    parts = dict(translator(seed, config, vocabulary).named_children())
    save_checkpoint(folder, {name: parts[name] for name in modules or parts}, files, {"step": 1}, half=half)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two translators and a text-only checkpoint, whose weights are all unlike."""
    root = tmp_path_factory.mktemp("runs")
    return {
        "a": save(root / "a", 1),
        "b": save(root / "b" / "final", 2).parent,  # a run
        "text": save(root / "text", 3, stage="text", modules=TEXT),
        "half": save(root / "half", 4, half=True),
    }


def tensors(folder: Path) -> dict[str, Tensor]:
    folder = folder / "final" if (folder / "final").is_dir() else folder
    return {
        f"{path.stem}.{key}": tensor
        for path in sorted(folder.glob("*.safetensors"))
        for key, tensor in load_tensors(path).items()
    }


def same(one: Tensor, other: Tensor) -> bool:
    """Bit for bit: 0 and -0 are told apart."""
    return one.dtype == other.dtype and one.numpy().tobytes() == other.numpy().tobytes()


def refusal(*arguments, **named) -> str:
    """The message of the error, which must be one line."""
    with pytest.raises(UserError) as caught:
        merge_checkpoints(*arguments, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("weight", "side"), [(0.0, "a"), (1.0, "b")])
def test_at_its_ends_linear_is_one_of_the_two_bit_for_bit(folders, tmp_path: Path, weight: float, side: str):
    merge_checkpoints(folders["a"], folders["b"], tmp_path / "c", weight=weight)
    merged, wanted, first = tensors(tmp_path / "c"), tensors(folders[side]), tensors(folders["a"])
    assert set(merged) == set(first)
    for name, tensor in merged.items():
        # the tokenizer is the same in both, but for the counts of its codebook, which are those of the first
        assert same(tensor, first[name] if name.startswith("image_tokenizer") else wanted[name]), name


def test_in_the_middle_linear_is_the_mean(folders, tmp_path: Path):
    merged = merge_checkpoints(folders["a"], folders["b"], tmp_path / "c")
    first, second, mixed = (tensors(folder) for folder in (folders["a"], folders["b"], merged.folder))
    for name, tensor in mixed.items():
        if not name.startswith("image_tokenizer"):
            torch.testing.assert_close(tensor, (first[name] + second[name]) / 2)
    assert merged.kept == ["image_tokenizer"]
    assert merged.merged["text_encoder"] == sum(name.startswith("text_encoder.") for name in first)


def test_linear_keeps_what_is_equal_and_ends_as_they_are():
    first = {("m", "w"): torch.tensor([0.1, -0.0, 3.0])}
    second = {("m", "w"): torch.tensor([0.1, 7.0, 1.0])}
    assert same(linear(first, second, 0)["m", "w"], first["m", "w"])  # -0 as well
    quarter = linear(first, second, 0.25)["m", "w"]
    assert torch.equal(quarter, torch.tensor([0.1, 1.75, 2.5]))


def test_a_text_only_checkpoint_gives_its_text_mode(folders, tmp_path: Path):
    merged = merge_checkpoints(folders["a"], folders["text"], tmp_path / "c", weight=1.0)
    first, second, mixed = (tensors(folder) for folder in (folders["a"], folders["text"], tmp_path / "c"))
    assert set(mixed) == set(first)
    for name, tensor in mixed.items():
        from_text = name in second and not name.startswith(("text_encoder.connector", "text_encoder.image_positions"))
        assert same(tensor, (second if from_text else first)[name]), name
    assert set(merged.merged) == set(TEXT)
    assert {"image_encoder", "text_encoder.image_positions", "text_encoder.connector.weight"} <= set(merged.kept)
    assert "text_encoder (" in str(merged) and "image_decoder" in str(merged)


def test_the_result_opens_and_says_what_it_was_merged_from(folders, tmp_path: Path):
    merge_checkpoints(folders["a"], folders["text"], tmp_path / "c", weight=0.25)
    loaded = load_translator(tmp_path / "c")
    assert (loaded.config, loaded.vocabulary) == (load_translator(folders["a"]).config, VOCABULARY)
    encoder = tensors(tmp_path / "c")["text_encoder.embedding.weight"]
    assert torch.equal(loaded.model.text_encoder.embedding.weight, encoder)
    info = read_info(tmp_path / "c")
    assert (info["merge"], info["merge_weight"]) == ("linear", 0.25)
    assert (info["merge_a"], info["merge_b"]) == (str(folders["a"]), str(folders["text"]))
    assert info["merged_modules"] == sorted(TEXT)
    assert "step" not in info  # nobody has trained it


def test_the_first_checkpoint_decides_the_precision(folders, tmp_path: Path):
    merge_checkpoints(folders["half"], folders["b"], tmp_path / "half", weight=0.5)
    merge_checkpoints(folders["b"], folders["half"], tmp_path / "whole", weight=0.5)
    half, whole = tensors(tmp_path / "half"), tensors(tmp_path / "whole")
    assert {tensor.dtype for tensor in half.values() if tensor.is_floating_point()} == {torch.float16}
    assert {tensor.dtype for tensor in whole.values() if tensor.is_floating_point()} == {torch.float32}
    assert read_info(tmp_path / "half")["weights"] == "float16" and "weights" not in read_info(tmp_path / "whole")
    name = "text_decoder.embedding.weight"
    mean = (tensors(folders["half"])[name].float() + tensors(folders["b"])[name]) / 2
    torch.testing.assert_close(whole[name], mean)
    assert torch.equal(half[name], mean.half())


BASE = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0])
FIRST = torch.tensor([0.5, -0.125, 0.0625, 0.25, -0.375])
SECOND = torch.tensor([0.25, 0.75, -0.03125, -0.0625, 0.5])


def ties_of(first: Tensor, second: Tensor, scale: float = 1.0, density: float = 0.6) -> list[float]:
    """What TIES changes of ``BASE``."""
    names = [("m", "w"), ("n", "v")]  # two tensors, to see that they are trimmed together

    def parts(tensor: Tensor) -> dict[tuple[str, str], Tensor]:
        return dict(zip(names, tensor.split([2, 3]), strict=True))

    merged = ties([parts(BASE + first), parts(BASE + second)], parts(BASE), scale, density)
    return (torch.cat([merged[name] for name in names]) - BASE).tolist()


def test_ties_by_hand():
    # of five each keeps three: [.5, 0, 0, .25, -.375] and [.25, .75, 0, 0, .5]; the sums are .75, .75, 0, .25, .125,
    # so all signs are plus, and the last entry is the second's alone
    assert ties_of(FIRST, SECOND) == [0.375, 0.75, 0.0, 0.25, 0.5]
    assert ties_of(FIRST, SECOND, scale=0.5) == [0.1875, 0.375, 0.0, 0.125, 0.25]
    assert ties_of(FIRST, SECOND, scale=0.0) == [0.0] * 5


def test_the_larger_change_elects_the_sign():
    # all kept: sums .75, .625, .03125, .1875, .125
    assert ties_of(FIRST, SECOND, density=1.0) == [0.375, 0.75, 0.0625, 0.25, 0.5]
    assert ties_of(-FIRST, -SECOND, density=1.0) == [-0.375, -0.75, -0.0625, -0.25, -0.5]
    assert ties_of(FIRST, -FIRST, density=1.0) == [0.0] * 5  # what cancels stays the base's


@pytest.mark.parametrize(
    ("density", "kept"),
    [(0.01, [0]), (0.2, [0]), (0.4, [0, 4]), (0.6, [0, 3, 4]), (0.8, [0, 1, 3, 4]), (1.0, [0, 1, 2, 3, 4])],
)
def test_density_is_the_share_that_is_kept(density: float, kept: list[int]):
    """A base that one of the two is gives the largest changes of the other."""
    wanted = [float(value) if index in kept else 0.0 for index, value in enumerate(FIRST)]
    assert ties_of(FIRST, torch.zeros(5), density=density) == wanted


def test_ties_of_checkpoints(folders, tmp_path: Path):
    merge_checkpoints(
        folders["a"], folders["text"], tmp_path / "c", "ties", weight=0.5, density=0.3, base=folders["text"]
    )
    first, base, mixed = (tensors(folder) for folder in (folders["a"], folders["text"], tmp_path / "c"))
    names = [name for name in base if not name.startswith(("text_encoder.connector", "text_encoder.image_positions"))]
    changes = torch.cat([(first[name] - base[name]).flatten() for name in names])
    got = torch.cat([(mixed[name] - base[name]).flatten() for name in names])
    moved = got != 0
    assert int(moved.sum()) == round(0.3 * len(changes))
    assert float(changes[moved].abs().min()) > float(changes[~moved].abs().max())
    torch.testing.assert_close(got[moved], changes[moved] / 2, atol=1e-6, rtol=1e-4)
    assert all(same(mixed[name], first[name]) for name in mixed if name not in names)
    info = read_info(tmp_path / "c")
    assert (info["merge"], info["merge_density"], info["merge_base"]) == ("ties", 0.3, str(folders["text"]))
    load_translator(tmp_path / "c")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"weight": 1.5}, "weight is the second checkpoint's share and must lie in 0..1, not 1.5"),
        ({"weight": -0.1}, "must lie in 0..1, not -0.1"),
        ({"weight": float("nan")}, "must lie in 0..1, not nan"),
        ({"method": "slerp"}, "method must be one of linear, ties, not 'slerp'"),
        ({"density": 0.5}, "density belongs to the method ties"),
        ({"base": "a"}, "base belongs to the method ties"),
        ({"method": "ties"}, "ties needs the checkpoint that both were tuned from (--base); where the first was tuned"),
        ({"method": "ties", "base": "a", "density": 0.0}, "density is the share of changes kept"),
        ({"method": "ties", "base": "a", "density": 1.1}, "density is the share of changes kept"),
        ({"method": "ties", "base": "a", "weight": -1.0}, "must be 0 or more, not -1.0"),
        ({"method": "ties", "base": "a", "weight": float("inf")}, "must be 0 or more, not inf"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_read(tmp_path: Path, named: dict, message: str):
    assert message in refusal("no/such/a", "no/such/b", tmp_path / "c", **named)


def test_what_does_not_fit_is_named(folders, tmp_path: Path):
    out = tmp_path / "c"

    def refused(second: Path, **named) -> str:
        message = refusal(folders["a"], second, out, **named)
        assert not out.exists() and not list(tmp_path.glob(".tmp-*"))
        return message

    assert "no such folder, nor weights of that name" in refused(tmp_path / "nothing")
    assert "holds no checkpoint" in refused(Path(__file__).parent)
    longer = save(tmp_path / "longer", 5, "model.text_decoder.feed_forward=48", stage="text", modules=TEXT)
    assert f"{longer / 'config.yaml'}: model.text_decoder.feed_forward is 48" in refused(longer)
    heads = save(tmp_path / "heads", 5, "model.text_encoder.heads=2", stage="text", modules=TEXT)
    assert f"{heads / 'config.yaml'}: model.text_encoder.heads is 2" in refused(heads)
    vocabulary = small_vocabulary(64)
    other = save(tmp_path / "other", 5, stage="text", modules=TEXT, vocabulary=vocabulary)
    assert f"{other / 'vocabulary.json'}: is another vocabulary than {folders['a']}" in refused(other)
    tokenizer = save(tmp_path / "tokenizer", 5, stage="tokenizer", modules=("image_tokenizer",))
    assert "shares no module with" in refused(tokenizer) and "it holds image_tokenizer" in refused(tokenizer)
    message = refused(folders["b"], method="ties", base=folders["text"])
    assert f"{folders['text'] / 'character_encoder.safetensors'}: no such file: the base must hold" in message


def test_the_first_must_be_a_translator(folders, tmp_path: Path):
    message = refusal(folders["text"], folders["a"], tmp_path / "c")
    assert message.startswith(f"{folders['text']}: a checkpoint of the stage 'text'")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held | {"norm.weight": torch.ones(7)}, "'norm.weight' has shape (7,), in {a} it is (16,)"),
        (lambda held: {key: held[key] for key in held if key != "norm.weight"}, "holds no tensor 'norm.weight', {a}"),
        (lambda held: held | {"more": torch.ones(1)}, "{a}: holds no tensor 'more'"),
        (lambda held: held | {"norm.weight": torch.full((16,), torch.inf)}, "{a}: 'norm.weight' would hold numbers"),
    ],
)
def test_unlike_tensors_are_named(folders, tmp_path: Path, change, message: str):
    text = save(tmp_path / "text", 3, stage="text", modules=TEXT)
    modules = {name: load_tensors(text / f"{name}.safetensors") for name in TEXT}
    modules["text_decoder"] = change(modules["text_decoder"])
    files = {name: (text / name).read_text(encoding="utf-8") for name in ("config.yaml", "vocabulary.json")}
    save_checkpoint(text, modules, files, {})
    wanted = message.format(a=folders["a"] / "text_decoder.safetensors")
    assert wanted in refusal(folders["a"], text, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_tensors_of_image_mode_may_differ_in_shape_where_they_are_not_merged(folders, tmp_path: Path):
    wider = save(tmp_path / "text", 3, "model.canvas.width=256", stage="text", modules=TEXT)
    merge_checkpoints(folders["a"], wider, tmp_path / "c")
    assert load_translator(tmp_path / "c").model.text_encoder.image_positions.shape == (16, 16)


def test_a_module_that_is_promised_and_missing_is_named(folders, tmp_path: Path):
    text = save(tmp_path / "text", 3, stage="text", modules=TEXT)
    (text / "text_decoder.safetensors").unlink()
    message = refusal(folders["a"], text, tmp_path / "c")
    assert message == f"{text / 'text_decoder.safetensors'}: no such file; there are: text_encoder"


def test_image_decoders_of_unlike_tokenizers_are_not_mixed(folders, tmp_path: Path):
    other = save(tmp_path / "other", 5)
    path = other / "image_tokenizer.safetensors"
    modules = {item.stem: load_tensors(item) for item in other.glob("*.safetensors")}
    key = next(key for key in modules["image_tokenizer"] if key.endswith("_codebook.embed"))
    modules["image_tokenizer"][key][..., 0] += 0.25
    files = {name: (other / name).read_text(encoding="utf-8") for name in ("config.yaml", "vocabulary.json")}
    save_checkpoint(other, modules, files, {})
    message = refusal(folders["a"], other, tmp_path / "c")
    assert message.startswith(f"{path}: {key!r} is not that of {folders['a']}")


def test_what_stands_at_the_output_is_replaced_only_when_asked(folders, tmp_path: Path):
    out = tmp_path / "c"
    out.mkdir()  # an empty folder holds nothing to lose
    merge_checkpoints(folders["a"], folders["text"], out, weight=0.25)
    assert f"{out}: exists already; --force replaces it" == refusal(folders["a"], folders["text"], out, weight=0.75)
    assert json.loads((out / "checkpoint.json").read_text())["merge_weight"] == 0.25
    merge_checkpoints(folders["a"], folders["text"], out, weight=0.75, overwrite=True)
    assert json.loads((out / "checkpoint.json").read_text())["merge_weight"] == 0.75
    (out / "thesis.tex").write_text("years of work")
    assert "holds other things (thesis.tex)" in refusal(folders["a"], folders["text"], out, overwrite=True)
    (tmp_path / "file").write_text("")
    assert "is a file" in refusal(folders["a"], folders["text"], tmp_path / "file", overwrite=True)
    assert "is one of the checkpoints" in refusal(folders["a"], folders["text"], folders["a"], overwrite=True)
    # the run that holds one of them is no checkpoint
    assert "holds other things (final)" in refusal(folders["a"], folders["b"], folders["b"], overwrite=True)


def test_defaults_are_those_of_the_method(folders, tmp_path: Path):
    merge_checkpoints(folders["a"], folders["text"], tmp_path / "linear")
    merge_checkpoints(folders["a"], folders["text"], tmp_path / "ties", "ties", base=folders["text"])
    assert read_info(tmp_path / "linear")["merge_weight"] == merging.WEIGHT["linear"] == 0.5
    info = read_info(tmp_path / "ties")
    assert (info["merge_weight"], info["merge_density"]) == (1.0, 0.2)
