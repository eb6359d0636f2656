"""Configs of the samplers: what the compiler must know of a step rule."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_diffusion.config.times import Between
from mmm_graph.registry import SamplerConfig


class DDPMConfig(SamplerConfig):
    """Ancestral sampling of DDPM.

    Attributes:
        variance: of the step: fixed_small = the posterior's, fixed_large = beta, learned_range = the denoiser
            says where between the two (its port `variance`).
        final_noise: the last step adds noise too, unless its time is 0; not in the paper, but diffusers does.
    """

    variance: Literal["fixed_small", "fixed_large", "learned_range"] = "fixed_small"
    final_noise: bool = False

    def check(self, prediction: str, *, signal: bool = True) -> None:
        if prediction == "flow" and self.variance != "fixed_small":
            raise ValueError(
                f"{self.variance} is about the betas of a variance-preserving law; a flow has none"
            )


class DDIMConfig(SamplerConfig):
    """DDIM.

    Attributes:
        eta: 0 = deterministic, 1 = as noisy as DDPM's posterior.
        direction: the noise that a step keeps is the one that x0 implies once it is limited, or the predicted
            one, as diffusers has it. The same without clip and threshold.
        lands: steps end where the times' `landings` say, and go on from the next time, as diffusers has it.
    """

    eta: float = Field(0.0, ge=0, le=1)
    direction: Literal["limited", "predicted"] = "limited"
    lands: bool = False

    def evaluations(self, steps: int) -> int:
        return (steps + 1) // 2 if self.lands else steps


class EulerConfig(SamplerConfig):
    """Euler's method.

    Attributes:
        unscaled: a run that does not end clean results in x/alpha, as diffusers has it, not in x.
    """

    unscaled: bool = False


class EulerAncestralConfig(SamplerConfig):
    """Euler's method with fresh noise each step; nothing to set."""


class HeunConfig(SamplerConfig):
    """Heun's method: two evaluations a step, one in the last."""

    def evaluations(self, steps: int) -> int:
        return 2 * steps - 1

    def check(self, prediction: str, *, signal: bool = True) -> None:
        _need_signal("heun works in x/alpha", signal)


class LMSConfig(SamplerConfig):
    """Linear multistep. Attributes: order: number of slopes that a step looks back on."""

    order: int = Field(4, ge=1, le=4)

    def check(self, prediction: str, *, signal: bool = True) -> None:
        _need_signal("lms works in x/alpha", signal)


class PNDMConfig(SamplerConfig):
    """Pseudo linear multistep; the first step is done twice, so there is one evaluation more than steps.

    Attributes:
        mixes: what is combined over the last evaluations: the noise, or whatever the denoiser predicts, as
            diffusers has it for v, although v of different times are different things.
    """

    mixes: Literal["epsilon", "prediction"] = "epsilon"

    def evaluations(self, steps: int) -> int:
        return steps + 1 if steps > 1 else 1

    def check(self, prediction: str, *, signal: bool = True) -> None:
        if prediction == "flow":
            raise ValueError(
                "pndm divides by the signal, and a flow starts without; use euler, heun or dpmpp_2m"
            )
        _need_signal("pndm divides by the signal", signal)


class DPMpp2MConfig(SamplerConfig):
    """Second-order multistep DPM-Solver++.

    Attributes:
        algorithm: ode = deterministic, sde = with fresh noise each step.
        solver: form of the second-order term.
        lower_order_final: first order in the last step of a run of fewer than 15 steps; always so if it ends
            clean.
        euler_final: first order in the last step of every run.
    """

    algorithm: Literal["ode", "sde"] = "ode"
    solver: Literal["midpoint", "heun"] = "midpoint"
    lower_order_final: bool = True
    euler_final: bool = False


class DPMppSDEConfig(SamplerConfig):
    """DPM-Solver++ of second order with noise; nothing to set. Times need `between: midpoints`."""


class UniPCConfig(SamplerConfig):
    """Predictor and corrector of a unified order.

    Attributes:
        order: of the predictor; the corrector has one more without another evaluation.
        solver: B(h): bh1 = h, bh2 = e^h - 1.
        predicts: what is extrapolated: x0 (as DPM-Solver++), or epsilon.
        lower_order_final: the order falls to 1 towards the last step.
        disable_corrector: steps, counted from 0, that are left as predicted.
    """

    order: int = Field(2, ge=1, le=3)
    solver: Literal["bh1", "bh2"] = "bh2"
    predicts: Literal["x0", "epsilon"] = "x0"
    lower_order_final: bool = True
    disable_corrector: tuple[int, ...] = ()

    def check(self, prediction: str, *, signal: bool = True) -> None:
        if self.predicts == "epsilon":
            if prediction == "flow":
                raise ValueError("unipc with `predicts: epsilon` cannot start without signal; use x0")
            _need_signal("unipc with `predicts: epsilon` divides by the signal", signal)


class LCMConfig(SamplerConfig):
    """Sampling of consistency models: to clean data, then back to the next level with fresh noise.

    Attributes:
        boundary: mix in the noisy latent, more of it the earlier the time, as consistency models are trained.
        timestep_scaling: by which the time is multiplied there.
        sigma_data: standard deviation of the data there.
    """

    boundary: bool = True
    timestep_scaling: float = Field(10.0, gt=0)
    sigma_data: float = Field(0.5, gt=0)


def wanted_between(config: SamplerConfig) -> Between:
    """What a sampler expects between the levels of its steps."""
    if isinstance(config, DPMppSDEConfig):
        return "midpoints"
    return "landings" if isinstance(config, DDIMConfig) and config.lands else "none"


def _need_signal(why: str, signal: bool) -> None:
    if not signal:
        raise ValueError(f"{why} and cannot start without signal; use ddim, euler or dpmpp_2m")
