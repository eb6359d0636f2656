"""What may be cut in a graph: rows of images and latents, elements of the batch; and which nodes can work on pieces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from mmm_graph.errors import InputError, problem
from mmm_graph.graph.attached import type_of
from mmm_graph.graph.graph import Call, Graph, Node, Op
from mmm_graph.plan.flow import Flow, keyed
from mmm_graph.registry.node_type import ModelType, OpType
from mmm_graph.registry.part import Sharding
from mmm_graph.registry.registry import Registry
from mmm_graph.spec.ports import Dim, PortType

IMAGES = frozenset(("Image", "Video", "Latents"))
"""Kinds whose last axes but one are rows."""
BATCHED = IMAGES | {"Audio", "Mel", "Text", "Ids", "Embeds", "Logits", "Mask", "Scalar", "Bool"}
"""Kinds whose values are rows along their first axis."""


@dataclass(frozen=True)
class Form:
    """How a value may be cut.

    Attributes:
        height: rows of the whole image, for those that have rows.
        batched: its first axis is the batch.
        opaque: it lives in pieces (state between parts, of which nobody knows what the axes are) that are handed on but
            never cut.
    """

    height: Dim | None = None
    batched: bool = False
    opaque: bool = False

    @property
    def rowed(self) -> bool:
        """It may be in pieces of rows."""
        return self.opaque or self.height is not None


PLAIN = Form()
INNER = Form(batched=True, opaque=True)
"""State keys between parts."""


def form_of(type_: PortType | None, batch: Dim | None = None) -> Form:
    """How a value of that type may be cut; `batch` is the dim that counts elements."""
    if type_ is None or type_.kind == "State":
        return INNER if type_ is not None else PLAIN
    dims = type_.dims or ()
    height = dims[-2] if type_.kind in IMAGES and len(dims) >= 4 and not type_.many else None
    batched = bool(dims) and dims[0] == batch and type_.kind in BATCHED
    return Form(height, batched)


@dataclass(frozen=True)
class Work:
    """How a node may be shared.

    Attributes:
        unit: its rows are cut at multiples of this; 0: it needs whole images.
        base: the input whose rows are meant.
        batch: the dim that counts elements; None: it does not work element by element.
        forms: of its inputs and outputs, by key.
    """

    unit: int = 0
    base: str = ""
    batch: Dim | None = None
    forms: Mapping[str, Form] = field(default_factory=dict)

    @property
    def height(self) -> Dim | None:
        """Rows of the whole images that it can work on pieces of."""
        return self.forms[self.base].height if self.unit else None


class Works:
    """The Work of every node of a graph."""

    def __init__(self, flow: Flow, registry: Registry) -> None:
        self.flow, self.registry, self.graph = flow, registry, flow.graph
        self._known: dict[str, Work] = {}

    def __getitem__(self, path: str) -> Work:
        if path not in self._known:
            self._known[path] = self._find(self.flow.sites[path].node)
        return self._known[path]

    def _find(self, node: Node) -> Work:
        scope = self.flow.sites[node.path].scope
        types = {key: self.flow.type(ref, scope) for key, ref in keyed(node.inputs)}
        batch = batch_dim(node) if self._by_element(node) else None
        if not any(form_of(t, batch).batched for t in types.values()):
            batch = None
        forms = {key: form_of(type_, batch) for key, type_ in types.items()}
        forms |= {port: form_of(type_, batch) for port, type_ in node.outputs.items()}
        base = next((k for k in types if forms[k].height is not None), "")
        unit = self._unit(node) if base else 0
        if unit:  # a sampler's state is made of tensors like the latents
            states = [k for k, t in {**types, **node.outputs}.items() if t is not None and t.kind == "State"]
            forms |= dict.fromkeys(states, Form(forms[base].height, batched=True))
        return Work(unit, base, batch, forms)

    def _by_element(self, node: Node) -> bool:
        """Elements of the batch do not see each other: networks, and what works row by row."""
        if isinstance(node, Op):
            op = self.registry.get(node.kind)
            return isinstance(op, OpType) and op.rowwise
        assert isinstance(node, Call)
        method = model_type(self.graph, self.registry, node.model).methods[node.method]
        units = sharding(self.graph, self.registry, node.model).units
        return method.path is not None or method.rowwise or node.method in units

    def _unit(self, node: Node) -> int:
        if node.facts.get("rowwise", True) is False:
            return 0
        if isinstance(node, Op):
            op = self.registry.get(node.kind)
            return int(isinstance(op, OpType) and op.rowwise)
        assert isinstance(node, Call)
        kind = model_type(self.graph, self.registry, node.model)
        if kind.methods[node.method].rowwise:
            return 1
        return sharding(self.graph, self.registry, node.model).units.get(node.method, 0)


def model_type(graph: Graph, registry: Registry, name: str) -> ModelType:
    """The type of a model of the graph."""
    return type_of(graph.models[name], registry)


def sharding(graph: Graph, registry: Registry, name: str) -> Sharding:
    """What a model says of sharing its work."""
    kind = model_type(graph, registry, name)
    return kind.sharding(graph.models[name].config) if kind.sharding is not None else Sharding()


def batch_dim(node: Node) -> Dim | None:
    """The first dim that all outputs share, if all are rows of a batch (or state, which goes with them)."""
    types = [t for t in node.outputs.values() if t.kind not in ("State", "Bool") and t.dims != ()]
    types = [t for t in types if not (t.kind == "Scalar" and t.dims is None)]
    firsts = {t.dims[0] if t.dims and t.kind in BATCHED and not t.many else None for t in types}
    found = firsts.pop() if len(firsts) == 1 else None
    return found if found is not None and found.size is None else None


def known_size(dim: Dim, symbols: Mapping[str, int]) -> int | None:
    """The length of an axis, if it is known before the graph runs and a whole number."""
    if not all(n in symbols for n in (*dim.over, *dim.under)):
        return None
    size = dim.coef * prod(symbols[n] for n in dim.over) / prod(symbols[n] for n in dim.under)
    return int(size) if size.denominator == 1 else None


def size_of(dim: Dim, symbols: Mapping[str, int], what: str) -> int:
    """The length of an axis.

    Raises:
        InputError: E515, it is not known before the graph runs.
    """
    size = known_size(dim, symbols)
    if size is not None:
        return size
    message = f"the height of {what} is {dim}, which is not known before the graph runs"
    hint = "rows can be shared where the file or the inputs give the height: set it in `config:`"
    raise InputError(problem("E515", message, hint=hint))
