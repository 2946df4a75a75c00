"""What all stages share: data, vocabulary, frozen modules, and the weights of earlier runs to start from."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import nn

from translatotron_v.config import Config, to_yaml
from translatotron_v.data import pages
from translatotron_v.data.pages import Batch, Collator, PageDataset
from translatotron_v.data.vocabulary import Vocabulary
from translatotron_v.errors import UserError
from translatotron_v.models.text_decoder import CtcHead
from translatotron_v.training.checkpoint import load_module, load_tensors, read_info, resolve
from translatotron_v.training.trainer import Evaluation


class Stage(nn.Module):
    """What all stages share; see ``trainer.TrainableStage`` for how the loop uses it.

    Args:
        config: of the run.
        vocabulary: of the run.
        train, validation: pairs whose pages fit.
    """

    wanted: frozenset[str]
    teachers: tuple[str, ...] = ()  # names in ``start`` of frozen helpers that are not saved
    modules_to_save: Mapping[str, nn.Module]

    def __init__(
        self, config: Config, vocabulary: Vocabulary, train: list[pages.TextPair], validation: list[pages.TextPair]
    ):
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.collator = Collator(config, vocabulary, self.wanted)
        self.dataset = PageDataset(train, config, self.collator)
        self.validation = pages.plain_samples(validation[: config.data.validation_limit], config)

    def optimised(self) -> Mapping[str, list[nn.Parameter]]:
        """Optimiser name -> parameters; one optimiser over all that is not frozen, unless a stage says otherwise."""
        return {"main": trainable(self.parameters())}

    def after_step(self, step: int) -> None:
        """Nothing to do between steps."""

    def evaluate(self, step: int) -> Evaluation:
        """Score the model on the validation pairs."""
        raise NotImplementedError

    def extra_files(self) -> Mapping[str, str]:
        """What makes the checkpoint open with nothing but its folder."""
        return {"config.yaml": to_yaml(self.config), "vocabulary.json": self.vocabulary.to_json()}

    def validation_batches(self, size: int = 32, most: int | None = None) -> list[Batch]:
        """The validation pairs, or the first ``most`` of them, as batches on the stage's device."""
        device = next(self.parameters()).device
        samples = self.validation[:most]
        chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
        return [self.collator(chunk).to(device) for chunk in chunks]

    def freeze(self, *names: str) -> None:
        """Take modules out of training for good: no gradient, and evaluation mode always.

        Raises:
            UserError: this stage has no such module.
        """
        for name in names:
            if name not in self.modules_to_save:
                known = ", ".join(self.modules_to_save)
                raise UserError(f"freeze: this stage has no module {name!r}; it has {known}")
        self._frozen = getattr(self, "_frozen", ()) + names
        for name in names:
            self.modules_to_save[name].requires_grad_(False)

    def train(self, mode: bool = True) -> "Stage":
        """Training mode for all but the frozen modules."""
        super().train(mode)
        for name in getattr(self, "_frozen", ()):
            self.modules_to_save[name].eval()
        return self

    def load_start(self) -> list[str]:
        """Take the weights that ``start`` names; returns the tensors that keep their random start.

        ``module: RUN`` takes the module of the same name, ``module: RUN#other`` another one.

        Raises:
            UserError: an unknown module, a missing checkpoint, or weights of another shape or vocabulary.
        """
        new: list[str] = []
        for name, origin in self.config.start.items():
            if name in self.teachers:  # no modules of what is trained: the stage loads them itself
                continue
            if name not in self.modules_to_save:
                known = ", ".join(self.modules_to_save)
                raise UserError(f"start.{name}: this stage has no such module; it has {known}")
            new += start_module(self.modules_to_save[name], name, origin, self.vocabulary)
        return new


def trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Those that are not frozen."""
    return [parameter for parameter in parameters if parameter.requires_grad]


def start_module(module: nn.Module, name: str, origin: str, vocabulary: Vocabulary) -> list[str]:
    """Fill a module from ``RUN`` or ``RUN#module``; tensors that the file lacks keep their start and are returned."""
    path, _, other = origin.partition("#")
    folder = resolve(Path(path))
    read_info(folder)
    theirs = Vocabulary.from_file(folder / "vocabulary.json")
    if theirs != vocabulary and any(isinstance(part, nn.Embedding | CtcHead) for part in module.modules()):
        raise UserError(f"start.{name}: {folder} was trained with another vocabulary; set vocabulary={path}")
    load_module(module, folder, other or name, strict=False)
    held = load_tensors(folder / f"{other or name}.safetensors")
    return [f"{name}.{key}" for key in module.state_dict() if key not in held]
