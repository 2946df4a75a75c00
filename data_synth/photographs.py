"""The photographs inside the scikit-image wheel, which is not imported, only looked into."""

from functools import lru_cache
from pathlib import Path

from data_synth.errors import UserError
from data_synth.fonts import package_folder

_PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "rocket.jpg",
)


@lru_cache(maxsize=1)
def bundled_photographs() -> dict[str, Path]:
    """Name -> file of the public-domain and CC0 photographs in scikit-image's wheel.

    Raises:
        UserError: scikit-image is not installed.
    """
    folder = package_folder("skimage")
    found = {} if folder is None else {name: folder / "data" / name for name in _PHOTOGRAPHS}
    found = {name: path for name, path in found.items() if path.is_file()}
    if not found:
        raise UserError("background 'photo' needs scikit-image's photographs: pip install scikit-image")
    return found
