"""A graph with a PixArt denoiser gives under every plan what one device gives."""

from pathlib import Path

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.registry import load_registry
from tests.plans.graphs import graph, pipe, shared

pytestmark = pytest.mark.dist

PLUGIN = Path(__file__).parents[3] / "plugins" / "mmm_pixart" / "plugin.py"
EXACT = {
    "data2": shared({"data": 2}),
    "cfg2": shared({"cfg": 2}),
    "patch2": shared({"patch": 2}),
    "ulysses2": shared({"ulysses": 2}),
    "ring2": shared({"ring": 2}),
    "tensor2": shared({"tensor": 2}),
    "tensor3": shared({"tensor": 3}),  # 4 heads: 2, 1, 1
    "cfg2_patch2": shared({"cfg": 2, "patch": 2}),
    "displaced2_all": shared({"patch": {"size": 2, "mode": "displaced"}}, warmup="all"),
    "pipe2": pipe(2),
    "pipe4": pipe(4),
    "pipe2_batch2": {**pipe(2), "microbatches": 2},
    "pipe2_tensor2": pipe(2, {"tensor": 2}),
    "pipefusion2_all": pipe(2, patches=4, warmup="all"),
    "pipefusion2_rows_all": pipe(2, patches=4, warmup="all", warm="rows"),
    "pipefusion2_ulysses2_all": pipe(2, {"ulysses": 2}, patches=2, warmup="all"),
}
GIVEN = {
    "even": {"seed": 3},
    "uneven": {"seed": [4, 5, 6], "height": 40, "prompt": ["one", "two", "a drawing of a 4"], "steps": 3},
}


def described(variance, plans=None):
    """The graph of tests/plans with this denoiser, and a sampler that may ask for the variance."""
    found = graph("unet", plans)  # its denoiser reads embeds and mask, as this one does
    found["models"]["net"] = {
        "kind": "denoiser.pixart",
        "init": "default",
        "dtype": "f64",
        "config": {"sample_size": 16, "width": 32, "depth": 5, "num_heads": 4, "cond_dim": None, "freq_dim": 32,
                   "prediction": "v"},
    }  # fmt: skip
    found["params"].pop("sampler")
    found["models"]["sampler"] = {"kind": "sampler.ddpm", "config": {"variance": variance}}
    return found


@pytest.fixture(scope="module")
def registry():
    """With this plugin, whether it is installed yet or not."""
    installed = load_registry()
    return installed if "denoiser.pixart" in installed.models else load_registry(extra_files=[PLUGIN])


@pytest.fixture(scope="module")
def load(registry, tmp_path_factory):
    """A session under a plan; all have the same random weights, none of them zero."""
    folder = tmp_path_factory.mktemp("weights")
    first = mmm.load(described("learned_range"), registry=registry)
    drawn = torch.Generator().manual_seed(0)
    for name in ("text", "net", "vae"):
        for weight in first.module(name).parameters():
            weight.data.add_(torch.randn(weight.shape, generator=drawn, dtype=weight.dtype) * 0.1)
    first.save(folder)

    def under(plan=None, variance="learned_range"):
        plans = None if plan is None else {"p": plan}
        found = described(variance, plans)
        return mmm.load(found, registry=registry, weights=folder, plan="p" if plans else None)

    return under


@pytest.fixture(scope="module")
def whole(load):
    """What one device makes of each request."""
    session = load()
    return {name: session.run(outputs=["latents"], **given)["latents"] for name, given in GIVEN.items()}


@pytest.mark.parametrize("plan", EXACT)
def test_exact_plans(load, whole, plan):
    session = load(EXACT[plan])
    for name, given in GIVEN.items():
        found = session.run(outputs=["latents"], **given)["latents"]
        assert found.shape == whole[name].shape
        assert (found - whole[name]).abs().max() < 1e-10, name


def test_stale_patches_come_nearer_with_warm_up(load):
    given = {"seed": 5, "outputs": ["latents"], "steps": 6}
    want = load().run(**given)["latents"]
    errors = [
        float((load(pipe(2, patches=2, warmup=w)).run(**given)["latents"] - want).abs().max())
        for w in (1, 5, "all")
    ]
    assert errors[0] > 1e-6, "nothing was stale"
    assert errors[2] < 1e-10 < errors[1] < errors[0]


def test_a_sampler_that_does_not_ask_leaves_the_variance_unread(load, whole):
    found = load(variance="fixed_small").run(outputs=["latents"], **GIVEN["even"])["latents"]
    assert found.isfinite().all() and not torch.allclose(found, whole["even"])
