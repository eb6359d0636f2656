"""What a stage computes, found on the graph alone: forward and backward work of each model, part by part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mmm_graph.graph.attached import guest_of, type_of
from mmm_graph.graph.graph import Call, Graph, Loop, Node, Op, Ref, links, walk
from mmm_graph.plan.cost import parts_of
from mmm_graph.registry import Part, Registry
from mmm_graph.train.reach import WHOLE, needed_nodes

Share = Callable[[str, str], float]
"""(model, part) -> share of its weights that are trained, from 0 to 1; WHOLE is the part of a model in one piece."""


@dataclass
class Work:
    """What a model does for one sample, in all of its calls.

    Attributes:
        forward, backward: multiply-adds x 2, at the sizes that its parts are counted for.
        once: of `forward`, what is done once for each sample and then supplied from the cache.
        kept: numbers that its parts declare and the backward pass needs.
        calls: how often it is called.
        learns: it has a backward pass.
        unknown: what calls it and does not say what that costs.
    """

    forward: float = 0.0
    backward: float = 0.0
    once: float = 0.0
    kept: int = 0
    calls: int = 0
    learns: bool = False
    unknown: list[str] = field(default_factory=list)


class Walker:
    """Adds up the work of a graph's nodes, by model.

    The backward pass of a part costs nothing if nothing at or before it is trained; once its forward pass for the
    gradient of its inputs; once more for that of its weights, as far as they are trained; and once more if it is
    computed again instead of being kept.

    Args:
        share: what is trained.
        again: parts that are computed again, by (model, part).
        cached: values that are kept.
    """

    def __init__(
        self,
        graph: Graph,
        registry: Registry,
        share: Share,
        *,
        again: Callable[[str, str], bool] = lambda model, part: False,
        cached: Sequence[Ref] = (),
    ) -> None:
        self._graph, self._registry, self._share, self._again = graph, registry, share, again
        self._repeated = {node.path for node in walk(needed_nodes(graph, cached))}
        self._grads: set[str] = set()
        self.found: dict[str, Work] = {}
        for node in needed_nodes(graph):
            self._add(node, 1)

    def _add(self, node: Node, times: int) -> None:
        learns = any(ref.source in self._grads for ref in links(node))
        if isinstance(node, Loop):
            self._grads |= {"$carry"} if learns else set()
            for inner in node.body:
                self._add(inner, times * (node.count or node.limit or 1))
            learns = learns or any(inner.path in self._grads for inner in node.body)
            self._grads.discard("$carry")
        elif isinstance(node, Call):
            learns = self._call(node, learns, times)
        elif isinstance(node, Op):
            for model in node.uses.values():
                self._work(model).unknown.append(f"{node.path} ({node.kind})")
                learns = learns or self._share(model, WHOLE) > 0
        if learns:
            self._grads.add(node.path)

    def _call(self, node: Call, learns: bool, times: int) -> bool:
        """One call; returns whether its outputs need a gradient."""
        model = self._graph.models[node.model]
        kind = type_of(model, self._registry)
        if not kind.weights:
            return learns
        table = {part.name: part for part in parts_of(model, kind)}
        path = kind.methods[node.method].path
        names = list(table) if path is None or kind.parts is None else path(model.config, node.config)
        work = self._work(node.model)
        work.calls += times
        if not any(table[name].flops for name in names):
            work.unknown.append(node.path)
        for name in names:
            guest = guest_of(model, self._registry, name)
            own = (node.model, name if kind.parts is not None else WHOLE)
            owner, part = own if guest is None else guest[:2]
            learns = learns or self._share(owner, part) > 0
            self._part(owner, part, table[name], times, learns=learns, once=node.path not in self._repeated)
        return learns

    def _part(self, model: str, name: str, part: Part, times: int, *, learns: bool, once: bool) -> None:
        work, again = self._work(model), self._again(model, name)
        work.forward += times * part.flops
        work.once += times * part.flops * once
        if learns:
            work.learns = True
            work.backward += times * part.flops * (1 + self._share(model, name) + again)
            work.kept += times * (sum(part.sizes.values()) + (0 if again else part.work))

    def _work(self, model: str) -> Work:
        return self.found.setdefault(model, Work())
