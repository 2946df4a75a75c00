"""The stages of training, by name: one registry for the settings' check, the command line and whoever builds one.

One file a stage; ``base.py`` has what all share. What stands here is light: a stage's module, and torch with it, is
imported when its class is asked for.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from translatotron_v.config import Config, ConfigError
from translatotron_v.ranges import OneOf

if TYPE_CHECKING:
    from translatotron_v.training.stages.base import Stage


@dataclass(frozen=True)
class StageEntry:
    """A stage as the registry knows it.

    Attributes:
        module, cls: of its class, the module's name in this package.
        about: what it is for, in one line of the command's help.
        losses: weights in ``loss`` of which it needs one; empty where its loss has no weight.
        text_mode: whether it has a text mode to mix text-only batches into.
        few_pairs: whether it learns no words, so that some pairs of a mixture are enough.
    """

    module: str
    cls: str
    about: str
    losses: tuple[str, ...] = ()
    text_mode: bool = False
    few_pairs: bool = False


STAGES = {
    "separator": StageEntry(
        "separator", "SeparatorStage", "optional: tells ink from background in pictures of any kind", few_pairs=True
    ),
    "tokenizer": StageEntry(
        "tokenizer",
        "TokenizerStage",
        "pictures to tokens and back (stage 1 of the paper)",
        losses=("l1", "l2", "perceptual"),
    ),
    "reader": StageEntry(
        "reader",
        "ReaderStage",
        "optional: the image encoder learns to read the source page",
        losses=("ctc", "ocr"),
        text_mode=True,
    ),
    "text": StageEntry("text", "TextStage", "optional: text mode learns to translate", text_mode=True),
    "teacher": StageEntry("teacher", "TeacherStage", "text to image (stage 2a)"),
    "translator": StageEntry(
        "translator",
        "TranslatorStage",
        "image to image, with text, OCR and distillation beside it (stage 2b)",
        losses=(
            "image", "distillation", "ocr", "text", "ctc", "text_mode", "text_distillation", "self_distillation",
            "self_distillation_kl", "transcription",
        ),
        text_mode=True,
    ),
    "pixel_baseline": StageEntry(
        "pixel_baseline",
        "PixelBaselineStage",
        "a baseline to compare with: pixels to pixels, without any text (Tian et al. 2023)",
        few_pairs=True,
    ),
    "probe": StageEntry(
        "probe",
        "ProbeStage",
        "what of a page is left in an image encoder's states (R-Probe); evaluate.py r-probe runs it",
        losses=("pixel_regression",),
        few_pairs=True,
    ),
}  # fmt: skip


def stage_class(name: str) -> type["Stage"]:
    """The class of a stage; its module is imported now."""
    entry = STAGES[name]
    return getattr(import_module(f"{__name__}.{entry.module}"), entry.cls)


def check_stage(config: Config) -> None:
    """What the settings of a run must say for its stage.

    Raises:
        ConfigError: no such stage, nothing that it would learn, or settings of what it does not have; the key is named.
    """
    if refusal := OneOf(tuple(STAGES)).refusal(config.stage):
        raise ConfigError(f"stage {refusal}")
    entry, data = STAGES[config.stage], config.data
    weighted = not entry.losses or any(getattr(config.loss, name) for name in entry.losses)
    if not (weighted or data.text_share or config.model.fonts):
        raise ConfigError(
            f"loss: nothing to train the stage {config.stage!r} on, all of {', '.join(entry.losses)} are 0; set one"
        )
    if data.text_share and not entry.text_mode:
        having = ", ".join(name for name, other in STAGES.items() if other.text_mode)
        raise ConfigError(f"data.text_share: the stage {config.stage!r} has no text mode; {having} have")
    if "ocr" in entry.losses and config.loss.ocr and not config.model.ocr_head.layers:
        raise ConfigError("loss.ocr: the model has no OCR head; set loss.ocr=0, or model.ocr_head.layers")
    if config.ssr.reader and config.stage != "translator":
        raise ConfigError(f"ssr.reader: the stage {config.stage!r} writes no answer; only 'translator' does")
    if config.loss.words and config.stage not in ("teacher", "translator"):
        raise ConfigError(f"loss.words: the stage {config.stage!r} draws nothing; 'teacher' and 'translator' do")
    if config.page.faces and (config.stage != "reader" or config.loss.ocr or data.text_share):
        raise ConfigError("page.faces: is for the stage 'reader' and its CTC head; set loss.ocr=0 data.text_share=0")
    if config.stage == "pixel_baseline":
        config.model.pixel_baseline.grid(config.model.canvas)
