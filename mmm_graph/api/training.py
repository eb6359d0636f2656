"""Stages of a graph file, trained from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmm_graph.api.samples import SAMPLE_TOOLS
from mmm_graph.registry import Registry
from mmm_graph.spec import GraphSpec
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.record import StageRecord
from mmm_graph.train.trainer import train


def train_stages(
    spec: GraphSpec,
    registry: Registry,
    out: Path,
    stages: Sequence[str],
    *,
    cancel: Callable[[], bool],
    **options: Any,
) -> dict[str, StageRecord]:
    """Train stages (none named: all) into a folder; see `Session.train`."""
    return train(
        spec,
        registry,
        out,
        stages=stages or None,
        options=TrainOptions(**options),
        cancel=cancel,
        sample_tools=SAMPLE_TOOLS,
    )
