"""Stages of a language model work at the same time, on different requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest
import torch

import mmm_graph as mmm
from mmm_llm.model import Block

GRAPH = """\
mmm: 1
inputs: {ids: "Ids[b,t]"}
models:
  llm:
    kind: llm.decoder
    init: default
    config: {vocab_size: 64, max_length: 64, width: 32, depth: 2, num_heads: 2, hidden: 64}
nodes: {say: {op: llm.generate, use: {llm: llm}, in: {ids: $in.ids}, config: {max_new_tokens: 4}}}
outputs: {ids: say.ids}
parallel: {plans: {stages2: {ranks: 2, pipe: {llm: 2}}}}
"""


def test_the_first_stage_goes_on_while_the_last_one_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last stage does not end its part of one request before the first stage has begun that of the other."""
    forward, begun, waited = Block.forward, threading.Semaphore(0), []

    def watched(self: Block, state: Mapping[str, Any]) -> Any:
        if state["h"].shape[1] == 1 and self.own == "cache.block0":
            begun.release()
        found = forward(self, state)
        if state["h"].shape[1] == 1 and self.own == "cache.block1" and len(waited) < 3:
            own, other = (
                begun.acquire(timeout=20),
                begun.acquire(timeout=20),
            )  # this request's step, and the next one's
            waited.append(own and other)
            begun.release()
        return found

    monkeypatch.setattr(Block, "forward", watched)
    ids = torch.randint(1, 60, (1, 4), generator=torch.Generator().manual_seed(0))
    session = mmm.load(GRAPH, plan="stages2")
    results = session.map([{"id": name, "ids": ids} for name in "ab"])
    assert waited == [True] * 3
    assert results["a"].values["ids"].equal(mmm.load(GRAPH).run(ids=ids)["ids"])
