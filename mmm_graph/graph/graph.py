"""The compiled graph: every kind resolved, subgraphs and composites inlined, ports unified, nodes in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mmm_graph.config import Config
from mmm_graph.errors import Place, Problem
from mmm_graph.spec.offload import OffloadSpec
from mmm_graph.spec.ports import PortType


@dataclass(frozen=True, order=True)
class Ref:
    """Where a value comes from: a node's path and port, or one of these words and a name.

    `$in`, `$data`: the caller or the data; `$carry`, `$each`: the innermost loop; `$params`: a parameter (only in
    `when`); `$none`: an optional input that nobody linked, always absent.
    """

    source: str
    port: str

    def __str__(self) -> str:
        return f"{self.source}.{self.port}"


Link = Ref | tuple[Ref, ...]
"""One value, or the list of values of a variadic port."""


@dataclass(frozen=True)
class Lora:
    """LoRA weights added to a model's own.

    Attributes:
        source: where the file is, as the graph file says it; `#part` takes one part of it.
        scale: factor of what it adds.
        merge: it is added to the weights when they are loaded; else it runs beside them, and its scale may change.
    """

    source: str
    scale: float = 1.0
    merge: bool = False
    place: Place | None = None


@dataclass(frozen=True)
class Attached:
    """A model whose parts stand between the blocks of another, a copy of them at every place; or beside its parts.

    Attributes:
        node: that model.
        every, offset: the places are the blocks offset, offset + every, ...
        side: whether a copy runs before or after its block.
        named: it is there once, and each of its parts stands at the host's part of the same name.
    """

    node: ModelNode
    every: int = 1
    offset: int = 0
    side: Literal["before", "after"] = "before"
    place: Place | None = None
    named: bool = False


@dataclass(frozen=True)
class ModelNode:
    """A named model: its kind, its full config (links have solved what the file left out), where weights come from.

    Attributes:
        attach: LoRA weights added to its own.
        quantize: how the weights of its linear layers are kept, "int8" or "int4"; None = in its dtype.
        guests: models whose parts stand between its blocks.
        host: the model between whose blocks its own parts stand, as so many `copies` (0: once, each at the part of its
            name); "" where it stands by itself.
    """

    name: str
    kind: str
    config: Config
    weights: str | None = None
    init: str | None = None
    dtype: str | None = None
    space: str | None = None
    place: Place | None = None
    attach: tuple[Lora, ...] = ()
    offload: OffloadSpec | None = None
    compile: str | None = None
    guests: tuple[Attached, ...] = ()
    host: str = ""
    copies: int = 0
    quantize: str | None = None


@dataclass(frozen=True)
class Node:
    """What every node has. A Cond input is flattened: `cond.embeds`, `cond.mask`."""

    path: str
    inputs: Mapping[str, Link]
    outputs: Mapping[str, PortType]
    when: Ref | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    place: Place | None = None


@dataclass(frozen=True)
class Call(Node):
    """A call of `model.method`."""

    model: str = ""
    method: str = ""
    config: Config | None = None


@dataclass(frozen=True)
class Op(Node):
    """A call of an op type; `uses` maps its roles to model names."""

    kind: str = ""
    config: Config | None = None
    uses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Loop(Node):
    """A loop. `inputs` is empty; what enters is in `carry` (initial values) and in the body's links to outer nodes.

    Attributes:
        count: number of turns when it is known (`each`), else None.
        limit: most turns of an `until` loop.
        each: names that the body reads as `$each.x`; the value is the turn's index.
        until: Bool of the body that ends the loop after the turn in which it is true.
        carry, next: initial value and the body's value for the next turn, by name.
        body: nodes in order; their links may be `$carry.x`, `$each.x`, or outer nodes.
        out: port of the loop -> value of the last turn; the final carry is offered too, under its own names.
        collect: port of the loop -> (value of the body, axis): concatenation over turns.
        preview: (value of the body, every n turns).
    """

    count: int | None = None
    limit: int | None = None
    each: tuple[str, ...] = ()
    until: Ref | None = None
    carry: Mapping[str, Ref] = field(default_factory=dict)
    next: Mapping[str, Ref] = field(default_factory=dict)
    body: tuple[Node, ...] = ()
    out: Mapping[str, Ref] = field(default_factory=dict)
    collect: Mapping[str, tuple[Ref, int]] = field(default_factory=dict)
    stream: tuple[str, ...] = ()
    preview: tuple[Ref, int] | None = None


@dataclass(frozen=True)
class Input:
    """An input of the graph, or a data column; `default` is used when the caller gives none (None = required)."""

    type: PortType
    default: Any = None
    required: bool = True


@dataclass(frozen=True)
class Output:
    """An output: the value, its declared type, how it is saved, and the value that names the owners of its rows."""

    ref: Ref
    type: PortType
    save: Mapping[str, Any] | None = None
    owners: Ref | None = None


@dataclass(frozen=True)
class Graph:
    """One section of a file (the top level, a training stage, an evaluation), ready to be planned.

    `source` says what `inputs` are called in links: `$in` or `$data`. `aliases` gives names that users write
    (`cond.embeds` of a subgraph) the value they stand for.
    """

    name: str
    section: str
    source: str
    params: Mapping[str, Any]
    inputs: Mapping[str, Input]
    models: Mapping[str, ModelNode]
    nodes: tuple[Node, ...]
    outputs: Mapping[str, Output]
    aliases: Mapping[str, Ref] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()

    def walk(self) -> Iterator[Node]:
        """All nodes, loop bodies included, in order."""
        yield from walk(self.nodes)

    def node(self, path: str) -> Node:
        """The node of that path; KeyError if there is none."""
        for node in self.walk():
            if node.path == path:
                return node
        raise KeyError(path)


def called_models(graph: Graph, call: Call) -> tuple[str, ...]:
    """The model that is called, and those that stand between its blocks."""
    return (call.model, *(at.node.name for at in graph.models[call.model].guests))


def standing_models(graph: Graph) -> Iterator[tuple[str, ModelNode]]:
    """(name, model) of those that stand by themselves; the parts of others are in their hosts' tables."""
    return ((name, node) for name, node in graph.models.items() if not node.host)


def walk(nodes: tuple[Node, ...]) -> Iterator[Node]:
    """Nodes and the nodes in their bodies, outer first."""
    for node in nodes:
        yield node
        if isinstance(node, Loop):
            yield from walk(node.body)


def links(node: Node) -> Iterator[Ref]:
    """Every value a node reads from outside itself (a loop: its carry and what its body reads from outside)."""
    for link in node.inputs.values():
        yield from (link,) if isinstance(link, Ref) else link
    if node.when is not None:
        yield node.when
    if isinstance(node, Loop):
        own = {inner.path for inner in walk(node.body)}
        yield from node.carry.values()
        for inner in node.body:
            yield from (
                r for r in links(inner) if r.source not in own and r.source not in ("$carry", "$each")
            )
