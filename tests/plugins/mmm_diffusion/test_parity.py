"""Every sampler against diffusers' scheduler of the same name, on the same inputs and the same noise."""

from __future__ import annotations

import pytest
import torch

from mmm_diffusion import config as c
from mmm_diffusion import samplers, scheduler

pytestmark = pytest.mark.parity

DTYPES = [torch.float64, torch.float32]
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction", "sample": "sample"}
COUNTS = [1, 7, 50, pytest.param(1000, marks=pytest.mark.slow)]
PREDICTED = [(n, p) for n in (1, 7, 50) for p in PREDICTIONS]
PREDICTED += [pytest.param(1000, p, marks=pytest.mark.slow) for p in ("epsilon", "v")]
SPACINGS = ["leading", "trailing", "linspace"]
SD = {"beta_start": 0.00085, "beta_end": 0.012}
both = pytest.mark.parametrize("dtype", DTYPES, ids=["f64", "f32"])
counts = pytest.mark.parametrize("n", COUNTS)
spacings = pytest.mark.parametrize("spacing", SPACINGS)
cases = pytest.mark.parametrize(("n", "prediction"), PREDICTED)


def law(prediction="epsilon", **config):
    return scheduler.ScaledLinear(c.ScaledLinearConfig(prediction=prediction, **config))


def sd(prediction="epsilon", spacing="leading", **config):
    """What diffusers calls the same law."""
    kind = PREDICTIONS[prediction]
    return {
        **SD,
        "beta_schedule": "scaled_linear",
        "prediction_type": kind,
        "timestep_spacing": spacing,
        **config,
    }


def even_stride(peer, step):
    """DDIMScheduler goes to t - T//n, which is not its own next timestep unless n divides T and the spacing
    is leading (or trailing). We go to the next timestep, so in the test its stride is set to the real one
    each step.
    """
    following = dict(zip(peer.timesteps.tolist(), [*peer.timesteps.tolist()[1:], -1], strict=True))

    def fixed(pred, t, x, **kw):
        peer.register_to_config(num_train_timesteps=int(t) - following[int(t)])
        peer.num_inference_steps = 1
        return step(pred, t, x, **kw)

    return fixed


@both
@cases
@spacings
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_ddpm(peers, monkeypatch, dtype, n, spacing, prediction, variance):
    peer = peers.peer(
        "DDPMScheduler",
        monkeypatch,
        **sd(prediction, spacing),
        variance_type=variance,
        clip_sample=False,
    )
    peer.set_timesteps(n)
    start, *noises = peers.draws(n, dtype)
    noises[n - 1] = torch.zeros_like(
        start
    )  # the peer adds noise even in the last step when its time is above 0
    theirs, asked = peers.run_peer(peer, start, noises, monkeypatch)
    times = law(prediction).times(c.TimesConfig(steps=n, spacing=spacing))
    ours, told = peers.run_ours(samplers.DDPM(c.DDPMConfig(variance=variance)), times, start, noises)
    assert asked == told
    peers.assert_close(ours, theirs)


@both
def test_ddpm_learned_variance(peers, monkeypatch, dtype):
    def model(x, t):
        return torch.cat([peers.toy(x, t), torch.sin(3 * x)], dim=1)

    peer = peers.peer(
        "DDPMScheduler",
        monkeypatch,
        **sd(),
        variance_type="learned_range",
        clip_sample=False,
    )
    peer.set_timesteps(50)
    start, *noises = peers.draws(50, dtype)
    theirs, _ = peers.run_peer(peer, start, noises, monkeypatch, model=model)
    times = law().times(c.TimesConfig(steps=50, spacing="leading"))
    sampler = samplers.DDPM(c.DDPMConfig(variance="learned_range"))
    ours, _ = peers.run_ours(sampler, times, start, noises, model=model)
    peers.assert_close(ours, theirs)


@both
@cases
@spacings
@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
def test_ddim(peers, monkeypatch, dtype, n, spacing, prediction, eta):
    peer = peers.peer(
        "DDIMScheduler",
        monkeypatch,
        **sd(prediction, spacing),
        clip_sample=False,
        set_alpha_to_one=False,
    )
    peer.set_timesteps(n)
    monkeypatch.setattr(peer, "step", even_stride(peer, peer.step))
    start, *noises = peers.draws(n, dtype)
    theirs, asked = peers.run_peer(peer, start, noises, monkeypatch, eta=eta)
    times = law(prediction).times(c.TimesConfig(steps=n, spacing=spacing, final="first"))
    ours, told = peers.run_ours(samplers.DDIM(c.DDIMConfig(eta=eta)), times, start, noises)
    assert asked == told
    peers.assert_close(ours, theirs)


@both
@pytest.mark.parametrize("n", [1, 7, 50])
@pytest.mark.parametrize("to_one", [True, False])
def test_ddim_as_stable_diffusion_sets_it(peers, monkeypatch, dtype, n, to_one):
    """No patched stride here: leading spacing with steps_offset 1."""
    peer = peers.peer(
        "DDIMScheduler",
        monkeypatch,
        **sd(),
        clip_sample=False,
        set_alpha_to_one=to_one,
        steps_offset=1,
    )
    peer.set_timesteps(n)
    start, *noises = peers.draws(n, dtype)
    theirs, asked = peers.run_peer(peer, start, noises, monkeypatch)
    config = c.TimesConfig(steps=n, spacing="leading", steps_offset=1, final="zero" if to_one else "first")
    ours, told = peers.run_ours(samplers.DDIM(c.DDIMConfig()), law().times(config), start, noises)
    assert asked == told
    peers.assert_close(ours, theirs)


@both
@pytest.mark.parametrize("limits", [{"clip_sample": True, "clip_sample_range": 0.8}, {"thresholding": True}])
def test_limits(peers, monkeypatch, dtype, limits):
    """With `use_clipped_model_output` the peer's direction follows the limited x0, as ours always does."""
    peer = peers.peer(
        "DDIMScheduler",
        monkeypatch,
        **sd(),
        **{"clip_sample": False, **limits},
        dynamic_thresholding_ratio=0.9,
        sample_max_value=1.5,
    )
    peer.set_timesteps(20)
    start, *noises = peers.draws(20, dtype)
    theirs, _ = peers.run_peer(peer, start, noises, monkeypatch, use_clipped_model_output=True)
    ours_limits = {"threshold": 0.9, "threshold_max": 1.5} if "thresholding" in limits else {"clip": 0.8}
    times = law(**ours_limits).times(c.TimesConfig(steps=20, spacing="leading"))
    ours, _ = peers.run_ours(samplers.DDIM(c.DDIMConfig()), times, start, noises)
    peers.assert_close(ours, theirs)


@both
def test_zero_terminal_snr(peers, monkeypatch, dtype):
    peer = peers.peer(
        "DDIMScheduler",
        monkeypatch,
        **sd("v", "trailing"),
        clip_sample=False,
        rescale_betas_zero_snr=True,
    )
    peer.set_timesteps(50)
    start, *noises = peers.draws(50, dtype)
    theirs, _ = peers.run_peer(peer, start, noises, monkeypatch)
    times = law("v", zero_terminal_snr=True).times(c.TimesConfig(steps=50, spacing="trailing"))
    ours, _ = peers.run_ours(samplers.DDIM(c.DDIMConfig()), times, start, noises)
    peers.assert_close(ours, theirs)


VE = {
    "EulerDiscreteScheduler": lambda: samplers.Euler(c.EulerConfig()),
    "EulerAncestralDiscreteScheduler": lambda: samplers.EulerAncestral(c.EulerAncestralConfig()),
    "HeunDiscreteScheduler": lambda: samplers.Heun(c.HeunConfig()),
}


@both
@cases
@spacings
@pytest.mark.parametrize("name", VE)
def test_euler_and_heun(peers, monkeypatch, dtype, n, spacing, prediction, name):
    if name == "EulerAncestralDiscreteScheduler" and prediction == "sample":
        return  # the peer has no sample prediction
    peer = peers.peer(name, monkeypatch, **sd(prediction, spacing))
    peer.set_timesteps(n)
    start, *noises = peers.draws(n, dtype)
    theirs, asked = peers.run_peer(peer, start * peer.init_noise_sigma.to(dtype), noises, monkeypatch)
    times = law(prediction).times(c.TimesConfig(steps=n, spacing=spacing, round=spacing != "linspace"))
    scale = "none" if spacing == "leading" else "sigma"
    ours, told = peers.run_ours(VE[name](), times, start, [*noises, *noises], scale)
    assert told == pytest.approx(asked, abs=1e-3)
    peers.assert_close(ours, theirs)


@both
@pytest.mark.parametrize("n", [2, 7, 50])
@pytest.mark.parametrize("spacing", ["karras", "exponential"])
@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "HeunDiscreteScheduler"])
def test_sigma_spacings(peers, monkeypatch, dtype, n, spacing, name):
    flags = {f"use_{spacing}_sigmas": True}
    peer = peers.peer(name, monkeypatch, **sd(spacing="linspace"), **flags)
    peer.set_timesteps(n)
    start, *noises = peers.draws(n, dtype)
    theirs, asked = peers.run_peer(peer, start * peer.init_noise_sigma.to(dtype), noises, monkeypatch)
    times = law().times(c.TimesConfig(steps=n, spacing=spacing))
    ours, told = peers.run_ours(VE[name](), times, start, [*noises, *noises], "sigma")
    assert told == pytest.approx(asked, abs=1e-2)
    peers.assert_close(ours, theirs)


@both
def test_explicit_sigmas(peers, monkeypatch, dtype):
    sigmas = [12.0, 5.0, 2.0, 0.7, 0.1]
    peer = peers.peer("EulerDiscreteScheduler", monkeypatch, **sd())
    peer.set_timesteps(sigmas=[*sigmas, 0.0])
    start, *noises = peers.draws(5, dtype)
    theirs, asked = peers.run_peer(peer, start * peer.init_noise_sigma.to(dtype), noises, monkeypatch)
    times = law().times(c.TimesConfig(sigmas=sigmas))
    # the peer scales by the whole sqrt(sigma^2 + 1), which is 1/alpha: our latents then start as they are
    ours, told = peers.run_ours(samplers.Euler(c.EulerConfig()), times, start, noises)
    assert told == pytest.approx(asked, abs=1e-2)
    peers.assert_close(ours, theirs)


@both
@cases
@spacings
@pytest.mark.parametrize("solver", ["midpoint", "heun"])
@pytest.mark.parametrize("final", ["zero", "first"])
def test_dpmpp_2m(peers, monkeypatch, dtype, n, spacing, prediction, solver, final):
    if n == 1000 and spacing != "trailing":
        n = 999  # it lays out n + 1 points and leaves one out; of 1001 points some would repeat
    peer = peers.peer(
        "DPMSolverMultistepScheduler",
        monkeypatch,
        **sd(prediction, spacing),
        solver_type=solver,
        final_sigmas_type="zero" if final == "zero" else "sigma_min",
    )
    peer.set_timesteps(n)
    start, *noises = peers.draws(n, dtype)
    theirs, asked = peers.run_peer(peer, start, noises, monkeypatch)
    config = c.TimesConfig(steps=n, spacing=spacing, drop_last=spacing != "trailing", final=final)
    ours, told = peers.run_ours(
        samplers.DPMpp2M(c.DPMpp2MConfig(solver=solver)), law(prediction).times(config), start, noises
    )
    assert asked == told
    if (
        final == "first" and asked[-1] == 0.0
    ):  # from time 0 to the level of time 0: the peer divides by no step
        assert ours.isfinite().all()
        theirs = torch.where(theirs.isfinite(), theirs, ours)
    peers.assert_close(ours, theirs)


@both
@pytest.mark.parametrize("n", [2, 7, 50])
def test_dpmpp_2m_karras(peers, monkeypatch, dtype, n):
    peer = peers.peer("DPMSolverMultistepScheduler", monkeypatch, **sd(), use_karras_sigmas=True)
    peer.set_timesteps(n)
    start, *noises = peers.draws(n, dtype)
    theirs, asked = peers.run_peer(peer, start, noises, monkeypatch)
    times = law().times(c.TimesConfig(steps=n, spacing="karras", round=True))
    ours, told = peers.run_ours(samplers.DPMpp2M(c.DPMpp2MConfig()), times, start, noises)
    assert asked == told
    peers.assert_close(ours, theirs)


@both
@pytest.mark.parametrize("n", [2, 7, 50, 1000])
def test_dpmpp_2m_of_a_flow(peers, monkeypatch, dtype, n):
    peer = peers.peer(
        "DPMSolverMultistepScheduler",
        monkeypatch,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=3.0,
    )
    peer.set_timesteps(n)
    levels = peer.sigmas[:-1].double().tolist()
    start, *noises = peers.draws(n, dtype)
    peer.set_begin_index(
        0
    )  # its times are cut to whole numbers and repeat, so the denoiser here ignores them
    theirs, _ = peers.run_peer(peer, start, noises, monkeypatch, model=lambda x, t: peers.toy(x, 0.3))
    times = scheduler.Flow(c.FlowConfig(shift=3.0, time_scale=1000)).times(c.TimesConfig(sigmas=levels))
    sampler = samplers.DPMpp2M(c.DPMpp2MConfig())
    ours, _ = peers.run_ours(sampler, times, start, noises, model=lambda x, t: peers.toy(x, 0.3))
    peers.assert_close(ours, theirs)


FLOW = {
    "FlowMatchEulerDiscreteScheduler": lambda: samplers.Euler(c.EulerConfig()),
    "FlowMatchHeunDiscreteScheduler": lambda: samplers.Heun(c.HeunConfig()),
}


@both
@counts
@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("name", FLOW)
def test_flow(peers, monkeypatch, dtype, n, shift, name):
    peer = peers.peer(name, monkeypatch, shift=shift)
    peer.set_timesteps(n)
    start, *noises = peers.draws(n, dtype)
    theirs, asked = peers.run_peer(peer, start, noises, monkeypatch)
    times = scheduler.Flow(c.FlowConfig(shift=shift, time_scale=1000)).times(
        c.TimesConfig(steps=n, spacing="linspace")
    )
    ours, told = peers.run_ours(FLOW[name](), times, start, [*noises, *noises])
    assert told == pytest.approx(asked, abs=1e-3)
    peers.assert_close(ours, theirs)


@both
@pytest.mark.parametrize("n", COUNTS)
def test_flow_trailing(peers, monkeypatch, dtype, n):
    """As FLUX and SD3 call it: sigmas from 1 to 1/n."""
    peer = peers.peer("FlowMatchEulerDiscreteScheduler", monkeypatch, shift=3.0)
    peer.set_timesteps(sigmas=[1 - i / n for i in range(n)])
    start, *noises = peers.draws(n, dtype)
    theirs, asked = peers.run_peer(peer, start, noises, monkeypatch)
    times = scheduler.Flow(c.FlowConfig(shift=3.0, time_scale=1000)).times(c.TimesConfig(steps=n))
    ours, told = peers.run_ours(samplers.Euler(c.EulerConfig()), times, start, noises)
    assert told == pytest.approx(asked, abs=1e-3)
    peers.assert_close(ours, theirs)


@pytest.mark.parametrize("n", [7, 50])
@pytest.mark.parametrize("name", [*VE, "DDIMScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler"])
def test_peers_as_they_are(peers, monkeypatch, n, name):
    """Nothing of the peer patched: float32 tables, float32 samples."""
    rules = {
        **VE,
        "DDIMScheduler": lambda: samplers.DDIM(c.DDIMConfig()),
        "DDPMScheduler": lambda: samplers.DDPM(c.DDPMConfig()),
        "DPMSolverMultistepScheduler": lambda: samplers.DPMpp2M(c.DPMpp2MConfig()),
    }
    limits = {"clip_sample": False} if name.startswith("DD") else {}
    peer = peers.peer(name, monkeypatch, wide=False, **sd(), **limits)
    peer.set_timesteps(n)
    start, *noises = peers.draws(n, torch.float32)
    theirs, asked = peers.run_peer(peer, start * peer.init_noise_sigma, noises, monkeypatch)
    times = law().times(c.TimesConfig(steps=n, spacing="leading", drop_last=name.startswith("DPM")))
    ours, told = peers.run_ours(rules[name](), times, start, [*noises, *noises])
    assert asked == told
    peers.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        ("linear", lambda: scheduler.Linear(c.BetaConfig())),
        ("scaled_linear", lambda: scheduler.ScaledLinear(c.ScaledLinearConfig())),
        ("squaredcos_cap_v2", lambda: scheduler.Cosine(c.CosineConfig())),
    ],
)
def test_tables(peers, monkeypatch, kind, ours):
    ends = SD if kind == "scaled_linear" else {}
    peer = peers.peer("DDPMScheduler", monkeypatch, beta_schedule=kind, **ends)
    torch.testing.assert_close(ours().alpha_bar, peer.alphas_cumprod, rtol=1e-12, atol=0)
