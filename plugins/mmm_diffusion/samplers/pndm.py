"""Pseudo numerical methods: multistep weights, and the exact step of the law around them."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_diffusion.config import PNDMConfig
from mmm_diffusion.samplers.levels import noise_in
from mmm_graph.nn.sampler import Sampler, State, Times

WEIGHTS = ((1,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Adams-Bashforth of order 1 to 4, the latest slope first."""


class PNDM(Sampler):
    """PLMS: the noise of the last four evaluations, combined; then DDIM's step with it.

    Without a past, the first step is done twice: the noise at its end corrects it, and is then asked for again. State:
    first, the x at the start; e1, e2, e3, the noise before, the latest first.

    Source: Liu et al. 2022 (arXiv:2202.09778), eq. 11 and 12; the start as in Stable Diffusion's code.
    """

    def __init__(self, config: PNDMConfig) -> None:
        super().__init__(config)
        self.config = config

    def init(self, x: Tensor, times: Times) -> State:
        state = super().init(x, times)
        if times.level(0)[0] == 0.0:
            raise ValueError(
                "pndm divides by the signal and cannot start without; use ddim, euler or dpmpp_2m"
            )
        zeros = torch.zeros_like(state["x"])
        return {**state, "first": state["x"], "e1": zeros, "e2": zeros, "e3": zeros}

    def level(self, i: int) -> int:
        return i if i < 2 else i - 1

    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        mixes_v = self.config.mixes == "prediction" and times.prediction == "v"
        k = self.level(i)
        said = noise_in(state["x"], x0, times, k)
        if mixes_v:
            said = times.level(k)[0] * said - times.level(k)[1] * x0
        if i == 1:
            x, mixed, start = state["first"], (said + state["e1"]) / 2, 0
        else:
            past = (said, state["e1"], state["e2"], state["e3"])
            x, start = state["x"], k
            weights = WEIGHTS[0 if i == 0 else min(i, 4) - 1]
            mixed = sum((w * e for w, e in zip(weights, past, strict=False)), torch.zeros_like(x))
        if mixes_v:
            mixed = times.level(start)[0] * mixed + times.level(start)[1] * x
        x = _transfer(x, mixed, times, start)
        if i == 1:
            return {**state, "x": x}
        return {"x": x, "first": state["first"], "e1": said, "e2": state["e1"], "e3": state["e2"]}


def _transfer(x: Tensor, noise: Tensor, times: Times, k: int) -> Tensor:
    """x of level k -> level k + 1, if that is its noise."""
    (alpha, sigma), (alpha2, sigma2) = times.level(k), times.level(k + 1)
    return (alpha2 / alpha) * x + (sigma2 - alpha2 * sigma / alpha) * noise
