"""Language models alone: conversations and texts, beside transformers."""

from __future__ import annotations

import pytest

from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import asked, check, imported, opened, with_logits

pytestmark = pytest.mark.parity
TEXTS = ["Question what is w3", "a", "the cat is on this picture ?"]


@pytest.mark.parametrize("family", tiny.DECODERS)
@pytest.mark.parametrize("chats", [True, False], ids=["chats", "texts"])
def test_answers_are_those_of_transformers(tmp_path, family, chats):
    model, words = tiny.save_decoder(tmp_path / "model", family, chats=chats)
    graph = imported(tmp_path / "model")
    graph["nodes"]["words"] = {"call": "llm.embed", "in": {"ids": "prompt"}}
    with_logits(graph, {"call": "llm.logits", "in": {"embeds": "words", "mask": "prompt.mask"}})
    if chats:
        messages = [[{"role": "user", "content": text}] for text in TEXTS]
        ask = {"add_generation_prompt": True, "padding": True, "return_tensors": "pt", "return_dict": True}
        given = words.apply_chat_template(messages, **ask)
        found = asked(opened(graph, tmp_path), chat=messages)
    else:
        given, found = (
            words(TEXTS, padding=True, return_tensors="pt"),
            asked(opened(graph, tmp_path), prompt=TEXTS),
        )
    check(found, model, {key: given[key] for key in ("input_ids", "attention_mask")})
