"""Configs of the noise laws."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config


class SchedulerConfig(Config):
    """What every noise law says about the predictions made under it.

    Attributes:
        clip: bound on |x0| after each prediction, for data of known range; None for latents.
        threshold: quantile of dynamic thresholding, such as 0.995; None = off.
        threshold_max: largest bound that dynamic thresholding may choose.
    """

    clip: float | None = Field(None, gt=0)
    threshold: float | None = Field(None, gt=0, le=1)
    threshold_max: float = Field(1.0, ge=1)


class VarianceConfig(SchedulerConfig):
    """A variance-preserving law: alpha^2 + sigma^2 = 1 over `num_train_steps` discrete times.

    Attributes:
        num_train_steps: number of times that training draws from.
        prediction: what the denoiser is trained to predict.
        zero_terminal_snr: rescale so that the last time has no signal left (arXiv:2305.08891, algorithm 1).
        terminal: alpha^2 that the last time keeps under zero_terminal_snr; diffusers' schedulers that work in
            sigma/alpha take 2^-24, to stay finite.
    """

    num_train_steps: int = Field(1000, ge=1)
    prediction: Literal["epsilon", "v", "sample"] = "epsilon"
    zero_terminal_snr: bool = False
    terminal: float = Field(0.0, ge=0, lt=1)

    @property
    def dark(self) -> bool:
        """Whether the last time has no signal at all."""
        return self.zero_terminal_snr and self.terminal == 0

    @model_validator(mode="after")
    def _signal_for_epsilon(self) -> VarianceConfig:
        if self.dark and self.prediction == "epsilon":
            raise ValueError(
                "zero_terminal_snr leaves epsilon nothing to learn at the last time; use v or sample"
            )
        return self


class BetaConfig(VarianceConfig):
    """Betas between two ends; the defaults are DDPM's."""

    beta_start: float = Field(1e-4, gt=0, lt=1)
    beta_end: float = Field(0.02, gt=0, lt=1)


class ScaledLinearConfig(BetaConfig):
    """Betas linear in their square root; the defaults are Stable Diffusion's."""

    beta_start: float = Field(0.00085, gt=0, lt=1)
    beta_end: float = Field(0.012, gt=0, lt=1)


class CosineConfig(VarianceConfig):
    """Cosine law.

    Attributes:
        offset: s of the paper; keeps the first betas from vanishing.
        max_beta: betas are capped, against a singularity at the end.
    """

    offset: float = Field(0.008, ge=0)
    max_beta: float = Field(0.999, gt=0, lt=1)


class FlowConfig(SchedulerConfig):
    """A straight path from data to noise: alpha = 1 - sigma.

    Attributes:
        prediction: the velocity eps - x0.
        shift: moves levels towards noise, sigma -> shift sigma / (1 + (shift - 1) sigma), in training and
            sampling.
        dynamic: the shift of a sampling run follows its number of image tokens n instead: exp(mu) for
            exponential, mu for linear, where mu is a line through (base_tokens, base_shift) and (max_tokens,
            max_shift).
        shift_terminal: after shifting, levels are stretched so that the cleanest is this; None = off.
        num_train_steps: resolution of `linspace`: its last level is 1/num_train_steps before shifting.
        time_scale: the time told to the denoiser is time_scale * sigma; denoisers of flows take sigma itself.
        density: how training draws sigma: uniform, logit_normal = sigmoid of a normal, or mode = more often the middle.
        logit_mean, logit_std: of that normal.
        mode_scale: of mode: above 0 the middle is drawn more often, below 0 the ends; 1.29 in SD3's ablation.
    """

    prediction: Literal["flow"] = "flow"
    shift: float = Field(1.0, gt=0)
    dynamic: Literal["none", "exponential", "linear"] = "none"
    base_tokens: int = Field(256, ge=1)
    max_tokens: int = Field(4096, ge=1)
    base_shift: float = 0.5
    max_shift: float = 1.15
    shift_terminal: float | None = Field(None, gt=0, lt=1)
    num_train_steps: int = Field(1000, ge=1)
    time_scale: float = Field(1.0, gt=0)
    density: Literal["uniform", "logit_normal", "mode"] = "uniform"
    logit_mean: float = 0.0
    logit_std: float = Field(1.0, gt=0)
    mode_scale: float = Field(1.29, ge=-1, le=2 / (math.pi - 2))

    @model_validator(mode="after")
    def _line(self) -> FlowConfig:
        if self.base_tokens >= self.max_tokens:
            raise ValueError(f"base_tokens {self.base_tokens} must be below max_tokens {self.max_tokens}")
        return self
