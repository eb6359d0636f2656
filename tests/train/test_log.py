"""metrics.csv across runs, TensorBoard files and the progress bar's text."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mmm_graph.errors import InputError
from mmm_graph.train.events import TrainEvent
from mmm_graph.train.log import CsvLog, ProgressLog, TensorBoardLog, read_rows, step_text

ROW = {
    "epoch": 0.5,
    "lr": 0.1,
    "loss": 0.25,
    "loss.mse": 0.2,
    "loss.kl": 5.0,
    "grad_norm": 1.0,
    "samples_per_s": 99.5,
    "seconds": 3,
}


def step(number: int, stage: str = "fit") -> TrainEvent:
    return TrainEvent("step", stage, number, 10, ROW)


def test_csv_keeps_other_stages_and_drops_what_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    log = CsvLog(path, ["loss.mse", "loss.kl"], {})
    for event in (step(1), step(2), step(3), step(5, "tune")):
        log(event)
    log.close()
    log = CsvLog(path, ["loss.mse", "eval.fit.mse"], {"fit": 2})
    log(step(3))
    log(TrainEvent("eval", "fit", 3, 0, {"eval.fit.mse": 0.5}))
    log(TrainEvent("save", "fit", 3, 0, {"path": "x"}))
    log.close()
    rows = read_rows(path)
    assert [(r["stage"], r["step"]) for r in rows] == [
        ("fit", "1"),
        ("fit", "2"),
        ("tune", "5"),
        ("fit", "3"),
        ("fit", "3"),
    ]
    assert rows[-1]["eval.fit.mse"] == "0.5" and rows[-1]["loss"] == ""
    assert rows[0]["loss.mse"] == "0.2" and rows[0]["eval.fit.mse"] == ""


def test_tensorboard_writes_scalars_or_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    log = TensorBoardLog(tmp_path, {})
    log(step(1))
    log(TrainEvent("eval", "fit", 1, 0, {"eval.fit.mse": 0.5}))
    log.close()
    (file,) = (tmp_path / "fit").iterdir()
    content = file.read_bytes()
    assert b"loss/mse" in content and b"eval/fit/mse" in content
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"E840.*TensorBoard(.|\n)*mmm_graph\[train\]"):
        TensorBoardLog(tmp_path, {})


def test_progress_shows_terms_rate_and_lines() -> None:
    text = io.StringIO()
    log = ProgressLog(Console(file=text, width=160, force_terminal=False))
    start = {"start": {"body": "init default"}, "samples": 10, "weights": 5}
    log(TrainEvent("stage_start", "fit", 0, 10, start))
    log(step(4))
    log(TrainEvent("eval", "fit", 4, 10, {"eval.fit.mse": 0.5}))
    log(TrainEvent("save", "fit", 4, 10, {"path": "here"}))
    log(TrainEvent("stage_end", "fit", 10, 10, {"seconds": 61.0, "loss": 0.125}))
    log.close()
    shown = text.getvalue()
    assert "fit: 10 samples, 5 trained weights; body from init default" in shown
    assert "fit step 4: eval.fit.mse 0.5" in shown
    assert "fit step 4: saved here" in shown
    assert "fit: done after 61 s, loss 0.125" in shown
    assert "loss 0.25 (mse 0.2, kl 5) 100 samples/s" in shown.replace("\n", " ") and "4/10" in shown


def test_narrow_terminals_leave_the_terms_out() -> None:
    text = io.StringIO()
    log = ProgressLog(Console(file=text, width=80, force_terminal=False))
    log(TrainEvent("stage_start", "fit", 0, 10, {"start": {}, "samples": 10, "weights": 5}))
    log(step(4))
    log.close()
    assert "4/10" in text.getvalue() and "loss 0.25 100 samples/s" in text.getvalue()
    assert step_text({"loss": 1.0, "loss.mse": 1.0, "samples_per_s": 3.0}) == "loss 1 3 samples/s"
    row = {"loss": 1.0, "samples_per_s": 3.0, "tokens_per_s": 9000.0, "memory_gb": 1.234}
    assert step_text(row) == "loss 1 3 samples/s 9000 tokens/s 1.23 GB"
    assert step_text(row, terms=False) == "loss 1 3 samples/s 9000 tokens/s"
