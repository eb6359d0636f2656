"""Plans name models that exist."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.spec import load_spec
from tests.graph.registry import REGISTRY

GRAPH = """
mmm: 1
inputs: {x: "Text[b]"}
models: {text: {kind: encoder.text}}
outputs: {x: $in.x}
parallel:
  plans:
    two: {ranks: 2, %s}
"""


def test_known_names_pass():
    found = compile_graph(
        load_spec(GRAPH % 'stages: [{ranks: [0], place: [text]}, {ranks: [1], place: ["text[2:]"]}]'),
        REGISTRY,
    )
    assert not found.warnings


@pytest.mark.parametrize(
    ("plan", "place"),
    [
        ("pipe: {txt: 2}", "8:28"),
        ("axes: {txt: {cfg: 2}}", "8:28"),
        ('stages: [{ranks: [0], place: ["txt[:1]"]}]', "8:51"),
        ("offload: [txt]", "8:31"),
        ("offload: {txt: {by: block, from: disk}}", "8:31"),
    ],
)
def test_unknown_models(plan, place):
    with pytest.raises(InputError) as caught:
        compile_graph(load_spec(GRAPH % plan), REGISTRY)
    assert str(caught.value).startswith(f"<text>:{place} error[E215] plan two: there is no model 'txt'")
    assert "did you mean text?" in str(caught.value)
