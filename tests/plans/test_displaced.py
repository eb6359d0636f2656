"""Displaced patches: stale after the warm-up, one device with all of it, and the same on any kind of rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.plans.graphs import load, shared

pytestmark = pytest.mark.dist


def displaced(size: int, group_norm: str = "sync") -> dict[str, Any]:
    return {"patch": {"size": size, "mode": "displaced", "group_norm": group_norm}}


CASES = [
    ("dit", "sync"),
    ("mmdit", "sync"),
    *(("unet", mode) for mode in ("sync", "stale", "corrected", "separate")),
]


@pytest.mark.parametrize(("denoiser", "group_norm"), CASES)
@pytest.mark.parametrize("size", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_more_warm_up_is_nearer_to_one_device(
    denoiser: str, group_norm: str, size: int, weights: dict[str, Path]
) -> None:
    given: dict[str, Any] = {"seed": 5, "outputs": ["latents"], "steps": 6}
    whole = load(denoiser, weights[denoiser]).run(**given)["latents"]
    errors = []
    for warmup in (1, 5, "all"):
        plan = shared(displaced(size, group_norm), warmup=warmup)
        found = load(denoiser, weights[denoiser], plan).run(**given)["latents"]
        errors.append(float((found - whole).abs().max()))
    assert errors[0] > 1e-6, "nothing was stale"
    assert errors[2] < 1e-10 < errors[1] < errors[0]


def test_a_second_request_starts_anew(weights: dict[str, Path]) -> None:
    plan = shared(displaced(2))
    session = load("unet", weights["unet"], plan)
    first = session.run(seed=1)["latents"]
    session.run(seed=2, height=40)
    assert torch.equal(session.run(seed=1)["latents"], first)
