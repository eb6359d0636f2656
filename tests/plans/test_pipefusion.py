"""Pipelined patches: any number of stages gives the bits of one stage; with all warm-up, what one device gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import mmm_graph as mmm
from tests.plans.graphs import graph, load, pipe, shared

pytestmark = pytest.mark.dist
SAMPLERS = ("sampler.euler", "sampler.heun", "sampler.dpmpp_2m", "sampler.euler_ancestral")
ONE: list[list[int]] = [[0]]
STAGES: dict[str, Any] = {"2": 2, "3": 3, "0-1-0": [[0], [1], [0]]}


def in_turn(axes: Sequence[Mapping[str, int] | None]) -> list[Any]:
    """Each with one denoiser, and with the other one among the slow tests."""
    pairs = [
        (i + j, denoiser, each) for i, denoiser in enumerate(("dit", "mmdit")) for j, each in enumerate(axes)
    ]
    return [pytest.param(*pair, marks=[pytest.mark.slow] if k % 2 else []) for k, *pair in pairs]


def run(denoiser: str, weights: dict[str, Path], plan: Any, **given: Any) -> torch.Tensor:
    return load(denoiser, weights[denoiser], plan).run(outputs=["latents"], **{"seed": 7, **given})["latents"]


def check_stages(denoiser: str, patches: int, warmup: Any, sampler: str, weights: dict[str, Path]) -> None:
    loop, height = (
        {"patches": patches, "warmup": warmup},
        32 if patches != 3 else 40,
    )  # 3 patches of 5 rows: uneven
    given = {"sampler": sampler, "steps": 3, "height": height}
    alone = run(denoiser, weights, pipe(ONE, **loop), **given)
    for stages in STAGES.values():
        assert torch.equal(run(denoiser, weights, pipe(stages, **loop), **given), alone)
    whole = run(denoiser, weights, None, **given)
    if warmup == "all":
        assert (alone - whole).abs().max() < 1e-10
    else:
        assert (alone - whole).abs().max() > 1e-10, "patches that are not stale would prove nothing"


FEW = [
    ("dit", 2, 1, "heun"),
    ("dit", 4, "all", "dpmpp_2m"),
    ("mmdit", 4, 1, "euler_ancestral"),
    ("mmdit", 3, 0, "euler"),
]


@pytest.mark.parametrize(("denoiser", "patches", "warmup", "sampler"), FEW)
def test_the_number_of_stages_does_not_matter(
    denoiser: str, patches: int, warmup: Any, sampler: str, weights: dict[str, Path]
) -> None:
    check_stages(denoiser, patches, warmup, f"sampler.{sampler}", weights)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("patches", "warmup"), [(2, 1), (4, 1), (4, 2), (3, 0), (4, "all")])
@pytest.mark.parametrize("denoiser", ["dit", "mmdit"])
def test_every_sampler_number_of_patches_and_warm_up(
    denoiser: str, patches: int, warmup: Any, sampler: str, weights: dict[str, Path]
) -> None:
    check_stages(denoiser, patches, warmup, sampler, weights)


AXES = ({"ulysses": 2}, {"ring": 2}, {"patch": 2}, {"tensor": 2}, {"data": 2}, {"cfg": 2})


@pytest.mark.parametrize(("denoiser", "axes"), in_turn(AXES))
def test_hybrids_have_the_bits_of_one_stage_with_the_same_axes(
    denoiser: str, axes: dict[str, int], weights: dict[str, Path]
) -> None:
    loop = {"patches": 2, "warmup": 1}
    for height in (32, 40):
        one = run(denoiser, weights, shared(axes, **loop), height=height)
        assert torch.equal(run(denoiser, weights, pipe(2, axes, **loop), height=height), one)
        fewer = run(denoiser, weights, pipe(ONE, **loop), height=height)
        assert (one - fewer).abs().max() < 1e-10, "the axes are exact"


@pytest.mark.parametrize("denoiser", ["dit", "mmdit"])
def test_three_axes_at_once(denoiser: str, weights: dict[str, Path]) -> None:
    loop = {"patches": 2, "warmup": 1}
    fewer = run(denoiser, weights, pipe(ONE, **loop))
    for axes in ({"cfg": 2, "ulysses": 2}, {"cfg": 2, "patch": 2}, {"cfg": 2, "ring": 2}):
        found = run(denoiser, weights, pipe(2, axes, **loop))
        assert torch.equal(found, run(denoiser, weights, shared(axes, **loop)))
        assert (found - fewer).abs().max() < 1e-10


@pytest.mark.parametrize(("denoiser", "axes"), in_turn((None, {"cfg": 2}, {"data": 2})))
def test_stages_that_share_rows_in_the_warm_up(
    denoiser: str, axes: dict[str, int] | None, weights: dict[str, Path]
) -> None:
    for warmup in (1, 2):
        loop = {"patches": 4, "warmup": warmup}
        streams = run(denoiser, weights, pipe(2, axes, **loop))
        rows = run(denoiser, weights, pipe(2, axes, warm="rows", **loop))
        assert (rows - streams).abs().max() < 1e-10


def test_parts_of_a_batch_and_patches_go_together(weights: dict[str, Path]) -> None:
    loop, prompt = {"patches": 2, "warmup": 1}, ["one", "two", "three"]
    plain = run("dit", weights, pipe(ONE, **loop), prompt=prompt, seed=[1, 2, 3])
    parts = run("dit", weights, {**pipe(2, **loop), "microbatches": 2}, prompt=prompt, seed=[1, 2, 3])
    assert (parts - plain).abs().max() < 1e-10


REQUESTS: list[dict[str, Any]] = [
    {"id": "a", "prompt": ["one"], "seed": 1, "sampler": "sampler.heun", "steps": 3},
    {
        "id": "b",
        "prompt": ["two", "a drawing of a 4"],
        "seed": 2,
        "height": 40,
        "sampler": "sampler.dpmpp_2m",
    },
    {"id": "c", "prompt": ["the digit six"], "seed": 3, "draw": False},
    {
        "id": "d",
        "prompt": ["a scan of the digit 7"] * 3,
        "seed": [4, 5, 6],
        "sampler": "sampler.euler_ancestral",
    },
]
PLANS: dict[str, Any] = {
    "pipe2": pipe(2, patches=4, warmup=1),
    "pipe2_in_turn": {**pipe(2, patches=4, warmup=1), "in_flight": 1},
    "pipe3_two_in_flight": {**pipe(3, patches=2, warmup=1), "in_flight": 2},
    "pipe2_ulysses2": pipe(2, {"ulysses": 2}, patches=2, warmup=1),
    "pipe2_rows": pipe(2, patches=4, warmup=1, warm="rows"),
    "exact_pipe2": pipe(2),
    "displaced2": shared({"patch": {"size": 2, "mode": "displaced"}}),
    "stages3": {
        "ranks": 3,
        "stages": [{"ranks": [i], "place": [m]} for i, m in enumerate(("text", "net", "vae"))],
    },
}


BOTH = [("mmdit", name) for name in PLANS] + [("dit", "pipe2_rows"), ("dit", "pipe2")]


@pytest.mark.parametrize(("denoiser", "name"), BOTH)
def test_requests_in_flight_do_not_see_each_other(denoiser: str, name: str, weights: dict[str, Path]) -> None:
    """Three requests of different batch, length of text, size and sampler, and one that draws nothing."""
    session = load(denoiser, weights[denoiser], PLANS[name])
    together = session.map(REQUESTS)
    again = session.map(REQUESTS)
    for request in REQUESTS:
        fresh = load(denoiser, weights[denoiser], PLANS[name]).map([request])[request["id"]]
        for found in (together[request["id"]], again[request["id"]]):
            assert found.error is None and found.absent == fresh.absent
            assert found.values.keys() == fresh.values.keys()
            assert all(torch.equal(found.values[k], v) for k, v in fresh.values.items())
        assert bool(fresh.absent) == (request["id"] == "c")


def test_two_loops_of_one_request_do_not_see_each_other(weights: dict[str, Path]) -> None:
    """The one that ends first takes nothing from the other."""
    found = graph("dit", {"p": {**pipe(2), "loops": {n: {"patches": 2} for n in ("denoise", "more")}}})
    found["nodes"]["few"] = {"call": "law.times", "config": {"steps": 2}}
    links = {**found["nodes"]["denoise"]["in"], "times": "few"}
    found["nodes"]["more"] = {**found["nodes"]["denoise"], "in": links}
    found["outputs"]["short"] = "more"
    session = mmm.load(found, plan="p", weights=weights["dit"])
    both = session.run(seed=1)
    for name in ("latents", "short"):
        alone = mmm.load(found, plan="p", weights=weights["dit"]).run(seed=1, outputs=[name])
        assert torch.equal(alone[name], both[name])
