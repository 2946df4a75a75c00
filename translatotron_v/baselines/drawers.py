"""What draws in a cascade by a model: the text-to-image teacher of the translator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from data_synth.typeset import Face, load_face
from translatotron_v.baselines.weights import open_run
from translatotron_v.checkpoint import load_module
from translatotron_v.config import Config
from translatotron_v.data.pages import pad
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding.image import generate_image
from translatotron_v.decoding.text import drawing_mask
from translatotron_v.errors import UserError
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.paragraphs import batches, pixels_of
from translatotron_v.inference.whole_pages import Work
from translatotron_v.models.image_tokenizer import make_tokenizer
from translatotron_v.models.teacher import TextToImage
from translatotron_v.page.strips import LINES, MARGIN, WIDTH, pack, words_of


class Drawer(Protocol):
    """What turns a translation into words to put back."""

    @property
    def folder(self) -> Path | None:
        """Of its weights, where it has any."""
        ...

    def draw(self, works: Sequence[Work], batch_size: int, generation: GenerationConfig = AS_TRAINED) -> None:
        """Fill words and image scores from the translations of paragraphs, in place."""
        ...


class TextToImageDrawer:
    """Draws by the text-to-image model that is the translator's teacher (paper, section 3.4), with the source's layout.

    Of whole pages the layout is that of the block, where the words go; a teacher with a layout encoder sees the block's
    first strip besides.
    """

    def __init__(
        self, model: TextToImage, tokenizer: Any, config: Config, vocabulary: Vocabulary, folder: Path
    ) -> None:
        self.model, self.tokenizer, self.config, self.vocabulary = model, tokenizer, config, vocabulary
        self.folder = folder

    @classmethod
    def from_folder(cls, folder: str | Path, loaded: LoadedTranslator) -> "TextToImageDrawer":
        """From a run of the stage `teacher`, for the vocabulary and the strips of a translator.

        Raises:
            UserError: it is missing, of another stage, or was trained for another vocabulary, canvas or fonts.
        """
        path, config = open_run(folder, "teacher", "make text-to-image", loaded)
        vocabulary = Vocabulary.from_file(path / "vocabulary.json")
        if vocabulary != loaded.vocabulary or config.model.families != loaded.config.model.families:
            raise UserError(f"{path}: was trained with another vocabulary or other fonts than {loaded.folder}")
        model = TextToImage(config.model, vocabulary.character_count)
        for name in ("encoder", "decoder", "layout"):
            if (part := getattr(model, name)) is not None:
                load_module(part, path, f"teacher_{name}")
        tokenizer = make_tokenizer(config.model.tokenizer, config.model.canvas)
        load_module(tokenizer, path, "image_tokenizer")
        model, tokenizer = model.eval().to(loaded.device), tokenizer.eval().to(loaded.device)
        return cls(model, tokenizer, config, vocabulary, path)

    @torch.inference_mode()
    def draw(self, works: Sequence[Work], batch_size: int, generation: GenerationConfig = AS_TRAINED) -> None:
        """See `Drawer.draw`."""
        asked = [
            (work, part)
            for work in works
            for text in work.paragraph.translations
            for part in parts_of(text, work.paragraph.family, self.config)
        ]
        for batch in batches(asked, batch_size):
            ids, scores = self._tokens(batch, generation)
            drawn = 1 - self.tokenizer.decode_from_ids(ids).float().mean(1).cpu().numpy()  # (B, H, W)
            for (work, part), ink, score in zip(batch, drawn, scores, strict=True):
                work.paragraph.drawn.append(ink)
                work.paragraph.words += words_of(ink, len(part.split()))
                work.paragraph.scores.append({"image": score})

    def _tokens(self, batch: Sequence[tuple[Work, str]], generation: GenerationConfig) -> tuple[Tensor, list[float]]:
        """Image tokens (B, N) of texts, and their mean log-probability (nats)."""
        device = next(self.model.parameters()).device
        longest = self.config.model.teacher_encoder.max_length
        characters = pad([self.vocabulary.encode_characters(text)[:longest] for _, text in batch]).to(device)
        families, pixels = None, None
        if known := self.config.model.families:
            families = torch.tensor([known.index(work.paragraph.family) for work, _ in batch]).to(device)
        if self.model.layout is not None:
            pixels = pixels_of([pack(work.paragraph.runs)[0] for work, _ in batch]).to(device)
        mask = drawing_mask(characters)
        states = self.model.states(characters, mask, pixels, families)
        return generate_image(self.model.decoder, states, mask, generation=generation)


def parts_of(text: str, family: str, config: Config) -> list[str]:
    """A text in as few parts as fit a strip each, in the typography of the pages that the model learnt from."""
    page = config.page
    face = load_face(family or page.fonts[0], page.font_size, page.line_height, page.snap, page.pitch)
    return [" ".join(words) for words in _halved(text.split(), face) if words]


def _halved(words: list[str], face: Face) -> list[list[str]]:
    """Words cut in halves until each part fits a strip; a word that no strip holds stands alone."""
    if len(words) < 2 or face.wrap(words, WIDTH - 2 * MARGIN, LINES) is not None:
        return [words]
    middle = len(words) // 2
    return [*_halved(words[:middle], face), *_halved(words[middle:], face)]
