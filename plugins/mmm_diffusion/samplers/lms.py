"""Linear multistep of Adams and Bashforth over uneven levels."""

from __future__ import annotations

import torch
from torch import Tensor

from mmm_diffusion.config import LMSConfig
from mmm_diffusion.samplers.levels import position, unit
from mmm_graph.nn.sampler import Sampler, State, Times


class LMS(Sampler):
    """The polynomial through the last slopes, integrated over the step.

    A variance-preserving law is integrated in x/alpha over sigma/alpha, a flow in x over sigma. The integrals are
    exact; diffusers and k-diffusion take them by adaptive quadrature, which is exact for a cubic too, up to rounding.
    State: d1, d2, d3, the slopes before, the latest first.

    Source: k-diffusion's sample_lms; Hairer et al. 1993, Solving Ordinary Differential Equations I, III.1.
    """

    def __init__(self, config: LMSConfig) -> None:
        super().__init__(config)
        self.config = config

    def init(self, x: Tensor, times: Times) -> State:
        state = super().init(x, times)
        if unit(times, 0) == 0.0:
            raise ValueError(
                "lms works in x/alpha and cannot start without signal; use ddim, euler or dpmpp_2m"
            )
        return {**state, **dict.fromkeys(("d1", "d2", "d3"), torch.zeros_like(state["x"]))}

    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        a, b = unit(times, i), unit(times, i + 1)
        slope = (state["x"] - a * x0) / times.level(i)[1]
        slopes = (slope, state["d1"], state["d2"], state["d3"])[: min(i + 1, self.config.order)]
        nodes = [position(times, i - j) for j in range(len(slopes))]
        weights = lagrange_integrals(nodes, position(times, i + 1))
        x = (b / a) * state["x"]
        for weight, d in zip(weights, slopes, strict=True):
            x = x + (b * weight) * d
        return {"x": x, "d1": slope, "d2": state["d1"], "d3": state["d2"]}


def lagrange_integrals(nodes: list[float], end: float) -> list[float]:
    """Integral of each Lagrange polynomial of the nodes, from the first node to `end`."""
    start = nodes[0]
    roots, span = [n - start for n in nodes], end - start
    found = []
    for j, root in enumerate(roots):
        coefficients, scale = [1.0], 1.0  # of the powers of u, rising
        for m, other in enumerate(roots):
            if m != j:
                shifted, scaled = [0.0, *coefficients], [*(-other * c for c in coefficients), 0.0]
                coefficients = [s + c for s, c in zip(shifted, scaled, strict=True)]
                scale *= root - other
        total = sum(c * span ** (p + 1) / (p + 1) for p, c in enumerate(coefficients))
        found.append(total / scale)
    return found
