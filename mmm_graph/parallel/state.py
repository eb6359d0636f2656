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
        """Keep a value in the place of what was there. One under way (`Pending`) is waited for by `clear`."""
        self._requests.setdefault(at.request, {})[_key(at, layer, what)] = value

    def clear(self, request: str) -> None:
        """Forget a request, once what is still under way for it has come."""
        for value in self._requests.pop(request, {}).values():
            if isinstance(value, Pending):
                value.wait()

    def __len__(self) -> int:
        return sum(map(len, self._requests.values()))


def _key(at: Where, layer: str, what: str) -> Key:
    return at.node, at.share, layer, what
