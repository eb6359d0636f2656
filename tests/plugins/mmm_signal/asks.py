"""A tiny model that takes pictures and asks for pictures, data for it, and its decoding-side alignment as a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mmm_graph.config import Config
from mmm_graph.registry import Registry, data_type, load_registry
from mmm_graph.spec import GraphSpec, load_spec

WORDS = Path(__file__).parents[3] / "graphs/digits/weights/tokenizer.json"
VOCAB, QUERIES, TOKENS, PATCHES = 40, 5, 3, 4
SIZES = "num_heads: 2, hidden: 16"
GRAPH = f"""
mmm: 1
name: asks
inputs: {{chat: "Chat[b]"}}
models:
  tok:
    kind: tokenizer.hf
    weights: "file:{WORDS}"
    config:
      max_length: 64
      pad: longest
      add_tokens: ["<img>"]
      media_tokens: {{image: "<img>"}}
      signals: {{image: {TOKENS}, audio: 1}}
  words:
    kind: tokenizer.hf
    weights: "file:{WORDS}"
    config: {{max_length: {QUERIES}, pad: max_length, truncate: true}}
  clip:
    kind: encoder.text
    init: default
    config: {{{SIZES}, vocab_size: {VOCAB}, max_length: {QUERIES}, width: 12, depth: 1, pool: last}}
  eye:  {{kind: encoder.vit, init: default, config: {{{SIZES}, size: 8, patch: 4, width: 12, depth: 1}}}}
  see:  {{kind: adaptor.linear, init: default}}
  llm:
    kind: llm.decoder
    init: default
    config: {{{SIZES}, vocab_size: {VOCAB}, max_length: 128, width: 16, depth: 2}}
  draw:
    kind: projector.signal
    init: default
    config: {{{SIZES}, num_queries: {QUERIES}, out_dim: 12, width: 8, encoder_depth: 1, decoder_depth: 1}}
graphs:
  hear:
    in: {{chat: "Chat[b]"}}
    nodes:
      enc:    {{call: tok.chat, in: {{chat: $in.chat}}, config: {{template: vicuna_v1, generate: false, system: a}}}}
      pixels: {{op: image.preprocess, in: {{image: enc.images}}, config: {{shortest: 8, crop: 8}}}}
      seen:   {{call: eye.hidden, in: {{image: pixels}}, config: {{select: patch}}}}
      soft:   {{call: see, in: {{features: seen}}}}
      text:   {{call: llm.embed, in: {{ids: enc.ids}}}}
      ctx:
        op: embeds.splice
        in: {{text: text, insert: soft, index: enc.media_index, mask: enc.mask, labels: enc.labels}}
    out:
      embeds: ctx
      mask: ctx.mask
      labels: ctx.labels
      positions: ctx.positions
      places: ctx.places
      before: enc.labels
nodes:
  ctx:    {{graph: hear, in: {{chat: $in.chat}}}}
  lm:     {{call: llm.logits, in: {{embeds: ctx.embeds, mask: ctx.mask, positions: ctx.positions}}}}
  sig:    {{op: signals.find, use: {{tokenizer: tok}}, in: {{ids: ctx.before, places: ctx.places}}}}
  states: {{op: signals.states, in: {{hidden: lm.hidden, embeds: ctx.embeds, rows: sig.rows, places: sig.places}}}}
  cond:   {{call: draw, in: {{features: states}}}}
outputs: {{cond: {{from: cond, type: "Embeds[r,l,d]?"}}, report: sig.report}}
train:
  stages:
    decode:
      data: {{op: data.asks}}
      nodes:
        ctx:    {{graph: hear, in: {{chat: $data.chat}}}}
        lm:     {{call: llm.logits, in: {{embeds: ctx.embeds, mask: ctx.mask, positions: ctx.positions}}}}
        ce:     {{op: loss.next_token, in: {{logits: lm.logits, labels: ctx.labels}}}}
        sig:    {{op: signals.find, use: {{tokenizer: tok}}, in: {{ids: ctx.labels}}}}
        states:
          op: signals.states
          in: {{hidden: lm.hidden, embeds: ctx.embeds, rows: sig.rows, places: sig.places}}
        cond:   {{call: draw, in: {{features: states}}}}
        told:   {{op: rows.take, in: {{x: $data.caption, rows: sig.rows}}}}
        ids:    {{call: words, in: {{text: told}}}}
        goal:   {{call: clip, in: {{ids: ids}}}}
        l2:     {{op: loss.align, in: {{pred: cond, target: goal}}}}
      loss: {{lm: ce, align: l2}}
      train: {{draw: full, llm: {{rows: [signals]}}}}
      optim: {{op: optim.adamw, config: {{lr: 1.0e-2}}}}
      steps: 3
"""


class AsksConfig(Config):
    batch: int = 4


class Asks:
    """Six conversations: a picture before the signal, none, or no signal at all."""

    def __init__(self, config: AsksConfig) -> None:
        pass

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"chat": chat_of(index % 3), "caption": f"draw a {index}"}


def chat_of(kind: int) -> list[dict[str, Any]]:
    """0: a picture, then a signal; 1: a signal; 2: a picture and a text, without signal."""
    picture = [{"type": "image", "image": torch.linspace(0, 1, 192).view(3, 8, 8)}] if kind != 1 else []
    signal = [{"type": "signal", "signal": "image"}] if kind != 2 else []
    said = [{"type": "text", "text": "zero one"}]
    return [
        {"role": "user", "content": [*picture, *said]},
        {"role": "assistant", "content": [*said, *signal]},
    ]


def columns(config: AsksConfig) -> Mapping[str, str]:
    return {"chat": "Chat[b]", "caption": "Text[b]"}


def registry() -> Registry:
    """Everything that is installed, and the data."""
    known = load_registry(allow=["mmm-graph"])
    data = data_type("data.asks", AsksConfig, "tests.plugins.mmm_signal.asks:Asks", columns=columns)
    return replace(known, data={**known.data, data.kind: data})


def spec_of(folder: Path, text: str = GRAPH) -> GraphSpec:
    """The graph as a file."""
    folder.mkdir(exist_ok=True)
    (folder / "asks.yaml").write_text(text)
    return load_spec(folder / "asks.yaml")
