"""A micro-batch on its way through the engine: its columns, what is supplied, and what keys its noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmm_graph.graph.graph import Graph
from mmm_graph.nn.drawing import NO_DRAWS, Draws
from mmm_graph.runtime import Engine, Request
from mmm_graph.train.loader import Batch


@dataclass(frozen=True)
class Micro:
    """A rank's share of a micro-batch.

    Attributes:
        batch: as the loader gave it.
        request: the same on the device, with seeds and elements.
        supply: values that need not be computed.
    """

    batch: Batch
    request: Request
    supply: Mapping[str, Any] = field(default_factory=dict)

    def column(self, name: str) -> Any:
        """A column of the data on the device; None = no row has it."""
        return self.request.inputs.get(name)


@dataclass(frozen=True)
class Runner:
    """Runs the graph of a stage on micro-batches.

    Attributes:
        trained: names of the models that are trained.
        precision: a context in which the models run.
        draws: layers that draw, which are told whose turn it is.
    """

    engine: Engine
    graph: Graph
    trained: frozenset[str]
    device: torch.device
    precision: Callable[[], AbstractContextManager[Any]]
    draws: Draws = NO_DRAWS

    def run(
        self,
        micro: Micro,
        names: Sequence[str],
        supply: Mapping[str, Any] | None = None,
        *,
        train: bool = True,
    ) -> dict[str, Any]:
        """Values by name, those that are absent left out; with autograd where `train` says so."""
        columns = {name: name.partition(".")[2] for name in names if name.startswith(f"{self.graph.source}.")}
        rest = [name for name in names if name not in columns]
        found = {name: micro.column(column) for name, column in columns.items()}
        if rest:
            self.draws.at(micro.request.seeds, micro.request.elements)
            with self.precision():
                result = self.engine.run(
                    self.graph,
                    [micro.request],
                    outputs=rest,
                    supply={**micro.supply, **(supply or {})},
                    train=self.trained if train else frozenset(),
                )
            found |= result[micro.request.id].values
        return {name: value for name, value in found.items() if value is not None}


def joined(micros: Sequence[Micro]) -> Request:
    """The request of all micro-batches as one batch."""
    first = micros[0].request
    columns = {
        name: join_rows([m.request.inputs[name] for m in micros if m.request.inputs.get(name) is not None])
        for name in first.inputs
    }
    seeds = tuple(seed for m in micros for seed in m.request.seeds)
    elements = tuple(e for m in micros for e in m.request.elements or ())
    return Request(first.id, columns, seeds, elements)


def join_rows(values: Sequence[Any]) -> Any:
    """Batches one after the other."""
    if isinstance(values[0], Tensor):
        return torch.cat(list(values))
    return [row for value in values for row in value]
