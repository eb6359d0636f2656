"""Configs of the diffusion plugin, without torch: noise laws, the choice of steps, samplers, guidance."""

from __future__ import annotations

import itertools
from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config
from mmm_graph.registry import GuidanceConfig, SamplerConfig

Spacing = Literal["leading", "trailing", "linspace", "karras", "exponential"]


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
    """

    num_train_steps: int = Field(1000, ge=1)
    prediction: Literal["epsilon", "v", "sample"] = "epsilon"
    zero_terminal_snr: bool = False

    @model_validator(mode="after")
    def _signal_for_epsilon(self) -> VarianceConfig:
        if self.zero_terminal_snr and self.prediction == "epsilon":
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
        num_train_steps: resolution of `linspace`: its last level is 1/num_train_steps before shifting.
        time_scale: the time told to the denoiser is time_scale * sigma.
        density: how training draws sigma: uniform, or sigmoid of a normal.
        logit_mean, logit_std: of that normal.
    """

    prediction: Literal["flow"] = "flow"
    shift: float = Field(1.0, gt=0)
    num_train_steps: int = Field(1000, ge=1)
    time_scale: float = Field(1000.0, gt=0)
    density: Literal["uniform", "logit_normal"] = "uniform"
    logit_mean: float = 0.0
    logit_std: float = Field(1.0, gt=0)


class TimesConfig(Config):
    """Which levels one denoising run visits. Exactly one of `steps`, `timesteps`, `sigmas`.

    Attributes:
        steps: number of steps, laid out by `spacing`.
        timesteps: the model times themselves, falling: DDIM's sub-sequence tau.
        sigmas: noise levels, falling, without the clean end; sigma/alpha for a variance-preserving law.
        spacing: leading: whole strides from time 0; trailing: whole strides back from the last time;
            linspace: both ends; karras, exponential: over sigma/alpha (a flow: over sigma).
        steps_offset: added to `leading` times.
        round: whole times. Default: yes, except for karras, exponential and `sigmas`.
        drop_last: lay out steps + 1 points and leave out the cleanest (leading, linspace), as DPM-Solver
            does.
        final: where the last step ends: zero = clean data, first = the level of time 0.
        strength: part of the way to noise that is done; image-to-image starts at the first level that is
            left.
        rho: curvature of karras.
        sigma_min, sigma_max: ends of karras and exponential; default: those of the law.
    """

    steps: int | None = Field(None, ge=1)
    timesteps: tuple[float, ...] | None = None
    sigmas: tuple[float, ...] | None = None
    spacing: Spacing = "trailing"
    steps_offset: int = Field(0, ge=0)
    round: bool | None = None
    drop_last: bool = False
    final: Literal["zero", "first"] = "zero"
    strength: float = Field(1.0, gt=0, le=1)
    rho: float = Field(7.0, gt=0)
    sigma_min: float | None = Field(None, gt=0)
    sigma_max: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_way(self) -> TimesConfig:
        given = [k for k in ("steps", "timesteps", "sigmas") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of steps, timesteps, sigmas; found {' and '.join(given) or 'none'}"
            )
        for name in ("timesteps", "sigmas"):
            levels = getattr(self, name)
            if levels is not None and (not levels or any(a <= b for a, b in itertools.pairwise(levels))):
                raise ValueError(f"{name} must fall strictly, from noisy to clean")
        if self.sigmas is not None and self.sigmas[-1] <= 0:
            raise ValueError("sigmas must be above 0; the clean end is added by itself")
        if self.sigma_min is not None and self.sigma_max is not None and self.sigma_min >= self.sigma_max:
            raise ValueError("sigma_min must be below sigma_max")
        return self


class DDPMConfig(SamplerConfig):
    """Ancestral sampling of DDPM.

    Attributes:
        variance: of the step: fixed_small = the posterior's, fixed_large = beta, learned_range = the denoiser
            says where between the two (its port `variance`).
    """

    variance: Literal["fixed_small", "fixed_large", "learned_range"] = "fixed_small"

    def check(self, prediction: str, *, signal: bool = True) -> None:
        if prediction == "flow" and self.variance != "fixed_small":
            raise ValueError(
                f"{self.variance} is about the betas of a variance-preserving law; a flow has none"
            )


class DDIMConfig(SamplerConfig):
    """DDIM. Attributes: eta: 0 = deterministic, 1 = as noisy as DDPM's posterior."""

    eta: float = Field(0.0, ge=0, le=1)


class EulerConfig(SamplerConfig):
    """Euler's method; nothing to set."""


class EulerAncestralConfig(SamplerConfig):
    """Euler's method with fresh noise each step; nothing to set."""


class HeunConfig(SamplerConfig):
    """Heun's method: two evaluations a step, one in the last."""

    def evaluations(self, steps: int) -> int:
        return 2 * steps - 1

    def check(self, prediction: str, *, signal: bool = True) -> None:
        if not signal:
            raise ValueError(
                "heun works in x/alpha and cannot start without signal; use ddim, euler or dpmpp_2m"
            )


class DPMpp2MConfig(SamplerConfig):
    """Second-order multistep DPM-Solver++.

    Attributes:
        solver: form of the second-order term.
        lower_order_final: first order in the last step of a run of fewer than 15 steps; always so if it ends
            clean.
    """

    solver: Literal["midpoint", "heun"] = "midpoint"
    lower_order_final: bool = True


class CFGConfig(GuidanceConfig):
    """Classifier-free guidance.

    Attributes:
        scale: 1 = the condition alone (one evaluation a step), larger = further away from `uncond`.
        rescale: 0..1, part of the way back to the standard deviation of the conditional prediction.
    """

    scale: float = Field(7.5, ge=0)
    rescale: float = Field(0.0, ge=0, le=1)

    def branches(self) -> tuple[str, ...]:
        return ("cond",) if self.scale == 1 else ("cond", "uncond")

    def pointwise(self) -> bool:
        return self.rescale == 0


class NoGuidanceConfig(GuidanceConfig):
    """One evaluation a step, with the condition."""


class InitConfig(Config):
    """Attributes: scale: sigma = multiply the start by the first level's sigma, as Euler of a VE law does."""

    scale: Literal["none", "sigma"] = "none"


class DenoiseConfig(Config):
    """The denoising loop.

    Attributes:
        preview: offer x0 every so many evaluations; 0 = never.
        scale: see sampler.init.
    """

    preview: int = Field(0, ge=0)
    scale: Literal["none", "sigma"] = "none"
