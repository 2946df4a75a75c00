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

from translatotron_v.errors import first_line
from translatotron_v.model_config import CanvasConfig as CanvasConfig
from translatotron_v.model_config import DiscriminatorConfig as DiscriminatorConfig
from translatotron_v.model_config import ImageDecoderConfig as ImageDecoderConfig
from translatotron_v.model_config import ImageEncoderConfig as ImageEncoderConfig
from translatotron_v.model_config import ModelConfig as ModelConfig
from translatotron_v.model_config import PixelBaselineConfig as PixelBaselineConfig
from translatotron_v.model_config import TeacherConfig as TeacherConfig
from translatotron_v.model_config import TextMattingConfig as TextMattingConfig
from translatotron_v.model_config import TokenizerConfig as TokenizerConfig
from translatotron_v.model_config import TransformerConfig as TransformerConfig
from translatotron_v.model_config import VocabularyConfig as VocabularyConfig
from translatotron_v.ranges import (
    AtLeastOne,
    BelowOne,
    Count,
    Items,
    Layers,
    OneOf,
    Pixels,
    PixelsOrNone,
    Positive,
    Range,
    Share,
    Weight,
    problems,
    require,
    sections,
)
from translatotron_v.ranges import ConfigError as ConfigError


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
    narrowed: Share = 0.0  # share of a reader's strips in letters narrower than their face's, by up to two fifths
    allow_missing: bool = False  # go on without faces of that file that are not on this machine
    # share of degraded strips, at first and later
    degraded: Annotated[list[Share], Items((2, 2))] = field(default_factory=lambda: [0.34, 0.67])
    degraded_steps: Count = (
        20_000  # over which the share and the strength of degradation grow from the one to the other
    )

    def check(self, key: str) -> None:
        """What the ranges of single fields do not say."""
        sizes = self.source_sizes
        require(sizes == sorted(sizes), f"{key}.source_sizes: the smallest size comes first: {sizes}")


@dataclass
class DataConfig:
    """Where text comes from and how it becomes training samples."""

    # corpus: folder, Moses prefix, TSV or IWSLT release, or pages rendered by data_synth; "grammar" needs no file; of a
    # mixture, the folder that its paths start from. Pages of s3://, gs://, hf://, file://, ... are streamed
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
    cache_gb: Positive = 20.0  # how much of it copies of shards may take, where data.folder is s3://, gs://, hf://, ...
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
    degraded: Share = 0.0  # share of source strips that are hard to read, as a reader's are; needs page.source_sizes
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
    # share of the pages that are drawn word by word, each word on a page of its own, for parallel decoding of words
    words: Share = 0.0
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
    # what a piece of a transcript counts in the loss, one of a translation being 1; 0: transcripts are not learnt
    weight: Weight = 1.0
    # share of the pages whose answer is the translation alone, so that both kinds of answers are learnt
    dropped: Share = 0.0


@dataclass
class TrainerConfig:
    """The loop: how long, how fast, and what is kept."""

    steps: AtLeastOne = 1000  # optimizer steps
    minutes: Positive | None = None  # stop after this much wall-clock time over all resumes, if steps do not end first
    # stop after so many CPU-seconds of the loop, evaluations included, over all ranks and resumes, if nothing else does
    cpu_seconds: Positive | None = None
    # end after so many evaluations without a better score, with the weights of the best one; 0: go on to the end
    patience: Count = 0
    watch: str = ""  # which score of the evaluations that is, such as "bleu"; of errors ("..._cer") less is better
    batch_size: AtLeastOne = 32  # pages or sentences of a micro-batch, of all ranks together
    accumulate: AtLeastOne = 1  # micro-batches of one optimizer step
    learning_rate: Weight = 1e-3
    # or "muon", for the matrices of the layers, with AdamW for all else
    optimizer: Annotated[str, OneOf(("adamw", "muon"))] = "adamw"
    muon_learning_rate: Weight = 4e-3  # of Muon's matrices
    # module -> what its learning rates are multiplied by, such as image_encoder: 0.1; 1 where none is named
    rate_factors: dict[str, Positive] = field(default_factory=dict)
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
    shard: bool = False  # let the ranks share out parameters, gradients and optimizer state (docs/scale.md)
    recompute: bool = False  # keep no activations of the image encoder's blocks: they are computed again going back
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
    # modules that this run does not change; "text_mode" is all that text mode passes through
    freeze: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for problem in problems(self):
            raise ConfigError(problem)
        for key, section in sections(self):
            width, heads = (getattr(section, name, 1) for name in ("width", "heads"))
            require(width % heads == 0, f"{key}.width {width} must be a multiple of {key}.heads {heads}")
            if key and hasattr(section, "check"):
                section.check(key)
        for language in self.data.text_languages:
            known = self.model.vocabulary.languages
            require(
                language in known,
                f"data.text_languages: {language!r} is not in model.vocabulary.languages ({', '.join(known)})",
            )
        own = bool(self.loss.self_distillation or self.loss.self_distillation_kl)
        require(
            self.model.text_encoder.layers > 0 or not (self.data.text_share or own),
            "data.text_share and loss.self_distillation need a text mode: model.text_encoder.layers is 0",
        )
        require(
            not self.trainer.patience or bool(self.trainer.watch),
            "trainer.patience: name the score to wait for, such as trainer.watch=bleu",
        )
        require(
            not self.data.degraded or bool(self.page.source_sizes),
            "data.degraded: strips are worn at sizes of their own; name them, such as page.source_sizes=[8,40]",
        )
        self._check_ssr(own)
        self._check_words()
        require(
            not self.loss.ctc_inner or 1 <= self.loss.ctc_inner_layer <= self.model.image_encoder.layers,
            f"loss.ctc_inner_layer must be 1 to {self.model.image_encoder.layers} (model.image_encoder.layers), not "
            f"{self.loss.ctc_inner_layer}",
        )

    def _check_words(self) -> None:
        share, tokenizer, page = self.loss.words, self.model.tokenizer, self.page
        if not share:
            return
        rows, columns = tokenizer.patch
        require(share + self.loss.masked <= 1, "loss.words and loss.masked are shares of the same pages: 1 in all")
        require(
            tokenizer.encoder == "patch_codebook" and page.line_height == rows and page.margin < columns
            and page.word_grid > 0 and page.word_grid % columns == 0,
            f"loss.words needs words that begin at image tokens: model.tokenizer.encoder=patch_codebook, "
            f"page.line_height {rows}, page.word_grid a multiple of {columns}, page.margin below {columns}",
        )  # fmt: skip

    def _check_ssr(self, self_distillation: bool) -> None:
        if not self.ssr.reader:
            return
        require(not self.data.both_languages, "ssr.reader: set data.both_languages=false, transcripts are of one side")
        require(
            self.ssr.weight > 0 or self.data.translated == 1 or self.ssr.untranslated == 0,
            "ssr.weight=0 learns nothing of pages without a translation: set ssr.untranslated=0",
        )
        require(
            not self.data.degraded, "ssr.reader: set data.degraded=0, transcripts are what is read on pages as they are"
        )
        require(
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
            raise ConfigError(f"{override!r}: {first_line(error)}") from None
    merged: Any = OmegaConf.structured(Config)
    for origin, layer in layers:
        try:
            merged.merge_with(layer)  # in place: ``merge`` copies all settings each time
        except ConfigKeyError as error:
            raise ConfigError(f"{origin}: {_unknown_key(str(error.full_key))}") from None
        except OmegaConfBaseException as error:
            raise ConfigError(f"{origin}: {error.full_key}: {first_line(error)}") from None
    try:
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path or 'settings'}: {first_line(error)}") from None


def config_from_text(text: str, origin: str) -> Config:
    """The settings that ``to_yaml`` wrote; ``origin`` names them in errors."""
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.create(text))
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except ConfigKeyError as error:
        raise ConfigError(f"{origin}: {_unknown_key(str(error.full_key))}") from None
    except OmegaConfBaseException as error:
        raise ConfigError(f"{origin}: {first_line(error)}") from None


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
        raise ConfigError(f"{path}: not a YAML file: {first_line(error)}") from None
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
