"""What exists: node types by kind, the plugins they came from, and what went wrong while loading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import pluggy

from mmm_graph.errors import InputError, Place, Problem, problem
from mmm_graph.registry.extension import Importer, PortKind, WeightSource
from mmm_graph.registry.node_type import (
    CompositeType,
    DataType,
    ModelType,
    NodeType,
    OptimType,
    OpType,
    Saver,
)
from mmm_graph.spec.ports import KINDS


@dataclass(frozen=True)
class PluginInfo:
    """One plugin, loaded or not; `kinds` names all it brings: `role.name`, `saver Image.png`, `source s3`."""

    name: str
    distribution: str
    version: str
    module: str
    status: Literal["ok", "FAILED"] = "ok"
    cause: str = ""
    kinds: tuple[str, ...] = ()
    place: Place | None = None

    @property
    def origin(self) -> str:
        """Distribution and version, as errors name it."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True)
class Observer:
    """A loaded plugin with mmm_run_event or mmm_train_event; `relay` calls only this plugin's hooks."""

    plugin: str
    hooks: frozenset[str]
    relay: pluggy.HookRelay

    def call(self, hook: str, event: object) -> None:
        """Hand it one event; whatever the plugin raises is raised."""
        getattr(self.relay, hook)(event=event)


@dataclass(frozen=True)
class Contribution:
    """What one plugin brings, before it is merged with the others."""

    info: PluginInfo
    nodes: tuple[NodeType, ...] = ()
    port_kinds: tuple[PortKind, ...] = ()
    weight_sources: tuple[WeightSource, ...] = ()
    savers: tuple[Saver, ...] = ()
    importers: tuple[Importer, ...] = ()
    observer: Observer | None = None


@dataclass(frozen=True)
class Registry:
    """Everything the loaded plugins offer. Frozen; made by `load_registry` or `registry_of`.

    Attributes:
        models, ops, composites, data, optims: node types by kind.
        savers: by (port kind, format).
        port_kinds, weight_sources, importers: by name, scheme, foreign class name.
        conflicts: names that two plugins registered, with the plugins; they are in none of the tables above.
        problems: one per FAILED plugin and per conflict.
    """

    models: Mapping[str, ModelType] = field(default_factory=dict)
    ops: Mapping[str, OpType] = field(default_factory=dict)
    composites: Mapping[str, CompositeType] = field(default_factory=dict)
    data: Mapping[str, DataType] = field(default_factory=dict)
    optims: Mapping[str, OptimType] = field(default_factory=dict)
    savers: Mapping[tuple[str, str], Saver] = field(default_factory=dict)
    port_kinds: Mapping[str, PortKind] = field(default_factory=dict)
    weight_sources: Mapping[str, WeightSource] = field(default_factory=dict)
    importers: Mapping[str, Importer] = field(default_factory=dict)
    plugins: tuple[PluginInfo, ...] = ()
    observers: tuple[Observer, ...] = ()
    conflicts: Mapping[str, tuple[PluginInfo, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def get(self, kind: str) -> NodeType:
        """The node type of that kind.

        Raises:
            KeyError: no plugin registers it.
            InputError: E402, two plugins do.
        """
        for table in self.tables:
            if kind in table:
                return table[kind]
        if kind in self.conflicts:
            raise InputError(conflict_problem(kind, self.conflicts[kind]))
        raise KeyError(kind)

    def owner(self, kind: str) -> PluginInfo:
        """The plugin that registered a node kind; KeyError if there is none."""
        for info in self.plugins:
            if kind in info.kinds and kind not in self.conflicts:
                return info
        raise KeyError(kind)

    def kinds(self, role: str | None = None) -> tuple[str, ...]:
        """Kinds of all node types in order, or those of one role or op family (`sampler`, `loss`)."""
        names = sorted(kind for table in self.tables for kind in table)
        return tuple(k for k in names if role is None or k.partition(".")[0] == role)

    def formats(self, port_kind: str) -> tuple[str, ...]:
        """File formats in which values of a port kind can be saved."""
        return tuple(sorted(fmt for kind, fmt in self.savers if kind == port_kind))

    @property
    def tables(self) -> tuple[Mapping[str, NodeType], ...]:
        """The five tables of node types."""
        return (self.models, self.ops, self.composites, self.data, self.optims)

    @property
    def known_port_kinds(self) -> frozenset[str]:
        """Built-in and registered port kinds, for `parse_port(text, kinds)`."""
        return KINDS | self.port_kinds.keys()

    def digest(self) -> str:
        """64 hex digits that agree where the same plugins, versions and kinds were loaded, in any order."""
        loaded = sorted(
            [p.name, p.distribution, p.version, *sorted(p.kinds)] for p in self.plugins if p.status == "ok"
        )
        return hashlib.sha256(json.dumps(loaded).encode()).hexdigest()


def conflict_problem(name: str, infos: Sequence[PluginInfo]) -> Problem:
    """The error for a name that several plugins registered."""
    owners = " and ".join(f"{p.name} ({p.origin})" for p in infos)
    return problem(
        "E402",
        f"{name!r} is registered by {owners}; neither is used",
        hint="uninstall one of them, or name the plugins to load in MMM_PLUGINS",
    )


def registry_of(
    *nodes: NodeType, port_kinds: Sequence[PortKind] = (), savers: Sequence[Saver] = ()
) -> Registry:
    """A registry of just these types, as if one plugin had registered them: for tests and notebooks."""
    others = [*(f"port {p.name}" for p in port_kinds), *(saver_name(s) for s in savers)]
    info = PluginInfo("inline", "inline", "0", "", kinds=(*(n.kind for n in nodes), *others))
    return merge([Contribution(info, nodes, tuple(port_kinds), savers=tuple(savers))])


def saver_name(saver: Saver) -> str:
    """How a saver is called in `kinds` and in errors."""
    return f"saver {saver.port_kind}.{saver.format}"


def merge(contributions: Iterable[Contribution]) -> Registry:
    """Join what plugins bring. A name that two of them register goes to neither; see `conflicts`."""
    parts = list(contributions)
    owners: dict[str, list[PluginInfo]] = {}
    for part in parts:
        for name in part.info.kinds:
            owners.setdefault(name, []).append(part.info)
    conflicts = {name: tuple(infos) for name, infos in sorted(owners.items()) if len(infos) > 1}
    failed = [failure_problem(p.info) for p in parts if p.info.status == "FAILED"]

    def nodes(cls: type[Any]) -> Mapping[str, Any]:
        found = {n.kind: n for p in parts for n in p.nodes if isinstance(n, cls) and n.kind not in conflicts}
        return MappingProxyType(dict(sorted(found.items())))

    return Registry(
        nodes(ModelType),
        nodes(OpType),
        nodes(CompositeType),
        nodes(DataType),
        nodes(OptimType),
        {(s.port_kind, s.format): s for p in parts for s in p.savers if saver_name(s) not in conflicts},
        {k.name: k for p in parts for k in p.port_kinds if f"port {k.name}" not in conflicts},
        {s.scheme: s for p in parts for s in p.weight_sources if f"source {s.scheme}" not in conflicts},
        {i.foreign: i for p in parts for i in p.importers if f"importer {i.foreign}" not in conflicts},
        tuple(p.info for p in parts),
        tuple(p.observer for p in parts if p.observer is not None),
        conflicts,
        (*failed, *(conflict_problem(name, infos) for name, infos in conflicts.items())),
    )


def failure_problem(info: PluginInfo) -> Problem:
    """The error for a plugin that did not load."""
    return problem(
        "E401",
        f"plugin {info.name} ({info.origin}) failed to load: {info.cause}",
        info.place,
        "its kinds are not available; fix or uninstall it, or leave it out with MMM_PLUGINS",
    )
