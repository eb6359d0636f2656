"""How a node type is exercised: its config for a small instance, and what the author adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmm_graph.config import Config
from mmm_graph.registry.node_type import CompositeType, ModelType, NodeType, OpType
from mmm_graph.spec.ports import PortType
from mmm_graph.testing.values import flat


@dataclass(frozen=True)
class Setup:
    """How the type is exercised; see `check_node`."""

    config: Config
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    uses: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    seed: int = 0


def all_ports(node: NodeType) -> list[PortType]:
    if isinstance(node, ModelType):
        calls = [*node.methods.values()]
        return [p for m in calls for p in (*m.inputs.values(), *m.returns.values())] + [*node.state.values()]
    if isinstance(node, OpType):
        return [*node.inputs.values(), *node.returns.values()]
    return [*node.inputs.values()] if isinstance(node, CompositeType) else []


def make_config(node: NodeType, given: Mapping[str, Any]) -> Config:
    """The config of that type; open fields that a required port names `$field` get distinct multiples of 16.

    Raises:
        AssertionError: the fields do not make a config.
    """
    needed = [p for p in flat(p for p in all_ports(node) if not p.optional) if not p.optional]
    names = {n[1:] for p in needed for d in p.dims or () for n in (*d.over, *d.under) if n[0] == "$"}
    fields = node.config.model_fields
    solved = [n for n in sorted(names & fields.keys()) if n not in given and _is_open(node.config, n)]
    filled = {n: 16 * (i + 1) for i, n in enumerate(solved)}
    try:
        return node.config(**{**filled, **given})
    except ValidationError as error:
        message = f"{node.kind}: pass config={{...}} for a small instance: {in_one_line(error)}"
        raise AssertionError(message) from error


def in_one_line(error: ValidationError) -> str:
    """`width: Field required; depth: Input should be greater than 0`."""
    found = [(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
    return "; ".join(f"{where}: {what}" if where else what for where, what in found)


def _is_open(config: type[Config], name: str) -> bool:
    default = config.model_fields[name]
    return default.is_required() or default.default is None


def check_config(where: str, config: Config) -> None:
    cls = type(config)
    text = config.model_dump_json()
    if cls.model_validate_json(text) != config:
        raise AssertionError(f"{where}: the config does not survive JSON: {text}")
    if not (cls.model_config.get("frozen") and cls.model_config.get("extra") == "forbid"):
        raise AssertionError(f"{where}: the config must stay frozen and refuse unknown keys, as Config does")
