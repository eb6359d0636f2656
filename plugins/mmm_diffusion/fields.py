"""Fields of diffusers' schedulers and what a missing one is, as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmm_diffusion import config as c
from mmm_graph.config import Config

Fields = Mapping[str, Any]

LAW: Fields = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "steps_offset": 0,
}
SD_LAW: Fields = {**LAW, "beta_start": 0.00085, "beta_end": 0.012}
CLIP: Fields = {"clip_sample": True, "clip_sample_range": 1.0}
THRESHOLD: Fields = {"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0}
SIGMAS: Fields = dict.fromkeys(("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"), False)
LEADING: Fields = {"timestep_spacing": "leading"}
LINSPACE: Fields = {"timestep_spacing": "linspace"}
RESCALE: Fields = {"rescale_betas_zero_snr": False}
MULTISTEP: Fields = {
    **LAW,
    **THRESHOLD,
    **SIGMAS,
    **LINSPACE,
    **RESCALE,
    "solver_order": 2,
    "lower_order_final": True,
    "use_flow_sigmas": False,
    "flow_shift": 1.0,
    "final_sigmas_type": "zero",
    "use_dynamic_shifting": False,
    "time_shift_type": "exponential",
}

CLASSES: Mapping[str, Fields] = {
    "DDIMScheduler": {**LAW, **CLIP, **THRESHOLD, **LEADING, **RESCALE, "set_alpha_to_one": True},
    "DDPMScheduler": {**LAW, **CLIP, **THRESHOLD, **LEADING, **RESCALE, "variance_type": "fixed_small"},
    "PNDMScheduler": {**LAW, **LEADING, "skip_prk_steps": False, "set_alpha_to_one": False},
    "LMSDiscreteScheduler": {**LAW, **SIGMAS, **LINSPACE},
    "EulerDiscreteScheduler": {
        **LAW,
        **SIGMAS,
        **LINSPACE,
        **RESCALE,
        "interpolation_type": "linear",
        "sigma_min": None,
        "sigma_max": None,
        "timestep_type": "discrete",
        "final_sigmas_type": "zero",
    },
    "EulerAncestralDiscreteScheduler": {**LAW, **LINSPACE, **RESCALE},
    "HeunDiscreteScheduler": {**SD_LAW, **SIGMAS, **CLIP, **LINSPACE, "clip_sample": False},
    "DPMSolverMultistepScheduler": {
        **MULTISTEP,
        "algorithm_type": "dpmsolver++",
        "solver_type": "midpoint",
        "euler_at_final": False,
        "use_lu_lambdas": False,
        "lambda_min_clipped": -math.inf,
        "variance_type": None,
    },
    "DPMSolverSDEScheduler": {**SD_LAW, **SIGMAS, **LINSPACE, "noise_sampler_seed": None},
    "UniPCMultistepScheduler": {
        **MULTISTEP,
        "predict_x0": True,
        "solver_type": "bh2",
        "disable_corrector": [],
        "solver_p": None,
        "sigma_min": None,
        "sigma_max": None,
        "shift_terminal": None,
    },
    "LCMScheduler": {
        **SD_LAW,
        **CLIP,
        **THRESHOLD,
        **LEADING,
        **RESCALE,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "original_inference_steps": 50,
        "set_alpha_to_one": True,
        "timestep_scaling": 10.0,
    },
    "FlowMatchEulerDiscreteScheduler": {
        **SIGMAS,
        "num_train_timesteps": 1000,
        "shift": 1.0,
        "use_dynamic_shifting": False,
        "base_shift": 0.5,
        "max_shift": 1.15,
        "base_image_seq_len": 256,
        "max_image_seq_len": 4096,
        "invert_sigmas": False,
        "shift_terminal": None,
        "time_shift_type": "exponential",
        "stochastic_sampling": False,
    },
    "FlowMatchHeunDiscreteScheduler": {"num_train_timesteps": 1000, "shift": 1.0},
}
"""A class -> its fields and what a missing one is."""

FIXED: Fields = {
    "trained_betas": None,
    "use_beta_sigmas": False,
    "use_lu_lambdas": False,
    "lambda_min_clipped": -math.inf,
    "interpolation_type": "linear",
    "timestep_type": "discrete",
    "invert_sigmas": False,
    "solver_p": None,
}
"""The only value that we compute with, in every class that has the field."""

LEGACY = ("tensor_format", "timestep_values", "predict_epsilon")
"""Fields of old files that no class of today reads."""

ALL = ("epsilon", "v_prediction", "sample")

BY_SIGMA: Mapping[str, tuple[str, type[Config], tuple[str, ...]]] = {
    "LMSDiscreteScheduler": ("sampler.lms", c.LMSConfig, ALL),
    "EulerDiscreteScheduler": ("sampler.euler", c.EulerConfig, ALL),
    "EulerAncestralDiscreteScheduler": ("sampler.euler_ancestral", c.EulerAncestralConfig, ALL[:2]),
    "HeunDiscreteScheduler": ("sampler.heun", c.HeunConfig, ALL),
    "DPMSolverSDEScheduler": ("sampler.dpmpp_sde", c.DPMppSDEConfig, ALL[:2]),
}
"""The classes that keep x/alpha -> our sampler, its config, and the predictions that they take."""
