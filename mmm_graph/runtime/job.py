"""A request made ready: its inputs as values, what is cached, and the block of what is left to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mmm_graph.errors import InputError, did_you_mean, problem
from mmm_graph.graph.graph import Call, Graph, Loop, Op, Ref, called_models
from mmm_graph.plan.block import Blocks
from mmm_graph.plan.expand import Stream
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.ops import Instruction, Value
from mmm_graph.plan.repeat import repeat_task
from mmm_graph.plan.shard import ShardStream
from mmm_graph.plan.steady import Steady
from mmm_graph.runtime.bind import Binder
from mmm_graph.runtime.events import Request
from mmm_graph.runtime.names import find_value
from mmm_graph.runtime.values import Absent, is_empty

OWNERS = "owners of "
"""Outputs called `owners of NAME 0`, `... 1` hold the owners of the rows of another, the last routing first."""


@dataclass(frozen=True)
class Prepared:
    """A graph made ready for what is asked of it; kept between runs.

    Attributes:
        binders: callables, by rank, the models being trained and the given values that need a gradient.
        programs: of requests that ran alone on one rank, whole, by id, where they are short.
    """

    graph: Graph
    blocks: Blocks
    binders: dict[tuple[int, frozenset[str], frozenset[str]], Binder] = field(default_factory=dict)
    programs: dict[str, list[Instruction]] = field(default_factory=dict)

    @cached_property
    def steady(self) -> Steady:
        """Which values are alike in every turn."""
        return Steady(self.blocks)


@dataclass(frozen=True)
class Job:
    """One request with its graph, its values by name, and the cache keys of nodes whose results are kept."""

    request: Request
    prepared: Prepared
    given: Mapping[str, Any]
    store: Mapping[str, str]

    def stream(self) -> Stream:
        """Its tasks."""
        blocks = self.prepared.blocks
        if blocks.plan.is_plain:
            return Stream(blocks, self.request.id, repeat_task)
        return ShardStream(blocks, self.request.id, repeat_task, symbols(self.prepared.graph, self.given))

    def check(self) -> None:
        """Refuse it by itself, before it runs with others.

        Raises:
            InputError: E515, E516, an image that the plan's ranks cannot share.
        """
        stream = self.stream()
        if isinstance(stream, ShardStream):
            stream.check()

    def values(self) -> dict[Value, Any]:
        """What every rank has from the beginning."""
        names = self.prepared.blocks.start
        return {Value(self.request.id, n): self.given.get(n, Absent(f"{n} is not linked")) for n in names}


def symbols(graph: Graph, given: Mapping[str, Any]) -> dict[str, int]:
    """Lengths of the axes of the inputs that were given, by the symbols of their types."""
    found: dict[str, int] = {}
    for name, port in graph.inputs.items():
        value = given.get(f"{graph.source}.{name}")
        dims = port.type.dims or ()
        if isinstance(value, Tensor) and len(dims) == value.dim():
            plain = [
                (d, n) for d, n in zip(dims, value.shape, strict=True) if len(d.over) == 1 and not d.under
            ]
            found.update({d.over[0]: int(n / d.coef) for d, n in plain if (n / d.coef).denominator == 1})
    return found


def wanted_refs(graph: Graph, outputs: Sequence[str] | None) -> dict[str, Ref]:
    """All outputs of the graph or the values named, and the owners of their rows.

    Raises:
        InputError: E308, E309.
    """
    refs = {name: find_value(graph, name) for name in (graph.outputs if outputs is None else outputs)}
    owners: dict[str, Ref] = {}
    for name in refs:
        ref = graph.outputs[name].owners if name in graph.outputs else None
        if ref is not None:
            chain = (ref, *Flow(graph).owners(ref.source))
            owners.update({f"{OWNERS}{name} {i}": r for i, r in enumerate(chain)})
    return {**refs, **owners}


def bind_inputs(graph: Graph, request: Request, device: torch.device) -> dict[str, Any]:
    """Inputs and params by name; what was not given and has no default is absent.

    Raises:
        InputError: E301, an unknown input; E302, a required one without a value.
    """
    unknown = [n for n in request.inputs if n not in graph.inputs]
    if unknown and graph.source == "$in":
        hint = did_you_mean(unknown[0], graph.inputs)
        raise InputError(problem("E301", f"the graph has no input {unknown[0]!r}", hint=hint))
    values: dict[str, Any] = {f"$params.{k}": v for k, v in graph.params.items()}
    for name, port in graph.inputs.items():
        value = request.inputs.get(name)
        value = port.default if value is None else value
        if value is None and port.required and not port.type.optional:
            raise InputError(
                problem("E302", f"input {name!r} ({port.type}) of request {request.id} has no value")
            )
        if value is not None and port.type.kind == "Text" and isinstance(value, str):
            value = [value] * batch_size(request)
        found = Absent(f"input {name} was not given" if value is None else f"input {name} has no rows")
        values[f"{graph.source}.{name}"] = found if is_empty(value) else on_device(value, device)
    return values


def on_device(value: Any, device: torch.device) -> Any:
    """A tensor on the engine's device; anything else as it is."""
    return value.to(device) if isinstance(value, Tensor) and value.device != device else value


def batch_size(request: Request) -> int:
    """Rows of the first input that has rows, else 1."""
    for value in request.inputs.values():
        if isinstance(value, list | tuple) or (isinstance(value, Tensor) and value.dim()):
            return len(value)
    return 1


def noise_keys(request: Request) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(seeds, elements) that key the noise of each row."""
    if request.elements is not None:
        return request.seeds, request.elements
    if len(request.seeds) > 1:
        return request.seeds, (0,) * len(request.seeds)
    return request.seeds, tuple(range(batch_size(request)))


def grad_paths(flow: Flow, train: frozenset[str], sources: frozenset[str]) -> frozenset[str]:
    """Nodes that run with autograd: those of trained models, and what reads a value that needs a gradient.

    Args:
        sources: names of given values that need one.
    """
    found: set[str] = set()
    reads = {
        path: {w for _, ref, scope in flow.inputs(path) for w in flow.writers(ref, scope)}
        for path, site in flow.sites.items()
        if not isinstance(site.node, Loop)
    }
    for path in reads:
        node = flow.sites[path].node
        models = (
            {*called_models(flow.graph, node)}
            if isinstance(node, Call)
            else set(node.uses.values())
            if isinstance(node, Op)
            else set()
        )
        if models & train:
            found.add(path)
    todo = True
    while todo:
        size = len(found)
        found |= {p for p, ws in reads.items() if any(w.source in found or str(w) in sources for w in ws)}
        todo = len(found) > size
    return frozenset(found)
