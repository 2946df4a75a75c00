"""Find font files: DejaVu of the matplotlib wheel, a condensed one carried here, pymupdf-fonts, the system's, paths.

Neither matplotlib nor PyMuPDF is imported: the first only lends its folder, and `pymupdf_fonts` holds each font as a
compressed string that is unpacked once into a cache folder.
"""

import difflib
import importlib
import importlib.util
import os
import tempfile
from functools import lru_cache
from pathlib import Path

from data_synth.errors import UserError

FONT_SUFFIXES = (".ttf", ".otf", ".ttc")
_PYMUPDF_FAMILIES = ("FiraGO", "NotoSans", "Ubuntu", "FiraMono", "UbuntuMono", "SpaceMono", "CascadiaMono")
_DEJAVU_FAMILIES = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "DejaVuSansCondensed")
_CARRIED = Path(__file__).resolve().parent / "typefaces"


def package_folder(package: str) -> Path | None:
    """Where an installed package lies, without importing it; None if it is not installed."""
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _cache_folder() -> Path:
    """A writable folder for unpacked fonts: the user's cache, or the temporary folder where there is none."""
    base = os.environ.get("XDG_CACHE_HOME")
    preferred = (Path(base) if base else Path.home() / ".cache") / "translatotron-v" / "fonts"
    user = os.getuid() if hasattr(os, "getuid") else 0
    for folder in (preferred, Path(tempfile.gettempdir()) / f"translatotron-v-fonts-{user}"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise UserError(f"cannot unpack fonts: neither {preferred} nor {tempfile.gettempdir()} is writable")


def _unpack(module: str, name: str) -> Path:
    """Write the font held by `pymupdf_fonts.<module>` to the cache, whole or not at all, and return its path."""
    folder = _cache_folder()
    path = folder / f"{name}.ttf"
    if not path.exists():
        content = importlib.import_module(f"pymupdf_fonts.{module}").fontbuffer
        handle, temporary = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    return path


@lru_cache(maxsize=1)
def _bundled() -> dict[str, tuple[str, str]]:
    """Font name -> ("file", path) for DejaVu or ("module", module name) for a font of pymupdf-fonts."""
    found: dict[str, tuple[str, str]] = {}
    matplotlib = package_folder("matplotlib")
    if matplotlib is not None:
        for path in sorted((matplotlib / "mpl-data" / "fonts" / "ttf").glob("DejaVu*.ttf")):
            if "Display" not in path.stem:
                found[path.stem] = ("file", str(path))
    for path in sorted(_CARRIED.glob("*.ttf")):
        found[path.stem] = ("file", str(path))
    pymupdf = package_folder("pymupdf_fonts")
    if pymupdf is not None:
        for path in sorted(pymupdf.glob("*_*.py")):
            if path.stem.split("_")[0] in _PYMUPDF_FAMILIES:
                found[path.stem.replace("_", "-")] = ("module", path.stem)
    return found


def bundled_names() -> list[str]:
    """Names of all fonts that need no file of the user's, sorted."""
    return sorted(_bundled())


def _system_folders() -> list[Path]:
    """Where Linux, macOS and Windows keep fonts, and where users do."""
    data = os.environ.get("XDG_DATA_HOME")
    home = Path.home()
    user = Path(data) if data else home / ".local" / "share"
    named = [
        "/usr/share/fonts",
        "/usr/share/texmf/fonts",
        "/usr/local/share/fonts",
        "/Library/Fonts",
        "/System/Library/Fonts",
    ]
    windows = os.environ.get("WINDIR")
    return [
        *map(Path, named), user / "fonts", home / ".fonts", home / "Library" / "Fonts",
        *([Path(windows) / "Fonts"] if windows else []),
    ]  # fmt: skip


def _folded(name: str) -> str:
    """A face's name without case, spaces and hyphens: "Liberation Sans Bold" is "LiberationSans-Bold"."""
    return "".join(letter for letter in name.lower() if letter not in " -_")


@lru_cache(maxsize=1)
def _system() -> dict[str, Path]:
    """Folded name of the file, which says family and style -> its path, for every font that the system has."""
    found: dict[str, Path] = {}
    for folder in _system_folders():
        for place, _, files in sorted(os.walk(folder)):
            for file in sorted(files):
                path = Path(place, file)
                if path.suffix.lower() in FONT_SUFFIXES:
                    found.setdefault(_folded(path.stem), path)
    return found


@lru_cache(maxsize=1024)
def find_font(name: str) -> Path:
    """The file of a font given by bundled name ("DejaVuSans", "FiraGO-Regular"), by path, or as the system has it.

    A font of the system is called by family and style, as its file is: "LiberationSans-Bold", "Liberation Sans Bold".

    Raises:
        UserError: nothing of that name; the message lists the nearest bundled names.
    """
    bundled = _bundled()
    wanted = name if name in bundled else f"{name}-Regular"
    if wanted in bundled:
        kind, place = bundled[wanted]
        return Path(place) if kind == "file" else _unpack(place, wanted)
    path = Path(name).expanduser()
    if path.suffix.lower() in FONT_SUFFIXES and path.is_file():
        return path
    installed = _system()
    for wanted in (_folded(name), _folded(f"{name}-Regular")):
        if wanted in installed:
            return installed[wanted]
    near = difflib.get_close_matches(name, bundled, n=3, cutoff=0.4) or sorted(bundled)[:3]
    raise UserError(f"no font {name!r}: give the path of a .ttf or .otf file, or a name such as {', '.join(near)}")


def is_bundled(name: str) -> bool:
    """Whether a font comes with the packages, and so is the same on every machine."""
    return name in _bundled()


def default_fonts() -> tuple[str, ...]:
    """Names of the regular face of every bundled family found on this machine."""
    names = [family if family in _DEJAVU_FAMILIES else f"{family}-Regular" for family in _families()]
    return tuple(name for name in names if name in _bundled())


def _families() -> tuple[str, ...]:
    return (*_DEJAVU_FAMILIES, *_PYMUPDF_FAMILIES)


@lru_cache(maxsize=1024)
def covered(name: str) -> frozenset[int]:
    """Code points a font has glyphs for."""
    from fontTools.ttLib import TTFont, TTLibError

    path = find_font(name)
    try:
        with TTFont(path, fontNumber=0, lazy=True) as font:
            return frozenset(font.getBestCmap() or ())
    except (TTLibError, OSError) as error:
        raise UserError(f"cannot read font {path}: {error}") from error


def font_families() -> dict[str, list[Path]]:
    """Family name -> its font files, regular face first, for every bundled family found on this machine."""
    families: dict[str, list[Path]] = {}
    for family in _families():
        members = [name for name in bundled_names() if name.split("-")[0] == family]
        members.sort(key=lambda name: (name not in (family, f"{family}-Regular"), name))
        if members:
            families[family] = [find_font(name) for name in members]
    return families
