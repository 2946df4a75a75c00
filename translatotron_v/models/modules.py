"""A list of modules whose kind is known; to torch what a ``ModuleList`` holds is any module, with parts of any kind."""

from collections.abc import Iterator
from typing import Generic, TypeVar, cast

from torch import nn

Kind = TypeVar("Kind", bound=nn.Module)


class Modules(nn.ModuleList, Generic[Kind]):
    """An ``nn.ModuleList`` of one kind of modules; annotate the attribute that it is assigned to."""

    def __iter__(self) -> Iterator[Kind]:  # without super(): ``layers.plain`` runs it over objects of another class
        return cast(Iterator[Kind], iter(self._modules.values()))
