"""`...` in the ports of a node type: as many axes as the links bring, the same ones in all ports of the node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmm_graph.graph.scope import LinkError, Scope, Wire
from mmm_graph.spec.ports import Dim, PortType, has_rest, with_rest


def opened(
    scope: Scope, given: Mapping[str, Any], inputs: Mapping[str, PortType], *more: Mapping[str, PortType]
) -> tuple[dict[str, PortType], ...]:
    """The inputs of a node type and other ports of it, with axes for `...`.

    Args:
        given: the node's `in:` as written; what means nothing is passed over here, and reported where it is bound.
    """
    counts = (_count(scope, inputs[name], link) for name, link in given.items() if name in inputs)
    count = next((n for n in counts if n is not None), 0)
    axes = tuple(Dim(over=(f"axis{i}",)) for i in range(count))
    return tuple({name: with_rest(port, axes) for name, port in ports.items()} for ports in (inputs, *more))


def _count(scope: Scope, port: PortType, link: Any) -> int | None:
    """Axes that a link has beyond those that the port names; None: it does not say."""
    if not has_rest(port):
        return None
    assert port.dims is not None
    found = (_dims(scope, text) for text in _texts(link))
    dims = next((d for d in found if d is not None), None)
    return None if dims is None else max(len(dims) - len(port.dims) + 1, 0)


def _texts(link: Any) -> Iterator[str]:
    for text in link if isinstance(link, list | tuple) else (link,):
        if isinstance(text, str):
            yield text


def _dims(scope: Scope, text: str) -> tuple[Dim, ...] | None:
    try:
        bound = scope.resolve(text)
    except LinkError:
        return None
    return bound.type.dims if isinstance(bound, Wire) else None
