"""A global order -> what each rank sends to whom: in one steady turn of each loop, and in all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mmm_graph.graph.graph import Loop
from mmm_graph.plan.block import Blocks
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.ops import Move, Value
from mmm_graph.plan.schedule import Step
from mmm_graph.plan.sizes import Sizes
from mmm_graph.plan.whole import node_of


@dataclass
class Sum:
    """Messages and their bytes; `unknown` of them nobody can weigh."""

    messages: int = 0
    bytes: int = 0
    unknown: int = 0
    values: list[str] = field(default_factory=list)

    def add(self, value: Value, size: int | None) -> None:
        """One more message."""
        self.messages += 1
        self.bytes += size or 0
        self.unknown += size is None
        name = value.name.partition("@")[0]
        if name not in self.values:
            self.values.append(name)


@dataclass
class Edge:
    """Messages from one rank to another.

    Attributes:
        turns: of one steady turn, by path of the loop.
        total: of one request.
    """

    source: int
    to: int
    turns: dict[str, Sum] = field(default_factory=dict)
    total: Sum = field(default_factory=Sum)

    def dump(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def edges_of(sequence: Iterable[Step], blocks: Blocks, sizes: Sizes) -> list[Edge]:
    """What travels for one request, by edge. What layers exchange among themselves is not in the order."""
    steady = steady_turns(blocks)
    found: dict[tuple[int, int], Edge] = {}
    for move in (item for item in sequence if isinstance(item, Move)):
        edge = found.setdefault((move.source, move.to), Edge(move.source, move.to))
        size = sizes.bytes(move.value)
        edge.total.add(move.value, size)
        loop = _loop_of(blocks.flow, move.value)
        if loop in steady and move.value.step == steady[loop]:
            edge.turns.setdefault(loop, Sum()).add(move.value, size)
    return [found[key] for key in sorted(found)]


def steady_turns(blocks: Blocks) -> Mapping[str, tuple[int, ...]]:
    """A turn of each loop that is like those around it: the last but one, where that is past the warm-up."""
    found: dict[str, tuple[int, ...]] = {}
    for path, site in blocks.flow.sites.items():
        if not isinstance(site.node, Loop) or site.node.count is None:
            continue
        plan = blocks.plan.loops.get(path)
        warm = 0 if plan is None or plan.warmup == "all" else plan.warmup
        turn = site.node.count - 2
        outer = site.scope[-1].path if site.scope else ""
        if turn >= warm and (not outer or outer in found):
            found[path] = (*found.get(outer, ()), turn)
    return found


def _loop_of(flow: Flow, value: Value) -> str:
    """The innermost loop in whose turns a value is made."""
    path = node_of(flow, value.name)
    site = flow.sites.get(path)
    if site is None or not value.step:
        return ""
    around = [loop.path for loop in site.scope] + ([path] if isinstance(site.node, Loop) else [])
    return around[len(value.step) - 1] if len(value.step) <= len(around) else ""
