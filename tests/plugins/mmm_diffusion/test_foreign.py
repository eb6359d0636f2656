"""Every scheduler config through the translator: the same times asked, the same latents, as diffusers' own."""

from __future__ import annotations

import pytest
import torch

pytestmark = pytest.mark.parity

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
V, SAMPLE = {"prediction_type": "v_prediction"}, {"prediction_type": "sample"}
LEADING = {"timestep_spacing": "leading", "steps_offset": 1}
TRAILING, LINSPACE = {"timestep_spacing": "trailing"}, {"timestep_spacing": "linspace"}
KARRAS, EXPONENTIAL = {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
DARK = {"rescale_betas_zero_snr": True}
THRESHOLD = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}
CLIP = {"clip_sample": True, "clip_sample_range": 0.8}
MIN = {"final_sigmas_type": "sigma_min"}
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
DYNAMIC = {"use_dynamic_shifting": True, "base_shift": 0.4, "max_shift": 1.3, "max_image_seq_len": 6000}

DDIM = [{}, {**SD, "clip_sample": False, "set_alpha_to_one": False, **LEADING}, {**V, **DARK, **TRAILING},
        {**SAMPLE, **LINSPACE}, {**COSINE, **CLIP}, {**SD, **THRESHOLD, **TRAILING}]  # fmt: skip
DDPM = [{}, {**SD, "clip_sample": False, **LEADING}, {**V, **DARK, **TRAILING, "variance_type": "fixed_large"},
        {**SAMPLE, **LINSPACE, "variance_type": "fixed_small_log"}, {**COSINE, **THRESHOLD},
        {**LEADING, "variance_type": "fixed_large"}]  # fmt: skip
PNDM = [{}, {**SD, **LEADING}, {**SD, **LEADING, **V}, {**COSINE, "set_alpha_to_one": True}]
SIGMA = [{}, {**SD, **LEADING}, {**V, **TRAILING}, {**SD, **KARRAS}, {**SD, **LEADING, **KARRAS, **V},
         {**EXPONENTIAL, **TRAILING}, {**COSINE, **EXPONENTIAL, **LEADING}]  # fmt: skip
EULER = [*SIGMA, SAMPLE, {**SD, **DARK, **V, **TRAILING}, {**SD, **DARK, **KARRAS}, {**SD, **MIN},
         {**SD, **KARRAS, **MIN, "sigma_min": 0.1, "sigma_max": 20.0},
         {"prediction_type": "original_sample"}]  # fmt: skip
MULTI = [{}, {**SD, **LEADING}, {**V, **TRAILING}, {**SAMPLE, **COSINE}, {**SD, **KARRAS}, {**SD, **EXPONENTIAL},
         {**COSINE, **KARRAS}, {**SD, **DARK, **V, **TRAILING}, {**SD, **THRESHOLD}, {**SD, **MIN}, FLOW,
         {**SD, **MIN, "lower_order_final": False}]  # fmt: skip
DPM = [*({**a, **b} for a in MULTI for b in ({}, {"algorithm_type": "sde-dpmsolver++"})),
       {**SD, "solver_type": "heun"}, {"solver_type": "heun", "algorithm_type": "sde-dpmsolver++"},
       {**MIN, "euler_at_final": True, "lower_order_final": False, **KARRAS}]  # fmt: skip
UNIPC = [*MULTI, {"solver_type": "bh1", **MIN}, {"solver_order": 3}, {"solver_order": 1}, {**SD, **KARRAS, **MIN},
         {"solver_order": 3, "solver_type": "bh1", **MIN, **LEADING}, {"disable_corrector": [0, 2]},
         {"predict_x0": False, **MIN}, {"predict_x0": False, **MIN, **V, "solver_order": 3, **THRESHOLD},
         {**SD, **KARRAS, "sigma_min": 0.1, "sigma_max": 20.0}, {**FLOW, "shift_terminal": 0.1, "solver_order": 3},
         {**FLOW, **MIN}, {**SD, **EXPONENTIAL, **MIN, "solver_order": 3}]  # fmt: skip
LCM = [{}, {"original_inference_steps": 40, "timestep_scaling": 0.01}, V, {**SAMPLE, **CLIP},
       {"beta_schedule": "linear", **THRESHOLD}]  # fmt: skip
FLOWS = [{}, {"shift": 3.0}, DYNAMIC, {**DYNAMIC, "time_shift_type": "linear"}, {**DYNAMIC, "shift_terminal": 0.1},
         {"shift": 2.0, **KARRAS}, {"shift": 2.0, **EXPONENTIAL}, {"stochastic_sampling": True},
         {"num_train_timesteps": 700, "shift": 1.5, "shift_terminal": 0.05}]  # fmt: skip
TABLE = {
    "DDIMScheduler": DDIM,
    "DDPMScheduler": DDPM,
    "PNDMScheduler": [{**c, "skip_prk_steps": True} for c in PNDM],
    "LMSDiscreteScheduler": [*SIGMA, SAMPLE],
    "EulerDiscreteScheduler": EULER,
    "EulerAncestralDiscreteScheduler": [{}, {**SD, **LEADING}, {**V, **TRAILING, **DARK}, COSINE],
    "HeunDiscreteScheduler": [*SIGMA, SAMPLE, CLIP],
    "DPMSolverMultistepScheduler": DPM,
    "DPMSolverSDEScheduler": SIGMA,
    "UniPCMultistepScheduler": UNIPC,
    "LCMScheduler": LCM,
    "FlowMatchEulerDiscreteScheduler": FLOWS,
    "FlowMatchHeunDiscreteScheduler": [{}, {"shift": 3.0}, {"shift": 2.0, "num_train_timesteps": 500}],
}
TOKENS = 1500
CASES = [
    pytest.param(name, i, steps, marks=[pytest.mark.slow] if steps == 20 else [])
    for name, configs in TABLE.items()
    for i, config in enumerate(configs)
    for steps in (1, 5, 7, 20)
    if steps > 1 or not config.get("shift_terminal")  # of one level, the peer divides 0 by 0
]


def mu_of(config):
    """What FluxPipeline tells its scheduler."""
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift

    names = ("base_image_seq_len", 256), ("max_image_seq_len", 4096), ("base_shift", 0.5), ("max_shift", 1.15)
    return calculate_shift(TOKENS, *(config.get(name, missing) for name, missing in names))


@pytest.mark.parametrize(("name", "number", "steps"), CASES)
def test_read_scheduler(peers, monkeypatch, name, number, steps):
    config = TABLE[name][number]
    dynamic = config.get("use_dynamic_shifting")
    rule, times, scale = peers.from_theirs(
        name, config, steps, **({"image_tokens": TOKENS} if dynamic else {})
    )
    peer = peers.peer(name, monkeypatch, **config)
    peer.set_timesteps(steps, **({"mu": mu_of(config)} if dynamic else {}))
    start, *noises = peers.draws(2 * steps + 1, torch.float64)
    initial = start * getattr(peer, "init_noise_sigma", 1.0)
    theirs, asked = peers.run_peer(peer, initial, noises, monkeypatch)
    ours, told = peers.run_ours(rule, times, start, noises, scale)
    assert told == pytest.approx(asked, rel=1e-12, abs=1e-9)
    peers.assert_close(ours, theirs)


@pytest.mark.parametrize("name", TABLE)
def test_peers_as_they_are(peers, monkeypatch, name):
    """Nothing of the peer patched: float32 tables, float32 samples."""
    config = TABLE[name][1]
    rule, times, scale = peers.from_theirs(name, config, 20)
    peer = peers.peer(name, monkeypatch, wide=False, **config)
    peer.set_timesteps(20)
    start, *noises = peers.draws(41, torch.float32)
    theirs, asked = peers.run_peer(peer, start * getattr(peer, "init_noise_sigma", 1.0), noises, monkeypatch)
    ours, told = peers.run_ours(rule, times, start, noises, scale)
    assert told == pytest.approx(asked, abs=1e-2)
    peers.assert_close(ours, theirs.float())
