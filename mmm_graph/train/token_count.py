"""How many tokens a stage reads: counted on the device, and read when a row of the log is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmm_graph.graph.graph import Graph, Ref
from mmm_graph.spec.ports import PortType
from mmm_graph.train.ranks import Ranks
from mmm_graph.train.reach import needed_nodes


def token_values(graph: Graph, supplied: Sequence[Ref] = ()) -> tuple[str, ...]:
    """Masks of tokens, or ids without one, that nodes of a stage make or that are columns of its data.

    Each node counts once: its first Ids[b,t], by its Mask[b,t] if it has one.

    Args:
        supplied: values that the cache supplies; what only they need is not looked at.
    """
    nodes = needed_nodes(graph, supplied)
    read = {ref.port for node in nodes for ref in _refs(node.inputs) if ref.source == graph.source}
    columns = {name: column.type for name, column in graph.inputs.items() if name in read}
    found = [(node.path, dict(node.outputs)) for node in nodes] + [(graph.source, columns)]
    return tuple(f"{path}.{port}" for path, ports in found if (port := _counted(ports)))


class TokenCount:
    """Counts the tokens of batches.

    Args:
        names: of the values to count, as `token_values` gives them.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._sum: Tensor | None = None

    def add(self, values: Mapping[str, Any]) -> None:
        """Take in a batch; nothing waits for the device."""
        for name in self.names:
            value = values.get(name)
            if isinstance(value, Tensor):
                count = value.sum() if value.dtype == torch.bool else torch.tensor(value.numel())
                count = count.to(value.device, torch.int64)
                self._sum = count if self._sum is None else self._sum.to(count.device) + count

    def take(self, ranks: Ranks) -> int:
        """Tokens of all ranks since the last call."""
        found, self._sum = self._sum, None
        own = torch.zeros((), dtype=torch.int64) if found is None else found
        return int(ranks.total(own.to(ranks.device))) if self.names else 0


def _counted(ports: Mapping[str, PortType]) -> str:
    flat = {name: type_ for name, type_ in ports.items() if type_.dims and len(type_.dims) == 2}
    ids = next((name for name, type_ in flat.items() if type_.kind == "Ids"), "")
    if not ids:
        return ""
    same = [n for n, t in flat.items() if t.kind == "Mask" and t.dims == flat[ids].dims]
    return same[0] if same else ids


def _refs(inputs: Mapping[str, Any]) -> list[Ref]:
    return [ref for link in inputs.values() for ref in (link if isinstance(link, tuple) else (link,))]
