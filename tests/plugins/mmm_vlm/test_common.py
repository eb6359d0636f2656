"""What checkpoints say of generating, of tokens and of templates, as graphs have it."""

from __future__ import annotations

import json

import pytest

from mmm_graph.api.convert import import_graph
from tests.plugins.mmm_vlm import tiny
from tests.plugins.mmm_vlm.peers import asked, imported, opened, registry, rows

pytestmark = pytest.mark.parity


def write(file, **said):
    whole = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps({k: v for k, v in {**whole, **said}.items() if v is not ...}))


@pytest.fixture
def qwen(tmp_path):
    tiny.save_decoder(tmp_path / "model", "qwen2", chats=False)
    return tmp_path / "model"


def test_answers_end_where_the_checkpoint_says(qwen):
    whole = rows(asked(opened(imported(qwen), qwen.parent), prompt=["a cat", "the hat is"]))
    ends = [whole[0][5], whole[1][9]]
    write(qwen / "generation_config.json", eos_token_id=ends)
    cut = rows(asked(opened(imported(qwen), qwen.parent), prompt=["a cat", "the hat is"]))
    for row, got in zip(whole, cut, strict=True):
        assert got == row[: 1 + min(i for i, token in enumerate(row) if token in ends)]


def test_how_tokens_are_drawn(qwen):
    said = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "max_new_tokens": 5}
    write(qwen / "generation_config.json", **said, repetition_penalty=1.05)
    made = import_graph(str(qwen), qwen.parent / "g.yaml", registry())
    defaults = {name: param["default"] for name, param in made.tree["params"].items()}
    assert defaults == {"max_new_tokens": 5, "temperature": 0.7, "top_p": 0.8}
    assert [note.partition(" ")[0] for note in made.notes] == ["top_k:", "repetition_penalty:"]
    graph = opened(made.tree, qwen.parent)
    drawn = {tuple(graph.run(prompt="a cat", seed=seed)["text"]) for seed in range(4)}
    assert len(drawn) > 1
    asked(graph, prompt="a cat")  # temperature 0 beside top_p 0.8


def test_a_tokenizer_without_padding_pads_with_the_end(qwen):
    write(qwen / "tokenizer_config.json", pad_token=...)
    graph = imported(qwen)
    assert graph["models"]["tok"]["config"] == {"pad_side": "left", "pad_token": "eos"}
    asked(opened(graph, qwen.parent), prompt=["a", "a cat"])


def test_settings_that_follow_from_others_are_left_out(qwen):
    config = imported(qwen)["models"]["llm"]["config"]
    assert "num_heads" in config and not {"head_dim", "embed_dim", "mlp", "norm"} & config.keys()
