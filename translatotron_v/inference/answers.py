"""Text answers of a loaded translator, without a picture: to pages, to texts (text mode), and what it reads on pages.

Shapes: B batch, T pieces, H and W pixels, C channels.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np

from translatotron_v.decoding import source as reading
from translatotron_v.decoding import text as decoding
from translatotron_v.decoding.arrays import inference_mode
from translatotron_v.decoding.source import encode_and_read, masks_readings
from translatotron_v.decoding.text import DecodedText
from translatotron_v.decoding.text_mode import Prepared
from translatotron_v.generation_config import AS_TRAINED, GenerationConfig, check_batch_size
from translatotron_v.inference.glossary import Term, asked_terms
from translatotron_v.inference.loaded import LoadedTranslator, known_language, require_terms, require_text_mode
from translatotron_v.models.translator import SourceStates
from translatotron_v.terminal import progress

Page = np.ndarray  # (H, W, C) uint8
Item = TypeVar("Item")


@dataclass
class Answers:
    """Translations in the order of what was asked; a page that does not exist has an empty one.

    Attributes:
        texts: the translations.
        transcripts: what a model trained by self-review (SSR) wrote of each source first; empty list for others.
        scores: mean log-probability (nats) of a piece, the end included; minus infinity where there is no page.
        lengths: pieces of each translation, without tags and end.
        certainties: mean log-probability (nats) of the letters that the CTC head read on each page, as of ``scores``;
            empty list for texts, and for models without one.
        terms: what a glossary asked of each; empty list where there is none.
        unwritable: characters of each source text that the vocabulary cannot write; with marks they stand in the
            translation nevertheless, as a number does. Of text mode only.
    """

    texts: list[str]
    transcripts: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    certainties: list[float] = field(default_factory=list)
    terms: list[list[Term]] = field(default_factory=list)
    unwritable: list[list[str]] = field(default_factory=list)


def image_answers(
    loaded: LoadedTranslator,
    pages: Sequence[Page | None],
    generation: GenerationConfig = AS_TRAINED,
    *,
    batch_size: int = 32,
    title: str = "translating",
    quiet: bool = False,
) -> Answers:
    """Translate pages, the image decoder left out; a model trained by self-review transcribes each of them first.

    Args:
        pages: (H, W, C) uint8 of the model's canvas, or None for a page that does not exist.
        generation: its languages and beams; whether to transcribe is as the weights were trained.
        title: of the progress bar; ``quiet`` shows none.

    Raises:
        UserError: a language the model has no tag for, or a batch size below 1.
    """
    generation = replace(loaded.complete(generation), transcribe=loaded.transcribes)
    answers = Answers(
        texts=[""] * len(pages),
        transcripts=[""] * len(pages) if loaded.transcribes else [],
        scores=[float("-inf")] * len(pages),
        lengths=[0] * len(pages),
        certainties=[float("-inf")] * len(pages) if loaded.model.ctc_head is not None else [],
    )
    masked = masks_readings(loaded.model, loaded.vocabulary)
    with _inference(loaded):
        for places, source, sentences in _seen(loaded, pages, batch_size, title, quiet, generation.source_language):
            decoded = decoding.generate_answer(
                loaded.model,
                loaded.vocabulary,
                source,
                generation,
                accepts=[sentence.accepts for sentence in sentences] if masked else None,
            )
            if masked:
                decoding.finish_answers(loaded.vocabulary, decoded, sentences)
            _fill(answers, places, decoded)
            if answers.certainties:
                sure = reading.reading_scores(loaded.model.ctc_logits(source))
                for place, certainty in zip(places, sure, strict=True):
                    answers.certainties[place] = certainty
            if loaded.transcribes:
                for place, transcript in zip(places, decoded.transcripts, strict=True):
                    answers.transcripts[place] = transcript
    return answers


def text_answers(
    loaded: LoadedTranslator,
    sources: Sequence[str],
    generation: GenerationConfig = AS_TRAINED,
    *,
    batch_size: int = 64,
    title: str = "translating texts",
    quiet: bool = False,
) -> Answers:
    """Translate texts in text mode; sentences of like length share a batch.

    With a vocabulary that knows marks each sentence is folded and masked (``decoding.text_mode``); with an older one
    texts go through as they are.

    Args:
        sources: folded as pages show them (``data.pairs.fold``); sentences are cut to the longest text of training.
        generation: its languages, beams and glossary; texts that have terms annotated already (``data.terms``) need no
            glossary.

    Raises:
        UserError: the checkpoint has no text mode, or takes no glossary; otherwise as ``image_answers``.
    """
    require_text_mode(loaded)
    generation = loaded.complete(generation)
    if (glossary := generation.glossary) is not None:
        require_terms(loaded)
    if generation.numbers_for:
        require_terms(loaded, what="localized numbers")
    vocabulary = loaded.vocabulary

    in_batches = partial(_batches, batch_size=batch_size, title=title, quiet=quiet)
    with _inference(loaded):
        answers = decoding.answer_texts(loaded.model, vocabulary, sources, generation, in_batches)
    return Answers(
        [answer.text for answer in answers],
        scores=[answer.score for answer in answers],
        lengths=[answer.length for answer in answers],
        terms=[
            asked_terms(glossary.annotate(source), answer.text) for source, answer in zip(sources, answers, strict=True)
        ]
        if glossary is not None
        else [],
        unwritable=[vocabulary.unwritable(source) for source in sources],
    )


def transcripts(
    loaded: LoadedTranslator,
    pages: Sequence[Page | None],
    source_language: str = "",
    *,
    batch_size: int = 32,
    beams: int = 1,
    title: str = "transcribing",
    quiet: bool = False,
) -> list[str]:
    """What the text decoder, prompted with the OCR tag, writes of the pages; the CTC and OCR heads take no part."""
    language = known_language(loaded, source_language or loaded.config.data.source_language)
    read = [""] * len(pages)
    decoder = loaded.model.text_decoder
    with _inference(loaded):
        for places, source, _ in _seen(loaded, pages, batch_size, title, quiet, ""):
            decoded = decoding.generate_text(
                decoder, loaded.vocabulary, source.memory, source.mask, "ocr", language, beams
            )
            for place, text in zip(places, decoded.texts, strict=True):
                read[place] = text
    return read


def ctc_readings(
    loaded: LoadedTranslator,
    pages: Sequence[Page | None],
    source_language: str = "",
    *,
    batch_size: int = 32,
    title: str = "reading by the CTC head",
    quiet: bool = False,
) -> list[str]:
    """What the reading head makes of the pages: the CTC head, or the OCR head of a model without one."""
    language = known_language(loaded, source_language or loaded.config.data.source_language)
    read = [""] * len(pages)
    with _inference(loaded):
        for places, source, _ in _seen(loaded, pages, batch_size, title, quiet, ""):
            texts = decoding.read_source(loaded.model, loaded.vocabulary, source, language)
            for place, text in zip(places, texts, strict=True):
                read[place] = text
    return read


def _seen(
    loaded: LoadedTranslator, pages: Sequence[Page | None], batch_size: int, title: str, quiet: bool, language: str
) -> Iterator[tuple[list[int], SourceStates, list[Prepared]]]:
    """The pages that exist, in batches: their places, what the model sees on them, and what it reads before it does.

    Run it under `_inference`; ``language`` as of ``encode_and_read``.
    """
    present = [place for place, page in enumerate(pages) if page is not None]
    for places in _batches(present, batch_size, title, quiet):
        stacked = np.stack([page for place in places if (page := pages[place]) is not None])
        pixels = loaded.model.array(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2), dtype=np.float32) / 255)
        yield places, *encode_and_read(loaded.model, loaded.vocabulary, pixels, language)


def _batches(items: Sequence[Item], batch_size: int, title: str, quiet: bool) -> Iterator[list[Item]]:
    """Runs of ``batch_size`` under a progress bar."""
    check_batch_size(batch_size)
    with progress(len(items), title, quiet) as bar:
        for start in range(0, len(items), batch_size):
            batch = list(items[start : start + batch_size])
            yield batch
            bar.update(len(batch))


def _fill(answers: Answers, places: Sequence[int], decoded: DecodedText) -> None:
    for place, text, score, ids in zip(places, decoded.texts, decoded.scores, decoded.ids, strict=True):
        answers.texts[place], answers.scores[place], answers.lengths[place] = text, score, len(ids)


@contextmanager
def _inference(loaded: LoadedTranslator) -> Iterator[None]:
    """No dropout and no gradients, in the precision that the translator was loaded for."""
    loaded.model.eval()
    with inference_mode(), loaded.arithmetic():
        yield
