"""Names in one mapping of nodes, and what a link means there: link text -> Wire, Record or Poison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mmm_graph.errors import Place, did_you_mean
from mmm_graph.graph.graph import Ref
from mmm_graph.spec.ports import COND_FIELDS, PortType


@dataclass(frozen=True)
class Wire:
    """One value and its type (dims are symbols of the unifier)."""

    ref: Ref
    type: PortType
    siblings: Mapping[str, Bound] | None = None  # all outputs of the node, when the link named no port


@dataclass(frozen=True)
class Record:
    """A Cond: named values."""

    fields: Mapping[str, Wire]


@dataclass(frozen=True)
class Poison:
    """Stands for something whose error has been reported: links to it say nothing more."""


Bound = Wire | Record | Poison
POISON = Poison()


@dataclass(frozen=True)
class Entry:
    """What a name stands for: the outputs of a node in order; None when the node is poisoned."""

    outputs: Mapping[str, Bound] | None


class LinkError(Exception):
    """A link that means nothing here: code, message and hint of the Problem to report."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


@dataclass
class Scope:
    """One mapping of nodes being compiled.

    Attributes:
        path: prefix of the paths of its nodes, "" at the top.
        place: keys under the scope (node name, "in", port ...) -> place in the file.
        words: what follows `$`: in, data, carry, each -> name -> value.
        models: local name of a model -> its name in the graph (subgraphs with `models:`).
        inside: subgraphs around it, outermost first.
        names: nodes compiled so far.
        declared: all names of the mapping, for hints.
        parent: the scope a loop body may read from; subgraphs have none.
    """

    path: str
    place: Callable[..., Place | None]
    words: Mapping[str, Mapping[str, Bound]] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    parent: Scope | None = None
    inside: tuple[str, ...] = ()
    names: dict[str, Entry] = field(default_factory=dict)
    declared: frozenset[str] = frozenset()

    def child(self, name: str) -> str:
        """Path of a node of this scope."""
        return f"{self.path}/{name}" if self.path else name

    def resolve(self, text: str) -> Bound:
        """What a link means.

        Raises:
            LinkError: unknown name or port.
        """
        if text.startswith("$"):
            return self._word(text)
        name, _, port = text.partition(".")
        entry = self._entry(name, text)
        if entry.outputs is None:
            return POISON
        if not port:
            return _whole(entry.outputs)
        if port not in entry.outputs:
            raise LinkError("E203", f"{name!r} has no output {port!r}", did_you_mean(port, entry.outputs))
        return entry.outputs[port]

    def known(self) -> dict[str, Entry]:
        """Every node that can be named here."""
        outer = self.parent.known() if self.parent else {}
        return outer | self.names

    def model(self, name: str) -> str:
        """The graph's name of a model named here."""
        return self.models.get(name, name)

    def _entry(self, name: str, text: str) -> Entry:
        known = self.known()
        if name not in known:
            hint = did_you_mean(name, {*known, *self.declared})
            raise LinkError("E202", f"the link {text!r} names no node that can be read here", hint)
        return known[name]

    def _word(self, text: str) -> Bound:
        word, _, name = text[1:].partition(".")
        scope: Scope | None = self
        while scope is not None:
            if word in scope.words:
                values = scope.words[word]
                if name in values:
                    return values[name]
                raise LinkError(
                    "E202", f"{text!r}: there is no {name!r} in ${word}", did_you_mean(name, values)
                )
            scope = scope.parent
        if word == "params":
            raise LinkError("E202", f"{text!r} is a parameter; `in:` takes links, put it under `config:`")
        raise LinkError(
            "E202", f"{text!r} cannot be read here", f"links start with a node or {self._starts()}"
        )

    def _starts(self) -> str:
        words: list[str] = []
        scope: Scope | None = self
        while scope is not None:
            words += [f"${w}." for w in scope.words if f"${w}." not in words]
            scope = scope.parent
        return ", ".join(words) or "nothing else"


def _whole(outputs: Mapping[str, Bound]) -> Bound:
    """A bare `node`: its first output; a Cond port may take it as a record of all of them."""
    first = next(iter(outputs.values()))
    return replace(first, siblings=outputs) if isinstance(first, Wire) else first


def as_record(bound: Wire | Record) -> Record:
    """Read a value as a Cond: a record as it is, a bare node by its output names, one tensor by its own name."""
    if isinstance(bound, Record):
        return bound
    fields = {k: v for k, v in (bound.siblings or {}).items() if k in COND_FIELDS and isinstance(v, Wire)}
    name = bound.ref.port if bound.ref.port in COND_FIELDS else "embeds"
    return Record(fields or {name: bound})
