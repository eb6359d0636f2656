"""The step rules. Each works on x = alpha x0 + sigma eps of any law: one formula for diffusion and flows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmm_diffusion.config import (
    DDIMConfig,
    DDPMConfig,
    DPMpp2MConfig,
    EulerAncestralConfig,
    EulerConfig,
    HeunConfig,
)
from mmm_graph.nn.sampler import Sampler, State, Times


class DDPM(Sampler):
    """A draw from the posterior q(x_next | x, x0), or with another variance around its mean.

    Source: Ho et al. 2020 (arXiv:2006.11239), eq. 6 and 7; learned_range: Nichol & Dhariwal 2021
    (arXiv:2102.09672), eq. 15. The last step adds no noise (algorithm 2).
    """

    noise = True

    def __init__(self, config: DDPMConfig) -> None:
        super().__init__(config)
        self.config = config

    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        (alpha, sigma), (alpha2, sigma2) = times.level(i), times.level(i + 1)
        keep = alpha / alpha2  # from the next level to this one
        added = sigma**2 - (keep * sigma2) ** 2  # variance of that step: beta
        mean = (alpha2 * added / sigma**2) * x0 + (keep * sigma2**2 / sigma**2) * state["x"]
        if i == times.count - 1:
            return {"x": mean}
        assert noise is not None
        small = added * sigma2**2 / sigma**2
        if self.config.variance == "learned_range":
            if variance is None:
                raise ValueError(
                    "ddpm with learned_range needs the denoiser's port `variance`, which is not linked"
                )
            low, high = math.log(max(small, 1e-20)), math.log(added)
            return {"x": mean + torch.exp((low + (variance + 1) / 2 * (high - low)) / 2) * noise}
        return {"x": mean + math.sqrt(small if self.config.variance == "fixed_small" else added) * noise}


class DDIM(Sampler):
    """Along the direction of the noise that x0 implies, part of it drawn anew (eta).

    The direction follows the limited x0 (diffusers: `use_clipped_model_output`), and a step goes to the next time of
    the run (diffusers: to t - T//n, which differs where n does not divide T).

    Source: Song et al. 2021 (arXiv:2010.02502), eq. 12 and 16.
    """

    def __init__(self, config: DDIMConfig) -> None:
        super().__init__(config)
        self.config = config
        self.noise = config.eta > 0

    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        return {"x": renoise(state["x"], x0, times, i, self.config.eta, noise)}


class Euler(Sampler):
    """Euler's method for dx/dsigma = (x - x0)/sigma; the same step as DDIM with eta 0, written for one level.

    Source: Karras et al. 2022 (arXiv:2206.00364), algorithm 1 without its correction; for a flow x + (s' - s)
    v.
    """

    def __init__(self, config: EulerConfig) -> None:
        super().__init__(config)

    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        return {"x": renoise(state["x"], x0, times, i, 0.0, None)}


class EulerAncestral(Sampler):
    """Euler down to sigma_down, then noise up to the next level: DDIM with eta 1, over any times.

    Source: k-diffusion's get_ancestral_step; Song et al. 2021 (arXiv:2011.13456), ancestral sampling of the
    VE law.
    """

    noise = True

    def __init__(self, config: EulerAncestralConfig) -> None:
        super().__init__(config)

    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        return {"x": renoise(state["x"], x0, times, i, 1.0, noise)}


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
        if _unit(times, 0) == 0.0:
            raise ValueError(
                "heun works in x/alpha and cannot start without signal; use ddim, euler or dpmpp_2m"
            )
        return {**state, "y": state["x"], "d": torch.zeros_like(state["x"])}

    def level(self, i: int) -> int:
        return (i + 1) // 2

    def query(self, state: State, times: Times, i: int) -> tuple[Tensor, Tensor]:
        return super().query({"x": state["y"]}, times, i)

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
        slope = (state["y"] - _unit(times, k) * x0) / times.level(k)[1]
        if i % 2 == 0:
            y = _move(state["x"], slope, times, k)
            return {"x": y if k + 1 == times.count else state["x"], "y": y, "d": slope}
        x = _move(state["x"], (state["d"] + slope) / 2, times, k - 1)
        return {"x": x, "y": x, "d": state["d"]}


class DPMpp2M(Sampler):
    """DPM-Solver++ of second order in lambda = log(alpha/sigma), remembering the x0 before.

    Source: Lu et al. 2022 (arXiv:2211.01095), algorithm 2; solver heun: its appendix A, as diffusers writes
    it.
    """

    def __init__(self, config: DPMpp2MConfig) -> None:
        super().__init__(config)
        self.config = config

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
        step = _log_snr(times, i + 1) - _log_snr(times, i)
        if step == 0.0:  # from time 0 to the level of time 0
            return {"x": state["x"], "old": x0}
        decay = math.expm1(-step)
        x = (sigma2 / sigma) * state["x"] - (alpha2 * decay) * x0
        if i > 0 and not self._first_order(times, i):
            ratio = (_log_snr(times, i) - _log_snr(times, i - 1)) / step
            weight = -alpha2 * decay / 2 if self.config.solver == "midpoint" else alpha2 * (decay / step + 1)
            x = x + (weight / ratio) * (x0 - state["old"])
        return {"x": x, "old": x0}

    def _first_order(self, times: Times, i: int) -> bool:
        if i < times.count - 1:
            return False
        return times.level(times.count)[1] == 0.0 or (self.config.lower_order_final and times.count < 15)


def renoise(x: Tensor, x0: Tensor, times: Times, i: int, eta: float, noise: Tensor | None) -> Tensor:
    """x of level i -> i + 1: x0 and the noise it implies, at the new level, a share of it drawn anew.

    Args:
        eta: 0 keeps the implied noise, 1 renews as much as the forward process would have added.
        noise: standard normal of x's shape; may be None for eta 0.
    """
    (alpha, sigma), (alpha2, sigma2) = times.level(i), times.level(i + 1)
    fresh = eta * sigma2 * math.sqrt(max(0.0, 1 - (alpha * sigma2 / (alpha2 * sigma)) ** 2))
    kept = math.sqrt(sigma2**2 - fresh**2)
    out = (alpha2 - kept * alpha / sigma) * x0 + (kept / sigma) * x
    if eta == 0.0:
        return out
    assert noise is not None
    return out + fresh * noise


def _unit(times: Times, k: int) -> float:
    """What x is measured in at level k: alpha for a variance-preserving law, 1 for a flow."""
    return 1.0 if times.prediction == "flow" else times.level(k)[0]


def _move(x: Tensor, slope: Tensor, times: Times, k: int) -> Tensor:
    """x of level k -> level k + 1 along a slope."""
    a, b = _unit(times, k), _unit(times, k + 1)
    return (b / a) * x + b * (times.level(k + 1)[1] / b - times.level(k)[1] / a) * slope


def _log_snr(times: Times, k: int) -> float:
    alpha, sigma = times.level(k)
    if alpha == 0.0:
        return -math.inf
    return math.inf if sigma == 0.0 else math.log(alpha) - math.log(sigma)
