"""Configs of the diffusion plugin, without torch: noise laws, the choice of times, samplers, guidance."""

from __future__ import annotations

from mmm_diffusion.config.laws import (
    BetaConfig,
    CosineConfig,
    FlowConfig,
    ScaledLinearConfig,
    SchedulerConfig,
    VarianceConfig,
)
from mmm_diffusion.config.loop import (
    CFGConfig,
    ConcatConfig,
    DenoiseConfig,
    InitConfig,
    NoGuidanceConfig,
    StartConfig,
)
from mmm_diffusion.config.samplers import (
    DDIMConfig,
    DDPMConfig,
    DPMpp2MConfig,
    DPMppSDEConfig,
    EulerAncestralConfig,
    EulerConfig,
    HeunConfig,
    LCMConfig,
    LMSConfig,
    PNDMConfig,
    UniPCConfig,
)
from mmm_diffusion.config.times import Between, Spacing, TimesConfig

__all__ = [
    "BetaConfig",
    "Between",
    "CFGConfig",
    "ConcatConfig",
    "CosineConfig",
    "DDIMConfig",
    "DDPMConfig",
    "DPMpp2MConfig",
    "DPMppSDEConfig",
    "DenoiseConfig",
    "EulerAncestralConfig",
    "EulerConfig",
    "FlowConfig",
    "HeunConfig",
    "InitConfig",
    "LCMConfig",
    "LMSConfig",
    "NoGuidanceConfig",
    "PNDMConfig",
    "ScaledLinearConfig",
    "SchedulerConfig",
    "Spacing",
    "StartConfig",
    "TimesConfig",
    "UniPCConfig",
    "VarianceConfig",
]
