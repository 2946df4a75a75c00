"""Decoding with key/value caches against recomputing the whole prefix at each step, as ratios within one run.

    python benchmarks/decoding.py [--config configs/tiny/model.yaml] [--batch 1 8] [--output out/bench.json]

Random weights: the time of a step does not depend on them, and the text is not allowed to end early. Both ways must
write the same pieces and the same image tokens. Absolute times say something about the machine, ratios about the code.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from translatotron_v.config import load_config
from translatotron_v.data.vocabulary import EOS, Vocabulary
from translatotron_v.inference.generate import generate_image, generate_text
from translatotron_v.models.translator import TranslatotronV

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Timing:
    """One way of decoding at one batch size."""

    what: str  # "text" or "image"
    batch: int
    tokens: int  # written for each page
    cached: float  # seconds, the best of the repeats
    uncached: float

    @property
    def ratio(self) -> float:
        """How many times faster the cache is."""
        return self.uncached / self.cached

    def rate(self, seconds: float) -> float:
        """Tokens per second over the whole batch."""
        return self.batch * self.tokens / seconds


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Cached against uncached decoding.")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "tiny" / "model.yaml", metavar="FILE")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], metavar="B", help="batch sizes (1 8)")
    parser.add_argument("--repeats", type=int, default=2, metavar="N", help="the best of N counts (2)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (1)")
    parser.add_argument("--output", type=Path, default=Path("out/bench.json"), metavar="FILE")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    model, vocabulary = build(options.config)
    timings = [
        measure(model, vocabulary, batch, options.repeats)
        for batch in options.batch
        for measure in (time_text, time_image)
    ]
    report(timings, options)
    return 0


def build(path: Path) -> tuple[TranslatotronV, Vocabulary]:
    """A translator with random weights, whose text never ends before its longest."""
    config = load_config(path)
    vocabulary = Vocabulary([chr(code) for code in range(32, 127)], symbols=config.model.vocabulary.subwords)
    torch.manual_seed(1)
    model = TranslatotronV(config.model, len(vocabulary), vocabulary.character_count).eval()
    with torch.no_grad():
        # An end whose score is that of a state orthogonal to everything is never the best of thousands.
        model.text_decoder.embedding.weight[EOS] = 0.0
    return model, vocabulary


def time_text(model: TranslatotronV, vocabulary: Vocabulary, batch: int, repeats: int) -> Timing:
    """Greedy text over a random page."""
    memory = _memory(model, batch)
    written: dict[bool, list[list[int]]] = {}

    def decode(cached: bool) -> None:
        written[cached] = generate_text(
            model.text_decoder, vocabulary, memory, None, "translate", "en", cached=cached
        ).ids

    cached, uncached = _best(decode, repeats)
    assert written[True] == written[False], "cached and uncached decoding wrote different text"
    return Timing("text", batch, max(len(row) for row in written[True]), cached, uncached)


def time_image(model: TranslatotronV, vocabulary: Vocabulary, batch: int, repeats: int) -> Timing:
    """Greedy image tokens over a random page and random text states."""
    memory = _memory(model, batch)
    width = model.text_decoder if model.character_encoder is None else model.character_encoder
    text = torch.randn(batch, 64, width.embedding.embedding_dim)
    drawn: dict[bool, Tensor] = {}

    def decode(cached: bool) -> None:
        drawn[cached] = generate_image(model.image_decoder, text, None, memory, cached=cached)[0]

    cached, uncached = _best(decode, repeats)
    assert torch.equal(drawn[True], drawn[False]), "cached and uncached decoding drew different pictures"
    return Timing("image", batch, model.image_decoder.length, cached, uncached)


@torch.inference_mode()
def _memory(model: TranslatotronV, batch: int) -> Tensor:
    canvas = model.config.canvas
    pixels = torch.rand(batch, canvas.channels, canvas.height, canvas.width, generator=torch.Generator().manual_seed(2))
    return model.see(pixels).memory


def _best(decode: Callable[[bool], None], repeats: int) -> tuple[float, float]:
    """Best CPU seconds of the cached and the uncached way, taken in turns so that a busy machine hits both alike."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    decode(True)  # warm-up
    for _ in range(repeats):
        for cached in (True, False):
            started = time.process_time()
            decode(cached)
            seconds[cached].append(time.process_time() - started)
    return min(seconds[True]), min(seconds[False])


def report(timings: list[Timing], options: argparse.Namespace) -> None:
    """The table on the screen, and the figures as JSON."""
    settings = f"{options.threads} thread(s), CPU seconds, best of {options.repeats}"
    print(f"{options.config.parent.name}: greedy decoding, {settings}")
    print(f"{'':5}  {'batch':>5}  {'tokens':>6}  {'cached':>18}  {'uncached':>18}  {'ratio':>6}")
    for timing in timings:
        ways = "  ".join(f"{s:>7.3f} s {timing.rate(s):>6.0f}/s" for s in (timing.cached, timing.uncached))
        print(f"{timing.what:5}  {timing.batch:>5}  {timing.tokens:>6}  {ways}  {timing.ratio:>5.1f}x")
    print(f"the same pieces and tokens both ways; written to {options.output}")
    record = {
        "benchmark": "decoding",
        "config": options.config.as_posix() if not options.config.is_absolute() else options.config.name,
        "threads": options.threads,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "results": [
            asdict(timing)
            | {
                "ratio": round(timing.ratio, 3),
                "cached_tokens_per_second": round(timing.rate(timing.cached), 1),
                "uncached_tokens_per_second": round(timing.rate(timing.uncached), 1),
            }
            for timing in timings
        ],
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
