"""A rank's side of `launch`: it ends with its launcher and leaves its notes and problems in files; no torch."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mmm_graph.errors import MmmError, Place, Problem
from mmm_graph.runtime.notes import Notes

PIPE = "MMM_LAUNCHER"
"""Number of a pipe that nobody writes to: its end means that the launcher is gone."""
NOTES, REPORT = "MMM_NOTES", "MMM_REPORT"
"""Paths of the file for notes of all ranks, and of the one for the problems of this rank."""
MINE = "MMM_RANK_PID"
"""Process that the two belong to: those that a rank starts inherit its environment, but are no ranks."""
PR_SET_PDEATHSIG = 1


class Report(NamedTuple):
    """How a rank failed.

    Attributes:
        peer: whom it waited for in vain, where that was it and is known.
        gone: that one had ended.
    """

    status: int
    problems: tuple[Problem, ...]
    peer: int | None = None
    gone: bool = False


def follow_launcher() -> None:
    """Die when the launcher dies, also by kill -9; from now on there are notes and reports.

    Does nothing in a process that `launch` has not started.
    """
    pipe = os.environ.pop(PIPE, None)  # not for the processes that this one starts
    if pipe is None:
        return
    os.environ[MINE] = str(os.getpid())
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_follow, args=(int(pipe),), name="launcher", daemon=True).start()


def _follow(pipe: int) -> None:
    """Covers what the signal does not: systems without it, and a launcher that died before it was asked for."""
    os.read(pipe, 1)
    os._exit(1)


def notes() -> Notes | None:
    """The file for notes, if `launch` has started this process."""
    path = _mine(NOTES)
    return Notes(Path(path)) if path is not None else None


def report_problems(error: MmmError) -> bool:
    """Leave an error for the launcher to print; False = nobody supervises this process: print it yourself."""
    path = _mine(REPORT)
    if path is None:
        return False
    told = {
        "status": error.status,
        "problems": [_record(found) for found in error.problems],
        "peer": getattr(error, "peer", None),
        "gone": getattr(error, "gone", False),
    }
    _leave(path, told)
    return True


def report_told(status: int) -> None:
    """This rank ends with that status and has said why: the launcher adds nothing."""
    path = _mine(REPORT)
    if path is not None:
        _leave(path, {"status": status, "problems": [], "peer": None, "gone": False})


def _leave(path: str, told: Mapping[str, object]) -> None:
    part = Path(path + ".part")
    part.write_text(json.dumps(told), encoding="utf-8")
    part.replace(path)


def _mine(name: str) -> str | None:
    return os.environ.get(name) if os.environ.get(MINE) == str(os.getpid()) else None


def read_report(path: Path) -> Report | None:
    """What a rank has left, if anything."""
    if not path.exists():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    return Report(told["status"], tuple(map(_problem, told["problems"])), told["peer"], told["gone"])


def _record(found: Problem) -> dict[str, object]:
    place = [found.place.file, found.place.line, found.place.col] if found.place else None
    return {
        "code": found.code,
        "message": found.message,
        "place": place,
        "hint": found.hint,
        "severity": found.severity,
    }


def _problem(told: Mapping[str, object]) -> Problem:
    fields = dict(told)
    place = fields.pop("place")
    return Problem(place=Place(*place) if isinstance(place, Iterable) else None, **fields)  # type: ignore[arg-type]
