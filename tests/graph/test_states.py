"""The state of a model of parts: a port is a value for each part, of that model only, and never kept in the cache."""

from __future__ import annotations

import pytest
import torch

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph
from mmm_graph.runtime.engine import Request
from mmm_graph.spec import load_spec
from tests.plugins.mmm_generate.toy_llm import BLOCKS, registry
from tests.runtime.toys import toy_engine

REGISTRY = registry()
TEXT = """
mmm: 1
inputs: {ids: "Ids[b,t]", next: "Ids[b,1]"}
models: {llm: {kind: llm.toy, init: default}, other: {kind: llm.toy, init: default}}
nodes:
  room: {op: llm.room, config: {tokens: 2}}
  words: {call: llm.embed, in: {ids: $in.ids}}
  pre: {call: llm.prefill, in: {embeds: words, room: room}}
  step: {call: MODEL.step, in: {ids: $in.next, at: pre.at, cache: LINK}}
outputs: {logits: step.logits}
"""


def compiled(model: str = "llm", link: str = "pre.cache") -> Graph:
    return compile_graph(load_spec(TEXT.replace("MODEL", model).replace("LINK", link)), REGISTRY)


def test_a_port_is_a_value_of_each_part() -> None:
    nodes = {n.path: n for n in compiled().walk()}
    pieces = {f"cache.{name}" for name in ("rows", *(f"block{i}" for i in range(BLOCKS)))}
    assert {k for k, t in nodes["pre"].outputs.items() if t.kind == "State"} == pieces
    assert {k for k in nodes["step"].inputs if k.startswith("cache.")} == pieces


@pytest.mark.parametrize(
    ("model", "link", "said"),
    [
        (
            "other",
            "pre.cache",
            r"step.cache.rows: expects State\{other\}, got State\{llm\} from pre.cache.rows",
        ),
        ("llm", "pre.logits", r"step.cache: expects State, got Logits"),
    ],
)
def test_a_state_belongs_to_its_model(model: str, link: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        compiled(model, link)


def test_what_is_written_in_place_is_not_kept() -> None:
    """The step writes to the cache of the prompt: a second run with another token must not see the first one's."""
    graph = compiled()
    engine = toy_engine(graph, REGISTRY, cache_bytes=1 << 20)
    ids = torch.tensor([[1, 2, 3]])
    runs = [
        engine.run(graph, [Request("a", {"ids": ids, "next": torch.tensor([[n]])})])["a"].values["logits"]
        for n in (4, 5, 4)
    ]
    assert torch.equal(runs[0], runs[2]) and not torch.equal(runs[0], runs[1])
