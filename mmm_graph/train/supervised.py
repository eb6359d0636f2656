"""How much of a text is learnt: values named `supervised`, over the micro-batches of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mmm_graph.errors import RunError, problem
from mmm_graph.train.ranks import Ranks
from mmm_graph.train.stage import Stage


class Supervised:
    """The shares of a step, one micro-batch after the other.

    Attributes:
        names: of the values, such as `ce.supervised`.
    """

    def __init__(self, stage: Stage, ranks: Ranks, device: torch.device) -> None:
        self.names = stage.shares
        self._stage, self._ranks = stage, ranks
        self._sums = torch.zeros(len(self.names), device=device)
        self._seen = [False] * len(self.names)

    def add(self, values: Mapping[str, Any]) -> None:
        """Take in a micro-batch; what is absent there counts 0."""
        for i, name in enumerate(self.names):
            if isinstance(value := values.get(name), Tensor) and value.numel():
                self._sums[i] += value.detach().float().mean()
                self._seen[i] = True

    def take(self, step: int) -> Tensor:
        """Means over the micro-batches of a step on all ranks; the next step starts again.

        Raises:
            RunError: E852, nothing in the first step is learnt; the optimiser has not moved yet.
        """
        if not self.names:
            return self._sums
        found = self._ranks.total(self._sums) / (self._ranks.size * self._stage.accumulate)
        self._sums = torch.zeros_like(self._sums)
        if step == 0:
            self._check(found.tolist())
        return found

    def _check(self, shares: list[float]) -> None:
        masked = [
            n for n, share, seen in zip(self.names, shares, self._seen, strict=True) if seen and not share
        ]
        if masked:
            what = f"stage {self._stage.name}: labels are masked everywhere: {', '.join(masked)} of the first step is 0"
            hint = (
                "look at the template and at what is cut; in conversations the assistant's words are learnt"
            )
            raise RunError(problem("E852", what, self._stage.place, hint))
