"""`stop_if:` of a stage: when a finite loss has exploded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median

from mmm_graph.spec.watching import StopSpec

WINDOW = 100
"""Steps over which the median runs."""
FEWEST = 20
"""Steps before the median is believed."""


class Spikes:
    """Looks at the loss of every step.

    Args:
        said: what counts as exploded; None = nothing does.
    """

    def __init__(self, said: StopSpec | None) -> None:
        self._said = said
        self._losses: deque[float] = deque(maxlen=WINDOW)

    def look(self, loss: float) -> str:
        """Why this loss has exploded; "" if it has not, and then it counts for the median."""
        said = self._said
        if said is None:
            return ""
        if said.loss_above is not None and loss > said.loss_above:
            return f"the loss is {loss:.5g}, above {said.loss_above:g}"
        if said.times_median is not None:
            middle = median(self._losses) if len(self._losses) >= FEWEST else 0.0
            if middle > 0 and loss > said.times_median * middle:
                over = f"{said.times_median:g} times the median of the last {len(self._losses)} steps"
                return f"the loss is {loss:.5g}, above {over} ({middle:.5g})"
            self._losses.append(loss)
        return ""

    def state(self) -> list[float]:
        """The losses that the median runs over, for a checkpoint."""
        return list(self._losses)

    def load(self, losses: Iterable[float]) -> None:
        """Go on from `state()`."""
        self._losses = deque(losses, maxlen=WINDOW)
