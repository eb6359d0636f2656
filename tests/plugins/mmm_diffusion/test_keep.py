"""Image-to-image and masked latents under every sampler, beside diffusers' schedulers as its pipelines drive them."""

from __future__ import annotations

import pytest
import torch

from mmm_diffusion import config as c
from mmm_diffusion import scheduler

pytestmark = pytest.mark.parity

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LEADING = {"timestep_spacing": "leading", "steps_offset": 1}
CLASSES = {
    "DDIMScheduler": [{**SD, **LEADING, "clip_sample": False, "set_alpha_to_one": False},
                      {**SD, "clip_sample": False, "timestep_spacing": "trailing"}],
    "DDPMScheduler": [{**SD, "clip_sample": False}],
    "EulerDiscreteScheduler": [{**SD, **LEADING}, SD, {**SD, "use_karras_sigmas": True}],
    "EulerAncestralDiscreteScheduler": [{**SD, **LEADING}],
    "HeunDiscreteScheduler": [{**SD, **LEADING}, {**SD}],
    "DPMSolverMultistepScheduler": [{**SD}, {**SD, "use_karras_sigmas": True, "algorithm_type": "sde-dpmsolver++"}],
    "DPMSolverSDEScheduler": [{**SD, **LEADING}],
    "UniPCMultistepScheduler": [{**SD}, {**SD, "solver_order": 3}],
    "LCMScheduler": [{}],
    "FlowMatchEulerDiscreteScheduler": [{"shift": 3.0}],
    "PNDMScheduler": [{**SD, **LEADING, "skip_prk_steps": True}],
    "LMSDiscreteScheduler": [{**SD, **LEADING}],
}  # fmt: skip
AT_FAULT = ("PNDMScheduler", "LMSDiscreteScheduler")
"""Theirs that go wrong when they start in the middle."""
CASES = [
    (name, i, strength)
    for name in CLASSES
    for i in range(len(CLASSES[name]))
    for strength in ((1.0,) if name in AT_FAULT else (1.0, 0.6))
]
STEPS = 5


def noised(peer, original, noise, at):
    """What their pipelines do at a place of `timesteps`."""
    t = peer.timesteps[at : at + 1]
    if hasattr(peer, "scale_noise"):
        return peer.scale_noise(original, t, noise)
    return peer.add_noise(original, noise, t)


@pytest.mark.parametrize(("name", "number", "strength"), CASES)
@pytest.mark.parametrize("masked", [False, True], ids=["image", "masked"])
def test_as_their_pipelines_do(peers, monkeypatch, name, number, strength, masked):
    config = CLASSES[name][number]
    peer = peers.peer(name, monkeypatch, **config)
    peer.set_timesteps(STEPS)
    first = STEPS - int(STEPS * strength)
    skip = first * getattr(peer, "order", 1)
    original, noise, *noises = peers.draws(2 * STEPS + 1, torch.float64)
    mask = (torch.arange(16).view(1, 1, 4, 4) % 3 == 0).double().expand(2, 1, 4, 4)
    if hasattr(peer, "set_begin_index"):
        peer.set_begin_index(skip)
    pure = masked and strength == 1.0
    start = noise * getattr(peer, "init_noise_sigma", 1.0) if pure else noised(peer, original, noise, skip)

    def after(x, at):
        kept = noised(peer, original, noise, at) if at < len(peer.timesteps) else original
        return (1 - mask) * kept + mask * x

    theirs, asked = peers.run_peer(
        peer, start, noises, monkeypatch, skip=skip, after=after if masked else None
    )
    rule, times, scale = peers.from_theirs(name, config, STEPS, strength=strength)
    begin = c.StartConfig(full="noise" if masked else "mixed", scale=scale)
    ours_start = scheduler.Law.add_noise_at(None, original, times, None, noise, begin)
    kept = (mask, original, noise) if masked else None
    ours, told = peers.run_ours(rule, times, ours_start, noises, kept=kept)
    assert times.skipped == first
    assert asked == pytest.approx(told)
    peers.assert_close(ours, theirs)
    if masked:
        assert torch.equal(torch.where(mask > 0.5, original, ours), original)


@pytest.mark.parametrize("name", AT_FAULT)
def test_theirs_miss_what_a_perfect_denoiser_says(peers, monkeypatch, name):
    """decisions/024: a denoiser that knows the noise leads back to the original; theirs only at strength 1."""
    config = CLASSES[name][0]
    original, noise, *noises = peers.draws(2 * STEPS + 1, torch.float64)
    errors = {}
    for strength in (1.0, 0.6):
        peer = peers.peer(name, monkeypatch, **config)
        peer.set_timesteps(STEPS)
        skip = STEPS - int(STEPS * strength)
        if skip and hasattr(peer, "set_begin_index"):
            peer.set_begin_index(skip)
        start = noised(peer, original, noise, skip)
        theirs, _ = peers.run_peer(peer, start, noises, monkeypatch, model=lambda x, t: noise, skip=skip)
        rule, times, _ = peers.from_theirs(name, config, STEPS, strength=strength)
        begun = scheduler.Law.add_noise_at(None, original, times, None, noise)
        ours, _ = peers.run_ours(rule, times, begun, noises, model=lambda x, t: noise)
        end = times.level(times.count)
        ends = end[0] * original + end[1] * noise
        peers.assert_close(ours, ends)
        errors[strength] = float((theirs - ends).abs().max())
    assert errors[1.0] < 1e-10 and errors[0.6] > 0.05, errors
