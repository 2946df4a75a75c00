"""What the model is compared with: cascades with their drawers and typesetter, and pixels to pixels.

They take the place of the model between the blocks of a page and the words that are put back
(`inference.whole_pages.BlockTranslator`), so that a comparison is about nothing else: lines, separation and composing
are the same for all. Inference knows none of them; whoever wants one hands it in:

    Translator.from_pretrained(weights, baseline=baseline("cascade-reader-render"))
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from translatotron_v.arguments import BASELINES
from translatotron_v.errors import UserError

if TYPE_CHECKING:
    from translatotron_v.inference.loaded import LoadedTranslator
    from translatotron_v.inference.whole_pages import BlockTranslator

TEXT_TO_IMAGE = "runs/small/text_to_image"  # where `make text-to-image` leaves what draws,
PIXELS = "runs/small/pixel_baseline"  # and `make pixels` the baseline


@dataclass(frozen=True)
class Baseline:
    """A baseline that is still to be built, on weights that translate whole pages.

    Attributes:
        name: one of `BASELINES` but the first.
        weights: run of its text-to-image or pixel model; `TEXT_TO_IMAGE` or `PIXELS` where not given.
    """

    name: str
    weights: str | Path = ""

    def __call__(self, loaded: "LoadedTranslator") -> "BlockTranslator":
        """The baseline; the loaded weights lend it reader, translator and vocabulary.

        Raises:
            UserError: an unknown name, or weights that are missing or belong to other settings.
        """
        if self.name not in BASELINES[1:]:
            raise UserError(f"baseline {self.name!r}: choose one of {', '.join(BASELINES)}")
        if self.name == "pixels":
            from translatotron_v.baselines.pixels import PixelTranslator

            return PixelTranslator.from_folder(self.weights or PIXELS, loaded)
        from translatotron_v.baselines.cascade import Cascade
        from translatotron_v.baselines.drawers import TextToImageDrawer
        from translatotron_v.baselines.typesetter import Typesetter
        from translatotron_v.ocr import make_ocr_engine

        _, reads, draws = self.name.split("-")
        drawing = draws == "draw"
        drawer = TextToImageDrawer.from_folder(self.weights or TEXT_TO_IMAGE, loaded) if drawing else Typesetter(loaded)
        reader = make_ocr_engine("rapidocr") if reads == "rapidocr" else None
        return Cascade(loaded, drawer, reader, through_text=reads != "tit")


def baseline(name: str, weights: str | Path = "") -> Baseline | None:
    """The baseline of a name, or None for the model as it is, the first of `BASELINES`."""
    return None if name == BASELINES[0] else Baseline(name, weights)
