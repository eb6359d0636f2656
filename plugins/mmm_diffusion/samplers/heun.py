"""Heun's method: the slope at both ends of a step."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_diffusion.config import HeunConfig
from mmm_diffusion.samplers.levels import position, unit
from mmm_graph.nn.sampler import Sampler, State, Times


class Heun(Sampler):
    """Euler to the next level, then again with the mean of both slopes; the last step is plain Euler.

    A variance-preserving law is integrated in x/alpha over sigma/alpha, a flow in x over sigma. State: x at
    the level reached, y where the denoiser is asked, d the first slope of the step.

    Source: Karras et al. 2022 (arXiv:2206.00364), algorithm 1.
    """

    def __init__(self, config: HeunConfig) -> None:
        super().__init__(config)

    def init(self, x: Tensor, times: Times) -> State:
        state = super().init(x, times)
        if unit(times, 0) == 0.0:
            raise ValueError(
                "heun works in x/alpha and cannot start without signal; use ddim, euler or dpmpp_2m"
            )
        return {**state, "y": state["x"], "d": torch.zeros_like(state["x"])}

    def level(self, i: int) -> int:
        return (i + 1) // 2

    def query(self, state: State, times: Times, i: int) -> tuple[Tensor, Tensor]:
        return super().query({"x": state["y"]}, times, i)

    def put(self, state: State, x: Tensor, times: Times, i: int) -> State:
        """In the middle of a step only what is asked about changes: the step still starts where it did."""
        middle = i % 2 == 1 and i < self.evaluations(times)
        return {**state, "y": x} if middle else {**state, "x": x, "y": x}

    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        k = self.level(i)
        slope = (state["y"] - unit(times, k) * x0) / times.level(k)[1]
        if i % 2 == 0:
            y = _move(state["x"], slope, times, k)
            return {"x": y if k + 1 == times.count else state["x"], "y": y, "d": slope}
        x = _move(state["x"], (state["d"] + slope) / 2, times, k - 1)
        return {"x": x, "y": x, "d": state["d"]}


def _move(x: Tensor, slope: Tensor, times: Times, k: int) -> Tensor:
    """x of level k -> level k + 1 along a slope."""
    a, b = unit(times, k), unit(times, k + 1)
    return (b / a) * x + b * (position(times, k + 1) - position(times, k)) * slope
