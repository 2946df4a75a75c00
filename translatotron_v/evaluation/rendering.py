"""The pages on which a checkpoint is scored: the pairs of a split, drawn in one of four ways.

`strips` are pages of the model's canvas, as plain as can be, or of the canvas and the typography of a configuration;
`mix` are colour pages of one paragraph in many looks; `blocks` are larger ones, with several captions at places of
their own; `layouts` are menus, forms, screens, ... in which the pairs are the sentences. Equal arguments give equal
pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from data_synth.backgrounds import degrade, pictures_in
from data_synth.corpora import PUBLIC_TEXTS, missing_parts, read_pairs
from data_synth.faces import Family, installed, read_faces
from data_synth.fonts import default_fonts
from data_synth.grounds import GROUNDS as GROUNDS
from data_synth.grounds import LOOKS, draw_on_ground
from data_synth.grounds import GroundPage as GroundPage
from data_synth.layout_translated import translated_pages
from data_synth.layouts import HELD_OUT, TUNING, Texts, draw_layout
from data_synth.layouts import LAYOUTS as LAYOUTS
from data_synth.layouts import LayoutPage as LayoutPage
from data_synth.photographs import bundled_photographs
from data_synth.render import PageLayout, PagePair, PageStyle, StyleOptions, render_page, render_sample
from data_synth.typeset import load_face
from translatotron_v.config import Config, PageConfig, load_config
from translatotron_v.data import pages as data_pages
from translatotron_v.data import shards
from translatotron_v.data.pairs import TextPair, one_family_of_errors, pictures_of, read_split
from translatotron_v.errors import UserError
from translatotron_v.evaluation.generation import Bounds, Page
from translatotron_v.evaluation.options import BACKGROUNDS, PAGES

_LAYOUTS = {"mix": PageLayout(192, 640, 3, "paragraph"), "blocks": PageLayout(512, 512, 3, "blocks")}
_SIZES = {"mix": (10, 28), "blocks": (12, 24)}  # pixels per em
_PAIRS = 4  # to a page of `layouts`
_SENTENCE = 5  # words that make one; what has fewer is a label or a title
_SMALLEST = 10  # pixels per em down to which is tried where a text does not fit
GROUND_LOOKS = LOOKS  # of letters on known ground
_GROUNDS = {"strips": "strips are black on white", "layouts": "layouts have their own"}
_MARGIN = 16  # pixels left free on every side
_MOST_BLOCKS = 4  # on one page
_HARD = 9  # begins the random numbers of what makes a page hard to read;
_BLUR, _NOISE = 2.0, 60.0  # at most, pixels and grey levels
_ATTEMPTS = 8  # how often a page is drawn while two of its blocks could be read as one,
_ANEW = 2**20  # each time in the look of the page that is so many further on


@dataclass(frozen=True)
class TestPage:
    """Pairs of a split on one page, folded as the checkpoint's are, and rendered; a page that does not fit is None.

    Attributes:
        source, reference: the texts; those of several blocks are separated by newlines.
        source_page, reference_page: pixels (H, W, 1 or 3).
        regions: where each block puts its lines, on both pages; none for a page that is one block.
    """

    source: str
    reference: str
    source_page: Page | None
    reference_page: Page | None
    regions: tuple[Bounds, ...] = ()

    @property
    def sources(self) -> list[str]:
        """The source text of each block."""
        return self.source.split("\n")

    @property
    def references(self) -> list[str]:
        """The reference text of each block."""
        return self.reference.split("\n")


@dataclass(frozen=True)
class TestPages:
    """How the pages of a test are drawn.

    Attributes:
        pages: one of `PAGES`, or a configuration (YAML) whose canvas and `page` they have instead of the checkpoint's.
        fonts: bundled names or paths of font files; none: those that the checkpoint was trained on.
        photographs: names of bundled ones, or one folder of pictures, behind the text of some pages of `mix` and
            `blocks`; none: every bundled one.
        seed: of the looks of `mix` and `blocks`, of the places of blocks, and of everything on `layouts`.
        backgrounds: of `mix` and `blocks`, some of `BACKGROUNDS`; none: all of them, drawn page by page.
        degraded: how hard source pages are to read, 0 to 1: blur, noise and JPEG, of which each page has its own share.
        pictures: the files behind `photographs`.

    Raises:
        UserError: a kind of pages, a font, a photograph or a background that does not exist, photographs or backgrounds
            for strips or layouts, or photographs where none is drawn.
    """

    __test__: ClassVar[bool] = False  # to pytest, no class of tests

    pages: str = "strips"
    fonts: tuple[str, ...] = ()
    photographs: tuple[str, ...] = ()
    seed: int = 0
    backgrounds: tuple[str, ...] = ()
    degraded: float = 0.0
    pictures: tuple[str, ...] = field(init=False, repr=False)
    own: Config | None = field(init=False, repr=False)  # the configuration that `pages` names

    def __post_init__(self) -> None:
        configured = Path(self.pages).suffix == ".yaml"
        if self.pages not in PAGES and not configured:
            raise UserError(f"pages {self.pages!r}: choose one of {', '.join(PAGES)}, or name a configuration (.yaml)")
        object.__setattr__(self, "own", load_config(self.pages) if configured else None)
        if self._plain and self.photographs:
            raise UserError(f"photographs: {self._named} have none behind their text; take pages mix or blocks")
        if self._plain and self.backgrounds:
            raise UserError(f"backgrounds: {_GROUNDS[self._named]}; take pages mix or blocks")
        for name in self.backgrounds:
            if name not in BACKGROUNDS:
                raise UserError(f"background {name!r}: choose from {', '.join(BACKGROUNDS)}")
        if not 0 <= self.degraded <= 1:
            raise UserError(f"degraded must lie in 0..1, not {self.degraded:g}")
        if self.photographs and not self._on_photographs:
            raise UserError(f"photographs: none is drawn on backgrounds {', '.join(self.backgrounds)}; add photo")
        with one_family_of_errors():
            for font in self.fonts:
                load_face(font, _SMALLEST, 0)  # is there, and is a font
        object.__setattr__(self, "pictures", _files_of(self.photographs))

    def settings(self, config: Config) -> dict[str, str | int]:
        """For the report: what was drawn, files by their names only."""
        config = self.applied(config)
        photographs = [Path(name).name for name in self.photographs] or ["all bundled"]
        return {
            "pages": self.pages,
            "fonts": ", ".join(Path(font).name for font in self._fonts(config)),
            **({"backgrounds": ", ".join(self.backgrounds)} if self.backgrounds else {}),
            "photographs": ", ".join(photographs) if self._on_photographs else "none",
            **({"degraded": f"{self.degraded:g}"} if self.degraded else {}),
            "seed": self.seed,
        }

    def applied(self, config: Config) -> Config:
        """A checkpoint's settings with the canvas and the typography that the pages have."""
        config = replace(config, loss=replace(config.loss, words=0.0))  # it asks for pages of training
        if self.own is None:
            return config
        return replace(config, page=self.own.page, model=replace(config.model, canvas=self.own.model.canvas))

    def strips(self, config: Config) -> PageConfig:
        """The pages of training in plain typography; in one font only where training had another typography."""
        page = config.page
        if redrawn(page):
            page = replace(page, word_grid=0, advance_grid=1, source_sizes=[])
        return replace(page, fonts=self._fonts(config))

    def looks(self, config: Config) -> StyleOptions:
        """What the styles of `mix` and `blocks` are drawn from."""
        return StyleOptions(
            fonts=tuple(self._fonts(config)),
            sizes=_SIZES[self.pages],
            line_height=0,
            margin=_MARGIN,
            top=_MARGIN,
            colours=True,
            backgrounds=tuple(
                "folder" if name == "photo" and self.pictures else name for name in self.backgrounds or BACKGROUNDS
            ),
            pictures=self.pictures,
        )

    @property
    def _plain(self) -> bool:
        """Whether nothing can be chosen of their backgrounds."""
        return self.pages not in _LAYOUTS

    @property
    def _named(self) -> str:
        """What those of a configuration are as well."""
        return self.pages if self.own is None else "strips"

    @property
    def _on_photographs(self) -> bool:
        """Whether photographs lie behind the text of some pages."""
        return not self._plain and "photo" in (self.backgrounds or BACKGROUNDS)

    def _fonts(self, config: Config) -> list[str]:
        if self.fonts:
            return list(self.fonts)
        one = self._named == "strips" and redrawn(config.page)
        return config.page.fonts[:1] if one else config.page.fonts


def redrawn(page: PageConfig) -> bool:
    """Whether training set its pages in a typography of its own, so that the strips of a test are drawn otherwise."""
    return bool(page.word_grid or page.advance_grid > 1 or page.source_sizes)


def render_split(
    config: Config, split: str, limit: int = 0, blank_source: bool = False, test_pages: TestPages | None = None
) -> list[TestPage]:
    """Render the pairs of a split, or as strips take its pages from shards where there are some (those that fit).

    Every pair is on one page and in the order of the corpus, but for `layouts`, which take their sentences from the
    pairs by chance and labels and titles from the texts that come with the program. Strips take their fonts in turn.

    Args:
        limit: only the first pairs; 0 takes all.
        blank_source: white source pages.
        test_pages: strips in the fonts of training where it is not given.

    Raises:
        UserError: the corpus or the split is missing; fonts for pages that are stored.
    """
    test_pages = test_pages or TestPages()
    pairs = read_split(test_pages.applied(config), split)
    pairs = pairs[:limit] if limit else pairs
    if not pairs:
        raise UserError(f"{config.data.folder}: split {split!r} is empty")
    return render_pairs(pairs, config, blank_source, test_pages)


@one_family_of_errors()
def missing_of(config: Config, split: str) -> list[str]:
    """The test sets that an IWSLT release lacks of its customary ones, by name; none of another corpus or split."""
    data = config.data
    return missing_parts(data.folder, data.source_language, data.target_language, split)


def render_pairs(
    pairs: Sequence[TextPair], config: Config, blank_source: bool = False, test_pages: TestPages | None = None
) -> list[TestPage]:
    """Render pairs as `render_split` does."""
    test_pages = test_pages or TestPages()
    draw = {"mix": _mix, "blocks": _blocks, "layouts": _layouts}.get(test_pages.pages, _strips)
    with one_family_of_errors():
        rendered = draw(pairs, test_pages.applied(config), test_pages)
        if test_pages.degraded:
            rendered = [
                page
                if page.source_page is None
                else replace(page, source_page=_degraded(page.source_page, test_pages, i))
                for i, page in enumerate(rendered)
            ]
    if not blank_source:
        return rendered
    return [
        page if page.source_page is None else replace(page, source_page=np.full_like(page.source_page, 255))
        for page in rendered
    ]


def _degraded(page: Page, test_pages: TestPages, index: int) -> Page:
    """A source page that is hard to read: a function of the seed, the page's number and its pixels."""
    rng = np.random.default_rng([test_pages.seed, index, _HARD])
    blur, noise, jpeg = (test_pages.degraded * float(share) for share in rng.uniform(0.5, 1.0, 3))
    seed = int(rng.integers(2**31))
    return degrade(page, PageStyle(blur=_BLUR * blur, noise=_NOISE * noise, jpeg=round(90 - 80 * jpeg), seed=seed))


def _strips(pairs: Sequence[TextPair], config: Config, test_pages: TestPages) -> list[TestPage]:
    """Pages of the canvas."""
    if test_pages.fonts and any(pictures_of(pair) is not None for pair in pairs):
        raise UserError(f"{config.data.folder}: fonts: its pages are stored as they are; take pages mix or blocks")
    layout = data_pages.page_layout(config.model.canvas)
    samples = data_pages.plain_samples(pairs, replace(config, page=test_pages.strips(config)))
    return [TestPage(item.source, item.target, _strip(item, layout, 0), _strip(item, layout, 1)) for item in samples]


def _strip(sample: data_pages.Sample, layout: PageLayout, side: int) -> Page | None:
    """The source (0) or target (1) page, as it is stored or else rendered; None if its text does not fit."""
    if sample.pictures is not None:
        return shards.decode(sample.pictures[side])
    rendered = data_pages.render_page((sample.source, sample.target)[side], layout, sample.style)
    return None if rendered is None else rendered.pixels


def _mix(pairs: Sequence[TextPair], config: Config, test_pages: TestPages) -> list[TestPage]:
    """Pages (192, 640, 3) of one pair; page i is a function of the seed, i and its texts."""
    return [
        _test_page(TextPair(pair.source, pair.target), _draw(pair, config, test_pages, index), single=True)
        for index, pair in enumerate(pairs)
    ]


def _blocks(pairs: Sequence[TextPair], config: Config, test_pages: TestPages) -> list[TestPage]:
    """Pages (512, 512, 3) of one to four pairs that follow each other; fewer than were drawn where there is no room."""
    pages: list[TestPage] = []
    start = 0
    while start < len(pairs):
        rng = np.random.default_rng([test_pages.seed, len(pages), _MOST_BLOCKS])
        wanted = min(int(rng.integers(1, _MOST_BLOCKS + 1)), len(pairs) - start)
        for count in range(wanted, 0, -1):
            chosen = pairs[start : start + count]
            pair = TextPair("\n".join(one.source for one in chosen), "\n".join(one.target for one in chosen))
            drawn = _draw(pair, config, test_pages, len(pages))
            if drawn is not None or count == 1:
                pages.append(_test_page(pair, drawn))
                start += count
                break
    return pages


def _layouts(pairs: Sequence[TextPair], config: Config, test_pages: TestPages) -> list[TestPage]:
    """Pages (H, W, 3) of all layouts in turn, one for every four pairs, in the fonts of the test."""
    texts = _texts(pairs, config.data.source_language, config.data.target_language)
    families = [Family(font, "sans", (font,)) for font in test_pages._fonts(config)]
    count = max(1, round(len(pairs) / _PAIRS))
    return [
        TestPage(
            "\n".join(block.text for block in page.blocks),
            "\n".join(block.target for block in page.blocks),
            page.pixels,
            translated,
            tuple(block.frame for block in page.blocks),
        )
        for page, translated in translated_pages(texts, families, count, test_pages.seed)
    ]


def _draw(pair: TextPair, config: Config, test_pages: TestPages, index: int) -> PagePair | None:
    """Both pages in the look that the seed and the page's number give; None if one does not fit.

    Blocks that stand closer than a line's height could be read as one, so they are drawn anew, a few times.
    """
    layout, looks = _LAYOUTS[test_pages.pages], test_pages.looks(config)
    for attempt in range(_ATTEMPTS):
        drawn = render_sample(pair, layout, looks, test_pages.seed, index + attempt * _ANEW, _SMALLEST)[0]
        if drawn is None or _apart(drawn):
            return drawn
    return None


def _apart(drawn: PagePair) -> bool:
    """Whether at least a line's height lies between any two blocks."""
    line = drawn.source.boxes[0].bottom - drawn.source.boxes[0].top
    return all(
        max(max(left, left2) - min(right, right2), max(top, top2) - min(bottom, bottom2)) >= line
        for index, (left, top, right, bottom) in enumerate(drawn.regions)
        for left2, top2, right2, bottom2 in drawn.regions[:index]
    )


def _test_page(pair: TextPair, drawn: PagePair | None, single: bool = False) -> TestPage:
    if drawn is None:
        return TestPage(pair.source, pair.target, None, None)
    regions = () if single else tuple(drawn.regions)
    return TestPage(pair.source, pair.target, drawn.source.pixels, drawn.target.pixels, regions)


def _files_of(photographs: Sequence[str]) -> tuple[str, ...]:
    """The files of bundled photographs, named with their suffix or without it, or those in one folder."""
    if not photographs:
        return ()
    with one_family_of_errors():
        bundled = {Path(name).stem: path for name, path in bundled_photographs().items()}
        names = [name if name in bundled else Path(name).stem for name in photographs]
        known = [Path(name).name == name and stem in bundled for name, stem in zip(photographs, names, strict=True)]
        if all(known):
            return tuple(str(bundled[name]) for name in names)
        if len(photographs) == 1 and Path(photographs[0]).expanduser().is_dir():
            return pictures_in(photographs[0])
    unknown = photographs[known.index(False)]
    raise UserError(
        f"photograph {unknown!r}: neither a folder of pictures nor a bundled photograph ({', '.join(bundled)})"
    )


@one_family_of_errors()
def draw_paragraph(text: str, size: tuple[int, int], font: str, largest: int, smallest: int) -> Page | None:
    """One text, dark on light, as large as fits: (H, W, 3) uint8; None where it does not even fit at the smallest size.

    Args:
        size: width and height of the page, pixels.
        font: bundled name or file.
        largest, smallest: pixels per em.
    """
    layout = PageLayout(size[1], size[0], 3, "paragraph")
    for em in range(largest, smallest - 1, -1):
        style = PageStyle(font=font, font_size=em, line_height=0, margin=_MARGIN, top=_MARGIN)
        if (page := render_page(text, layout, style)) is not None:
            return page.pixels
    return None


def layout_pages(
    layouts: Sequence[str], faces: str, held_out: bool, limit: int, seed: int, pairs: Sequence[TextPair] = ()
) -> Iterator[LayoutPage]:
    """Pages of known layout, so many of each, in the texts that come with the program.

    Args:
        pairs: sentences that stand there instead of those; labels and titles, of four words at most, remain.
        layouts: names of them; none: all.
        faces: file of faces; those of its part "unseen" are on held-out pages, those of "training" on the others.
        held_out: in measures and faces on which no threshold was chosen.

    Raises:
        UserError: an unknown layout, a file of faces that cannot be read, or none of its faces installed.
    """
    with one_family_of_errors():
        families, missing = installed(read_faces(faces, "unseen" if held_out else "training"))
        if not families:
            raise UserError(f"{faces}: none of its faces is installed; they come with {', '.join(missing)}")
        texts = _texts(pairs, "de", "en")
        for layout in layouts or LAYOUTS:
            for index in range(limit):
                yield draw_layout(layout, texts, families, HELD_OUT if held_out else TUNING, seed, index)


def _texts(pairs: Sequence[TextPair], source: str, target: str) -> Texts:
    """What stands on pages of known layout: the texts that come with the program, pairs in place of their sentences."""
    own = read_pairs(PUBLIC_TEXTS, source, target)
    return Texts([*(pair for pair in own if len(pair.source.split()) < _SENTENCE), *pairs] if pairs else own)


@one_family_of_errors()
def draw_ground_page(
    key: tuple[int, int],
    ground: str,
    texts: Sequence[tuple[str, ...]],
    sizes: tuple[int, int],
    photographs: Sequence[str] = (),
    quality: int = 0,
) -> GroundPage:
    """A page of text over known ground; all but its format is a function of the key and the kind of ground.

    Args:
        key: a seed, and the page's number, by which the looks take turns.
        ground: one of `GROUNDS`.
        texts: the lines of one of them are drawn.
        sizes: smallest and largest, pixels per em.
        photographs: names of bundled ones; none: all.
        quality: of its JPEG, 0 for none.

    Raises:
        UserError: a photograph that is not bundled.
    """
    unknown = [name for name in photographs if name not in bundled_photographs()]
    if unknown:
        raise UserError(f"photograph {unknown[0]!r}: choose from {', '.join(bundled_photographs())}")
    rng = np.random.default_rng((key[0], GROUNDS.index(ground), key[1]))
    em = round(float(np.exp(rng.uniform(*np.log(sizes)))))
    lines = texts[int(rng.integers(len(texts)))]
    fonts = default_fonts()
    font = fonts[int(rng.integers(len(fonts)))]
    look = GROUND_LOOKS[key[1] % len(GROUND_LOOKS)]
    return draw_on_ground(rng, ground, look, lines, font, em, tuple(photographs), quality)
