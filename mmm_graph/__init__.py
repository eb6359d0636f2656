"""A plugin-based graph engine for multimodal models: one file declares, trains, runs and partitions a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mmm_graph.api.builder import Graph
    from mmm_graph.api.session import Session, load

__all__ = ["Graph", "Session", "__version__", "load"]

_HOME = {
    "Graph": "mmm_graph.api.builder",
    "Session": "mmm_graph.api.session",
    "load": "mmm_graph.api.session",
}


def __getattr__(name: str) -> Any:
    """Import the Python API at first use, so that checking a file never imports torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
