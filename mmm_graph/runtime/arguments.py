"""State keys <-> the arguments and results of a Python function: lists, Cond records, absent inputs, loop indices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmm_graph.graph.graph import Loop, Node, Ref
from mmm_graph.plan.ops import At
from mmm_graph.registry.node_type import Ports

Values = dict[str, Any]
Getter = Callable[[Values, At], Any]


def index_depths(node: Node, scope: tuple[Loop, ...]) -> dict[str, int]:
    """Input keys that are `$each.x`, with the depth of the loop whose turn they are."""
    found = {}
    for key, link in node.inputs.items():
        for i, ref in enumerate((link,) if isinstance(link, Ref) else link):
            if ref.source == "$each":
                name = key if isinstance(link, Ref) else f"{key}#{i}"
                found[name] = max(d for d, loop in enumerate(scope) if ref.port in loop.each)
    return found


def arguments(node: Node, ports: Ports, scope: tuple[Loop, ...]) -> list[tuple[str, Getter]]:
    """One getter per input port of a node type: keyword -> its value from what a Run has read."""
    depths = index_depths(node, scope)
    return [(port, _getter(node, port, depths)) for port in ports if not _plain(node, port, depths)]


def plain(node: Node, ports: Ports, scope: tuple[Loop, ...]) -> tuple[str, ...]:
    """Ports whose value is read under their own name: no getter is needed."""
    depths = index_depths(node, scope)
    return tuple(port for port in ports if _plain(node, port, depths))


def _plain(node: Node, port: str, depths: Mapping[str, int]) -> bool:
    return isinstance(node.inputs.get(port), Ref) and port not in depths


def _getter(node: Node, port: str, depths: Mapping[str, int]) -> Getter:
    link = node.inputs.get(port)
    fields = [key for key in node.inputs if key.startswith(f"{port}.")]
    if fields:
        inner = [(key.partition(".")[2], _item(key, depths)) for key in fields]
        return lambda args, at: _record({name: get(args, at) for name, get in inner})
    if isinstance(link, tuple):
        items = [_item(f"{port}#{i}", depths) for i in range(len(link))]
        return lambda args, at: [v for get in items if (v := get(args, at)) is not None] or None
    if link is None:
        return lambda args, at: None
    return _item(port, depths)


def _item(key: str, depths: Mapping[str, int]) -> Getter:
    depth = depths.get(key)
    return (lambda args, at: args[key]) if depth is None else (lambda args, at: at.step[depth])


def _record(fields: Values) -> Values | None:
    """A Cond; None when every field is absent."""
    return fields if any(v is not None for v in fields.values()) else None


def spread(ports: Ports) -> Callable[[Any], Mapping[str, Any]]:
    """What a function returned -> values by port: the value of the only port, or a mapping of all.

    A Cond is a mapping of its fields; they become `port.field`.
    """
    names = tuple(ports)
    conds = tuple(n for n in names if ports[n].kind == "Cond")
    required = frozenset(n for n in names if not ports[n].optional)
    if len(names) == 1 and not conds:
        only = names[0]
        return lambda result: {only: result}

    def found(result: Any) -> Mapping[str, Any]:
        if len(names) == 1 and not (isinstance(result, Mapping) and names[0] in result):
            result = {names[0]: result}
        if not isinstance(result, Mapping):
            raise TypeError(
                f"it must return a mapping of its ports {', '.join(names)}, not {type(result).__name__}"
            )
        if not required <= result.keys():
            missing = ", ".join(sorted(required - result.keys()))
            raise TypeError(f"it returned {', '.join(result) or 'nothing'} without {missing}")
        if len(result) == len(names) and not conds:
            return result
        values = {name: result.get(name) for name in names}
        for name in conds:
            values.update({f"{name}.{k}": v for k, v in (values.get(name) or {}).items()})
        return values

    return found
