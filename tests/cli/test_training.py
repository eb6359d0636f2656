"""Listeners of training and evaluation."""

from __future__ import annotations

import json

import pytest

from mmm_graph.cli.training import EvalProgress, JsonEvents, train_progress
from mmm_graph.train.events import TrainEvent

STEP = TrainEvent("eval_step", "quality", 2, 5)


def test_events_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonEvents() as listen:
        listen(TrainEvent("step", "a", 1, 3, {"loss": float("nan"), "lr": 0.5}))
    assert json.loads(capsys.readouterr().out) == {
        "event": "step", "stage": "a", "step": 1, "total": 3, "loss": "nan", "lr": 0.5,
    }  # fmt: skip


def test_a_bar_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with EvalProgress() as listen:
        listen(STEP)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with EvalProgress() as listen:
        listen(STEP)
        listen(TrainEvent("eval", "quality"))
    assert "2/5" in capsys.readouterr().err


def test_the_progress_of_training_is_closed(capsys: pytest.CaptureFixture[str]) -> None:
    with train_progress() as listen:
        listen(TrainEvent("stage_skip", "a", 3, 3))
    assert "a: finished before, after 3 steps" in capsys.readouterr().err
