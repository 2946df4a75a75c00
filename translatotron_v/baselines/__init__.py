"""What the model is compared with: cascades with their drawers and typesetter, and pixels to pixels.

They take the place of the model between the blocks of a page and the words that are put back
(`inference.whole_pages.System`), so that a comparison is about nothing else: lines, separation and composing are the
same for all. Inference knows none of them; whoever wants one hands it in:

    Translator.from_pretrained(weights, system=baseline("cascade-reader-render"))
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from translatotron_v.arguments import SYSTEMS
from translatotron_v.errors import UserError

if TYPE_CHECKING:
    from translatotron_v.inference.loaded import LoadedTranslator
    from translatotron_v.inference.whole_pages import System

TEXT_TO_IMAGE = "runs/small/text_to_image"  # where `make text-to-image` leaves what draws,
PIXELS = "runs/small/pixels"  # and `make pixels` the baseline


@dataclass(frozen=True)
class Baseline:
    """A baseline that is still to be built, on weights that translate whole pages.

    Attributes:
        name: one of `SYSTEMS` but the first.
        weights: run of its text-to-image or pixel model; `TEXT_TO_IMAGE` or `PIXELS` where not given.
    """

    name: str
    weights: str | Path = ""

    def __call__(self, loaded: "LoadedTranslator") -> "System":
        """The system; the loaded weights lend it reader, translator and vocabulary.

        Raises:
            UserError: an unknown name, or weights that are missing or belong to other settings.
        """
        if self.name not in SYSTEMS[1:]:
            raise UserError(f"system {self.name!r}: choose one of {', '.join(SYSTEMS)}")
        if self.name == "pixels":
            from translatotron_v.baselines.pixels import Pixels

            return Pixels.from_folder(self.weights or PIXELS, loaded)
        from translatotron_v.baselines.cascade import Cascade
        from translatotron_v.baselines.drawers import TextToImageDrawer
        from translatotron_v.baselines.typesetter import Typesetter
        from translatotron_v.ocr import make_reader

        _, reads, draws = self.name.split("-")
        drawing = draws == "draw"
        drawer = TextToImageDrawer.from_folder(self.weights or TEXT_TO_IMAGE, loaded) if drawing else Typesetter(loaded)
        reader = make_reader("rapidocr") if reads == "rapidocr" else None
        return Cascade(loaded, drawer, reader, through_text=reads != "tit")


def baseline(name: str, weights: str | Path = "") -> Baseline | None:
    """The baseline of a name, or None for the model as it is, the first of `SYSTEMS`."""
    return None if name == SYSTEMS[0] else Baseline(name, weights)
