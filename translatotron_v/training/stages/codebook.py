"""The codebook of a tokenizer without a network (``encoder=patch_codebook``): the patches of rendered pages.

Shapes: M distinct patches, K codes, P pixels of a patch.
"""

import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from tqdm import tqdm

from translatotron_v import ranks
from translatotron_v.checkpoint import INFO_FILE, read_info, save_checkpoint
from translatotron_v.config import Config
from translatotron_v.models.image_tokenizer import PatchTokenizer
from translatotron_v.training.stages.tokenizer import TokenizerStage

ROUNDS = 8  # of k-means


def fit_run(stage: TokenizerStage, config: Config) -> dict[str, float]:
    """Fit the codebook on ``trainer.steps`` batches of pages and write ``final/`` of the run; returns its metrics."""
    final = Path(config.run) / "final"
    if (final / INFO_FILE).is_file():
        print(f"{config.run}: this run is finished; its weights are in {final}")
        return dict(read_info(final).get("metrics", {}))
    tokenizer = stage.image_tokenizer
    assert isinstance(tokenizer, PatchTokenizer)
    torch.set_num_threads(config.trainer.threads)
    clocks = time.perf_counter(), time.process_time()
    leads = ranks.number() == 0
    own: list[list[Counter[bytes]]] = []
    indices = range(ranks.number(), config.trainer.steps, ranks.count())
    for index in tqdm(indices, desc="counting patches", unit="batch", file=sys.stderr, disable=not leads):
        pixels = stage.dataset[index].target_pixels
        assert pixels is not None
        own.append([Counter(ink.tobytes() for ink in inked_patches(tokenizer, pixels))])
        if ranks.count() == 1 and len(own) > 1:
            own[0][0].update(own.pop()[0])
    counts: Counter[bytes] = Counter()
    for found in ranks.joined(own):  # in the order of the batches, which decides between patches of one count
        counts.update(found)
    patches, weights = most_common(counts)
    if leads:
        print(f"{len(patches)} distinct patches for {tokenizer.codes} codes", file=sys.stderr)
    tokenizer.codebook.copy_(fit_codebook(patches, weights, tokenizer.codes))
    stage.eval()
    metrics = ranks.told_by_first(dict(stage.evaluate(config.trainer.steps).metrics))
    metrics["distinct_patches"] = float(len(patches))
    info = {
        "step": config.trainer.steps,
        "steps": config.trainer.steps,
        "metrics": metrics,
        "cpu_seconds": time.process_time() - clocks[1],
        "elapsed_seconds": time.perf_counter() - clocks[0],
        "seed": config.trainer.seed,
        "torch": torch.__version__,
    }
    if leads:
        save_checkpoint(final, stage.modules_to_save, stage.extra_files(), info)
    if ranks.count() > 1:
        dist.barrier()
    if not leads:
        return metrics
    shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
    print(f"{config.run}: {shown}; weights: {final}")
    return metrics


def inked_patches(tokenizer: PatchTokenizer, pixels: Tensor) -> np.ndarray:
    """The patches of pages (B, C, H, W) that are not blank, as bytes of ink (M, P); repeats are not removed."""
    patches = (tokenizer.patches(pixels) * 255).round().to(torch.uint8).flatten(0, 1)
    return patches[patches.amax(1) > 0].numpy()


def most_common(counts: Counter[bytes]) -> tuple[Tensor, Tensor]:
    """Distinct patches (M, P) as ink in [0, 1], the most frequent first, and how often each was seen (M,)."""
    ordered = counts.most_common()
    patches = np.stack([np.frombuffer(ink, dtype=np.uint8) for ink, _ in ordered])
    return torch.from_numpy(patches).float() / 255, torch.tensor([float(count) for _, count in ordered])


def fit_codebook(patches: Tensor, weights: Tensor, codes: int) -> Tensor:
    """A codebook (K, P): blank paper, and the patches (M, P) themselves or, if they are too many, some of them.

    These are clusters' medians: k-means starts from the most frequent patches and counts each by its weight (M,), the
    square root of which is used, since letters that are rare should stay legible too; of each cluster the patch is
    taken that has the least distance to all that were seen. So what is seen most is drawn as it is. The mean shows
    faint dots above a letter that has some in other words, and the patch nearest to it may carry a stroke of the next.
    """
    codebook = torch.zeros(codes, patches.shape[1])
    chosen = patches[: codes - 1].clone()
    if len(patches) > len(chosen):
        means = k_means(patches, weights.sqrt(), chosen)
        chosen = _medians(patches, weights, means)
    codebook[1 : 1 + len(chosen)] = chosen
    return codebook


def k_means(patches: Tensor, weights: Tensor, start: Tensor, rounds: int = ROUNDS) -> Tensor:
    """The means (K, P) of clusters of patches (M, P) of some weight (M,), from a start (K, P); no rounds keep it."""
    means = start
    for _ in range(rounds):
        nearest = _nearest(patches, means)
        total = torch.zeros(len(means)).index_add_(0, nearest, weights)
        sums = torch.zeros_like(means).index_add_(0, nearest, patches * weights[:, None])
        means = torch.where(total[:, None] > 0, sums / total.clamp(min=1e-12)[:, None], means)
    return means


def _medians(patches: Tensor, weights: Tensor, means: Tensor) -> Tensor:
    """For each mean (K, P) of a cluster its geometric median among its patches (M, P), by weight (M,); or the mean."""
    nearest = _nearest(patches, means)
    medians = means.clone()
    first = 0
    order = nearest.argsort(stable=True)
    for number, count in enumerate(nearest.bincount(minlength=len(means)).tolist()):
        own = order[first : first + count]
        first += count
        if count:
            away = torch.cdist(patches[own], patches[own]) @ weights[own]
            medians[number] = patches[own[away.argmin()]]
    return medians


def _nearest(patches: Tensor, codes: Tensor) -> Tensor:
    """Number of the code (K, P) that is nearest to each patch (M, P), a part at a time."""
    half = codes.square().sum(1) / 2
    return torch.cat([(part @ codes.T - half).argmax(1) for part in patches.split(2048)])
