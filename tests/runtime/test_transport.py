"""Messages between ranks that are threads."""

from __future__ import annotations

import time

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.runtime.transport import Local, Threads, Transport, run_threads


def test_messages_of_an_edge_keep_their_order_whatever_is_waited_for_first() -> None:
    world = Threads(2)
    a, b = world.at(0), world.at(1)
    first, second, other = b.recv(0, False), b.recv(0, False), b.recv(0, True)
    a.send(1, 1, False)
    a.send("late", 1, True)
    a.send(2, 1, False)
    assert second.wait() == 2 and other.wait() == "late" and first.wait() == 1 and first.wait() == 1


def test_a_sent_tensor_may_be_overwritten() -> None:
    world = Threads(2)
    x = torch.ones(2)
    world.at(0).send(x, 1, False)
    x.zero_()
    assert torch.equal(world.at(1).recv(0, False).wait(), torch.ones(2))


def test_a_message_that_does_not_come() -> None:
    with pytest.raises(RunError, match=r"E720.*from rank 0 to rank 1"):
        Threads(2, timeout_s=0.1).at(1).recv(0, False).wait()


def test_a_rank_that_fails_wakes_the_others() -> None:
    def work(rank: int, transport: Transport) -> None:
        if rank == 0:
            raise ZeroDivisionError("rank 0")
        transport.recv(0, False).wait()

    began = time.perf_counter()
    with pytest.raises(ZeroDivisionError):
        run_threads(2, work)
    assert time.perf_counter() - began < 5


def test_a_world_of_one_never_sends() -> None:
    with pytest.raises(AssertionError):
        Local().send(1, 0, False)
    with pytest.raises(AssertionError):
        Local().recv(0, False)
