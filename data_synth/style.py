"""What a page looks like (`PageStyle`), how large it is (`PageLayout`), and how looks are drawn at random."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from data_synth.errors import UserError
from data_synth.photographs import bundled_photographs

Colour = tuple[int, int, int]

KINDS = ("line", "paragraph", "blocks")
BACKGROUNDS = ("plain", "gradient", "photo", "folder")
BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)
_READABLE = 4.5  # contrast ratio that WCAG 2 asks of body text


@dataclass(frozen=True)
class PageStyle:
    """How a page looks; both pages of a pair share one.

    The defaults are the plain strip on which small models are trained: black DejaVu Sans of 11 px on white, lines
    exactly on a 16-px grid.
    """

    font: str = "DejaVuSans"  # bundled name or path of a font file
    font_size: int = 11  # pixels per em
    line_height: int = 16  # rows per line; 0 takes what the font needs
    margin: int = 2  # columns left free at either side
    top: int = 0  # rows left free above the first line and below the last
    word_grid: int = 0  # words start at multiples of this many columns after the margin; 0: a space apart
    advance_grid: int = 1  # letters advance by multiples of this many columns; 1: as the font says
    ink: Colour = BLACK  # colour of the text
    paper: Colour = WHITE  # colour of a plain background, of a gradient's start, of what a photograph fades to
    background: str = "plain"  # one of BACKGROUNDS
    paper_end: Colour = WHITE  # colour of a gradient's end
    picture: str = ""  # name of a bundled photograph, or path of the user's
    fade: float = 0.0  # share of paper mixed into a photograph, 0..1
    noise: float = 0.0  # standard deviation of Gaussian noise, grey levels
    blur: float = 0.0  # radius of Gaussian blur, pixels
    jpeg: int = 0  # JPEG quality the page goes through, 1..95; 0 for none
    seed: int = 0  # of the gradient's direction, the photograph's crop and the noise

    def to_json(self) -> str:
        """All fields as JSON; files of the user's by name only, so that records do not depend on folders."""
        short = replace(self, font=Path(self.font).stem, picture=Path(self.picture).name)
        return json.dumps(asdict(short), sort_keys=True)


@dataclass(frozen=True)
class PageLayout:
    """Size and arrangement of a page."""

    height: int = 48  # rows
    width: int = 256  # columns
    channels: int = 1  # 1 grey, 3 RGB
    kind: str = "paragraph"  # "line": one line; "paragraph": wrapped; "blocks": one block per line of the text

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise UserError(f"page size {self.height}x{self.width}: both sides must be positive")
        if self.channels not in (1, 3):
            raise UserError(f"channels={self.channels}: a page has 1 (grey) or 3 (RGB)")
        if self.kind not in KINDS:
            raise UserError(f"kind={self.kind!r}: choose one of {', '.join(KINDS)}")


@dataclass(frozen=True)
class StyleOptions:
    """The range from which `sample_style` draws; the defaults leave nothing to chance."""

    fonts: tuple[str, ...] = ("DejaVuSans",)  # one is drawn per pair
    sizes: tuple[int, int] = (11, 11)  # smallest and largest font size, pixels, inclusive
    line_height: int = 16  # rows per line; 0 takes what the font needs
    margin: int = 2  # columns left free at either side
    top: int = 0  # rows left free above and below
    colours: bool = False  # draw readable colours instead of black on white
    backgrounds: tuple[str, ...] = ("plain",)  # one is drawn per pair
    pictures: tuple[str, ...] = ()  # files that background "folder" draws from
    noise: float = 0.0  # largest noise, grey levels
    blur: float = 0.0  # largest blur radius, pixels
    jpeg: int = 0  # lowest JPEG quality; 0 leaves JPEG out

    def __post_init__(self) -> None:
        if not self.fonts:
            raise UserError("fonts: at least one is needed")
        if not 1 <= self.sizes[0] <= self.sizes[1]:
            raise UserError(f"font size {self.sizes[0]}-{self.sizes[1]}: expected 1 <= smallest <= largest")
        for name in self.backgrounds or ("",):
            if name not in BACKGROUNDS:
                raise UserError(f"background {name!r}: choose from {', '.join(BACKGROUNDS)}")
        if "folder" in self.backgrounds and not self.pictures:
            raise UserError("background 'folder' has no pictures: name a folder of PNG, JPEG or WebP files")
        if min(self.noise, self.blur, self.margin, self.top, self.line_height) < 0:
            raise UserError("noise, blur, margin, top and line height cannot be negative")
        if not 0 <= self.jpeg <= 95:
            raise UserError(f"jpeg={self.jpeg}: a quality from 1 to 95, or 0 for none")


def sample_style(rng: np.random.Generator, options: StyleOptions) -> PageStyle:
    """Draw one style; text stays readable on its background (contrast ratio of at least 4.5)."""
    background = _pick(rng, options.backgrounds)
    ink, paper, paper_end = _colours(rng, options.colours, background)
    picture = ""
    if background in ("photo", "folder"):
        picture = _pick(rng, options.pictures if background == "folder" else tuple(bundled_photographs()))
    return PageStyle(
        font=_pick(rng, options.fonts),
        font_size=int(rng.integers(options.sizes[0], options.sizes[1] + 1)),
        line_height=options.line_height,
        margin=options.margin,
        top=options.top,
        ink=ink,
        paper=paper,
        background=background,
        paper_end=paper_end,
        picture=picture,
        fade=round(float(rng.uniform(0.55, 0.85)), 3) if picture else 0.0,
        noise=round(float(rng.uniform(0, options.noise)), 2),
        blur=round(float(rng.uniform(0, options.blur)), 2),
        jpeg=int(rng.integers(options.jpeg, 96)) if options.jpeg else 0,
        seed=int(rng.integers(2**31)),
    )


def contrast(first: Colour, second: Colour) -> float:
    """WCAG 2 contrast ratio of two sRGB colours, 1..21."""
    brighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: Colour) -> float:
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _random_colour(rng: np.random.Generator) -> Colour:
    red, green, blue = (int(level) for level in rng.integers(0, 256, size=3))
    return red, green, blue


def _colours(rng: np.random.Generator, free: bool, background: str) -> tuple[Colour, Colour, Colour]:
    """Ink, paper and the gradient's end."""
    if not free:
        grey = int(rng.integers(160, 256)) if background == "gradient" else 255
        return BLACK, WHITE, (grey, grey, grey)
    for _ in range(100):
        ink, paper = _random_colour(rng), _random_colour(rng)
        if background in ("photo", "folder"):
            # A faded photograph holds every shade between mid-grey and its paper, so only the extremes stay readable.
            paper = WHITE if _luminance(paper) > 0.2 else BLACK
            ends = ((140, 140, 140), paper) if paper == WHITE else ((115, 115, 115), paper)
        elif background == "gradient":
            ends = (paper, _random_colour(rng))
        else:
            ends = (paper, paper)
        if min(contrast(ink, end) for end in ends) >= _READABLE:
            return ink, paper, ends[1]
    return BLACK, WHITE, WHITE
