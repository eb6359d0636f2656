"""Pull: which nodes, ports, carries and inputs are needed for the requested values, given those that are at hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mmm_graph.graph.graph import Call, Loop, Op, Ref, called_models
from mmm_graph.plan.flow import OUTER, Flow, Scope, loop_sources


@dataclass(frozen=True)
class Needs:
    """What has to run.

    Attributes:
        ports: ports that somebody reads, by node path; of loops too. A node that is not here does not run.
        carry: carried names that somebody reads, by path of the loop.
        inputs: `$in.x`, `$data.x` and `$params.x` that are read.
        models: names of the models that are called or used.
    """

    ports: Mapping[str, frozenset[str]]
    carry: Mapping[str, frozenset[str]]
    inputs: frozenset[Ref]
    models: frozenset[str]


def select(
    flow: Flow, targets: Collection[Ref], given: Collection[str] = (), *, watched: bool = False
) -> Needs:
    """Follow the links back from `targets`.

    Args:
        targets: values of the top level.
        given: names `node.port` of top-level values that are supplied or cached; what only they need does not run.
        watched: previews and streamed values of loops are needed too.
    """
    return _Pull(flow, frozenset(given), watched).run(targets)


class _Pull:
    def __init__(self, flow: Flow, given: frozenset[str], watched: bool) -> None:
        self.flow, self.given, self.watched = flow, given, watched
        self.ports: dict[str, set[str]] = {}
        self.carry: dict[str, set[str]] = {}
        self.inputs: set[Ref] = set()
        self.todo: list[tuple[Ref, Scope]] = []

    def run(self, targets: Collection[Ref]) -> Needs:
        self.todo = [(ref, ()) for ref in targets]
        while self.todo:
            self._need(*self.todo.pop())
        ports = {k: frozenset(self.ports[k]) for k in self.flow.sites if k in self.ports}
        carry = {k: frozenset(v) for k, v in self.carry.items()}
        return Needs(
            ports, carry, frozenset(self.inputs), frozenset(m for k in ports for m in self._models(k))
        )

    def _need(self, ref: Ref, scope: Scope) -> None:
        if str(ref) in self.given or ref.source == "$each":
            return
        if ref.source in OUTER:
            self.inputs.add(ref)
            return
        if ref.source == "$carry":
            place = self.flow.home(ref, scope)
            self._need_carry(place[-1], ref.port, place[:-1])
            return
        site = self.flow.sites[ref.source]
        if ref.port in self.ports.setdefault(ref.source, set()):
            return
        first = not self.ports[ref.source]
        self.ports[ref.source].add(ref.port)
        if isinstance(site.node, Loop):
            self._need_loop(site.node, ref.port, site.scope, first)
        elif first:
            self.todo += [(r, s) for _, r, s in self.flow.inputs(ref.source)]
            self.todo += [(r, ()) for r in self.flow.owners(ref.source)]  # they key the noise of routed rows
            for depth, loop in enumerate(site.scope):
                if loop.path not in self.ports:
                    self.ports[loop.path] = set()
                    self._enter(loop, site.scope[:depth])

    def _need_carry(self, loop: Loop, name: str, scope: Scope) -> None:
        if name not in self.carry.setdefault(loop.path, set()):
            self.carry[loop.path].add(name)
            self.todo += [(loop.carry[name], scope), (loop.next[name], (*scope, loop))]

    def _need_loop(self, loop: Loop, port: str, scope: Scope, first: bool) -> None:
        if port not in loop.out and port not in loop.collect and port in loop.carry:
            self._need_carry(loop, port, scope)
        else:
            self.todo += loop_sources(loop, port, scope)
            self._need_start(loop, port, scope)
        if first:
            self._enter(loop, scope)

    def _need_start(self, loop: Loop, port: str, scope: Scope) -> None:
        """An output that is also what a carry becomes has the carry's first value when there are no turns."""
        for name in loop.carry if loop.count == 0 and port in loop.out else ():
            if loop.next[name] == loop.out[port]:
                self._need_carry(loop, name, scope)

    def _enter(self, loop: Loop, scope: Scope) -> None:
        inner = (*scope, loop)
        if loop.when is not None:
            self.todo.append((loop.when, scope))
        if loop.until is not None:
            self.todo.append((loop.until, inner))
        if self.watched:
            self.todo += [(loop.preview[0], inner)] if loop.preview else []
            self.todo += [(loop.collect[name][0], inner) for name in loop.stream if name in loop.collect]

    def _models(self, path: str) -> tuple[str, ...]:
        node = self.flow.sites[path].node
        if isinstance(node, Call):
            return called_models(self.flow.graph, node)
        return tuple(node.uses.values()) if isinstance(node, Op) else ()
