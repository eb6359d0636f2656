"""DPM-Solver++: exact in the linear part of the ODE or SDE, extrapolating x0 over lambda = log(alpha/sigma)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmm_diffusion.config import DPMpp2MConfig, DPMppSDEConfig
from mmm_diffusion.samplers.levels import log_snr, renoise
from mmm_graph.nn.sampler import Sampler, State, Times


class DPMpp2M(Sampler):
    """Second order, remembering the x0 before; of the ODE, or of the SDE with noise of its own each step.

    Source: Lu et al. 2022 (arXiv:2211.01095), algorithm 2 and, for the SDE, its appendix; solver heun: its
    appendix A, as diffusers writes it.
    """

    def __init__(self, config: DPMpp2MConfig) -> None:
        super().__init__(config)
        self.config = config
        self.noise = config.algorithm == "sde"

    def init(self, x: Tensor, times: Times) -> State:
        state = super().init(x, times)
        return {**state, "old": torch.zeros_like(state["x"])}

    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        (_, sigma), (alpha2, sigma2) = times.level(i), times.level(i + 1)
        step = log_snr(times, i + 1) - log_snr(times, i)
        if step == 0.0:  # from time 0 to the level of time 0
            return {"x": state["x"], "old": x0}
        twice = 2.0 if self.noise else 1.0  # the SDE forgets x twice as fast
        decay = math.expm1(-twice * step)
        kept = sigma2 / sigma * (math.exp(-step) if self.noise else 1.0)
        x = kept * state["x"] - (alpha2 * decay) * x0
        if i > 0 and not self._first_order(times, i):
            ratio = (log_snr(times, i) - log_snr(times, i - 1)) / step
            midpoint = self.config.solver == "midpoint"
            weight = -alpha2 * decay / 2 if midpoint else alpha2 * (decay / (twice * step) + 1)
            x = x + (weight / ratio) * (x0 - state["old"])
        if noise is not None:
            x = x + sigma2 * math.sqrt(-decay) * noise
        return {"x": x, "old": x0}

    def _first_order(self, times: Times, i: int) -> bool:
        if i < times.count - 1:
            return False
        short = self.config.lower_order_final and times.count < 15
        return times.level(times.count)[1] == 0.0 or short or self.config.euler_final


class DPMppSDE(Sampler):
    """Second order with noise and two evaluations a step: at its start, and at the level between.

    Levels of odd number stand between (times with `between: midpoints`), so every level is asked about once. The
    last step is of first order and ends clean. Both halves of a step see one Brownian path over sigma/alpha, as
    k-diffusion's tree gives it: the noise of the whole step is that of its halves added up. State: the x and x0
    where the step started, and the noise of its first half.

    Source: Lu et al. 2022 (arXiv:2211.01095), algorithm 1, for the SDE; k-diffusion's sample_dpmpp_sde.
    """

    noise = True

    def __init__(self, config: DPMppSDEConfig) -> None:
        super().__init__(config)

    def init(self, x: Tensor, times: Times) -> State:
        state = super().init(x, times)
        zeros = torch.zeros_like(state["x"])
        return {**state, "start": state["x"], "first": zeros, "noise": zeros}

    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        assert noise is not None
        if i % 2 == 0 or i == times.count - 1:
            x = renoise(state["x"], x0, times, i, i + 1, 1.0, noise)
            return {"x": x, "start": state["x"], "first": x0, "noise": noise}
        weight = _weight(times, i)
        mean = (1 - weight) * state["first"] + weight * x0
        early, late = _path(times, i)
        whole = early * state["noise"] + late * noise
        return {**state, "x": renoise(state["start"], mean, times, i - 1, i + 1, 1.0, whole)}


def _weight(times: Times, i: int) -> float:
    """Of the x0 in between, against the first: 1/(2 r), where r is how far in between it stands in lambda."""
    start, middle, end = (log_snr(times, k) for k in (i - 1, i, i + 1))
    return 1.0 if math.isinf(start) else (end - start) / (2 * (middle - start))


def _path(times: Times, i: int) -> tuple[float, float]:
    """How much of the whole step's noise is that of its first half, and of its second."""
    if times.level(i - 1)[0] == 0.0:
        return 1.0, 0.0
    start, middle, end = (sigma / alpha for alpha, sigma in map(times.level, (i - 1, i, i + 1)))
    share = (start - middle) / (start - end)
    return math.sqrt(share), math.sqrt(1 - share)
