"""Two trainings never write into one folder; what a dead one left is taken over."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mmm_graph.errors import Problem, RunError
from mmm_graph.train.lock import NAME, locked

HOLD = """
import sys, pathlib
from mmm_graph.train.lock import locked
with locked(pathlib.Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_living_training_keeps_others_out_and_a_killed_one_does_not(tmp_path: Path) -> None:
    notes: list[Problem] = []
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        message = rf"E859.*process {other.pid} (.|\n)*another folder"
        with pytest.raises(RunError, match=message), locked(tmp_path, notes.append):
            pass
    finally:
        other.kill()
        other.communicate()
    assert (tmp_path / NAME).exists() and notes == []
    with locked(tmp_path, notes.append):
        assert json.loads((tmp_path / NAME).read_text())["pid"] != other.pid
    assert [n.code for n in notes] == ["W844"] and str(other.pid) in notes[0].message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("nonsense", True),
        ("[]", True),
        (json.dumps({"pid": 1, "started": "another time", "host": socket.gethostname()}), True),
        (json.dumps({"pid": 1, "started": None, "host": "elsewhere"}), False),
    ],
    ids=["nonsense", "list", "number used again", "another machine"],
)
def test_locks_that_others_left(tmp_path: Path, text: str, taken: bool) -> None:
    (tmp_path / NAME).write_text(text)
    notes: list[Problem] = []
    if not taken:
        with pytest.raises(RunError, match=r"E859.*elsewhere"), locked(tmp_path, notes.append):
            pass
        return
    with locked(tmp_path, notes.append):
        pass
    assert [n.code for n in notes] == ["W844"]
