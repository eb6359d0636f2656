"""A spec and the registry -> JSON Schema (2020-12) of that graph: kinds, config keys, methods, names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mmm_graph.errors import InputError
from mmm_graph.spec.base import PARAM_PATTERN
from mmm_graph.spec.graph import GraphSpec, ModelSpec
from mmm_graph.spec.node import NodeSpec
from mmm_graph.spec.params import substitute
from mmm_graph.spec.training import Data, DataSpec, OptimSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PREFIX = "#/$defs/"
Schema = dict[str, Any]
Model = type[BaseModel]


class Kinds(Protocol):
    """The part of a registry that a schema is made from: node types by kind."""

    @property
    def models(self) -> Mapping[str, Any]: ...
    @property
    def ops(self) -> Mapping[str, Any]: ...
    @property
    def composites(self) -> Mapping[str, Any]: ...
    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def optims(self) -> Mapping[str, Any]: ...


def graph_schema(spec: GraphSpec, registry: Kinds) -> Schema:
    """The schema that an editor uses to complete and check this file.

    Names of all kinds are listed; config keys and ports are there for the kinds that the file uses. A kind
    that no plugin offers gets no rule: compiling says so.
    """
    configs = _Configs(spec, registry)
    refs, defs = _definitions([GraphSpec, NodeSpec, ModelSpec, DataSpec, OptimSpec], "")
    defs.update(configs.defs)
    defs["param"] = {
        "enum": [f"$params.{name}" for name in spec.params],
        "description": "a param of this file",
    }
    ops = {**registry.ops, **registry.composites}
    _specialise(
        defs[refs[NodeSpec]], _node_keys(spec, registry, ops), _node_rules(spec, registry, ops, configs)
    )
    kinds = {"anyOf": [{"enum": sorted(registry.models)}, {"pattern": f"^{PARAM_PATTERN}$"}]}
    _specialise(defs[refs[ModelSpec]], {"kind": kinds}, _model_rules(spec, registry, configs))
    for model, types, used in (
        (DataSpec, registry.data, {source.op for source in _sources(spec)}),
        (OptimSpec, registry.optims, _optims(spec)),
    ):
        rules = [_rule("op", [k], {"config": configs.of(types[k])}) for k in sorted(used) if k in types]
        _specialise(defs[refs[model]], {"op": {"enum": sorted(types)}}, rules)
    root = defs.pop(refs[GraphSpec])
    return {"$schema": DIALECT, **root, "title": spec.name or "graph", "$defs": defs}


class _Configs:
    """The config classes of the kinds that the file uses; any value in them may be `$params.x`."""

    def __init__(self, spec: GraphSpec, registry: Kinds) -> None:
        types: list[Any] = [*_model_types(spec, registry).values()]
        ops = {**registry.ops, **registry.composites}
        types += [ops[node.op] for node in _all_nodes(spec) if node.op in ops]
        types += [registry.data[source.op] for source in _sources(spec) if source.op in registry.data]
        types += [registry.optims[kind] for kind in _optims(spec) if kind in registry.optims]
        classes = {item.config: None for item in types}
        methods = (m for item in types for m in getattr(item, "methods", {}).values())
        classes.update({m.config: None for m in methods})
        self.refs, self.defs = _definitions(list(classes), "config.")
        if spec.params:
            for schema in self.defs.values():
                _allow_params(schema)

    def of(self, item: Any) -> Schema:
        """The config of a node type or method."""
        return {"$ref": _PREFIX + self.refs[item.config]}

    def partial(self, item: Any) -> Schema:
        """The same without required keys: weights and links may say what the file leaves out."""
        return {key: value for key, value in self.defs[self.refs[item.config]].items() if key != "required"}


def _definitions(
    models: list[type[BaseModel]], prefix: str
) -> tuple[dict[type[BaseModel], str], dict[str, Schema]]:
    """The name of each model's definition, and all definitions."""
    template = f"{_PREFIX}{prefix}{{model}}"
    refs, made = models_json_schema([(model, "validation") for model in models], ref_template=template)
    defs = {prefix + name: schema for name, schema in made.get("$defs", {}).items()}
    for schema in defs.values():
        _close(schema)
    return {model: refs[model, "validation"]["$ref"].removeprefix(_PREFIX) for model in models}, defs


def _close(schema: Any) -> None:
    """Refuse keys that match no pattern: a mapping of names takes names only."""
    for inner in _schemas_in(schema):
        _close(inner)
    if isinstance(schema, dict) and "patternProperties" in schema:
        schema.setdefault("additionalProperties", False)


def _schemas_in(schema: Any) -> Iterator[Any]:
    if not isinstance(schema, dict):
        return
    for key in ("properties", "patternProperties"):
        yield from schema.get(key, {}).values()
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        yield from schema.get(key, ())
    yield from (schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict))


def _allow_params(schema: Schema) -> None:
    """Let every value inside be `$params.x` too."""
    for key in ("properties", "patternProperties"):
        schema.get(key, {}).update({k: _or_param(v) for k, v in schema.get(key, {}).items()})
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _or_param(schema[key])
    for key in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(key, ()):
            _allow_params(option)
    if "prefixItems" in schema:
        schema["prefixItems"] = [_or_param(item) for item in schema["prefixItems"]]


def _or_param(schema: Schema) -> Schema:
    _allow_params(schema)
    notes = {key: item for key, item in schema.items() if key in ("title", "description", "default")}
    value = {key: item for key, item in schema.items() if key not in notes}
    return {**notes, "anyOf": [value, {"$ref": f"{_PREFIX}param"}]} if value else schema


def _specialise(schema: Schema, keys: Mapping[str, Schema], rules: list[Schema]) -> None:
    for key, value in keys.items():
        schema["properties"][key] = value
    if rules:
        schema["allOf"] = [*schema.get("allOf", ()), *rules]


def _rule(key: str, values: list[str], then: Mapping[str, Schema]) -> Schema:
    return {
        "if": {"properties": {key: {"enum": values}}, "required": [key]},
        "then": {"properties": dict(then)},
    }


def _node_keys(spec: GraphSpec, registry: Kinds, ops: Mapping[str, Any]) -> dict[str, Schema]:
    types = _model_types(spec, registry)
    calls = [*types] + [f"{name}.{m}" for name, item in types.items() for m in item.methods]
    bound = {name for graph in spec.graphs.values() for name in graph.models}
    unknown = sorted(bound | (set(spec.models) - set(types)))
    loose = [{"pattern": f"^({'|'.join(map(re.escape, unknown))})(\\.\\w+)*$"}] if unknown else []
    models = {"enum": sorted({*spec.models, *bound})}
    return {
        "call": {
            "anyOf": [{"enum": calls}, *loose],
            "description": "model.method, or model for its first method",
        },
        "op": {"enum": sorted(ops), "description": "an operation without weights"},
        "graph": {"enum": sorted(spec.graphs), "description": "a subgraph from `graphs:`"},
        "use": {"type": "object", "additionalProperties": models, "description": "models by role"},
    }


def _node_rules(spec: GraphSpec, registry: Kinds, ops: Mapping[str, Any], configs: _Configs) -> list[Schema]:
    rules: list[Schema] = [{"oneOf": [{"required": [form]} for form in ("call", "op", "graph", "loop")]}]
    for kind in sorted({node.op for node in _all_nodes(spec) if node.op in ops and node.op is not None}):
        roles = {"type": "object", "propertyNames": {"enum": sorted(ops[kind].uses)}}
        rules.append(
            _rule("op", [kind], {"config": configs.of(ops[kind]), "in": _ports(ops[kind]), "use": roles})
        )
    for name, item in _model_types(spec, registry).items():
        for i, (method, declared) in enumerate(item.methods.items()):
            then = {"config": configs.of(declared)}
            if not any(
                a.model for a in spec.models[name].attach
            ):  # attached models bring inputs of their own
                then["in"] = _ports(declared)
            rules.append(_rule("call", [f"{name}.{method}", name] if i == 0 else [f"{name}.{method}"], then))
    return rules


def _ports(item: Any) -> Schema:
    names = "|".join(re.escape(name) for name in item.inputs)
    return {"type": "object", "propertyNames": {"pattern": f"^({names})(\\.\\w+)*$"}}


def _model_rules(spec: GraphSpec, registry: Kinds, configs: _Configs) -> list[Schema]:
    types = _model_types(spec, registry)
    written = {spec.models[name].kind: item for name, item in types.items()}
    return [_rule("kind", [kind], {"config": configs.partial(item)}) for kind, item in written.items()]


def _model_types(spec: GraphSpec, registry: Kinds) -> dict[str, Any]:
    """The type of each model whose kind exists; `kind: $params.x` goes by the param's value."""
    found = {}
    for name, model in spec.models.items():
        try:
            kind = substitute(model.kind, spec.values)
        except InputError:
            continue
        if kind in registry.models:
            found[name] = registry.models[kind]
    return found


def _all_nodes(spec: GraphSpec) -> Iterator[NodeSpec]:
    stages = spec.train.stages.values() if spec.train else ()
    for owner in (spec, *spec.graphs.values(), *spec.eval.values(), *stages):
        yield from _walk(owner.nodes.values())


def _walk(nodes: Iterable[NodeSpec]) -> Iterator[NodeSpec]:
    for node in nodes:
        yield node
        if node.loop is not None:
            yield from _walk(node.loop.nodes.values())


def _sources(spec: GraphSpec) -> list[DataSpec]:
    stages = spec.train.stages.values() if spec.train else ()
    data: list[Data | None] = [owner.data for owner in (*spec.eval.values(), *stages)]
    return [
        one
        for item in data
        if item is not None
        for one in (item.values() if isinstance(item, dict) else [item])
    ]


def _optims(spec: GraphSpec) -> set[str]:
    stages = spec.train.stages.values() if spec.train else ()
    players = [player.optim for stage in stages for player in stage.updates.values()]
    return {optim.op for optim in (*(stage.optim for stage in stages), *players) if optim is not None}
