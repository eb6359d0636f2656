"""Images of a height that only the request tells, shared by ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.api.session import Session
from mmm_graph.runtime.events import Result
from tests.plans.graphs import graph, pipe

pytestmark = pytest.mark.dist


def codec(plans: dict[str, Any]) -> dict[str, Any]:
    return {
        "mmm": 1,
        "name": "there-and-back",
        "inputs": {"image": "Image[b,1,h,w]"},
        "models": {"vae": graph("dit")["models"]["vae"]},
        "nodes": {
            "enc": {"call": "vae.encode", "in": {"image": "$in.image"}},
            "dec": {"call": "vae.decode", "in": {"latents": "enc"}},
        },
        "outputs": {"image": "dec", "latents": "enc"},
        "parallel": {"plans": plans},
    }


def run(weights: dict[str, Path], images: list[torch.Tensor], axis: str = "") -> dict[str, Result]:
    plans = {"p": {"ranks": 2, "axes": {"vae": {axis: 2}}}} if axis else {}
    session = mmm.load(codec(plans), weights=weights["dit"], plan="p" if axis else None)
    return session.map([{"image": image} for image in images])


@pytest.mark.parametrize("axis", ["patch", "data"])
def test_heights_of_requests_differ(axis: str, weights: dict[str, Path]) -> None:
    images = [torch.rand(2, 1, 16, 8), torch.rand(1, 1, 18, 8)]
    whole, found = run(weights, images), run(weights, images, axis)
    for name, one in whole.items():
        for port, value in one.values.items():
            assert (found[name].values[port] - value).abs().max() < 1e-10


def test_an_image_that_cannot_be_shared_fails_by_itself(weights: dict[str, Path]) -> None:
    found = run(weights, [torch.rand(1, 1, 8, 8), torch.rand(1, 1, 2, 8), torch.rand(1, 1, 15, 8)], "patch")
    assert [bool(found[name].values) for name in "012"] == [True, False, False]
    assert "at most 1 pieces" in str(found["1"].error)
    assert "not a whole number of 2" in str(found["2"].error)


def test_an_odd_height_matters_only_where_rows_are_shared(weights: dict[str, Path]) -> None:
    image = [torch.rand(2, 1, 15, 8)]
    whole, found = run(weights, image)["0"].values, run(weights, image, "data")["0"].values
    assert all((found[port] - value).abs().max() < 1e-10 for port, value in whole.items())


def test_a_size_does_not_stay_for_the_next_request(weights: dict[str, Path]) -> None:
    """Patches on one rank: what it does depends on the height, which the latents bring."""
    spec = graph("dit", {"p": pipe([[0]], patches=2, warmup=1)})
    spec["inputs"]["z"] = "Latents[b,4,h,w]"
    del spec["nodes"]["noise"]
    spec["nodes"]["denoise"]["in"]["x"] = "$in.z"
    spec["outputs"] = {"latents": "denoise"}

    def drawn(session: Session, height: int) -> torch.Tensor:
        z = torch.ones(1, 4, height, 16, dtype=torch.float64)
        return session.run(z=z, prompt=["one"], steps=2)["latents"]

    session = mmm.load(spec, weights=weights["dit"], plan="p")
    for height in (16, 24, 20):
        fresh = mmm.load(spec, weights=weights["dit"], plan="p")
        assert torch.equal(drawn(session, height), drawn(fresh, height))
