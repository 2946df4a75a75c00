"""One picture at the paper's size, phase by phase, against our own code with the cache off.

512 x 512 pixels, 150 characters of text read, translated and drawn, 1,024 image tokens; random weights.

Shapes: B batch, N image tokens, T pieces.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.machine import skipped_bf16
from benchmarks.models import precision_of, random_translator
from benchmarks.process import Memory, clock, say
from benchmarks.results import Measure, Settings
from translatotron_v.arguments import PRECISIONS
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.decoding import text as decoding
from translatotron_v.generation_config import GenerationConfig
from translatotron_v.models.translator import TranslatotronV

CHARACTERS = 150
BATCHES = (1, 4)
SAMPLED = {"text": 3, "image": 6}  # uncached steps that are timed, spread over the length
REFERENCE = {1: "925 to 1,043", 4: "1,022"}  # CPU-s a picture, of the paper's public code
TARGETS = {1: 25.0, 4: 12.0}  # CPU-s a picture
MEMORY_TARGET = 0.85  # GB above the imports, at batch 1

# Phase -> the function of translatotron_v.decoding.text that does it, or the method of the model.
_FUNCTIONS = {
    "text": "generate_answer",
    "drawing states": "drawing_states",
    "image tokens": "generate_image",
    "reading": "read_source",
}
_PARALLEL = _FUNCTIONS | {"image tokens": "fill_image"}
PASSES = 8  # of parallel decoding


@dataclass
class Trace:
    """What the phases of one generation took (seconds), and what they returned."""

    seconds: dict[str, float] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    total: float = 0.0

    @property
    def tokens(self) -> Tensor:
        """(B, N)."""
        return self.results["image tokens"][0]


def cases(settings: Settings) -> list[str]:
    """A process for each batch and precision, and one for parallel decoding."""
    one_by_one = [f"batch {batch}, {precision}" for precision in PRECISIONS for batch in BATCHES]
    return [*one_by_one, f"batch 1, {PASSES} passes"]


def run(case: str, settings: Settings) -> list[Measure]:
    """Time a picture, its phases and its memory; in float32 also the uncached way."""
    first, kind = case.split(", ")
    batch = int(first.removeprefix("batch "))
    passes, precision = (PASSES, "fp32") if kind.endswith("passes") else (0, kind)
    if precision == "bf16" and (row := skipped_bf16(case, settings)):
        return row
    memory = Memory(settings.device)
    size, characters = ("debug", 20) if settings.quick else ("paper", CHARACTERS)
    model, vocabulary = random_translator(size, characters, settings.device)
    pixels = random_pixels(model, batch, settings.device)
    say(f"{case}: a picture with caches")
    with precision_of(model, precision, settings.device) as ready:
        trace = traced(ready, vocabulary, pixels, settings.device, passes)
    peak, in_all = memory.above(), memory.in_all()
    uncached = None
    if kind == "fp32":
        uncached = Uncached(model, vocabulary, trace, settings).total() / batch
    return _measures(case, batch, kind, trace, uncached, (peak, in_all))


def random_pixels(model: TranslatotronV, batch: int, device: str) -> Tensor:
    """(B, channels, H, W) in [0, 1], the same in every run."""
    canvas = model.config.canvas
    random = torch.Generator().manual_seed(2)
    return torch.rand(batch, canvas.channels, canvas.height, canvas.width, generator=random).to(device)


def traced(model: TranslatotronV, vocabulary: Vocabulary, pixels: Tensor, device: str, passes: int = 0) -> Trace:
    """Run ``generate`` as it is, and time the functions that it calls; ``passes`` of parallel decoding, 0 for none."""
    now = clock(device)
    trace = Trace()
    with contextlib.ExitStack() as stack:
        for phase, name in (_PARALLEL if passes else _FUNCTIONS).items():
            stack.enter_context(_timed(decoding, name, phase, trace, now))
        stack.enter_context(_timed(model, "see", "see", trace, now))
        stack.enter_context(_timed(model.image_tokenizer, "decode_from_ids", "pixels", trace, now))
        started = now()
        decoding.generate(model, vocabulary, pixels, GenerationConfig("de", "en", image_steps=passes))
        trace.total = now() - started
    trace.seconds["other"] = trace.total - sum(trace.seconds.values())
    return trace


@contextlib.contextmanager
def _timed(owner: Any, name: str, phase: str, trace: Trace, now: Callable[[], float]) -> Iterator[None]:
    """Let calls of a function be timed, and the last result be kept."""
    function = getattr(owner, name)

    def timed(*given: Any, **options: Any) -> Any:
        started = now()
        result = trace.results[phase] = function(*given, **options)
        trace.seconds[phase] = trace.seconds.get(phase, 0.0) + now() - started
        return result

    with mock.patch.object(owner, name, timed):
        yield


class Uncached:
    """The same pictures with the whole prefix recomputed at each step.

    At sampled lengths, given what the cached run wrote so far, each step must write what the cached run wrote next; the
    time of the steps in between is interpolated.
    """

    def __init__(self, model: TranslatotronV, vocabulary: Vocabulary, trace: Trace, settings: Settings):
        self.model, self.vocabulary, self.trace, self.settings = model, vocabulary, trace, settings
        self.source = trace.results["see"]

    @torch.inference_mode()
    def total(self) -> float:
        """Seconds of the whole batch; phases that have no cache take what they took."""
        same = sum(seconds for phase, seconds in self.trace.seconds.items() if phase not in ("text", "image tokens"))
        return same + self._sampled_text() + self._sampled_image()

    def _sampled_text(self) -> float:
        decoder, decoded = self.model.text_decoder, self.trace.results["text"]
        device = self.source.memory.device
        rows = [[*prefix, *ids] for prefix, ids in zip(decoded.prefixes, decoded.ids, strict=True)]
        ids = torch.tensor(rows, device=device)  # (B, T): no row ends early
        tags = len(decoded.prefixes[0])

        def step(length: int) -> Tensor:
            return decoder(ids[:, : tags + length - 1], self.source.memory, self.source.mask)[0][:, -1]

        # Special symbols are never written: the best of all others.
        first = self.vocabulary.tag("translate") + 1
        return self._sampled("text", step, ids[:, tags:], first)

    def _sampled_image(self) -> float:
        decoder, ids = self.model.image_decoder, self.trace.tokens
        drawn, mask = self.trace.results["drawing states"]

        def step(length: int) -> Tensor:
            return decoder(ids[:, :length], drawn, mask, self.source.memory)[:, -1]

        return self._sampled("image", step, ids, 0)

    def _sampled(self, what: str, step: Callable[[int], Tensor], written: Tensor, first: int) -> float:
        """Time some steps, which must write what was written; ids below ``first`` do not compete."""
        now = clock(self.settings.device)
        last = written.shape[1]
        lengths = torch.linspace(1, last, SAMPLED[what]).round().int().tolist()
        seconds = []
        for length in lengths:
            say(f"{what}: an uncached step at {length} of {last}")
            started = now()
            scores = F.log_softmax(step(length).float(), dim=-1)
            seconds.append(now() - started)
            best = scores[:, first:].argmax(-1) + first
            assert torch.equal(best, written[:, length - 1]), f"{what} {length}: another one is written without caches"
        return float(np.interp(np.arange(1, last + 1), lengths, seconds).sum())  # straight lines in between


def _measures(
    case: str, batch: int, kind: str, trace: Trace, uncached: float | None, peak: tuple[float, float]
) -> list[Measure]:
    """Rows of the table; ``peak`` is memory above the imports and in all, GB."""
    tokens, fp32 = trace.tokens.shape[1], kind == "fp32"
    rate = tokens * batch / trace.seconds["image tokens"]
    details: dict[str, Any] = {
        "phases": {phase: taken / batch for phase, taken in trace.seconds.items()},
        "tokens": tokens,
        "tokens_per_second": rate,
        "peak_gigabytes": peak[1],
    }
    parts = ", ".join(f"{phase} {taken / batch:.2f}" for phase, taken in trace.seconds.items() if phase != "other")
    picture = Measure(
        f"{case}: a picture",
        trace.total / batch,
        "CPU-s",
        target=TARGETS[batch] if fp32 else None,
        uncached=uncached,
        reference=REFERENCE[batch] if fp32 else "",
        note=f"{parts}; {rate:.0f} tokens/s",
        details=details,
    )
    memory = Measure(
        f"{case}: memory above imports",
        peak[0],
        "GB",
        target=MEMORY_TARGET if fp32 and batch == 1 else None,
        reference={1: "2.9 in all", 4: "3.4 in all"}[batch] if fp32 else "",
    )
    return [picture, memory]
