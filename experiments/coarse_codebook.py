"""A tokenizer made worse without training anything: codes that are alike become one.

The image decoder goes on writing the tokens that it has learnt; what they look like gets coarser. So pictures differ by
nothing but the tokenizer, and how their BLEU follows its errors can be seen.
"""

import shutil
from pathlib import Path

MODULE = "image_tokenizer"
_CODEBOOK, _USE = "quantizer._codebook.embed", "quantizer._codebook.cluster_size"
_IDLE = 1e-3  # moving average of uses below which a code counts as unused


def coarsen(weights: Path, folder: Path, codes: int) -> Path:
    """Copy a checkpoint with the codes in use merged to so many, the most alike first (average linkage by angle).

    Args:
        weights: a translator with a learned tokenizer.
        folder: to write; what stands there is replaced.
        codes: different vectors that are left, at most.
    """
    import numpy as np
    import torch
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.cluster.vq import vq

    from translatotron_v.training.checkpoint import load_tensors, read_info, resolve, save_checkpoint

    source = resolve(weights)
    tensors = load_tensors(source / f"{MODULE}.safetensors")
    vectors = tensors[_CODEBOOK][0].float().numpy().astype(np.float64)  # (K, W)
    used = vectors[tensors[_USE][0].float().numpy() > _IDLE]
    groups = fcluster(linkage(used, "average", metric="cosine"), codes, "maxclust")
    centres = np.stack([used[groups == group].mean(0) for group in np.unique(groups)])
    merged = centres[vq(vectors, centres)[0]]
    merged /= np.linalg.norm(merged, axis=1, keepdims=True)  # codes are directions
    tensors[_CODEBOOK] = torch.from_numpy(merged)[None].to(tensors[_CODEBOOK].dtype)
    files = {name: (source / name).read_text(encoding="utf-8") for name in ("config.yaml", "vocabulary.json")}
    save_checkpoint(folder, {MODULE: tensors}, files, read_info(source), half=True)
    for path in source.glob("*.safetensors"):
        if path.stem != MODULE:
            shutil.copyfile(path, folder / path.name)
    return folder
