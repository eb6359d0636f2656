"""What a rank holds while it runs: values and state between parts at their peak, and what pipelined models keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from mmm_graph.graph.graph import Call, Loop
from mmm_graph.plan.block import Block, Blocks, Step
from mmm_graph.plan.cost import DTYPE_BYTES, parts_of
from mmm_graph.plan.ops import At, Fn, Free, Instruction, Recv, Repeat, Run, Value
from mmm_graph.plan.place import Slice
from mmm_graph.plan.rows import model_type
from mmm_graph.plan.sizes import Sizes


@dataclass
class Peak:
    """The most bytes at once; `unknown` are names of values that nobody can weigh, which come on top."""

    bytes: int = 0
    unknown: set[str] = field(default_factory=set)


def peak_of(program: Iterable[Instruction], sizes: Sizes) -> Peak:
    """Values alive between instructions, and in a slice the state that goes from part to part.

    What a layer needs for itself is not counted, nor weights and buffers.
    """
    return _Peaks(sizes).run(program)


class _Peaks:
    def __init__(self, sizes: Sizes) -> None:
        self.sizes, self.peak = sizes, Peak()
        self.alive: dict[Value, int] = {}
        self.total = 0
        self.steps = {step.fn: step for step in _steps(sizes.blocks.main)}
        self._inside: dict[Fn, int] = {}

    def run(self, program: Iterable[Instruction]) -> Peak:
        for item in program:
            if isinstance(item, Run):
                self._see(self.total + self._transient(item.fn, item.at))
                self._add(v for _, v in item.writes)
            elif isinstance(item, Recv):
                self._add([item.value])
            elif isinstance(item, Free):
                self._free(item.values)
            elif isinstance(item, Repeat):
                self._add(carry for carry, _ in item.enter)
                self.run(item.body)
                self._add([*(v for v, _ in item.out), *(v for v, _, _ in item.collect)])
                self._free((*item.scratch, *(carry for carry, _ in item.enter)))
        return self.peak

    def _add(self, values: Iterable[Value]) -> None:
        for value in values:
            size = self.sizes.bytes(value)
            if size is None:
                self.peak.unknown.add(value.name.partition("@")[0])
            self.total += (size or 0) - self.alive.get(value, 0)
            self.alive[value] = size or 0
        self._see(self.total)

    def _free(self, values: Iterable[Value]) -> None:
        self.total -= sum(self.alive.pop(value, 0) for value in values)

    def _see(self, total: int) -> None:
        self.peak.bytes = max(self.peak.bytes, total)

    def _transient(self, fn: Fn, at: At) -> int:
        """State that a slice has between its parts."""
        if fn[0] != "slice":
            return 0
        if fn not in self._inside:
            self._inside[fn] = self.sizes.inside(self.steps[fn])
        batch = self.sizes.batch * self.sizes.blocks.joined(at.node)
        each, more = divmod(batch, at.share[1])
        found = Fraction(self._inside[fn] * (each + (at.share[0] < more)))
        if at.spans:
            a, b = at.spans[at.member]
            found *= Fraction(b - a, at.total)
        return int(found)


def buffer_bytes(blocks: Blocks, sizes: Sizes, model: str, piece: Slice, requests: int) -> int:
    """Keys and values that the attention of a slice keeps from one evaluation to the next, on each of its ranks.

    Args:
        requests: how many are in flight.
    """
    plan, graph = blocks.plan, blocks.graph
    axes = plan.axes_of(model)
    if model not in plan.pipelined and not axes.displaced:
        return 0
    calls = [n for loop in graph.walk() if isinstance(loop, Loop) for n in loop.body if isinstance(n, Call)]
    calls = [n for n in calls if n.model == model and n.path in blocks.needs.ports]
    kept = sum(
        p.kept
        for p in parts_of(graph.models[model], model_type(graph, blocks.registry, model))[piece.a : piece.b]
    )
    numbers = sum((kept * sizes.scale(call) for call in calls), Fraction(0)) / axes["cfg"]
    batch = -(-sizes.batch // axes["data"])
    item_bytes = DTYPE_BYTES[graph.models[model].dtype or "f32"]
    return int(numbers * batch * requests * item_bytes / (axes["ulysses"] * axes["ring"] * axes["tensor"]))


def _steps(block: Block) -> Iterable[Step]:
    for entry in block.entries:
        if isinstance(entry, Step):
            yield entry
        else:
            yield from _steps(entry.block)
