"""What do faster ways of decoding cost: fewer bits, and drawing in a few passes instead of token by token?

Validation pages of a corpus, translated by the shipped `tiny` in each precision, and by weights tuned for masked
prediction (configs/tiny/parallel2.yaml) token by token and in a few passes. Agreement is the share of image tokens that
equal those of float32, token by token, by the same weights, when both draw the same texts.
"""

import argparse
import datetime
import os
import platform
import sys
from pathlib import Path
from typing import Any

from experiments.measurements import measure_all
from experiments.report import Report
from translatotron_v.arguments import positive
from translatotron_v.errors import UserError

TIMED = 16  # pages of which the time is taken
ALLOWED = 0.5  # BLEU that parallel drawing may cost to become the default
WAYS = {  # of the tuned weights: passes -> name
    0: "tuned: token by token",
    4: "tuned: 4 passes",
    8: "tuned: 8 passes",
    12: "tuned: 12 passes",
    16: "tuned: 16 passes",
}


def main(argv: list[str] | None = None) -> int:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(prog="python -m experiments.decoding", description=__doc__)
    parser.add_argument("--data", default="data/multi30k", metavar="FOLDER", help="the corpus (data/multi30k)")
    parser.add_argument("--tuned", default="runs/tiny/parallel2", metavar="RUN", help="weights (%(default)s)")
    parser.add_argument("--limit", type=positive, default=256, metavar="N", help="pages (256)")
    parser.add_argument("--jobs", type=positive, default=2, metavar="N", help="measurements at a time (2)")
    parser.add_argument(
        "--report",
        type=Path,
        default=Path("docs/experiments/decoding.md"),
        metavar="FILE",
        help="the page (%(default)s)",
    )
    options = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        write(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def write(options: argparse.Namespace) -> None:
    """Take what has not been measured yet, and write the page."""
    ways: list[tuple[str, str, str, int]] = [
        ("weights/tiny", f"shipped: {precision}", precision, 0) for precision in ("fp32", "int8", "bf16")
    ]
    ways += [(options.tuned, name, "fp32", passes) for passes, name in WAYS.items()]
    measured = measure_all(
        [
            (
                weights,
                f"{precision}-{passes}-{Path(weights).name}",
                drawn,
                options.data,
                options.limit,
                precision,
                passes,
            )
            for weights, _, precision, passes in ways
        ],
        Path("runs/decoding/measurements"),
        options.jobs,
    )
    rows = dict(zip((name for _, name, _, _ in ways), measured.values(), strict=True))
    report = Report(options.report, "Faster ways of decoding", verdict(rows), facts(options), command(options))
    report.table(
        ["way", "BLEU of the pictures", "CER against own text, %", "agreement, %", "same texts, %", "one at a time",
         f"in batches of {TIMED}"],
        [
            [
                name,
                value["bleu"],
                100 * value["cer"],
                100 * value["agreement"],
                100 * value["same_texts"],
                f"{1000 * value['alone']:.0f} ms",
                f"{1000 * value['together']:.0f} ms",
            ]
            for name, value in rows.items()
        ],
    )  # fmt: skip
    report.text(
        f"OCR ceiling (OCR on the reference pages): BLEU {next(iter(rows.values()))['ceiling']:.2f}. Times are "
        "CPU-milliseconds of drawing one picture (image decoder alone), one thread. Several measurements run beside "
        "each other, so that times compare within the table only."
    )
    report.write()
    print(f"written to {options.report}")


def facts(options: argparse.Namespace) -> list[str]:
    """What the figures depend on."""
    import torch

    return [
        f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d} (UTC).",
        f"Data: the first {options.limit} validation captions of {Path(options.data).name}; those that do not fit the",
        f"page are left out. torch {torch.__version__}, Python {platform.python_version()}.",
    ]


def command(options: argparse.Namespace) -> str:
    """The commands that make the page again."""
    return (
        f"python train.py translator --config configs/tiny/parallel.yaml data.folder={options.data}\n"
        f"python train.py translator --config configs/tiny/parallel2.yaml data.folder={options.data}\n"
        f"python -m experiments.decoding --data {options.data} --tuned {options.tuned} --limit {options.limit}"
    )


def verdict(rows: dict[str, dict[str, float]]) -> str:
    """The first sentence of the page, from the figures."""
    best = rows["shipped: fp32"]["bleu"]
    eight = best - rows["shipped: int8"]["bleu"]
    alone = rows[WAYS[0]]
    passes = {name: rows[name] for steps, name in WAYS.items() if steps}
    cheap = [name for name, value in passes.items() if best - value["bleu"] < ALLOWED]
    nearest = max(passes, key=lambda name: passes[name]["bleu"])
    lost = best - passes[nearest]["bleu"]
    int8 = f"int8 costs {eight:.2f} BLEU of the pictures"
    if cheap:
        return f"Reproduced: {cheap[0]} costs {best - passes[cheap[0]]['bleu']:.2f} BLEU of the pictures; {int8}."
    faster = alone["alone"] / passes[nearest]["alone"]
    return (
        f"Not reproduced: parallel drawing costs {lost:.1f} BLEU of the pictures at best ({nearest}, {faster:.1f} "
        f"times as fast one at a time), so token by token stays the default; {int8}."
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
    import time

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
    sys.exit(main())
