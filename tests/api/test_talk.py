"""A talk: pieces are the answer, what was said and asked for is remembered, what failed was never said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from mmm_generate.node import node_types
from mmm_graph.api.session import Session
from mmm_graph.api.talk import Talk
from mmm_graph.errors import Cancelled, InputError, RunError, problem
from mmm_graph.registry import Registry, op_type, registry_of
from mmm_signal.runs.node import run_nodes
from mmm_vision.savers.node import image_savers
from tests.plugins.mmm_generate.toy_llm import Letters, letters, registry, toy_llm

HEAD = """
mmm: 1
inputs: {chat: "Chat[b]"}
models:
  tok: {kind: tokenizer.letters}
  llm: {kind: llm.toy, init: default}
nodes:
  ids: {call: tok.chat, in: {chat: $in.chat}}
"""
GRAPH = (
    HEAD
    + """  say: {op: llm.generate, use: {llm: llm, tokenizer: tok}, config: {max_new_tokens: 9, temperature: 1.0},
        in: {ids: ids, mask: ids.mask}}
outputs: {text: {from: say.text, type: "Text[b]"}}
"""
)

DRAWS = (
    HEAD
    + """  say:
    op: llm.generate
    use: {llm: llm, tokenizer: tok}
    in: {ids: ids, mask: ids.mask}
    config: {max_new_tokens: 2, processors: [{op: logits.suppress, config: {ids: [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]}}]}
  sig:  {op: signals.find, use: {tokenizer: tok}, in: {ids: say.ids, mask: say.mask}}
  dots: {op: image.dots, in: {rows: sig.rows}}
outputs:
  text:  {from: say.text, type: "Text[b]"}
  image: {from: dots, type: "Image[r,1,2,3]?", save: {format: png}}
"""
)
"""Says "dd", which is two signals."""


class Asking(Letters):
    signals: ClassVar = {"image": (3,)}


def dots(rows: Tensor) -> Tensor:
    return torch.ones(len(rows), 1, 2, 3)


def drawing() -> Registry:
    """Whose tokenizer has signals."""
    tok = replace(letters(), builder="tests.api.test_talk:Asking")
    op = op_type("image.dots", "tests.api.test_talk:dots", rows="Ids[r]", returns={"image": "Image[r,1,2,3]"})
    return registry_of(toy_llm(), tok, *node_types(), *run_nodes(), op, savers=image_savers())


def talk(text: str = GRAPH, system: str | None = None) -> Talk:
    return Talk(Session(text, registry=registry()), system)


def test_pieces_are_the_answer() -> None:
    pieces: list[str] = []
    answer = talk().ask("abc", tell=pieces.append)
    assert answer.text == "".join(pieces) and len(pieces) > 1


def test_what_was_said_is_remembered() -> None:
    one, other = talk(system="j"), talk()
    first = one.ask("abc", seed=1).text
    second = one.ask("de", seed=2).text
    assert [m["role"] for m in one.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert second == other.ask(f"jabc{first}de", seed=2).text
    one.forget()
    assert one.messages == [{"role": "system", "content": "j"}]


def test_what_was_asked_for_is_remembered_as_signals() -> None:
    one = Talk(Session(DRAWS, registry=drawing()))
    answer = one.ask("abc")
    assert answer.text == "dd" and answer.result.owners["image"] == (0, 0)
    signal = {"type": "signal", "signal": "image"}
    assert one.messages[1] == {"role": "assistant", "content": [signal, signal]}
    assert one.ask("de").text == "dd" and len(one.messages) == 4


def test_what_was_said_first_is_forgotten_where_all_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    one, run = talk(system="j"), Session.result

    def result(session: Session, *, given: Any, **more: Any) -> Any:
        (chat,) = given["chat"]
        if len(chat) > 4 or chat[-1]["content"] == "h":
            raise RunError(problem("E761" if len(chat) > 4 else "E701", "no"))
        return run(session, given=given, **more)

    monkeypatch.setattr(Session, "result", result)
    assert [one.ask(text).forgotten for text in ("abc", "de", "f")] == [0, 0, 1]
    assert [m["content"] for m in one.messages[:4:3]] == ["j", "f"] and one.messages[1]["content"] == "de"
    with pytest.raises(RunError, match="E701"):
        one.ask("h")
    assert len(one.messages) == 5


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
