"""What the interpreter calls for a Run, with what it must know about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmm_graph.errors import Place
from mmm_graph.plan.ops import At
from mmm_graph.runtime.arguments import Values

Function = Callable[[Values, At], Mapping[str, Any]]
Finish = Callable[[Mapping[str, Any], At], Mapping[str, Any]]


class Bound:
    """A callable with what the interpreter must know about it.

    Attributes:
        function: (values by key, where) -> values by key.
        whens: keys of conditions; the others of `keys` that may be absent are in `optional`.
        ports: keys that are declared outputs: None and zero rows there count as absent.
        label: what it is, for errors; `place` where it was written.
        visible: reported by node events.
        raw: takes absent values as they are.
        shared: other ranks do it at the same time, and ask each other.
    """

    __slots__ = (
        "function",
        "guarded",
        "label",
        "optional",
        "place",
        "ports",
        "raw",
        "shared",
        "visible",
        "whens",
    )

    def __init__(
        self,
        function: Function,
        *,
        whens: tuple[str, ...] = (),
        optional: frozenset[str] = frozenset(),
        ports: frozenset[str] = frozenset(),
        label: str = "",
        place: Place | None = None,
        raw: bool = False,
        shared: bool = False,
    ) -> None:
        self.function, self.whens, self.optional, self.ports = function, whens, optional, ports
        self.label, self.place, self.visible, self.raw = label, place, bool(label), raw
        self.guarded, self.shared = bool(whens), shared
