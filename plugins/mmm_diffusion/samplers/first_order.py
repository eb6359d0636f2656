"""Step rules of first order: x0 and a share of the noise, at the next level."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmm_diffusion.config import DDIMConfig, DDPMConfig, EulerAncestralConfig, EulerConfig
from mmm_diffusion.samplers.levels import noise_in, renoise, shares
from mmm_graph.nn.sampler import Sampler, State, Times, limit_x0


class DDPM(Sampler):
    """A draw from the posterior q(x_next | x, x0), or with another variance around its mean.

    Source: Ho et al. 2020 (arXiv:2006.11239), eq. 6 and 7; learned_range: Nichol & Dhariwal 2021
    (arXiv:2102.09672), eq. 15. The last step adds no noise (algorithm 2), unless it is asked to.
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
        if i == times.count - 1 and not (self.config.final_noise and float(times.t[i]) > 0):
            return {"x": mean}
        assert noise is not None
        small = max(added * sigma2**2 / sigma**2, 1e-20)
        if self.config.variance == "learned_range":
            if variance is None:
                raise ValueError(
                    "ddpm with learned_range needs the denoiser's port `variance`, which is not linked"
                )
            low, high = math.log(small), math.log(added)
            return {"x": mean + torch.exp((low + (variance + 1) / 2 * (high - low)) / 2) * noise}
        return {"x": mean + math.sqrt(small if self.config.variance == "fixed_small" else added) * noise}


class DDIM(Sampler):
    """Along the direction of the noise that x0 implies, part of it drawn anew (eta).

    The direction follows the limited x0 (diffusers: only with `use_clipped_model_output`), and a step goes to the next
    time of the run (diffusers: to t - T//n, which differs where n does not divide T); the config can have it their way.

    Attributes:
        limits: `update` takes x0 as it was said, and limits it itself: it needs the noise that was said as well.

    Source: Song et al. 2021 (arXiv:2010.02502), eq. 12 and 16.
    """

    def __init__(self, config: DDIMConfig) -> None:
        super().__init__(config)
        self.config = config
        self.noise = config.eta > 0
        self.limits = config.direction == "predicted"

    def level(self, i: int) -> int:
        return 2 * i if self.config.lands else i

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
        x, eta = state["x"], self.config.eta
        if not self.limits:
            return {"x": renoise(x, x0, times, k, k + 1, eta, noise)}
        kept, fresh = shares(times, k, k + 1, eta)
        out = times.level(k + 1)[0] * limit_x0(x0, times) + kept * noise_in(x, x0, times, k)
        return {"x": out if noise is None else out + fresh * noise}


class Euler(Sampler):
    """Euler's method for dx/dsigma = (x - x0)/sigma; the same step as DDIM with eta 0, written for one level.

    Source: Karras et al. 2022 (arXiv:2206.00364), algorithm 1 without its correction; for a flow x + (s' - s)
    v.
    """

    def __init__(self, config: EulerConfig) -> None:
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
        x = renoise(state["x"], x0, times, i, i + 1)
        ends = self.config.unscaled and i == times.count - 1
        return {"x": x / times.level(i + 1)[0] if ends else x}


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
        return {"x": renoise(state["x"], x0, times, i, i + 1, 1.0, noise)}
