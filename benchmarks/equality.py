"""Do ONNX graphs write and draw what PyTorch does? ``python -m benchmarks.equality WEIGHTS --data FOLDER``.

Renders captions of the validation split as source strips, translates them by both engines, and counts equal readings,
texts and image tokens; BLEU and chrF against the references say what eight bits lose.
"""

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np

from translatotron_v.data.pages import SOURCE_PIXELS, Collator, fitting, plain_samples
from translatotron_v.data.pairs import read_split
from translatotron_v.decoding.text import Generated, generate
from translatotron_v.inference.loaded import LoadedTranslator, load_translator
from translatotron_v.metrics import bleu, chrf
from translatotron_v.shipped import find_weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the counts; 1 where float32 differs at all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equality", description=__doc__)
    parser.add_argument("weights", help="with graphs: a name or a folder")
    parser.add_argument("--data", required=True, help="folder of the corpus that the weights' settings name")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32", help="of the graphs")
    options = parser.parse_args(arguments)
    folder = find_weights(options.weights)
    one, other = load_translator(folder), load_translator(folder, engine="onnx", precision=options.precision, threads=1)
    one.config.data.folder = options.data
    pairs = fitting(read_split(one.config, one.config.data.validation), one.config)[: options.count]
    samples = plain_samples(pairs, one.config)
    collate = Collator(one.config, one.vocabulary, frozenset({SOURCE_PIXELS}))
    texts: dict[str, list[str]] = {"torch": [], "onnx": []}
    equal = dict.fromkeys(("readings", "texts", "tokens"), 0)
    seconds = dict.fromkeys(texts, 0.0)
    for start in range(0, len(samples), options.batch_size):
        pixels = collate(samples[start : start + options.batch_size]).source_pixels
        assert pixels is not None
        made = {}
        for name, loaded in (("torch", one), ("onnx", other)):
            began = time.process_time()
            made[name] = _generate(loaded, pixels.numpy())
            seconds[name] += time.process_time() - began
            texts[name] += made[name].texts
        first, second = made.values()
        equal["readings"] += sum(map(str.__eq__, first.sources, second.sources))
        equal["texts"] += sum(map(str.__eq__, first.texts, second.texts))
        equal["tokens"] += int((np.asarray(first.image_ids) == second.image_ids).sum())
    count, tokens = len(samples), len(samples) * one.model.image_decoder.length
    split, all_equal = one.config.data.validation, ", ".join(f"equal {name} {found}" for name, found in equal.items())
    print(f"{folder.name}, {options.precision}: {count} strips of {split}: {all_equal} of {tokens}")
    references = [pair.target for pair in pairs]
    for name, said in texts.items():
        found = (bleu(said, references), chrf(said, references))
        scores = ", ".join(f"{score.name} {score.value:.2f}" for score in found)
        print(f"{name}: {scores}; {seconds[name] / count:.3f} CPU-seconds a strip at batch {options.batch_size}")
    return int(options.precision == "fp32" and (equal["texts"], equal["tokens"]) != (count, tokens))


def _generate(loaded: LoadedTranslator, pixels: np.ndarray) -> Generated:
    return generate(loaded.model, loaded.vocabulary, loaded.model.array(pixels), loaded.complete(loaded.generation))


if __name__ == "__main__":
    sys.exit(main())
