"""Results of pure nodes under keys of their content, with a byte budget; keys are chained without running anything."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mmm_graph.graph.graph import Call, Loop, Node, Op, Ref, called_models
from mmm_graph.plan.flow import Flow, Scope
from mmm_graph.registry.node_type import OpType
from mmm_graph.registry.registry import Registry
from mmm_graph.runtime.build import Built
from mmm_graph.runtime.values import num_bytes


class Cache:
    """Least recently used values go first when the budget is spent.

    Args:
        budget_bytes: 0 keeps nothing.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes, self.used_bytes = budget_bytes, 0
        self._kept: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    def get(self, key: str) -> Any:
        """The value, or None."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: str, value: Any) -> None:
        """Keep a value if it fits."""
        size = num_bytes(value) + 256
        if key in self._kept or size > self.budget_bytes:
            return
        self._kept[key] = (value, size)
        self.used_bytes += size
        while self.used_bytes > self.budget_bytes:
            _, (_, gone) = self._kept.popitem(last=False)
            self.used_bytes -= gone


class Keys:
    """Content keys of the values of one request.

    Args:
        start: content keys of inputs and supplied values by name; None = without one.
        noise: what its random numbers depend on beside node and index.
        precision: what else the numbers depend on: the device.
    """

    def __init__(
        self,
        flow: Flow,
        registry: Registry,
        models: Mapping[str, Built],
        start: Mapping[str, str | None],
        noise: tuple[Any, ...],
        precision: str,
    ) -> None:
        self.flow, self.registry, self.models = flow, registry, models
        self.start, self.noise, self.precision = start, noise, precision
        self._known: dict[str, str | None] = {}

    def value(self, ref: Ref, scope: Scope = ()) -> str | None:
        """Key of a value; None when it cannot be kept."""
        name = self.flow.name(ref, scope)
        if name in self.start:
            return self.start[name]
        if ref.source in ("$carry", "$each"):
            return name  # its first value and what it becomes are in the key of the loop
        if ref.source not in self.flow.sites:
            return name
        key = self.node(ref.source)
        return None if key is None else f"{key}.{ref.port}"

    def node(self, path: str) -> str | None:
        """Key of a node; None when it is not pure, or reads what has no key."""
        if path not in self._known:
            self._known[path] = None  # while it is being found
            node = self.flow.sites[path].node
            parts = self._loop(node) if isinstance(node, Loop) else self._plain(node)
            self._known[path] = None if parts is None else _digest(parts)
        return self._known[path]

    def _plain(self, node: Node) -> list[Any] | None:
        found: list[Any] = [self.precision]
        if isinstance(node, Op):
            kind = self.registry.get(node.kind)
            assert isinstance(kind, OpType)
            if not kind.pure:
                return None
            found += [node.kind, node.config, kind.noise and (node.path, self.noise)]
            names: Collection[str] = node.uses.values()
        else:
            assert isinstance(node, Call)
            if any(t.kind == "State" for t in node.outputs.values()):
                return None  # later calls write to it
            model = self.models[node.model].type
            found += [node.method, node.config, model.methods[node.method].noise and (node.path, self.noise)]
            names = called_models(self.flow.graph, node)
        models = [self._model(n) for n in names]
        inputs = [(k, self.value(r, s)) for k, r, s in self.flow.inputs(node.path)]
        if any(m is None for m in models) or any(v is None for _, v in inputs):
            return None
        return [*found, models, sorted(inputs)]

    def _model(self, name: str) -> tuple[Any, ...] | None:
        built = self.models.get(name)
        if built is None:
            return None
        return (built.node.kind, built.node.config, built.node.dtype, built.identity)

    def _loop(self, loop: Loop) -> list[Any] | None:
        scope = self.flow.sites[loop.path].scope
        inner = (*scope, loop)
        refs: list[tuple[str, Ref, Scope]] = [(f"carry {k}", r, scope) for k, r in loop.carry.items()]
        refs += [(f"next {k}", r, inner) for k, r in loop.next.items()]
        refs += [(f"out {k}", r, inner) for k, r in loop.out.items()]
        refs += [(f"collect {k} {axis}", r, inner) for k, (r, axis) in loop.collect.items()]
        refs += [("until", loop.until, inner)] if loop.until is not None else []
        refs += [("when", r, s) for r, s in self.flow.conditions(loop.path)]
        keys = [(k, self.value(r, s)) for k, r, s in refs]
        return None if any(v is None for _, v in keys) else [loop.path, loop.count, loop.limit, keys]


def _digest(parts: Iterable[Any]) -> str:
    return hashlib.blake2b(repr(tuple(parts)).encode(), digest_size=16).hexdigest()
