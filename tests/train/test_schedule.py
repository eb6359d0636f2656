"""Learning-rate factors at known steps."""

from __future__ import annotations

import math

import pytest

from mmm_graph.train.schedule import lr_factor, warmup_steps


def test_warmup_is_a_fraction_below_one_and_steps_from_one() -> None:
    assert warmup_steps(0.03, 1000) == 30
    assert warmup_steps(1, 1000) == 1
    assert warmup_steps(1875, 100000) == 1875
    assert warmup_steps(0, 1000) == 0


def test_warmup_rises_to_one_then_the_schedule_falls() -> None:
    factors = [lr_factor(s, schedule="linear", steps=12, warmup=4) for s in range(12)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4:] == pytest.approx([1 - i / 8 for i in range(8)])


def test_cosine_is_the_half_wave() -> None:
    factors = [lr_factor(s, schedule="cosine", steps=10) for s in range(11)]
    assert factors == pytest.approx([(1 + math.cos(math.pi * s / 10)) / 2 for s in range(11)])
    assert factors[10] == 0


def test_a_floor_is_where_the_schedule_ends() -> None:
    plain = [lr_factor(s, schedule="cosine", steps=10, warmup=2) for s in range(11)]
    factors = [lr_factor(s, schedule="cosine", steps=10, warmup=2, floor=0.5) for s in range(11)]
    assert factors == pytest.approx([*plain[:2], *[0.5 + f / 2 for f in plain[2:]]])
    assert factors[10] == 0.5


def test_constant_stays_and_unknown_names_are_refused() -> None:
    assert [lr_factor(s, schedule="constant", steps=3) for s in range(3)] == [1, 1, 1]
    with pytest.raises(KeyError):
        lr_factor(0, schedule="triangle", steps=3)
