"""A toy family: text encoder, denoiser of parts with a skip, sampler ops, a decoder; and graphs that use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.config import Config
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph
from mmm_graph.registry import (
    ModelType,
    OpType,
    Part,
    Registry,
    cond,
    method,
    model_type,
    op_type,
    registry_of,
)
from mmm_graph.runtime.build import build_models
from mmm_graph.runtime.engine import Engine
from mmm_graph.spec import load_spec

WIDTH, CHANNELS, TOKENS = 8, 3, 4


class DenoiserConfig(Config):
    blocks: int = 4


class SizeConfig(Config):
    size: int = 5


class StepsConfig(Config):
    steps: int = 5


class ScaleConfig(Config):
    scale: float = 1.0


def denoiser_parts(config: DenoiserConfig) -> list[Part]:
    inner = [
        Part(
            f"block{i}",
            ("h", "temb", "cond.embeds", *(("skip",) if i == config.blocks - 1 else ())),
            ("h",),
            64,
            1e6,
        )
        for i in range(config.blocks)
    ]
    start = Part("embed", ("x", "t"), ("h", "temb", "skip"), 32, 1e5)
    return [start, *inner, Part("head", ("h", "temb"), ("pred",), 24, 1e5)]


class Embed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inp, self.time = nn.Linear(CHANNELS, WIDTH), nn.Linear(1, WIDTH)

    def forward(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        h = self.inp(state["x"])
        return {"h": h, "temb": self.time(state["t"][:, None].to(h.dtype)), "skip": torch.tanh(h)}


class Block(nn.Module):
    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.lin, self.text, self.skip = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), skip
        self.register_buffer("scale", torch.full((1,), 0.5), persistent=False)

    def forward(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        words = self.text(state["cond.embeds"]).mean(1, keepdim=True)
        h = state["h"] + torch.tanh(self.lin(state["h"]) + state["temb"][:, None] + words) * self.scale
        return {"h": h + state["skip"] if self.skip else h}


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(WIDTH, CHANNELS)

    def forward(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"pred": self.out(state["h"] * (1 + state["temb"][:, None]))}


class Denoiser(nn.Module):
    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        blocks = {f"block{i}": Block(i == config.blocks - 1) for i in range(config.blocks)}
        self.parts = nn.ModuleDict({"embed": Embed(), **blocks, "head": Head()})


class TextEncoder(nn.Module):
    calls = 0

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.table = nn.Embedding(128, WIDTH)

    def forward(self, text: Sequence[str], mask: Tensor | None = None) -> Tensor:
        TextEncoder.calls += 1
        ids = torch.tensor([[ord(c) % 128 for c in s.ljust(TOKENS)[:TOKENS]] for s in text])
        return self.table(ids)


class Decoder(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.lin = nn.Linear(CHANNELS, 2)

    def decode(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(self.lin(latents))


class Rule:
    """The step rule of the toy sampler: a model without weights."""

    def __init__(self, config: ScaleConfig) -> None:
        self.config = config


class Guide:
    def __init__(self, config: ScaleConfig) -> None:
        self.scale = config.scale

    def combine(self, branches: list[Tensor], i: int | None = None) -> Tensor:
        return branches[-1] + self.scale * (branches[0] - branches[-1])


def make_noise(like: Sequence[str], config: SizeConfig, noise: Any) -> Tensor:
    return noise.normal((config.size, CHANNELS))


def start(x: Tensor, config: StepsConfig) -> dict[str, Any]:
    state = {"x": x, "d": torch.zeros_like(x)}
    return {"state": state, "x": x, "t": torch.ones(x.shape[0]), "turns": config.steps}


def step(state: Mapping[str, Tensor], pred: Tensor, i: int, rule: Rule, noise: Any) -> dict[str, Any]:
    drift = (
        0.1 * pred
        + 0.05 * state["d"]
        + 0.01 * rule.config.scale * noise.normal(tuple(pred.shape[1:])).to(pred)
    )
    x = state["x"] - drift
    t = torch.full((x.shape[0],), 1.0 / (i + 2))
    return {"state": {"x": x, "d": pred}, "x": x, "t": t, "latents": x, "x0": x - pred}


def boom(x: Tensor) -> Tensor:
    raise ZeroDivisionError("the toy broke")


def keep_rows(x: Tensor, above: float) -> dict[str, Tensor]:
    rows = torch.nonzero(x.flatten(1).mean(1) > above)[:, 0]
    return {"x": x[rows], "rows": rows}


def less(x: Tensor, than: float) -> Tensor:
    return x.abs().max() < than


def halve(x: Tensor) -> dict[str, Any]:
    return {"x": x / 2, "small": bool((x / 2).abs().max() < 0.1), "first": x[:, :1]}


def double(x: Tensor, extra: Tensor | None = None) -> Tensor:
    return x * 2 if extra is None else x * 2 + extra


def number(i: int) -> int:
    return i


def square_error(x: Tensor) -> Tensor:
    return x.pow(2).mean()


HERE = "tests.runtime.toys"
LATENTS = "Latents[b,l,3]"


def toy_registry() -> Registry:
    return registry_of(*toy_models(), *toy_ops())


def toy_models() -> list[ModelType]:
    return [
        model_type(
            "encoder.toy",
            Config,
            f"{HERE}:TextEncoder",
            methods={
                "forward": method(
                    text="Text[b]", mask="Mask[b,t]?", returns={"embeds": f"Embeds[b,{TOKENS},{WIDTH}]"}
                )
            },
        ),
        model_type(
            "denoiser.toy",
            DenoiserConfig,
            f"{HERE}:Denoiser",
            parts=denoiser_parts,
            methods={
                "predict": method(
                    x=LATENTS,
                    t="Scalar[b]",
                    ports={"cond": cond(embeds=f"Embeds[b,t,{WIDTH}]")},
                    returns={"pred": LATENTS},
                    path=lambda config, call: [p.name for p in denoiser_parts(config)],
                )
            },
            state={"h": f"Embeds[b,l,{WIDTH}]", "temb": f"Embeds[b,{WIDTH}]", "skip": f"Embeds[b,l,{WIDTH}]"},
        ),
        model_type(
            "vae.toy",
            Config,
            f"{HERE}:Decoder",
            methods={"decode": method(latents=LATENTS, returns={"image": "Embeds[b,l,2]"})},
        ),
        model_type("sampler.toy", ScaleConfig, f"{HERE}:Rule", methods={}, weights=False),
        model_type(
            "guidance.toy",
            ScaleConfig,
            f"{HERE}:Guide",
            weights=False,
            methods={"combine": method(branches="Latents*[b,l,3]", i="Scalar?", returns={"pred": LATENTS})},
        ),
    ]


def toy_ops() -> list[OpType]:
    return [
        op_type(
            "toy.noise",
            f"{HERE}:make_noise",
            config=SizeConfig,
            noise=True,
            like="Text[b]",
            returns={"x": "Latents[b,$size,3]"},
        ),
        op_type(
            "toy.start",
            f"{HERE}:start",
            config=StepsConfig,
            x=LATENTS,
            facts=lambda config, uses, facts: {"turns.count": config.steps},
            returns={"state": "State", "x": LATENTS, "t": "Scalar[b]", "turns": "Scalar"},
        ),
        op_type(
            "toy.step",
            f"{HERE}:step",
            uses={"rule": "sampler"},
            noise=True,
            state="State",
            pred=LATENTS,
            i="Scalar",
            returns={"state": "State", "x": LATENTS, "t": "Scalar[b]", "latents": LATENTS, "x0": LATENTS},
        ),
        op_type("toy.boom", f"{HERE}:boom", x="Any", returns={"y": "Any"}),
        op_type(
            "toy.keep",
            f"{HERE}:keep_rows",
            x=LATENTS,
            above="Scalar",
            returns={"x": "Latents[r,l,3]", "rows": "Ids[r]"},
        ),
        op_type("toy.less", f"{HERE}:less", x=LATENTS, than="Scalar", returns={"flag": "Bool"}),
        op_type(
            "toy.halve",
            f"{HERE}:halve",
            x=LATENTS,
            returns={"x": LATENTS, "small": "Bool", "first": "Latents[b,1,3]"},
        ),
        op_type("toy.double", f"{HERE}:double", x=LATENTS, extra="Latents[b,l,3]?", returns={"y": LATENTS}),
        op_type("toy.number", f"{HERE}:number", i="Scalar", returns={"n": "Scalar"}),
        op_type("toy.loss", f"{HERE}:square_error", x=LATENTS, returns={"value": "Scalar"}),
    ]


MODELS = """
models:
  text: {kind: encoder.toy, init: default}
  unet: {kind: denoiser.toy, init: default}
  vae: {kind: vae.toy, init: default}
  rule: {kind: sampler.toy}
  guide: {kind: guidance.toy, config: {scale: 2.0}}
"""

DIFFUSION = (
    """
mmm: 1
name: toy
params: {steps: {type: int, default: 5}}
inputs: {prompt: "Text[b]", negative: {type: "Text[b]", default: ""}}
"""
    + MODELS
    + """
nodes:
  cond: {call: text, in: {text: $in.prompt}}
  uncond: {call: text, in: {text: $in.negative}}
  noise: {op: toy.noise, in: {like: $in.prompt}}
  start: {op: toy.start, config: {steps: $params.steps}, in: {x: noise}}
  denoise:
    loop:
      each: {i: start.turns}
      carry: {state: start.state, x: start.x, t: start.t}
      nodes:
        pc: {call: unet.predict, in: {x: $carry.x, t: $carry.t, cond: {embeds: cond}}}
        pu: {call: unet.predict, in: {x: $carry.x, t: $carry.t, cond: {embeds: uncond}}}
        pred: {call: guide.combine, in: {branches: [pc, pu], i: $each.i}}
        step: {op: toy.step, use: {rule: rule}, in: {state: $carry.state, pred: pred, i: $each.i}}
      next: {state: step.state, x: step.x, t: step.t}
      out: {latents: step.latents}
      preview: {from: step.x0, every: 2}
  image: {call: vae.decode, in: {latents: denoise.latents}}
outputs:
  image: image
"""
)


def toy_graph(text: str = DIFFUSION, registry: Registry | None = None, **params: Any) -> Graph:
    """Compile the text of a file."""
    return compile_graph(load_spec(text, params=params), registry or toy_registry())


def toy_engine(graph: Graph, registry: Registry | None = None, **options: Any) -> Engine:
    known = registry or toy_registry()
    return Engine(known, build_models(graph.models, known, base=Path()), **options)
