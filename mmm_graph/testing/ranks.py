"""One device against two ranks: the parts of a model on every axis that it does not refuse, ranks being threads."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.parallel.exchange import Exchange, install
from mmm_graph.parallel.group import Group
from mmm_graph.parallel.sharded import Groups, ShardConfig, Sharded
from mmm_graph.parallel.tensor import shard_weights
from mmm_graph.parallel.thread_group import run_members
from mmm_graph.plan.ops import ALL, At, Span
from mmm_graph.registry.node_type import Method, ModelType
from mmm_graph.registry.part import Sharding
from mmm_graph.spec.ports import PortType
from mmm_graph.testing.call import Invocation, invoke, prepare
from mmm_graph.testing.parts import flattened
from mmm_graph.testing.pieces import compare, cut, doubled, in_two, joined, rows_of
from mmm_graph.testing.setup import Setup

PATCHES = "patches"
"""Not an axis: one rank does a pipelined loop's second evaluation patch by patch."""
ROWED = ("patch", "ring", "ulysses", PATCHES)
TIMEOUT_S = 30.0
State = dict[str, Any]


def check_ranks(node: ModelType, name: str, call: Invocation, built: nn.Module, setup: Setup) -> None:
    """What the parts of a method make on two ranks is what they make on one device, in float64.

    Args:
        name: of a method that is a path; others are not shared.

    Raises:
        AssertionError: with the axis on which it differs, and by how much.
    """
    method, said = node.methods[name], node.sharding(setup.config) if node.sharding is not None else None
    if said is None or method.path is None or any(port.kind == "State" for port in method.inputs.values()):
        return  # each rank has a state of its own, which only its own call makes
    where, module = f"{node.kind}.{name}", _random(built, setup.seed)
    sizes, drawn = prepare(method.inputs, call, setup)
    inputs = doubled({**dict.fromkeys(method.inputs), **drawn})
    task = _Task(method, call, said, module)
    whole = invoke(where, replace(call, run=task.whole), inputs, sizes, setup)
    for axis in axes_of(said, name):
        spans, total = (), 0
        if axis in ROWED:
            total = rows_of(where, method.inputs, inputs)
            spans = in_two(f"{where}, {axis}", total, said.units[name])
        there = f"{where} {'patch by patch' if axis == PATCHES else f'on two ranks of the axis {axis}'}"
        shared = replace(call, run=task.shared(axis, spans, total))
        each = invoke(there, shared, inputs, sizes, setup)
        hint = f"say in its sharding why {axis} is refused, or let its layers ask their exchange"
        compare(there, joined(method.returns, each) if spans else each, whole, hint)


def axes_of(said: Sharding, method: str) -> tuple[str, ...]:
    """Axes to be tried for a method: those that it has rows or heads for."""
    rows = ROWED if method in said.units else ()
    heads = ("ulysses", "tensor") if said.heads > 1 else ()
    able = [a for a in (*rows, "tensor") if a in heads or a not in ("ulysses", "tensor")]
    return tuple(a for a in able if a not in said.refused)


def _random(built: nn.Module, seed: int) -> nn.Module:
    """A copy in float64 with nothing left at zero: layers that start as the identity would hide what is wrong."""
    module = copy.deepcopy(built).double()
    generator = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        weight.data.add_(torch.randn(weight.shape, generator=generator, dtype=weight.dtype) * 0.1)
    return module


@dataclass(frozen=True)
class _Task:
    """One method of one model."""

    method: Method
    call: Invocation
    said: Sharding
    module: nn.Module

    def whole(self, **inputs: Any) -> State:
        """On one device."""
        return self._parts(self.module, flattened(inputs), At("check", "check"))

    def shared(self, axis: str, spans: tuple[Span, ...], total: int) -> Callable[..., State]:
        """On two ranks, or in two patches; by output, what each of them has of it."""
        at = At("check", "check", (0,), ALL, spans=spans, total=total)

        def on_rank(inputs: State, group: Group) -> State:
            exchange = Sharded(_groups(axis, group), ShardConfig("ring" if axis == "ring" else "patch"))
            module = self._with(exchange)
            if axis == "tensor":
                shard_weights(module, group.index, group.size)
            with torch.no_grad():  # each thread has its own mode
                return self._piece(module, exchange, inputs, at._replace(member=group.index if spans else 0))

        def run(**inputs: Any) -> State:
            if axis == PATCHES:
                found = self._patches(inputs, at)
            else:
                found = run_members(2, lambda group: on_rank(inputs, group), TIMEOUT_S)
            return {key: [piece[key] for piece in found] for key in self.method.returns}

        return run

    def _patches(self, inputs: State, at: At) -> list[State]:
        """The same question twice: patches read what the first evaluation left of the others, which is still true."""
        exchange = Sharded(Groups(), ShardConfig(buffered=True))
        module = self._with(exchange)
        self._piece(module, exchange, inputs, at._replace(spans=((0, at.total),)))
        later = [at._replace(step=(1,), patch=p, spans=(s,), sync=False) for p, s in enumerate(at.spans)]
        return [self._piece(module, exchange, inputs, here) for here in later]

    def _with(self, exchange: Exchange) -> nn.Module:
        module = copy.deepcopy(self.module)
        install(module, exchange)
        return module

    def _piece(self, module: nn.Module, exchange: Exchange, inputs: State, at: At) -> State:
        exchange.bind(at)
        return self._parts(module, flattened(self._rows(inputs, at)), at)

    def _rows(self, inputs: State, at: At) -> State:
        ports: Mapping[str, PortType] = self.method.inputs
        if not at.spans:
            return inputs
        return {k: cut(ports[k], v, at.spans[at.member], at.total) for k, v in inputs.items()}

    def _parts(self, module: nn.Module, state: State, at: At) -> State:
        """Run the path; tokens without rows stay with the first member of the first patch."""
        modules, path = module.parts, self.method.path
        assert isinstance(modules, nn.ModuleDict) and path is not None
        model_config, node_config = self.call.configs[1], self.call.configs[0]
        for part in path(model_config, node_config):
            written: Mapping[str, Tensor] = modules[part](state)
            state.update(written)
            for key in self.said.joint if at.patch > 0 or at.member else ():
                state.pop(key, None)
        return {key: state.get(key) for key in self.method.returns}


def _groups(axis: str, group: Group) -> Groups:
    if axis == "tensor":
        return Groups(tensor=group)
    return Groups(tokens=group, inner=group) if axis == "ulysses" else Groups(tokens=group, outer=group)
