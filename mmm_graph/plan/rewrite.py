"""Calls that become one: those of a body that differ only in their condition, where that is provably the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from mmm_graph.errors import InputError, problem
from mmm_graph.graph.graph import Call, Loop, Ref
from mmm_graph.plan.axes import Axes
from mmm_graph.plan.flow import Flow, Scope, keyed, optional_keys
from mmm_graph.plan.presence import declared
from mmm_graph.plan.rows import BATCHED, model_type
from mmm_graph.plan.select import Needs
from mmm_graph.registry.registry import Registry
from mmm_graph.spec.ports import Dim, PortType


class Batch(NamedTuple):
    """Calls that run as one: inputs are concatenated along the batch, outputs split; `shared` inputs are the same."""

    members: tuple[str, ...]
    joined: tuple[str, ...]
    shared: tuple[str, ...]


def find_batches(
    flow: Flow, registry: Registry, needs: Needs, in_turn: Callable[[str], bool] = lambda model: False
) -> dict[str, Batch]:
    """Batches by path of each member; the last member is where the call takes place.

    Args:
        in_turn: whether calls of that model stay separate.
    """
    proof = _Proof(flow, registry)
    found: dict[str, Batch] = {}
    for group in _calls(flow, needs.ports):
        if in_turn(group[0].model):
            continue
        batch = proof.batch(group, flow.sites[group[0].path].scope) if len(group) > 1 else None
        found.update(dict.fromkeys(batch.members, batch) if batch else {})
    return found


def find_branches(flow: Flow, axes: Mapping[str, Axes]) -> dict[str, int]:
    """Place on the `cfg` axis of its model, by path of each call: the branches of a body in their order.

    Raises:
        InputError: E514, a body has fewer calls than the axis has places.
    """
    found: dict[str, int] = {}
    for group in _calls(flow, flow.sites):
        degree = axes.get(group[0].model, Axes())["cfg"]
        if degree > len(group):
            message = f"cfg: {degree} of {group[0].model}: {group[0].path} is one of {len(group)} branches"
            hint = f"the nearest legal degree is {len(group)}; a guidance scale of 1 has one branch"
            raise InputError(problem("E514", message, group[0].place, hint))
        found.update({call.path: j * degree // len(group) for j, call in enumerate(group) if degree > 1})
    return found


def _calls(flow: Flow, paths: Iterable[str]) -> list[list[Call]]:
    """Calls of one method in one body, in order."""
    groups: dict[tuple[str, str, str], list[Call]] = {}
    for path in paths:
        node, scope = flow.sites[path].node, flow.sites[path].scope
        if isinstance(node, Call):
            body = scope[-1].path if scope else ""
            groups.setdefault((body, node.model, node.method), []).append(node)
    return list(groups.values())


class _Proof:
    def __init__(self, flow: Flow, registry: Registry) -> None:
        self.flow, self.registry, self.graph = flow, registry, flow.graph
        self.absent: dict[str, bool] = {}

    def batch(self, calls: Sequence[Call], scope: Scope) -> Batch | None:
        """The batch of these calls, or None where it is not certain to give what they give one by one."""
        first = calls[0]
        if not self._alike(calls) or self._between(calls):
            return None
        size = self._batch_dim(first)
        if size is None or any(self._batch_dim(c) != size for c in calls):
            return None
        joined, shared = [], []
        links = [dict(keyed(c.inputs)) for c in calls]
        for key in links[0]:
            refs = [link[key] for link in links]
            types = [self.flow.type(ref, scope) for ref in refs]
            same = all(ref == refs[0] for ref in refs)
            if self._rows(types, size) and (same or not any(self._maybe_absent(r, scope) for r in refs)):
                joined.append(key)
            elif same and not self._carries_rows(types[0], size):
                shared.append(key)
            else:
                return None
        return Batch(tuple(c.path for c in calls), tuple(joined), tuple(shared))

    def _alike(self, calls: Sequence[Call]) -> bool:
        first = calls[0]
        kind = model_type(self.graph, self.registry, first.model)
        method = kind.methods[first.method]
        conds = {p for p, t in method.inputs.items() if t.kind == "Cond"}
        for call in calls:
            if (
                call.when is not None
                or call.config != first.config
                or call.inputs.keys() != first.inputs.keys()
            ):
                return False
            differing = {k for k in call.inputs if call.inputs[k] != first.inputs[k]}
            if not all(k.partition(".")[0] in conds for k in differing):
                return False
        return bool(conds) and not method.noise

    def _between(self, calls: Sequence[Call]) -> bool:
        """Whether anything up to the last call reads one of them: then they cannot all wait for the last."""
        own = {c.path for c in calls}
        places = [self.flow.sites[c.path].index for c in calls]
        for path, site in self.flow.sites.items():
            if isinstance(site.node, Loop) or not min(places) < site.index <= max(places):
                continue
            if any(
                w.source in own
                for _, ref, scope in self.flow.inputs(path)
                for w in _direct(self.flow, ref, scope)
            ):
                return True
        return False

    def _batch_dim(self, call: Call) -> Dim | None:
        """The first dim that all outputs share, if all are rows."""
        firsts = {
            t.dims[0] if t.dims and t.kind in BATCHED and not t.many else None for t in call.outputs.values()
        }
        return firsts.pop() if len(firsts) == 1 else None

    def _rows(self, types: Sequence[PortType | None], size: Dim) -> bool:
        """Same kind and dims, which start with the batch."""
        first = types[0]
        if (
            first is None
            or not first.dims
            or first.kind not in BATCHED
            or first.many
            or first.dims[0] != size
        ):
            return False
        return all(
            t is not None and t.kind == first.kind and t.dims == first.dims and not t.many for t in types
        )

    def _carries_rows(self, type_: PortType | None, size: Dim) -> bool:
        """Whether a value that all calls share may have one row per element after all."""
        return type_ is not None and (
            type_.many or type_.kind in ("State", "Any") or size in (type_.dims or ())
        )

    def _maybe_absent(self, ref: Ref, scope: Scope) -> bool:
        key = self.flow.name(ref, scope)
        if key not in self.absent:
            self.absent[key] = False  # a cycle through a carry adds nothing
            self.absent[key] = any(self._writer_absent(w) for w in self.flow.writers(ref, scope))
        return self.absent[key]

    def _writer_absent(self, writer: Ref) -> bool:
        if writer.source == "$none":
            return True
        if writer.source in ("$in", "$data"):
            given = self.graph.inputs[writer.port]
            return given.type.optional or (not given.required and given.default is None)
        if writer.source not in self.flow.sites:
            return False
        node = self.flow.sites[writer.source].node
        if (
            writer.port not in node.outputs
            or node.outputs[writer.port].optional
            or self.flow.conditions(node.path)
        ):
            return True
        spared = optional_keys(node, declared(node, self.graph, self.registry)[0])  # it runs without these
        return any(
            self._maybe_absent(ref, scope)
            for key, ref, scope in self.flow.inputs(node.path)
            if key not in spared
        )


def _direct(flow: Flow, ref: Ref, scope: Scope) -> frozenset[Ref]:
    """Writers in the same turn: a carry stands for the turn before."""
    return frozenset() if ref.source == "$carry" else flow.writers(ref, scope)
