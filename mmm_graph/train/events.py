"""What training tells its observers, as frozen values."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TrainKind = Literal[
    "stage_start", "step", "eval_step", "eval", "samples", "save", "warning", "stage_end", "stage_skip"
]


@dataclass(frozen=True)
class TrainEvent:
    """One thing that happened.

    Attributes:
        kind: stage_start (start, samples, weights), step (row of metrics.csv), eval_step, eval (metrics by
            name), samples (path, files by output), save (path), warning (message), stage_end (losses),
            stage_skip; brackets: what `data` has.
        stage: name of the training stage, or of the evaluation.
        step, total: steps done, and steps there are.
        time_s: seconds since the epoch.
    """

    kind: TrainKind
    stage: str
    step: int = 0
    total: int = 0
    data: Mapping[str, Any] = field(default_factory=dict)
    time_s: float = field(default_factory=time.time)


OnEvent = Callable[[TrainEvent], None]
