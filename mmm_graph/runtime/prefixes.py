"""What the layers of a model keep of prompts from one run to the next, as long as its weights stay what they are."""

from __future__ import annotations

from threading import Lock
from typing import TypeVar

from torch import nn

from mmm_graph.nn.prefix_index import PrefixIndex
from mmm_graph.nn.prefix_store import PrefixStore

Found = TypeVar("Found")


class Prefixes:
    """All indices and stores in a model: none, until it is built."""

    def __init__(self) -> None:
        self._module: nn.Module = nn.Identity()
        self._indices: list[PrefixIndex] = []
        self._stores: list[PrefixStore] = []
        self._weights: tuple[tuple[int, int], ...] = ()
        self._is_alone = False
        self._lock = Lock()  # ranks that are threads may share a module

    def watch(self, module: nn.Module) -> None:
        """The model is built, in the middle of a run."""
        self._module, self._indices, self._stores = (
            module,
            _all(module, PrefixIndex),
            _all(module, PrefixStore),
        )
        self.begin(is_alone=self._is_alone)

    def begin(self, *, is_alone: bool) -> None:
        """Before a run: what other weights have computed is forgotten.

        Args:
            is_alone: whether this is the only rank.
        """
        with self._lock:
            self._is_alone = is_alone
            if not self._stores and not self._indices:
                return
            for index in self._indices:
                index.is_alone = is_alone
            tensors = (*self._module.parameters(), *self._module.buffers())
            weights = tuple((t.data_ptr(), t._version) for t in tensors if not t.is_inference())
            if weights != self._weights:
                self.forget()
                self._weights = weights

    def settle(self, *, is_good: bool) -> None:
        """After a run, of all ranks."""
        for index in self._indices:
            index.settle(is_good=is_good)

    def forget(self) -> None:
        """Keep nothing."""
        for index in self._indices:
            index.forget()
        for store in self._stores:
            store.forget()


def _all(module: nn.Module, kind: type[Found]) -> list[Found]:
    return [value for layer in module.modules() for value in vars(layer).values() if isinstance(value, kind)]
