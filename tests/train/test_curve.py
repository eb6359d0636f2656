"""The picture of the losses."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mmm_graph.train.curve import draw_curve

pytest.importorskip("matplotlib")


def test_draws_the_stage_that_is_asked_for(tmp_path: Path) -> None:
    fit = [{"stage": "fit", "step": i, "loss": 1 / (i + 1), "loss.mse": "", "grad_norm": 3} for i in range(5)]
    tune = [{"stage": "tune", "step": i, "loss": -1.0, "loss.mse": 2.0, "grad_norm": 3} for i in range(5)]
    evaluated = [{"stage": "fit", "step": 5, "loss": "", "loss.mse": "", "grad_norm": ""}]
    for stage in ("fit", "tune"):
        draw_curve(tmp_path / f"{stage}.png", stage, [*fit, *evaluated, *tune])
    with Image.open(tmp_path / "fit.png") as one, Image.open(tmp_path / "tune.png") as other:
        assert one.size == other.size == (770, 440)
        assert one.tobytes() != other.tobytes()


def test_a_stage_without_rows_gives_an_empty_picture(tmp_path: Path) -> None:
    draw_curve(tmp_path / "none.png", "none", [])
    assert (tmp_path / "none.png").read_bytes().startswith(b"\x89PNG")


def test_metrics_that_were_measured_more_than_once_have_a_panel_each(tmp_path: Path) -> None:
    losses = [
        {"stage": "fit", "step": i, "loss": 1 / (i + 1), "eval.a.x": "", "eval.a.y": ""} for i in range(5)
    ]
    found = [
        {"stage": "fit", "step": i, "loss": "", "eval.a.x": i, "eval.a.y": i if i else ""} for i in (0, 4)
    ]
    draw_curve(tmp_path / "fit.png", "fit", [*losses, *found])
    with Image.open(tmp_path / "fit.png") as picture:
        assert picture.size == (770, 682)
