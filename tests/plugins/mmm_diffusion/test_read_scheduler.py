from __future__ import annotations

import inspect
import json
import math
import subprocess
import sys

import pytest

from mmm_diffusion.config import FlowConfig, TimesConfig
from mmm_diffusion.fields import CLASSES, FIXED
from mmm_diffusion.foreign import read_scheduler
from mmm_graph.registry import load_registry


def read(name, **fields):
    return read_scheduler({"_class_name": name, "_diffusers_version": "0.30.0", **fields})


@pytest.mark.parametrize("name", CLASSES)
def test_fields_and_defaults_are_the_peers(peers, monkeypatch, name):
    cls = peers.peer_class(name, monkeypatch)
    theirs = {k: p.default for k, p in inspect.signature(cls.__init__).parameters.items() if k != "self"}
    assert CLASSES[name] == theirs


@pytest.mark.parametrize("name", CLASSES)
def test_a_config_without_fields_is_read(name):
    needed = {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
    found = json.loads(json.dumps(read(name, **needed)))
    assert list(found) == ["scheduler", "sampler", "times", "init"]
    assert all(list(found[role]) == ["kind", "config"] for role in ("scheduler", "sampler"))
    TimesConfig(steps=3, **found["times"])


def test_sdxls_file():
    """As stabilityai/stable-diffusion-xl-base-1.0 has it: fields of other classes are ignored."""
    file = {
        "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": False,
        "interpolation_type": "linear", "num_train_timesteps": 1000, "prediction_type": "epsilon",
        "sample_max_value": 1.0, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
        "timestep_spacing": "leading", "trained_betas": None, "use_karras_sigmas": False,
    }  # fmt: skip
    assert read("EulerDiscreteScheduler", **file) == {
        "scheduler": {"kind": "scheduler.scaled_linear", "config": {}},
        "sampler": {"kind": "sampler.euler", "config": {}},
        "times": {"spacing": "leading", "steps_offset": 1},
        "init": {},
    }


def test_flux_file():
    found = read("FlowMatchEulerDiscreteScheduler", shift=3.0, use_dynamic_shifting=True)
    assert found["scheduler"] == {
        "kind": "scheduler.flow",
        "config": {"dynamic": "exponential", "time_scale": 1000.0},
    }
    assert found["times"] == {"spacing": "linspace"} and found["init"] == {}
    assert FlowConfig(**found["scheduler"]["config"]).shift == 1


def test_importers_are_registered():
    importers = load_registry().importers
    assert all(importers[name].function == "mmm_diffusion.foreign:import_scheduler" for name in CLASSES)


def test_the_translator_is_free_of_torch():
    code = (
        "import sys, mmm_diffusion.foreign as f; f.read_scheduler({'_class_name': 'UniPCMultistepScheduler'});"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("DEISMultistepScheduler", {}, "_class_name 'DEISMultistepScheduler'.*supported: DDIMScheduler"),
        ("DDIMScheduler", {"betas_of_tomorrow": 3}, "betas_of_tomorrow 3 is not a field"),
        ("DDIMScheduler", {"beta_schedule": "exp"}, "beta_schedule 'exp'.*supported: linear"),
        ("DDIMScheduler", {"trained_betas": [0.1]}, "trained_betas"),
        ("DDIMScheduler", {"prediction_type": "flow"}, "prediction_type 'flow'.*epsilon or v_prediction"),
        ("DDIMScheduler", {"timestep_spacing": "wide"}, "timestep_spacing 'wide'"),
        ("DDIMScheduler", {"thresholding": True, "sample_max_value": 0.5}, "sample_max_value 0.5"),
        ("DDIMScheduler", {"rescale_betas_zero_snr": True}, "zero_terminal_snr leaves epsilon nothing"),
        ("DDPMScheduler", {"variance_type": "learned"}, "variance_type 'learned'"),
        ("DDPMScheduler", {"variance_type": "fixed_large_log"}, "variance_type 'fixed_large_log'"),
        ("PNDMScheduler", {}, "skip_prk_steps False.*supported: True"),
        ("PNDMScheduler", {"skip_prk_steps": True, "timestep_spacing": "trailing"}, "supported: leading"),
        ("PNDMScheduler", {"skip_prk_steps": True, "prediction_type": "sample"}, "prediction_type 'sample'"),
        ("EulerDiscreteScheduler", {"interpolation_type": "log_linear"}, "interpolation_type 'log_linear'"),
        ("EulerDiscreteScheduler", {"timestep_type": "continuous"}, "timestep_type 'continuous'"),
        ("EulerDiscreteScheduler", {"use_beta_sigmas": True}, "use_beta_sigmas True.*supported: False"),
        ("EulerDiscreteScheduler", {"final_sigmas_type": "one"}, "final_sigmas_type 'one'"),
        (
            "LMSDiscreteScheduler",
            {"use_karras_sigmas": True, "use_exponential_sigmas": True},
            "use_karras_sigmas",
        ),
        ("EulerAncestralDiscreteScheduler", {"prediction_type": "sample"}, "prediction_type 'sample'"),
        ("HeunDiscreteScheduler", {"prediction_type": "original_sample"}, "prediction_type"),
        ("DPMSolverMultistepScheduler", {"solver_order": 3}, "solver_order 3.*supported: 2"),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver"}, "algorithm_type 'dpmsolver'"),
        ("DPMSolverMultistepScheduler", {"solver_type": "bh2"}, "solver_type 'bh2'"),
        ("DPMSolverMultistepScheduler", {"variance_type": "learned_range"}, "variance_type"),
        ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True}, "use_lu_lambdas"),
        ("DPMSolverMultistepScheduler", {"lambda_min_clipped": -5.1}, "lambda_min_clipped -5.1"),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True}, "flow_prediction if and only if"),
        ("UniPCMultistepScheduler", {"prediction_type": "flow_prediction"}, "flow_prediction if and only if"),
        ("UniPCMultistepScheduler", {"solver_order": 4}, "solver_order 4.*supported: 1, 2, 3"),
        ("UniPCMultistepScheduler", {"solver_p": "ddim"}, "solver_p"),
        ("UniPCMultistepScheduler", {"use_dynamic_shifting": True}, "use_dynamic_shifting"),
        ("UniPCMultistepScheduler", {"shift_terminal": 0.1}, "shift_terminal 0.1"),
        ("FlowMatchEulerDiscreteScheduler", {"invert_sigmas": True}, "invert_sigmas True.*supported: False"),
        (
            "FlowMatchEulerDiscreteScheduler",
            {"use_dynamic_shifting": True, "time_shift_type": "cubic"},
            "time_shift_type 'cubic'",
        ),
    ],
)
def test_refusals(name, fields, words):
    with pytest.raises(ValueError, match=words):
        read(name, **fields)


def test_fixed_fields_are_the_defaults():
    for fields in CLASSES.values():
        assert all(fields[f] == v for f, v in FIXED.items() if f in fields)
    assert FIXED["lambda_min_clipped"] == -math.inf
