"""How a translator answers: the one set of options from the command line and the Python API down to the decoders.

A leaf: decoding and inference both stand on it. Weights have a set of their own (``LoadedTranslator.generation``); what
a caller asks for is put over it by ``GenerationConfig.updated``. Every value is checked here, when a set is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypedDict, runtime_checkable

from translatotron_v.errors import UserError
from translatotron_v.ranges import AtLeastOne, Count, OneOf, Positive, Range, Share, problems, refusal_of

if TYPE_CHECKING:
    from typing_extensions import Unpack


TOKENS, WORDS = "tokens", "words"  # ways of drawing


@runtime_checkable
class Annotator(Protocol):
    """What writes the wanted translations of terms into a text (``inference.glossary.Glossary``)."""

    def insertions(self, text: str) -> Sequence[tuple[int, str]]:
        """What is written into the text, as (place in the text, what comes before that place), in order."""
        ...

    def annotate(self, text: str) -> str:
        """The text with all of that in it."""
        ...


@dataclass(frozen=True)
class GenerationConfig:
    """Options of one call.

    Attributes:
        source_language, target_language: tags that the model knows; "": those that it was trained for, which decoders
            do not know (``LoadedTranslator.complete`` fills them in).
        beams: of the text; 1 is greedy.
        drawing: how a picture's tokens are written: "tokens", all of them one after the other, or "words", those of all
            words at once, for weights trained for it.
        image_steps: passes that draw a picture by masked prediction, for weights trained for it; 0: none.
        top_k: image tokens are drawn from this many, 1 is greedy; ``temperature`` flattens their distribution.
        seed: of the drawing with ``top_k`` above 1; None: another one each time.
        transcribe: the answer begins with a transcript of the source, as that of a model trained by SSR does.
        glossary: terms to translate as it says.
        numbers: "keep" those of the source, or "localize" them: decimal signs and points in times as the target
            language has them (``data.literals.localize``).
        redraws: how often a word of a whole page that the model reads as something else than it was to draw is drawn
            again; 0: what is drawn is not read. A block with a word that stays wrong is left as it was ("misdrawn").
        min_confidence: blocks whose translation is right with a smaller probability stay as they are.

    Raises:
        UserError: a value out of its range, or parallel decoding together with sampling.
    """

    source_language: str = ""
    target_language: str = ""
    beams: Annotated[int, Range(1, 1024)] = 1
    drawing: Annotated[str, OneOf((TOKENS, WORDS))] = TOKENS
    image_steps: Count = 0
    top_k: AtLeastOne = 1
    temperature: Positive = 1.0
    seed: Annotated[int, Range(0, 2**32 - 1)] | None = None
    transcribe: bool = False
    glossary: Annotator | None = None
    numbers: Annotated[str, OneOf(("keep", "localize"))] = "keep"
    redraws: Annotated[int, Range(0, 16)] = 0
    min_confidence: Share = 0.0

    def __post_init__(self) -> None:
        for problem in problems(self):
            raise UserError(problem)
        if self.image_steps and self.top_k > 1:
            raise UserError(
                f"parallel decoding (image_steps {self.image_steps}) is greedy; take image_steps 0 with top_k"
            )
        if self.image_steps and self.drawing == WORDS:
            raise UserError(f"drawing words leaves no passes to image_steps {self.image_steps}; take one of the two")

    @property
    def numbers_for(self) -> str:
        """The language as whose texts literals are written, "" where they stay as the source has them."""
        return self.target_language if self.numbers == "localize" else ""

    def updated(self, **options: "Unpack[GenerationOptions]") -> "GenerationConfig":
        """With what is given; None leaves a value as it is, and sampling draws token by token unless told otherwise.

        Raises:
            UserError: as of the class.
        """
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        if given.get("top_k", 1) != 1 or given.get("drawing") == WORDS:
            given.setdefault("image_steps", 0)
        if given.get("image_steps"):
            given.setdefault("drawing", TOKENS)
        return replace(self, **given)


class GenerationOptions(TypedDict, total=False):
    """The fields of ``GenerationConfig`` as keyword arguments; None: as the weights say."""

    source_language: str | None
    target_language: str | None
    beams: int | None
    drawing: str | None
    image_steps: int | None
    top_k: int | None
    temperature: float | None
    seed: int | None
    transcribe: bool | None
    glossary: Annotator | str | Path | None  # a path: of the file that holds it, read by `Translator`
    numbers: str | None
    redraws: int | None
    min_confidence: float | None


AS_TRAINED = GenerationConfig()  # greedy, token by token, in the languages of training


def check_option(name: str, value: int | float) -> None:
    """Raises UserError for a number that the option of that name does not take."""
    if refusal := refusal_of(GenerationConfig, name, value):
        raise UserError(f"{name} {refusal}")


def check_batch_size(batch_size: int) -> None:
    """Raises UserError for a batch of less than one."""
    if batch_size < 1:
        raise UserError(f"batch size must be at least 1, not {batch_size}")
