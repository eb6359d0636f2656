"""`compile:` gives what the model gives, from one graph, traced once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import mmm_graph
from mmm_graph.errors import InputError, RunError

NET = {
    "in_channels": 2,
    "sample_size": 4,
    "patch_size": 2,
    "width": 16,
    "depth": 2,
    "num_heads": 2,
    "num_classes": 4,
}


def graph(**net) -> dict:
    return {
        "mmm": 1,
        "inputs": {"x": "Latents[b,2,4,4]", "label": "Ids[b]"},
        "models": {
            "net": {"kind": "denoiser.dit", "init": "default", "config": NET, **net},
            "law": {"kind": "scheduler.scaled_linear"},
            "sampler": {"kind": "sampler.dpmpp_2m"},
            "guide": {"kind": "guidance.cfg", "config": {"scale": 3.0}},
        },
        "nodes": {
            "none": {"op": "cond.label", "config": {"value": 3}, "in": {"like": "$in.label"}},
            "times": {"call": "law.times", "config": {"steps": 4}},
            "denoise": {
                "op": "diffusion.denoise",
                "use": {"denoiser": "net", "sampler": "sampler", "guidance": "guide"},
                "in": {
                    "x": "$in.x", "times": "times", "cond": {"label": "$in.label"}, "uncond": {"label": "none"},
                },
            },
        },
        "outputs": {"latents": "denoise"},
    }  # fmt: skip


def run(net: dict, x: Tensor) -> Tensor:
    session = mmm_graph.load(graph(**net))
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in session.module("net").parameters():
            weight.add_(torch.randn(weight.shape, generator=drawn) * 0.2)
    return session.run(x=x, label=torch.tensor([1]))["latents"]


@pytest.mark.slow
def test_the_same_numbers_from_generated_code():
    check_one_graph()


def test_the_same_numbers_from_one_graph(monkeypatch):
    """Traced, and then run as it stands: generating code takes half a minute."""
    trace = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, mode: trace(function, backend="eager"))
    check_one_graph()


def check_one_graph() -> None:
    from torch._dynamo.utils import counters

    x = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(2))
    counters.clear()
    found, expected = run({"compile": True}, x), run({}, x)
    assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]
    assert not torch.equal(found, x)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_model_without_weights_has_nothing_to_compile():
    tree = graph()
    tree["models"]["sampler"]["compile"] = True
    with pytest.raises(InputError, match=r"E210.*nothing to compile"):
        mmm_graph.load(tree)


def test_an_offloaded_model_is_not_traced():
    with pytest.raises(RunError, match=r"E728.*offloaded"):
        run({"compile": True, "offload": "block"}, torch.zeros(1, 2, 4, 4))


def test_other_modes_are_refused_with_those_there_are():
    with pytest.raises(InputError, match="reduce-overhead"):
        mmm_graph.load(graph(compile="fast"))
