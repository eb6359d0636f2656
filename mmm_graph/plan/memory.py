"""What a rank holds while it runs: values and state between parts at their peak, and what pipelined models keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from mmm_graph.graph.graph import Call, Loop
from mmm_graph.plan.block import Block, Blocks, Step
from mmm_graph.plan.cost import DTYPE_BYTES, parts_of
from mmm_graph.plan.offload import Uses
from mmm_graph.plan.ops import At, Fn, Free, Instruction, Recv, Repeat, Run, Value
from mmm_graph.plan.place import Slice
from mmm_graph.plan.rows import model_type
from mmm_graph.plan.sizes import Sizes


@dataclass(frozen=True)
class Moment:
    """What a rank has at one time, in bytes.

    Attributes:
        node: what it does then.
        weights: that are on the device.
        values: that are alive, and within a call its state between parts and the work space of a part.
        buffers: keys and values that pipelined models keep.
    """

    node: str = ""
    weights: int = 0
    values: int = 0
    buffers: int = 0

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.weights + self.values + self.buffers


@dataclass
class Peak:
    """The most bytes at once.

    Attributes:
        bytes: of values.
        worst: the moment that needs most, weights and buffers included.
        unknown: names of values that nobody can weigh, which come on top.
    """

    bytes: int = 0
    worst: Moment = field(default_factory=Moment)
    unknown: set[str] = field(default_factory=set)


def peak_of(program: Iterable[Instruction], sizes: Sizes, resident: Resident | None = None) -> Peak:
    """Values alive between instructions; within a call the state that goes from part to part, and the work space that
    a part declares.

    Args:
        resident: what weights are on the device; None = they are not counted.
    """
    return _Peaks(sizes, resident or Resident()).run(program)


@dataclass(frozen=True)
class Resident:
    """Weights and buffers of a rank.

    Attributes:
        always: bytes of weights that stay.
        coming: bytes of each offloaded model, when it is there: all of it, or the parts that are there at once.
        buffers: bytes of what pipelined models keep.
        uses: offloaded models that an instruction works with.
    """

    always: int = 0
    coming: Mapping[str, int] = field(default_factory=dict)
    buffers: int = 0
    uses: Uses = lambda item: ()


class _Peaks:
    def __init__(self, sizes: Sizes, resident: Resident) -> None:
        self.sizes, self.resident, self.peak = sizes, resident, Peak()
        self.alive: dict[Value, int] = {}
        self.total, self.weights = 0, resident.always
        self.here: set[str] = set()
        self.steps = {s.fn: s for s in _steps(sizes.blocks.main) if s.fn[0] in ("op", "slice")}
        self._inside: dict[Fn, int] = {}

    def run(self, program: Iterable[Instruction]) -> Peak:
        for item in program:
            if isinstance(item, Run):
                self._run(item)
            elif isinstance(item, Recv):
                self._add([item.value], item.value.name)
            elif isinstance(item, Free):
                self._free(item.values)
            elif isinstance(item, Repeat):
                self._add((carry for carry, _ in item.enter), item.node)
                self.run(item.body)
                self._add([*(v for v, _ in item.out), *(v for v, _, _ in item.collect)], item.node)
                self._free((*item.scratch, *(carry for carry, _ in item.enter)))
        return self.peak

    def _run(self, item: Run) -> None:
        if item.fn[0] == "leave":
            self._weigh(self.here - {str(item.fn[1])})
            return
        self._weigh(self.here.union(self.resident.uses(item)))
        self._see(self.total + self._transient(item.fn, item.at), item.at.node)
        self._add((v for _, v in item.writes), item.at.node)

    def _weigh(self, here: set[str]) -> None:
        self.here = here
        self.weights = self.resident.always + sum(self.resident.coming.get(name, 0) for name in here)

    def _add(self, values: Iterable[Value], node: str) -> None:
        for value in values:
            size = self.sizes.bytes(value)
            if size is None:
                self.peak.unknown.add(value.name.partition("@")[0])
            self.total += (size or 0) - self.alive.get(value, 0)
            self.alive[value] = size or 0
        self._see(self.total, node)

    def _free(self, values: Iterable[Value]) -> None:
        self.total -= sum(self.alive.pop(value, 0) for value in values)

    def _see(self, values: int, node: str) -> None:
        self.peak.bytes = max(self.peak.bytes, values)
        if self.weights + values + self.resident.buffers > self.peak.worst.bytes:
            self.peak.worst = Moment(node, self.weights, values, self.resident.buffers)

    def _transient(self, fn: Fn, at: At) -> int:
        """What a call has within its parts."""
        if fn not in self.steps:
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
