"""Measurements that several experiments take of trained weights; each runs in a process of its own."""

import tempfile
from pathlib import Path
from typing import Any

BATCH = 16  # pages


def texts(
    folder: Path, data: str, mode: str, target: str = "", limit: int = 0, split: str = "", direct: bool = False
) -> dict[str, float]:
    """BLEU, LF and so on of text answers, or in mode "ocr" the accuracy of the text decoder under the OCR tag.

    The arguments are those of `evaluation.texts.score_texts`, on the validation split where none is named. ``direct``
    asks a model that was trained by self-review for the translation alone.
    """
    from translatotron_v.evaluation.texts import score_texts
    from translatotron_v.inference.loaded import load_translator

    loaded = load_translator(folder)
    if direct:
        loaded.config.ssr.reader = ""
    return score_texts(loaded, data=data, split=split, mode=mode, target=target, limit=limit, quiet=True)


def reader(folder: Path, data: str, limit: int) -> dict[str, float]:
    """What `texts` says of image mode, and ``ctc_accuracy``: the share of characters that the CTC head reads right.

    The accuracy is 1 - CER over the pages that exist, with no text decoder in it.
    """
    from translatotron_v.evaluation.checkpoint import render_split
    from translatotron_v.inference.answers import ctc_readings
    from translatotron_v.inference.loaded import load_translator
    from translatotron_v.metrics import cer

    loaded = load_translator(folder)
    loaded.config.data.folder = data
    shown = render_split(loaded.config, loaded.config.data.validation, limit)
    pages = [page for page in shown if page.source_page is not None]
    read = ctc_readings(loaded, [page.source_page for page in pages], quiet=True)
    accuracy = 1 - cer(read, [page.source for page in pages]).value
    return {"ctc_accuracy": accuracy, **texts(folder, data, "image", limit=limit)}


def pictures(folder: Path, data: str, limit: int, readings: str) -> dict[str, float]:
    """Scores of the pictures that a translator draws of validation captions, read by OCR; see `figures`.

    Args:
        folder: of the weights, of the stage translator.
        data: the corpus.
        limit: only the first captions; 0 takes all.
        readings: a folder where OCR remembers what it has read; weights that share it read the references once.
    """
    from translatotron_v.evaluation.checkpoint import Options, render_split, score_checkpoint
    from translatotron_v.evaluation.loading import TranslatorModel
    from translatotron_v.inference.pipeline import Translator

    model = TranslatorModel(Translator.from_pretrained(folder, device="cpu", threads=1), str(folder))
    model.config.data.folder = data
    options = Options(model.config.data.validation, limit, batch_size=BATCH, quiet=True)
    pages = render_split(model.config, options.split, limit)
    with tempfile.TemporaryDirectory() as drawn:
        found = figures(score_checkpoint(model, pages, page_ocr(readings), Path(drawn), options))
    return found["scores"] | {"bleu_ceiling": found["ceilings"]["bleu"]}


def figures(report: Any) -> dict[str, Any]:
    """What a report of `score_checkpoint` says: "scores", "ceilings" and "signatures", each by short names.

    The names: ``bleu`` and ``chrf`` of the pictures, ``text_bleu`` of the model's own text, ``own_cer`` of the pictures
    against that text, ``structure_bleu``, ``structure_bleu_one_to_one``, ``ssim``, ``tokenizer_cer`` (OCR on
    reconstructed references) and ``cpu_seconds`` of a picture, where the report has them.
    """
    from translatotron_v.evaluation import checkpoint

    wanted = {
        "bleu": (checkpoint.PICTURE, "BLEU"),
        "chrf": (checkpoint.PICTURE, "chrF"),
        "text_bleu": (checkpoint.TRANSLATION, "BLEU"),
        "own_cer": (checkpoint.OWN_TEXT, "CER"),
        "structure_bleu": (checkpoint.STRUCTURE, "Structure-BLEU"),
        "structure_bleu_one_to_one": (checkpoint.STRUCTURE, "Structure-BLEU 1:1"),
        "ssim": (checkpoint.PIXELS, "SSIM"),
        "tokenizer_cer": (checkpoint.TOKENIZER, "CER"),
        "cpu_seconds": (checkpoint.COST, "CPU-seconds"),
    }
    lines = {(line.what, line.score.name): line for line in report.lines}
    found = {name: lines[key] for name, key in wanted.items() if key in lines}
    return {
        "scores": {name: line.score.value for name, line in found.items()},
        "ceilings": {name: line.ceiling.value for name, line in found.items() if line.ceiling is not None},
        "signatures": {name: line.score.signature for name, line in found.items()},
    }


def page_ocr(folder: str) -> Any:
    """OCR that remembers in a folder what it has read."""
    from translatotron_v.evaluation.reading import PageOcr
    from translatotron_v.ocr import make_ocr_engine

    return PageOcr(make_ocr_engine, Path(folder), quiet=True)


def tokens(folder: Path, data: str, limit: int) -> dict[str, float]:
    """How well a translator foresees the image tokens of gold validation pages, given the gold text: teacher forcing.

    ``image_cross_entropy`` (nats) and ``image_accuracy`` (a share) are means over all tokens, paper included, of the
    captions whose pages fit.
    """
    import torch

    from translatotron_v.data import pages
    from translatotron_v.data.pairs import read_split
    from translatotron_v.decoding.source import encode_source
    from translatotron_v.decoding.text import drawing_mask
    from translatotron_v.inference.loaded import load_translator
    from translatotron_v.training.losses import image_cross_entropy

    loaded = load_translator(folder)
    model, config = loaded.model, loaded.config
    config.data.folder = data
    pairs = read_split(config, config.data.validation)
    samples = pages.plain_samples(pages.fitting(pairs[:limit] if limit else pairs, config), config)
    wanted = {pages.SOURCE_PIXELS, pages.TARGET_PIXELS, pages.TARGET_PIECES, pages.TARGET_CHARACTERS}
    collator = pages.Collator(config, loaded.vocabulary, frozenset(wanted))
    nats, right, count = 0.0, 0, 0
    for start in range(0, len(samples), BATCH):
        batch = collator(samples[start : start + BATCH])
        assert batch.source_pixels is not None and batch.target_pixels is not None
        assert batch.target_characters is not None
        with torch.inference_mode():
            ids = model.image_tokenizer.encode_to_ids(batch.target_pixels)
            logits = model(
                encode_source(model, loaded.vocabulary, batch.source_pixels),
                batch.target_input,
                batch.translation_mask,
                image_ids=ids,
                characters=batch.target_characters,
                character_mask=drawing_mask(batch.target_characters),
                char_to_token=batch.char_to_token,
                fonts=batch.fonts,
            ).image
            nats += float(image_cross_entropy(logits, ids)) * ids.numel()
            right += int((logits.argmax(-1) == ids).sum())
            count += ids.numel()
    return {"image_cross_entropy": nats / count, "image_accuracy": right / count}
