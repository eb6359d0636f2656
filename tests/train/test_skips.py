"""Models that a batch may have no rows for."""

from __future__ import annotations

import pytest

from mmm_graph.graph.compile import compile_graph
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from mmm_graph.train.skips import idle_models
from mmm_graph.train.stage import is_conditional, may_lack

TEXT = """
mmm: 1
name: see
models:
  tok: {kind: tokenizer.hf, weights: "file:tok"}
  vision: {kind: encoder.vit, config: {}}
  bridge: {kind: adaptor.linear, config: {out_dim: 4096}}
  llm: {kind: llm.decoder, config: {}}
train:
  stages:
    fit:
      data: {op: data.conversations, config: {path: a.json}}
      nodes:
        chat: {call: tok.chat, in: {chat: $data.chat}, config: {generate: false}}
        pixels: {op: image.preprocess, in: {image: chat.images}, config: {size: 224}}
        seen: {call: vision.hidden, in: {image: pixels}}
        soft: {call: bridge, in: {features: seen}}
        words: {call: llm.embed, in: {ids: chat}}
        ctx: {op: embeds.splice, in: {text: words, insert: soft, index: chat.media_index, labels: chat.labels}}
        next: {op: loss.language, use: {llm: llm}, in: {embeds: ctx, labels: ctx.labels}}
      loss: {next: next}
      train: {bridge: full}
      optim: {op: optim.adamw}
      steps: 1
"""


def test_conversations_may_have_no_pictures_and_the_decoder_runs_all_the_same() -> None:
    registry = load_registry()
    graph = compile_graph(load_spec(TEXT), registry, "train.fit")
    assert idle_models(graph, registry) == {"vision", "bridge"}
    assert may_lack(graph) and not is_conditional(graph)


@pytest.mark.parametrize(("missing", "idle"), [("true", {"vision", "bridge"}), ("false", set())])
def test_columns_that_samples_may_lack(missing: str, idle: set[str]) -> None:
    registry = load_registry()
    text = TEXT.replace(
        "data.conversations, config: {path: a.json}",
        f"data.image_text, config: {{path: a, missing: {missing}}}",
    )
    begin, end = text.index("        chat: "), text.index("        seen: ")
    text = text[:begin] + text[end:].replace("image: pixels", "image: $data.image")
    begin, end = text.index("        words: "), text.index("      train: ")
    text = (
        text[:begin]
        + "        next: {op: loss.mse, in: {pred: soft, target: soft}}\n      loss: {next: next}\n"
        + text[end:]
    )
    graph = compile_graph(load_spec(text), registry, "train.fit")
    assert idle_models(graph, registry) == idle
    assert may_lack(graph) == is_conditional(graph) == bool(idle)


def test_answers_may_ask_for_nothing() -> None:
    registry = load_registry()
    begin, end = TEXT.index("        pixels: "), TEXT.index("        words: ")
    text = TEXT[:begin] + TEXT[end:].replace("insert: soft, ", "")
    text = text.replace('"file:tok"}', '"file:tok", config: {signals: default}}')
    text = text.replace(
        "        next: ",
        """        lm: {call: llm.logits, in: {embeds: ctx}}
        sig: {op: signals.find, use: {tokenizer: tok}, in: {ids: ctx.labels}}
        states: {op: signals.states, in: {hidden: lm.hidden, rows: sig.rows, places: sig.places}}
        told: {call: bridge, in: {features: states}}
        next: """,
    )
    graph = compile_graph(load_spec(text), registry, "train.fit")
    assert idle_models(graph, registry) == {"bridge"}
