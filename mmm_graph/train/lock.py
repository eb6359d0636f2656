"""One training a folder: OUT/.lock holds the process that writes into it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mmm_graph.errors import Problem, RunError, problem, warning
from mmm_graph.train.files import naming

NAME = ".lock"


@contextmanager
def locked(out: Path, note: Callable[[Problem], None]) -> Iterator[None]:
    """Inside, no other training of this machine may enter the folder.

    The lock of a process that has died is taken over, with a warning (W844).

    Raises:
        RunError: E859, another training is at work there.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / NAME
    own = json.dumps({"pid": os.getpid(), "started": _started(os.getpid()), "host": socket.gethostname()})
    for _ in range(3):
        if _create(path, own):
            break
        holder = _read(path)
        if holder is None:
            continue  # it was given back meanwhile
        if _lives(holder):
            what = (
                f"{out} is in use by another training (process {holder.get('pid')} on {holder.get('host')})"
            )
            hint = f"wait for it, train into another folder, or delete {path} if no such process runs"
            raise RunError(problem("E859", what, hint=hint))
        if _take_away(path, holder):
            note(
                warning(
                    "W844", f"{path} was left by process {holder.get('pid')}, which is no more; taken over"
                )
            )
    else:
        raise RunError(problem("E859", f"{path} is taken by others again and again"))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _create(path: Path, text: str) -> bool:
    """The file comes to be with its text, or is there already: a link, unlike a rename, replaces nothing."""
    part = path.with_name(f"{NAME}.{os.getpid()}.part")
    try:
        with naming(path):
            part.write_text(text, encoding="utf-8")
            os.link(part, path)
    except FileExistsError:
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def _take_away(path: Path, holder: dict[str, Any]) -> bool:
    """Remove a lock, unless it is no longer the one that was read: others may take it over at the same time."""
    part = path.with_name(f"{NAME}.{os.getpid()}.part")
    try:
        path.rename(part)
    except FileNotFoundError:
        return False
    same = _read(part) == holder
    if not same:
        with suppress(FileExistsError):
            os.link(part, path)
    part.unlink()
    return same


def _read(path: Path) -> dict[str, Any] | None:
    """What the lock says; empty if nobody can read it, None if it is gone."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _lives(holder: dict[str, Any]) -> bool:
    """Whether the process is still there; on another machine nobody can tell, so it is believed to be."""
    pid = holder.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    if holder.get("host") != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    started = holder.get("started")
    return started is None or started == _started(pid)


def _started(pid: int) -> str | None:
    """When a process started, in the kernel's own count: its number may be another's later. None where unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
