"""Means over an interval, and what is kept of a step that is not finite."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.train.data import Sources
from mmm_graph.train.loader import Batch
from mmm_graph.train.meter import Meter
from mmm_graph.train.stage import make_stage
from mmm_graph.train.step import Measured
from tests.train.toys import REGISTRY, toy_spec


@pytest.fixture
def meter(tmp_path: Path) -> Meter:
    spec = toy_spec(tmp_path)
    return Meter(make_stage(spec, REGISTRY, "fit", Sources(spec, REGISTRY)), tmp_path / "failed")


def measured(step: int, *values: float) -> Measured:
    batch = Batch({"x": torch.ones(2, 3), "name": ["a", "b"]}, (7, 8))
    return Measured(step, torch.tensor(values), (batch,))


def test_means_start_again_after_each_interval(meter: Meter) -> None:
    meter.add(measured(0, 1, 2, 3, 4))
    meter.add(measured(1, 3, 2, 1, 0))
    assert meter.take() == {"loss": 2.0, "loss.mse": 2.0, "loss.size": 2.0, "grad_norm": 2.0}
    meter.add(measured(2, 5, 6, 7, 8))
    assert meter.take() == {"loss": 7.0, "loss.mse": 5.0, "loss.size": 6.0, "grad_norm": 8.0}


def test_an_unfinished_interval_is_saved(meter: Meter) -> None:
    meter.add(measured(0, 1, 2, 3, 4))
    state = json.loads(json.dumps(meter.state()))
    meter.take()
    meter.load(state)
    meter.add(measured(1, 3, 2, 1, 0))
    assert meter.take()["loss.mse"] == 2.0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1, float("nan"), float("nan"), 1), "step 5: loss term 'size' is nan, the loss is nan"),
        ((1, 1, 1, float("inf")), "step 5: the gradient's norm is inf"),
    ],
)
def test_not_finite_keeps_the_batch(
    meter: Meter, tmp_path: Path, values: tuple[float, ...], words: str
) -> None:
    with pytest.raises(RunError, match="E850") as error:
        meter.add(measured(4, *values))
    assert words in str(error.value)
    about = json.loads((tmp_path / "failed/fit-5.json").read_text())
    assert about["batches"] == [{"indices": [7, 8], "name": ["a", "b"]}]
    assert (tmp_path / "failed/fit-5.safetensors").exists()


def test_an_exploding_loss_keeps_the_batch_and_names_the_samples(tmp_path: Path) -> None:
    spec = toy_spec(tmp_path, sets={"train.stages.fit.stop_if": "{loss_above: 10}"})
    meter = Meter(make_stage(spec, REGISTRY, "fit", Sources(spec, REGISTRY)), tmp_path / "failed")
    meter.add(measured(0, 1, 2, 10, 4))
    with pytest.raises(
        RunError, match=r"E858.*step 2: the loss is 10\.5, above 10; samples 7, 8; the batch is in"
    ):
        meter.add(measured(1, 1, 2, 10.5, 4))
    assert json.loads((tmp_path / "failed/fit-2.json").read_text())["found"] == ["the loss is 10.5, above 10"]
