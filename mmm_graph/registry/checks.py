"""What a plugin registers -> refused unless well formed: names, port types, functions, references."""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mmm_graph.config import Config
from mmm_graph.registry.node_type import (
    CompositeType,
    DataType,
    GuidanceConfig,
    Method,
    ModelType,
    NodeType,
    OpType,
    Ports,
    SamplerConfig,
)
from mmm_graph.registry.registry import Contribution
from mmm_graph.spec.ports import KINDS, PortType

_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_PORT = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE)
_PORT_KIND = re.compile(r"[A-Z][A-Za-z0-9]*")
_WORD = re.compile(r"[a-z][a-z0-9_+-]*")
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_BASES: Mapping[str, type[Config]] = {"sampler": SamplerConfig, "guidance": GuidanceConfig}


def check_contribution(part: Contribution, port_kinds: frozenset[str]) -> Contribution:
    """The contribution itself, when everything in it is well formed.

    Args:
        part: what one plugin registered.
        port_kinds: kinds that any plugin registered, beside the built-in ones.

    Raises:
        ValueError, TypeError: naming the kind, what was found and what was expected.
    """
    seen = list(part.info.kinds)
    for name in seen:
        if seen.count(name) > 1:
            raise ValueError(f"it registers {name!r} {seen.count(name)} times")
    kinds = KINDS | port_kinds
    for node in part.nodes:
        check_node_type(node, kinds)
    for kind in part.port_kinds:
        _pattern(_PORT_KIND, kind.name, "a port kind", "CamelCase, such as Skeleton")
        if kind.name in KINDS:
            raise ValueError(f"port kind {kind.name!r} is built in")
    for source in part.weight_sources:
        _pattern(_WORD, source.scheme, "a scheme", "a lower-case word, such as s3")
        if source.scheme in ("file", "hf", "pkg"):
            raise ValueError(f"the scheme {source.scheme!r} is built in")
        _reference(f"source {source.scheme}", source.function, "function")
    for saver in part.savers:
        _pattern(_WORD, saver.format, "a file format", "a lower-case word, such as png")
        _known(f"saver {saver.format}", saver.port_kind, kinds)
        _reference(f"saver {saver.format}", saver.function, "function")
    for importer in part.importers:
        _reference(f"importer {importer.foreign}", importer.function, "function")
        if not isinstance(importer.marks, tuple) or not all(isinstance(m, str) for m in importer.marks):
            raise ValueError(
                f"importer {importer.foreign} has the marks {importer.marks!r}; expected a tuple of texts"
            )
    return part


def check_node_type(node: NodeType, kinds: frozenset[str] = KINDS) -> None:
    """Refuse a node type that could not work; torch-free, and nothing of the plugin is imported.

    Raises:
        ValueError, TypeError: naming the kind, what was found and what was expected.
    """
    _pattern(_KIND, node.kind, "a kind", "role.name in lower case, such as adaptor.honeybee")
    _config(node.kind, node.config, Config)
    if isinstance(node, ModelType):
        _check_model(node, kinds)
    elif isinstance(node, OpType):
        _check_op(node, kinds)
    elif isinstance(node, CompositeType):
        _ports(node.kind, node.inputs, kinds, (node.config,))
        _function(node.kind, "expand", node.expand, 3)
    elif isinstance(node, DataType):
        _family(node.kind, "data")
        _reference(node.kind, node.builder)
        _field(node.kind, node.config, "batch", "int")
        _function(node.kind, "columns", node.columns, 1)
    else:
        _family(node.kind, "optim")
        _reference(node.kind, node.builder)
        _field(node.kind, node.config, "lr", "float")


def _check_model(node: ModelType, kinds: frozenset[str]) -> None:
    role = node.kind.partition(".")[0]
    _reference(node.kind, node.builder)
    _config(node.kind, node.config, _BASES.get(role, Config))
    if role != "sampler" and not node.methods:
        raise ValueError(f"{node.kind} has no methods, so no node could call it")
    _function(node.kind, "parts", node.parts, 1)
    _function(node.kind, "sharding", node.sharding, 1)
    for key, port in node.state.items():
        _port(f"{node.kind} state {key}", port, kinds, None)
    for name, method in node.methods.items():
        _check_method(f"{node.kind}.{name}", method, node, kinds)
    if node.attaches:
        _check_attaches(node)


def _check_attaches(node: ModelType) -> None:
    method = node.methods.get(node.attaches)
    if method is None or method.path is None:
        raise ValueError(f"{node.kind} attaches {node.attaches!r}, which is no method of it that is a path")
    if len(method.returns) != 1 or not method.returns.keys() <= method.inputs.keys():
        raise ValueError(f"{node.kind}.{node.attaches} must return one port, which is an input of it too")


def _check_method(where: str, method: Method, node: ModelType, kinds: frozenset[str]) -> None:
    if not isinstance(method, Method):
        raise TypeError(f"{where} is {type(method).__name__}; expected method(...)")
    _config(where, method.config, Config)
    configs = (method.config, node.config)
    _ports(where, method.inputs, kinds, configs)
    _ports(where, method.returns, kinds, configs, needed=True)
    _function(where, "path", method.path, 2)
    _function(where, "facts", method.facts, 3)
    if method.path is not None and node.parts is None:
        raise ValueError(f"{where} declares a path, but {node.kind} declares no parts for it to run through")
    if method.path is not None and method.noise:
        raise ValueError(f"{where} declares both path and noise, which parts do not get")
    if method.path is None:
        _keywords(where, method.inputs, method.config, method.noise, ())


def _check_op(node: OpType, kinds: frozenset[str]) -> None:
    _reference(node.kind, node.function, "function")
    _ports(node.kind, node.inputs, kinds, (node.config,))
    _ports(node.kind, node.returns, kinds, (node.config,), needed=True)
    _function(node.kind, "facts", node.facts, 3)
    _keywords(node.kind, node.inputs, node.config, node.noise, node.uses)
    if node.accumulation not in ("mean", "feature_cache"):
        raise ValueError(f"{node.kind} has accumulation {node.accumulation!r}; not mean or feature_cache")
    if node.gather not in ("", "data"):
        raise ValueError(f"{node.kind} has gather {node.gather!r}; not data, and not left out")
    if node.count:
        _reference(node.kind, node.count, "count")


def _ports(
    where: str,
    ports: Ports,
    kinds: frozenset[str],
    configs: tuple[type[Config], ...],
    *,
    needed: bool = False,
) -> None:
    if needed and not ports:
        raise ValueError(f"{where} returns no port; expected returns={{name: type}}")
    for name, port in ports.items():
        if not _PORT.fullmatch(name) or keyword.iskeyword(name):
            raise ValueError(f"{where} has a port {name!r}; expected a name that can be a keyword argument")
        _port(f"{where} port {name}", port, kinds, configs)


def _port(
    where: str, port: PortType, kinds: frozenset[str], configs: tuple[type[Config], ...] | None
) -> None:
    """`configs` None: a state key, whose dims may name anything."""
    if not isinstance(port, PortType):
        raise TypeError(f"{where} is {port!r}; expected a port type such as 'Image[b,3,h,w]'")
    _known(where, port.kind, kinds)
    symbols = [symbol for dim in port.dims or () for symbol in (*dim.over, *dim.under)]
    for symbol in (*symbols, port.tag or "") if configs is not None else ():
        if symbol.startswith("$") and not any(_has(c, symbol[1:]) for c in configs or ()):
            names = ", ".join(sorted({f for c in configs or () for f in c.model_fields}))
            raise ValueError(f"{where}: {symbol} is no field of its config; fields are {names or 'none'}")
    for name, inner in (port.fields or {}).items():
        _port(f"{where}.{name}", inner, kinds, configs)


def _has(config: type[Config], name: str) -> bool:
    if name in config.model_fields:
        return True
    found = inspect.getattr_static(config, name, None)
    return isinstance(found, property) or (inspect.isfunction(found) and not hasattr(Config, name))


def _known(where: str, kind: str, kinds: frozenset[str]) -> None:
    if kind not in kinds:
        raise ValueError(f"{where} has the unknown port kind {kind!r}; kinds are {', '.join(sorted(kinds))}")


def _keywords(where: str, inputs: Ports, config: type[Config], noise: bool, uses: Iterable[str]) -> None:
    """Everything a function is given comes by keyword, so the names must differ."""
    taken = {"config": bool(config.model_fields), "noise": noise, **dict.fromkeys(uses, True)}
    for name in inputs:
        if taken.get(name, False):
            raise ValueError(f"{where}: the input port {name!r} clashes with the keyword of the same name")


def _config(where: str, config: object, base: type[Config]) -> None:
    if not (isinstance(config, type) and issubclass(config, base)):
        expected = f"a subclass of {base.__module__}.{base.__name__}"
        raise TypeError(f"{where} has the config {config!r}; expected {expected}")


def _field(where: str, config: type[Config], name: str, kind: str) -> None:
    if name not in config.model_fields:
        raise ValueError(f"the config of {where} needs a field `{name}: {kind}`")


def _family(kind: str, family: str) -> None:
    if not kind.startswith(family + "."):
        raise ValueError(f"kind {kind!r} must be {family}.name")


def _reference(where: str, text: object, what: str = "builder") -> None:
    if not isinstance(text, str) or not _REFERENCE.fullmatch(text):
        raise ValueError(f"{where} has the {what} {text!r}; expected the text 'package.module:Name'")


def _pattern(pattern: re.Pattern[str], text: object, what: str, expected: str) -> None:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ValueError(f"{text!r} is not {what}; expected {expected}")


def _function(where: str, what: str, function: Callable[..., Any] | None, arity: int) -> None:
    if function is None:
        return
    if not callable(function):
        raise TypeError(f"{where} has {what}={function!r}; expected a function")
    try:
        inspect.signature(function).bind(*range(arity))
    except TypeError as error:
        raise TypeError(f"{what} of {where} is called with {arity} positional arguments: {error}") from None
