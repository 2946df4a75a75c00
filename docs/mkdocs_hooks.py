"""What `make docs` adds to the documents of this folder, as hooks of MkDocs.

The documents at the root of the repository become pages of the site, and every module of the two packages gets a page
of its docstrings. Links between them are written for readers of the repository, and are turned here.
"""

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"
PACKAGES = ("translatotron_v", "data_synth")
# documents outside docs/, and their places in the site; README.md is its front page
OUTSIDE = {
    "README.md": "README.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "SECURITY.md": "SECURITY.md",
    "LICENSE": "LICENSE",
    "weights/README.md": "weights.md",
}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def modules() -> list[str]:
    """Dotted names of all modules that others may import, sorted."""
    paths = [path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths}
    return sorted(name for name in names if not name.endswith(".__main__"))


def on_config(config: Any) -> Any:
    """Give every package its section of API pages."""
    sections: dict[str, list[str]] = {}
    for name in modules():
        parts = name.split(".")
        sections.setdefault(".".join(parts[:2]) if len(parts) > 2 else parts[0], []).append(f"api/{name}.md")
    config.nav = [*config.nav, {"API": [{name: pages} for name, pages in sections.items()]}]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the API pages, and from outside the documents and what they link."""
    for name in modules():
        files.append(File.generated(config, f"api/{name}.md", content=f"---\ntitle: {name}\n---\n\n::: {name}\n"))
    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links that lead out of docs/, or into it, to where their targets are in the site."""
    here = page.file.src_uri
    if here.startswith("api/"):
        return markdown
    homes = {place: path for path, place in OUTSIDE.items()}
    home = PurePosixPath(homes.get(here, f"{DOCS}/{here}")).parent

    def turned(match: re.Match[str]) -> str:
        target = normpath(f"{home}/{match[1]}")
        place = OUTSIDE.get(target, target.removeprefix(f"{DOCS}/"))
        return relpath(place, str(PurePosixPath(here).parent))

    return _LINK.sub(turned, markdown)
