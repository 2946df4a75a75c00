"""SSR, first part: the starting reader transcribes the training pages, once, before training (arXiv 2507.08309).

The transcripts are the model's own, errors included; they are what fine-tuning asks it to go on writing.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from translatotron_v.checkpoint import load_module, read_info, resolve, weights_digest
from translatotron_v.config import Config, load_config
from translatotron_v.data import pages
from translatotron_v.data.pairs import TextPair
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding.source import encode_source
from translatotron_v.decoding.text import generate_text
from translatotron_v.errors import UserError
from translatotron_v.models.translator import TranslatotronV

_BATCH = 32


class Reader:
    """A frozen translator whose text decoder, prompted with the OCR tag, transcribes pages.

    Args:
        origin: run or checkpoint of the stage ``translator``.

    Raises:
        UserError: no checkpoint, or one without a text decoder.
    """

    NEEDED = ("image_encoder", "text_encoder", "text_decoder")

    def __init__(self, origin: str):
        self.folder = resolve(origin)
        read_info(self.folder)
        self.config = load_config(self.folder / "config.yaml")
        self.vocabulary = Vocabulary.from_file(self.folder / "vocabulary.json")
        model = TranslatotronV(self.config.model, len(self.vocabulary), self.vocabulary.character_count)
        reads = ("ctc_head",) if self.config.model.connector == "read" else ()  # what is understood was read before
        for name in (*self.NEEDED, *reads):
            load_module(getattr(model, name), self.folder, name)
        self.model = model.eval().requires_grad_(False)

    @torch.inference_mode()
    def transcribe(self, pixels: torch.Tensor, language: str) -> list[str]:
        """What stands on pages (B, channels, H, W) in [0, 1]."""
        source = encode_source(self.model, self.vocabulary, pixels)
        decoder = self.model.text_decoder
        return generate_text(decoder, self.vocabulary, source.memory, source.mask, "ocr", language).texts


def transcripts(config: Config, pairs: Sequence[TextPair]) -> list[str]:
    """The transcripts of the source pages of these pairs, in their order; kept under ``ssr.cache``.

    An interrupted call goes on where it stopped. With several fonts a page is transcribed in one of them.

    Raises:
        UserError: the reader is missing or sees pages of another size, or the cache cannot be written.
    """
    reader = Reader(config.ssr.reader)
    if reader.config.model.canvas != config.model.canvas:
        raise UserError(
            f"ssr.reader: {reader.folder} reads pages of another size than model.canvas: "
            f"{reader.config.model.canvas} and {config.model.canvas}"
        )
    samples = pages.plain_samples(pairs, config)
    path = Path(config.ssr.cache) / f"{_key(config, reader, samples)}.jsonl"
    known = _read(path)
    missing = [index for index in range(len(samples)) if index not in known]
    if not missing:
        return [known[index] for index in range(len(samples))]
    collator = pages.Collator(config, reader.vocabulary, frozenset({pages.SOURCE_PIXELS}))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            open(path, "a", encoding="utf-8") as file,
            tqdm(total=len(samples), initial=len(known), desc="transcribing", unit="page", file=sys.stderr) as bar,
        ):
            if file.tell():
                file.write("\n")  # ends a line that was cut short
            for chunk in _chunks(missing):
                pixels = collator.pixels([samples[index] for index in chunk], 0)
                texts = reader.transcribe(pixels, config.data.source_language)
                fresh = dict(zip(chunk, texts, strict=True))
                # One write for each batch: runs that share the cache do not tear each other's lines.
                file.write("".join(json.dumps([i, text], ensure_ascii=False) + "\n" for i, text in fresh.items()))
                file.flush()
                known |= fresh
                bar.update(len(fresh))
    except OSError as error:
        raise UserError(f"ssr.cache: {path} cannot be written ({error.strerror or error})") from None
    return [known[index] for index in range(len(samples))]


def _chunks(indices: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(indices), _BATCH):
        yield indices[start : start + _BATCH]


def _key(config: Config, reader: Reader, samples: Sequence[pages.Sample]) -> str:
    """Changes with whatever the transcripts depend on: the reader and the pages."""
    digest = hashlib.sha256(weights_digest(reader.folder).encode())
    digest.update(repr((config.model.canvas, config.page, config.data.source_language)).encode())
    for sample in samples:
        digest.update(b"\0" + sample.source.encode())
        if sample.pictures is not None:
            digest.update(sample.pictures[0])
    return digest.hexdigest()[:16]


def _read(path: Path) -> dict[int, str]:
    """What the cache holds; a line that was cut short is left out."""
    known: dict[int, str] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                index, text = json.loads(line)
            except ValueError:
                continue
            known[index] = text
    return known
