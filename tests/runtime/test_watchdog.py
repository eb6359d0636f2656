"""When a world hangs: a rank that stands still, or a run in which nothing begins any more."""

from __future__ import annotations

from typing import Any

import pytest
import torch.distributed as dist

from mmm_graph.runtime.watchdog import Beat, Watchdog, _Seen, connect


def beats(*found: tuple[int, int, bool]) -> list[Beat]:
    return [Beat(*one) for one in found]


def test_a_beat_goes_through_the_store() -> None:
    assert Beat.of(Beat(3, 14, True).text()) == Beat(3, 14, True)


def test_a_rank_that_stands_still_is_named() -> None:
    seen = _Seen(2, 0.0)
    for now in range(1, 5):
        assert seen.verdict(beats((now, now, True), (1, 1, True)), now, 3.0) is None
    assert seen.verdict(beats((5, 5, True), (1, 1, True)), 5.0, 3.0) == (1, "rank 1 has stood still for 3 s")


def test_a_run_that_gets_no_further_ends() -> None:
    seen = _Seen(2, 0.0)
    for now in (1, 2, 3, 4):
        assert seen.verdict(beats((now, 7, True), (now, 9, True)), now, 3.0) is None
    found = seen.verdict(beats((5, 7, True), (5, 9, True)), 5.0, 3.0)
    assert found == (None, "no rank has got any further for 3 s")


def test_outside_of_a_run_and_while_one_rank_works_there_is_time() -> None:
    seen = _Seen(2, 0.0)
    for now in range(1, 50):
        assert seen.verdict(beats((now, 7, True), (now, 9, False)), now, 3.0) is None
    for now in range(50, 99):
        assert seen.verdict(beats((now, 7, True), (now, now, True)), now, 3.0) is None


def test_the_process_ends_with_what_it_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    told: list[Any] = []
    monkeypatch.setattr("mmm_graph.runtime.watchdog.end_process", told.append)
    dog = Watchdog(0, 2, 0.5, connect("127.0.0.1", store.port, 5.0))
    store.set("mmm/beat/1", Beat(0, 0, True).text())
    dog.note("waits for x from rank 1")
    while not told:
        pass
    dog.end()
    assert told[0].peer == 1 and "waits for x from rank 1" in str(told[0]) and "E720" in str(told[0])
