"""Translate the text in a picture straight into a picture.

The names below load what they need on first use, so that `import translatotron_v` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from translatotron_v.errors import UserError as UserError
    from translatotron_v.generation_config import GenerationConfig as GenerationConfig
    from translatotron_v.inference.loaded import Translation as Translation
    from translatotron_v.inference.pipeline import Translator as Translator

__version__ = "0.1.0"

_HOMES = {
    "GenerationConfig": "translatotron_v.generation_config",
    "Translation": "translatotron_v.inference.pipeline",
    "Translator": "translatotron_v.inference.pipeline",
    "UserError": "translatotron_v.errors",
}
__all__ = ["GenerationConfig", "Translation", "Translator", "UserError", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
