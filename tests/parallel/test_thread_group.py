import time

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.parallel.thread_group import Board, run_boards, run_members
from tests.parallel import calls

pytestmark = pytest.mark.dist


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("call", calls.ALL, ids=lambda call: call.__name__)
def test_calls(call, size):
    run_members(size, call)


def test_what_was_given_may_be_overwritten():
    def work(group):
        x = torch.full((2,), float(group.index))
        pending = group.gather(x, [(2,)] * 2)
        other = pending.wait()[1 - group.index]
        x.fill_(9)
        return other.tolist()

    assert run_members(2, work) == [[1, 1], [0, 0]]


def test_a_member_that_fails_wakes_the_others():
    def work(group):
        if group.index == 1:
            raise ValueError("broken")
        return group.all_reduce(torch.ones(1))

    start = time.monotonic()
    with pytest.raises(ValueError, match="broken"):
        run_members(3, work, timeout_s=30)
    assert time.monotonic() - start < 5


def test_members_that_wait_are_told_that_another_has_failed():
    board, told = Board([4, 7]), []

    def work(index):
        if index == 1:
            raise ValueError("broken")
        try:
            board.members()[index].all_reduce(torch.ones(1))
        except RunError as error:
            told.append(str(error))

    with pytest.raises(ValueError, match="broken"):
        run_boards([board], work, 2)
    assert "E720" in told[0]
    assert "ranks (4, 7): a sum: the part of rank 7 did not come: another rank has failed" in told[0]


def test_a_silent_member_is_waited_for_so_long_only():
    board = Board([4, 7], timeout_s=0.05)
    with pytest.raises(RunError, match=r"E720.*ranks \(4, 7\).*of rank 7 did not come: waited for 0.05 s"):
        board.members()[0].gather(torch.ones(1), [(1,), (1,)]).wait()
