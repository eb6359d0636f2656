"""Absent values: conditions, optional inputs, batches of zero rows, loops without turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mmm_graph.errors import RunError
from mmm_graph.graph.graph import Loop
from mmm_graph.nn.noise import Noise
from mmm_graph.registry import Registry, op_type, registry_of
from mmm_graph.runtime.build import build_models
from mmm_graph.runtime.engine import Engine, Request
from tests.runtime.graphs import HALVING, ROUTED
from tests.runtime.toys import toy_engine, toy_graph, toy_registry

X = torch.arange(24.0).reshape(2, 4, 3)


def test_zero_rows_do_not_load_the_model(tmp_path: Path) -> None:
    registry = toy_registry()
    graph = toy_graph(ROUTED, registry)
    (tmp_path / "not_there.safetensors").write_bytes(b"broken")
    engine = Engine(registry, build_models(graph.models, registry, base=tmp_path))
    result = engine.run(graph, [Request("a", {"x": X, "above": 100.0})])["a"]
    assert set(result.values) == {"twice"}
    assert result.absent["image"] == "keep gave no x; skipped: image"
    with pytest.raises(RunError, match="E605"):
        engine.run(graph, [Request("a", {"x": X, "above": 0.0})])


def test_optional_inputs_arrive_as_none() -> None:
    graph = toy_graph("""
mmm: 1
inputs: {x: "Latents[b,l,3]", y: "Latents[b,l,3]?"}
nodes: {twice: {op: toy.double, in: {x: $in.x, extra: $in.y}}}
outputs: {twice: twice}
""")
    engine = toy_engine(graph)
    assert torch.equal(engine.run(graph, [Request("a", {"x": X})])["a"].values["twice"], X * 2)
    assert torch.equal(engine.run(graph, [Request("a", {"x": X, "y": X})])["a"].values["twice"], X * 3)


def test_a_loop_under_a_false_condition() -> None:
    graph = toy_graph("""
mmm: 1
inputs: {x: "Latents[b,l,3]", go: Bool}
nodes:
  denoise:
    when: $in.go
    loop:
      max: 3
      carry: {x: $in.x}
      nodes: {half: {op: toy.halve, in: {x: $carry.x}}}
      next: {x: half.x}
outputs: {x: denoise.x}
""")
    engine = toy_engine(graph)
    result = engine.run(graph, [Request("a", {"x": X, "go": False})])["a"]
    assert not result.values and "the condition of denoise/half is false" in result.absent["x"]
    assert torch.equal(
        engine.run(graph, [Request("a", {"x": X, "go": torch.tensor(True)})])["a"].values["x"], X / 8
    )


def test_a_condition_whose_elements_disagree() -> None:
    graph = toy_graph("""
mmm: 1
inputs: {x: "Latents[b,l,3]", go: Bool}
nodes: {twice: {op: toy.double, in: {x: $in.x}, when: $in.go}}
outputs: {twice: twice}
""")
    with pytest.raises(RunError, match="2 elements that disagree"):
        toy_engine(graph).run(graph, [Request("a", {"x": X, "go": torch.tensor([True, False])})])


def test_a_parameter_as_condition() -> None:
    text = """
mmm: 1
params: {go: {type: bool, default: true}}
inputs: {x: "Latents[b,l,3]"}
nodes: {twice: {op: toy.double, in: {x: $in.x}, when: $params.go}}
outputs: {twice: twice}
"""
    for go in (True, False):
        graph = toy_graph(text, go=go)
        assert ("twice" in toy_engine(graph).run(graph, [Request("a", {"x": X})])["a"].values) is go


def test_rows_carry_their_owners() -> None:
    graph = toy_graph(
        """
mmm: 1
inputs: {x: "Latents[b,l,3]", go: "Bool[b]"}
nodes: {twice: {op: toy.double, in: {x: $in.x}, when: $in.go}}
outputs: {twice: twice}
""",
        _with_rows(),
    )
    engine = toy_engine(graph, _with_rows())
    result = engine.run(graph, [Request("a", {"x": X, "go": torch.tensor([False, True])})])["a"]
    assert torch.equal(result.values["twice"], X[1:] * 2) and result.owners == {"twice": (1,)}
    nobody = engine.run(graph, [Request("a", {"x": X, "go": torch.tensor([False, False])})])["a"]
    assert not nobody.values and "gave no" in nobody.absent["twice"]


def _with_rows() -> Registry:
    return registry_of(
        *toy_registry().ops.values(),
        op_type("rows.where", "tests.runtime.test_absence:where", mask="Bool[b]", returns={"rows": "Ids[r]"}),
        op_type("rows.take", "tests.runtime.test_absence:take", x="Any", rows="Ids[r]", returns={"x": "Any"}),
    )


def where(mask: torch.Tensor) -> torch.Tensor:
    return torch.nonzero(mask)[:, 0]


def take(x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return x[rows]


def test_a_loop_of_no_turns_keeps_its_carries() -> None:
    graph = toy_graph(HALVING)
    none = replace(graph, nodes=tuple(replace(n, count=0) if isinstance(n, Loop) else n for n in graph.nodes))
    result = toy_engine(none).run(none, [Request("a", {"x": X})])["a"]
    assert torch.equal(result.values["final"], X) and torch.equal(result.values["last"], X)
    assert result.absent["firsts"] == "loop halve has no turns"


ROUTED_NOISE = """
mmm: 1
inputs: {x: "Latents[b,5,3]", go: "Bool[b]", again: "Bool[b]"}
graphs:
  draw:
    in: {x: "Latents[b,5,3]", go: "Bool[b]"}
    nodes: {inner: {op: toy.draw, in: {x: $in.x}, when: $in.go}}
    out: {z: inner.z, rows: inner.rows}
nodes:
  once: {op: toy.draw, in: {x: $in.x}, when: $in.go}
  twice: {graph: draw, in: {x: $in.x, go: $in.again}, when: $in.go}
  all: {op: toy.draw, in: {x: $in.x}}
outputs: {once: once, twice: twice.z, all: all}
"""


def draw(x: torch.Tensor, noise: Noise) -> torch.Tensor:
    return noise.normal((2,), name="same for every path") + 0 * x[:, 0, :2]


DRAW = op_type(
    "toy.draw",
    "tests.runtime.test_absence:draw",
    noise=True,
    x="Latents[b,5,3]",
    returns={"z": "Embeds[b,2]"},
)


def test_routed_rows_draw_the_noise_of_their_owners() -> None:
    registry = registry_of(*_with_rows().ops.values(), DRAW)
    graph = toy_graph(ROUTED_NOISE, registry)
    inputs = {
        "x": torch.zeros(4, 5, 3),
        "go": torch.tensor([True, False, True, True]),
        "again": torch.tensor([True, True, False, True]),
    }
    found = toy_engine(graph, registry).run(graph, [Request("a", inputs, (5,))])["a"]
    assert found.owners == {"once": (0, 2, 3), "twice": (0, 3)}
    for name, path in (("once", "once"), ("twice", "twice/inner")):
        whole = Noise((5,), path, (0, 1, 2, 3)).normal((2,), name="same for every path")
        assert torch.equal(found.values[name], whole[list(found.owners[name])])


SEVERAL = """
mmm: 1
inputs: {x: "Latents[b,5,3]", counts: "Ids[b]"}
nodes:
  many: {op: toy.repeat, in: {x: $in.x, counts: $in.counts}}
  drawn: {op: toy.draw, in: {x: many.x}}
outputs: {drawn: drawn}
"""


def repeat(x: torch.Tensor, counts: torch.Tensor) -> dict[str, torch.Tensor]:
    rows = torch.arange(len(x)).repeat_interleave(counts)
    return {"rows": rows, "x": x[rows]}


def test_rows_of_one_owner_draw_noise_of_their_own_whatever_else_there_is() -> None:
    repeats = op_type(
        "toy.repeat",
        "tests.runtime.test_absence:repeat",
        x="Latents[b,5,3]",
        counts="Ids[b]",
        returns={"rows": "Ids[r]", "x": "Latents[r,5,3]"},
    )
    registry = registry_of(*_with_rows().ops.values(), DRAW, repeats)
    graph = toy_graph(SEVERAL, registry)
    whole = {"x": torch.zeros(4, 5, 3), "counts": torch.tensor([1, 3, 0, 2])}
    alone = {"x": torch.zeros(1, 5, 3), "counts": torch.tensor([3])}
    requests = [Request("whole", whole, (5,)), Request("alone", alone, (5,), elements=(1,))]
    found = toy_engine(graph, registry).run(graph, requests)
    drawn = found["whole"].values["drawn"]
    assert found["whole"].owners == {"drawn": (0, 1, 1, 1, 3, 3)}
    plain = Noise((5,), "drawn", (0, 1, 3)).normal((2,), name="same for every path")
    assert torch.equal(drawn[[0, 1, 4]], plain)  # one row of an element, or its first
    assert torch.equal(found["alone"].values["drawn"], drawn[1:4])
    assert len(drawn.unique(dim=0)) == len(drawn)
