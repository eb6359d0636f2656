"""Hidden states by number, and how many tokens they have."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mmm_graph.nn.encoder_path import HiddenConfig, hidden_path


@dataclass
class Counted:
    patches: int | None = 9
    tokens: int | None = 11


@pytest.mark.parametrize(
    ("call", "path"),
    [
        ({}, ("embed", "block0", "block1", "norm", "tap")),
        ({"layer": -2, "norm": False, "select": "patch"}, ("embed", "block0", "patches")),
        ({"layer": 0}, ("embed", "norm", "tap")),
    ],
)
def test_the_layer_ends_the_path(call, path):
    assert hidden_path(2, HiddenConfig(**call)) == path


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there_is_refused(layer):
    with pytest.raises(ValueError, match=f"layer {layer} is not one of the 3 hidden states of this encoder"):
        hidden_path(2, HiddenConfig(layer=layer))


def test_lengths():
    assert HiddenConfig().length(Counted()) == 11
    assert HiddenConfig(select="patch").length(Counted()) == 9
    assert HiddenConfig().length(Counted(tokens=None)) is None
