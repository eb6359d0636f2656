"""Losses that compare samples, over all micro-batches of a step: features, the loss, then their gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmm_graph.graph.graph import Graph, Node, Op, Ref, links
from mmm_graph.registry import Registry
from mmm_graph.train.micro import Micro, Runner, join_rows, joined
from mmm_graph.train.reach import needed_nodes


class PairLosses:
    """The loss terms that compare samples, and the features that they compare.

    With `accumulate: k` the features of every micro-batch are computed without autograd, the loss of all of them
    together gives the gradient of each feature, and every micro-batch runs again to carry it on to the weights. What is
    trained is the same as with one large batch; each encoder runs forward twice.

    Args:
        terms: names of all that are looked at.

    Attributes:
        terms: names of those that compare.
        features: values that are cut: inputs with a batch axis of the ops that compare.
    Source: Gao et al. 2021 (arXiv:2101.06983), section 3.2.
    """

    def __init__(self, graph: Graph, registry: Registry, terms: Iterable[str]) -> None:
        nodes = {node.path: node for node in needed_nodes(graph)}
        pairs = {
            path: node
            for path, node in nodes.items()
            if isinstance(node, Op) and registry.ops[node.kind].accumulation == "feature_cache"
        }
        sources = {name: graph.outputs[name].ref.source for name in terms}
        self.terms = tuple(name for name, path in sources.items() if _is_behind(path, pairs, nodes))
        cut = [ref for node in pairs.values() for ref in _batched(node, registry)]
        self.features = tuple(dict.fromkeys(map(str, cut)))

    def gradients(
        self, micros: Sequence[Micro], runner: Runner, weigh: Mapping[str, float]
    ) -> tuple[dict[str, Tensor], Tensor, list[dict[str, Tensor]]]:
        """The terms of all micro-batches together.

        Args:
            weigh: weight of each term.

        Returns:
            The terms; their weighted sum, which still is to be sent backward; and how to get each micro-batch's part of
            the gradient: its features as leaves, whose `.grad` that fills.
        """
        rows = [runner.run(micro, self.features, train=False) for micro in micros]
        leaves = [{name: _leaf(value) for name, value in own.items()} for own in rows]
        names = [name for name in self.features if any(name in own for own in rows)]
        whole = {name: join_rows([own[name] for own in leaves if name in own]) for name in names}
        request = joined(micros)
        micro = Micro(micros[0].batch, request)
        data = f"{runner.graph.source}."
        supply = {name: value for name, value in whole.items() if not name.startswith(data)}
        found = runner.run(micro, self.terms, supply)
        parts = [found[name].float().mean() * weigh[name] for name in self.terms if name in found]
        zero = torch.zeros((), device=runner.device)
        return found, torch.stack(parts).sum() if parts else zero, leaves


def surrogate(values: Mapping[str, Any], leaves: Mapping[str, Tensor]) -> Tensor | None:
    """A number whose gradient is that of the loss, for one micro-batch; None = no feature is trained."""
    parts = [
        (values[name].float() * leaf.grad.float()).sum()
        for name, leaf in leaves.items()
        if leaf.requires_grad and leaf.grad is not None and values[name].requires_grad
    ]
    return torch.stack(parts).sum() if parts else None


def _leaf(value: Any) -> Any:
    is_trained = isinstance(value, Tensor) and value.is_floating_point()
    return value.detach().requires_grad_() if is_trained else value


def _batched(node: Node, registry: Registry) -> list[Ref]:
    assert isinstance(node, Op)
    ports = registry.ops[node.kind].inputs
    found = []
    for key, link in node.inputs.items():
        port = ports[key.partition("#")[0].partition(".")[0]]
        if port.dims or port.kind == "Text":
            found += [link] if isinstance(link, Ref) else list(link)
    return found


def _is_behind(path: str, wanted: Mapping[str, Node], nodes: Mapping[str, Node]) -> bool:
    """Whether a node is one of `wanted`, or reads from one."""
    todo, seen = [path], set[str]()
    while todo:
        here = todo.pop()
        if here in wanted:
            return True
        if here in nodes and here not in seen:
            seen.add(here)
            todo += [ref.source for ref in links(nodes[here])]
    return False
