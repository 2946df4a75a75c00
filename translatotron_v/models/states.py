"""What a model has made of a source: tensors of PyTorch, or numpy arrays where ONNX graphs are the model.

Shapes: B batch, S image states, D width, M width of the image states, R words, C characters, T tokens.
"""

from dataclasses import dataclass
from typing import Any


@dataclass
class SourceStates:
    """What the decoders and the reading heads see of a source.

    Attributes:
        memory: (B, S, D), read by the text decoder and, unless there is a ``picture``, by the image decoder.
        mask: (B, S), true where there is a state; ``None`` where all are.
        reading: (B, S', M), states of the ViT for the reading heads; ``None`` in text mode.
        picture: (B, S', M), states of the ViT for the image decoder, where the text decoder reads pieces instead.
    """

    memory: Any
    mask: Any | None
    reading: Any | None
    picture: Any | None = None

    @property
    def image_memory(self) -> Any:
        """What the image decoder reads."""
        return self.memory if self.picture is None else self.picture


@dataclass
class WordRows:
    """Words that are drawn each on a page of its own.

    Attributes:
        pages: (R,), which page of the batch each belongs to.
        characters: (R, C), with ``mask`` (R, C), true where there is one.
        char_to_token: (R, C), for each character the position in the text decoder's states of its piece, if there are.
        ids: (R, T), its tokens, and paper after them.
        counted: (R, T), true at its tokens and its end, two of paper.
    """

    pages: Any
    characters: Any
    mask: Any
    char_to_token: Any | None
    ids: Any
    counted: Any
