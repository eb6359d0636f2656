"""Exponential moving average of weights: updated with one fused call, swapped in for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class Ema:
    """Averages of named weights: average <- decay * average + (1 - decay) * weight.

    Early on the decay is (1 + step) / (10 + step), so that the average does not remember the random start.

    Args:
        weights: the live weights by name; they are read, never written, except inside `swapped`.
        decay: of the far past, 0 <= decay < 1.
    """

    def __init__(self, weights: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.weights = dict(weights)
        self.averages = {name: weight.detach().clone() for name, weight in self.weights.items()}

    def decay_at(self, step: int) -> float:
        """The decay of update `step`, from 0."""
        return min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights as they are after step `step`."""
        live = [weight.detach() for weight in self.weights.values()]
        torch._foreach_lerp_(list(self.averages.values()), live, 1.0 - self.decay_at(step))

    def reset(self) -> None:
        """Start again from the weights as they are."""
        self.load({name: weight.detach() for name, weight in self.weights.items()})

    @torch.no_grad()
    def load(self, averages: Mapping[str, Tensor]) -> None:
        """Set the averages from a checkpoint.

        Raises:
            KeyError: a name is missing.
        """
        for name, average in self.averages.items():
            average.copy_(averages[name])

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the live weights hold the averages."""
        kept = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self._put(self.averages)
        try:
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, values: Mapping[str, Tensor]) -> None:
        for name, weight in self.weights.items():
            weight.detach().copy_(values[name])
