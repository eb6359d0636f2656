"""check_node passes honest types, and names what is wrong with a spoiled one."""

from __future__ import annotations

import pytest

from mmm_graph.registry import NodeType, optim_type
from mmm_graph.testing import check_node
from tests.testing.toys import OptimConfig, composite, data, expand_well, linear, loss, noisy, parts, sampler

GOOD = {
    "model": linear(),
    "parts": parts(),
    "sampler": sampler("Euler"),
    "noise": noisy("add_noise"),
    "loss": loss("squared"),
    "data": data("Squares", x="Embeds[b,3]", name="Text[b]"),
    "optim": optim_type("optim.toy", OptimConfig, "toy_nodes:descent"),
    "composite": composite(expand_well),
}


@pytest.mark.parametrize("node", GOOD.values(), ids=GOOD)
def test_honest_types_pass(node: NodeType) -> None:
    check_node(node)


BAD: dict[str, tuple[NodeType, str]] = {
    "no builder": (linear("Nowhere"), "the builder 'toy_nodes:Nowhere' does not resolve"),
    "random generator": (
        linear("GlobalRandom"),
        "building adaptor.toy draws from the global generator of random",
    ),
    "hidden weights": (linear("Hidden"), "is a tensor missing from its state dict"),
    "detached": (loss("squared_detached"), "no gradient flows"),
    "unreduced, any shape": (
        loss("unreduced", "Scalar"),
        r"the loss has the shape \[2, 8, 16\]; expected one number",
    ),
}


@pytest.mark.parametrize(("node", "message"), BAD.values(), ids=BAD)
def test_spoiled_types_are_found_out(node: NodeType, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_node(node)


def test_config_and_dims_can_be_given() -> None:
    check_node(linear(), config={"in_dim": 3, "out_dim": 5}, dims={"b": 1, "l": 1})


def test_values_replace_random_inputs() -> None:
    import torch

    with pytest.raises(AssertionError, match=r"failed on x\[2, 8, 7\]"):
        check_node(linear(), values={"x": torch.zeros(2, 8, 7)})
