"""Nodes: one of four forms, and loops whose carry is whole."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mmm_graph.spec.node import LoopSpec, NodeSpec


@pytest.mark.parametrize(
    ("node", "form"),
    [
        ({"call": "unet.predict", "in": {"x": "z", "cond": {"embeds": "e"}}, "config": {"a": 1}}, "call"),
        ({"op": "embeds.concat", "in": {"parts": ["a", "b"]}, "use": {"denoiser": "sd.unet"}}, "op"),
        ({"graph": "sd.draw", "in": {"cond": "pi"}, "use": {"tok": "tok"}, "when": "sig.flag"}, "graph"),
        ({"loop": {"max": "$params.n", "nodes": {}}, "when": "$params.on"}, "loop"),
    ],
)
def test_the_four_forms(node, form):
    spec = NodeSpec.model_validate(node)
    assert spec.form == form
    assert spec.model_dump(by_alias=True, exclude_unset=True).keys() == node.keys()


def test_lists_are_kept_as_tuples():
    assert NodeSpec.model_validate({"op": "a.b", "in": {"x": ["u", "v"]}}).in_ == {"x": ("u", "v")}


@pytest.mark.parametrize(
    "node",
    [{}, {"in": {"x": "y"}}, {"call": "a", "op": "b.c"}, {"call": "a", "use": {"r": "m"}}, {"graph": "g", "config": {}},
     {"loop": {"max": 1, "nodes": {}}, "in": {}}, {"op": "a.b", "config": []}, {"op": "a.b", "seed": 1}, {"op": 3}],
)  # fmt: skip
def test_what_is_no_node(node):
    with pytest.raises(ValidationError):
        NodeSpec.model_validate(node)


LOOP = {
    "each": {"i": "start.evaluations"},
    "carry": {"x": "start.x"},
    "nodes": {"step": {"op": "sampler.step", "in": {"x": "$carry.x", "i": "$each.i"}}},
    "next": {"x": "step.x"},
    "out": {"latents": "step.latents"},
    "collect": {"ids": {"from": "step.id", "axis": 1}, "all": "step.x"},
    "stream": ["ids"],
    "preview": {"from": "step.x0", "every": 5},
}


def test_a_loop():
    loop = LoopSpec.model_validate(LOOP)
    assert (loop.preview.from_, loop.preview.every) == ("step.x0", 5)
    assert (loop.collect["all"].from_, loop.collect["all"].axis) == ("step.x", 0)
    assert LoopSpec.model_validate({**LOOP, "preview": "step.x0"}).preview.every == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("each", {}, "needs `each:` or `max:`"), ("next", {}, "no next value"), ("carry", {}, "not carried"),
        ("stream", ["x"], "not under `collect:`"), ("preview", {"from": "a", "every": 0}, "greater than or equal to 1"),
        ("max", -1, "positive integer"), ("until", "$params.x", "is a param"),
    ],
)  # fmt: skip
def test_what_is_no_loop(key, value, message):
    with pytest.raises(ValidationError, match=message):
        LoopSpec.model_validate({**LOOP, key: value})
