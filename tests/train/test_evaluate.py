"""Metrics of an evaluation: the mean over rows, whatever the batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmm_graph.cli.eval import metric_lines
from mmm_graph.errors import Cancelled, InputError, RunError
from mmm_graph.train.evaluate import Means, evaluate
from mmm_graph.train.events import TrainEvent
from mmm_graph.train.options import EvalOptions, TrainOptions
from mmm_graph.train.trainer import train
from tests.train.toys import GRAPH, REGISTRY, toy_spec


@pytest.fixture
def trained(tmp_path: Path) -> EvalOptions:
    train(toy_spec(tmp_path), REGISTRY, tmp_path / "out")
    return EvalOptions(weights=tmp_path / "out")


def test_batches_are_weighted_by_their_rows(tmp_path: Path, trained: EvalOptions) -> None:
    """Ten rows in batches of 4, 3 and 10: a short last batch counts for what it has."""
    found = [
        evaluate(toy_spec(tmp_path, sets={"eval.fit.data.config.batch": b}), REGISTRY, options=trained)[
            "fit.mse"
        ]
        for b in ("4", "3", "10")
    ]
    assert found == pytest.approx([found[2]] * 3, rel=1e-5)


def test_noise_is_keyed_by_the_sample(tmp_path: Path, trained: EvalOptions) -> None:
    text = GRAPH.replace(
        "{x: $data.x}}\n      p:", "{x: x}}\n      x:   {op: toy.jitter, in: {x: $data.x}}\n      p:"
    )
    assert text != GRAPH
    runs = [
        evaluate(
            toy_spec(tmp_path, text=text, sets={"eval.fit.data.config.batch": b}),
            REGISTRY,
            options=replace(trained, seed=s),
        )["fit.mse"]
        for b, s in (("4", 0), ("3", 0), ("4", 1))
    ]
    assert runs[0] == pytest.approx(runs[1], rel=1e-5)
    assert runs[0] != pytest.approx(runs[2], rel=1e-5)


def test_weights_of_a_folder_come_before_those_of_the_file(tmp_path: Path) -> None:
    sets = {"train.stages.fit.steps": "60", "lr": "0.03", "train.stages.fit.eval": "fit"}
    record = train(toy_spec(tmp_path, sets=sets), REGISTRY, tmp_path / "out", options=TrainOptions())["fit"]
    start = {"lr": "1e-30", "train.stages.fit.steps": "1"}
    train(toy_spec(tmp_path, sets=start), REGISTRY, tmp_path / "start")
    before = evaluate(toy_spec(tmp_path), REGISTRY, options=EvalOptions(weights=tmp_path / "start"))
    after = evaluate(toy_spec(tmp_path), REGISTRY, "fit", options=EvalOptions(weights=tmp_path / "out"))
    assert after["fit.mse"] < 0.5 * before["fit.mse"]
    assert after == record.metrics


def test_events_and_cancel(tmp_path: Path, trained: EvalOptions) -> None:
    events: list[TrainEvent] = []
    evaluate(toy_spec(tmp_path), REGISTRY, options=trained, on_event=events.append)
    assert [(e.kind, e.step, e.total) for e in events] == [
        ("eval_step", 1, 3),
        ("eval_step", 2, 3),
        ("eval_step", 3, 3),
        ("eval", 0, 0),
    ]
    events.clear()
    with pytest.raises(Cancelled):
        evaluate(
            toy_spec(tmp_path), REGISTRY, options=trained, on_event=events.append, cancel=lambda: bool(events)
        )
    assert [e.step for e in events] == [1]


def test_a_model_that_was_never_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"E816.*model body is needed as stage fit trains it"):
        evaluate(toy_spec(tmp_path), REGISTRY)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"E203.*no evaluation 'fitt'\n.*did you mean fit"):
        evaluate(toy_spec(tmp_path), REGISTRY, "fitt")
    with pytest.raises(InputError, match=r"E203.*no `eval:` section"):
        evaluate(
            toy_spec(
                tmp_path, text=GRAPH.replace("eval:\n  fit:", "graphs: {}\nold:\n  fit:").partition("old:")[0]
            ),
            REGISTRY,
        )


def test_means_skip_what_a_batch_lacks() -> None:
    means = Means("e", ("a", "b", "c"))
    means.add({"a": torch.tensor([1.0, 3.0]), "b": 4}, 2)
    means.add({"a": torch.tensor(5.0)}, 1)
    assert means.values() == {"e.a": 3.0, "e.b": 4.0}


def test_metrics_of_groups() -> None:
    """What has a value for each row is averaged in each group over all batches; one number is of no group."""
    means = Means("e", ("right", "all"))
    means.add({"right": torch.tensor([True, False, True]), "all": 0.5, "$by": ["up", "down", "up"]}, 3)
    means.add({"right": torch.tensor([False]), "all": 0.5, "$by": torch.tensor([7])}, 1)
    means.add({"right": torch.tensor([False]), "$by": ["up"]}, 1)
    assert means.values() == pytest.approx({"e.right": 0.4, "e.all": 0.5})
    assert means.groups() == pytest.approx({"e.right[7]": 0, "e.right[down]": 0, "e.right[up]": 2 / 3})
    lines = list(metric_lines({**means.values(), **means.groups()}))
    assert lines[0].split() == ["right", "all"]
    assert lines[-1].split() == ["e", "up", "0.6667"]
    with pytest.raises(RunError, match=r"E829.*evaluation e: `by:` gives 2 values for a batch of 3 rows"):
        means.add({"$by": ["up", "down"]}, 3)
