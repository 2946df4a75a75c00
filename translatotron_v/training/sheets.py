"""Sample sheets: pages side by side, one row for each sample."""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

GAP = 4  # pixels between pages


def contact_sheet(columns: Sequence[Tensor]) -> Image.Image:
    """Columns of pages (B, channels, H, W) in [0, 1] as one picture, B rows from the top."""
    rows = []
    for pages in zip(*columns, strict=True):
        cells = [np.pad((page.clamp(0, 1) * 255).round().byte().cpu().numpy(), ((0, 0), (0, GAP), (0, GAP)),
                        constant_values=128) for page in pages]
        rows.append(np.concatenate(cells, axis=2))
    sheet = np.concatenate(rows, axis=1)
    return Image.fromarray(sheet[0] if sheet.shape[0] == 1 else sheet.transpose(1, 2, 0))
