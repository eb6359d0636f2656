"""A learned variance in the denoising loop: read by the sampler that asks for it, of the conditional branch."""

import pytest
import torch

import mmm_graph as mmm

PLANS = {
    "cfg2": {"ranks": 2, "axes": {"net": {"cfg": 2}}},
    "patch2": {"ranks": 2, "axes": {"net": {"patch": 2}}},
    "pipe2": {"ranks": 2, "pipe": {"net": 2}},
    "pipefusion2": {"ranks": 2, "pipe": {"net": 2}, "loops": {"denoise": {"patches": 2, "warmup": "all"}}},
}


def graph(variance, scale=3.0):
    """Noise -> a latent in 4 ancestral steps, guided."""
    net = {"sample_size": 8, "width": 32, "depth": 4, "num_heads": 2, "freq_dim": 16, "num_classes": 4,
           "learned_sigma": True}  # fmt: skip
    return {
        "mmm": 1,
        "name": "sigma",
        "inputs": {
            "label": {"type": "Ids[b]", "default": [0, 1]},
            "none": {"type": "Ids[b]", "default": [3, 3]},
            "noise": {"type": "Latents[b,4,h,w]"},
        },
        "models": {
            "net": {"kind": "denoiser.dit", "init": "default", "dtype": "f64", "config": net},
            "law": {"kind": "scheduler.linear"},
            "sampler": {"kind": "sampler.ddpm", "config": {"variance": variance}},
            "guide": {"kind": "guidance.cfg", "config": {"scale": scale}},
        },
        "nodes": {
            "times": {"call": "law.times", "config": {"steps": 4}},
            "denoise": {
                "op": "diffusion.denoise",
                "use": {"denoiser": "net", "sampler": "sampler", "guidance": "guide"},
                "in": {
                    "x": "$in.noise",
                    "times": "times",
                    "cond": {"label": "$in.label"},
                    "uncond": {"label": "$in.none"},
                },
            },
        },
        "outputs": {"latents": "denoise"},
        "parallel": {"plans": PLANS},
    }


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Saved random weights, and what changes them."""
    session = mmm.load(graph("learned_range"))
    drawn = torch.Generator().manual_seed(0)
    for weight in session.module("net").parameters():
        weight.data.add_(torch.randn(weight.shape, generator=drawn, dtype=weight.dtype) * 0.1)

    def save(change=lambda pred, variance: None):
        out = session.module("net").parts["head"].out
        kept = {name: value.clone() for name, value in out.state_dict().items()}
        with torch.no_grad():  # p q c in the rows, the variance in the last four channels
            both = out.weight.view(4, 8, -1), out.bias.view(4, 8)
            change([rows[:, :4] for rows in both], [rows[:, 4:] for rows in both])
        folder = tmp_path_factory.mktemp("weights")
        session.save(folder)
        out.load_state_dict(kept)
        return folder

    return save


def latents(variance, folder, plan=None, scale=3.0):
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    session = mmm.load(graph(variance, scale), weights=folder, plan=plan)
    return session.run(noise=noise, seed=7)["latents"]


@pytest.mark.parametrize(("value", "fixed"), [(-1.0, "fixed_small"), (1.0, "fixed_large")])
def test_a_variance_of_one_end_is_that_of_the_fixed_rule(weights, value, fixed):
    def constant(pred, variance):
        variance[0].zero_()
        variance[1].fill_(value)

    folder = weights(constant)
    assert torch.allclose(latents("learned_range", folder), latents(fixed, folder), rtol=1e-6, atol=1e-9)
    other = "fixed_large" if fixed == "fixed_small" else "fixed_small"
    assert not torch.allclose(latents("learned_range", folder), latents(other, folder), atol=1e-3)


def test_a_sampler_that_does_not_ask_leaves_it_unread(weights):
    plain, moved = weights(), weights(lambda pred, variance: variance[1].add_(1))
    assert torch.equal(latents("fixed_small", plain), latents("fixed_small", moved))
    assert not torch.allclose(latents("learned_range", plain), latents("learned_range", moved), atol=1e-3)


def test_it_is_not_guided_but_that_of_the_condition(weights):
    folder = weights(lambda pred, variance: [rows.zero_() for rows in pred])  # nothing to guide
    guided, alone = latents("learned_range", folder), latents("learned_range", folder, scale=1.0)
    assert torch.allclose(guided, alone, rtol=1e-10, atol=0)
    assert not torch.allclose(guided, latents("fixed_small", folder), atol=1e-3)


@pytest.mark.dist
@pytest.mark.parametrize("plan", PLANS)
def test_plans_bring_it_to_the_sampler(weights, plan):
    folder = weights()
    want = latents("learned_range", folder)
    assert (latents("learned_range", folder, plan) - want).abs().max() < 1e-10
