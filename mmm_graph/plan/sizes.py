"""What values weigh: parts tables and port types -> bytes of every piece. What nobody says stays unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from fractions import Fraction
from math import prod

from mmm_graph.graph.graph import Call
from mmm_graph.plan.block import Block, Blocks, Step, Turns
from mmm_graph.plan.cost import DTYPE_BYTES, parts_of
from mmm_graph.plan.ops import Value
from mmm_graph.plan.rows import BATCHED, IMAGES, model_type
from mmm_graph.plan.whole import node_of
from mmm_graph.registry.part import Part
from mmm_graph.spec.ports import Dim, PortType

ITEM_BYTES = {"Ids": 8, "Mask": 1, "Bool": 1, "Scalar": 4}
"""Of kinds that are not in a model's dtype."""
FLOAT_BYTES = DTYPE_BYTES["f32"]
"""What ops make: samplers and guidance compute in f32."""
LISTS = ("Text", "Chat")
"""Kinds that are Python lists: they weigh nothing to speak of."""


@dataclass(frozen=True)
class Size:
    """How large a value is.

    Attributes:
        numbers: of one batch element, or of all where there is no batch.
        batch: elements; 0: it has none.
        rows: height of the whole, in whose rows pieces are cut; 0: it has no rows, pieces of it are all alike.
        item_bytes: of a number.
    """

    numbers: int
    batch: int = 0
    rows: int = 0
    item_bytes: int = FLOAT_BYTES

    def bytes(self, value: Value) -> int:
        """Of a piece."""
        found = Fraction(self.numbers * self.item_bytes)
        if self.rows and value.span is not None:
            found *= Fraction(value.span[1] - value.span[0], self.rows)
        if self.batch:
            k, parts = value.share
            each, more = divmod(self.batch, parts)
            found *= each + (k < more)
        return int(found)


class Sizes:
    """Sizes of all values of some blocks, by name.

    Args:
        batch: elements of the inputs.
        symbols: lengths of axes that the file leaves open.
    """

    def __init__(self, blocks: Blocks, batch: int, symbols: Mapping[str, int] | None = None) -> None:
        self.blocks, self.graph, self.batch, self.symbols = blocks, blocks.graph, batch, symbols or {}
        self.known: dict[str, Size | None] = {}
        for name in blocks.start:
            self.known[name] = self._of_start(name)
        self._walk(blocks.main)

    def bytes(self, value: Value) -> int | None:
        """Of a piece of a value; None where nobody says."""
        size = self.known.get(value.name)
        return None if size is None else size.bytes(value)

    def inside(self, step: Step) -> int:
        """Most bytes that a call has within its parts for one batch element, whole images.

        At each part that is the state so far, what the part writes, and the work space that it declares. A method that
        is no path through the parts says nothing: 0.
        """
        node = self.blocks.flow.sites[step.path].node
        if not isinstance(node, Call):
            return 0
        item_bytes = DTYPE_BYTES[self.graph.models[node.model].dtype or "f32"]
        held: dict[str, int] = {}
        most = 0
        for part in self._parts(node, step):
            made = {key: self._state(node, part, key, step) for key in part.writes}
            new = {key: size.numbers * size.item_bytes for key, size in made.items() if size is not None}
            work = int(part.work * self.scale(node)) * item_bytes
            most = max(most, sum(held.values()) + sum(new.values()) + work)
            held |= new
        return most

    def scale(self, node: Call) -> Fraction:
        """How much larger the images of a call are than those that the parts table is made for.

        By its outputs, as the last of its parts that writes them says; lengths of texts are told apart by `Part.text`.
        """
        sizes = {key: n for part in self._path(node) if part.text is None for key, n in part.sizes.items()}
        best = max((p for p in node.outputs if p in sizes), key=lambda p: sizes[p], default=None)
        size = self._typed(node.outputs[best], FLOAT_BYTES) if best is not None else None
        return Fraction(size.numbers, sizes[best]) if size is not None and best is not None else Fraction(1)

    def _walk(self, block: Block) -> None:
        for entry in block.entries:
            if isinstance(entry, Turns):
                self._turns(entry)
                continue
            for key, name in entry.writes:
                self.known[name] = self._written(entry, key, name)

    def _turns(self, turns: Turns) -> None:
        for name, first, _ in turns.carry:
            self.known[name] = self.known.get(first)
        self._walk(turns.block)
        for outside, inside, _ in turns.out:
            self.known[outside] = self.known.get(inside)
        for outside, inside, _ in turns.collect:
            size, count = self.known.get(inside), turns.loop.count
            self.known[outside] = replace(size, numbers=size.numbers * count) if size and count else None

    def _written(self, step: Step, key: str, name: str) -> Size | None:
        if step.fn[0] == "cat":
            first = self.known.get(step.reads[0][1])
            return replace(first, batch=first.batch * len(step.reads)) if first is not None else None
        if step.fn[0] == "index":
            return Size(1, item_bytes=8)
        path = node_of(self.blocks.flow, name)
        node = self.blocks.flow.sites[path].node
        port = name[len(path) :].partition(".")[2]
        size = self._port(node.outputs[port], node) if port in node.outputs else None
        if size is None and step.fn[0] == "slice" and isinstance(node, Call):
            writers = [p for p in self._parts(node, step) if key in p.writes]
            size = self._state(node, writers[-1], key, step) if writers else None
        if size is not None and "&." in name and size.batch:
            size = replace(size, batch=size.batch * self.blocks.joined(path))
        return size

    def _parts(self, node: Call, step: Step) -> Sequence[Part]:
        """Parts that a call or a slice of one runs."""
        path = self._path(node)
        return path[int(str(step.fn[2])) : int(str(step.fn[3]))] if step.fn[0] == "slice" else path

    def _path(self, node: Call) -> Sequence[Part]:
        kind, model = model_type(self.graph, self.blocks.registry, node.model), self.graph.models[node.model]
        method = kind.methods[node.method]
        if method.path is None:
            return ()
        table = {part.name: part for part in parts_of(model, kind)}
        return [table[name] for name in method.path(model.config, node.config) if name in table]

    def _state(self, node: Call, part: Part, key: str, step: Step) -> Size | None:
        """A key of the state between parts, as the table says."""
        if key not in part.sizes:
            return None
        kind, model = model_type(self.graph, self.blocks.registry, node.model), self.graph.models[node.model]
        declared = next(
            (t for name, t in kind.state.items() if fnmatch(key, name)), None
        ) or node.outputs.get(key)
        item_bytes = DTYPE_BYTES[model.dtype or "f32"]
        if declared is None or not _has_rows(declared):
            return Size(part.sizes[key], self.batch, 0, item_bytes)
        rows = self._length(step.height) if step.height is not None else None
        return Size(int(part.sizes[key] * self.scale(node)), self.batch, rows or 0, item_bytes)

    def _port(self, type_: PortType, node: object) -> Size | None:
        model = self.graph.models[node.model] if isinstance(node, Call) else None
        return self._typed(type_, DTYPE_BYTES[model.dtype or "f32"] if model is not None else FLOAT_BYTES)

    def _of_start(self, name: str) -> Size | None:
        source, _, port = name.partition(".")
        if source == "$params":
            return Size(0)
        return self._typed(self.graph.inputs[port].type, FLOAT_BYTES) if port in self.graph.inputs else None

    def _typed(self, type_: PortType, float_bytes: int) -> Size | None:
        """By the lengths of the axes; the first, where nobody knows it, is the batch."""
        item_bytes = ITEM_BYTES.get(type_.kind, float_bytes)
        if type_.kind in LISTS:
            return Size(0)
        if type_.dims is None or type_.many:
            return Size(1, item_bytes=item_bytes) if type_.kind in ("Scalar", "Bool") else None
        lengths = [self._length(dim) for dim in type_.dims]
        batch = 0
        if lengths and lengths[0] is None and type_.kind in BATCHED:
            batch, lengths = self.batch, lengths[1:]
        known = [n for n in lengths if n is not None]
        if len(known) < len(lengths):
            return None
        rows = known[-2] if type_.kind in IMAGES and len(type_.dims) >= 4 else 0
        return Size(prod(known), batch, rows, item_bytes)

    def _length(self, dim: Dim) -> int | None:
        if not all(n in self.symbols for n in (*dim.over, *dim.under)):
            return None
        over, under = (prod(self.symbols[n] for n in names) for names in (dim.over, dim.under))
        size = dim.coef * over / under
        return int(size) if size.denominator == 1 else None


def _has_rows(type_: PortType) -> bool:
    """Its numbers are tokens or pixels of an image."""
    return type_.kind in IMAGES or any("l" in dim.over for dim in type_.dims or ())
