"""COMET, where the user has the package `unbabel-comet` and a model of it; nothing is installed or downloaded.

Rei et al. 2020 (arXiv 2009.09025): a regression from source, translation and reference to what people judged.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from translatotron_v.errors import UserError, first_line
from translatotron_v.metrics.score import Score

_CHECKPOINT = Path("checkpoints") / "model.ckpt"  # in a model's folder, beside it hparams.yaml


class Comet:
    """A COMET model on the CPU.

    Args:
        path: a model's folder as its authors hand it out (`hparams.yaml`, `checkpoints/model.ckpt`), or the checkpoint
            in it. The package unpickles it, which may run what its author put there: take it from whom you trust.
        batch_size: samples at a time.

    Raises:
        UserError: the package is missing, no model is there, or it cannot be loaded from what is on this machine.
    """

    def __init__(self, path: str | Path, batch_size: int = 8) -> None:
        try:
            from comet import load_from_checkpoint
        except ImportError:
            raise UserError("COMET needs a package that is not installed: pip install unbabel-comet") from None
        path = Path(path)
        file = path / _CHECKPOINT if path.is_dir() else path
        if not file.is_file():
            raise UserError(
                f"{path}: no COMET model: expected a folder with hparams.yaml and {_CHECKPOINT}, or that checkpoint"
            )
        try:
            self._model: Any = load_from_checkpoint(str(file), local_files_only=True)
        except Exception as error:  # what the package and those below it raise has no common type
            raise UserError(f"{path}: this COMET model cannot be loaded ({first_line(error)})") from None
        self.name = _name(file.resolve().parents[1])
        self._batch_size = batch_size

    def score(
        self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[Sequence[str]]
    ) -> tuple[Score, list[float]]:
        """A hundred times the mean of what the model says of each text, and that of each.

        Args:
            sources, hypotheses: as many texts.
            references: lists of as many; of several, a text's values are averaged.
        """
        for texts in (hypotheses, *references):
            if len(texts) != len(sources) or not sources or not references:
                raise ValueError(f"{len(sources)} sources and {len(texts)} texts: give as many, at least one")
        values = [0.0] * len(sources)
        for own in references:
            samples = [
                {"src": source, "mt": text, "ref": reference}
                for source, text, reference in zip(sources, hypotheses, own, strict=True)
            ]
            found = self._predict(samples)
            values = [value + 100 * one / len(references) for value, one in zip(values, found, strict=True)]
        many = f"nrefs:{len(references)}{',mean' if len(references) > 1 else ''}"
        signature = f"{many}|model:{self.name}|scale:100|comet:{_version()}"
        return Score("COMET", sum(values) / len(values), signature), values

    def _predict(self, samples: list[dict[str, str]]) -> list[float]:
        try:
            found = self._model.predict(
                samples, batch_size=self._batch_size, gpus=0, accelerator="cpu", num_workers=0, progress_bar=False
            )
            return [float(value) for value in found["scores"]]
        except Exception as error:  # as above
            raise UserError(f"COMET model {self.name} cannot score ({first_line(error)})") from None


def _name(folder: Path) -> str:
    """What a model is called: its folder, or what Hugging Face's cache says above a snapshot's number."""
    cached = [part for part in folder.parts if part.startswith("models--")]
    return cached[-1].removeprefix("models--").replace("--", "/") if cached else folder.name


def _version() -> str:
    try:
        return version("unbabel-comet")
    except PackageNotFoundError:
        return "unknown"
