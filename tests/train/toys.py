"""A regression graph for the trainer: a body with parts, a head in one piece, noise, and known data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmm_graph.config import Config, Empty
from mmm_graph.nn.noise import Noise
from mmm_graph.registry import Part, Registry, data_type, method, model_type, op_type, registry_of
from mmm_graph.spec import GraphSpec, load_spec
from mmm_optim.plugin import mmm_register_nodes


class BodyConfig(Config):
    width: int = 8
    blocks: int = 2


class Linear(nn.Module):
    def __init__(self, key_in: str, key_out: str, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.linear, self.keys = nn.Linear(fan_in, fan_out), (key_in, key_out)

    def forward(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {self.keys[1]: torch.tanh(self.linear(state[self.keys[0]]))}


class Body(nn.Module):
    """b 3 -> b width, in parts; `short` leaves the blocks out."""

    def __init__(self, config: BodyConfig) -> None:
        super().__init__()
        parts: dict[str, nn.Module] = {"stem": Linear("x", "h", 3, config.width)}
        parts |= {f"block{i}": Linear("h", "h", config.width, config.width) for i in range(config.blocks)}
        parts["last"] = Linear("h", "features", config.width, config.width)
        self.parts = nn.ModuleDict(parts)


def body_parts(config: BodyConfig) -> Sequence[Part]:
    w = config.width

    def part(name: str, key_in: str, key_out: str, fan_in: int) -> Part:
        return Part(name, (key_in,), (key_out,), fan_in * w + w, 2.0 * fan_in * w, work=w, sizes={key_out: w})

    blocks = [part(f"block{i}", "h", "h", w) for i in range(config.blocks)]
    return [part("stem", "x", "h", 3), *blocks, part("last", "h", "features", w)]


class HeadConfig(Config):
    width: int = 8
    dropout: float = 0.0


class Head(nn.Module):
    """b width -> b 1."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(config.width, 1)

    def forward(self, features: Tensor) -> Tensor:
        pred: Tensor = self.out(self.dropout(self.norm(features)))
        return pred


class Scale(nn.Module):
    """-> a number that is learnt."""

    def __init__(self, config: Empty) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(3.0))

    def forward(self) -> Tensor:
        return self.value.exp().clamp(max=4.0) + self.value


def jitter(x: Tensor, noise: Noise) -> Tensor:
    return x + 0.1 * noise.normal(x.shape[1:]).to(x)


def mse(pred: Tensor, target: Tensor) -> Tensor:
    return (pred - target).square().mean()


def size(pred: Tensor) -> Tensor:
    return pred.abs().mean()


def log_mean(pred: Tensor) -> Tensor:
    return (-pred.abs().mean()).log()


def pairs(a: Tensor, b: Tensor, scale: Tensor) -> Tensor:
    """Row i of a belongs to row i of b, and to no other."""
    logits = scale * F.normalize(a[:, : b.shape[1]], dim=-1) @ F.normalize(b, dim=-1).T
    return F.cross_entropy(logits, torch.arange(len(a)))


def tokens(pred: Tensor, mask: Tensor) -> Tensor:
    """A mean over what is not masked, of which each row has another number."""
    return (pred.square() * mask).sum() / mask.sum()


def count_tokens(mask: Tensor) -> float:
    return float(mask.sum())


def positive(x: Tensor) -> bool:
    """Of the first row, so that ranks differ."""
    return bool(x[0].sum() > 0)


def mask(x: Tensor) -> Tensor:
    """b 3 -> b 1: how much a row counts."""
    return (x[:, :1] > 0).float() + 1.0


def cut(pred: Tensor) -> Tensor:
    return pred.detach()


class LineConfig(Config):
    batch: int = 4
    count: int = 10
    path: str | None = None
    bad: tuple[int, ...] = ()


class Line:
    """x is drawn once; y = sum of x. Some samples may be unreadable."""

    def __init__(self, config: LineConfig) -> None:
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randn(config.count, 3, generator=generator)
        if config.path is not None:
            self.x += float(Path(config.path).read_text())
        self.bad = config.bad

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index in self.bad:
            raise OSError("it is torn")
        return {"x": self.x[index], "y": self.x[index].sum(0, keepdim=True), "name": f"row {index}"}


def line_columns(config: LineConfig) -> Mapping[str, str]:
    return {"x": "Embeds[b,3]", "y": "Embeds[b,1]", "name": "Text[b]"}


_HERE = "tests.train.toys"
_PRED = {"pred": "Embeds[b,1]"}

REGISTRY: Registry = registry_of(
    *mmm_register_nodes(),
    model_type(
        "encoder.body",
        BodyConfig,
        f"{_HERE}:Body",
        methods={
            "forward": method(
                x="Embeds[b,3]",
                returns={"features": "Embeds[b,$width]"},
                path=lambda model, call: [p.name for p in body_parts(model)],
            ),
            "short": method(
                x="Embeds[b,3]",
                returns={"features": "Embeds[b,$width]"},
                path=lambda model, call: ["stem", "last"],
            ),
        },
        parts=body_parts,
        state={"h": "Embeds[b,$width]"},
    ),
    model_type(
        "projector.head",
        HeadConfig,
        f"{_HERE}:Head",
        methods={"forward": method(features="Embeds[b,$width]", returns=_PRED)},
    ),
    model_type(
        "projector.scale", Empty, f"{_HERE}:Scale", methods={"forward": method(returns={"scale": "Scalar[]"})}
    ),
    op_type("toy.jitter", f"{_HERE}:jitter", x="Embeds[b,d]", returns={"x": "Embeds[b,d]"}, noise=True),
    op_type("toy.cut", f"{_HERE}:cut", pred="Embeds[b,d]", returns={"pred": "Embeds[b,d]"}),
    op_type(
        "loss.mse", f"{_HERE}:mse", pred="Embeds[b,d]", target="Embeds[b,d]", returns={"value": "Scalar"}
    ),
    op_type("loss.size", f"{_HERE}:size", pred="Embeds[b,d]", returns={"value": "Scalar"}),
    op_type("loss.log", f"{_HERE}:log_mean", pred="Embeds[b,d]", returns={"value": "Scalar"}),
    op_type(
        "loss.pairs",
        f"{_HERE}:pairs",
        a="Embeds[b,d]",
        b="Embeds[b,e]",
        scale="Scalar[]",
        returns={"value": "Scalar"},
        accumulation="feature_cache",
        gather="data",
    ),
    op_type(
        "loss.tokens",
        f"{_HERE}:tokens",
        pred="Embeds[b,d]",
        mask="Embeds[b,d]",
        returns={"value": "Scalar"},
        count=f"{_HERE}:count_tokens",
    ),
    op_type("toy.positive", f"{_HERE}:positive", x="Embeds[b,d]", returns={"on": "Bool"}),
    op_type("toy.mask", f"{_HERE}:mask", x="Embeds[b,d]", returns={"mask": "Embeds[b,1]"}),
    data_type("data.line", LineConfig, f"{_HERE}:Line", columns=line_columns),
)

GRAPH = """\
mmm: 1
name: toy
params: {lr: {type: float, default: 0.01}}
inputs: {x: "Embeds[b,3]"}
models:
  body: {kind: encoder.body, init: default}
  head: {kind: projector.head, init: default}
nodes:
  f: {call: body, in: {x: $in.x}}
  p: {call: head, in: {features: f}}
outputs: {pred: p}
eval:
  fit:
    data: {op: data.line, config: {batch: 4}}
    nodes:
      f:   {call: body, in: {x: $data.x}}
      p:   {call: head, in: {features: f}}
      mse: {op: loss.mse, in: {pred: p, target: $data.y}}
    metrics: {mse: mse}
train:
  stages:
    fit:
      data: {op: data.line, config: {batch: 4}}
      nodes:
        x:    {op: toy.jitter, in: {x: $data.x}}
        f:    {call: body, in: {x: x}}
        p:    {call: head, in: {features: f}}
        mse:  {op: loss.mse, in: {pred: p, target: $data.y}}
        size: {op: loss.size, in: {pred: p}}
      loss:  {mse: mse, size: {from: size, weight: 0.01}}
      train: {body: full, head: full}
      optim: {op: optim.adamw, config: {lr: $params.lr}, schedule: cosine, warmup: 2, clip: 1.0}
      ema:   0.9
      steps: 6
"""


def toy_spec(base: Path, *, sets: Mapping[str, str] | None = None, text: str = GRAPH) -> GraphSpec:
    return load_spec(text, sets=dict(sets or {}), base=base)
