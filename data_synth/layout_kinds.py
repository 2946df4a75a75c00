"""The kinds of pages: how each is laid out, and how wide it is."""

from collections.abc import Callable
from typing import NamedTuple

from data_synth import layout_prints as prints
from data_synth import layout_screens as screens
from data_synth.layout_sheet import Sheet


class Kind(NamedTuple):
    """How a kind is laid out, and from which width to which it comes."""

    lay: Callable[[Sheet], None]
    widths: tuple[int, int]


KINDS: dict[str, Kind] = {
    "menu": Kind(prints.lay_menu, (400, 1600)),
    "form": Kind(prints.lay_form, (480, 1200)),
    "receipt": Kind(prints.lay_receipt, (400, 720)),
    "screen": Kind(screens.lay_screen, (400, 900)),
    "flyer": Kind(screens.lay_flyer, (480, 1200)),
    "columns": Kind(prints.lay_columns, (560, 1600)),
    "table": Kind(prints.lay_table, (560, 1600)),
    "chart": Kind(screens.lay_chart, (480, 1600)),
    "comic": Kind(screens.lay_comic, (480, 1400)),
    "slide": Kind(screens.lay_slide, (640, 1600)),
}
