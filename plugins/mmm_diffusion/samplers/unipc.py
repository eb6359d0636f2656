"""UniPC: a predictor, and a corrector that uses the next evaluation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmm_diffusion.config import UniPCConfig
from mmm_diffusion.samplers.levels import log_snr, noise_in
from mmm_graph.nn.sampler import Sampler, State, Times


class UniPC(Sampler):
    """An answer first corrects the step that led to it, then predicts the next.

    A step from or to an infinite lambda (no signal, or clean) is of first order, and is not corrected. State: start,
    the corrected x where the last step began; m1, m2, m3, what was extrapolated before, the latest first.

    Source: Zhao et al. 2023 (arXiv:2302.04867), algorithms 5 to 8 (UniP and UniC of order p, for x0 and for epsilon).
    """

    def __init__(self, config: UniPCConfig) -> None:
        super().__init__(config)
        self.config = config

    def init(self, x: Tensor, times: Times) -> State:
        state = super().init(x, times)
        if self.config.predicts == "epsilon" and times.level(0)[0] == 0.0:
            raise ValueError("unipc with `predicts: epsilon` cannot start without signal; use x0")
        zeros = torch.zeros_like(state["x"])
        return {**state, "start": state["x"], "m1": zeros, "m2": zeros, "m3": zeros}

    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        said = x0 if self.config.predicts == "x0" else noise_in(state["x"], x0, times, i)
        x, before = state["x"], (state["m1"], state["m2"], state["m3"])
        if i > 0 and i - 1 not in self.config.disable_corrector:
            x = self._step(state["start"], x, before, said, times, i - 1)
        past = (said, *before[:2])
        ahead = self._step(x, x, past, None, times, i)
        return {"x": ahead, "start": x, "m1": past[0], "m2": past[1], "m3": past[2]}

    def _step(
        self,
        x: Tensor,
        otherwise: Tensor,
        past: tuple[Tensor, ...],
        said: Tensor | None,
        times: Times,
        k: int,
    ) -> Tensor:
        """x of level k -> level k + 1.

        Args:
            otherwise: what a correction leaves as it is, where it can do nothing.
            past: what was extrapolated at level k, k - 1, k - 2.
            said: the same at level k + 1, for a correction.
        """
        step = log_snr(times, k + 1) - log_snr(times, k)
        if said is not None and not math.isfinite(step):
            return otherwise
        if step == 0.0:
            return x
        base, scale = self._linear(x, past[0], times, k)
        order = self._order(times, k)
        if not math.isfinite(step) or (order == 1 and said is None):
            return base
        ratios = [(log_snr(times, k - j) - log_snr(times, k)) / step for j in range(1, order)]
        signed = -step if self.config.predicts == "x0" else step
        grown = signed if self.config.solver == "bh1" else math.expm1(signed)
        weights = _weights(ratios, signed, grown, corrects=said is not None)
        rest = torch.zeros_like(x)
        for weight, ratio, m in zip(weights, ratios, past[1:], strict=False):
            rest = rest + (weight / ratio) * (m - past[0])
        if said is not None:
            rest = rest + weights[-1] * (said - past[0])
        return base - (scale * grown) * rest

    def _linear(self, x: Tensor, said: Tensor, times: Times, k: int) -> tuple[Tensor, float]:
        """The first-order step, which is DDIM's, and what the rest is multiplied by."""
        (alpha, sigma), (alpha2, sigma2) = times.level(k), times.level(k + 1)
        if self.config.predicts == "x0":
            return (sigma2 / sigma) * x + (alpha2 - alpha * sigma2 / sigma) * said, alpha2
        return (alpha2 / alpha) * x + (sigma2 - alpha2 * sigma / alpha) * said, sigma2

    def _order(self, times: Times, k: int) -> int:
        left = times.count - k if self.config.lower_order_final else self.config.order
        order = min(self.config.order, left, k + 1)
        while order > 1 and math.isinf(log_snr(times, k - order + 1)):
            order -= 1
        return order


def _weights(ratios: list[float], h: float, grown: float, *, corrects: bool) -> list[float]:
    """rho of eq. 9: one for each difference to the past, and for a correction one for that to the answer.

    The lowest order takes 1/2, which is as accurate and does not depend on h.
    """
    if len(ratios) == (0 if corrects else 1):
        return [0.5]
    nodes = torch.tensor([*ratios, 1.0] if corrects else ratios, dtype=torch.float64)
    rows, right, phi, factorial = [], [], math.expm1(h) / h - 1, 1
    for power in range(len(nodes)):
        rows.append(nodes**power)
        right.append(phi * factorial / grown)
        factorial *= power + 2
        phi = phi / h - 1 / factorial
    wanted = torch.tensor(right, dtype=torch.float64)
    return list(torch.linalg.solve(torch.stack(rows), wanted).tolist())
