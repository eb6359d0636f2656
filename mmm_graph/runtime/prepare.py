"""Graph + request -> a Job: what is wanted, what is at hand or cached, and the blocks of the rest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from mmm_graph.graph.graph import Graph, Ref
from mmm_graph.plan.block import Blocks, Wishes
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.place import Plan, make_plan
from mmm_graph.plan.select import select
from mmm_graph.registry.registry import Registry
from mmm_graph.runtime.build import Built
from mmm_graph.runtime.cache import Cache, Keys
from mmm_graph.runtime.events import Request
from mmm_graph.runtime.job import Job, Prepared, bind_inputs, noise_keys, on_device, wanted_refs
from mmm_graph.runtime.names import find_value
from mmm_graph.runtime.values import content_key

KEPT = 32
"""How many graphs are kept prepared."""


Planner = Callable[[Graph], Plan]
"""Makes the plan of a graph: requests that differ in their params have graphs of their own."""


class Call(NamedTuple):
    """What is asked of one run: see Engine.run."""

    outputs: tuple[str, ...] | None
    supply: Mapping[str, Any]
    train: frozenset[str]
    plan: Plan | Planner | None
    watched: bool


class Preparer:
    """Makes jobs; a graph that was asked for the same things before is not expanded again."""

    def __init__(
        self, registry: Registry, models: Mapping[str, Built], device: torch.device, cache: Cache
    ) -> None:
        self.registry, self.models, self.device, self.cache = registry, models, device, cache
        self._kept: OrderedDict[tuple[Any, ...], Prepared] = OrderedDict()

    def forget_stale(self) -> None:
        """Drop what was bound to models that the engine no longer has, so that they can be freed."""
        for prepared in self._kept.values():
            for key in [k for k, binder in prepared.binders.items() if not binder.is_current(self.models)]:
                del prepared.binders[key]

    def job(self, graph: Graph, request: Request, call: Call) -> Job:
        """Bind the inputs, look into the cache, and find what is left to do."""
        given = bind_inputs(graph, request, self.device)
        supplied = {str(find_value(graph, k)): on_device(v, self.device) for k, v in call.supply.items()}
        given.update(supplied)
        wanted = wanted_refs(graph, call.outputs)
        kept: dict[str, Any] = {}
        store: dict[str, str] = {}
        if self.cache.budget_bytes and not call.train:
            kept, store = self._look_up(graph, request, wanted, given, frozenset(supplied))
        names = (*supplied, *kept)
        wishes = Wishes(wanted, frozenset(names), frozenset(store), call.watched)
        return Job(request, self._prepared(graph, wishes, call), {**given, **kept}, store)

    def _look_up(
        self,
        graph: Graph,
        request: Request,
        wanted: Mapping[str, Ref],
        given: Mapping[str, Any],
        supplied: frozenset[str],
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """(values that the cache has, keys of nodes to be kept)."""
        flow = Flow(graph)
        needs = select(flow, list(wanted.values()), supplied)
        start = {
            n: content_key(v) for n, v in given.items() if n in supplied or n.startswith(f"{graph.source}.")
        }
        start |= {n: repr(v) for n, v in given.items() if n.startswith("$params.")}
        models = {n: b for n, b in self.models.items() if n in needs.models}
        keys = Keys(flow, self.registry, models, start, noise_keys(request), str(self.device))
        kept: dict[str, Any] = {}
        store: dict[str, str] = {}
        for node in graph.nodes:
            ports = needs.ports.get(node.path)
            key = keys.node(node.path) if ports else None
            if key is None or any(node.outputs[p].kind == "State" for p in ports or () if p in node.outputs):
                continue
            found = {f"{node.path}.{p}": self.cache.get(f"{key}.{p}") for p in ports or ()}
            if all(v is not None for v in found.values()):
                kept.update(found)
            else:
                store[node.path] = key
        return kept, store

    def _prepared(self, graph: Graph, wishes: Wishes, call: Call) -> Prepared:
        asked = (tuple(wishes.outputs.items()), wishes.given, wishes.store, wishes.watched)
        key = (id(graph), id(call.plan), bool(call.train), *asked)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        flow = Flow(graph)
        needs = select(flow, list(wishes.outputs.values()), wishes.given, watched=wishes.watched)
        blocks = Blocks(graph, self.registry, self._plan(graph, call), needs, wishes)
        self._kept[key] = Prepared(graph, blocks)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _plan(self, graph: Graph, call: Call) -> Plan:
        """The plan that is made for the graph, or the given one carried over to a graph that it was not made for."""
        if call.plan is None:
            return make_plan(graph, self.registry, branches="turn" if call.train else "batched")
        if not isinstance(call.plan, Plan):
            return call.plan(graph)
        given = call.plan
        placement = {m: [(s.ranks, s.a, s.b) for s in chain] for m, chain in given.models.items()}
        nodes = {p: team for p, team in given.nodes.items() if any(n.path == p for n in graph.walk())}
        return make_plan(
            graph, self.registry, placement, nodes=nodes, branches=given.branches, axes=given.axes, name=given.name,
            loops=given.loops, microbatches=given.microbatches, in_flight=given.in_flight, ranks=given.ranks,
            offload=given.offload,
        )  # fmt: skip
