"""Place in the stream -> sample."""

from __future__ import annotations

from collections import Counter

import pytest

from mmm_graph.train.order import Grouped, Mixed, Pick, Shuffled


def test_an_order_may_be_entered_anywhere() -> None:
    order = Shuffled(7, 3)
    forward = [order.at(p) for p in range(40)]
    assert [Shuffled(7, 3).at(p) for p in reversed(range(40))] == forward[::-1]
    assert {p.epoch for p in forward[14:21]} == {2}
    assert Shuffled(3, None).at(4) == Pick(1, 1)


@pytest.mark.parametrize("weights", [(0.7, 0.2, 0.1), (1, 1, 1), (5, 1, 0.01)], ids=["skew", "even", "rare"])
def test_a_mixture_keeps_its_shares_in_every_window(weights: tuple[float, ...]) -> None:
    mixed = Mixed([(0, Shuffled(5, 1)), (5, Shuffled(6, 2)), (11, Shuffled(7, 3))], weights)
    sources = [mixed.source(p) for p in range(900)]
    seen = Counter[int]()
    for position, (source, place) in enumerate(sources):
        assert place == seen[source]  # each source goes on where it stopped
        seen[source] += 1
        for i, weight in enumerate(weights):
            assert abs(seen[i] - weight / sum(weights) * (position + 1)) < 2
    own = [mixed.at(p) for p, (source, _) in enumerate(sources) if source == 0]
    assert own == [Shuffled(5, 1).at(k) for k in range(len(own))]


def test_equal_weights_take_turns() -> None:
    mixed = Mixed([(0, Shuffled(5, None)), (5, Shuffled(5, None))], [1, 1])
    assert len({mixed.source(p)[0] for p in range(0, 20, 2)}) == 1
    assert sorted(mixed.at(p).index for p in range(10)) == list(range(10))


def test_groups_hold_samples_alike_and_lose_none() -> None:
    order = Shuffled(50, 1)
    grouped = Grouped(order, 5, 4, lambda pick: (pick.index % 10,), 9)
    picks = [grouped.at(p) for p in range(100)]
    assert sorted(p.index for p in picks) == sorted(2 * list(range(50)))
    assert {p.index for p in picks[:20]} == {order.at(p).index for p in range(20)}
    spread = [max(k) - min(k) for i in range(0, 100, 5) for k in [[p.index % 10 for p in picks[i : i + 5]]]]
    plain = [
        max(k) - min(k) for i in range(0, 100, 5) for k in [[order.at(p).index % 10 for p in range(i, i + 5)]]
    ]
    assert sum(spread) < sum(plain) / 2
    again = Grouped(Shuffled(50, 1), 5, 4, lambda pick: (pick.index % 10,), 9)
    assert [again.at(p) for p in (77, 3, 98, 21)] == [picks[p] for p in (77, 3, 98, 21)]
