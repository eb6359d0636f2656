"""`cache: true`: what frozen models make of a sample is computed once, kept by index, and then supplied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.graph.graph import Call, Graph, Node, Op, Ref, called_models, links
from mmm_graph.registry import Registry
from mmm_graph.runtime import Engine, Request
from mmm_graph.train.loader import Batch, Loader
from mmm_graph.train.reach import needed_nodes


def frozen_values(graph: Graph, registry: Registry, trained: Iterable[str]) -> tuple[Ref, ...]:
    """Values that depend on a sample alone, that a frozen model had a part in, and that something else reads.

    Only tensors whose rows have one size are among them: the width of padded text changes with the batch.
    """
    fixed: dict[str, bool] = {}  # path -> whether a model with weights lies behind it
    nodes = needed_nodes(graph)
    for node in nodes:
        sources = {ref.source for ref in links(node)}
        if all(s in fixed or s == graph.source for s in sources) and _is_function(
            node, graph, registry, set(trained)
        ):
            own = isinstance(node, Call) and registry.models[graph.models[node.model].kind].weights
            fixed[node.path] = own or any(fixed.get(s, False) for s in sources)
    read = [ref for node in nodes if node.path not in fixed for ref in links(node)]
    read += [output.ref for output in graph.outputs.values()]
    types = {Ref(node.path, port): type_ for node in nodes for port, type_ in node.outputs.items()}
    return tuple(
        ref
        for ref in dict.fromkeys(read)
        if fixed.get(ref.source) and types[ref].dims and all(d.size for d in (types[ref].dims or ())[1:])
    )


def _is_function(node: Node, graph: Graph, registry: Registry, trained: set[str]) -> bool:
    """Same inputs, same outputs: no noise, no training, no condition, no memory."""
    if node.when is not None:
        return False
    if isinstance(node, Op):
        kind = registry.ops[node.kind]
        return kind.pure and not kind.noise and not trained & set(node.uses.values())
    if not isinstance(node, Call) or trained.intersection(called_models(graph, node)):
        return False
    return not registry.models[graph.models[node.model].kind].methods[node.method].noise


class FrozenCache:
    """Rows of frozen values by index of the sample, in host memory.

    Chunks are computed whole and in the dataset's order, so a row does not depend on who asked for it first.
    """

    def __init__(
        self,
        graph: Graph,
        values: Sequence[Ref],
        engine: Engine,
        loader: Loader,
        precision: Callable[[], AbstractContextManager[Any]],
        *,
        chunk: int = 64,
    ) -> None:
        self._graph, self._engine, self._loader, self._chunk = graph, engine, loader, chunk
        self._names = [str(ref) for ref in values]
        self._precision = precision
        self._rows: dict[str, Tensor] = {}
        self._filled: set[int] = set()

    def supply(self, batch: Batch) -> dict[str, Tensor]:
        """The values of a batch, by name, for `Engine.run(supply=...)`."""
        for chunk in sorted({index // self._chunk for index in batch.indices} - self._filled):
            self._fill(chunk)
        index = torch.tensor(batch.indices)
        return {name: rows[index] for name, rows in self._rows.items()}

    def _fill(self, number: int) -> None:
        start = number * self._chunk
        batch = self._loader.gather(range(start, min(start + self._chunk, len(self._loader))))
        inputs = {name: value for name, value in batch.values.items() if value is not None}
        request = Request(f"cache:{number}", inputs, (0,) * len(batch.indices), batch.indices)
        with self._precision():
            result = self._engine.run(self._graph, [request], outputs=self._names)[request.id]
        for name in self._names:
            rows = result.values[name].detach().cpu()
            if len(rows) != len(batch.indices):
                what = f"{name} has {len(rows)} rows for {len(batch.indices)} samples, so it cannot be cached"
                raise RunError(problem("E817", what, hint="leave out `cache: true`"))
            if name not in self._rows:
                self._rows[name] = rows.new_empty((len(self._loader), *rows.shape[1:]))
            self._rows[name][start : start + len(rows)] = rows
        self._filled.add(number)
