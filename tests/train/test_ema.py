"""The average against its formula."""

from __future__ import annotations

import pytest
import torch

from mmm_graph.train.ema import Ema


def test_follows_the_formula_with_warm_up() -> None:
    weight = torch.zeros(2)
    ema = Ema({"w": weight}, decay=0.9)
    expected = 0.0
    for step in range(200):
        weight.fill_(step + 1.0)
        ema.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step + 1.0)
    assert ema.averages["w"].tolist() == pytest.approx([expected] * 2, rel=1e-5)
    assert ema.decay_at(0) == 0.1 and ema.decay_at(1000) == 0.9


def test_swapped_puts_averages_in_and_takes_them_out_again() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    ema = Ema({"w": weight}, decay=0.5)
    with torch.no_grad():
        weight.fill_(5.0)
    with pytest.raises(ZeroDivisionError), ema.swapped():
        assert weight.tolist() == [1.0] * 3
        raise ZeroDivisionError
    assert weight.tolist() == [5.0] * 3


def test_load_needs_every_name() -> None:
    ema = Ema({"a": torch.zeros(1), "b": torch.zeros(1)}, decay=0.5)
    ema.load({"a": torch.ones(1), "b": torch.ones(1)})
    assert ema.averages["b"].item() == 1
    with pytest.raises(KeyError):
        ema.load({"a": torch.ones(1)})
