"""How much of a text is learnt is always told; a loss that can teach nothing is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.errors import InputError, RunError
from mmm_graph.train.data import Sources
from mmm_graph.train.events import TrainEvent
from mmm_graph.train.log import step_text
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.stage import make_stage
from mmm_graph.train.terms import share_name
from mmm_graph.train.trainer import train
from tests.train import toys
from tests.train.texts import GRAPH, REGISTRY, Texts, TextsConfig, text_spec


@pytest.mark.parametrize("accumulate", ["1", "2"])
def test_the_share_is_in_every_row(tmp_path: Path, accumulate: str) -> None:
    events: list[TrainEvent] = []
    spec = text_spec(tmp_path, steps="2", accumulate=accumulate)
    train(spec, REGISTRY, tmp_path, options=TrainOptions(log_every=2), on_event=events.append)
    row = next(event.data for event in events if event.kind == "step")
    labels = Texts(TextsConfig()).labels[:, 1:]
    assert row["supervised.ce"] == pytest.approx(float((labels != -100).float().mean()), abs=1e-6)
    assert f"{row['supervised.ce']:.1%} supervised" in step_text(row)
    header, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert dict(zip(header.split(","), rows[0].split(","), strict=True))["supervised.ce"]
    assert share_name("in.ce.supervised") == "supervised.in.ce"


def test_labels_that_are_masked_everywhere_stop_it_before_the_first_update(tmp_path: Path) -> None:
    text = GRAPH.replace("config: {batch: 4}", "config: {batch: 4, masked: 1.0}")
    with pytest.raises(
        RunError, match=r"E852.*labels are masked everywhere: ce.supervised of the first step is 0"
    ):
        train(text_spec(tmp_path, text=text), REGISTRY, tmp_path, options=TrainOptions())
    assert not (tmp_path / "llm.safetensors").exists()


def test_a_loss_that_no_trained_model_is_behind(tmp_path: Path) -> None:
    """The frozen model has a loss of its own; with the weight 0 it is only watched."""
    text = toys.GRAPH.replace("train: {body: full, head: full}", "train: {head: full}")
    text = text.replace("size: {op: loss.size, in: {pred: p}}", "size: {op: loss.size, in: {pred: f}}")
    spec = toys.toy_spec(tmp_path, text=text)
    with pytest.raises(
        InputError, match=r"E818.*the loss 'size' can train nothing: what is behind it is body, fro"
    ):
        make_stage(spec, toys.REGISTRY, "fit", Sources(spec, toys.REGISTRY))
    spec = toys.toy_spec(tmp_path, text=text.replace("weight: 0.01", "weight: 0"))
    assert make_stage(spec, toys.REGISTRY, "fit", Sources(spec, toys.REGISTRY)).terms["size"].weight == 0


@pytest.mark.parametrize("frozen", ["body", "head"])
def test_a_frozen_half_precision_model_before_or_after_what_is_trained(tmp_path: Path, frozen: str) -> None:
    """Under autocast, with float32 weights and gradients of the other one."""
    trained = {"body": "head", "head": "body"}[frozen]
    found = []
    for dtype, precision in (("f32", "f32"), ("bf16", "bf16"), ("bf16", "f32")):
        text = toys.GRAPH.replace("train: {body: full, head: full}", f"train: {{{trained}: full}}")
        kind = {"body": "encoder.body", "head": "projector.head"}[frozen]
        text = text.replace(f"{kind}, init: default", f"{kind}, init: default, dtype: {dtype}")
        text = text.replace("steps: 6", f"steps: 6\n      precision: {precision}")
        (out := tmp_path / f"{dtype}{precision}").mkdir()
        events: list[TrainEvent] = []
        options = TrainOptions(log_every=1)
        train(toys.toy_spec(out, text=text), toys.REGISTRY, out, options=options, on_event=events.append)
        found.append([event.data["loss"] for event in events if event.kind == "step"])
        assert [path.name for path in out.glob("*.safetensors")] == [f"{trained}.safetensors"]
    assert found[1] == pytest.approx(found[0], rel=0.1) and found[1] != found[0]
    assert found[2] == pytest.approx(found[0], rel=0.1) and found[2] != found[0]
