"""The sampler protocol: noise levels (Times), a prediction turned into x0 in one place, the state machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

Prediction = Literal["epsilon", "v", "sample", "flow"]
State = dict[str, Tensor]


class Counted(Protocol):
    """What every sampler config offers: see registry.SamplerConfig."""

    def evaluations(self, steps: int) -> int: ...


@dataclass(frozen=True, eq=False)
class Times:
    """The levels of one denoising run, noisiest first; the last of n + 1 levels is the clean end.

    At every level a noisy latent is x = alpha * x0 + sigma * eps (a flow: alpha = 1 - sigma).

    Attributes:
        t: [n] what the denoiser is told, float64.
        alpha, sigma: [n + 1] signal and noise, float64.
        prediction: what the denoiser predicts.
        clip: bound on |x0| after every prediction; None leaves x0 as it is.
        threshold: quantile of |x0| for dynamic thresholding, which replaces the plain bound and is not
            pointwise.
        threshold_max: largest value that the quantile may take.
        skipped: noisier steps that this run leaves out, as image-to-image does.
    """

    t: Tensor
    alpha: Tensor
    sigma: Tensor
    prediction: Prediction
    clip: float | None = None
    threshold: float | None = None
    threshold_max: float = 1.0
    skipped: int = 0

    @property
    def count(self) -> int:
        """Number of steps."""
        return len(self.t)

    def level(self, k: int) -> tuple[float, float]:
        """(alpha, sigma) of level k."""
        return float(self.alpha[k]), float(self.sigma[k])


def to_x0(pred: Tensor, x: Tensor, alpha: float | Tensor, sigma: float | Tensor, prediction: str) -> Tensor:
    """The clean latent that a prediction stands for, given the noisy latent it was made from.

    epsilon: (x - sigma eps) / alpha; v = alpha eps - sigma x0: alpha x - sigma v; flow = eps - x0: x - sigma
        flow.

    Args:
        pred, x: [b, ...] of one shape.
        alpha, sigma: the level of x, or those of its elements [b, 1, ...].

    Raises:
        ValueError: unknown prediction, or epsilon where no signal is left (alpha is the number 0).
    Source: Salimans & Ho 2022 (arXiv:2202.00512), appendix D; Lipman et al. 2023 (arXiv:2210.02747).
    """
    if prediction == "epsilon":
        if not isinstance(alpha, Tensor) and alpha == 0.0:
            raise ValueError(
                "epsilon says nothing about x0 at a level without signal; train v, sample or flow"
            )
        return (x - sigma * pred) / alpha
    if prediction == "v":
        return alpha * x - sigma * pred
    if prediction == "sample":
        return pred
    if prediction == "flow":
        return x - sigma * pred
    raise ValueError(f"unknown prediction {prediction!r}; expected epsilon, v, sample or flow")


def limit_x0(x0: Tensor, times: Times) -> Tensor:
    """x0 kept in its range: dynamic thresholding, a plain bound, or nothing, as `times` says.

    Source: Saharia et al. 2022 (arXiv:2205.11487), section 2.3.
    """
    if times.threshold is not None:
        flat = x0.abs().flatten(1)
        bound = torch.quantile(flat, times.threshold, dim=1).clamp(1.0, times.threshold_max)
        bound = bound.view(-1, *[1] * (x0.ndim - 1))
        return x0.clamp(-bound, bound) / bound
    if times.clip is not None:
        return x0.clamp(-times.clip, times.clip)
    return x0


class Sampler(ABC):
    """A step rule as a state machine with one denoiser evaluation per update.

    `init`, then for i in range(evaluations): `query` says what to ask the denoiser, its answer becomes x0,
    `update` moves on. State is a dict of latent-shaped tensors, at least float32, always with "x": the latent
    at the level reached, x = alpha x0 + sigma eps. So anything that knows `times` may read or blend it,
    whatever the rule inside. Coefficients are Python floats computed in float64.

    Attributes:
        noise: `update` wants fresh standard normal noise of x's shape.
        pointwise: update looks at one position at a time, so a patch may be updated without the others.
    """

    noise: bool = False
    pointwise: bool = True

    def __init__(self, config: Counted) -> None:
        self._counted = config

    def evaluations(self, times: Times) -> int:
        """Number of denoiser evaluations."""
        return self._counted.evaluations(times.count)

    def init(self, x: Tensor, times: Times) -> State:
        """State from a latent at level 0: pure noise, or a noised image."""
        return {"x": x.to(torch.promote_types(x.dtype, torch.float32))}

    def level(self, i: int) -> int:
        """Index of the level that evaluation i asks about."""
        return i

    def query(self, state: State, times: Times, i: int) -> tuple[Tensor, Tensor]:
        """x [b, ...] and t [b] of evaluation i, for the denoiser."""
        return state["x"], model_time(state["x"], times, self.level(i))

    def put(self, state: State, x: Tensor, times: Times, i: int) -> State:
        """State in which evaluation i asks about x, a latent of the same level; after the last, x is the result."""
        return {**state, "x": x}

    @abstractmethod
    def update(
        self,
        state: State,
        x0: Tensor,
        times: Times,
        i: int,
        noise: Tensor | None = None,
        variance: Tensor | None = None,
    ) -> State:
        """State after evaluation i.

        Args:
            x0: what the denoiser's answer stands for, limited to its range.
            noise: standard normal, where `noise` is true.
            variance: the network's own variance output in [-1, 1], where it has one.
        """

    def latents(self, state: State) -> Tensor:
        """The latent at the level reached."""
        return state["x"]

    def result(self, state: State) -> Tensor:
        """The latent after the last update."""
        return state["x"]


def model_time(x: Tensor, times: Times, k: int) -> Tensor:
    """t of level k for every element of x, [b]; never below float32, where whole times would be rounded."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    return torch.full((len(x),), float(times.t[k]), dtype=dtype, device=x.device)
