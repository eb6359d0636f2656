"""Sampling of latent consistency models."""

from __future__ import annotations

import math

from torch import Tensor

from mmm_diffusion.config import LCMConfig
from mmm_graph.nn.sampler import Sampler, State, Times


class LCM(Sampler):
    """Every answer leads to clean data; all noise of the next level is drawn anew.

    Source: Luo et al. 2023 (arXiv:2310.04378), algorithm 3 and its code; c_skip and c_out: Song et al. 2023
    (arXiv:2303.01469), appendix C.
    """

    noise = True

    def __init__(self, config: LCMConfig) -> None:
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
        clean = x0
        if self.config.boundary:
            skip, out = self._scalings(float(times.t[i]))
            clean = skip * state["x"] + out * x0
        if i == times.count - 1:
            return {"x": clean}
        assert noise is not None
        alpha2, sigma2 = times.level(i + 1)
        return {"x": alpha2 * clean + sigma2 * noise}

    def _scalings(self, t: float) -> tuple[float, float]:
        """c_skip and c_out: 1 and 0 at time 0, where a consistency model returns what it is given."""
        scaled, data = self.config.timestep_scaling * t, self.config.sigma_data
        return data**2 / (scaled**2 + data**2), scaled / math.hypot(scaled, data)
