"""A model as ONNX graphs writes and draws what it writes and draws by PyTorch, and needs no PyTorch for it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.small import TEXTS, enliven, save_small, small
from translatotron_v.checkpoint import save_checkpoint
from translatotron_v.decoding.arrays import largest, log_softmax, take
from translatotron_v.decoding.text import Generated, generate, translate_pieces
from translatotron_v.engines import graphs
from translatotron_v.engines.export import stored_places, write_graphs
from translatotron_v.engines.runtime import OnnxMatting
from translatotron_v.errors import UserError
from translatotron_v.inference.loaded import LoadedTranslator, load_translator
from translatotron_v.inference.pipeline import Translator
from translatotron_v.models.matting import TextMatting
from translatotron_v.page.separate import load_matting
from translatotron_v.training.export import export_run

READS = ("model.connector=read", "model.text_encoder.layers=2", "model.fonts=[DejaVuSans,DejaVuSerif]")
STEM = ("model.image_encoder.stem_channels=[4,6]", "model.tie_embeddings=true", "model.text_decoder.activation=relu2")
PATCHES = ("model.image_encoder.stem=[16,16]", "model.image_encoder.ocr_layer=2", "model.image_decoder.fusion=text")
PAPER = ("model.vocabulary.subwords=0", "model.text_encoder.layers=0", "model.character_encoder.layers=0",
         "model.ctc_frames=0", "model.tokenizer.encoder=vit", "model.image_encoder.class_token=true")  # fmt: skip
MODELS = {
    "reads by a convolutional stem": (*READS, *STEM, "model.tokenizer.encoder=patch_codebook"),
    "reads by overlapping patches, draws from text alone": (*READS, *PATCHES),
    "sees": ("model.image_encoder.fuse=[1]", "model.image_decoder.kv_heads=4"),
    "the paper's graph": PAPER,
}


@dataclass
class Both:
    """One model, loaded twice."""

    folder: Path
    torch: LoadedTranslator
    onnx: LoadedTranslator

    def generate(self, pages: int, **options) -> tuple[Generated, Generated]:
        """What both make of random pages."""
        canvas = self.torch.config.model.canvas
        shape = (pages, canvas.channels, canvas.height, canvas.width)
        pixels = np.random.default_rng(1).random(shape, dtype=np.float32)
        asked = self.torch.complete(self.torch.generation).updated(**options)
        engines = (self.torch, self.onnx)
        one, other = (generate(one.model, one.vocabulary, one.model.array(pixels), asked) for one in engines)
        assert isinstance(other.image_ids, np.ndarray) and isinstance(one.image_ids, torch.Tensor)
        return one, other


@pytest.fixture(scope="module", params=MODELS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = save_small(tmp_path_factory.mktemp("onnx") / "model", small(*MODELS[request.param]))
    loaded = load_translator(folder)
    write_graphs(folder, loaded.model, None)
    return Both(folder, loaded, load_translator(folder, engine="onnx", threads=1))


def assert_equal(one: Generated, other: Generated) -> None:
    assert other.texts == one.texts and other.sources == one.sources
    assert other.image_ids.tolist() == one.image_ids.tolist()
    assert other.text_scores == pytest.approx(one.text_scores, rel=1e-4)
    assert other.image_scores == pytest.approx(one.image_scores, rel=1e-4)
    assert np.abs(other.pixels - one.pixels.numpy()).max() < 1e-5


@pytest.mark.parametrize(("pages", "options"), [(1, {}), (3, {"beams": 3, "top_k": 9, "seed": 3})])
def test_graphs_make_what_the_modules_make(both: Both, pages: int, options: dict[str, int]):
    one, other = both.generate(pages, **options)
    assert_equal(one, other)
    assert len(np.unique(other.image_ids)) > 2 or "top_k" not in options


def test_text_mode_is_the_same(both: Both):
    if not both.torch.config.model.text_encoder.layers:
        pytest.skip("the paper's graph has no text mode")
    pieces = [both.torch.vocabulary.encode(text) for text in TEXTS[:5]]
    one, other = (translate_pieces(one.model, one.vocabulary, pieces, "en", 2) for one in (both.torch, both.onnx))
    assert one.ids == other.ids and one.scores == pytest.approx(other.scores, rel=1e-4)


def test_graphs_hold_structure_and_point_into_the_weights(both: Both):
    written = {path.name.removesuffix(graphs.SUFFIX): path for path in both.folder.glob("*.onnx")}
    assert {graphs.ENCODER, graphs.TOKENIZER, graphs.part(graphs.IMAGE, graphs.STEP)} <= set(written)
    import onnx

    named = set()
    for path in written.values():
        for tensor in onnx.load(path, load_external_data=False).graph.initializer:
            places = {entry.key: entry.value for entry in tensor.external_data}
            if places:
                named.add(places["location"])
    assert {"image_encoder.safetensors", "text_decoder.safetensors", "image_decoder.safetensors"} <= named


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with its separator as they are shipped, with graphs of eight bits too."""
    folder = tmp_path_factory.mktemp("exported")
    config = small(*READS, "model.matting.widths=[4,6,8]")
    save_small(folder / "run", config)
    matting = enliven(TextMatting(config.model.matting), scale=0.2)
    save_checkpoint(folder / "separator", {"matting": matting}, {}, {})
    (folder / "separator" / "matting.safetensors").rename(folder / "run" / "matting.safetensors")
    export_run(folder / "run", folder / "out", onnx=True, quantised=True)
    return folder / "out"


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported, tmp_path / "copied")


def engines(folder: Path, **options) -> Both:
    return Both(folder, load_translator(folder), load_translator(folder, engine="onnx", **options))


def test_an_export_is_of_half_precision_and_the_same(exported: Path):
    assert not {"F32", "F64"} & {place.dtype for place in stored_places(exported).values()}
    assert_equal(*engines(exported).generate(2))


def test_graphs_of_eight_bits_are_near(exported: Path):
    one, other = engines(exported, precision="int8").generate(2)
    assert other.image_scores != pytest.approx(one.image_scores, rel=1e-6)
    assert other.image_scores == pytest.approx(one.image_scores, abs=0.5)


def test_weights_that_change_in_the_files_change_what_graphs_make(copied: Path):
    before = engines(copied).generate(2)[1]
    bias = stored_places(copied)["image_decoder.norm.bias"]
    content = bytearray((copied / bias.file).read_bytes())
    content[bias.start : bias.start + bias.length] = np.linspace(-9, 9, bias.length // 2).astype("<f2").tobytes()
    (copied / bias.file).write_bytes(content)
    one, other = engines(copied).generate(2)
    assert_equal(one, other)
    assert not np.array_equal(before.image_ids, other.image_ids)


def test_a_separator_sees_pictures_of_any_size(exported: Path):
    graph, module = OnnxMatting(exported, 1), load_matting(exported)
    for shape in ((24, 40, 3), (33, 57, 3), (8, 5, 3)):
        pixels = np.random.default_rng(2).random(shape, dtype=np.float32)
        found = graph.coverage(pixels)
        assert found.shape == shape[:2] and np.ptp(found) > 0.01
        assert np.abs(found - module.coverage(pixels)).max() < 1e-5


def test_what_does_not_go_is_said(copied: Path):
    with pytest.raises(UserError, match="bf16 is for PyTorch"):
        load_translator(copied, engine="onnx", precision="bf16")
    with pytest.raises(UserError, match="engine must be one of torch, onnx, not tpu"):
        load_translator(copied, engine="tpu")
    with pytest.raises(UserError, match="device 'cuda': engine onnx computes on the CPU"):
        Translator.from_pretrained(copied, engine="onnx", device="cuda")
    (copied / "image_encoder.onnx").write_bytes(b"no graph")
    page = np.zeros((1, 1, 16, 128), np.float32)
    with pytest.raises(UserError, match=r"image_encoder.onnx: cannot be loaded"):
        load_translator(copied, engine="onnx").model.encode_image(page)
    for name, flags in (("image_encoder.onnx", "--onnx"), ("image_encoder.int8.onnx", "--onnx --int8")):
        (copied / name).unlink()
        with pytest.raises(UserError, match=rf"no graphs \({name}\); translatotron-v export {flags} writes them"):
            load_translator(copied, engine="onnx", precision="int8" if "int8" in name else "fp32")
    two = load_translator(save_small(copied.parent / "two", small("model.image_decoder.kv_heads=2")))
    with pytest.raises(UserError, match="kv_heads is 2"):
        write_graphs(two.folder, two.model, None)


def test_a_picture_is_translated_without_pytorch(copied: Path, tmp_path: Path):
    """As a strip; without the separator, whose random weights find no text."""
    (copied / "matting.safetensors").unlink()
    pixels = np.random.default_rng(3).integers(0, 255, (16, 128), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "page.png")
    by_torch = Translator.from_pretrained(copied, device="cpu", engine="torch")(tmp_path / "page.png")
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'timm', 'torchvision', 'einops')))\n"
        "from translatotron_v.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = ["translate", "page.png", "-o", "out.png", "--weights", str(copied), "--engine", "onnx"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run([sys.executable, "-c", program, *command], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out.png").convert("RGB")), np.asarray(by_torch.image))


def test_arithmetic_of_arrays_is_that_of_tensors():
    rows = np.random.default_rng(4).normal(size=(5, 40)).astype(np.float32)
    tensors = torch.from_numpy(rows)
    np.testing.assert_allclose(log_softmax(rows), log_softmax(tensors).numpy(), rtol=1e-5)
    for count in (1, 7, 40):
        one, other = largest(rows, count), largest(tensors, count)
        assert np.array_equal(one[0], other[0].numpy()) and np.array_equal(one[1], other[1].numpy())
    places = np.array([3, 0, 39, 7, 7])
    assert np.array_equal(take(rows, places), take(tensors, torch.from_numpy(places)).numpy())
