"""The page to look at: three files of the package, read once; no path of a request reaches the disk."""

from importlib.resources import files

_TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def _file(name: str) -> tuple[bytes, str]:
    return (files(__package__) / "page" / name).read_bytes(), _TYPES[name.rsplit(".")[-1]]


# path of a request -> content and media type
PAGE = {"/": _file("page.html"), "/page.css": _file("page.css"), "/page.js": _file("page.js")}
