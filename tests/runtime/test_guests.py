"""Models between the blocks of another run in order, under keys of their own, in their own dtype."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmm_graph.config import Config
from mmm_graph.graph.compile import compile_graph
from mmm_graph.plan.place import make_plan
from mmm_graph.registry import Part, method, model_type, registry_of
from mmm_graph.runtime.build import build_models
from mmm_graph.runtime.engine import Engine, Request
from mmm_graph.spec import load_spec

NUM_BLOCKS = 3
State = Mapping[str, Any]


class Block(nn.Module):
    """2 h + i."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.tensor(float(number)))

    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": 2 * state["h"] + self.number}


class Start(nn.Module):
    def forward(self, state: State) -> dict[str, Tensor]:
        return {"h": state["x"]}


class End(nn.Module):
    def forward(self, state: State) -> dict[str, Tensor]:
        return {"y": state["h"]}


class Host(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        blocks = {f"block{i}": Block(i) for i in range(NUM_BLOCKS)}
        self.parts = nn.ModuleDict({"start": Start(), **blocks, "end": End()})


class Add(nn.Module):
    """h + weight * add; keeps what was added, and adds it again where there is nothing new."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, state: State) -> dict[str, Any]:
        kept, add = state.get("cache.add"), state.get("add")
        seen.append((state["h"].dtype, self.weight.dtype))
        more = kept if kept is not None else self.weight * add
        return {"h": state["h"] + more, "cache.add": more}


class Guest(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"add": Add()})


seen: list[tuple[torch.dtype, torch.dtype]] = []
ADD = (Part("add", ("h", "add", "cache.add"), ("h", "cache.add"), 1),)
TABLE = (
    Part("start", ("x",), ("h",)),
    *(Part(f"block{i}", ("h",), ("h",), 1) for i in range(NUM_BLOCKS)),
    Part("end", ("h",), ("y",)),
)
ROWS = "Embeds[b,2]"


def all_parts(config: Config, call: object) -> list[str]:
    return [part.name for part in TABLE]


HERE = "tests.runtime.test_guests"
REGISTRY = registry_of(
    model_type(
        "llm.toy",
        Config,
        f"{HERE}:Host",
        parts=lambda config: TABLE,
        state={"h": ROWS},
        methods={
            "first": method(x=ROWS, returns={"y": ROWS, "cache": "State"}, path=all_parts),
            "next": method(x=ROWS, cache="State", returns={"y": ROWS}, path=all_parts),
            "plain": method(x=ROWS, returns={"y": ROWS}, path=all_parts),
        },
    ),
    model_type(
        "adaptor.toy",
        Config,
        f"{HERE}:Guest",
        parts=lambda config: ADD,
        methods={"forward": method(h=ROWS, add=ROWS, returns={"h": ROWS}, path=lambda config, call: ["add"])},
        attaches="forward",
    ),
)
GRAPH = """
mmm: 1
inputs: {x: "Embeds[b,2]", add: "Embeds[b,2]"}
models:
  g: {kind: adaptor.toy, init: default, dtype: GUEST}
  llm: {kind: llm.toy, init: default, dtype: HOST, attach: [{model: g, at: blocks, ITEM}]}
nodes:
  a: {call: llm.first, in: {x: $in.x, add: $in.add}}
  b: {call: llm.next, in: {x: $in.x, cache: a.cache}}
  c: {call: llm.plain, in: {x: $in.x, add: $in.add}}
outputs: {a: a.y, b: b.y, c: c}
"""


def engine(item: str = "every: 1", host: str = "f32", guest: str = "f32") -> tuple[Any, Engine]:
    text = GRAPH.replace("ITEM", item).replace("HOST", host).replace("GUEST", guest)
    graph = compile_graph(load_spec(text), REGISTRY)
    models = build_models(graph.models, REGISTRY, base=Path())
    if "g" in models:
        with torch.no_grad():
            for i, part in enumerate(models["g"].object.parts.values()):
                part.weight.fill_(10.0**i)
    return graph, Engine(REGISTRY, models)


def run(graph: Any, engine: Engine, **more: Any) -> dict[str, Any]:
    given = {"x": torch.tensor([[1.0, 2.0]]), "add": torch.tensor([[1.0, 1.0]])}
    return engine.run(graph, [Request("r", given)], **more)["r"].values


def expected(x: float, item: str) -> float:
    """In plain Python."""
    said = dict(pair.split(": ") for pair in item.split(", "))
    every, offset = int(said.get("every", 1)), int(said.get("offset", 0))
    weight = 1.0
    for block in range(NUM_BLOCKS):
        here = block >= offset and (block - offset) % every == 0
        before, after = (here * weight * (said.get("side", "before") == side) for side in ("before", "after"))
        x = 2 * (x + before) + block + after
        weight *= 10 if here else 1
    return x


@pytest.mark.parametrize(
    "item", ["every: 1", "every: 2, side: after", "every: 2, offset: 1", "side: after, offset: 2"]
)
def test_copies_run_at_their_places_with_what_each_has_kept(item: str) -> None:
    found = run(*engine(item))
    want = [expected(1.0, item), expected(2.0, item)]
    assert found["a"].tolist() == [want] and found["b"].tolist() == [want], (
        "the second call adds what was kept"
    )


@pytest.mark.parametrize(("host", "guest"), [("f32", "f64"), ("f64", "f32")])
def test_a_guest_computes_in_its_own_dtype(host: str, guest: str) -> None:
    seen.clear()
    found = run(*engine(host=host, guest=guest))
    assert found["a"].dtype is {"f32": torch.float32, "f64": torch.float64}[host]
    assert (
        {a for a, _ in seen} == {b for _, b in seen} == {{"f32": torch.float32, "f64": torch.float64}[guest]}
    )


@pytest.mark.dist
def test_copies_are_where_their_blocks_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmm_graph.runtime.shards import Shards
    from mmm_graph.runtime.world import ThreadWorld

    graph, whole = engine()
    plan = make_plan(graph, REGISTRY, {"llm": [([0], 0, 3), ([1], 3, 8)]})
    shards = Shards()
    ranks = ThreadWorld(2).run(lambda world: shards.models(whole.models, plan, world))
    assert [list(r["g"].object.parts) for r in ranks] == [["0"], ["1", "2"]]
    assert [list(r["llm"].object.parts) for r in ranks] == [["start", "block0"], ["block1", "block2", "end"]]
    again = ThreadWorld(2).run(lambda world: shards.models(whole.models, plan, world))
    assert all(a["g"] is b["g"] for a, b in zip(ranks, again, strict=True)), "kept between runs"


def test_results_are_not_kept_for_other_weights_of_guests() -> None:
    graph, first = engine()
    _, other = engine()
    first.models["g"].__dict__["_stats"], other.models["g"].__dict__["_stats"] = "a", "b"
    with torch.no_grad():
        for part in other.models["g"].object.parts.values():
            part.weight.fill_(7.0)
    one = run(graph, first, outputs=["c"])["c"]
    seen.clear()
    assert torch.equal(run(graph, first, outputs=["c"])["c"], one) and not seen, "kept"
    first.models["g"] = other.models["g"]
    assert not torch.equal(run(graph, first, outputs=["c"])["c"], one) and len(seen) == NUM_BLOCKS
