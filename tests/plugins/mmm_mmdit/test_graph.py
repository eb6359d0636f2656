"""The example graph runs on one device."""

from pathlib import Path

import torch

import mmm_graph

GRAPH = Path(__file__).parents[2] / "graphs" / "mmdit.yaml"


def test_the_example_runs():
    graph = mmm_graph.load(GRAPH)
    out = graph.run(seed=3)
    assert out["latents"].shape == (2, 4, 16, 16) and out["image"].shape == (2, 1, 32, 32)
    assert torch.equal(graph.run(seed=3)["image"], out["image"])
