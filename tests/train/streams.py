"""Data for tests of streams: rows of their own lengths, rows without a picture, rows that cannot be read."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmm_graph.config import Config
from mmm_graph.nn.noise import Noise
from mmm_graph.registry import Registry, data_type, op_type, registry_of
from mmm_graph.spec import GraphSpec, load_spec
from mmm_optim.plugin import mmm_register_nodes
from mmm_route.node import ROWS_TAKE, ROWS_WHERE
from tests.train import toys

VOCABULARY = 10_000


class RowsConfig(Config):
    batch: int = 4
    count: int = 12
    start: int = 0
    bad: tuple[int, ...] = ()
    deadly: int = -1


class Rows:
    """Sample i has i mod 5 + 1 tokens, and a picture if i is even."""

    def __init__(self, config: RowsConfig) -> None:
        self.config = config

    def __len__(self) -> int:
        return self.config.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        number = self.config.start + index
        if index in self.config.bad:
            raise OSError(f"row {index} is torn")
        if index == self.config.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        length = number % 5 + 1
        return {
            "x": torch.full((3,), float(number)),
            "ids": (torch.arange(1, length + 1) + 100 * number) % VOCABULARY,
            "labels": (torch.arange(1, length + 1) + 100 * number) % VOCABULARY,
            "mask": None,
            "image": torch.full((1, 2, 2), number / 100) if number % 2 == 0 else None,
            "two": torch.full((2,), float(number)),
            "number": number,
        }


def columns(config: RowsConfig) -> Mapping[str, str]:
    return {
        "x": "Embeds[b,3]",
        "ids": "Ids[b,t]",
        "labels": "Ids[b,t]",
        "mask": "Mask[b,t]",
        "image": "Image[r,1,2,2]",
        "two": "Embeds[b,2]",
        "number": "Ids[b]",
    }


def plain_columns(config: RowsConfig) -> Mapping[str, str]:
    return {"x": "Embeds[b,3]", "number": "Ids[b]"}


def wide_columns(config: RowsConfig) -> Mapping[str, str]:
    return {"x": "Embeds[b,4]", "number": "Ids[b]"}


class Plain(Rows):
    """Without pictures and tokens."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = super().__getitem__(index)
        return {"x": row["x"], "number": row["number"]}


def brighter(image: Tensor) -> Tensor:
    return image + 0.5


def shaken(x: Tensor, noise: Noise) -> Tensor:
    return x + noise.normal(x.shape[1:])


def grey(image: Tensor, noise: Noise) -> Tensor:
    """One number of each picture, and one drawn for it."""
    return torch.cat([image.mean((2, 3)), noise.uniform((1,))], 1)


def sum_of(x: Tensor, image: Tensor | None = None) -> Tensor:
    return x.sum() + (0 if image is None else image.sum())


_HERE = "tests.train.streams"
REGISTRY: Registry = registry_of(
    *mmm_register_nodes(),
    *[
        toys.REGISTRY.get(kind)
        for kind in ("encoder.body", "projector.head", "loss.mse", "loss.size", "data.line")
    ],
    ROWS_WHERE,
    ROWS_TAKE,
    data_type("data.rows", RowsConfig, f"{_HERE}:Rows", columns=columns),
    data_type("data.wide", RowsConfig, f"{_HERE}:Plain", columns=wide_columns),
    data_type("data.plain", RowsConfig, f"{_HERE}:Plain", columns=plain_columns),
    op_type("toy.bright", f"{_HERE}:brighter", image="Image[b,c,h,w]", returns={"image": "Image[b,c,h,w]"}),
    op_type("toy.shake", f"{_HERE}:shaken", x="Embeds[b,d]", returns={"x": "Embeds[b,d]"}, noise=True),
    op_type("toy.grey", f"{_HERE}:grey", image="Image[b,c,h,w]", returns={"x": "Embeds[b,2]"}, noise=True),
    op_type("toy.sum", f"{_HERE}:sum_of", x="Embeds[b,d]", image="Image?", returns={"value": "Scalar"}),
)

GRAPH = """\
mmm: 1
name: streams
models:
  body: {kind: encoder.body, init: default}
  head: {kind: projector.head, init: default}
graphs:
  shake:
    in: {x: "Embeds[b,3]"}
    nodes: {x: {op: toy.shake, in: {x: $in.x}}}
    out: {x: x}
  bright:
    in: {image: "Image[b,1,h,w]"}
    nodes: {image: {op: toy.bright, in: {image: $in.image}}}
    out: {image: image}
  heavy:
    in: {x: "Embeds[b,3]"}
    nodes: {x: {call: body, in: {x: $in.x}}}
    out: {features: x}
  total:
    in: {x: "Embeds[b,3]"}
    nodes: {x: {op: toy.sum, in: {x: $in.x}}}
    out: {value: x}
train:
  stages:
    fit:
      data: DATA
      nodes:
        f:    {call: body, in: {x: $data.x}}
        p:    {call: head, in: {features: f}}
        size: {op: loss.size, in: {pred: p}}
      loss:  {size: size}
      train: {body: full, head: full}
      optim: {op: optim.adamw, config: {lr: 0.01}}
      steps: 6
"""


def stream_spec(base: Path, data: str, *, more: str = "", read: str = "$data.x") -> GraphSpec:
    """A file whose stage reads that data; `more`: further keys of the stage."""
    text = GRAPH.replace("DATA", data).replace("$data.x}", read + "}")
    return load_spec(text + "".join(f"      {line}\n" for line in more.splitlines()), base=base)
