"""Random plans of a toy graph: what hypothesis draws, and the sequence that comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mmm_graph.graph.graph import Graph
from mmm_graph.plan.axes import Axes
from mmm_graph.plan.block import Blocks, Wishes
from mmm_graph.plan.expand import Stream
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.lower import project
from mmm_graph.plan.ops import Instruction, Value
from mmm_graph.plan.place import Plan, make_plan
from mmm_graph.plan.repeat import repeat_task
from mmm_graph.plan.schedule import WINDOW, order
from mmm_graph.plan.select import select
from mmm_graph.plan.shard import ShardStream
from mmm_graph.plan.steady import Steady
from mmm_graph.spec.plan import LoopPlan
from tests.plan.emulate import emulate, numbers
from tests.plan.toys import ALONE, DRAW, GIVEN, SHARD_REGISTRY, UNIT, shard_graph

BATCH = 3
CUTS = {1: (0, 6), 2: (0, 3, 6), 3: (0, 2, 5, 6)}


@dataclass(frozen=True)
class Case:
    """One plan and the requests under it.

    Attributes:
        steps: of each request.
        groups: which group of ranks holds each stage: (0, 1, 0) comes back to the first.
        units: pieces of `UNIT` rows that an image has.
        swap: the ranks are counted from behind, and there is one more that holds the other models.
        vae: `patch` of the decoder.
    """

    steps: tuple[int, ...] = (4,)
    warmup: int | str = 1
    warm: str = "streams"
    patches: int = 2
    groups: tuple[int, ...] = (0, 1)
    sizes: tuple[tuple[str, int], ...] = ()
    text: str = DRAW
    joint: bool = False
    pointwise: bool = True
    microbatches: int = 1
    in_flight: int | None = None
    window: int = WINDOW
    units: int = 8
    swap: bool = False
    vae: int = 1
    branches: str = "batched"
    loops: dict[str, LoopPlan] = field(default_factory=dict, hash=False)

    @cached_property
    def graphs(self) -> list[Graph]:
        config = {"joint": self.joint, "pointwise": self.pointwise, "height": self.units * UNIT}
        return [shard_graph(self.text, steps=n, **config) for n in self.steps]

    @cached_property
    def plan(self) -> Plan:
        return self.plan_of(self.graphs[0])

    def plan_of(self, graph: Graph) -> Plan:
        axes = Axes(self.sizes)
        used = (max(self.groups) + 1) * axes.ranks
        order_ = [used - r for r in range(used)] if self.swap else list(range(used))
        cuts = CUTS[len(self.groups)]
        placement: dict[str, Any] = {
            "net": [
                (tuple(order_[g * axes.ranks : (g + 1) * axes.ranks]), a, b)
                for g, a, b in zip(self.groups, cuts, cuts[1:], strict=False)
            ]
        }
        if self.vae > 1:
            placement["vae"] = [(tuple(range(self.vae)), 0, 2)]
        return make_plan(
            graph, SHARD_REGISTRY, placement, branches=self.branches,  # type: ignore[arg-type]
            axes={"net": axes, **({"vae": Axes((("patch", self.vae),))} if self.vae > 1 else {})},
            loops={"denoise": LoopPlan(patches=self.patches, warmup=self.warmup, warm=self.warm), **self.loops},
            microbatches=self.microbatches, in_flight=self.in_flight, ranks=max(used + self.swap, self.vae),
        )  # fmt: skip

    @cached_property
    def blocks(self) -> dict[str, Blocks]:
        return {str(i): blocks_of(g, self.plan_of(g)) for i, g in enumerate(self.graphs)}

    @property
    def symbols(self) -> dict[str, int]:
        return {":h": self.units * UNIT, ":w": self.units * UNIT} if self.text == GIVEN else {}

    @cached_property
    def start(self) -> dict[Value, Any]:
        given = {"x": numbers("x", BATCH, self.units * UNIT)}
        return {
            Value(r, n): given.get(n.partition(".")[2], numbers(n + r, BATCH))
            for r, b in self.blocks.items()
            for n in b.start
        }

    @cached_property
    def sequence(self) -> list[Any]:
        streams = [self._stream(r, b) for r, b in self.blocks.items()]
        steady = {r: Steady(b) for r, b in self.blocks.items()}
        return list(
            order([s.tasks() for s in streams], self.plan.ranks, start=self.start, window=self.window,
                  steady=lambda v: steady[v.request](v), in_flight=self.in_flight)
        )  # fmt: skip

    def _stream(self, request: str, blocks: Blocks) -> Stream:
        if blocks.plan.is_plain:
            return Stream(blocks, request, repeat_task)
        return ShardStream(blocks, request, repeat_task, self.symbols)

    @property
    def programs(self) -> dict[int, list[Instruction]]:
        return {rank: list(project(self.sequence, rank)) for rank in range(self.plan.ranks)}

    def values(self) -> dict[tuple[str, str], Any]:
        return emulate(self.sequence, self.blocks, self.start, self.plan.ranks)

    def expected(self) -> dict[tuple[str, str], Any]:
        """What one rank makes, whole and in the order of the file."""
        found: dict[tuple[str, str], Any] = {}
        for request, graph in zip(self.blocks, self.graphs, strict=True):
            blocks = blocks_of(graph, make_plan(graph, SHARD_REGISTRY))
            stream = Stream(blocks, request, repeat_task)
            start = {k: v for k, v in self.start.items() if k.request == request}
            found |= emulate(order([stream.tasks()], 1), {request: blocks}, start, 1)
        return found


def blocks_of(graph: Graph, plan: Plan) -> Blocks:
    refs = {name: output.ref for name, output in graph.outputs.items()}
    return Blocks(graph, SHARD_REGISTRY, plan, select(Flow(graph), list(refs.values())), Wishes(refs))


def assert_same(found: dict[tuple[str, str], Any], expected: dict[tuple[str, str], Any]) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert np.array_equal(found[key], value), key


@st.composite
def cases(draw: st.DrawFn, patched: bool | None = None) -> Case:
    """Any plan that is legal.

    Args:
        patched: whether there are patches; None = either.
    """
    text = draw(st.sampled_from([DRAW, DRAW, ALONE, GIVEN]))
    axes = [a for a in ("patch", "ring", "ulysses", "tensor", "data") if draw(st.integers(0, 3)) == 0]
    axes = [a for a in axes if not (a == "ring" and "patch" in axes)]
    if text != ALONE and draw(st.integers(0, 2)) == 0:
        axes.append("cfg")
    axes = draw(st.permutations(axes[:3]))
    patches = draw(st.integers(2, 4)) if patched or (patched is None and draw(st.booleans())) else 1
    pieces = 2 ** sum(a in ("patch", "ring", "ulysses") for a in axes)
    steps = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    groups = draw(st.sampled_from([(0,), (0, 1), (0, 1), (0, 1, 0), (0, 1, 2)]))
    rows = pieces == 1 and "tensor" not in axes and len(set(groups)) == len(groups)
    return Case(
        steps=steps,
        warmup=draw(st.sampled_from([0, 1, 1, 2, "all"])),
        patches=patches,
        groups=groups,
        warm="rows" if rows and draw(st.booleans()) else "streams",
        sizes=tuple((a, 2) for a in axes),
        text=text,
        joint=draw(st.booleans()),
        pointwise=draw(st.integers(0, 3)) > 0,
        microbatches=draw(st.sampled_from([1, 1, 2])),
        in_flight=draw(st.sampled_from([None, 1, 2])),
        window=draw(st.sampled_from([1, 3, 17, WINDOW])),
        units=max(patches * pieces, len(groups)) + draw(st.integers(0, 3)),
        swap=draw(st.booleans()),
        vae=draw(st.sampled_from([1, 1, 2])),
        branches=draw(st.sampled_from(["batched", "turn"])),
    )
