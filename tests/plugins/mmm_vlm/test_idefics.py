"""IDEFICS: the imported graph beside transformers; images between texts, and none."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import asked, check, imported, opened, user, with_logits

pytestmark = pytest.mark.parity
FIRST = {"embeds": "words", "mask": "chat.mask", "media_index": "chat.media_index"}


@pytest.mark.parametrize("name", tiny.IDEFICS)
def test_answers_are_those_of_transformers(tmp_path, name):
    model, processor = tiny.save_idefics(tmp_path / "model", tiny.IDEFICS[name])
    graph = imported(tmp_path / "model")
    graph["nodes"]["words"] = {"call": "llm.embed", "in": {"ids": "chat"}}
    media = "soft" if "soft" in graph["nodes"] else "features"
    with_logits(graph, {"call": "llm.logits", "in": {**FIRST, "media": media}})
    session = opened(graph, tmp_path)
    one, two, three = tiny.pictures(tmp_path)
    for rows in (
        [("User", one, two, "a cat ?"), (three, "hat w4", one)],
        [("what is w2 w3 w4",), ("Question", two)],
        [("is this w5 ?",)],
    ):
        prompts = [[Image.open(s) if not isinstance(s, str) else s for s in row] for row in rows]
        given = processor(text=prompts, return_tensors="pt", padding="longest")
        check(asked(session, chat=[user(*row) for row in rows]), model, given)


def test_a_model_that_was_trained_on_conversations_gets_them_as_such(tmp_path):
    tiny.save_idefics(tmp_path / "model", tiny.IDEFICS["perceiver"])
    assert imported(tmp_path / "model")["nodes"]["chat"]["config"] == {"template": "idefics"}
    words = tiny.tokenizer("<fake_token_around_image>", "<image>", "<end_of_utterance>", bos=False)
    words.save_pretrained(tmp_path / "model")
    assert imported(tmp_path / "model")["nodes"]["chat"]["config"] == {"template": "idefics_instruct"}
