"""Does it: builds models and runs Programs. Names are imported from their modules when they are first asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmm_graph.runtime.build import Built, build_models
    from mmm_graph.runtime.engine import Engine
    from mmm_graph.runtime.events import Event, Request, Result

__all__ = ["Built", "Engine", "Event", "Request", "Result", "build_models"]

_HOMES = {
    "Built": "build",
    "build_models": "build",
    "Engine": "engine",
    "Event": "events",
    "Request": "events",
    "Result": "events",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
