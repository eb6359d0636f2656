"""Run events on a terminal and as JSON."""

from __future__ import annotations

import json

import pytest
import torch

from mmm_graph.cli.progress import RunProgress
from mmm_graph.runtime.events import Event


def test_silent_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with RunProgress(as_json=False) as progress:
        progress(Event("loop_step", "0", "loop", 1, 4))
    assert capfd.readouterr() == ("", "")


def test_a_bar_for_each_loop_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with RunProgress(as_json=False) as progress:
        for request, node, total in (
            ("0", "denoise/steps", 4),
            ("1", "decode", 0),
            ("0", "denoise/steps", 4),
        ):
            progress(Event("loop_step", request, node, 2, total))
        progress(Event("node_start", "0", "x"))
    text = capsys.readouterr().err
    assert "denoise/steps" in text
    assert "2/4" in text
    assert "2/?" in text


def test_events_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress(as_json=True) as progress:
        progress(Event("loop_step", "0", "loop", 1, 4, time_s=0.5))
        progress(Event("memory", "0", "", data={"bytes": 3, "peak": 4}))
        progress(Event("stream", "0", "loop.ids", 1, data=torch.tensor([3])))
        progress(Event("output", "0", "image", data=torch.zeros(100)))
        progress(Event("preview", "0", "loop", data=torch.zeros(100)))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {
        "event": "loop_step",
        "request": "0",
        "node": "loop",
        "step": 1,
        "total": 4,
        "time_s": 0.5,
    }
    assert lines[1]["data"] == {"bytes": 3, "peak": 4}
    assert lines[2]["data"] == [3]
    assert "data" not in lines[3]
    assert "data" not in lines[4]
