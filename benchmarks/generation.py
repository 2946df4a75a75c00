"""How much caches, batches, bf16 and a second thread save when pictures are generated: ratios on this machine.

`python benchmarks/generation.py` takes a model of the tiny size with random weights: speed does not depend on what it
has learnt.
"""

import argparse
import resource
import time
from collections.abc import Callable

import torch

from translatotron_v.config import load_config
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.inference.generate import generate
from translatotron_v.models.translator import TranslatotronV
from translatotron_v.shipped import find_config

TEXT = "a black dog runs across a green meadow with a red ball in its mouth."


def seconds(action: Callable[[], object], repeats: int) -> float:
    """The shortest of several runs, after one to warm up."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="tiny/translator", help="configuration that gives the sizes")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()

    config = load_config(find_config(options.config))
    vocabulary = Vocabulary.build([TEXT], 0, config.model.vocabulary.symbols)
    torch.manual_seed(0)
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count).eval()
    canvas = config.model.canvas

    def draw(batch: int, cached: bool = True, bf16: bool = False, threads: int = 1) -> Callable[[], object]:
        pixels = torch.ones(batch, canvas.channels, canvas.height, canvas.width)

        def action() -> None:
            torch.set_num_threads(threads)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                generate(model, vocabulary, pixels, texts=[TEXT] * batch, cached=cached)

        return action

    size, repeats = options.batch_size, options.repeats
    plain = seconds(draw(size), repeats)
    tokens = model.image_decoder.length
    print(f"{options.config}, {size} pictures of {tokens} tokens, one thread: {plain / size:.2f} s each", flush=True)
    rows: list[tuple[str, Callable[[], object], float]] = [
        ("without a cache", draw(size, cached=False), 1),
        ("one picture at a time", draw(1), size),
        ("bf16 instead of fp32", draw(size, bf16=True), 1),
        ("two threads instead of one", draw(size, threads=2), 1),  # on a busy machine far slower
    ]
    for name, action, times in rows:
        print(f"  {name:<28} {seconds(action, repeats) * times / plain:5.2f} times as long", flush=True)
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


if __name__ == "__main__":
    main()
