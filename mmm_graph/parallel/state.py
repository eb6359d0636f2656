"""What the exchange of a rank keeps from one Run to the next, by request."""

from __future__ import annotations

from typing import Any

from mmm_graph.parallel.exchange import Where
from mmm_graph.parallel.group import Pending

Key = tuple[str, tuple[int, int], str, str]
"""(node, share, layer, what)"""


class StateStore:
    """Values under (request, node, share, layer, what): requests, nodes and shares never see each other's."""

    def __init__(self) -> None:
        self._requests: dict[str, dict[Key, Any]] = {}

    def get(self, at: Where, layer: str, what: str) -> Any | None:
        """What was put there; None = nothing yet."""
        return self._requests.get(at.request, {}).get(_key(at, layer, what))

    def put(self, at: Where, layer: str, what: str, value: Any) -> None:
        """Keep a value in the place of what was there."""
        request = self._requests.setdefault(at.request, {})
        key = _key(at, layer, what)
        _finish(request.get(key))
        request[key] = value

    def clear(self, request: str, within: str = "") -> None:
        """Forget a request, or what its nodes inside a loop have kept."""
        kept = self._requests.get(request, {})
        for key in [key for key in kept if not within or key[0].startswith(f"{within}/")]:
            _finish(kept.pop(key))
        if not kept:
            self._requests.pop(request, None)

    def __len__(self) -> int:
        return sum(map(len, self._requests.values()))


def _key(at: Where, layer: str, what: str) -> Key:
    return at.node, at.share, layer, what


def _finish(value: object) -> None:
    """Wait for what is under way: a message whose tensors are gone would be mistaken for a later one."""
    if isinstance(value, Pending):
        value.wait()
