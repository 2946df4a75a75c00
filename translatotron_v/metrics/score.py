"""What every metric returns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """A figure that says how it was computed.

    Attributes:
        name: of the metric.
        value: percent for BLEU, chrF, Structure-BLEU, LF and LF+; a share for CER and SSIM; decibels for PSNR.
        signature: settings and versions, in sacrebleu's key:value|key:value form.
    """

    name: str
    value: float
    signature: str

    def __str__(self) -> str:
        return f"{self.name}|{self.signature} = {self.value:.4g}"
