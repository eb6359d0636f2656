import os
import time

import pytest
import torch
import torch.distributed as dist

from mmm_graph.errors import RunError
from mmm_graph.parallel.process_group import ProcessGroup
from tests.parallel import calls
from tests.parallel.processes import processes

pytestmark = pytest.mark.dist


def all_calls():
    """On the whole world, and on a group whose members have other numbers than its ranks."""
    world = ProcessGroup(dist.group.WORLD)
    for call in calls.ALL:
        call(world)
    last = list(range(1, dist.get_world_size()))
    handle = dist.new_group(last)
    if dist.get_rank() in last and len(last) > 1:
        for call in calls.ALL:
            call(ProcessGroup(handle))
    return len(calls.ALL)


@pytest.mark.parametrize("world", [2, 3])
def test_calls(world):
    assert processes(world, f"{__name__}:all_calls") == [len(calls.ALL)] * world


def on_one_card():
    """gloo takes these tensors through the host."""
    group, shapes = ProcessGroup(dist.group.WORLD), [(3, member + 1) for member in range(2)]
    x = calls.part(group.index, shapes[group.index]).cuda()
    got = group.gather(x, shapes).wait()
    total, swapped = (
        group.all_reduce(got[0]),
        group.swap({1 - group.index: x}, {1 - group.index: shapes[1 - group.index]}, x),
    )
    assert all(y.is_cuda for y in (*got, total, *swapped.values()))
    return [y.cpu() for y in (*got, total, *swapped.values())]


@pytest.mark.gpu
def test_tensors_of_a_card_go_through_the_host_of_gloo():
    for rank, got in enumerate(processes(2, f"{__name__}:on_one_card")):
        parts = [calls.part(member, (3, member + 1)) for member in range(2)]
        assert all(map(torch.equal, got, [*parts, 2 * parts[0], parts[1 - rank]]))


def forgotten():
    """A gather that nobody waits for does not disturb the next one."""
    group = ProcessGroup(dist.group.WORLD)
    shape = (1000, 100)
    for turn in range(5):
        group.gather(torch.full(shape, float(turn)), [shape] * 2)
    got = group.gather(torch.full((3,), float(group.index)), [(3,)] * 2).wait()
    return [x.tolist() for x in got]


def test_a_gather_that_nobody_waits_for_does_no_harm():
    assert processes(2, f"{__name__}:forgotten") == [[[0.0] * 3, [1.0] * 3]] * 2


def with_a_silent_peer():
    group = ProcessGroup(dist.group.WORLD)
    start = time.monotonic()
    if group.index == 1:
        time.sleep(4)
        return "slept"
    try:
        group.gather(torch.ones(3), [(3,)] * 2).wait()
    except RunError as error:
        return str(error), time.monotonic() - start


def test_a_silent_peer_is_an_error_that_names_the_ranks_and_the_wait():
    (text, seconds), _ = processes(2, f"{__name__}:with_a_silent_peer", silent_s=1.5, ends_well=False)
    assert "E720" in text
    assert "rank 0 waited for a gather among ranks (0, 1)" in text
    assert "hint: a rank is stuck or has failed" in text
    assert seconds < 4


def with_a_dead_peer():
    group = ProcessGroup(dist.group.WORLD)
    group.all_reduce(torch.ones(1))
    if group.index == 1:
        os._exit(0)
    start = time.monotonic()
    try:
        group.all_to_all([torch.ones(3)] * 2, [(3,)] * 2)
    except RunError as error:
        return str(error), time.monotonic() - start


def test_a_dead_peer_is_an_error_at_once():
    (text, seconds), _ = processes(2, f"{__name__}:with_a_dead_peer", silent_s=30, ends_well=False)
    assert "E720" in text
    assert "rank 0 waited for an all-to-all among ranks (0, 1)" in text
    assert seconds < 10
