"""A checkpoint as the evaluation needs it: pages of bytes in, pages of bytes out."""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from translatotron_v.baselines import baseline
from translatotron_v.checkpoint import weights_digest
from translatotron_v.config import Config
from translatotron_v.data.pages import to_pixels
from translatotron_v.evaluation.generation import GeneratedBlock, GeneratedPage, Page, to_image, to_page
from translatotron_v.generation_config import TOKENS
from translatotron_v.inference.loaded import BlockTranslation
from translatotron_v.inference.pipeline import Translator


class TranslatorModel:
    """A `Translator` behind the protocol `evaluation.checkpoint.PageModel`: pages go the way that any picture goes.

    Args:
        translator: with its checkpoint.
        name: of the checkpoint in reports.
        beams: of the text; as the checkpoint's config says where not given.
        image_steps, drawing: see ``GenerationConfig``; as the checkpoint's config says where not given.
        languages: of source and target; as the checkpoint's config says where one is empty.
    """

    def __init__(
        self,
        translator: Translator,
        name: str,
        beams: int | None = None,
        image_steps: int | None = None,
        languages: tuple[str, str] = ("", ""),
        drawing: str | None = None,
    ) -> None:
        loaded = translator.loaded
        self._translator = translator
        self._asked = translator.generation.updated(
            beams=beams,
            image_steps=image_steps,
            drawing=drawing,
            source_language=languages[0] or None,
            target_language=languages[1] or None,
        )
        self.config: Config = loaded.config
        self.identity: dict[str, Any] = {
            "checkpoint": name,
            "baseline": translator.baseline,
            "baseline_weights": weights_digest(own) if (own := translator.baseline_folder) else "",
            "weights": weights_digest(loaded.folder),
            "precision": loaded.precision,
            "beams": self._asked.beams,
            "image_steps": self._asked.image_steps,
            **({"drawing": self._asked.drawing} if self._asked.drawing != TOKENS else {}),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            **({"languages": " to ".join(languages)} if any(languages) else {}),
        }

    def translate(self, pages: Sequence[Page]) -> list[GeneratedPage]:
        """See `PageModel.translate`."""
        pictures = [to_image(page) for page in pages]
        answers = self._translator.translate(pictures, batch_size=len(pictures), generation=self._asked)
        return [
            GeneratedPage(
                answer.text, answer.source_text, to_page(answer.image), tuple(map(generated_block, answer.blocks))
            )
            for answer in answers
        ]

    @torch.inference_mode()
    def reconstruct(self, pages: Sequence[Page]) -> list[Page]:
        """See `PageModel.reconstruct`."""
        loaded = self._translator.loaded
        tokenizer, pixels = loaded.model.image_tokenizer, to_pixels(np.stack(pages)).to(loaded.device)
        rebuilt = tokenizer.decode_from_ids(tokenizer.encode_to_ids(pixels))
        values = (rebuilt.float() * 255).round().to(torch.uint8)  # (B, C, H, W)
        return list(values.permute(0, 2, 3, 1).cpu().numpy())


def load_model(options: argparse.Namespace, languages: tuple[str, str] = ("", "")) -> TranslatorModel:
    """The model that the options of `options.add_model` describe."""
    translator = Translator.from_pretrained(
        options.checkpoint,
        device=options.device,
        threads=options.threads,
        precision=options.precision,
        baseline=baseline(options.baseline, options.baseline_weights),
    )
    return TranslatorModel(
        translator, options.checkpoint, options.beams, options.image_steps, languages, options.drawing
    )


def generated_block(block: BlockTranslation) -> GeneratedBlock:
    """A block as scores need it; one that was left as it was says nothing."""
    columns, rows = ([float(value) for value in side] for side in zip(*block.quad, strict=True))
    bounds = (min(columns), min(rows), max(columns), max(rows))
    return GeneratedBlock(bounds, "" if block.skip_reason else block.text, block.source_text, block.skip_reason)
