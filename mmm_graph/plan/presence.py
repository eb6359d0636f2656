"""From which turn of a loop on its values are either always there or always absent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from mmm_graph.graph.graph import Call, Graph, Loop, Node, Op, Ref
from mmm_graph.plan.flow import Flow, Scope, keyed, optional_keys
from mmm_graph.plan.rows import model_type
from mmm_graph.registry.node_type import OpType, Ports
from mmm_graph.registry.registry import Registry
from mmm_graph.spec.ports import Dim


class Outside(NamedTuple):
    """A value made outside of a loop that something in it reads; as a condition, its truth counts too."""

    ref: Ref
    condition: bool = False


class Needs(NamedTuple):
    """What must be there for a value to be there: carries of its loop, and values from outside of it."""

    carries: frozenset[str] = frozenset()
    outside: frozenset[Outside] = frozenset()

    def __or__(self, other: Needs) -> Needs:
        return Needs(self.carries | other.carries, self.outside | other.outside)


class Unsure(Exception):
    """A value may be there in some turns and not in others, for reasons that only the run knows."""


Reach = Mapping[str, Needs]
"""By carry: what its value of a turn needs, carries meaning their first values."""


class Presence:
    """Follows who needs whom through a loop's body.

    A value is there when all that it needs is. A carry may be there in the first turn and be absent in the next one,
    where a node on its way needs something else that is absent; after a few turns everything has come round.

    Args:
        carried: names that somebody reads, by path of the loop.
    """

    def __init__(self, flow: Flow, registry: Registry, carried: Mapping[str, Collection[str]]) -> None:
        self.flow, self.registry, self.carried = flow, registry, carried
        self._reaches: dict[str, list[Reach] | None] = {}

    def settled(self, path: str) -> int | None:
        """The first turn of a loop from which on its values come and go no more; None: nobody can tell."""
        reaches = self._turns(path)
        return None if reaches is None else len(reaches) - 1

    def _turns(self, path: str) -> list[Reach] | None:
        """Reach of the carries in turn 0, 1 ... up to the one that all later turns are like."""
        if path not in self._reaches:
            try:
                self._reaches[path] = self._follow(path)
            except Unsure:
                self._reaches[path] = None
        return self._reaches[path]

    def _follow(self, path: str) -> list[Reach]:
        site = self.flow.sites[path]
        loop, names = site.node, sorted(self.carried.get(path, ()))
        assert isinstance(loop, Loop)
        step = {name: self._needs(loop.next[name], (*site.scope, loop)) for name in names}
        found: list[Reach] = [{name: Needs(frozenset((name,))) for name in names}]
        for _ in range(len(names) + 2):
            following = {name: _through(step[name], found[-1]) for name in names}
            if not names or (len(found) > 1 and following == found[-1]):
                return found
            found.append(following)
        raise Unsure(path)  # carries change places

    def _needs(self, ref: Ref, scope: Scope, *, condition: bool = False) -> Needs:
        """What a value read in the body of the innermost loop of `scope` needs."""
        loop = scope[-1]
        if ref.source == "$each" and ref.port in loop.each:
            return Needs()
        home = self.flow.home(ref, scope)
        if len(home) < len(scope):
            return Needs(outside=frozenset((Outside(ref, condition),)))
        if condition:
            raise Unsure(str(ref))
        if ref.source == "$carry":
            return Needs(frozenset((ref.port,)))
        node = self.flow.sites[ref.source].node
        if isinstance(node, Loop):
            return self._of_loop(node, ref.port, scope)
        if not self._makes_always(node, ref.port):
            raise Unsure(str(ref))
        return self._of_node(node, scope)

    def _of_node(self, node: Node, scope: Scope) -> Needs:
        may = self._optional(node)
        required, optional = Needs(), Needs()
        for key, ref in keyed(node.inputs):
            if key in may:
                optional |= self._needs(ref, scope)
            else:
                required |= self._needs(ref, scope)
        if not optional.carries <= required.carries:
            raise Unsure(node.path)  # what it makes without it may be another thing
        return required if node.when is None else required | self._needs(node.when, scope, condition=True)

    def _of_loop(self, loop: Loop, port: str, scope: Scope) -> Needs:
        """What the last turn of a loop in the body needs."""
        count = loop.count if loop.count is not None else loop.limit
        turns = self._turns(loop.path)
        if loop.until is not None or not count or port in loop.collect or turns is None:
            raise Unsure(loop.path)
        made = self._needs(loop.out[port] if port in loop.out else loop.next[port], (*scope, loop))
        last = _through(made, turns[min(count, len(turns)) - 1])
        found = Needs() if loop.when is None else self._needs(loop.when, scope, condition=True)
        for name in last.carries:
            found |= self._needs(loop.carry[name], scope)
        for ref, condition in last.outside:
            found |= self._needs(ref, scope, condition=condition)
        return found

    def _makes_always(self, node: Node, port: str) -> bool:
        """Whether what it makes is there whenever it runs: rows of a batch of its own (routing) may be none."""
        inputs, returns, is_path = declared(node, self.flow.graph, self.registry)
        if is_path:
            return True
        dims = returns[port].dims if port in returns else None
        return (
            port in returns
            and not returns[port].optional
            and sizes_in(dims[:1] if dims else ()) <= of_all(inputs)
        )

    def _optional(self, node: Node) -> frozenset[str]:
        return optional_keys(node, declared(node, self.flow.graph, self.registry)[0])


def declared(node: Node, graph: Graph, registry: Registry) -> tuple[Ports, Ports, bool]:
    """(inputs, outputs) as the node's type declares them, and whether it is a path through parts."""
    if isinstance(node, Op):
        op = registry.get(node.kind)
        assert isinstance(op, OpType)
        return op.inputs, op.returns, False
    assert isinstance(node, Call)
    method = model_type(graph, registry, node.model).methods[node.method]
    return method.inputs, method.returns, method.path is not None


def of_all(ports: Ports) -> set[str]:
    """Names of all sizes in some types."""
    flat = [inner for port in ports.values() for inner in (port.fields or {"": port}).values()]
    return set().union(*(sizes_in(port.dims or ()) for port in flat))


def sizes_in(dims: Iterable[Dim]) -> set[str]:
    """Names of sizes; those of configs are numbers."""
    return {name for dim in dims for name in (*dim.over, *dim.under) if name[0] != "$"}


def _through(needs: Needs, before: Reach) -> Needs:
    """The same, one turn further back."""
    found = Needs(outside=needs.outside)
    for name in needs.carries:
        found |= before[name]
    return found
