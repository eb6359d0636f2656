"""A talk: pieces are the answer, what was said is remembered, what failed was never said."""

from __future__ import annotations

import pytest

from mmm_graph.api.session import Session
from mmm_graph.api.talk import Talk
from mmm_graph.errors import Cancelled, InputError
from tests.plugins.mmm_generate.toy_llm import registry

GRAPH = """
mmm: 1
inputs: {chat: "Chat[b]"}
models:
  tok: {kind: tokenizer.letters}
  llm: {kind: llm.toy, init: default}
nodes:
  ids: {call: tok.chat, in: {chat: $in.chat}}
  say: {op: llm.generate, use: {llm: llm, tokenizer: tok}, config: {max_new_tokens: 9, temperature: 1.0},
        in: {ids: ids, mask: ids.mask}}
outputs: {text: {from: say.text, type: "Text[b]"}}
"""


def talk(text: str = GRAPH, system: str | None = None) -> Talk:
    return Talk(Session(text, registry=registry()), system)


def test_pieces_are_the_answer() -> None:
    pieces: list[str] = []
    answer = talk().ask("abc", tell=pieces.append)
    assert answer == "".join(pieces) and len(pieces) > 1


def test_what_was_said_is_remembered() -> None:
    one, other = talk(system="j"), talk()
    first = one.ask("abc", seed=1)
    second = one.ask("de", seed=2)
    assert [m["role"] for m in one.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert second == other.ask(f"jabc{first}de", seed=2)
    one.forget()
    assert one.messages == [{"role": "system", "content": "j"}]


def test_what_was_stopped_was_never_said() -> None:
    one = talk()
    with pytest.raises(Cancelled):
        one.ask("abc", cancel=lambda: True)
    assert one.messages == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('say.text, type: "Text[b]"', "say.ids", "needs an output of kind Text"),
        ('inputs: {chat: "Chat[b]"}', 'inputs: {chat: "Chat[b]", more: "Chat[b]"}', "2 inputs of kind Chat"),
    ],
)
def test_graphs_that_cannot_talk(old: str, new: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        talk(GRAPH.replace(old, new))
