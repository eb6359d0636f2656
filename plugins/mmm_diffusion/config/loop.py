"""Configs of guidance and of the denoising loop."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmm_graph.config import Config
from mmm_graph.registry import GuidanceConfig


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


class StartConfig(Config):
    """Where a run from clean latents starts.

    Attributes:
        full: what a run that leaves nothing out (strength 1) starts from: mixed = latents and noise at its first level;
            noise = noise alone, as text-to-image does.
        scale: of noise alone: sigma = multiply it by the first level's sigma, as Euler of a VE law does.
    """

    full: Literal["mixed", "noise"] = "mixed"
    scale: Literal["none", "sigma"] = "none"


class ConcatConfig(Config):
    """Attributes: channels: of the result; anything else is refused when it runs. None: whatever it is."""

    channels: int | None = Field(None, ge=1)


class DenoiseConfig(Config):
    """The denoising loop.

    Attributes:
        preview: offer x0 every so many evaluations; 0 = never.
        scale: see sampler.init.
    """

    preview: int = Field(0, ge=0)
    scale: Literal["none", "sigma"] = "none"
