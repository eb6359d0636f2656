"""Turns of an `until` loop on two ranks, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmm_graph.plan.ops import TURN, At, Instruction, Recv, Repeat, Run, Send, Value
from mmm_graph.plan.turns import turns_s


def value(name: str, request: str = "0") -> Value:
    return Value(request, name, (TURN,))


def run(name: str, reads: tuple[str, ...], request: str = "0") -> Run:
    read = tuple((n, value(n, request)) for n in reads)
    return Run(("op", name), read, ((name, value(name, request)),), At(request, name, (TURN,)))


def loop(rank: int, limit: int, request: str = "0") -> Repeat:
    """Rank 1 picks a token, rank 0 does the first half of a model and rank 1 the second."""
    bodies: tuple[tuple[Instruction, ...], ...] = (
        (Recv(value("pick", request), 1), run("first", ("pick",), request), Send(value("first", request), 1)),
        (run("pick", ("carry",), request), Send(value("pick", request), 0), Recv(value("first", request), 0),
         run("second", ("first",), request)),
    )  # fmt: skip
    carried = ((value("carry", request), value("second", request)),)
    return Repeat("loop", request, (), bodies[rank], (), carried if rank else (), None, limit)


def seconds(programs: dict[int, Repeat], message_s: float = 0.5) -> float:
    return turns_s(programs, lambda fn, at: 1.0, lambda sent: message_s)


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 100])
def test_turns_follow_each_other(limit: int) -> None:
    """pick, message, first, message, second."""
    assert seconds({rank: loop(rank, limit) for rank in (0, 1)}) == pytest.approx(4 * limit)


def test_one_rank() -> None:
    alone = Repeat("loop", "0", (), (run("a", ()), run("b", ("a",))), limit=50)
    assert seconds({0: alone}) == pytest.approx(100)
    inner = replace(alone, body=(run("a", ()), replace(alone, limit=3)))
    assert seconds({0: inner}) == pytest.approx(50 * (1 + 3 * 2))


def test_loops_beside_are_done_in_the_order_of_the_ranks() -> None:
    """Turn after turn, request after request: where no head is told, rank 1 waits for the first request alone."""
    programs = {rank: replace(loop(rank, 10), beside=(loop(rank, 10, "1"),)) for rank in (0, 1)}
    assert seconds(programs) == pytest.approx(80)


def test_the_head_of_a_turn_comes_before_the_others_loops_turn() -> None:
    """Rank 1 picks for the first request, then does the second half of the other one, while rank 0 does the first."""

    def headed(rank: int, request: str = "0") -> Repeat:
        return replace(loop(rank, 100, request), head=(1, 2)[rank])

    programs = {rank: replace(headed(rank), beside=(headed(rank, "1"),)) for rank in (0, 1)}
    assert seconds(programs) == pytest.approx(4 * 100, rel=0.02)  # pick and second of both
    assert seconds({rank: headed(rank) for rank in (0, 1)}) == pytest.approx(4 * 100)


def test_ranks_that_do_not_wait_for_each_other_overlap() -> None:
    """Two stages without a way back: the slower one says how long a turn takes."""
    first = Repeat("loop", "0", (), (run("a", ()), Send(value("a"), 1)), limit=100)
    second = replace(first, body=(Recv(value("a"), 0), run("b", ("a",)), run("c", ("b",))))
    assert seconds({0: first, 1: second}) == pytest.approx(1 + 0.5 + 2 * 100)
