"""Rows by index, and `when: Bool[b]` run end to end by the engine."""

from __future__ import annotations

import pytest
import torch

from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import load_registry, op_type
from mmm_graph.registry.registry import Contribution, PluginInfo, merge
from mmm_graph.runtime import Engine, Request
from mmm_graph.spec import load_spec
from mmm_route.rows import take, where


def test_where_and_take():
    rows = where([True, False, True])
    assert rows.tolist() == [0, 2]
    assert torch.equal(take(torch.arange(6).reshape(3, 2), rows), torch.tensor([[0, 1], [4, 5]]))
    assert take(["a", "b", "c"], rows) == ["a", "c"]
    assert take(["a"], where(torch.tensor([False]))) == []


def test_take_refuses_rows_outside_the_batch():
    with pytest.raises(ValueError, match=r"rows \[3\] do not all lie in a batch of 3"):
        take(torch.zeros(3, 2), torch.tensor([3]))


def asks(x):
    """Which texts end in a question mark."""
    return torch.tensor([text.endswith("?") for text in x])


def shout(x):
    """Texts in capitals."""
    return [text.upper() for text in x]


GRAPH = """
mmm: 1
inputs: {text: "Text[b]"}
nodes:
  ask:    {op: toy.asks, in: {x: $in.text}}
  answer: {op: toy.shout, when: ask, in: {x: $in.text}}
outputs: {answer: answer, all: $in.text}
"""


def toy_registry():
    kinds = (
        op_type("toy.asks", f"{__name__}:asks", x="Text[b]", returns={"flag": "Bool[b]"}),
        op_type("toy.shout", f"{__name__}:shout", x="Text[b]", returns={"x": "Text[b]"}),
    )
    info = PluginInfo("toy", "toy", "0", __name__, kinds=tuple(k.kind for k in kinds))
    route = load_registry(allow=["route"])
    ours = Contribution(route.plugins[0], tuple(route.ops.values()))
    return merge([ours, Contribution(info, kinds)])


def test_each_element_takes_its_own_branch():
    registry = toy_registry()
    graph = compile_graph(load_spec(GRAPH), registry)
    engine = Engine(registry, {})
    requests = [Request("some", {"text": ["what?", "well", "why?"]}), Request("none", {"text": ["yes"]})]
    results = engine.run(graph, requests)
    assert results["some"].values["answer"] == ["WHAT?", "WHY?"]
    assert results["some"].owners["answer"] == (0, 2)
    assert results["none"].values == {"all": ["yes"]}
    assert "answer" in results["none"].absent
