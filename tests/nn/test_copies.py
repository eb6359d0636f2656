"""Several copies of a model of parts."""

from __future__ import annotations

import pytest
from torch import nn

from mmm_graph.graph.attached import copy_key
from mmm_graph.nn.copies import Copies


def make(*names: str, outside: bool = False) -> nn.Module:
    module = nn.Module()
    module.parts = nn.ModuleDict({name: nn.Linear(2, 2) for name in names})
    if outside:
        module.scale = nn.Linear(1, 1)
    return module


def test_parts_of_all_copies_have_names_and_weights_of_their_own() -> None:
    one = Copies(lambda: make("xattn"), 3, copy_key)
    assert list(one.parts) == ["0", "1", "2"] and len({id(p) for p in one.parameters()}) == 6
    two = Copies(lambda: make("a", "b"), 2, copy_key)
    assert list(two.parts) == ["0_a", "0_b", "1_a", "1_b"]


def test_weights_outside_of_parts_would_be_lost() -> None:
    with pytest.raises(
        ValueError, match=r"weights outside of its parts, which are not copied: scale\.weight"
    ):
        Copies(lambda: make("xattn", outside=True), 2, copy_key)
