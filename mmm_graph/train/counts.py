"""Over how many items a loss is a mean, so that micro-batches and ranks add up to the mean over all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmm_graph.graph.graph import Graph, Op, Ref
from mmm_graph.registry import Registry, resolve
from mmm_graph.train.micro import Micro, Runner
from mmm_graph.train.ranks import Ranks


@dataclass(frozen=True)
class Counted:
    """A loss whose mean is not over samples.

    Attributes:
        function: counts the items; see `op_type(count=...)`.
        reads: its keywords -> the values they are.
        config: of the op, where the function asks for it.
    """

    function: Callable[..., Any]
    reads: Mapping[str, str]
    config: Mapping[str, Any]

    def of(self, values: Mapping[str, Any]) -> float:
        """Items of a micro-batch; 0 where something is absent."""
        if any(name not in values for name in self.reads.values()):
            return 0.0
        given = {key: values[name] for key, name in self.reads.items()}
        return float(self.function(**given, **self.config))


class Counts:
    """Weights of the micro-batches in a step: a term's mean over all items is the weighted sum of theirs.

    Args:
        terms: names of the loss terms, which are outputs of the graph.
    """

    def __init__(self, graph: Graph, registry: Registry, terms: Iterable[str], runner: Runner) -> None:
        self._runner = runner
        nodes = {node.path: node for node in graph.nodes}
        self.counted: dict[str, Counted] = {}
        for name in terms:
            node = nodes.get(graph.outputs[name].ref.source)
            if isinstance(node, Op) and (function := registry.ops[node.kind].count):
                self.counted[name] = _counted(node, resolve(function))

    @property
    def names(self) -> tuple[str, ...]:
        """Values that the counting reads."""
        return tuple(dict.fromkeys(n for counted in self.counted.values() for n in counted.reads.values()))

    def ahead(self, micros: Sequence[Micro]) -> list[Mapping[str, float]]:
        """Items of each micro-batch by term, found before any loss is computed."""
        if not self.counted:
            return [{} for _ in micros]
        return [self.of(self._runner.run(micro, self.names, train=False)) for micro in micros]

    def of(self, values: Mapping[str, Any]) -> Mapping[str, float]:
        """Items of a micro-batch whose values are known, by term."""
        return {name: counted.of(values) for name, counted in self.counted.items()}

    def shares(self, found: Sequence[Mapping[str, float]], ranks: Ranks) -> list[Mapping[str, float]]:
        """What each micro-batch counts in the mean over all of all ranks; 1 / number where samples are counted."""
        if not self.counted:
            return [{} for _ in found]
        own = torch.tensor([[counts[name] for name in self.counted] for counts in found], dtype=torch.float64)
        total = ranks.total(own.sum(0)).clamp(min=1.0)
        return [dict(zip(self.counted, row, strict=True)) for row in (own * ranks.size / total).tolist()]


def _counted(node: Op, function: Callable[..., Any]) -> Counted:
    asked = [name for name in inspect.signature(function).parameters if name != "config"]
    reads = {name: str(link) for name in asked if isinstance(link := node.inputs.get(name), Ref)}
    asks = "config" in inspect.signature(function).parameters
    return Counted(function, reads, {"config": node.config} if asks else {})


def mean_of(value: Tensor | None, device: torch.device) -> Tensor:
    """A loss as one number; absent (its branch had no rows) is 0."""
    return torch.zeros((), device=device) if value is None or value.numel() == 0 else value.mean()
