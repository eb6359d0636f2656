"""A tiny language model, texts of which some tokens are labels, and a loss that says how many."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmm_graph.config import Config
from mmm_graph.registry import Registry, data_type, model_type, op_type, registry_of
from mmm_graph.registry.node_type import method
from mmm_graph.spec import GraphSpec, load_spec
from mmm_llm.node import DECODER
from mmm_optim.plugin import mmm_register_nodes
from mmm_unet.node import UNET

VOCAB = 12


class TextsConfig(Config):
    batch: int = 4
    count: int = 8
    masked: float = 0.5


class Texts:
    """ids are drawn once; of the labels some are -100."""

    def __init__(self, config: TextsConfig) -> None:
        generator = torch.Generator().manual_seed(2)
        self.ids = torch.randint(VOCAB, (config.count, 6), generator=generator)
        masked = torch.rand(self.ids.shape, generator=generator) < config.masked
        self.labels = self.ids.masked_fill(masked, -100)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"ids": self.ids[index], "labels": self.labels[index]}


def columns(config: TextsConfig) -> Mapping[str, str]:
    return {"ids": "Ids[b,t]", "labels": "Ids[b,t]"}


def next_token(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    wanted = labels[:, 1:]
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), wanted.flatten(), reduction="sum")
    count = (wanted != -100).sum()
    return {"loss": loss / count.clamp(min=1), "supervised": count / wanted.numel()}


def count_labels(labels: Tensor) -> Tensor:
    return (labels[:, 1:] != -100).sum()


def embeds(ids: Tensor) -> Tensor:
    return F.one_hot(ids, 16).float()


def cut(logits: Tensor) -> Tensor:
    return logits.detach()


class Words:
    """A tokenizer of words."""

    def __init__(self, config: Config) -> None:
        self.words = {"<img>": 10, "<end>": 11}

    def token_id(self, token: str) -> int | None:
        return self.words.get(token)

    def encode(self, text: list[str]) -> Tensor:
        return torch.tensor([[self.words[word] for word in one.split()] for one in text])


_HERE = "tests.train.texts"
REGISTRY: Registry = registry_of(
    *mmm_register_nodes(),
    DECODER,
    UNET,
    model_type(
        "tokenizer.words",
        Config,
        f"{_HERE}:Words",
        methods={"encode": method(text="Text[b]", returns={"ids": "Ids[b,t]"})},
        weights=False,
    ),
    op_type("toy.cut", f"{_HERE}:cut", logits="Logits[b,t,v]", returns={"logits": "Logits[b,t,v]"}),
    op_type("toy.embeds", f"{_HERE}:embeds", ids="Ids[b,t]", returns={"embeds": "Embeds[b,t,16]"}),
    op_type(
        "loss.next",
        f"{_HERE}:next_token",
        logits="Logits[b,t,v]",
        labels="Ids[b,t]",
        returns={"loss": "Scalar", "supervised": "Scalar"},
        count=f"{_HERE}:count_labels",
    ),
    data_type("data.texts", TextsConfig, f"{_HERE}:Texts", columns=columns),
)

GRAPH = """\
mmm: 1
name: texts
params: {lr: {type: float, default: 0.05}}
inputs: {ids: "Ids[b,t]"}
models:
  words: {kind: tokenizer.words}
  llm:
    kind: llm.decoder
    init: default
    config: {vocab_size: 12, max_length: 16, width: 16, depth: 2, num_heads: 2, num_kv_heads: 1, hidden: 24}
nodes:
  e: {call: llm.embed, in: {ids: $in.ids}}
  l: {call: llm.logits, in: {embeds: e}}
outputs: {logits: l.logits}
train:
  stages:
    fit:
      data: {op: data.texts, config: {batch: 4}}
      nodes:
        e:  {call: llm.embed, in: {ids: $data.ids}}
        l:  {call: llm.logits, in: {embeds: e}}
        ce: {op: loss.next, in: {logits: l.logits, labels: $data.labels}}
      loss:  {ce: ce.loss}
      train: {llm: full}
      optim: {op: optim.adamw, config: {lr: $params.lr, weight_decay: 0.1}, schedule: cosine, clip: 1.0}
      steps: 6
"""


def text_spec(base: Path, trained: str = "full", text: str = GRAPH, **sets: str) -> GraphSpec:
    """The graph with `train: {llm: ...}` of its stage, and keys of the stage set."""
    assert "train: {llm: full}" in text
    made = text.replace("train: {llm: full}", f"train: {{llm: {trained}}}", 1)
    return load_spec(made, sets={f"train.stages.fit.{k}": v for k, v in sets.items()}, base=base)
