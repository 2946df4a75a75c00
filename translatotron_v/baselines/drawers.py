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
from translatotron_v.inference.block_state import BlockState
from translatotron_v.inference.loaded import LoadedTranslator
from translatotron_v.inference.strip_reading import batches, pixels_of
from translatotron_v.models.image_tokenizer import make_tokenizer
from translatotron_v.models.teacher import TextToImage
from translatotron_v.page.strips import LINES, MARGIN, WIDTH, pack, words_of


class Drawer(Protocol):
    """What turns a translation into words to put back."""

    @property
    def folder(self) -> Path | None:
        """Of its weights, where it has any."""
        ...

    def draw(self, states: Sequence[BlockState], batch_size: int, generation: GenerationConfig = AS_TRAINED) -> None:
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
        if vocabulary != loaded.vocabulary or config.model.fonts != loaded.config.model.fonts:
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
    def draw(self, states: Sequence[BlockState], batch_size: int, generation: GenerationConfig = AS_TRAINED) -> None:
        """See `Drawer.draw`."""
        asked = [
            (state, part)
            for state in states
            for text in state.paragraph.translations
            for part in parts_of(text, state.paragraph.font, self.config)
        ]
        for batch in batches(asked, batch_size):
            ids, scores = self._tokens(batch, generation)
            drawn = 1 - self.tokenizer.decode_from_ids(ids).float().mean(1).cpu().numpy()  # (B, H, W)
            for (state, part), ink, score in zip(batch, drawn, scores, strict=True):
                state.paragraph.drawn.append(ink)
                state.paragraph.words += words_of(ink, len(part.split()))
                state.paragraph.scores.append({"image": score})

    def _tokens(
        self, batch: Sequence[tuple[BlockState, str]], generation: GenerationConfig
    ) -> tuple[Tensor, list[float]]:
        """Image tokens (B, N) of texts, and their mean log-probability (nats)."""
        device = next(self.model.parameters()).device
        longest = self.config.model.teacher_encoder.max_length
        characters = pad([self.vocabulary.encode_characters(text)[:longest] for _, text in batch]).to(device)
        fonts, pixels = None, None
        if known := self.config.model.fonts:
            fonts = torch.tensor([known.index(state.paragraph.font) for state, _ in batch]).to(device)
        if self.model.layout is not None:
            pixels = torch.from_numpy(pixels_of([pack(state.paragraph.runs)[0] for state, _ in batch])).to(device)
        mask = drawing_mask(characters)
        drawn_from = self.model.states(characters, mask, pixels, fonts)
        return generate_image(self.model.decoder, drawn_from, mask, generation=generation)


def parts_of(text: str, font: str, config: Config) -> list[str]:
    """A text in as few parts as fit a strip each, in the typography of the pages that the model learnt from."""
    page = config.page
    face = load_face(font or page.fonts[0], page.font_size, page.line_height, page.word_grid, page.advance_grid)
    return [" ".join(words) for words in _halved(text.split(), face) if words]


def _halved(words: list[str], face: Face) -> list[list[str]]:
    """Words cut in halves until each part fits a strip; a word that no strip holds stands alone."""
    if len(words) < 2 or face.wrap(words, WIDTH - 2 * MARGIN, LINES) is not None:
        return [words]
    middle = len(words) // 2
    return [*_halved(words[:middle], face), *_halved(words[middle:], face)]
