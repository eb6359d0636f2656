"""What layers keep of prompts is of the weights that they have, and of runs that ended well."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmm_graph.nn.prefix_index import STEP, PrefixIndex
from mmm_graph.nn.prefix_store import PrefixStore
from mmm_graph.runtime.prefixes import Prefixes

TEXT = torch.randn(1, 2 * STEP, 3, generator=torch.Generator().manual_seed(0))
CACHE = torch.zeros(2, 1, 1, 2 * STEP, 4)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(2, 2)
        self.index, self.store = PrefixIndex(8), PrefixStore()

    def ask(self) -> int:
        word = self.index.decide(TEXT, 1 << 20)
        self.store.fill(CACHE, word)
        self.store.keep(CACHE, word)
        return word.length


def watched(is_alone: bool = True) -> tuple[Model, Prefixes]:
    model, found = Model(), Prefixes()
    found.begin(is_alone=is_alone)
    found.watch(model)
    model.ask()
    found.settle(is_good=True)
    return model, found


@pytest.mark.parametrize("is_alone", [True, False])
def test_it_stays_from_run_to_run(is_alone: bool) -> None:
    model, found = watched(is_alone)
    for _ in range(2):
        found.begin(is_alone=is_alone)
        assert model.ask() == STEP
        found.settle(is_good=True)


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_run_that_failed_counts_for_nothing(is_alone: bool) -> None:
    model, found = Model(), Prefixes()
    found.begin(is_alone=is_alone)
    found.watch(model)
    model.ask()
    found.settle(is_good=False)
    found.begin(is_alone=is_alone)
    assert model.ask() == 0


def test_other_weights_begin_anew() -> None:
    model, found = watched()
    with torch.no_grad():
        model.lin.weight.add_(1)
    found.begin(is_alone=True)
    assert model.store.num_bytes == 0 and model.ask() == 0
    found.begin(is_alone=True)
    assert model.ask() == STEP
    model.lin = nn.Linear(2, 2)
    found.begin(is_alone=True)
    assert model.ask() == 0


def test_it_is_forgotten_when_it_is_told_so() -> None:
    model, found = watched()
    found.forget()
    assert model.store.num_bytes == 0 and model.ask() == 0


def test_models_that_keep_nothing_are_not_looked_at() -> None:
    found = Prefixes()
    found.watch(nn.Linear(2, 2))
    for is_good in (True, False):
        found.begin(is_alone=True)
        found.settle(is_good=is_good)
    assert found._weights == ()
