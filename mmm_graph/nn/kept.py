"""What a layer makes of a condition, kept while a run lasts: the condition is the same in every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

Made = TypeVar("Made")


class Kept:
    """Results by the tensor they were made of, the very object; each is forgotten when that is, or when a run ends.

    Nothing is kept where gradients may flow or a graph is traced. Weights do not change within a run, and tensors that
    flow between nodes are never written to.
    """

    def __init__(self) -> None:
        self._made = WeakTensorKeyDictionary()

    def of(self, source: Tensor, make: Callable[[Tensor], Made]) -> Made:
        """make(source), or what it gave before in this run."""
        if torch.compiler.is_compiling() or torch.is_grad_enabled():
            return make(source)
        found: Made | None = self._made.get(source)  # type: ignore[no-untyped-call]
        if found is None:
            found = self._made[source] = make(source)
        return found

    def forget(self) -> None:
        """Keep nothing."""
        self._made.clear()

    def __deepcopy__(self, memo: dict[int, Any]) -> Kept:
        return Kept()


def find_kept(module: nn.Module) -> list[Kept]:
    """All that the layers of a module have."""
    return [value for layer in module.modules() for value in vars(layer).values() if isinstance(value, Kept)]
