"""Imported pipelines on several ranks: exact plans equal one device, in float64."""

from __future__ import annotations

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.registry import load_registry
from tests.plugins.mmm_pipelines import test_dit, test_flux, test_sd3, test_sdxl, test_stable_diffusion, tiny

pytestmark = [pytest.mark.parity, pytest.mark.dist]

MAKE = {
    "unet": lambda folder: test_stable_diffusion.pipeline(folder, *test_stable_diffusion.CASES["sd1 pndm"]),
    "unet xl": lambda folder: test_sdxl.pipeline(folder, *test_sdxl.CASES["as released"]),
    "mmdit": lambda folder: test_sd3.pipeline(folder, test_sd3.CASES["sd3.5 medium"]),
    "flux": lambda folder: test_flux.pipeline(folder, *test_flux.CASES["dev"]),
    "pixart": lambda folder: test_dit.pixart(*test_dit.PIXART["sigma"]),
}
ROWS = {"patch2": (2, {"patch": 2})}
GUIDED = {"cfg2": (2, {"cfg": 2}), "cfg2_patch2": (4, {"cfg": 2, "patch": 2})}
TOKENS = {"ulysses2": (2, {"ulysses": 2}), "ring2": (2, {"ring": 2}), "tensor2": (2, {"tensor": 2}),
          "patch2_ulysses2": (4, {"patch": 2, "ulysses": 2})}  # fmt: skip
AXES = {
    "unet": ROWS | GUIDED,
    "unet xl": ROWS | GUIDED,
    "mmdit": ROWS | GUIDED | TOKENS,
    "flux": ROWS | TOKENS,
    "pixart": ROWS | GUIDED | TOKENS,
}


def plans(net, axes):
    found = {name: {"ranks": ranks, "axes": {net: sizes}} for name, (ranks, sizes) in axes.items()}
    return {**found, "pipe2": {"ranks": 2, "pipe": {net: 2}}}


@pytest.mark.parametrize("name", MAKE)
def test_latents_of_one_device(name, tmp_path):
    folder = tiny.save(MAKE[name](tmp_path), tmp_path / "in")
    tree = import_graph(str(folder), tmp_path / "g.yaml", load_registry(), dtype="f64").tree
    tree["models"]["vae"]["dtype"] = "f64"  # SDXL's wants float32, whatever the others have
    tree["parallel"] = {"plans": plans(name.split()[0], AXES[name])}
    size = {"height": 16, "width": 24, "steps": 3}
    given = {"prompt": tiny.TEXTS, **size}
    if "negative_prompt" in tree["inputs"]:
        given["negative_prompt"] = ["the hat", "a caat"]

    def latents(plan):
        return mmm.load(tree, base=tmp_path, plan=plan).run(**given, outputs=["denoise.latents"])[
            "denoise.latents"
        ]

    one = latents(None)
    assert one.dtype == torch.float64
    for plan in tree["parallel"]["plans"]:
        assert (latents(plan) - one).abs().max() <= 1e-10 * one.abs().max(), plan
