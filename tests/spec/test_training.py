"""Stages: what they extend is merged by name; losses, entries and data have short forms."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mmm_graph.spec.training import StageSpec, TrainSpec

BASE = {
    "data": {"op": "data.digits", "config": {"batch": 4}},
    "nodes": {"a": {"op": "a.b"}, "b": {"op": "a.c"}},
    "loss": {"ce": "a"},
    "train": {"bridge": "full"},
    "optim": {"op": "optim.adamw", "config": {"lr": 0.1}},
    "steps": 100,
    "accumulate": 2,
}


def stages(**given):
    return TrainSpec.model_validate({"stages": {"base": BASE, **given}})


def test_extends_merges_by_name_and_replaces_the_rest():
    spec = stages(
        more={
            "extends": "base",
            "init_from": "base",
            "nodes": {"b": {"op": "a.d"}, "c": {"op": "a.e"}},
            "loss": {"l2": {"from": "c", "weight": 0.5}},
            "train": {"llm": [{"lora": {"rank": 4, "targets": ["q"]}}, {"rows": ["<img>"]}]},
            "epochs": 1,
        },
        last={"extends": "more", "accumulate": 1},
    )
    more = spec.stage("more")
    assert {name: node.op for name, node in more.nodes.items()} == {"a": "a.b", "b": "a.d", "c": "a.e"}
    assert {name: (term.from_, term.weight) for name, term in more.loss.items()} == {
        "ce": ("a", 1.0),
        "l2": ("c", 0.5),
    }
    assert list(more.train) == ["llm"]
    assert (more.steps, more.epochs, more.accumulate, more.init_from) == (None, 1.0, 2, "base")
    assert more.data.config == {"batch": 4}
    last = spec.stage("last")
    assert (last.accumulate, last.epochs, last.init_from, last.extends) == (1, 1.0, None, "more")
    assert last.nodes == more.nodes
    assert spec.ancestors("last") == ["more", "base"]
    assert spec.stage("base") == StageSpec.model_validate(BASE)
    with pytest.raises(KeyError):
        spec.stage("none")


def test_players_and_a_single_loss_replace_each_other():
    player = {"loss": {"x": "a"}, "train": {"m": "full"}, "optim": {"op": "optim.adam"}}
    spec = stages(
        gan={"extends": "base", "updates": {"g": player}}, plain={"extends": "gan", "loss": {"y": "b"}}
    )
    gan = spec.stage("gan")
    assert (gan.loss, gan.optim, list(gan.updates)) == ({}, None, ["g"])
    assert (list(spec.stage("plain").loss), spec.stage("plain").updates) == (["y"], {})


def test_short_forms():
    stage = StageSpec.model_validate(
        {"ema": 0.99, "eval": "quality", "loss": {"x": "a.b"}, "train": {"m": "full"}}
    )
    assert (stage.ema.decay, stage.eval.names, stage.eval.every) == (0.99, ("quality",), None)
    assert stage.train["m"][0].full
    long = stage.model_dump(by_alias=True, exclude_unset=True)
    assert StageSpec.model_validate(long) == stage
    assert StageSpec.model_validate({"eval": ["a", "b"]}).eval.names == ("a", "b")


def test_several_sources():
    stage = StageSpec.model_validate(
        {"data": {"laion": {"op": "data.x", "weight": 2.0}, "mmc4": {"op": "data.y"}}}
    )
    assert {name: source.weight for name, source in stage.data.items()} == {"laion": 2.0, "mmc4": 1.0}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train", {"m": "half"}), ("train", {"m": []}), ("train", {"m": {}}),
        ("train", {"m": {"full": True, "rows": ["a"]}}),
        ("train", {"m": {"full": False}}), ("train", {"m": {"lora": {"rank": 0}}}), ("train", {"m": 3}),
        ("train", ["m"]),
        ("loss", {"x": 3}), ("loss", {"x": {"from": "a", "weight": "1"}}), ("ema", 1.0), ("ema", True), ("steps", 0),
        ("steps", 1.5), ("epochs", 1), ("data", {"op": 3}), ("data", "data.x"), ("optim", "optim.adamw"),
        ("optim", {"op": "optim.adamw", "clip": 0}), ("accumulate", 0), ("updates", {"g": {}}), ("lr", 0.1),
        ("eval", 3),
    ],
)  # fmt: skip
def test_what_is_no_stage(key, value):
    with pytest.raises(ValidationError):
        StageSpec.model_validate({**BASE, key: value})


@pytest.mark.parametrize("extends", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "none"}])
def test_bad_extends(extends):
    with pytest.raises(ValidationError, match=r"extends itself|there is no stage"):
        stages(**{"a": {}, "b": {}, **{name: {"extends": base} for name, base in extends.items()}})
