"""What is made of a condition is made once in a run."""

from __future__ import annotations

import copy
import gc

import torch

from mmm_graph.nn.attention import CrossAttention
from mmm_graph.nn.kept import Kept, find_kept


class Counter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return 2 * x


def test_once_for_the_same_tensor_and_again_for_an_equal_one():
    kept, make, source = Kept(), Counter(), torch.ones(3)
    with torch.no_grad():
        assert kept.of(source, make) is kept.of(source, make)
        assert make.calls == 1
        kept.of(source.clone(), make)
        assert make.calls == 2


def test_it_goes_with_its_tensor_and_when_told():
    kept, make, source = Kept(), Counter(), torch.ones(3)
    with torch.no_grad():
        kept.of(source, make)
        kept.forget()
        kept.of(source, make)
    assert make.calls == 2
    del source
    gc.collect()
    assert len(kept._made) == 0


def test_nothing_is_kept_where_gradients_flow():
    kept, make, source = Kept(), Counter(), torch.ones(3)
    kept.of(source, make)
    kept.of(source, make)
    assert make.calls == 2


def test_layers_have_it_and_copies_have_their_own():
    layer = CrossAttention(8, 8, 2)
    x, cond = torch.randn(1, 4, 8), torch.randn(1, 3, 8)
    with torch.no_grad():
        first = layer(x, cond)
        layer.k.weight.zero_()  # not within a run; so it shows that the keys are the old ones
        assert torch.equal(layer(x, cond), first)
        assert len(find_kept(layer)) == 1
        assert not torch.equal(copy.deepcopy(layer)(x, cond), first)
        find_kept(layer)[0].forget()
        assert not torch.equal(layer(x, cond), first)
