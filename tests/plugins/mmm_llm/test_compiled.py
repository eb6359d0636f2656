"""`compile:` of a decoder gives the tokens of its layers; no token and no length of a prompt is traced by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.plugins.mmm_llm.test_prefix import FAMILIES, PROMPTS, same, session


@pytest.fixture
def stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is traced is run as it stands: generating code takes minutes."""
    trace = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, mode: trace(function, backend="eager"))


def graphs_of(count: int, mib: int = 0, **config: Any) -> list[int]:
    """How many new graphs each prompt needed; none of them may be broken."""
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    plain = session(count=count, **config)
    compiled = session(mib, count=count, model={"compile": True}, **config)
    found = []
    for ids in PROMPTS:
        counters.clear()
        assert same(compiled.run(ids=ids), plain.run(ids=ids))
        assert not counters["graph_break"]
        found.append(int(counters["stats"]["unique_graphs"]))
    return found


@pytest.mark.usefixtures("stands")
def test_every_token_by_the_same_graph() -> None:
    """And prompts that take what is kept are not traced."""
    first, *later = graphs_of(4, 4, depth=1)
    assert 1 <= first <= 2 and later[1:] == [0, 0]  # one more where the cache has another length


@pytest.mark.slow
@pytest.mark.usefixtures("stands")
@pytest.mark.parametrize("family", ["llama", "opt"])
def test_every_prompt_by_the_same_graph(family: str) -> None:
    first, *later = graphs_of(8, **FAMILIES[family], depth=1)
    assert 2 <= first <= 3 and later[1:] == [0, 0]


@pytest.mark.slow
@pytest.mark.usefixtures("stands")
def test_more_blocks_than_torch_traces_of_one_code() -> None:
    """Blocks share their code, of which torch traces eight variants."""
    assert sum(graphs_of(3, depth=10, width=8, num_heads=2, hidden=8)) <= 5


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "opt"])
def test_tokens_of_generated_code(family: str) -> None:
    assert graphs_of(32, **FAMILIES[family], depth=2)[2:] == [0, 0]
