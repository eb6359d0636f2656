"""Whole answers beside transformers.generate: greedy, with processors, beam search; batches padded on the left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import mmm_graph
from mmm_graph.registry import load_registry
from mmm_graph.registry.foreign import open_foreign

pytestmark = pytest.mark.parity
COUNT = 32
TEXT = """
mmm: 1
inputs: {ids: "Ids[b,t]", mask: "Mask[b,t]?"}
models: {llm: LLM}
nodes: {say: {op: llm.generate, use: {llm: llm}, config: CONFIG, in: {ids: $in.ids, mask: $in.mask}}}
outputs: {ids: say.ids, mask: say.mask}
"""


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    torch.manual_seed(0)
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "vocab_size": 101}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 128}
    model = LlamaForCausalLM(LlamaConfig(**sizes, **heads, bos_token_id=1, eos_token_id=2)).eval()
    with torch.no_grad():  # random weights say the same for ever
        for weight in model.parameters():
            weight.mul_(4)
    folder = tmp_path_factory.mktemp("peer")
    model.save_pretrained(folder / "llama")
    return model, folder


def prompts() -> dict[str, torch.Tensor]:
    rows = [[5, 17, 33, 8], [40, 3, 9, 21, 60, 71, 4], [88]]
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(r)) + r for r in rows])
    return {"ids": ids, "mask": torch.tensor([[0] * (longest - len(r)) + [1] * len(r) for r in rows]).bool()}


def ours(folder: Path, given: dict[str, torch.Tensor], **config: Any) -> list[list[int]]:
    config = {"max_new_tokens": COUNT, "stop_ids": [2], "pad_id": 0, **config}
    llm = open_foreign(folder / "llama", "file:llama", load_registry()).model()
    text = TEXT.replace("CONFIG", json.dumps(config)).replace("LLM", json.dumps(llm))
    found = mmm_graph.load(text, base=folder).run(**given)
    return [row[keep].tolist() for row, keep in zip(found["ids"], found["mask"], strict=True)]


def theirs(model: Any, given: dict[str, torch.Tensor], **config: Any) -> list[list[int]]:
    wishes = {"max_new_tokens": COUNT, "do_sample": False, "eos_token_id": 2, "pad_token_id": 0, **config}
    found = model.generate(given["ids"], attention_mask=given["mask"].long(), **wishes)
    rows = found[:, given["ids"].shape[1] :].tolist()
    return [row[: row.index(2) + 1] if 2 in row else row for row in rows]


@pytest.mark.parametrize(
    ("mine", "peers"),
    [
        ({}, {}),
        ({"stop_ids": [2, 7, 50]}, {"eos_token_id": [2, 7, 50]}),
        ({"no_repeat_ngram": 2}, {"no_repeat_ngram_size": 2}),
        ({"repetition_penalty": 1.4, "min_new_tokens": 6}, {"repetition_penalty": 1.4, "min_new_tokens": 6}),
        ({"num_beams": 3}, {"num_beams": 3}),
        ({"num_beams": 4, "length_penalty": 2.0, "no_repeat_ngram": 3},
         {"num_beams": 4, "length_penalty": 2.0, "no_repeat_ngram_size": 3}),
        ({"num_beams": 2, "early_stopping": True}, {"num_beams": 2, "early_stopping": True}),
        ({"num_beams": 5, "early_stopping": "never", "length_penalty": -1.0},
         {"num_beams": 5, "early_stopping": "never", "length_penalty": -1.0}),
    ],
)  # fmt: skip
def test_answers_are_the_same(peer: tuple[Any, Path], mine: dict[str, Any], peers: dict[str, Any]) -> None:
    model, folder = peer
    given = prompts()
    ends = mine.get("stop_ids", [2])
    expected = theirs(model, given, **peers)
    if len(ends) > 1:
        expected = [r[: next((i + 1 for i, t in enumerate(r) if t in ends), len(r))] for r in expected]
    assert ours(folder, given, **mine) == expected
