"""What both kinds of evaluation share: lines of the report out of texts, readings and pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from translatotron_v.evaluation.reading import Boxes
from translatotron_v.evaluation.report import Line
from translatotron_v.metrics import Score, bleu, cer, chrf, exact, merge_lines, structure_bleu
from translatotron_v.metrics.image import mean_psnr, mean_ssim, pair_psnr, pair_ssim
from translatotron_v.ocr import boxes_to_text

Picture = Image.Image | np.ndarray
TextMetric = Literal["BLEU", "chrF", "CER", "exact"]

_METRICS: dict[str, Callable[..., Score]] = {"BLEU": bleu, "chrF": chrf, "CER": cer}


@dataclass(frozen=True)
class TextPairs:
    """What should be equal: two lists of texts of the same length, and perhaps further lists of references."""

    hypotheses: Sequence[str]
    references: Sequence[str]
    others: Sequence[Sequence[str]] = ()

    def score(self, metric: TextMetric, lower_case: bool) -> Score:
        """One of the text metrics over all pairs."""
        if metric == "exact":
            return exact(self.hypotheses, self.references, lower_case=lower_case)
        return _METRICS[metric](self.hypotheses, self.references, others=self.others, lower_case=lower_case)


class Scorer:
    """Makes lines whose signatures name the OCR engine where one was used.

    Args:
        reader: signature of the OCR engine.
        lower_case: whether case is folded.
    """

    def __init__(self, reader: str, lower_case: bool) -> None:
        self.reader = reader
        self.lower_case = lower_case

    def text(self, metric: TextMetric, pairs: TextPairs, what: str) -> Line:
        """A score of texts that no OCR has touched."""
        return Line(pairs.score(metric, self.lower_case), what, count=len(pairs.references))

    def read(self, metric: TextMetric, pairs: TextPairs, what: str, ceiling: TextPairs | None = None) -> Line:
        """A score of what OCR read; `ceiling` pairs what it read on the reference pictures with the truth."""
        best = None if ceiling is None else self._signed(ceiling.score(metric, self.lower_case))
        return Line(self._signed(pairs.score(metric, self.lower_case)), what, best, len(pairs.references))

    def structure(
        self, generated: Sequence[Boxes], references: Sequence[Boxes], what: str, texts: Sequence[str] | None = None
    ) -> list[Line]:
        """Structure-BLEU in both variants, from lines that OCR found on both pictures.

        Its references are read too, so equal pictures score 100; the ceiling says how far those readings are from the
        reference texts, where these are known.
        """
        pages, targets = ([merge_lines(boxes) for boxes in side] for side in (generated, references))
        ceiling = None
        if texts is not None:
            read = [" ".join(box.text for box in paragraphs) for paragraphs in targets]
            ceiling = self._signed(bleu(read, texts, lower_case=self.lower_case))
        scores = (
            structure_bleu(pages, targets, one_to_one=one_to_one, lower_case=self.lower_case)
            for one_to_one in (False, True)
        )
        return [Line(self._signed(score), what, ceiling, len(targets)) for score in scores]

    def sample(self, hypothesis: str, reference: str, others: Sequence[str] = ()) -> dict[str, float]:
        """BLEU (effective order) and CER of one text."""
        more = [[other] for other in others]
        sentence = bleu([hypothesis], [reference], others=more, lower_case=self.lower_case, effective_order=True)
        errors = cer([hypothesis], [reference], others=more, lower_case=self.lower_case)
        return {"BLEU": sentence.value, "CER": errors.value}

    def _signed(self, score: Score) -> Score:
        return Score(score.name, score.value, f"{score.signature}|{self.reader}")


def texts_of(readings: Sequence[Boxes]) -> list[str]:
    """The text of each picture in reading order."""
    return [boxes_to_text(boxes) for boxes in readings]


def similarity(hypothesis: Picture | None, reference: Picture) -> dict[str, float]:
    """SSIM and PSNR of one pair."""
    return {"SSIM": pair_ssim(hypothesis, reference), "PSNR": pair_psnr(hypothesis, reference)}


def similarity_lines(values: Sequence[dict[str, float]], what: str) -> list[Line]:
    """The means of what `similarity` has measured."""
    ssim, psnr = ([value[name] for value in values] for name in ("SSIM", "PSNR"))
    return [Line(mean_ssim(ssim), what, count=len(values)), Line(mean_psnr(psnr), what, count=len(values))]
