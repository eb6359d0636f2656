"""Training a toy graph from its file: outputs, repeatability, resuming, accumulation, stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mmm_graph.errors import Cancelled, InputError, RunError
from mmm_graph.spec import load_spec
from mmm_graph.train.events import TrainEvent
from mmm_graph.train.log import read_rows
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.trainer import train
from tests.train.toys import GRAPH, REGISTRY, Linear, toy_spec

EACH = TrainOptions(log_every=1)
RESUME = TrainOptions(log_every=1, resume=True)


def weights(out: Path) -> dict[str, Tensor]:
    return {f"{p.stem}.{k}": v for p in sorted(out.glob("*.safetensors")) for k, v in load_file(p).items()}


def losses(out: Path) -> list[Mapping[str, str]]:
    timed = ("samples_per_s", "tokens_per_s", "memory_gb", "seconds")
    return [{k: v for k, v in row.items() if k not in timed} for row in read_rows(out / "metrics.csv")]


def assert_same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def after(steps: int) -> Callable[[], bool]:
    """A cancel function that lets so many steps pass."""
    asked = iter(range(10**6))
    return lambda: next(asked) >= steps


def test_writes_models_graph_metrics_and_record(tmp_path: Path) -> None:
    events: list[TrainEvent] = []
    records = train(toy_spec(tmp_path), REGISTRY, tmp_path, options=EACH, on_event=events.append)
    assert set(weights(tmp_path)) > {"body.stem.linear.weight", "head.norm.weight", "head.out.bias"}
    rows = losses(tmp_path)
    assert [row["step"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert all(
        float(r["loss"]) == pytest.approx(float(r["loss.mse"]) + 0.01 * float(r["loss.size"])) for r in rows
    )
    record = json.loads((tmp_path / "train.json").read_text())["stages"]["fit"]
    assert record["steps"] == 6 and record["samples"] == 24 and record["models"] == ["body", "head"]
    assert record["loss"]["loss.mse"] == float(rows[-1]["loss.mse"])
    assert records["fit"].start == {"body": "init default", "head": "init default"}
    assert [e.kind for e in events] == ["stage_start", *["step"] * 6, "save", "stage_end"]
    assert not list(tmp_path.rglob("*.part"))
    assert (tmp_path / "fit.png").stat().st_size > 1000


def test_written_graph_runs_with_the_new_weights(tmp_path: Path) -> None:
    train(toy_spec(tmp_path, sets={"lr": "0.02"}), REGISTRY, tmp_path / "out", options=EACH)
    spec = load_spec(tmp_path / "out/graph.yaml")
    assert spec.models["body"].weights == "file:body.safetensors"
    assert spec.values["lr"] == 0.02
    assert spec.base == tmp_path / "out"


def test_learns(tmp_path: Path) -> None:
    sets = {"train.stages.fit.steps": "150", "lr": "0.03"}
    train(toy_spec(tmp_path, sets=sets), REGISTRY, tmp_path, options=TrainOptions(log_every=25))
    rows = losses(tmp_path)
    assert len(rows) == 6
    assert float(rows[-1]["loss.mse"]) < 0.15 * float(rows[0]["loss.mse"])


def test_same_seed_same_bits_other_seed_other_weights(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(toy_spec(tmp_path), REGISTRY, tmp_path / name, options=TrainOptions(seed=seed, log_every=1))
    assert_same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert (tmp_path / "a/body.safetensors").read_bytes() == (tmp_path / "b/body.safetensors").read_bytes()
    other = weights(tmp_path / "c")
    assert not torch.equal(weights(tmp_path / "a")["head.out.weight"], other["head.out.weight"])


@pytest.mark.parametrize(
    "more", [{}, {"train.stages.fit.accumulate": "3"}, {"models.head.config.dropout": "0.5"}]
)
@pytest.mark.parametrize("log_every", [1, 4])
def test_resume_is_bit_for_bit(tmp_path: Path, more: dict[str, str], log_every: int) -> None:
    once, twice = tmp_path / "once", tmp_path / "twice"
    options = TrainOptions(log_every=log_every)
    train(toy_spec(tmp_path, sets=more), REGISTRY, once, options=options)
    with pytest.raises(Cancelled, match="after 3 of 6 steps"):
        train(toy_spec(tmp_path, sets=more), REGISTRY, twice, options=options, cancel=after(3))
    assert not (twice / "body.safetensors").exists()
    torch.manual_seed(99)  # whatever the global generator holds must not matter
    resumed = TrainOptions(log_every=log_every, resume=True)
    train(toy_spec(tmp_path, sets=more), REGISTRY, twice, options=resumed)
    assert_same(weights(once), weights(twice))
    assert losses(once) == losses(twice)
    assert_same(
        load_file(once / "checkpoints/fit.safetensors"), load_file(twice / "checkpoints/fit.safetensors")
    )


def test_save_every_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    sets = {"train.stages.fit.save_every": "2"}
    train(toy_spec(tmp_path), REGISTRY, tmp_path / "once", options=EACH)

    class Killed(Exception): ...

    def kill(event: TrainEvent) -> None:
        if event.kind == "step" and event.step == 5:
            raise Killed

    with pytest.raises(Killed):
        train(toy_spec(tmp_path, sets=sets), REGISTRY, tmp_path / "twice", options=EACH, on_event=kill)
    train(toy_spec(tmp_path, sets=sets), REGISTRY, tmp_path / "twice", options=RESUME)
    assert_same(weights(tmp_path / "once"), weights(tmp_path / "twice"))
    assert losses(tmp_path / "once") == losses(tmp_path / "twice")  # the row of step 5 is there once


def test_resume_refuses_another_training(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        train(toy_spec(tmp_path), REGISTRY, tmp_path, options=EACH, cancel=after(2))
    with pytest.raises(
        RunError, match=r"E831.*differs in optimiser: was optim.adamw .*0.01.*is optim.adamw .*0.5"
    ):
        train(toy_spec(tmp_path, sets={"lr": "0.5"}), REGISTRY, tmp_path, options=RESUME)
    with pytest.raises(RunError, match="differs in seed"):
        train(toy_spec(tmp_path), REGISTRY, tmp_path, options=TrainOptions(seed=3, resume=True))


def test_resume_of_a_finished_stage_does_nothing(tmp_path: Path) -> None:
    first = train(toy_spec(tmp_path), REGISTRY, tmp_path, options=EACH)
    events: list[TrainEvent] = []
    assert train(toy_spec(tmp_path), REGISTRY, tmp_path, options=RESUME, on_event=events.append) == first
    assert [e.kind for e in events] == ["stage_skip"]
    with pytest.raises(RunError, match="differs in optimiser"):
        train(toy_spec(tmp_path, sets={"lr": "0.5"}), REGISTRY, tmp_path, options=RESUME)


def test_accumulation_equals_one_large_batch(tmp_path: Path) -> None:
    """The same samples, the same noise, the same mean: only the order of additions differs."""
    data = "train.stages.fit.data.config.batch"
    pieces = {data: "2", "train.stages.fit.accumulate": "4"}
    train(toy_spec(tmp_path, sets={data: "8"}), REGISTRY, tmp_path / "whole", options=EACH)
    train(toy_spec(tmp_path, sets=pieces), REGISTRY, tmp_path / "pieces", options=EACH)
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "pieces")
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-4, atol=1e-5)
    for left, right in zip(losses(tmp_path / "whole"), losses(tmp_path / "pieces"), strict=True):
        assert float(left["loss"]) == pytest.approx(float(right["loss"]), rel=1e-5)


def test_average_is_saved_and_both_are_in_the_checkpoint(tmp_path: Path) -> None:
    train(toy_spec(tmp_path), REGISTRY, tmp_path, options=EACH)
    point = load_file(tmp_path / "checkpoints/fit.safetensors")
    saved = weights(tmp_path)["head.out.weight"]
    assert torch.equal(saved, point["ema/head/out.weight"])
    assert not torch.equal(saved, point["model/head/out.weight"])


def test_small_files_on_request(tmp_path: Path) -> None:
    train(toy_spec(tmp_path), REGISTRY, tmp_path, options=TrainOptions(dtype="f16"))
    assert {w.dtype for w in weights(tmp_path).values()} == {torch.float16}
    with pytest.raises(InputError, match="unknown dtype 'int3'"):
        train(toy_spec(tmp_path), REGISTRY, tmp_path, options=TrainOptions(dtype="int3"))


def test_only_chosen_parts_move(tmp_path: Path) -> None:
    parts = {"train.stages.fit.train.body": "{parts: ['block*']}"}
    none = {**parts, "lr": "1e-30", "train.stages.fit.ema": "0.5"}
    train(toy_spec(tmp_path, sets=none), REGISTRY, tmp_path / "start")
    train(toy_spec(tmp_path, sets=parts), REGISTRY, tmp_path / "end")
    start, end = weights(tmp_path / "start"), weights(tmp_path / "end")
    moved = {name for name in start if not torch.allclose(start[name], end[name], atol=1e-6)}
    assert {n.split(".")[1] for n in moved if n.startswith("body")} == {"block0", "block1"}


def test_loss_that_is_not_finite_stops_with_term_and_batch(tmp_path: Path) -> None:
    text = GRAPH.replace("size: {op: loss.size", "size: {op: loss.log").replace("weight: 0.01", "weight: 1")
    with pytest.raises(RunError, match=r"E850.*step \d+: loss term 'size' is nan") as error:
        train(toy_spec(tmp_path, text=text), REGISTRY, tmp_path, options=EACH)
    (path,) = (tmp_path / "failed").glob("*.safetensors")
    assert str(path) in str(error.value)
    batch = load_file(path)["0/x"]
    about = json.loads(path.with_suffix(".json").read_text())
    assert batch.shape == (4, 3)
    assert about["batches"][0]["name"] == [f"row {i}" for i in about["batches"][0]["indices"]]


def test_gradient_that_is_cut_is_found_before_the_first_update(tmp_path: Path) -> None:
    text = GRAPH.replace(
        "pred: p, target: $data.y}}\n        size", "pred: c, target: $data.y}}\n        size"
    )
    text = text.replace("size: {op: loss.size, in: {pred: p}}", "size: {op: loss.size, in: {pred: c}}")
    text = text.replace("        mse:  {op", "        c:    {op: toy.cut, in: {pred: p}}\n        mse:  {op")
    with pytest.raises(RunError, match=r"E812.*no gradient to body, head"):
        train(toy_spec(tmp_path, text=text), REGISTRY, tmp_path)


def test_bf16_autocast_keeps_float32_weights(tmp_path: Path) -> None:
    train(toy_spec(tmp_path), REGISTRY, tmp_path / "f32")
    train(toy_spec(tmp_path, sets={"train.stages.fit.precision": "bf16"}), REGISTRY, tmp_path / "bf16")
    a, b = weights(tmp_path / "f32"), weights(tmp_path / "bf16")
    assert {w.dtype for w in b.values()} == {torch.float32}
    assert not torch.equal(a["head.out.weight"], b["head.out.weight"])
    torch.testing.assert_close(a["head.out.weight"], b["head.out.weight"], atol=0.02, rtol=0.1)


TWO = (
    GRAPH
    + """\
    tune:
      extends: fit
      init_from: fit
      train: {head: full}
      eval:  {names: [fit], every: 2}
      steps: 4
"""
)


def test_later_stage_starts_from_the_earlier_one(tmp_path: Path) -> None:
    events: list[TrainEvent] = []
    records = train(toy_spec(tmp_path, text=TWO), REGISTRY, tmp_path, options=EACH, on_event=events.append)
    assert records["tune"].start == {"body": "stage fit", "head": "stage fit"}
    assert [(e.step, list(e.data)) for e in events if e.kind == "eval"] == [
        (2, ["eval.fit.mse"]),
        (4, ["eval.fit.mse"]),
    ]
    assert records["tune"].metrics == {"fit.mse": events[-3].data["eval.fit.mse"]}
    stages = [row["stage"] for row in losses(tmp_path) if row["loss"]]
    assert stages == ["fit"] * 6 + ["tune"] * 4

    body = weights(tmp_path)["body.stem.linear.weight"]
    alone = train(toy_spec(tmp_path, text=TWO), REGISTRY, tmp_path, stages=["tune"], options=EACH)
    assert list(alone) == ["tune"]
    assert torch.equal(weights(tmp_path)["body.stem.linear.weight"], body)
    assert [row["stage"] for row in losses(tmp_path) if row["loss"]] == stages


def test_stage_that_needs_another_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"E816.*model body is needed as stage fit trains it.*\n.*train stage fit first"
    ):
        train(toy_spec(tmp_path, text=TWO), REGISTRY, tmp_path, stages=["tune"])
    with pytest.raises(InputError, match=r"no training stage 'tuna'\n.*did you mean tune"):
        train(toy_spec(tmp_path, text=TWO), REGISTRY, tmp_path, stages=["tuna"])


def test_restart_without_resume_starts_anew(tmp_path: Path) -> None:
    train(toy_spec(tmp_path), REGISTRY, tmp_path, options=EACH)
    first, rows = weights(tmp_path), losses(tmp_path)
    train(toy_spec(tmp_path), REGISTRY, tmp_path, options=EACH)
    assert_same(first, weights(tmp_path))
    assert losses(tmp_path) == rows


CACHED = TWO.replace(
    "        x:    {op: toy.jitter, in: {x: $data.x}}\n        f:    {call: body, in: {x: x}}\n",
    "        f:    {call: body, in: {x: $data.x}}\n",
)


def test_frozen_values_are_computed_once_per_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten samples, one chunk: the frozen body runs once in four steps, and nothing else changes."""
    calls: list[int] = []
    forward = Linear.forward

    def counted(self: Linear, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        calls.append(1)
        return forward(self, state)

    train(toy_spec(tmp_path, text=CACHED), REGISTRY, tmp_path / "plain", options=EACH)
    train(toy_spec(tmp_path, text=CACHED), REGISTRY, tmp_path / "cached", stages=["fit"], options=EACH)
    sets = {
        "train.stages.tune.cache": "true",
        "train.stages.tune.eval.every": "100",
        "eval.fit.data.config.batch": "10",
    }
    monkeypatch.setattr(Linear, "forward", counted)
    train(
        toy_spec(tmp_path, text=CACHED, sets=sets),
        REGISTRY,
        tmp_path / "cached",
        stages=["tune"],
        options=EACH,
    )
    assert len(calls) == 4 + 4  # four parts for the cache, four for the evaluation at the end
    a, b = weights(tmp_path / "plain"), weights(tmp_path / "cached")
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-6)


SOLO = """\
    solo:
      data: {op: data.line, config: {batch: 4}}
      nodes:
        f:    {call: body, in: {x: $data.x}}
        size: {op: loss.size, in: {pred: f}}
      loss:  {size: size}
      train: {body: full}
      optim: {op: optim.sgd}
      eval:  fit
      steps: 2
"""


def test_evaluation_may_use_what_only_an_earlier_stage_has(tmp_path: Path) -> None:
    """Stage solo knows no head; its evaluation takes the one that stage fit left."""
    records = train(toy_spec(tmp_path, text=GRAPH + SOLO), REGISTRY, tmp_path, options=EACH)
    assert records["solo"].start == {"body": "stage fit"}
    assert records["solo"].metrics["fit.mse"] > 0
    with pytest.raises(InputError, match=r"E816.*model head is needed as stage fit trains it"):
        train(toy_spec(tmp_path, text=GRAPH + SOLO), REGISTRY, tmp_path / "new", stages=["solo"])


def test_evaluation_that_cannot_be_opened_is_found_before_training(tmp_path: Path) -> None:
    sets = {"train.stages.fit.eval": "fit", "eval.fit.data.config.path": "file:missing.txt"}
    with pytest.raises(RunError, match=r"E822.*FileNotFoundError"):
        train(toy_spec(tmp_path, sets=sets), REGISTRY, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_accelerator_agrees_with_the_cpu(tmp_path: Path) -> None:
    train(toy_spec(tmp_path), REGISTRY, tmp_path / "cpu", options=EACH)
    train(toy_spec(tmp_path), REGISTRY, tmp_path / "gpu", options=TrainOptions(device="cuda", log_every=1))
    for left, right in zip(losses(tmp_path / "cpu"), losses(tmp_path / "gpu"), strict=True):
        assert float(left["loss"]) == pytest.approx(float(right["loss"]), rel=1e-3)
