"""Linear multistep of second order."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_graph.nn.sampler import Sampler, State, Times


class Lms2(Sampler):
    """Adams-Bashforth of order two over s = sigma / alpha, in the frame where the signal is not scaled.

    With y = x / alpha, the direction is d = (y - x0) / s, and a step of variable length h weighs the last two:
    y' = y + h (d + r (d - d_old)) with r = h / (2 h_old).

    Source: Liu et al. 2022 (arXiv:2202.09778), section 3.2, at order two.
    """

    def init(self, x: Tensor, times: Times) -> State:
        """State with no direction yet."""
        state = super().init(x, times)
        return {**state, "d": torch.zeros_like(state["x"])}

    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        """State after evaluation i."""
        alpha, sigma = times.level(i)
        next_alpha, next_sigma = times.level(i + 1)
        level, h = sigma / alpha, next_sigma / next_alpha - sigma / alpha
        y = state["x"] / alpha
        d = (y - x0) / level
        r = 0.0 if i == 0 else h / (2 * (level - _ratio(times, i - 1)))
        return {"x": (y + h * (d + r * (d - state["d"]))) * next_alpha, "d": d}


def _ratio(times: Times, k: int) -> float:
    alpha, sigma = times.level(k)
    return sigma / alpha
