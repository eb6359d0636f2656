"""From what is known of the ranks to the one cause."""

from __future__ import annotations

import signal

from mmm_graph.errors import Cancelled, InputError, RunError, problem
from mmm_graph.runtime.supervised import Report
from mmm_graph.runtime.verdict import Seen, hang, verdict


def own(rank: int, when: int, text: str = "failed", code: str = "E701", status: int = 1) -> Seen:
    return Seen(rank, status, when, Report(status, (problem(code, text),)), "add")


def waited(rank: int, when: int, peer: int | None) -> Seen:
    return Seen(rank, 1, when, Report(1, (problem("E720", f"{rank} waits for {peer}"),), peer), "add")


def test_the_first_failure_of_a_ranks_own_is_the_cause() -> None:
    found = verdict([waited(0, 0, 2), own(1, 2, "second"), own(2, 1, "first")])
    assert str(found) == "error[E701] rank 2, while it did `add`: first" and isinstance(found, RunError)


def test_a_signal_is_a_cause() -> None:
    killed = Seen(1, -int(signal.SIGSEGV), 1, note="add", written="Fatal Python error")
    found = str(verdict([waited(0, 0, 1), killed, own(2, 2)]))
    assert "rank 1 was killed by signal 11 (SIGSEGV) while it did `add`" in found and "Fatal" in found
    assert "signal 63 (unknown) before it said what it does" in str(verdict([Seen(0, -63)]))


def test_the_status_decides_the_kind_of_error() -> None:
    assert isinstance(verdict([own(0, 0, status=2)]), InputError)
    assert isinstance(verdict([own(0, 0, status=130)]), Cancelled)
    assert isinstance(verdict([Seen(0, 2)]), InputError) and verdict([Seen(0, 7)]).status == 1


def test_only_what_all_have_is_told_without_a_rank() -> None:
    assert str(verdict([own(0, 0, "a"), own(1, 1, "a"), waited(2, 2, 0)])) == "error[E701] a"
    assert "rank 0" in str(verdict([own(0, 0, "a"), own(1, 1, "b")]))


def test_who_was_silent_is_told_with_its_note() -> None:
    alive = Seen(2, note="conv", stopped=True)
    found = str(verdict([waited(0, 0, 1), waited(1, 1, 2), alive]))
    assert found.startswith(
        "error[E720] 1 waits for 2; rank 2: its last note is `conv` and it is stopped by a signal"
    )
    gone = str(verdict([waited(0, 0, 1), Seen(1, 0, 1)]))
    assert gone.startswith("error[E720] 0 waits for 1; rank 1: it has written no note and it has ended")
    several = str(verdict([waited(0, 0, None), Seen(1, note="a"), Seen(2, note="b")]))
    assert "rank 1: its last note is `a`; rank 2: its last note is `b`" in several


def test_ranks_that_wait_in_a_ring() -> None:
    assert str(verdict([waited(0, 0, 1), waited(1, 1, 0)])).startswith("error[E720] 0 waits for 1")


def test_who_found_another_one_gone_is_no_cause() -> None:
    gone = Seen(0, 1, 0, Report(1, (problem("E720", "rank 1 is gone"),), 1, gone=True))
    assert str(verdict([gone, waited(1, 1, 0)])).startswith("error[E720] 1 waits for 0")
    assert str(verdict([gone, Seen(1, 0)])).startswith(
        "error[E720] rank 1 is gone; rank 1: it has written no note"
    )


def test_a_rank_that_hangs() -> None:
    assert "rank 1 has done nothing for 2 s since: its last note is `add`" in str(
        hang(Seen(1, note="add"), 2.0)
    )
