"""Measurements that several experiments take of a trained reader; each runs in a process of its own."""

from pathlib import Path


def texts(folder: Path, data: str, mode: str, target: str = "", limit: int = 0) -> dict[str, float]:
    """BLEU, LF and so on of text answers, or in mode "ocr" the accuracy of the text decoder under the OCR tag.

    On the validation split; the arguments are those of `evaluation.texts.score_texts`.
    """
    from translatotron_v.evaluation.texts import score_texts
    from translatotron_v.inference.loaded import load_translator

    return score_texts(load_translator(folder), data=data, mode=mode, target=target, limit=limit, quiet=True)


def reader(folder: Path, data: str, limit: int) -> dict[str, float]:
    """What `texts` says of image mode, and ``ctc_accuracy``: the share of characters that the CTC head reads right.

    The accuracy is 1 - CER over the pages that exist, with no text decoder in it.
    """
    from translatotron_v.evaluation.answers import ctc_readings
    from translatotron_v.evaluation.checkpoint import render_split
    from translatotron_v.inference.loaded import load_translator
    from translatotron_v.metrics import cer

    loaded = load_translator(folder)
    loaded.config.data.folder = data
    shown = render_split(loaded.config, loaded.config.data.validation, limit)
    pages = [page for page in shown if page.source_page is not None]
    read = ctc_readings(loaded, [page.source_page for page in pages], quiet=True)
    accuracy = 1 - cer(read, [page.source for page in pages]).value
    return {"ctc_accuracy": accuracy, **texts(folder, data, "image", limit=limit)}
