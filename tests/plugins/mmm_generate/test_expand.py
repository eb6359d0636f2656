"""Generation by cache equals everything anew for each token; batches, stops, processors, draws; over ranks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mmm_generate import config as c
from mmm_generate import processors
from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph
from mmm_graph.plan.block import Blocks, Wishes
from mmm_graph.plan.expand import Stream
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.lower import project
from mmm_graph.plan.ops import Move, Repeat, Value
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.repeat import repeat_task
from mmm_graph.plan.schedule import order
from mmm_graph.plan.select import select
from mmm_graph.runtime.engine import Event, Request
from mmm_graph.spec import load_spec
from tests.plugins.mmm_generate.toy_llm import BLOCKS, answer_of, registry
from tests.runtime.toys import toy_engine

REGISTRY = registry()
TEXT = """
mmm: 1
inputs: {ids: "Ids[b,t]", mask: "Mask[b,t]?"}
models:
  llm: {kind: llm.toy, init: default}
  tok: {kind: tokenizer.letters}
nodes:
  say: {op: llm.generate, use: {llm: llm, tokenizer: tok}, config: CONFIG, in: {ids: $in.ids, mask: $in.mask}}
outputs: {ids: say.ids, mask: say.mask, logprobs: say.logprobs, text: say.text}
"""
PROMPTS = ([3, 1, 4], [1, 5, 9, 2, 6], [7])
COUNT = 12


def graph_of(text: str = TEXT, **config: Any) -> Graph:
    import json

    return compile_graph(load_spec(text.replace("CONFIG", json.dumps(config))), REGISTRY)


def padded(prompts: Any) -> dict[str, torch.Tensor]:
    longest = max(map(len, prompts))
    rows = [[0] * (longest - len(p)) + list(p) for p in prompts]
    mask = [[False] * (longest - len(p)) + [True] * len(p) for p in prompts]
    return {"ids": torch.tensor(rows), "mask": torch.tensor(mask)}


def run(graph: Graph, prompts: Any, plan: Any = None, seeds: Any = (0,), on_event: Any = None) -> Any:
    engine = toy_engine(graph, REGISTRY, cache_bytes=1 << 20)
    requests = [Request("a", padded(prompts), seeds)]
    found = engine.run(graph, requests, plan=plan, on_event=on_event)["a"].values
    return found, engine.models["llm"].object


def expected(net: Any, prompts: Any, count: int = COUNT, change: Any = None) -> list[list[int]]:
    found = []
    for prompt in prompts:
        ids = answer_of(net, prompt, count, change)[0]
        found.append(ids[: ids.index(10) + 1] if 10 in ids else ids)
    return found


def answers(found: Any) -> list[list[int]]:
    return [row[keep].tolist() for row, keep in zip(found["ids"], found["mask"], strict=True)]


def test_a_batch_equals_one_by_one_without_a_cache() -> None:
    found, net = run(graph_of(max_new_tokens=COUNT), PROMPTS)
    assert answers(found) == expected(net, PROMPTS)
    assert found["text"] == ["".join("abcdefghij"[i] for i in row if i != 10) for row in answers(found)]
    said = answer_of(net, PROMPTS[0], len(answers(found)[0]))[1]
    assert torch.allclose(found["logprobs"][0, : len(said)], torch.tensor(said), atol=1e-5)


def test_hidden_states_are_those_of_the_new_tokens() -> None:
    """Each where its token went in, the last one's too; as the model makes them of prompt and answer at once."""
    text = TEXT.replace("text: say.text", "hidden: say.hidden")
    found, net = run(graph_of(text, max_new_tokens=COUNT, hidden=True), PROMPTS)
    assert found["hidden"].shape[:2] == found["ids"].shape
    for row, (prompt, answer) in enumerate(zip(PROMPTS, answers(found), strict=True)):
        state: dict[str, Any] = {"ids": torch.tensor([[*prompt, *answer]])}
        with torch.no_grad():
            for name in ("embed", "enter", *(f"block{i}" for i in range(BLOCKS))):
                state.update(net.parts[name](state))
        want = state["h"][0, len(prompt) :]
        torch.testing.assert_close(found["hidden"][row, : len(answer)], want, rtol=1e-5, atol=1e-5)


@pytest.mark.dist
@pytest.mark.parametrize("cut", [2, 4, 5])
def test_blocks_on_two_ranks_keep_their_caches(cut: int) -> None:
    graph = graph_of(max_new_tokens=COUNT)
    whole, _ = run(graph, PROMPTS)
    plan = make_plan(graph, REGISTRY, {"llm": [([0], 0, cut), ([1], cut, BLOCKS + 5)]})
    found, _ = run(graph, PROMPTS, plan)
    assert all(torch.equal(found[k], whole[k]) for k in ("ids", "mask", "logprobs"))


@pytest.mark.dist
def test_requests_in_flight_take_turns() -> None:
    """Two ranks, four requests of different lengths: the same answers, and no rank waits out the turn of another."""
    graph = graph_of(max_new_tokens=COUNT, stop_ids=[3], temperature=2.0)
    plan = make_plan(graph, REGISTRY, {"llm": [([0], 0, 4), ([1], 4, BLOCKS + 5)]})
    prompts = (*PROMPTS, [2, 2, 8, 8])
    requests = [Request(str(i), padded([p]), (i,)) for i, p in enumerate(prompts)]
    engine = toy_engine(graph, REGISTRY)
    alone = engine.run(graph, requests)
    together = engine.run(graph, requests, plan=plan)
    lengths = {len(answers(alone[r.id].values)[0]) for r in requests}
    assert len(lengths) > 1
    for r in requests:
        assert all(
            torch.equal(together[r.id].values[k], v) for k, v in alone[r.id].values.items() if k != "text"
        )
    wanted = {k: v.ref for k, v in graph.outputs.items()}
    blocks = Blocks(graph, REGISTRY, plan, select(Flow(graph), list(wanted.values())), Wishes(wanted))
    streams = [Stream(blocks, r.id, repeat_task) for r in requests]
    start = [Value(r.id, name) for r in requests for name in blocks.start]
    whole = list(order([s.tasks() for s in streams], 2, start=start))
    moved = {m.value.name for m in whole if isinstance(m, Move)}
    assert moved and not any("cache." in name for name in moved)
    for rank in (0, 1):
        assert [len(i.beside) for i in project(whole, rank) if isinstance(i, Repeat)] == [3]


def test_tokens_stream_and_the_model_is_not_asked_after_the_last() -> None:
    events: list[Event] = []
    found, _ = run(graph_of(max_new_tokens=3, stop_ids=[]), PROMPTS[:1], on_event=events.append)
    streamed = [e.data for e in events if e.kind == "stream"]
    assert torch.equal(torch.cat(streamed, 1), found["ids"])
    assert (
        sum(e.kind == "node_end" and e.node == "say/turns/step" for e in events) == found["ids"].shape[1] - 1
    )


def test_stop_texts_and_ids_end_an_answer() -> None:
    plain, _ = run(graph_of(max_new_tokens=COUNT), PROMPTS)
    row = answers(plain)[1]
    text = "".join("abcdefghij"[i] for i in row[:4] if i != 10)
    stopped, _ = run(graph_of(max_new_tokens=COUNT, stop=[text[2:4]]), PROMPTS[1:2])
    first = next(i for i in range(len(row)) if text[2:4] in "".join("abcdefghij"[j] for j in row[: i + 1]))
    assert answers(stopped)[0] == row[: first + 1]
    by_id, _ = run(graph_of(max_new_tokens=COUNT, stop_ids=[row[2]], pad_id=0), PROMPTS[1:2])
    assert answers(by_id)[0] == row[: row.index(row[2]) + 1]


def test_the_penalty_counts_the_prompt() -> None:
    found, net = run(graph_of(max_new_tokens=COUNT, repetition_penalty=1.7), PROMPTS)
    settings = c.PenaltyConfig(penalty=1.7)
    change = lambda logits, ids: processors.repetition_penalty(logits[None], ids, settings)[0]  # noqa: E731
    # padding of the others is no token of theirs, but token 0 counts where the prompt has been padded with it
    assert answers(found)[1] == expected(net, PROMPTS[1:2], change=change)[0]


def test_an_answer_depends_on_its_own_seed_only() -> None:
    graph = graph_of(max_new_tokens=COUNT, temperature=1.5, top_p=0.9)
    both, _ = run(graph, PROMPTS[:2], seeds=(5, 6))
    again, _ = run(graph, PROMPTS[:2], seeds=(5, 7))
    assert answers(both)[0] == answers(again)[0] and answers(both)[1] != answers(again)[1]


@pytest.mark.parametrize("config", [{"top_p": 0.3}, {"temperature": 0.5, "top_p": 1.0}])
def test_top_p_that_leaves_nothing_out_is_no_node(config: dict[str, Any]) -> None:
    assert not any("top_p" in node.path for node in graph_of(**config).walk())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"top_k": 3}, "has no effect at temperature 0"),
        ({"max_new_tokens": 2, "min_new_tokens": 3}, "is more than max_new_tokens"),
        ({"stop": [""]}, "would stop every answer"),
        ({"processors": [{"op": "logits.nothing"}]}, "logits.nothing"),
    ],
)
def test_what_is_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        graph_of(**config)


def test_without_a_tokenizer_there_is_no_text_and_no_stop_text() -> None:
    text = TEXT.replace(", tokenizer: tok}", "}").replace(", text: say.text", "")
    assert "say/turns/pick" in {n.path for n in graph_of(text).walk()}
    with pytest.raises(InputError, match="compares texts"):
        graph_of(text, stop=["x"])
