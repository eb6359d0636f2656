"""Composites, datasets and optimisers held to what they declare."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from mmm_graph.config import Config
from mmm_graph.graph.columns import is_routed
from mmm_graph.registry.node_type import CompositeType, DataType, OptimType, resolve
from mmm_graph.spec.ports import parse_port
from mmm_graph.testing.same import same, untouched_rng
from mmm_graph.testing.values import Sizes, check_value


def check_composite(node: CompositeType, config: Config, uses: Mapping[str, Any]) -> None:
    """What it expands to is plain data in the words of a graph file, with and without the optional inputs.

    Raises:
        AssertionError: the first thing that is not.
    """
    missing = [role for role, wanted in node.uses.items() if role not in uses and not wanted.endswith("?")]
    if missing:
        raise AssertionError(f"{node.kind} uses {missing[0]!r}; pass uses={{{missing[0]!r}: Used(...)}}")
    required = frozenset(n for n, p in node.inputs.items() if not p.optional)
    for linked in {frozenset(node.inputs), required}:
        try:
            got = node.expand(config, uses, linked)
        except ValueError:
            if linked == frozenset(node.inputs):
                raise
            continue  # it may refuse: this config may need an optional input
        if not isinstance(got, Mapping) or not {"nodes", "out"} <= got.keys() or not got["out"]:
            raise AssertionError(f"{node.kind} must expand to a mapping with nodes and out, not {got!r:.80}")
        try:
            plain = json.loads(json.dumps(got))
        except TypeError as error:
            raise AssertionError(f"{node.kind} expands to more than plain data: {error}") from error
        wrong = [t for t in _texts(plain) if t.startswith("$in.") and t.split(".")[1] not in linked]
        if wrong:
            raise AssertionError(f"{node.kind} links {wrong[0]!r}, but only {sorted(linked)} are given")
        if json.loads(json.dumps(node.expand(config, uses, linked))) != plain:
            raise AssertionError(f"{node.kind} expands differently the second time")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def check_data(node: DataType, config: Config) -> None:
    """Its samples have the declared columns, kinds and shapes, and are the same when asked for again.

    Raises:
        AssertionError: the first difference.
    """
    columns = {name: parse_port(text) for name, text in node.columns(config).items()}
    dataset = resolve(node.builder)(config)
    count = len(dataset)
    if count < 1:
        raise AssertionError(f"{node.kind} is empty")
    sizes = Sizes((config,), {"b": 1})
    for index in sorted({0, count // 2, count - 1}):
        with untouched_rng(f"{node.kind}[{index}]"):
            sample = dataset[index]
        if sample.keys() != columns.keys():
            raise AssertionError(f"{node.kind}[{index}] has {sorted(sample)}; declared are {sorted(columns)}")
        for name, port in columns.items():
            value = sample[name]
            if value is None and (port.optional or is_routed(port) or port.kind == "Mask"):
                continue
            is_list = port.many or port.kind in ("Text", "Chat")
            batched = [value] if is_list else torch.as_tensor(value)[None]
            wrong = check_value(name, port, batched, sizes)
            if wrong:
                raise AssertionError(f"{node.kind}[{index}], as a batch of one: {wrong}")
        if not same(sample, dataset[index]):
            raise AssertionError(f"{node.kind}[{index}] differs when it is read again")


def check_optim(node: OptimType, config: Config) -> None:
    """It lowers the loss of a small least-squares problem.

    Raises:
        AssertionError: it does not, or is no optimiser.
    """
    weight = nn.Parameter(torch.ones(4, 3))
    optimiser = resolve(node.builder)([{"params": [weight]}], config)
    if not isinstance(optimiser, torch.optim.Optimizer):
        raise AssertionError(f"{node.kind} built {type(optimiser).__name__}, not a torch.optim.Optimizer")
    losses = []
    for _ in range(5):
        loss = weight.square().sum()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    if not losses[-1] < losses[0]:
        raise AssertionError(f"{node.kind}: five steps did not lower the loss of |w|^2: {losses}")
