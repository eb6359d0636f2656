"""Why a run of several processes failed: what is known of each rank -> one error; no torch."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmm_graph.errors import Cancelled, InputError, MmmError, Problem, RunError, problem
from mmm_graph.runtime.supervised import Report

STATUS: dict[int, Callable[[Sequence[Problem]], MmmError]] = {2: InputError, 130: Cancelled}
SLOW = "a longer time-out helps where it only was slow"


@dataclass(frozen=True)
class Seen:
    """What is known of a rank when the first one has failed and the others have had time to say something.

    Attributes:
        status: exit status, negative for a signal; None = it runs.
        when: order in which ranks ended; without meaning for one that runs.
        note: what it said last that it does.
        stopped: it was stopped by a signal.
        written: last lines of its stderr, where those were captured.
    """

    rank: int
    status: int | None = None
    when: int = 0
    report: Report | None = None
    note: str = ""
    stopped: bool = False
    written: str = ""

    @property
    def waited(self) -> bool:
        """It failed only because another rank did, or was silent."""
        return self.report is not None and {p.code for p in self.report.problems} == {"E720"}


def verdict(ranks: Sequence[Seen]) -> MmmError:
    """The root cause: of ranks that failed by themselves the first; else who was silent while the others waited."""
    failed = sorted((r for r in ranks if r.status), key=lambda r: r.when)
    own = [r for r in failed if not r.waited]
    if own:
        return _own(own[0], failed)
    return _silent(failed, ranks)


def hang(rank: Seen, idle_s: float) -> MmmError:
    """The error of a rank that does nothing while another one has ended long ago."""
    message = f"a rank has ended, and rank {rank.rank} has done nothing for {idle_s:g} s since: {_does(rank)}"
    return RunError(problem("E720", message, hint=SLOW))


def _own(rank: Seen, failed: Sequence[Seen]) -> MmmError:
    if rank.report is not None:
        return _reported(rank, rank.report, failed)
    status = rank.status or 0
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else "unknown"
        hint = "the kernel kills what takes too much memory" if name == "SIGKILL" else _written(rank)
        message = f"rank {rank.rank} was killed by signal {-status} ({name}) {_while(rank)}"
        return RunError(problem("E727", message, hint=hint))
    message = f"rank {rank.rank} ended with status {status} {_while(rank)}"
    return STATUS.get(status, RunError)([problem("E727", message, hint=_written(rank))])


def _reported(rank: Seen, report: Report, failed: Sequence[Seen]) -> MmmError:
    """Its own problems; they are not ascribed to it where all that failed have the same."""
    others = [r.report.problems for r in failed if r.report is not None and not r.waited and r is not rank]
    make = STATUS.get(report.status, RunError)
    if not report.problems:  # it has told the user itself
        return make(())
    if others and all(found == report.problems for found in others):
        return make(report.problems)
    first, *rest = report.problems
    where = f"rank {rank.rank}, {_while(rank)}: "
    named = Problem(first.code, where + first.message, first.place, first.hint, first.severity)
    return make([named, *rest])


def _silent(failed: Sequence[Seen], ranks: Sequence[Seen]) -> MmmError:
    """Follow who waited for whom; the last that did tells most. Who found another one gone only followed it."""
    waiting = {r.rank: r for r in failed if r.report is not None and not r.report.gone}
    last, seen = next(iter(waiting.values()), failed[0]), set[int]()
    while last.report is not None and last.report.peer in waiting.keys() - seen:
        seen.add(last.report.peer)
        last = waiting[last.report.peer]
    assert last.report is not None
    found = last.report.problems[0]
    others = [r for r in ranks if not r.status]
    wanted = [r for r in others if r.rank == last.report.peer] or [r for r in others if r.status is None]
    told = "; ".join(f"rank {r.rank}: {_does(r)}" for r in wanted)
    message = f"{found.message}; {told}" if told else found.message
    return RunError(problem("E720", message, found.place, found.hint or SLOW))


def _while(rank: Seen) -> str:
    return f"while it did `{rank.note}`" if rank.note else "before it said what it does"


def _does(rank: Seen) -> str:
    ended = " and it has ended" if rank.status == 0 else " and it is stopped by a signal" * rank.stopped
    return (f"its last note is `{rank.note}`" if rank.note else "it has written no note") + ended


def _written(rank: Seen) -> str:
    return f"it wrote:\n{rank.written}" if rank.written else ""
