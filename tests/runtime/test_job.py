"""A request made ready."""

from __future__ import annotations

import torch

from mmm_graph.plan.flow import Flow
from mmm_graph.runtime.events import Request
from mmm_graph.runtime.job import bind_inputs, grad_paths, noise_keys, wanted_refs
from mmm_graph.runtime.values import Absent
from tests.runtime.toys import toy_graph

CPU = torch.device("cpu")


def test_defaults_and_texts_fill_the_batch() -> None:
    values = bind_inputs(toy_graph(), Request("a", {"prompt": ["x", "y"]}), CPU)
    assert values["$in.prompt"] == ["x", "y"] and values["$in.negative"] == ["", ""]
    assert values["$params.steps"] == 5


def test_what_was_not_given_is_absent() -> None:
    graph = toy_graph(
        'mmm: 1\ninputs: {x: "Latents[b,l,3]?"}\nnodes: {n: {op: toy.double, in: {x: $in.x}}}\noutputs: {n: n}\n'
    )
    assert bind_inputs(graph, Request("a", {}), CPU)["$in.x"] == Absent("input x was not given")
    assert bind_inputs(graph, Request("a", {"x": torch.zeros(0, 2, 3)}), CPU)["$in.x"] == Absent(
        "input x has no rows"
    )


def test_noise_is_keyed_by_element_or_by_seed() -> None:
    inputs = {"prompt": ["x", "y", "z"]}
    assert noise_keys(Request("a", inputs, (7,))) == ((7,), (0, 1, 2))
    assert noise_keys(Request("a", inputs, (7, 8, 9))) == ((7, 8, 9), (0, 0, 0))
    assert noise_keys(Request("a", inputs, (7,), (4, 5, 6))) == ((7,), (4, 5, 6))
    assert noise_keys(Request("a", {"n": 3}, (7,))) == ((7,), (0,))


def test_autograd_follows_the_links_through_loops() -> None:
    flow = Flow(toy_graph())
    found = grad_paths(flow, frozenset(("unet",)), frozenset())
    assert found == {"denoise/pc", "denoise/pu", "denoise/pred", "denoise/step", "image"}
    assert "noise" not in grad_paths(flow, frozenset(("text",)), frozenset())
    assert grad_paths(flow, frozenset(("rule",)), frozenset(("$in.prompt",))) >= {"cond", "noise", "start"}


def test_outputs_by_any_name() -> None:
    graph = toy_graph()
    assert list(wanted_refs(graph, None)) == ["image"] and list(wanted_refs(graph, ["noise", "start.t"])) == [
        "noise",
        "start.t",
    ]
