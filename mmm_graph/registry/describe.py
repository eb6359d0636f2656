"""A node type -> plain data for people and programs: ports, config with defaults, methods, origin."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from mmm_graph.config import Config
from mmm_graph.errors import InputError, did_you_mean, problem
from mmm_graph.registry.node_type import (
    CompositeType,
    DataType,
    Method,
    ModelType,
    NodeType,
    OptimType,
    OpType,
    Ports,
)
from mmm_graph.registry.registry import Registry

AXES: Mapping[str, str] = {
    **{"b": "batch", "t": "text tokens", "l": "image or latent tokens", "f": "frames", "c": "channels"},
    **{"h": "height", "w": "width", "d": "model width", "n": "heads", "k": "head width"},
    **{"v": "vocabulary", "s": "steps", "m": "media items", "r": "routed rows"},
}
"""What a symbol in a port stands for, everywhere in the project."""

_LIMITS = {
    "minimum": ">=",
    "exclusiveMinimum": ">",
    "maximum": "<=",
    "exclusiveMaximum": "<",
    "multipleOf": "multiple of",
}
_TYPES = {"integer": "int", "number": "float", "boolean": "bool", "string": "text", "object": "mapping"}


def describe(registry: Registry, kind: str) -> dict[str, Any]:
    """Everything a user may want to know about a kind, as JSON-able data.

    Raises:
        InputError: E404 no plugin registers it, E402 two do.
    """
    node = find(registry, kind)
    info = registry.owner(kind)
    plugin = {"name": info.name, "distribution": info.distribution, "version": info.version}
    common = {
        "kind": kind,
        "type": TITLES[type(node)],
        "doc": node.doc,
        "source": node.source,
        "plugin": plugin,
    }
    return {**common, **_details(node), "config": fields(node.config)}


def find(registry: Registry, kind: str) -> NodeType:
    """The node type, or an error that says what there is.

    Raises:
        InputError: E404 no plugin registers it, E402 two do.
    """
    try:
        return registry.get(kind)
    except KeyError:
        failed = [p.name for p in registry.plugins if p.status == "FAILED"]
        lost = f"; or it is in a plugin that failed to load: {', '.join(failed)}" if failed else ""
        hint = did_you_mean(kind, registry.kinds()) + lost
        raise InputError(problem("E404", f"no plugin registers the kind {kind!r}", hint=hint)) from None


TITLES: Mapping[type, str] = {
    ModelType: "model",
    OpType: "op",
    CompositeType: "composite",
    DataType: "dataset",
    OptimType: "optimiser",
}


def _details(node: NodeType) -> dict[str, Any]:
    if isinstance(node, ModelType):
        methods = {name: _method(m) for name, m in node.methods.items()}
        return {
            "methods": methods,
            "weights": node.weights,
            "parts": node.parts is not None,
            "builder": node.builder,
        }
    if isinstance(node, OpType):
        ports = {"inputs": _texts(node.inputs), "returns": _texts(node.returns), "uses": dict(node.uses)}
        return {**ports, "noise": node.noise, "pure": node.pure, "function": node.function}
    if isinstance(node, CompositeType):
        return {"inputs": _texts(node.inputs), "uses": dict(node.uses)}
    return {"builder": node.builder}


def _method(method: Method) -> dict[str, Any]:
    return {
        "doc": method.doc,
        "inputs": _texts(method.inputs),
        "returns": _texts(method.returns),
        "config": fields(method.config),
        "noise": method.noise,
    }


def _texts(ports: Ports) -> dict[str, str]:
    return {name: str(port) for name, port in ports.items()}


def fields(config: type[Config]) -> list[dict[str, Any]]:
    """Name, type, default, limits and description of every field of a config class.

    The description is that of `Field(description=...)`, or the line under `Attributes:` in the docstring.
    """
    schema = config.model_json_schema()
    docs = _attribute_docs(config)
    rows = []
    for name, entry in schema.get("properties", {}).items():
        row = {"name": name, "type": _type(entry, schema.get("$defs", {}))}
        row["required"] = name in schema.get("required", ())
        row["default"] = entry.get("default")
        row["limits"] = ", ".join(
            f"{sign} {v}" for k, sign in _LIMITS.items() if (v := _limit(entry, k)) is not None
        )
        row["description"] = entry.get("description") or docs.get(name, "")
        rows.append(row)
    return rows


def _limit(entry: Mapping[str, Any], key: str) -> Any:
    return next((e[key] for e in (entry, *entry.get("anyOf", ())) if key in e), None)


def _type(entry: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    if "$ref" in entry:
        return _type(defs[entry["$ref"].rpartition("/")[2]], {})
    if "enum" in entry or "const" in entry:
        return " | ".join(map(str, entry.get("enum", [entry.get("const")])))
    if "anyOf" in entry:
        return " | ".join("null" if e.get("type") == "null" else _type(e, defs) for e in entry["anyOf"])
    if entry.get("type") == "array":
        items = entry.get("items")
        return f"list of {_type(items, defs)}" if isinstance(items, Mapping) else "list"
    return _TYPES.get(entry.get("type", ""), "any")


def _attribute_docs(config: type[Config]) -> dict[str, str]:
    """The lines `name: text` or `a, b: text` under `Attributes:`, of the class and of those it extends."""
    docs: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        text = inspect.cleandoc(vars(cls).get("__doc__") or "") if issubclass(cls, Config) else ""
        names: list[str] = []
        for line in text.partition("Attributes:\n")[2].splitlines():
            if not line.startswith("    "):
                break
            found = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
            names = found[1].split(", ") if found else names
            for name in names:
                docs[name] = found[2] if found else f"{docs[name]} {line.strip()}"
    return docs
