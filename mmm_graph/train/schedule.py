"""Learning-rate schedules as pure functions of the step: there is no state to save."""

from __future__ import annotations

import math
from collections.abc import Callable

SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}
"""Share of the training after warm-up, 0 to 1 -> factor on the learning rate, 1 to 0."""


def warmup_steps(warmup: float, steps: int) -> int:
    """Steps of warm-up: a value below 1 is a fraction of `steps`, otherwise it is a number of steps."""
    return round(warmup * steps) if warmup < 1 else int(warmup)


def lr_factor(step: int, *, schedule: str, steps: int, warmup: int = 0, floor: float = 0.0) -> float:
    """Factor on the learning rate of step `step` (from 0) of `steps`.

    It rises linearly over `warmup` steps, from 1 / warmup to 1, and follows the schedule from there on,
    whose end is `floor`.

    Raises:
        KeyError: no such schedule; the names are in SCHEDULES.
    """
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return floor + (1.0 - floor) * SCHEDULES[schedule](done)
