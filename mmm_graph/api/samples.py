"""What training needs of this layer to make samples: inputs as a caller gives them, outputs as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmm_graph.api.inputs import make_request
from mmm_graph.api.save import save_outputs
from mmm_graph.graph.graph import Graph
from mmm_graph.registry import Registry
from mmm_graph.runtime.events import Request, Result
from mmm_graph.train.sample_outputs import SampleTools


def _bind(graph: Graph, given: Mapping[str, Any], seed: int, base: Path) -> Request:
    return make_request(graph, given, seed, "samples", base=base)


def _save(
    graph: Graph, registry: Registry, result: Result, folder: Path, prefix: str
) -> Mapping[str, tuple[Path, ...]]:
    saved = save_outputs(graph, registry, result, folder, origin=None, prefix=prefix)
    return {one.name: one.files for one in saved}


SAMPLE_TOOLS = SampleTools(_bind, _save)
