"""Which levels a denoising run visits."""

from __future__ import annotations

import itertools
from typing import Literal

from pydantic import Field, model_validator

from mmm_graph.config import Config

Spacing = Literal["leading", "trailing", "linspace", "karras", "exponential", "lcm"]
Between = Literal["none", "midpoints", "landings"]


class TimesConfig(Config):
    """Which levels one denoising run visits. Exactly one of `steps`, `timesteps`, `sigmas`.

    Attributes:
        steps: number of steps, laid out by `spacing`.
        timesteps: the model times themselves, falling: DDIM's sub-sequence tau.
        sigmas: noise levels, falling, without the clean end; sigma/alpha for a variance-preserving law.
        spacing: leading: whole strides from time 0; trailing: whole strides back from the last time;
            linspace: both ends; karras, exponential: over sigma/alpha (a flow: over sigma); lcm: some of the
            `original_steps` times that a consistency model was distilled on.
        steps_offset: added to `leading` times.
        original_steps: of the spacing lcm.
        round: whole times: true = to the nearest, down = cut off. Default: to the nearest, except for karras,
            exponential, `sigmas` and flows, which keep fractions.
        drop_last: lay out steps + 1 points and leave out the cleanest (leading, linspace), as DPM-Solver
            does.
        final: where the last step ends: zero = clean data, first = the level of time 0, last = the cleanest
            level that was asked about, so that the last step stays where it is.
        between: levels that stand between those of the steps: midpoints in log(alpha/sigma) for dpmpp_sde;
            landings for ddim with `lands`: where a stride of num_train_steps // steps ends, which is not the
            next time unless steps divides num_train_steps.
        strength: part of the way to noise that is done; image-to-image starts at the first level that is
            left.
        rho: curvature of karras.
        ends: karras and exponential run between the ends of the law (a flow: of linspace), or of the times
            of another spacing.
        sigma_min, sigma_max: ends of karras and exponential, instead. A flow's other spacings: ends before
            shifting (trailing: only sigma_max).
        cap: largest level of a flow; below 1 where a sampler needs signal in the first level.
        image_tokens: n of a dynamic shift; or height, width and token_px, pixels of a side of a token: n is
            then (height // token_px) (width // token_px).
    """

    steps: int | None = Field(None, ge=1)
    timesteps: tuple[float, ...] | None = None
    sigmas: tuple[float, ...] | None = None
    spacing: Spacing = "trailing"
    steps_offset: int = Field(0, ge=0)
    original_steps: int = Field(50, ge=1)
    round: bool | Literal["down"] | None = None
    drop_last: bool = False
    final: Literal["zero", "first", "last"] = "zero"
    between: Between = "none"
    strength: float = Field(1.0, gt=0, le=1)
    rho: float = Field(7.0, gt=0)
    ends: Literal["law", "leading", "trailing", "linspace"] = "law"
    sigma_min: float | None = Field(None, gt=0)
    sigma_max: float | None = Field(None, gt=0)
    cap: float = Field(1.0, gt=0, le=1)
    image_tokens: int | None = Field(None, ge=1)
    height: int | None = Field(None, ge=1)
    width: int | None = Field(None, ge=1)
    token_px: int | None = Field(None, ge=1)

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

    @model_validator(mode="after")
    def _tokens(self) -> TimesConfig:
        sides = (self.height, self.width, self.token_px)
        if any(s is not None for s in sides) and (None in sides or self.image_tokens is not None):
            raise ValueError("a dynamic shift takes image_tokens, or all of height, width and token_px")
        return self

    @property
    def tokens(self) -> int | None:
        """Number of image tokens, where it is said."""
        if self.height is None or self.width is None or self.token_px is None:
            return self.image_tokens
        return (self.height // self.token_px) * (self.width // self.token_px)

    @property
    def by_sigma(self) -> bool:
        """Whether levels are laid out, and times follow from them."""
        return self.sigmas is not None or (
            self.steps is not None and self.spacing in ("karras", "exponential")
        )
