"""What the compiler knows while it works: spec, registry, equations between dims, facts, and the problems found."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from mmm_graph.config import Config
from mmm_graph.errors import InputError, Place, Problem, did_you_mean, problem
from mmm_graph.graph.attached import type_of
from mmm_graph.graph.graph import Link, ModelNode, Ref
from mmm_graph.graph.scope import Scope
from mmm_graph.graph.unify import Unifier, scoped
from mmm_graph.registry import ModelType, NodeType, Registry
from mmm_graph.registry.registry import conflict_problem
from mmm_graph.registry.weights_config import Wholes
from mmm_graph.spec.graph import GraphSpec
from mmm_graph.spec.params import substitute
from mmm_graph.spec.ports import Dim, PortType, has_rest, parse_port


@dataclass
class Context:
    """Mutable while one section is compiled; never leaves the compiler."""

    spec: GraphSpec
    registry: Registry
    unifier: Unifier = field(default_factory=Unifier)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    wholes: Wholes = field(default_factory=dict)  # models of one folder, as its importer tells them
    models: dict[str, ModelNode | None] = field(default_factory=dict)  # None: poisoned
    facts: dict[Ref, dict[str, Any]] = field(default_factory=dict)
    owners: dict[str, Ref] = field(
        default_factory=dict
    )  # batch symbol -> the value that names its rows' owners
    aliases: dict[str, Ref] = field(default_factory=dict)
    types: dict[Ref, PortType] = field(default_factory=dict)
    tags: dict[Ref, str] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)  # (model, config field) that the links must tell
    used_models: set[str] = field(default_factory=set)
    read: set[Ref] = field(default_factory=set)
    num_nodes: int = 0

    def report(self, code: str, message: str, place: Place | None, hint: str = "") -> None:
        """Add an error."""
        self.problems.append(problem(code, message, place, hint))

    def lookup(self, kind: Any, what: str, known: Collection[str], place: Place | None) -> NodeType | None:
        """The node type of a kind if it is one of `known`; None when it is not (reported)."""
        if kind in known:
            return self.registry.get(kind)
        if kind in self.registry.conflicts:
            found = conflict_problem(kind, self.registry.conflicts[kind])
            self.problems.append(replace(found, place=place))
            return None
        role = str(kind).partition(".")[0]
        hint = did_you_mean(str(kind), [k for k in known if k.partition(".")[0] == role] or known)
        failed = ", ".join(p.name for p in self.registry.plugins if p.status == "FAILED")
        more = f" (plugins that failed to load: {failed}; see `mmm plugins list`)" if failed else ""
        self.report("E201", f"there is no {what} {kind!r}", place, hint + more)
        return None

    def model_type(self, model: ModelNode) -> ModelType:
        """The type of a model that was resolved."""
        return type_of(model, self.registry)

    def config(
        self,
        cls: type[Config],
        raw: Mapping[str, Any],
        scope: Scope,
        *keys: str,
        base: Mapping[str, Any] | None = None,
    ) -> Config | None:
        """Check a `config:` mapping, over `base`, against its class; None when it was refused."""
        try:
            values = substitute(dict(raw), self.spec.values, lambda path: scope.place(*keys, *path))
        except InputError as error:
            self.problems.extend(error.problems)
            return None
        try:
            return cls.model_validate({**(base or {}), **values})
        except ValidationError as error:
            for one in error.errors():
                self._refused(cls, one, scope, keys)
            return None

    def _refused(self, cls: type[Config], error: Any, scope: Scope, keys: tuple[str, ...]) -> None:
        loc = error["loc"]
        where = ".".join((*keys, *map(str, loc)))
        place = scope.place(*keys, *loc)
        if error["type"] == "extra_forbidden":
            hint = did_you_mean(str(loc[-1]), cls.model_fields)
            self.report("E210", f"{where}: there is no such setting", place, hint)
        else:
            found = "" if error["type"] == "missing" else f", found {error['input']!r:.80}"
            message = error["msg"].removeprefix("Value error, ")
            self.report("E210", f"{where}: {message[:1].lower()}{message[1:]}{found}", place)

    def written_type(self, text: str, scope: str, place: Place | None) -> PortType | None:
        """A port type that the file says, its symbols local to `scope`; None when it means nothing (reported)."""
        try:
            port = parse_port(text, self.registry.known_port_kinds)
            if has_rest(port):
                raise ValueError(f"{text}: `...` belongs to the ports of plugins; write every axis")
            return scoped(port, scope, {})
        except ValueError as error:
            self.report("E205", str(error), place)
        except KeyError as error:
            hint = "$names belong to the ports of plugins; write a symbol or an integer"
            self.report("E205", f"{text}: ${error.args[0]} is not known here", place, hint)
        return None

    def ask(self, type_: PortType) -> None:
        """Note the config fields that a port in use needs from the links."""
        for dim in type_.dims or ():
            for name in (*dim.over, *dim.under):
                if name.startswith("@"):
                    model, _, key = name[1:].rpartition(":")
                    self.asked.add((model, key))

    def facts_of(self, inputs: Mapping[str, Link]) -> dict[str, Any]:
        """Facts of the inputs as `port.name`; of a list of links, the common value or the tuple of all.

        `port.dims` are the lengths of one value as far as the links upstream tell them, None for the others.
        """
        found: dict[str, Any] = {}
        for port, link in inputs.items():
            refs = (link,) if isinstance(link, Ref) else link
            if isinstance(link, Ref) and link in self.types:
                dims = self.unifier.type(self.types[link]).dims
                found[f"{port}.dims"] = None if dims is None else tuple(dim.size for dim in dims)
            for name in {n for r in refs for n in self.facts.get(r, {})}:
                values = tuple(self.facts.get(r, {}).get(name) for r in refs)
                found[f"{port}.{name}"] = values[0] if all(v == values[0] for v in values) else values
        return found


class Known(Mapping[str, Dim]):
    """What `$name` means in the ports of a node: a field of its config, else a field or property of the model's.

    A method of the node's config is asked with the model's config: for lengths that depend on both.
    A field of a model that is None is to be told by the links; a property that is None, or a field of an op, is a
    length that this node alone knows. `$guest:name` is a field of a model that is attached to the model.
    """

    def __init__(self, path: str, config: Config | None, model: ModelNode | None = None) -> None:
        self._path, self._config, self._model = path, config, model

    def __getitem__(self, name: str) -> Dim:
        if ":" in name and self._model is not None:
            guest, _, name = name.rpartition(":")
            node = next(at.node for at in self._model.guests if at.node.name == guest)
            return Known(self._path, None, node)[name]
        both = getattr(self._config, name, None)
        if callable(both) and self._model is not None:
            length = both(self._model.config)
            return Dim(over=(f"{self._path}:{name}",)) if length is None else _dim(length)
        if self._config is not None and getattr(self._config, name, None) is not None:
            return _dim(getattr(self._config, name))
        if self._model is None and hasattr(self._config, name):
            return Dim(over=(f"{self._path}:{name}",))
        if self._model is None:
            raise KeyError(name)
        value = getattr(self._model.config, name)
        if value is not None:
            return _dim(value)
        scope = f"@{self._model.name}" if name in type(self._model.config).model_fields else self._path
        return Dim(over=(f"{scope}:{name}",))

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _dim(value: Any) -> Dim:
    return value if isinstance(value, Dim) else Dim(Fraction(value))
