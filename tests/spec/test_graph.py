"""GraphSpec: short forms, what is required, places."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mmm_graph.errors import Place
from mmm_graph.spec import GraphSpec, load_spec
from mmm_graph.spec.graph import InputSpec, ModelSpec

TEXT = """\
mmm: 1
inputs:
  a: "Text[b]"
  b: {type: "Text[b]", default: ""}
  c: "Image[b,3,h,w]?"
models:
  m: {kind: a.b, attach: [{model: x, at: blocks, every: 4}]}
outputs: {o: n.port}
train:
  stages:
    one: {nodes: {p: {op: a.b, in: {x: $data.x}}}, loss: {l: p}}
    two: {extends: one, loss: {k: p}}
"""


def test_short_forms_and_required_inputs():
    spec = load_spec(TEXT)
    assert {name: item.required for name, item in spec.inputs.items()} == {"a": True, "b": False, "c": False}
    assert (spec.outputs["o"].from_, spec.outputs["o"].type) == ("n.port", None)
    assert spec.models["m"].attach[0].every == 4


def test_places():
    spec = load_spec(TEXT)
    assert spec.place("models", "m", "kind") == Place("<text>", 7, 13)
    assert spec.place("models", "m", "attach", 0, "model", "deeper") == Place("<text>", 7, 35)
    assert spec.place("models", "none") == spec.place("models")
    assert spec.key_place("models", "m") == Place("<text>", 7, 3)
    assert spec.key_place("models", "none", "x") == spec.place("models")
    assert spec.place() == Place("<text>", 1, 1)
    assert GraphSpec(mmm=1).place("models") is None


def test_the_place_of_what_a_stage_inherits():
    spec = load_spec(TEXT)
    assert spec.place("train", "stages", "two", "nodes", "p", "in") == Place("<text>", 11, 36)
    assert spec.place("train", "stages", "two", "loss", "l") == Place("<text>", 11, 62)
    assert spec.place("train", "stages", "two", "loss", "k") == Place("<text>", 12, 35)
    assert spec.place("train", "stages", "two", "optim") == spec.place("train", "stages", "two")


def test_specs_are_frozen():
    spec = load_spec(TEXT)
    with pytest.raises(ValidationError):
        spec.models["m"].kind = "x"
    with pytest.raises(ValidationError):
        spec.name = "x"


def test_equality_is_of_meaning():
    spec = load_spec(TEXT)
    assert spec == load_spec("# moved\n\n" + TEXT)
    assert spec != load_spec(TEXT.replace("every: 4", "every: 2"))
    assert spec != TEXT


@pytest.mark.parametrize("offload", [True, False, "block"])
def test_offload(offload):
    assert ModelSpec(kind="a.b", offload=offload).offload == offload


def test_types_of_plugins_are_left_to_the_compiler():
    assert InputSpec(type="Mesh[b,v,3]").type == "Mesh[b,v,3]"
    with pytest.raises(ValidationError):
        InputSpec(type="Mesh[b")
