"""Values against their declared port types."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmm_graph.graph.graph import Op
from mmm_graph.runtime.shapes import check_outputs
from mmm_graph.spec.ports import parse_port


def wrong(value: Any, *types: str) -> str:
    node = Op("n", {}, {f"p{i}": parse_port(t) for i, t in enumerate(types)})
    values = value if isinstance(value, dict) else {"p0": value}
    found = check_outputs(node, values)
    return "" if found is None else found.message


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (torch.zeros(2, 4, 8, 8), "Latents[b,4,h,w]"),
        (torch.zeros(2, 4, 8, 8), "Latents"),
        (["a"], "Text[b]"),
        (torch.zeros(2, 3, dtype=torch.long), "Ids[b,t]"),
        (None, "Latents[b,4]"),
        (torch.zeros(0, 9), "Latents[b,4]"),
        (3.0, "Scalar"),
        (torch.zeros(2), "Scalar[b]"),
        (object(), "Times"),
        ([torch.zeros(1)], "Image*[m,3,h,w]"),
        (torch.zeros(2, 6), "Embeds[b,2*d]"),
        (torch.zeros(2, 5), "Embeds[b,h/8]"),
        (torch.zeros(3, 2, 2), "Any[b]"),
    ],
)
def test_right(value: Any, type_: str) -> None:
    assert wrong(value, type_) == ""


@pytest.mark.parametrize(
    ("value", "type_", "message"),
    [
        (torch.zeros(2, 3, 8, 8), "Latents[b,4,h,w]", "an axis of 4 has size 3"),
        (torch.zeros(2, 4), "Latents[b,4,h,w]", "4 axes are declared"),
        (torch.zeros(2, 3), "Ids[b,t]", "Ids are integers"),
        (torch.zeros(2, 3, dtype=torch.long), "Latents[b,t]", "floating point"),
        ("a", "Text[b]", "list of str"),
        ([1.0], "Latents[b]", "is a tensor"),
        (torch.zeros(2, 3), "Embeds[n,n]", "n is 2 and 3"),
        (torch.zeros(2, 5), "Embeds[b,2*d]", "the axis 2*d has size 5"),
        (torch.zeros(1), "Image*[m,3,h,w]", "means a list"),
    ],
)
def test_wrong(value: Any, type_: str, message: str) -> None:
    found = wrong(value, type_)
    assert message in found and "n.p0 is declared" in found


def test_symbols_hold_across_ports() -> None:
    assert wrong({"p0": torch.zeros(2, 3), "p1": torch.zeros(2, 3)}, "Embeds[b,t]", "Mask[b,t]") == ""
    assert "t is 3 and 4" in wrong(
        {"p0": torch.zeros(2, 3), "p1": torch.zeros(2, 4)}, "Embeds[b,t]", "Mask[b,t]"
    )
