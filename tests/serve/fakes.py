"""A translator that needs no model: it inverts every picture, and says of it what the test wants to hear."""

import io
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image, ImageDraw, ImageOps

from translatotron_v.commands.records import page_record
from translatotron_v.errors import UserError
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.inference.loaded import BlockTranslation, Translation
from translatotron_v.serve.limits import Limits
from translatotron_v.serve.service import Redraw, Service, System

HOST = "http://localhost:8000"
PATIENCE = 120.0  # seconds until something that never comes is a failure; machines may be busy
BOMB = (13, 13)  # a picture of this size fails the batch that it is in


class Inverts:
    """See the module.

    Attributes:
        gate: batches wait until it is set.
        batches: how many pictures each had.
        asked: the options of each.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)  # released when a batch has begun
        self.batches: list[int] = []
        self.asked: list[GenerationConfig] = []

    @property
    def generation(self) -> GenerationConfig:
        return GenerationConfig(source_language="de", target_language="en")

    def translate(
        self,
        images: Sequence[Image.Image],
        generation: GenerationConfig | None = None,
        *,
        batch_size: int | None = None,
    ) -> list[Translation]:
        assert generation is not None
        self.entered.release()
        assert self.gate.wait(PATIENCE)
        if generation.target_language not in ("en", "fr"):
            raise UserError(f"language {generation.target_language!r}: this model knows en, fr")
        if any(image.size == BOMB for image in images):
            raise RuntimeError("a bomb")
        self.batches.append(len(images))
        self.asked.append(generation)
        return [answer(image) for image in images]


def answer(image: Image.Image) -> Translation:
    width, height = image.size

    def quad(top: float, bottom: float) -> Any:
        left, right = 0.08 * width, 0.92 * width
        return (left, top * height), (right, top * height), (right, bottom * height), (left, bottom * height)

    blocks = (
        BlockTranslation(quad(0.12, 0.3), "Ein Hund rennt.", "A dog runs.", {"right": 0.93}, language="de"),
        BlockTranslation(quad(0.4, 0.58), "Die Bäume blühen.", "The trees bark.", {"right": 0.31}, language="de"),
        BlockTranslation(quad(0.7, 0.88), "12 345", skip_reason="numbers and symbols", scores={"reading": 0.98}),
    )
    text = "A dog runs.\nThe trees bark."
    return Translation(ImageOps.invert(image), text, "Ein Hund rennt.\nDie Bäume blühen.", {"right": 0.31}, blocks)


def redraw(source: Image.Image, drawn: Image.Image, page: dict[str, Any]) -> Any:
    """Paints over the picture, and takes the texts as they come."""
    blocks = page.get("blocks")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise UserError("page: blocks: a list is wanted")
    new = drawn.convert("RGB")
    ImageDraw.Draw(new).rectangle((0, 0, new.width - 1, new.height // 10), fill=(20, 180, 20))
    return new, page, []


def service(system: System | None = None, redraw: Redraw | None = redraw, **limits: Any) -> Service:
    usual = Limits(seconds=PATIENCE, gather_milliseconds=1)
    system = system or Inverts()
    systems = {"end-to-end": system, "cascade-reader-render": system}
    return Service(systems, page_record, replace(usual, **limits), redraw)


def picture(size: tuple[int, int] = (120, 80), colour: str = "gold", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def pdf(pages: int = 3) -> bytes:
    file = io.BytesIO()
    first, *rest = (Image.new("RGB", (120, 80 + page), "gold") for page in range(pages))
    first.save(file, "PDF", save_all=True, append_images=rest, resolution=72)
    return file.getvalue()
