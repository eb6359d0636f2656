"""What cannot be had without devices: the way by the host, and the book-keeping of NCCL with a stand-in for it."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
import torch.distributed as dist

from mmm_graph.runtime.wires import Gloo, Nccl, Staged


class Host:
    """A wire to oneself."""

    def __init__(self) -> None:
        self.sent: list[tuple[torch.Tensor, int, str]] = []

    def send(self, payload: torch.Tensor, to: int, lane: str) -> None:
        self.sent.append((payload, to, lane))

    def recv(self, payload: torch.Tensor, source: int, lane: str) -> Host:
        self.room = payload
        return self

    def wait(self, timeout_s: float) -> None:
        self.room.copy_(self.sent.pop()[0])

    def flush(self, timeout_s: float) -> None:
        assert not self.sent


def test_staged_tensors_are_copied_on_both_sides() -> None:
    wire, x, y = Staged(Host()), torch.arange(4, dtype=torch.uint8), torch.zeros(4, dtype=torch.uint8)
    wire.send(x, 1, "late")
    arrival = wire.recv(y, 0, "late")
    x.zero_()
    arrival.wait(1.0)
    wire.flush(1.0)
    assert y.tolist() == [0, 1, 2, 3]


class Work:
    """Of NCCL or gloo: over after some looks, or never."""

    def __init__(self, looks: float) -> None:
        self.looks, self.waited = looks, 0

    def is_completed(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def wait(self, *timeout: Any) -> None:
        self.waited += 1
        if self.looks == float("inf"):
            raise RuntimeError("closed")


@pytest.fixture
def nccl(monkeypatch: pytest.MonkeyPatch) -> tuple[Nccl, list[Any], list[Work]]:
    calls, works = list[Any](), list[Work]()

    def peer(x: torch.Tensor, rank: int, group: str) -> Work:
        calls.append((rank, group))
        return works.pop(0)

    monkeypatch.setattr(dist, "new_group", lambda ranks, timeout, backend: f"{backend}{ranks}{len(calls)}")
    monkeypatch.setattr(dist, "all_reduce", lambda x, group: calls.append(group))
    monkeypatch.setattr(dist, "isend", peer)
    monkeypatch.setattr(dist, "irecv", peer)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    return Nccl(1, torch.device("cpu")), calls, works


def test_each_lane_of_an_edge_has_its_communicator(nccl: tuple[Nccl, list[Any], list[Work]]) -> None:
    wire, calls, works = nccl
    wire.open([(0, 1), (0, 2), (1, 0)])
    assert calls == [
        "nccl[0, 1]0",
        "nccl[0, 1]1",
        "nccl[0, 1]2",
        "nccl[0, 1]3",
    ]  # (0, 2) is made, but not its own
    works += [Work(1), Work(0), Work(2)]
    x = torch.zeros(1)
    wire.send(x, 0, "late")
    wire.send(x, 0, "declared")
    assert [group for _, group in calls[4:]] == ["nccl[0, 1]2", "nccl[0, 1]3"] and len(wire.kept) == 2
    arrival = wire.recv(x, 0, "late")
    arrival.wait(1.0)
    assert calls[6] == (0, "nccl[0, 1]0") and arrival.work.waited == 1  # type: ignore[attr-defined]
    wire.flush(1.0)
    assert not wire.kept


def test_nccl_that_does_not_bring_it(nccl: tuple[Nccl, list[Any], list[Work]]) -> None:
    wire, _, works = nccl
    wire.open([(0, 1)])
    works.append(Work(float("inf")))
    with pytest.raises(RuntimeError, match="in time"):
        wire.recv(torch.zeros(1), 0, "late").wait(0.05)


class Group:
    """One of gloo, whose sends take a while or fail."""

    def __init__(self, work: Work, takes_s: float = 0.0) -> None:
        self.work, self.takes_s = work, takes_s

    def send(self, xs: list[torch.Tensor], to: int, tag: int) -> Group:
        return self

    def recv(self, xs: list[torch.Tensor], source: int, tag: int) -> Group:
        return self

    def wait(self, timeout: Any) -> None:
        time.sleep(self.takes_s)
        self.work.wait()


def test_sent_tensors_are_kept_until_they_are_gone() -> None:
    work = Work(0)
    wire = Gloo(Group(work, 0.2))  # type: ignore[arg-type]
    for _ in range(2):
        wire.send(torch.zeros(1), 1, "late")
    with pytest.raises(RuntimeError, match="rank 1 has not taken"):
        wire.flush(0.05)
    wire.flush(5.0)
    assert work.waited == 2
    wire.end()


def test_a_send_that_failed_is_told_at_the_next() -> None:
    wire = Gloo(Group(Work(float("inf"))))  # type: ignore[arg-type]
    wire.send(torch.zeros(1), 1, "late")
    for again in (lambda: wire.flush(5.0), lambda: wire.send(torch.zeros(1), 1, "late")):
        with pytest.raises(RuntimeError, match="not taken what was sent before: closed"):
            again()
    wire.abort()
