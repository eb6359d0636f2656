"""Worlds: of one, of threads, of processes. What a rank can ask of the others is the same in all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.parallel.group import ALONE
from mmm_graph.plan.ops import Value
from mmm_graph.runtime.process_world import ProcessWorld
from mmm_graph.runtime.world import LocalWorld, ThreadWorld, World
from tests.runtime.test_distributed import run

X = Value("r", "node.x")
VARIABLES = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "1",
    "LOCAL_RANK": "1",
}


def test_a_world_of_one() -> None:
    world: World = LocalWorld()
    assert (world.rank, world.size, world.device.type) == (0, 1, "cpu")
    assert world.group([0]) is ALONE and world.gather(3) == [3]
    world.open([])
    world.agree("plan", "a")
    world.note("add")
    world.transport().flush()
    world.close()


@pytest.mark.dist
def test_ranks_that_are_threads() -> None:
    def work(world: World) -> Any:
        world.note("sum")
        world.agree("plan", "a")
        world.open([(0, 2)])
        pair, everybody = world.group([0, 2]), world.group(range(3))
        assert world.group((0, 2)) is pair and everybody is not None
        assert world.group([1]) is (ALONE if world.rank == 1 else None)
        total = everybody.all_reduce(torch.tensor([1.0 + world.rank]))
        if pair is not None:
            assert (pair.index, pair.size) == (world.rank // 2, 2)
        turned = world.group([2, 0, 1])
        assert turned is not None and turned.index == (1, 2, 0)[world.rank]
        own = torch.tensor([world.rank])
        assert [int(x) for x in turned.gather(own, [(1,)] * 3).wait()] == [2, 0, 1]
        if world.rank == 0:
            world.transport().send(total, X, 2, late=True)
        if world.rank == 2:
            assert world.transport().recv(X, 0, late=True).wait().equal(total)
        world.close()
        return world.gather({"x": torch.tensor(world.rank), "total": float(total)})

    found = ThreadWorld(3).run(work)
    assert found == [[{"x": torch.tensor(r), "total": 6.0} for r in range(3)]] * 3


def in_message(world: World) -> None:
    world.transport().recv(X, 0, late=True).wait()


def in_group(world: World) -> None:
    group = world.group([0, 1])
    assert group is not None
    group.all_reduce(torch.ones(1))


def in_meeting(world: World) -> None:
    world.gather(1)


@pytest.mark.dist
@pytest.mark.parametrize("wait", [in_message, in_group, in_meeting])
def test_a_thread_that_fails_wakes_the_others_wherever_they_wait(wait: Callable[[World], None]) -> None:
    def work(world: World) -> None:
        world.open([(0, 1)])
        if world.rank == 0:
            if wait is in_group:
                world.group([0, 1])
            time.sleep(0.1)
            raise ZeroDivisionError
        wait(world)

    began = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        ThreadWorld(2).run(work)
    assert time.monotonic() - began < 5
    assert not [t for t in threading.enumerate() if t.name.startswith("rank")]


@pytest.mark.dist
def test_the_cause_is_raised_not_who_waited() -> None:
    def work(world: World) -> None:
        world.open([(0, 1)])
        if world.rank == 1:
            in_message(world)
        time.sleep(0.3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ThreadWorld(2, timeout_s=0.1).run(work)


@pytest.mark.dist
@pytest.mark.parametrize("wait", [in_message, in_group, in_meeting])
def test_a_thread_that_does_not_come(wait: Callable[[World], None]) -> None:
    def work(world: World) -> None:
        world.open([(0, 1)])
        if world.rank == 1:
            wait(world)

    with pytest.raises(RunError, match="E720"):
        ThreadWorld(2, timeout_s=0.1).run(work)


@pytest.mark.dist
def test_threads_that_differ() -> None:
    def work(world: World) -> None:
        world.agree("set of plugins", "b" if world.rank in (0, 3) else "a")

    with pytest.raises(
        RunError, match=r"E725. ranks 0, 3 have another set of plugins \(b\) than the other 3 \(a\)"
    ):
        ThreadWorld(5).run(work)


@pytest.mark.dist
def test_groups_are_made_by_all_alike() -> None:
    def unlike(world: World) -> None:
        world.group([0, 1] if world.rank else [0, 2])

    with pytest.raises(AssertionError, match="group 0"):
        ThreadWorld(3).run(unlike)
    for ranks in ([0, 0], [0, 3], []):
        with pytest.raises(AssertionError):
            ThreadWorld(3).run(lambda world, ranks=ranks: world.group(ranks))


@pytest.mark.dist
def test_messages_go_along_edges_that_are_open() -> None:
    def work(world: World) -> None:
        world.open([(1, 0)])
        if world.rank == 0:
            world.transport().send(1, X, 1, late=True)

    with pytest.raises(AssertionError, match="not opened"):
        ThreadWorld(2).run(work)


@pytest.mark.dist
def test_ranks_that_are_processes() -> None:
    assert run("meetings", 3) is None


@pytest.mark.dist
def test_processes_that_differ() -> None:
    text = str(run("differ", 3))
    assert text.startswith("error[E725] rank 1 has another set of plugins (b) than the other 2 (a)\n")


@pytest.mark.dist
def test_a_process_that_does_not_come() -> None:
    text = str(run("alone", 2))
    assert "E720] rank 0 waited 1 s for `a meeting of all ranks` from rank 1 in vain" in text
    assert "rank 1: its last note is `sleeps`" in text


def test_a_process_that_is_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match=r"E726.*RANK.*MASTER_ADDR.*is missing\n.*torchrun"):
        ProcessWorld.from_env()


@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="there are enough devices")
def test_too_few_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=r"E726. 2 ranks of this machine need a device each"):
        ProcessWorld.from_env(1.0, "cuda")


@pytest.mark.dist
def test_a_world_that_does_not_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=r"E726. rank 1 did not meet the other 1 at 127.0.0.1:1"):
        ProcessWorld.from_env(1.0)
