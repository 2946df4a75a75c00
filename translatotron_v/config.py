"""Every setting of the project: dataclasses, and one loader for YAML files and ``key=value`` overrides.

A YAML file may name another one under ``base`` (relative to itself); its own keys are laid over the base, and overrides
over both. An unknown key or a value of the wrong type is an error before any work starts.
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from translatotron_v.errors import UserError
from translatotron_v.ranges import (
    AtLeastOne,
    BelowOne,
    Count,
    Entries,
    Heads,
    Items,
    Layers,
    LayersOrNone,
    OneOf,
    Pair,
    Pixels,
    PixelsOrNone,
    Positive,
    Range,
    Share,
    Weight,
    Width,
    problems,
    sections,
)


class ConfigError(UserError):
    """A setting that cannot be used; the message names the key."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass
class CanvasConfig:
    """The picture that a model reads and writes."""

    height: Pixels = 48
    width: Pixels = 256
    channels: int = 1  # 1 for grey, 3 for RGB

    def check(self, key: str) -> None:
        """What the ranges of single fields do not say."""
        _require(self.channels in (1, 3), f"{key}.channels must be 1 or 3, not {self.channels}")


@dataclass
class PageConfig:
    """How training and evaluation pages are rendered."""

    # names or paths; one is drawn for each page
    fonts: Annotated[list[str], Items((1,))] = field(default_factory=lambda: ["DejaVuSans"])
    font_size: Pixels = 11
    line_height: PixelsOrNone = 16  # pixels; lines lie on this grid; 0: the font's own
    margin: PixelsOrNone = 2  # pixels to the left and right of the text
    lower_case: bool = True  # fold the text before it is drawn
    word_grid: PixelsOrNone = (
        0  # words of target pages start at multiples of this many pixels; 0 sets them a space apart
    )
    advance_grid: Pixels = 1  # their letters advance by multiples of this many pixels
    # smallest and largest font size that text had on the pages that source strips are cut from (see
    # data_synth/strips.py); empty: source pages are drawn like target pages
    source_sizes: Annotated[list[Pixels], Items((0, 2))] = field(default_factory=list)
    # file of faces (configs/faces.yaml) that the reader's strips are drawn in, in any size and state (data/reading.py);
    # empty: in ``fonts``, as ``source_sizes`` says
    faces: str = ""
    allow_missing: bool = False  # go on without faces of that file that are not on this machine
    # share of degraded strips, at first and later
    degraded: Annotated[list[Share], Items((2, 2))] = field(default_factory=lambda: [0.34, 0.67])
    degraded_steps: Count = (
        20_000  # over which the share and the strength of degradation grow from the one to the other
    )

    def check(self, key: str) -> None:
        """What the ranges of single fields do not say."""
        sizes = self.source_sizes
        _require(sizes == sorted(sizes), f"{key}.source_sizes: the smallest size comes first: {sizes}")


@dataclass
class VocabularyConfig:
    """How text becomes ids."""

    subwords: Entries = 4000  # size of the joint byte-pair vocabulary; 0 writes characters instead
    languages: list[str] = field(default_factory=lambda: ["de", "en"])  # whose text the vocabulary is built from
    symbols: Entries = 0  # pad the table to this many entries (256 in the paper); 0 leaves it as it is
    # blocks of characters (data/vocabulary.py: ascii, latin-1, ...) that pages may hold; empty: those of the texts
    characters: list[str] = field(default_factory=list)
    marks: bool = False  # pieces for the marks of text mode (data/marks.py): literals and terms; digits stand alone


@dataclass
class ImageEncoderConfig:
    """A timm ViT (ViT-B/16 in the paper)."""

    width: Width = 192  # size of a state
    layers: Layers = 4  # transformer blocks
    heads: Heads = 4
    patch: Pair = field(default_factory=lambda: [16, 8])  # rows and columns of pixels
    # kernel of an overlapping stem; empty: the patch itself
    stem: Annotated[list[Pixels], Items((0, 2))] = field(default_factory=list)
    # channels of 3x3 convolutions of stride 2 before the patches are taken from what they give; empty: none
    stem_channels: Annotated[list[Width], Items((0,))] = field(default_factory=list)
    class_token: bool = False
    ocr_layer: Layers = 4  # states after this block feed the OCR head and the CTC head
    dropout: BelowOne = 0.0
    fuse: list[int] = field(default_factory=list)  # blocks (from 1) whose states join the final ones by skip links
    detach: list[int] = field(default_factory=list)  # those of them through whose link no gradient flows back

    def check(self, key: str) -> None:
        """What the ranges of single fields do not say."""
        _require(
            not (self.stem and self.stem_channels),
            "model.image_encoder: stem and stem_channels are two kinds of stem; set one of them to []",
        )
        stride = 2 ** len(self.stem_channels)
        _require(
            all(channels > 0 for channels in self.stem_channels) and not any(size % stride for size in self.patch),
            f"model.image_encoder.stem_channels {self.stem_channels}: patch {self.patch} must be divisible by "
            f"{stride}, two for each convolution",
        )
        _require(
            1 <= self.ocr_layer <= self.layers,
            f"model.image_encoder.ocr_layer must be 1 to {self.layers} (layers), not {self.ocr_layer}",
        )
        for layer in self.fuse:
            _require(
                1 <= layer < self.layers,
                f"model.image_encoder.fuse: block {layer} cannot be fused; it must be 1 to {self.layers - 1}: the last "
                f"block ({self.layers}) always takes part",
            )
        _require(len(set(self.fuse)) == len(self.fuse), f"model.image_encoder.fuse names a block twice: {self.fuse}")
        for layer in self.detach:
            _require(
                layer in self.fuse,
                f"model.image_encoder.detach: block {layer} is not fused; model.image_encoder.fuse is {self.fuse}",
            )


@dataclass
class TransformerConfig:
    """A stack of transformer layers that reads or writes text."""

    width: Width = 192
    layers: LayersOrNone = 2
    heads: Heads = 4
    feed_forward: Width = 768
    dropout: BelowOne = 0.1
    # longest sequence, tags and end included; longer text is cut, its end kept
    max_length: Annotated[int, Range(3, 65_536)] = 128
    beams: Annotated[int, Range(1, 1024)] = 1  # of a decoder: beam width of translations unless another is asked for
    # of the feed-forward layers: "gelu", or "relu2", the square of ReLU (So et al. 2021)
    activation: Annotated[str, OneOf(("gelu", "relu2"))] = "gelu"


@dataclass
class ImageDecoderConfig:
    """Writes image tokens from image states and text states."""

    width: Width = 192
    layers: LayersOrNone = 3
    heads: Heads = 4
    kv_heads: Heads = 1  # 1 is multi-query attention, the paper's choice
    feed_forward: Width = 768
    dropout: BelowOne = 0.1
    # how a layer joins what it reads of text and image: "gated" (paper), "add" or "concat" (both through one
    # projection); or what it reads alone: "text" (the teacher) or "image"
    fusion: Annotated[str, OneOf(("gated", "add", "concat", "text", "image"))] = "gated"
    # how that starts: "text", with the gate open to the text and nothing read from the image yet, for weights from a
    # text-to-image teacher; or "even", where no side is favoured, for a decoder that starts from nothing (paper)
    fusion_start: Annotated[str, OneOf(("text", "even"))] = "text"
    # passes of parallel decoding that pages are drawn in unless another number is asked for, for a decoder trained with
    # loss.masked; 0 draws token by token
    passes: Count = 0

    def check(self, key: str) -> None:
        """What the ranges of single fields do not say."""
        _require(
            self.heads % self.kv_heads == 0,
            f"{key}.heads {self.heads} must be a multiple of {key}.kv_heads {self.kv_heads}",
        )


@dataclass
class TokenizerConfig:
    """ViT-VQGAN image tokenizer."""

    patch: Pair = field(default_factory=lambda: [16, 4])  # rows and columns of pixels of one token
    # "mlp" looks at one patch at a time, "vit" at the whole page; "patch_codebook" is no network: codes are patches of
    # ink
    encoder: Annotated[str, OneOf(("mlp", "vit", "patch_codebook"))] = "mlp"
    width: Width = 128
    heads: Heads = 4
    encoder_layers: LayersOrNone = 2  # hidden layers of the MLP, or transformer blocks
    decoder_layers: LayersOrNone = 2  # transformer blocks
    codes: Annotated[int, Range(1, 10**6)] = 1024
    code_width: Width = 32
    decay: BelowOne = 0.98  # of the codebook's moving average
    kmeans: bool = True  # start the codebook from k-means on the first batch that is quantised
    restart_after: Count = 50  # steps without use after which a code restarts on the worst-quantised vector; 0: never


@dataclass
class DiscriminatorConfig:
    """The adversary of stage 1."""

    width: Width = 64
    layers: Annotated[int, Range(1, 8)] = 3  # each halves rows and columns


@dataclass
class TeacherConfig:
    """Text-to-image teacher: target text and the source page's layout in, image tokens out."""

    layout: str = "none"  # a timm model's name (resnet50 in the paper), or "none"
    layout_width: Width = 64  # size of the projected layout vector that joins every text state


@dataclass
class TextMattingConfig:
    """A U-Net that finds the ink on a page."""

    # of its levels; each halves rows and columns
    widths: Annotated[list[Width], Items((1,))] = field(default_factory=lambda: [16, 24, 32, 48])


@dataclass
class PixelBaselineConfig:
    """The baseline that knows no text: segments of source pixels in, segments of target pixels out."""

    segment: Pair = field(default_factory=lambda: [32, 8])  # rows and columns of pixels
    width: Width = 256
    encoder_layers: Layers = 3
    decoder_layers: Layers = 3
    heads: Heads = 4
    feed_forward: Width = 768
    dropout: BelowOne = 0.0

    def grid(self, canvas: CanvasConfig) -> tuple[int, int]:
        """Rows and columns of segments; a ``ConfigError`` where they do not divide the canvas."""
        rows, columns = self.segment
        _require(
            canvas.height % rows == 0 and canvas.width % columns == 0,
            f"model.pixel_baseline.segment {rows}x{columns} does not divide the canvas {canvas.height}x{canvas.width}",
        )
        return canvas.height // rows, canvas.width // columns


@dataclass
class ModelConfig:
    """All modules of a translator; ``translatotron-v info`` counts their parameters."""

    canvas: CanvasConfig = field(default_factory=CanvasConfig)
    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    image_encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    text_encoder: TransformerConfig = field(default_factory=lambda: TransformerConfig(layers=3))
    text_decoder: TransformerConfig = field(default_factory=TransformerConfig)
    ocr_head: TransformerConfig = field(
        default_factory=lambda: TransformerConfig(width=128, layers=1, feed_forward=512)
    )
    # frames that the CTC head reads from one image state; 0 leaves the head out
    ctc_frames: Annotated[int, Range(0, 64)] = 2
    # what the text encoder gets of a page: "states" of the image encoder (paper), or the pieces that the CTC head has
    # "read", each with the image states that it was read from
    connector: Annotated[str, OneOf(("states", "read"))] = "states"
    tie_embeddings: bool = False  # text encoder and text decoder share one table of pieces
    # fonts that pages are drawn in, by name: the model tells them apart and draws in the source's; empty: one font
    fonts: list[str] = field(default_factory=list)
    character_encoder: TransformerConfig = field(default_factory=lambda: TransformerConfig(max_length=256))
    image_decoder: ImageDecoderConfig = field(default_factory=ImageDecoderConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    matting: TextMattingConfig = field(default_factory=TextMattingConfig)
    pixel_baseline: PixelBaselineConfig = field(default_factory=PixelBaselineConfig)
    teacher_encoder: TransformerConfig = field(default_factory=lambda: TransformerConfig(max_length=256))
    teacher_decoder: ImageDecoderConfig = field(default_factory=lambda: ImageDecoderConfig(fusion="text"))

    def check(self, key: str) -> None:
        """What the ranges of single fields do not say."""
        _require(
            self.connector == "states" or (self.ctc_frames > 0 and self.text_encoder.layers > 0),
            "model.connector=read needs a CTC head (model.ctc_frames) and a text encoder (model.text_encoder.layers)",
        )
        _require(
            not self.tie_embeddings or self.text_encoder.width == self.text_decoder.width,
            "model.tie_embeddings needs text_encoder.width and text_decoder.width to be the same",
        )
        for name, patch in (("image_encoder", self.image_encoder.patch), ("tokenizer", self.tokenizer.patch)):
            divides = self.canvas.height % patch[0] == 0 and self.canvas.width % patch[1] == 0
            _require(
                divides,
                f"model.{name}.patch {patch[0]}x{patch[1]} does not divide the canvas "
                f"{self.canvas.height}x{self.canvas.width}",
            )
        _require(
            self.character_encoder.layers > 0 or self.vocabulary.subwords == 0,
            "model.character_encoder needs layers when the vocabulary writes subwords: pictures are drawn by character",
        )

    @property
    def token_grid(self) -> tuple[int, int]:
        """Rows and columns of image tokens."""
        rows, columns = self.tokenizer.patch
        return self.canvas.height // rows, self.canvas.width // columns


@dataclass
class DataConfig:
    """Where text comes from and how it becomes training samples."""

    # corpus: folder, Moses prefix, TSV or IWSLT release, or pages rendered by data_synth; "grammar" needs no file; of a
    # mixture, the folder that its paths start from
    folder: str = "data/multi30k"
    train: str = "train"  # split names, as the corpus calls them
    validation: str = "val"
    test: str = "test_2016_flickr"
    source_language: str = "de"
    target_language: str = "en"
    skip: Count = 0  # leave out this many training pairs at the beginning
    limit: Count = 0  # use only this many training pairs, after those left out; 0 uses all
    repeat: AtLeastOne = 1  # how often each of them is shown in an epoch, to balance what data.extra adds
    extra: list[str] = field(default_factory=list)  # more corpora (folders, TSV files) whose training pairs are added
    mixture: str = ""  # YAML file of many corpora with weights (data/mixture.py), in place of folder, repeat and extra
    cache: str = "runs/cache"  # folder that keeps the mixture's corpora, read and cleaned
    allow_missing: bool = False  # go on without corpora of the mixture that are not there
    window: AtLeastOne = 32  # batches that are drawn from the mixture at once and sorted by length
    terms: Share = 0.1  # share of the mixture's sentences that are given the translation of some of their words
    capitals: Share = 0.0  # share of the pages whose text is all in capitals
    lower: Share = 0.08  # share of the mixture's sentences whose source is in lower case, for text in capitals
    translated: Share = 1.0  # share of the training pairs whose translation may be used; SSR takes the others as well
    validation_limit: AtLeastOne = 256  # pairs that an evaluation looks at
    sort_window: Count = 0  # batches of like lengths are cut from windows of this many batches; 0: no sorting
    spans: Share = 0.0  # share of samples that draw a random span of words instead of a whole sentence
    shuffled: Share = 0.0  # share of samples whose words are drawn in random order
    curriculum_steps: Count = 0  # the longest span grows to whole sentences over this many steps
    curriculum_words: AtLeastOne = 3  # longest span at the first step
    # share of the letters that are misread in what text mode is given, up to 0.25
    misread: Annotated[float, Range(0, 0.25)] = 0.0
    both_languages: bool = False  # half of the samples have source and target changed about, with their language tags
    text_share: Share = 0.0  # share of batches that are text only (text mode), mixed into training on pictures
    # target languages of text-only batches, whose sentences stand once for each; empty: the target language
    text_languages: list[str] = field(default_factory=list)


@dataclass
class LossConfig:
    """Weights of the losses; a weight of zero leaves that branch out of the step."""

    image: Weight = 1.0  # cross-entropy of the image tokens
    # share of the pages whose image tokens are masked at random and predicted from the others, for parallel decoding;
    # on the other pages each token is predicted from those before it
    masked: Share = 0.0
    distillation: Weight = 1.0  # alpha: KL to the teacher's image tokens
    temperature: Positive = 1.0  # T of the distillation
    ocr: Weight = 1.0  # beta: cross-entropy of the OCR head
    text: Weight = 1.0  # gamma: cross-entropy of the target text
    ctc: Weight = 0.0  # CTC reading of the source page
    # reader: CTC by the same head from the states after an inner block of the image encoder (Lee and Watanabe 2021)
    ctc_inner: Weight = 0.0
    ctc_inner_layer: Layers = 2  # which block that is, from 1
    text_mode: Weight = 0.0  # cross-entropy of text mode beside image mode, so that the layers they share serve both
    text_distillation: Weight = 0.0  # KL to what text mode expects of the translation; no gradient through text mode
    self_distillation: Weight = 0.0  # cross-entropy of the text that text mode writes by itself, in image mode
    self_distillation_kl: Weight = 0.0  # KL to what text mode expects along the text that it writes by itself
    # whose texts those are: text mode as it was at the "start" of the run, or by the weights of each "step"
    self_distillation_from: Annotated[str, OneOf(("start", "step"))] = "start"
    transcription: Weight = 0.0  # cross-entropy of the source text, from the text decoder prompted with the OCR tag
    pixel_regression: Weight = 1.0  # probe: squared error of the reconstructed pixels
    label_smoothing: BelowOne = 0.1  # of text
    image_smoothing: BelowOne = 0.1  # label smoothing of image tokens
    l1: Weight = 1.0  # tokenizer: absolute error of the pixels
    l2: Weight = 2.0  # tokenizer: squared error of the pixels
    ink: Weight = 4.0  # tokenizer, pixels: extra weight of pixels that carry ink
    commitment: Weight = 0.25  # tokenizer: pulls the encoder to its codes
    perceptual: Weight = 0.0  # tokenizer: feature distance, see ``perceptual_weights``
    perceptual_weights: str = "random"  # "random" features, or a safetensors file of torchvision VGG-16 weights
    adversarial: Weight = 0.0  # tokenizer: hinge GAN with the adaptive weight
    adversarial_from: Share = 0.25  # share of the steps after which the adversary joins
    quantise_from: Share = 0.15  # tokenizer: share of the steps trained as a plain autoencoder first


@dataclass
class SsrConfig:
    """Synchronous self-review: the answer is the reader's own transcript of the page, then the translation."""

    # run or checkpoint whose text decoder transcribes the training pages before training, frozen; empty: no SSR
    reader: str = ""
    cache: str = "runs/transcripts"  # folder that keeps the transcripts; a file for each reader and set of pages
    # share of the batches of pages that those without a translation take, where data.translated leaves some
    untranslated: Share = 0.25


@dataclass
class TrainerConfig:
    """The loop: how long, how fast, and what is kept."""

    steps: AtLeastOne = 1000  # optimizer steps
    minutes: Positive | None = None  # stop after this much wall-clock time over all resumes, if steps do not end first
    batch_size: AtLeastOne = 32  # pages or sentences of a micro-batch
    accumulate: AtLeastOne = 1  # micro-batches of one optimizer step
    learning_rate: Weight = 1e-3
    # or "muon", for the matrices of the layers, with AdamW for all else
    optimizer: Annotated[str, OneOf(("adamw", "muon"))] = "adamw"
    muon_learning_rate: Weight = 4e-3  # of Muon's matrices
    betas: Annotated[list[BelowOne], Items((2, 2))] = field(default_factory=lambda: [0.9, 0.98])
    weight_decay: Weight = 0.01
    warmup_steps: Count = 100
    # "polynomial", "cosine" or "constant" after the warm-up
    decay: Annotated[str, OneOf(("polynomial", "cosine", "constant"))] = "cosine"
    decay_power: Weight = 1.0  # of the polynomial
    decay_from: BelowOne = 0.0  # share of the run after which the decay begins; until then the rate is constant
    clip: Weight = 1.0  # largest gradient norm; 0: none
    ema: BelowOne = 0.0  # decay of the moving average of the weights; 0: off
    average: Count = 0  # final weights are the mean of the last checkpoints, this many; 0: off
    precision: Annotated[str, OneOf(("fp32", "bf16"))] = "fp32"  # or "bf16" autocast
    evaluate_every: AtLeastOne = 500
    checkpoint_every: AtLeastOne = 200
    keep: AtLeastOne = 1  # checkpoints kept beside those still to be averaged
    log_every: AtLeastOne = 20
    seed: Annotated[int, Range(0, 2**32 - 1)] = 1
    threads: Annotated[int, Range(1, 1024)] = 1
    workers: Annotated[int, Range(0, 1024)] = 0  # processes that render; 0 renders in the loop
    device: Annotated[str, OneOf(("auto", "cpu", "cuda"))] = "auto"  # "cpu", "cuda" or "auto"


@dataclass
class Config:
    """One run: a stage, its model, data, losses and loop."""

    stage: str = "translator"  # what is trained; training/stages knows them and checks what each needs
    run: str = "runs/tiny/translator"  # folder of checkpoints, logs and sample sheets
    model: ModelConfig = field(default_factory=ModelConfig)
    page: PageConfig = field(default_factory=PageConfig)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    ssr: SsrConfig = field(default_factory=SsrConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    vocabulary: str = ""  # run or checkpoint whose vocabulary is used; empty: that of ``start``, else a new one
    start: dict[str, str] = field(default_factory=dict)  # module -> run or checkpoint that its weights come from
    # let ``start`` come from another vocabulary: pieces and characters that both know keep their rows of the tables
    map_vocabulary: bool = False
    # let ``start`` come from an image decoder of another tokenizer: its tables of codes are begun anew
    new_codes: bool = False
    freeze: list[str] = field(default_factory=list)  # modules that this run does not change

    def __post_init__(self) -> None:
        for problem in problems(self):
            raise ConfigError(problem)
        for key, section in sections(self):
            width, heads = (getattr(section, name, 1) for name in ("width", "heads"))
            _require(width % heads == 0, f"{key}.width {width} must be a multiple of {key}.heads {heads}")
            if key and hasattr(section, "check"):
                section.check(key)
        for language in self.data.text_languages:
            known = self.model.vocabulary.languages
            _require(
                language in known,
                f"data.text_languages: {language!r} is not in model.vocabulary.languages ({', '.join(known)})",
            )
        own = bool(self.loss.self_distillation or self.loss.self_distillation_kl)
        _require(
            self.model.text_encoder.layers > 0 or not (self.data.text_share or own),
            "data.text_share and loss.self_distillation need a text mode: model.text_encoder.layers is 0",
        )
        self._check_ssr(own)
        _require(
            not self.loss.ctc_inner or 1 <= self.loss.ctc_inner_layer <= self.model.image_encoder.layers,
            f"loss.ctc_inner_layer must be 1 to {self.model.image_encoder.layers} (model.image_encoder.layers), not "
            f"{self.loss.ctc_inner_layer}",
        )

    def _check_ssr(self, self_distillation: bool) -> None:
        if not self.ssr.reader:
            return
        _require(not self.data.both_languages, "ssr.reader: set data.both_languages=false, transcripts are of one side")
        _require(
            not self_distillation,
            "ssr.reader: set loss.self_distillation=0 loss.self_distillation_kl=0, whose answers have no transcript",
        )


def load_config(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Read a run's settings.

    Args:
        path: YAML file; ``None`` starts from the defaults.
        overrides: ``key=value`` strings with dotted keys, such as ``trainer.steps=100``.

    Raises:
        ConfigError: the file is missing or not YAML, a key is unknown (the nearest is named), or a value does not fit.
    """
    layers: list[tuple[str, DictConfig]] = list(_read_layers(Path(path))) if path is not None else []
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"{override!r} is no setting: write key=value, such as trainer.steps=100")
        try:
            layers.append((override, OmegaConf.from_dotlist([f"{key}={value or repr('')}"])))
        except (OmegaConfBaseException, ValueError) as error:
            raise ConfigError(f"{override!r}: {_first_line(error)}") from None
    merged: Any = OmegaConf.structured(Config)
    for origin, layer in layers:
        try:
            merged.merge_with(layer)  # in place: ``merge`` copies all settings each time
        except ConfigKeyError as error:
            raise ConfigError(f"{origin}: {_unknown_key(str(error.full_key))}") from None
        except OmegaConfBaseException as error:
            raise ConfigError(f"{origin}: {error.full_key}: {_first_line(error)}") from None
    try:
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path or 'settings'}: {_first_line(error)}") from None


def config_from_text(text: str, origin: str) -> Config:
    """The settings that ``to_yaml`` wrote; ``origin`` names them in errors."""
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(text))
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except ConfigKeyError as error:
        raise ConfigError(f"{origin}: {_unknown_key(str(error.full_key))}") from None
    except OmegaConfBaseException as error:
        raise ConfigError(f"{origin}: {_first_line(error)}") from None


def to_yaml(config: Config) -> str:
    """The settings as YAML, every key written out."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _read_layers(path: Path, above: tuple[Path, ...] = ()) -> Iterator[tuple[str, DictConfig]]:
    if path.resolve() in above:
        raise ConfigError(f"{path}: is its own base, by way of the files that it names under 'base'")
    if not path.is_file():
        raise ConfigError(f"{path}: no such config file")
    try:
        layer = OmegaConf.load(path)
    except Exception as error:  # the YAML library raises a family of its own
        raise ConfigError(f"{path}: not a YAML file: {_first_line(error)}") from None
    if not isinstance(layer, DictConfig):
        raise ConfigError(f"{path}: a config file holds keys and values")
    base = layer.pop("base", None)
    if base is not None:
        yield from _read_layers(path.parent / str(base), (*above, path.resolve()))
    yield str(path), layer


def _unknown_key(key: str) -> str:
    known = list(_known_keys(Config))
    leaf = key.rsplit(".", 1)[-1]
    misspelt = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
    elsewhere = [name for name in known if name.rsplit(".", 1)[-1] == leaf]  # the right name in the wrong section
    nearest = misspelt or elsewhere or difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"; the nearest is {nearest[0]!r}" if nearest else ""
    return f"unknown key {key!r}{hint}"


def _known_keys(cls: type, prefix: str = "") -> Iterator[str]:
    for item in fields(cls):
        name = f"{prefix}{item.name}"
        yield name
        if item.default_factory is not MISSING and is_dataclass(default := item.default_factory()):
            yield from _known_keys(type(default), f"{name}.")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
