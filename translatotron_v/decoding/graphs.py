"""CUDA graphs of decoding steps: hundreds of small kernels of a step are launched as one."""

from collections.abc import Callable

import torch
from torch import Tensor

from translatotron_v.decoding.steps import ImageSteps

WARM_UP = 3  # steps before the capture, in which libraries choose kernels and allocate what they need


class StaticSteps:
    """Steps of static shapes behind the face of ``ImageSteps``: a CUDA graph on a GPU, the same operations elsewhere.

    Args:
        steps: with ``static=True``, at the first token.
    """

    def __init__(self, steps: ImageSteps):
        if not steps.static:
            raise ValueError("a graph needs static shapes: start the decoder with static=True")
        self.steps = steps
        self.ids = torch.zeros(steps.batch, dtype=torch.long, device=steps.place.device)  # previous tokens
        self.replay: Callable[[], Tensor] = self._advance
        if steps.place.is_cuda:
            self.replay = self._capture()

    def _advance(self) -> Tensor:
        """One step, all of it on the device."""
        first = self.steps.place == 0
        logits = self.steps.score(torch.where(first, self.steps.start, self.steps.embedding[self.ids]))
        self.steps.place += 1
        return logits

    def _capture(self) -> Callable[[], Tensor]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        # Casts of weights that autocast keeps would belong to the graph's private memory: it must not keep any.
        kept = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)
        try:
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    self._advance()
            torch.cuda.current_stream().wait_stream(stream)
            self.steps.place.zero_()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                logits = self._advance()
        finally:
            torch.set_autocast_cache_enabled(kept)
        self.steps.place.zero_()  # what the warm-up wrote to the cache is masked out until it is overwritten

        def replay() -> Tensor:
            graph.replay()
            return logits

        return replay

    def __call__(self, ids: Tensor | None) -> Tensor:
        """Score the next token: the previous one (B,), ``None`` at first -> logits (B, K), until the next call."""
        if ids is not None:
            self.ids.copy_(ids)
        return self.replay()
