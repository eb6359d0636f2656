"""FLUX under plans, ranks as threads: what is exact gives what one device gives, the rest the bits of one stage."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.api.session import Session
from mmm_graph.registry import load_registry
from tests.plans.graphs import graph, pipe, shared

pytestmark = pytest.mark.dist

POINTS = {"flux": EntryPoint("flux", "mmm_flux.plugin", "mmm_graph")}
REGISTRY = load_registry(points={**{p.name: p for p in entry_points(group="mmm_graph")}, **POINTS}.values())
NET = {
    "kind": "denoiser.flux",
    "init": "default",
    "dtype": "f64",
    "config": {"in_channels": 4, "out_channels": 4, "sample_size": 16, "double_depth": 2, "single_depth": 3,
               "num_heads": 4, "head_dim": 8, "rope_dims": [2, 2, 4], "cond_dim": None, "pooled_dim": None,
               "freq_dim": 32, "prediction": "v", "time_scale": 1.0},
}  # fmt: skip
EXACT = {
    "cfg2": shared({"cfg": 2}),
    "data2": shared({"data": 2}),
    "patch2": shared({"patch": 2}),
    "ulysses2": shared({"ulysses": 2}),
    "ulysses3": shared({"ulysses": 3}),
    "ring2": shared({"ring": 2}),
    "patch2_ulysses2": shared({"patch": 2, "ulysses": 2}),
    "tensor2": shared({"tensor": 2}),
    "tensor3": shared({"tensor": 3}),
    "tensor2_patch2": shared({"tensor": 2, "patch": 2}),
    "pipe2_tensor2": pipe(2, {"tensor": 2}),
    "pipe2": pipe(2),
    "pipe010": pipe([[0], [1], [0]]),
    "pipefusion2_all": pipe(2, patches=2, warmup="all"),
    "pipefusion2_rows_all": pipe(2, patches=2, warmup="all", warm="rows"),
    "displaced2_all": shared({"patch": {"size": 2, "mode": "displaced"}}, warmup="all"),
}
EVEN: dict[str, Any] = {"seed": 3, "steps": 3}
UNEVEN: dict[str, Any] = {
    **EVEN,
    "seed": [4, 5, 6],
    "height": 40,
    "prompt": ["one", "two", "a drawing of a 4"],
}
STALE: dict[str, Any] = {"patches": 2, "warmup": 1}


def session(weights: Path | None = None, plan: Mapping[str, Any] | None = None) -> Session:
    """The graph of the other denoisers with FLUX in it, which is told a guidance too."""
    found = graph("mmdit", None if plan is None else {"p": plan})
    found["models"]["net"] = NET
    embed = found["graphs"]["embed"]
    embed["nodes"]["told"] = {"op": "cond.number", "config": {"value": 3.5}, "in": {"like": "$in.text"}}
    embed["out"] = {**embed["out"], "guidance": "told"}
    return mmm.load(found, registry=REGISTRY, weights=weights, plan=None if plan is None else "p")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights, with nothing left at zero."""
    fresh, folder = session(), tmp_path_factory.mktemp("weights")
    drawn = torch.Generator().manual_seed(0)
    for name in ("text", "net", "vae"):
        for weight in fresh.module(name).parameters():
            weight.data.add_(torch.randn(weight.shape, generator=drawn, dtype=weight.dtype) * 0.1)
    fresh.save(folder)
    return folder


def latents(weights: Path, plan: Mapping[str, Any] | None, given: Mapping[str, Any] = EVEN) -> torch.Tensor:
    return session(weights, plan).run(outputs=["latents"], **given)["latents"]


@pytest.mark.parametrize("given", [EVEN, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("name", EXACT)
def test_exact(name: str, given: dict[str, Any], weights: Path) -> None:
    whole = latents(weights, None, given)
    assert (latents(weights, EXACT[name], given) - whole).abs().max() < 1e-10


@pytest.mark.parametrize("given", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_pipelined_patches_do_not_depend_on_the_number_of_stages(
    given: dict[str, Any], weights: Path
) -> None:
    alone = latents(weights, pipe([[0]], **STALE), given)
    for stages in (2, 3, [[0], [1], [0]]):
        assert torch.equal(latents(weights, pipe(stages, **STALE), given), alone)
    assert (alone - latents(weights, None, given)).abs().max() > 1e-10, "not stale: it would prove nothing"


@pytest.mark.parametrize(
    "axes", [{"ulysses": 2}, {"ring": 2}, {"patch": 2}, {"tensor": 2}, {"cfg": 2}], ids=str
)
def test_hybrids_have_the_bits_of_one_stage_with_the_same_axes(axes: dict[str, int], weights: Path) -> None:
    one = latents(weights, shared(axes, **STALE))
    assert torch.equal(latents(weights, pipe(2, axes, **STALE)), one)
    assert (one - latents(weights, pipe([[0]], **STALE))).abs().max() < 1e-10, "the axes are exact"
