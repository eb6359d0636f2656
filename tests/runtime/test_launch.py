"""Ranks as processes: started with what they need, one message when they fail, and none is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from mmm_graph.errors import Cancelled, InputError, MmmError
from mmm_graph.runtime import launch as launching
from mmm_graph.runtime.launch import launch, program

pytestmark = pytest.mark.dist

START = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from mmm_graph.errors import InputError, Place, RunError, problem
from mmm_graph.runtime.lost import Lost
from mmm_graph.runtime.supervised import follow_launcher, notes, report_problems

follow_launcher()
rank, folder = int(os.environ["RANK"]), Path(sys.argv[1])
(folder / f"pid-{rank}").write_text(str(os.getpid()))
note = notes().writer(rank).write
note(f"task {rank}")

def fail(error):
    assert report_problems(error)
    sys.exit(error.status)

def others():
    while len(list(folder.glob("pid-*"))) < int(os.environ["WORLD_SIZE"]):
        time.sleep(0.01)

"""


class Run(NamedTuple):
    """What came of a launch."""

    status: int
    errors: list[MmmError]
    seconds: float

    @property
    def text(self) -> str:
        (error,) = self.errors
        assert error.status == self.status
        return str(error)


def script(folder: Path, code: str) -> list[str]:
    path = folder / "rank.py"
    path.write_text(START + textwrap.dedent(code))
    return [sys.executable, str(path), str(folder)]


def run(folder: Path, code: str, ranks: int = 2, timeout_s: float = 20.0) -> Run:
    errors: list[MmmError] = []
    began = time.monotonic()
    status = launch(script(folder, code), ranks, timeout_s, tell=errors.append)
    seconds = time.monotonic() - began
    assert_gone(folder, within_s=0.0)
    return Run(status, errors, seconds)


def pids(folder: Path) -> list[int]:
    return [int(path.read_text()) for path in folder.glob("pid-*") if path.read_text()]


def runs(pid: int) -> bool:
    """Whether there is such a process; what has ended and was not asked for yet does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def assert_gone(folder: Path, within_s: float) -> None:
    until = time.monotonic() + within_s
    while any(map(runs, pids(folder))) and time.monotonic() < until:
        time.sleep(0.02)
    assert not [pid for pid in pids(folder) if runs(pid)]


def test_ranks_have_the_environment_of_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = run(tmp_path, "(folder / f'env-{rank}').write_text(json.dumps(dict(os.environ)))", ranks=3)
    assert found.status == 0 and not found.errors
    envs = [json.loads((tmp_path / f"env-{rank}").read_text()) for rank in range(3)]
    assert [(e["RANK"], e["LOCAL_RANK"], e["WORLD_SIZE"]) for e in envs] == [
        (str(r), str(r), "3") for r in range(3)
    ]
    assert len({(e["MASTER_ADDR"], e["MASTER_PORT"], e["OMP_NUM_THREADS"]) for e in envs}) == 1
    assert "MMM_LAUNCHER" not in envs[0]  # not for the processes that a rank starts


def test_threads_are_the_users_if_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert launching._environment(["x"], 10**6)["OMP_NUM_THREADS"] == "1"
    for command in (["x", "--threads", "4"], ["x", "--threads=4"]):
        assert "OMP_NUM_THREADS" not in launching._environment(command, 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in launching._environment(["x"], 2)


def test_rank_0_has_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = "print('out of', rank); print('err of', rank, file=sys.stderr); assert sys.stdin.read() == ''"
    assert run(tmp_path, code).status == 0
    told = capfd.readouterr()
    assert told.out == "out of 0\n" and told.err == "err of 0\n"


def test_the_message_goes_to_stderr_unless_said_otherwise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert launch(script(tmp_path, "sys.exit(rank)"), 2, 5.0) == 1
    assert capfd.readouterr().err.count("error[") == 1


def test_a_rank_with_a_problem_of_its_own(tmp_path: Path) -> None:
    code = """
    others()
    if rank == 1:
        fail(RunError(problem("E701", "draw failed", Place("a.yaml", 3, 4), "look")))
    time.sleep(60)
    """
    found = run(tmp_path, code, ranks=3)
    assert found.text == "a.yaml:3:4 error[E701] rank 1, while it did `task 1`: draw failed\n    hint: look"
    assert found.status == 1 and found.seconds < 5


def test_a_rank_that_only_lost_another_one_is_not_the_cause(tmp_path: Path) -> None:
    code = """
    others()
    if rank == 0:
        fail(Lost(problem("E720", "rank 1 is gone"), 1))
    time.sleep(1)
    fail(RunError(problem("E701", "draw failed")))
    """
    assert run(tmp_path, code).text == "error[E701] rank 1, while it did `task 1`: draw failed"


def test_problems_that_all_have_are_told_once(tmp_path: Path) -> None:
    found = run(tmp_path, "others(); fail(InputError(problem('E201', 'no such kind')))", ranks=3)
    assert found.text == "error[E201] no such kind" and found.status == 2
    assert isinstance(found.errors[0], InputError)


def test_a_rank_that_is_killed(tmp_path: Path) -> None:
    code = """
    others()
    if rank == 2:
        note("slice draw/denoise/steps/predict_cond")
        os.kill(os.getpid(), signal.SIGKILL)
    if rank == 1:
        time.sleep(0.1)
        fail(Lost(problem("E720", "rank 2 is gone"), 2))
    time.sleep(60)
    """
    found = run(tmp_path, code, ranks=3)
    assert "E727" in found.text and found.seconds < 5
    message = "rank 2 was killed by signal 9 (SIGKILL) while it did `slice draw/denoise/steps/predict_cond`"
    assert message in found.text


@pytest.mark.parametrize(
    ("code", "message"),
    [("raise ZeroDivisionError('of mine')", "ZeroDivisionError: of mine"), ("sys.exit(3)", "status 3")],
)
def test_a_rank_that_ends_without_a_report(tmp_path: Path, code: str, message: str) -> None:
    found = run(tmp_path, f"others()\nif rank == 1:\n    {code}\ntime.sleep(60)")
    assert (
        found.status == 1 and "error[E727] rank 1 ended with status" in found.text and message in found.text
    )


def test_a_rank_that_is_stopped(tmp_path: Path) -> None:
    code = """
    others()
    if rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(1)
    fail(Lost(problem("E720", "rank 0 waits for rank 1"), 1))
    """
    found = run(tmp_path, code)
    assert found.text.startswith("error[E720] rank 0 waits for rank 1; rank 1: its last note is `task 1`")
    assert "stopped by a signal" in found.text or sys.platform != "linux"
    assert found.seconds < 8


def test_who_waited_for_whom_is_followed(tmp_path: Path) -> None:
    code = """
    others()
    if rank == 2:
        time.sleep(60)
    time.sleep(0.5 * rank)
    fail(Lost(problem("E720", f"rank {rank} waits for rank {rank + 1}"), rank + 1))
    """
    found = run(tmp_path, code, ranks=3)
    assert found.text.startswith("error[E720] rank 1 waits for rank 2; rank 2: its last note is `task 2`\n")


def test_a_rank_that_does_nothing_when_the_others_have_ended(tmp_path: Path) -> None:
    found = run(tmp_path, "others()\nif rank == 1: time.sleep(60)", timeout_s=0.5)
    assert "E720" in found.text and "rank 1 has done nothing" in found.text and "`task 1`" in found.text
    assert found.seconds < 5


def test_a_rank_that_goes_on_when_the_others_have_ended(tmp_path: Path) -> None:
    code = "others()\nfor i in range(20 * rank): note(f'step {i}'); time.sleep(0.1)"
    assert run(tmp_path, code, timeout_s=0.5).status == 0


def test_a_rank_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "GRACE_S", 0.5)
    code = """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (folder / f"pid-1{rank}").write_text(str(subprocess.Popen(["sleep", "60"]).pid))
    others()
    if rank == 1:
        while len(list(folder.glob("pid-1?"))) < 2:
            time.sleep(0.01)
        sys.exit(1)
    time.sleep(60)
    """
    found = run(tmp_path, code)
    assert found.status == 1 and found.seconds < 6
    assert len(pids(tmp_path)) == 4  # what a rank has started is gone too


def launcher(folder: Path, code: str) -> subprocess.Popen[str]:
    """A launcher in a process of its own, whose ranks have all started."""
    own = "import sys; from mmm_graph.runtime.launch import launch; sys.exit(launch(sys.argv[1:], 2, 30.0))"
    command = [sys.executable, "-c", own, *script(folder, code)]
    env = {**os.environ, "TMPDIR": str(folder)}  # one that is killed leaves its files
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 20
    while len(pids(folder)) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert len(pids(folder)) == 2
    return process


UNSIGNALLED = "import ctypes; ctypes.CDLL(None).prctl(1, 0); time.sleep(60)"
"""As on systems that do not tell a process of its parent's death."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends ranks that are stopped")
@pytest.mark.parametrize("code", ["time.sleep(60)", "os.kill(os.getpid(), signal.SIGSTOP)", UNSIGNALLED])
def test_no_rank_outlives_a_launcher_that_is_killed(tmp_path: Path, code: str) -> None:
    process = launcher(tmp_path, code)
    time.sleep(0.2)
    process.kill()
    process.communicate()
    assert_gone(tmp_path, within_s=5.0)


def test_ctrl_c_cancels_all(tmp_path: Path) -> None:
    code = """
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        (folder / f"asked-{rank}").touch()
        sys.exit(130)
    """
    process = launcher(tmp_path, code)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=20)[1]
    assert process.returncode == Cancelled.status == 130
    assert told == "error[E730] cancelled\n" and len(list(tmp_path.glob("asked-*"))) == 2
    assert_gone(tmp_path, within_s=0.0)


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    code = "signal.signal(signal.SIGINT, signal.SIG_IGN); (folder / f'deaf-{rank}').touch(); time.sleep(60)"
    process = launcher(tmp_path, code)
    while len(list(tmp_path.glob("deaf-*"))) < 2:
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130 and time.monotonic() - began < 4
    assert_gone(tmp_path, within_s=0.0)


def test_a_rank_that_somebody_cancels(tmp_path: Path) -> None:
    code = """
    from mmm_graph.errors import Cancelled
    others()
    if rank == 1:
        fail(Cancelled(problem("E730", "cancelled before n")))
    time.sleep(60)
    """
    assert run(tmp_path, code).status == 130


def test_the_program_is_mmm(capfd: pytest.CaptureFixture[str]) -> None:
    assert launch(program("--version"), 2, 20.0) == 0
    assert capfd.readouterr().out.startswith("mmm, version")
