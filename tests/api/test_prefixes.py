"""Conversations whose beginning is kept: answers are the same; graphs that cannot stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmm_graph.api.prefixes import with_prefix_cache
from mmm_graph.api.session import Session
from mmm_graph.api.talk import Talk
from mmm_graph.nn.prefix_index import PrefixIndex
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from tests.api.test_talk import GRAPH as TOY
from tests.plugins.mmm_generate.toy_llm import registry as toy_registry

ROOT = Path(__file__).parents[2]
GRAPH = f"""
mmm: 1
params: {{beams: {{type: int, default: 1}}}}
inputs: {{chat: "Chat[b]"}}
models:
  tok:
    kind: tokenizer.hf
    weights: "file:{ROOT}/graphs/digits/weights/tokenizer.json"
    config: {{max_length: 256, pad: longest, pad_side: left}}
  llm:
    kind: llm.decoder
    init: default
    config: {{vocab_size: 32, max_length: 320, width: 16, depth: 2, num_heads: 2, hidden: 24}}
nodes:
  ids: {{call: tok.chat, in: {{chat: $in.chat}}, config: {{template: vicuna_v1}}}}
  say:
    op: llm.generate
    use: {{llm: llm, tokenizer: tok}}
    in: {{ids: ids, mask: ids.mask}}
    config: {{max_new_tokens: 6, processors: [{{op: logits.suppress, config: {{ids: [0, 1, 2, 3]}}}}]}}
outputs: {{text: {{from: say.text, type: "Text[b]"}}}}
"""
SAID = ("a red seven", "and a blue one", "which is which")


def talk(mib: int) -> Talk:
    session = Session(GRAPH)
    session.spec = with_prefix_cache(session.spec, session.registry, mib)
    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in session.module("llm").parameters():
            weight.add_(torch.randn(weight.shape, generator=drawn) * 0.3)
    return Talk(session, "you see digits and say what they are, in a word or two")


def test_answers_of_a_conversation_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, decide = [], PrefixIndex.decide

    def noted(self: PrefixIndex, embeds: torch.Tensor, budget: int) -> object:
        word = decide(self, embeds, budget)
        taken.append((word.length, embeds.shape[1]))
        return word

    monkeypatch.setattr(PrefixIndex, "decide", noted)
    one, other = talk(0), talk(1)
    assert [one.ask(text).text for text in SAID] == [other.ask(text).text for text in SAID]
    assert len({m["content"] for m in one.messages if m["role"] == "assistant"}) > 1
    (first, before), *later = taken
    assert first == 0 and len(later) == 2
    for length, now in later:
        assert before - 16 < length < now and length % 16 == 0  # all of the turn before
        before = now
    other.forget()
    assert other.ask(SAID[0]).text == other.session.run(chat=[[*other.messages[:2]]])["text"][0]


@pytest.mark.parametrize(
    ("old", "new", "mib"),
    [
        ("", "", 256),
        ("max_new_tokens: 6", "prefix_cache: 4", 4),
        ("max_new_tokens: 6", "num_beams: $params.beams", None),
    ],
)
def test_where_it_can_be(old: str, new: str, mib: int | None) -> None:
    spec = with_prefix_cache(load_spec(GRAPH.replace(old, new)), load_registry(), 256)
    assert spec.nodes["say"].config.get("prefix_cache") == mib
    assert "prefix_cache" not in spec.nodes["ids"].config


def test_other_models_are_left_as_they_are() -> None:
    spec = load_spec(TOY)
    assert with_prefix_cache(spec, toy_registry(), 256) == spec
    text = GRAPH.replace(
        "  llm:\n", "  x: {kind: adaptor.gated_xattn}\n  llm:\n    attach: [{model: x, at: blocks}]\n"
    )
    spec = load_spec(text)
    assert with_prefix_cache(spec, load_registry(), 256) == spec
