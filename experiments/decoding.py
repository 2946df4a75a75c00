"""What do faster ways of decoding cost: fewer bits, and drawing in a few passes instead of token by token?

Validation pages of a corpus, translated by the shipped `tiny` in each precision, and by weights tuned for masked
prediction (configs/tiny/parallel2.yaml) token by token and in a few passes. Agreement is the share of image tokens that
equal those of float32, token by token, by the same weights, when both draw the same texts.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from experiments.harness import Experiment, finish, run
from translatotron_v.arguments import positive

SHIPPED = "weights/tiny"
TIMED = 16  # pages of which the time is taken
ALLOWED = 0.5  # BLEU that parallel drawing may cost to become the default
PRECISIONS = ("fp32", "int8", "bf16")  # of the shipped weights
WAYS = {0: "token by token", **{passes: f"{passes} passes" for passes in (4, 8, 12, 16)}}  # of the tuned weights


def more(parser: argparse.ArgumentParser) -> None:
    """Options of its own."""
    parser.add_argument("--tuned", default="runs/tiny/parallel2", metavar="RUN", help="weights (%(default)s)")
    parser.add_argument("--limit", type=positive, default=256, metavar="N", help="pages (256)")


def body(experiment: Experiment) -> None:
    """Take what has not been measured yet, and write the page."""
    limit, tuned = experiment.limited(experiment.options.limit), experiment.options.tuned
    common = (drawn, experiment.data, limit)
    tasks = {f"shipped: {bits}": (SHIPPED, f"{bits}-0-tiny", *common, bits, 0) for bits in PRECISIONS}
    tasks |= {
        f"tuned: {name}": (tuned, f"fp32-{passes}-{Path(tuned).name}", *common, "fp32", passes)
        for passes, name in WAYS.items()
    }
    measured = experiment.measure(list(tasks.values()))
    rows = {name: measured[task[1]] for name, task in tasks.items()}
    data = f"the first {limit} validation captions of {Path(experiment.data).name}; those that do not fit are left out"
    report = experiment.report("Faster ways of decoding", verdict(rows), data)
    report.text("The tuned weights: `train.py translator` with `configs/tiny/parallel.yaml`, then `parallel2.yaml`.")
    shares = ("cer", "agreement", "same_texts")
    report.table(
        ["way", "BLEU of the pictures", "CER against own text, %", "agreement, %", "same texts, %", "alone, ms",
         f"in batches of {TIMED}, ms"],
        [
            [name, one["bleu"], *(100 * one[key] for key in shares), *(f"{1000 * one[key]:.0f}" for key in
             ("alone", "together"))]
            for name, one in rows.items()
        ],
    )  # fmt: skip
    report.text(
        f"OCR ceiling (OCR on the reference pages): BLEU {next(iter(rows.values()))['ceiling']:.2f}. Times are "
        "CPU-milliseconds of drawing one picture (image decoder alone), one thread. Several measurements run beside "
        "each other, so that times compare within the table only."
    )
    finish(report)


def verdict(rows: dict[str, dict[str, float]]) -> str:
    """The first sentence of the page, from the figures."""
    best = rows["shipped: fp32"]["bleu"]
    alone, *others = (f"tuned: {name}" for name in WAYS.values())
    cheap = [name for name in others if best - rows[name]["bleu"] < ALLOWED]
    nearest = max(others, key=lambda name: rows[name]["bleu"])
    int8 = f"int8 costs {best - rows['shipped: int8']['bleu']:.2f} BLEU of the pictures"
    if cheap:
        return f"Reproduced: {cheap[0]} costs {best - rows[cheap[0]]['bleu']:.2f} BLEU of the pictures; {int8}."
    faster = rows[alone]["alone"] / rows[nearest]["alone"]
    return (
        f"Not reproduced: parallel drawing costs {best - rows[nearest]['bleu']:.1f} BLEU of the pictures at best "
        f"({nearest}, {faster:.1f} times as fast one at a time), so token by token stays the default; {int8}."
    )


def drawn(folder: Path, data: str, limit: int, precision: str, passes: int) -> dict[str, float]:
    """Translate validation pages in one way: scores of the pictures, agreement with float32, seconds a picture."""
    import numpy as np
    import torch

    from translatotron_v.data.pages import to_pixels
    from translatotron_v.evaluation.checkpoint import render_split
    from translatotron_v.inference.loaded import load_translator
    from translatotron_v.metrics import bleu, cer
    from translatotron_v.ocr import boxes_to_text, make_reader
    from translatotron_v.training.sheets import as_picture

    plain, loaded = load_translator(folder), load_translator(folder, precision=precision)
    loaded.config.data.folder = data
    shown = render_split(loaded.config, loaded.config.data.validation, limit)
    pages = [page for page in shown if page.source_page is not None and page.reference_page is not None]
    sources = to_pixels(np.stack([page.source_page for page in pages if page.source_page is not None]))
    texts: list[str] = []
    pictures: list[Any] = []
    equal: list[float] = []
    same: list[bool] = []
    with torch.inference_mode():
        for batch in sources.split(TIMED):
            expected = _draw(plain, batch, 0)
            answer = _draw(loaded, batch, passes)
            given = _draw(loaded, batch, passes, expected.texts)
            texts += answer.texts
            pictures += answer.pixels
            equal += (given.image_ids == expected.image_ids).float().mean(1).tolist()
            same += [own == other for own, other in zip(answer.texts, expected.texts, strict=True)]
        first = sources[:TIMED]
        together = _seconds(loaded, first, passes) / len(first)
        alone = sum(_seconds(loaded, page[None], passes) for page in first) / len(first)
    reader = make_reader()
    read = [boxes_to_text(reader.read(as_picture(picture.float()))) for picture in pictures]
    ceiling = [boxes_to_text(reader.read(page.reference_page)) for page in pages]
    references = [page.reference for page in pages]
    return {
        "bleu": bleu(read, references).value,
        "ceiling": bleu(ceiling, references).value,
        "cer": cer(read, texts).value,
        "agreement": sum(equal) / len(equal),
        "same_texts": sum(same) / len(same),
        "alone": alone,
        "together": together,
    }


def _draw(loaded: Any, pixels: Any, passes: int, texts: list[str] | None = None) -> Any:
    from translatotron_v.inference.generate import generate

    with loaded.arithmetic():
        return generate(loaded.model, loaded.vocabulary, pixels, image_steps=passes, texts=texts)


def _seconds(loaded: Any, pixels: Any, passes: int) -> float:
    """CPU seconds of drawing pages whose texts are written already."""
    from translatotron_v.inference.drawing import fill_image, generate_image
    from translatotron_v.inference.generate import drawing_states, generate_answer, look

    with loaded.arithmetic():
        source = look(loaded.model, loaded.vocabulary, pixels)
        answer = generate_answer(loaded.model, loaded.vocabulary, source, loaded.config.data.target_language)
        states, mask = drawing_states(loaded.model, loaded.vocabulary, source, answer)
        decoder, start = loaded.model.image_decoder, time.process_time()
        if passes:
            fill_image(decoder, states, mask, source.image_memory, steps=passes)
        else:
            generate_image(decoder, states, mask, source.image_memory)
        return time.process_time() - start


if __name__ == "__main__":
    sys.exit(run("decoding", __doc__, body, more=more))
