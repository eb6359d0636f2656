"""Loops until a flag, nested loops, collected and streamed values, against plain Python."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mmm_graph.runtime.engine import Event, Request
from tests.runtime.graphs import HALVING, HEAD, INSIDE, NESTED
from tests.runtime.toys import halve, toy_engine, toy_graph

X = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))


def run(text: str, x: Tensor = X, on_event: Any = None) -> dict[str, Any]:
    graph = toy_graph(text)
    return dict(toy_engine(graph).run(graph, [Request("a", {"x": x})], on_event=on_event)["a"].values)


def until_small(x: Tensor, limit: int) -> list[dict[str, Any]]:
    turns = []
    for _ in range(limit):
        turns.append(halve(x))
        x = turns[-1]["x"]
        if turns[-1]["small"]:
            break
    return turns


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e9])
def test_until(scale: float) -> None:
    turns = until_small(X * scale, 12)
    found = run(HALVING, X * scale)
    assert torch.equal(found["last"], turns[-1]["x"]) and torch.equal(found["final"], turns[-1]["x"])
    assert torch.equal(found["firsts"], torch.cat([t["first"] for t in turns], 1))
    assert torch.equal(found["twice"], turns[-1]["x"] * 2 + X * scale)


def test_until_inside_a_counted_loop() -> None:
    x, seen = X, []
    for _ in range(3):
        y = until_small(x, 12)[-1]["x"]
        x = y * 2 + x
        seen.append(x)
    found = run(NESTED)
    assert torch.equal(found["x"], x) and torch.equal(found["all"], torch.cat(seen))


def test_rows_that_an_op_keeps_have_owners_but_not_those_of_a_loop() -> None:
    """What names the owners of rows is gone with the turn that made it; outside of loops it is known."""
    keep = "{op: toy.keep, in: {x: $in.x, above: $in.above}}"
    plain = f"nodes: {{keep: {keep}}}\noutputs: {{kept: keep.x}}\n"
    body = f"loop: {{max: 2, carry: {{y: $in.x}}, nodes: {{keep: {keep}, d: {{op: toy.double, in: {{x: $carry.y}}}}}}, "
    looped = (
        f"nodes: {{turn: {{{body}next: {{y: d}}, out: {{kept: keep.x}}}}}}}}\noutputs: {{kept: turn.kept}}\n"
    )
    owners = []
    for text in (plain, looped):
        graph = toy_graph(HEAD + text)
        result = toy_engine(graph).run(graph, [Request("a", {"x": X})])["a"]
        assert len(result.values["kept"]) <= len(X)
        owners.append(result.owners.get("kept"))
    assert owners[0] is not None and owners[1] is None


def test_a_counted_loop_inside_until() -> None:
    x = X
    for _ in range(5):
        for _ in range(3):
            x = x * 2 + X
        x = x / 2
        if x.abs().max() < 0.1:
            break
    assert torch.equal(run(INSIDE)["x"], x)


def test_streamed_values_come_turn_by_turn() -> None:
    events: list[Event] = []
    found = run(HALVING, on_event=events.append)
    streamed = [e.data for e in events if e.kind == "stream"]
    assert torch.equal(torch.cat(streamed, 1), found["firsts"])
    assert [e.step for e in events if e.kind == "loop_step"] == list(range(1, len(streamed) + 1))


def test_an_index_that_is_carried() -> None:
    graph = toy_graph("""
mmm: 1
inputs: {x: "Latents[b,l,3]", zero: Scalar}
nodes:
  start: {op: toy.start, config: {steps: 4}, in: {x: $in.x}}
  count:
    loop:
      each: {i: start.turns}
      carry: {n: $in.zero, x: $in.x}
      nodes:
        up: {op: toy.halve, in: {x: $carry.x}}
        inner:
          loop:
            max: 2
            carry: {j: $each.i}
            nodes: {k: {op: toy.number, in: {i: $carry.j}}}
            next: {j: k}
      next: {n: $each.i, x: up}
      out: {j: inner.j}
outputs: {n: count.n, x: count.x, j: count.j}
""")
    values = toy_engine(graph).run(graph, [Request("a", {"x": X, "zero": 0})])["a"].values
    assert values["n"] == 3 and values["j"] == 3 and torch.equal(values["x"], X / 16)
