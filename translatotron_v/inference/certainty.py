"""How probable it is that a translation is right: what the scores of an answer have meant on validation texts.

`evaluate.py calibration` fits this map and leaves it beside the weights as ``calibration.json``; weights without one
have scores, but no probabilities.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from translatotron_v.checkpoint import CALIBRATION as CALIBRATION
from translatotron_v.errors import UserError

RIGHT = "right"  # the name of the probability among the scores of an answer
FEATURES = ("reading", "text", "length")
LEAST = -8.0  # mean log-probability (nats) that is told from none
_VERSION = 1


def features(reading: float, text: float, words: int) -> tuple[float, float, float]:
    """What a probability is made of, in the order of ``FEATURES``.

    Args:
        reading, text: mean log-probability (nats) of the letters that were read, and of the pieces that were written.
        words: of the translation.
    """
    return max(reading, LEAST), max(text, LEAST), math.log1p(words)


@dataclass(frozen=True)
class Calibration:
    """A logistic map (Platt 1999) from scores to the probability that an answer is right.

    Attributes:
        weights: by the names of `FEATURES`; those of the two scores are not negative, so that the map rises with them.
        bias: log-odds where all features are zero.
        details: what it was fitted on, JSON values.
    """

    weights: Mapping[str, float]
    bias: float
    details: Mapping[str, Any] = field(default_factory=dict)

    def probability(self, reading: float, text: float, words: int) -> float:
        """That an answer with these scores is right, in [0, 1]; see `features`."""
        values = zip(FEATURES, features(reading, text, words), strict=True)
        odds = self.bias + sum(self.weights[name] * value for name, value in values)
        return 1 / (1 + math.exp(-max(-700.0, min(700.0, odds))))

    def to_json(self) -> str:
        """What `from_folder` reads."""
        content = {"version": _VERSION, "weights": dict(self.weights), "bias": self.bias, "details": dict(self.details)}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_folder(cls, folder: Path) -> "Calibration | None":
        """The calibration of a checkpoint; None where it has none.

        Raises:
            UserError: a file that is no calibration of this version.
        """
        path = folder / CALIBRATION
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            weights = {name: float(content["weights"][name]) for name in FEATURES}
            found = cls(weights, float(content["bias"]), dict(content.get("details", {})))
            if content["version"] != _VERSION or not all(map(math.isfinite, (*weights.values(), found.bias))):
                raise ValueError
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(
                f"{path}: no calibration that this version knows; delete it, or make it anew with evaluate.py "
                "calibration"
            ) from None
        return found
