"""What training would cost is told without training, and what it would refuse is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.errors import MmmError
from mmm_graph.train.dry_run import dry_run
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.trainer import train
from tests.train.test_trainer import TWO
from tests.train.toys import REGISTRY, toy_spec


def test_numbers_of_a_stage_and_nothing_is_written(tmp_path: Path) -> None:
    sets = {"train.stages.fit.train": "{body: {parts: [last]}}", "train.stages.fit.accumulate": "2"}
    (cost,) = dry_run(toy_spec(tmp_path, sets=sets), REGISTRY, tmp_path / "out")
    assert (cost.steps, cost.batch, cost.accumulate, cost.samples, cost.dataset) == (6, 4, 2, 48, 10)
    assert cost.epochs == 4.8
    body, head = cost.models
    assert (body.trained, body.frozen, body.factor) == (72, 176, round(256 / 432, 3))
    assert (body.weights, body.gradients, body.average) == (248 * 4, 72 * 4, 72 * 4)
    assert body.optimiser is not None and body.optimiser >= 2 * 72 * 4
    assert body.activations == 16 * 4 * 4  # sixteen numbers for each of four samples
    assert (head.forward, head.factor, head.activations, head.unknown) == (None, None, None, ("p",))
    assert not list(tmp_path.iterdir())


def test_later_stages_start_from_what_earlier_ones_will_write(tmp_path: Path) -> None:
    fit, tune = dry_run(toy_spec(tmp_path, text=TWO), REGISTRY, tmp_path / "out")
    assert [m.trained > 0 for m in fit.models] == [True, True]
    train(toy_spec(tmp_path, text=TWO), REGISTRY, tmp_path / "out", stages=["fit"])
    fit, tune = dry_run(
        toy_spec(tmp_path, text=TWO), REGISTRY, tmp_path / "out", options=TrainOptions(resume=True)
    )
    assert (fit.done, tune.done) == (fit.steps, 0)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"train.stages.fit.train": "{bodi: full}"}, "E811.*bodi"),
        ({"train.stages.fit.cache": "true"}, "E817"),
        (
            {"models.body.weights": "file:none.safetensors", "models.body.init": "null"},
            "E60.*none.safetensors",
        ),
        ({"train.stages.fit.samples": "{every: 2}"}, "E810.*this caller cannot save"),
    ],
    ids=["model", "cache", "weights", "samples"],
)
def test_it_refuses_what_training_refuses(tmp_path: Path, sets: dict[str, str], message: str) -> None:
    for run in (dry_run, train):
        with pytest.raises(MmmError, match=message):
            run(toy_spec(tmp_path, sets=sets), REGISTRY, tmp_path / "out")
