"""When a loss counts as exploded."""

from __future__ import annotations

from mmm_graph.spec.watching import StopSpec
from mmm_graph.train.spike import FEWEST, Spikes


def test_nothing_is_said_by_default() -> None:
    assert Spikes(None).look(1e30) == ""


def test_above_a_number_from_the_first_step() -> None:
    spikes = Spikes(StopSpec(loss_above=10))
    assert [spikes.look(x) for x in (3.0, 10.0)] == ["", ""]
    assert spikes.look(10.5) == "the loss is 10.5, above 10"


def test_above_a_multiple_of_the_running_median() -> None:
    spikes = Spikes(StopSpec(times_median=5))
    assert [spikes.look(x) for x in (100.0, 1000.0)] == ["", ""]  # too early to tell
    for number in range(FEWEST):
        assert spikes.look(2.0 + number % 3 / 10) == ""
    resumed = Spikes(StopSpec(times_median=5))
    resumed.load(spikes.state())
    for one in (spikes, resumed):
        assert one.look(10.0) == ""
        assert "above 5 times the median of the last 23 steps (2.1)" in one.look(11.0)


def test_a_loss_that_may_be_negative_has_no_multiple() -> None:
    spikes = Spikes(StopSpec(times_median=2))
    assert all(spikes.look(-1.0) == "" for _ in range(FEWEST + 1))
    assert spikes.look(5.0) == ""
