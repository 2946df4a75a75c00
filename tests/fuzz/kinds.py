"""What is damaged: whole files of each kind, and the command that each goes through."""

import contextlib
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from tests.fuzz.mutations import mutate, mutate_values

ROOT = Path(__file__).resolve().parents[2]


class _Files:
    """A folder of whole files, of which one at a time is damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole = folder / "whole"
        self.whole.mkdir(parents=True)

    def fresh(self) -> Path:
        """An empty folder."""
        place = self.folder / "case"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        return place


class Pictures(_Files):
    """Pictures, animations, PDF and archives through `translate`, with a translator that mirrors what it is given."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from tests.inference.fakes import fake_translator
        from translatotron_v.commands import translate

        translate.load = lambda options: fake_translator()
        page = Image.new("RGB", (90, 40), "white")
        ImageDraw.Draw(page).text((5, 10), "Ein Hund", fill="black")
        frames = [page, page.rotate(180), page.resize((60, 50))]
        for name in ("a.png", "a.jpg", "a.gif", "a.webp", "a.bmp", "a.tif", "a.avif"):
            page.save(self.whole / name)
        for name, mode in (("p.png", "P"), ("l.png", "LA"), ("c.jpg", "CMYK"), ("f.tif", "F"), ("i.png", "I;16")):
            page.convert("L").convert(mode).save(self.whole / name)
        exif = Image.Exif()
        exif[0x0112] = 6
        page.save(self.whole / "e.jpg", exif=exif, dpi=(300, 300))
        for name in ("film.gif", "film.webp", "film.png", "pages.tif", "pages.pdf"):
            several = frames if name.startswith("pages") else frames[:2]
            page.save(self.whole / name, save_all=True, append_images=several[1:])
        for name in ("comic.cbz", "all.zip"):
            with zipfile.ZipFile(self.whole / name, "w", zipfile.ZIP_DEFLATED) as archive:
                for source in ("a.png", "a.jpg", "film.gif"):
                    archive.write(self.whole / source, f"pages/{source}")

    def __call__(self, chance: random.Random) -> list[str]:
        """The command of one case."""
        source = chance.choice(sorted(self.whole.iterdir()))
        place = self.fresh()
        name = source.name if chance.random() < 0.9 else chance.choice(sorted(self.whole.iterdir())).name
        (place / name).write_bytes(mutate(source.read_bytes(), chance))
        return ["translate", str(place / name), "-o", str(place / "out"), "--dpi", "72", "--json"]


class Configs(_Files):
    """Configurations through `info`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for number, source in enumerate(sorted((ROOT / "configs").rglob("*.yaml"))):
            if b"paper" not in source.read_bytes():
                shutil.copy(source, self.whole / f"{number:02}-{source.name}")

    def __call__(self, chance: random.Random) -> list[str]:
        """The command of one case."""
        import yaml

        source = chance.choice(sorted(self.whole.iterdir()))
        path = self.fresh() / "config.yaml"
        if chance.random() < 0.5:
            path.write_bytes(mutate(source.read_bytes(), chance))
        else:
            values = mutate_values(yaml.safe_load(source.read_text()), chance)
            path.write_text(yaml.safe_dump(values), encoding="utf-8", errors="replace")
        return ["info", str(path)]


class Checkpoints(_Files):
    """Checkpoints of a small model, one of their files damaged, through `translate`."""

    parts = ("*.safetensors", "*.json", "*.yaml")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from tests.small import save_small, small

        save_small(self.whole / "run", small())
        Image.new("L", (64, 16), 255).save(self.whole / "a.png")

    def __call__(self, chance: random.Random) -> list[str]:
        """The command of one case."""
        place = self.fresh()
        shutil.copytree(self.whole / "run", place / "run")
        path = chance.choice(sorted(path for part in self.parts for path in (place / "run").glob(part)))
        self.damage(path, chance)
        arguments = ["translate", str(self.whole / "a.png"), "-o", str(place / "out.png"), "--device", "cpu"]
        return [*arguments, "--weights", str(place / "run")]

    def damage(self, path: Path, chance: random.Random) -> None:
        """Change a file."""
        content = path.read_bytes()
        if path.suffix == ".json" and chance.random() < 0.7:
            path.write_text(json.dumps(mutate_values(json.loads(content), chance)))
        else:
            path.write_bytes(mutate(content, chance))


class Vocabularies(Checkpoints):
    """Of such checkpoints the vocabulary."""

    parts = ("vocabulary.json",)


class Redraws(_Files):
    """The JSON of a page through `redraw`, with a fake in place of what draws."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from tests.inference.test_corrections import Writer
        from tests.page.pages import render
        from translatotron_v.commands import redraw, translate
        from translatotron_v.inference import corrections, whole_pages

        writer = Writer()
        for module in (whole_pages, corrections):
            module.read_paragraphs = writer.reads  # type: ignore[attr-defined,assignment]
            module.translate_paragraphs = writer.writes  # type: ignore[attr-defined,assignment]
        translator = _page_translator()
        redraw.load = translate.load = lambda options: translator
        Image.fromarray(render(20).pixels).save(self.whole / "page.png")
        arguments = ["translate", str(self.whole / "page.png"), "-o", str(self.whole / "out.png"), "--save-clean"]
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            from translatotron_v import cli

            assert cli.main([*arguments, "--json"]) == 0
        self.record = json.loads(out.getvalue())

    def __call__(self, chance: random.Random) -> list[str]:
        """The command of one case."""
        place = self.fresh()
        path = place / "page.json"
        record = self.record
        if chance.random() < 0.7:
            blocks = list(record["blocks"])
            number = chance.randrange(len(blocks))
            blocks[number] = mutate_values(blocks[number] | {"text": "The cat sleeps.", "leave": False}, chance)
            record = record | {"blocks": blocks}
            if chance.random() < 0.3:
                record = mutate_values(record, chance)
            path.write_text(json.dumps(record))
        else:
            blocks = [block | {"text": "The cat sleeps."} for block in record["blocks"]]
            path.write_bytes(mutate(json.dumps(record | {"blocks": blocks}).encode(), chance))
        return ["redraw", str(path), "-o", str(place / "new.png")]


def _page_translator() -> Any:
    from types import SimpleNamespace

    from torch import nn

    from translatotron_v.config import Config
    from translatotron_v.inference.loaded import LoadedTranslator
    from translatotron_v.inference.pipeline import Translator
    from translatotron_v.inference.whole_pages import EndToEnd, PageTranslator
    from translatotron_v.ocr import LineDetector

    loaded = LoadedTranslator(nn.Linear(1, 1), SimpleNamespace(), Config(), Path())  # type: ignore[arg-type]
    loaded.config.model.fonts = ["DejaVuSans", "DejaVuSerif"]
    return Translator(loaded, pages=PageTranslator(EndToEnd(loaded), None, LineDetector()))


KINDS: dict[str, Callable[[Path], Callable[[random.Random], list[str]]]] = {
    "pictures": Pictures,
    "configs": Configs,
    "checkpoints": Checkpoints,
    "vocabularies": Vocabularies,
    "redraws": Redraws,
}
