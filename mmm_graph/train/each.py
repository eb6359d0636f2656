"""`each:`: a graph of ops that runs for every sample, where the sample is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmm_graph.graph.graph import Call, Graph, Op
from mmm_graph.registry import Registry
from mmm_graph.runtime import Built, Engine, Request
from mmm_graph.spec.ports import PortType
from mmm_graph.train.collate import LISTS
from mmm_graph.train.order import Pick
from mmm_graph.train.samples import Dataset, draw, seeded, varies
from mmm_graph.train.seeds import derive_seed


@dataclass
class Each:
    """A dataset whose samples went through a graph: its outputs replace columns or are new.

    Noise is keyed by (seed, epoch, index, node): neither the worker nor the batch matters.

    Args:
        dataset: what is read.
        graph: as `compile_each` makes it.
        models: without weights, built.
        seed: of noise.
    """

    dataset: Dataset
    graph: Graph
    registry: Registry
    models: Mapping[str, Built]
    seed: int = 0
    _engine: list[Engine] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.draw(index, 0)

    @property
    def varies(self) -> bool:
        """Whether a sample is not the same in each epoch."""
        return varies(self.dataset) or any(_draws(self.graph, self.registry))

    def seeded(self, seed: int) -> Each:
        """The same with another seed."""
        own = derive_seed(seed, "each")
        return Each(seeded(self.dataset, seed), self.graph, self.registry, self.models, own)

    def size(self, index: int, column: str) -> int | None:
        """As the dataset tells it, of a column that the graph leaves alone."""
        own = getattr(self.dataset, "size", None)
        return None if own is None or column in self.graph.outputs else own(index, column)

    def draw(self, index: int, epoch: int) -> dict[str, Any]:
        """The sample in the form that it has in that epoch.

        Raises:
            MmmError: a node failed.
        """
        row = draw(self.dataset, Pick(index, epoch))
        inputs = {
            k: _batched(item.type, row[k]) for k, item in self.graph.inputs.items() if row[k] is not None
        }
        request = Request(f"sample {index}", inputs, (derive_seed(self.seed, epoch),), (index,))
        found = self._run().run(self.graph, [request])[request.id].values
        made = {k: _alone(out.type, found.get(k)) for k, out in self.graph.outputs.items()}
        return {**row, **made}

    def _run(self) -> Engine:
        if not self._engine:
            self._engine.append(Engine(self.registry, self.models, cache_bytes=0))
        return self._engine[0]


def _draws(graph: Graph, registry: Registry) -> list[bool]:
    """Of every node, whether it draws random numbers."""
    found = []
    for node in graph.walk():
        if isinstance(node, Op):
            found.append(registry.ops[node.kind].noise)
        elif isinstance(node, Call):
            found.append(registry.models[graph.models[node.model].kind].methods[node.method].noise)
    return found


def _batched(type_: PortType, value: Any) -> Any:
    """A value of one sample as a batch of one."""
    if type_.many:
        return list(value) if isinstance(value, list | tuple) else [value]
    if isinstance(value, Tensor):
        return value[None]
    if type_.kind in LISTS:
        return [value]
    return _as_tensor(value)


def _as_tensor(value: Any) -> Any:

    try:
        return torch.as_tensor(value)[None]
    except (TypeError, ValueError, RuntimeError):
        return [value]


def _alone(type_: PortType, value: Any) -> Any:
    """The only row of a batch of one; a list of media stays one."""
    return value if value is None or type_.many else value[0]
