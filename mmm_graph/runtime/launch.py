"""Starts the ranks of a run as processes of this machine, and ends them all when one fails; no torch."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from mmm_graph.errors import Cancelled, MmmError, problem
from mmm_graph.runtime.notes import Notes
from mmm_graph.runtime.supervised import NOTES, PIPE, REPORT, Report, read_report
from mmm_graph.runtime.verdict import Seen, hang, verdict

POLL_S = 0.02
GRACE_S = 5.0
"""Time from the request to end until the kill."""
SETTLE_S, SETTLE_LOST_S = 0.5, 3.0
"""Time for other ranks to say why they fail too: after a failure of a rank's own, and after one that waited in vain."""
TAIL_BYTES, TAIL_LINES = 4000, 8
LAST = 10**6
"""Place in the order of ranks that end, of one that has not ended yet."""


def program(*words: str) -> list[str]:
    """The command of `mmm WORDS` in this Python."""
    return [sys.executable, "-m", "mmm_graph", *words]


def launch(
    command: Sequence[str],
    ranks: int,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
    tell: Callable[[MmmError], object] = lambda error: print(error, file=sys.stderr),
    grace_s: float | None = None,
) -> int:
    """Run `command` as that many ranks, with the environment of torchrun, until all have ended or one has failed.

    Rank 0 writes to the terminal, what the others write is captured. None has an input. No rank outlives this call,
    nor this process, provided that it calls `supervised.follow_launcher`; what a rank starts ends with the call.

    Args:
        command: see `program`.
        timeout_s: once a rank has ended, another one fails when it writes no note for so long.
        env: more of the environment.
        tell: given the one error of a run that failed.
        grace_s: time from the request to end, by Ctrl-C for instance, until the kill; None = GRACE_S.

    Returns:
        0; or the status of that error: 1, 2 = the input is wrong, 130 = cancelled (Ctrl-C, SIGTERM).
    """
    with tempfile.TemporaryDirectory(prefix="mmm-") as folder, _interrupts() as interrupts:
        times_s = timeout_s, GRACE_S if grace_s is None else grace_s
        error = _Launch(command, ranks, times_s, Path(folder)).run(env or {}, interrupts)
    if error is None:
        return 0
    if error.problems:
        tell(error)
    return error.status


class _Launch:
    """One run.

    Args:
        times_s: the time-out of `launch`, and the grace.
        folder: for notes, reports and what is captured.
    """

    def __init__(
        self, command: Sequence[str], ranks: int, times_s: tuple[float, float], folder: Path
    ) -> None:
        self.command, self.folder = list(command), folder
        self.timeout_s, self.grace_s = times_s
        self.notes = Notes.create(folder / "notes", ranks)
        self.ranks = [_Rank(rank, folder) for rank in range(ranks)]

    def run(self, env: Mapping[str, str], interrupts: list[int]) -> MmmError | None:
        """Why it failed, or None."""
        mine, pipe = os.pipe()  # this process has the only end to write to
        try:
            common = _environment(self.command, len(self.ranks)) | {
                PIPE: str(mine),
                NOTES: str(self.folder / "notes"),
            }
            for rank in self.ranks:
                rank.start(self.command, {**os.environ, **common, **env}, mine)
            error = self._watch(interrupts)
            if isinstance(error, Cancelled) and interrupts:
                self._end(signal.SIGINT, interrupts)
            return error
        finally:
            self._end(signal.SIGTERM, interrupts)
            self.notes.close()
            os.close(pipe)
            os.close(mine)

    def _watch(self, interrupts: Sequence[int]) -> MmmError | None:
        ended = 0
        failed_at: float | None = None
        while True:
            now = time.monotonic()
            for rank in self.ranks:
                if rank.poll(ended, self.notes, now):
                    ended += 1
                    failed_at = now if rank.status and failed_at is None else failed_at
            if interrupts:
                return Cancelled(problem("E730", "cancelled"))
            if failed_at is None and ended == len(self.ranks):
                return None
            if failed_at is not None and (ended == len(self.ranks) or now - failed_at > self._settle_s()):
                return verdict([rank.seen(self.notes) for rank in self.ranks])
            idle = self._idle(now) if ended else None
            if idle is not None and failed_at is None:
                return hang(idle.seen(self.notes), self.timeout_s)
            time.sleep(POLL_S)

    def _settle_s(self) -> float:
        failed = [rank.seen(self.notes) for rank in self.ranks if rank.status]
        return SETTLE_LOST_S if all(seen.waited for seen in failed) else SETTLE_S

    def _idle(self, now: float) -> _Rank | None:
        """A rank that has done nothing for longer than anybody would wait for it, since one has ended."""
        since = min(rank.ended_at for rank in self.ranks if rank.ended_at is not None)
        limit = self.timeout_s + SETTLE_S
        idle = [r for r in self.ranks if r.status is None and now - max(since, r.noted_at) > limit]
        return idle[0] if idle else None

    def _end(self, how: signal.Signals, interrupts: list[int]) -> None:
        """Ask all that run to end; kill them after the grace, or at one more Ctrl-C."""
        before, until = len(interrupts), time.monotonic() + self.grace_s
        for rank in self.ranks:
            rank.signal(how)
        while any(rank.runs() for rank in self.ranks):
            if time.monotonic() > until or len(interrupts) > before:
                break
            time.sleep(POLL_S)
        for rank in self.ranks:
            rank.kill()


class _Rank:
    """One process, with what it has left behind."""

    def __init__(self, rank: int, folder: Path) -> None:
        self.rank, self.folder = rank, folder
        self.status: int | None = None
        self.order = 0
        self.ended_at: float | None = None
        self.report: Report | None = None
        self.count, self.noted_at = 0, time.monotonic()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], env: Mapping[str, str], pipe: int) -> None:
        own = {
            "RANK": str(self.rank),
            "LOCAL_RANK": str(self.rank),
            REPORT: str(self._report()),
        }
        with self._output().open("wb") as output:
            captured = None if self.rank == 0 else output
            self.process = subprocess.Popen(
                command,
                env={**env, **own},
                stdin=subprocess.DEVNULL,
                stdout=captured,
                stderr=captured,
                pass_fds=(pipe,),
                start_new_session=True,  # Ctrl-C comes here only; what the rank starts is in its group
            )

    def poll(self, ended: int, notes: Notes, now: float) -> bool:
        """Look after it; True = it has ended since the last time."""
        assert self.process is not None
        count, _ = notes.read(self.rank)
        if count != self.count:
            self.count, self.noted_at = count, now
        if self.status is not None or self.process.poll() is None:
            return False
        self.status, self.order, self.ended_at = self.process.returncode, ended, now
        _signal_group(self.process.pid, signal.SIGKILL)  # what it has started and left
        self.report = read_report(self._report())
        return True

    def seen(self, notes: Notes) -> Seen:
        """For the verdict."""
        assert self.process is not None
        stopped = self.status is None and _is_stopped(self.process.pid)
        status, order, report = self.status, self.order, self.report
        if status is None and (report := read_report(self._report())) is not None:
            status, order = report.status, LAST  # it is about to end
        return Seen(self.rank, status, order, report, notes.read(self.rank)[1], stopped, self._written())

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, how: signal.Signals) -> None:
        """Ask it to end, and what it has started; a stopped one goes on to hear it."""
        if self.process is not None and self.process.poll() is None:
            _signal_group(self.process.pid, how)
            _signal_group(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it, and what it has started."""
        if self.process is not None and self.status is None:
            _signal_group(self.process.pid, signal.SIGKILL)
            self.status = self.process.wait()

    def _report(self) -> Path:
        return self.folder / f"report-{self.rank}"

    def _output(self) -> Path:
        return self.folder / f"output-{self.rank}"

    def _written(self) -> str:
        data = self._output().read_bytes()[-TAIL_BYTES:]
        return "\n".join(data.decode(errors="replace").strip().splitlines()[-TAIL_LINES:])


def _environment(command: Sequence[str], ranks: int) -> dict[str, str]:
    """What torchrun would set, and what keeps ranks of one machine out of each other's way."""
    env = {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    wanted = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # warnings of connections that end are no second message
    if not any(word == "--threads" or word.startswith("--threads=") for word in command):
        wanted["OMP_NUM_THREADS"] = str(max(1, _cores() // ranks))
    if sys.platform == "linux":
        wanted["GLOO_SOCKET_IFNAME"] = "lo"  # a machine's name need not resolve to an address of it
    return env | {name: value for name, value in wanted.items() if name not in os.environ}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _signal_group(pid: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # all of it has ended
        os.killpg(pid, how)


def _is_stopped(pid: int) -> bool:
    """Whether Linux says so; elsewhere it is not known."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "T"


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Signals that came, SIGINT or SIGTERM, in place of what they usually do; only the main thread gets any."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
