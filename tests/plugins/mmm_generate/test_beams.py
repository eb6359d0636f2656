"""Beam search against a search through all answers."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from mmm_graph.errors import InputError
from mmm_graph.plan.place import make_plan
from tests.plugins.mmm_generate.test_expand import PROMPTS, REGISTRY, TEXT, answers, graph_of, run
from tests.plugins.mmm_generate.toy_llm import BLOCKS, VOCAB, through

BEAMS = TEXT.replace("logprobs: say.logprobs", "score: say.score")


@torch.no_grad()
def best_of_all(net: Any, prompt: list[int], length: int, penalty: float) -> tuple[list[int], float]:
    """The answer with the best score among all up to a length; 10 ends one."""
    rows = torch.tensor([[*prompt, *answer] for answer in product(range(VOCAB), repeat=length)])
    said = torch.zeros(len(rows), length)
    for i in range(length):
        state: dict[str, Any] = {"ids": rows[:, : len(prompt) + i]}
        for name in through("embed", "enter", "blocks", "last", "head")(None, None):
            state.update(net.parts[name](state))
        logp = state["logits"].log_softmax(-1)
        said[:, i] = logp.gather(1, rows[:, len(prompt) + i, None])[:, 0]
    best: tuple[list[int], float] = ([], -1e9)
    for row, each in zip(rows[:, len(prompt) :].tolist(), said, strict=True):
        end = row.index(10) + 1 if 10 in row else length
        score = float(each[:end].sum()) / end**penalty
        best = max(best, (row[:end], score), key=lambda pair: pair[1])
    return best


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_enough_beams_find_the_best_answer(penalty: float) -> None:
    graph = graph_of(BEAMS, max_new_tokens=3, num_beams=130, length_penalty=penalty, early_stopping="never")
    found, net = run(graph, PROMPTS)
    for i, prompt in enumerate(PROMPTS):
        ids, score = best_of_all(net, prompt, 3, penalty)
        assert answers(found)[i] == ids and abs(float(found["score"][i]) - score) < 1e-5


@pytest.mark.dist
def test_caches_on_two_ranks_follow_the_beams() -> None:
    graph = graph_of(BEAMS, max_new_tokens=6, num_beams=3, no_repeat_ngram=2)
    whole, _ = run(graph, PROMPTS)
    plan = make_plan(graph, REGISTRY, {"llm": [([0], 0, 4), ([1], 4, BLOCKS + 5)]})
    found, _ = run(graph, PROMPTS, plan)
    assert torch.equal(found["ids"], whole["ids"]) and torch.equal(found["score"], whole["score"])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"temperature": 0.5}, "a temperature is not supported"),
        ({"stop": ["a"]}, "use stop_ids in place of stop"),
    ],
)
def test_what_is_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        graph_of(BEAMS, num_beams=2, **config)
