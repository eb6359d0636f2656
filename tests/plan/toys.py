"""Node types that can be shared and pipelined, as declarations only: none of them can run."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent
from typing import Any

from mmm_graph.config import Config
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph
from mmm_graph.registry import (
    ModelType,
    OpType,
    Part,
    Registry,
    Sharding,
    cond,
    method,
    model_type,
    op_type,
    registry_of,
)
from mmm_graph.spec import load_spec

WIDTH, CHANNELS, UNIT, HEADS = 8, 4, 2, 4
LATENTS = f"Latents[b,{CHANNELS},h,w]"


class NetConfig(Config):
    blocks: int = 4
    size: int = 8  # rows and columns that the tables are made for
    joint: bool = False  # the text goes through the blocks


class NoiseConfig(Config):
    height: int | None = 8


class StepsConfig(Config):
    steps: int = 4


class RuleConfig(Config):
    pointwise: bool = True


def net_parts(config: NetConfig) -> tuple[Part, ...]:
    """Embedding, blocks of which the last reads a skip, head; 1e9 multiply-adds a block."""
    tokens = (config.size // UNIT) ** 2
    h, c, text = {"h": tokens * WIDTH}, {"c": WIDTH}, {"text": 4 * WIDTH} if config.joint else {}
    words = "text" if config.joint else "cond.embeds"
    parts = [Part("embed", ("x", "t", "cond.embeds"), ("h", "c", "skip", *text), 32, 1e8,
                  sizes={**h, **c, **text, "skip": tokens * WIDTH})]  # fmt: skip
    for i in range(config.blocks):
        last = i == config.blocks - 1
        reads, after = ("h", "c", words, *(("skip",) if last else ())), {} if last else text
        sizes, kept = {**h, **after}, 2 * tokens * WIDTH
        parts.append(Part(f"block{i}", reads, ("h", *after), 64, 1e9, sizes=sizes, kept=kept))
    sizes = {"pred": CHANNELS * config.size**2}
    return (*parts, Part("head", ("h", "c", "x"), ("pred",), 24, 1e8, sizes=sizes))


def net_sharding(config: NetConfig) -> Sharding:
    return Sharding({"predict": UNIT}, HEADS, joint=("text",) if config.joint else ())


def conv_sharding(config: NetConfig) -> Sharding:
    refused = {
        "patches": "its convolutions need rows that are not there yet",
        "tensor": "its channels are not shared",
    }
    return Sharding({"predict": UNIT}, 0, refused)


def vae_parts(config: Config) -> tuple[Part, ...]:
    return (Part("inp", ("latents",), ("h",), 10, 1e7), Part("out", ("h",), ("image",), 10, 1e7))


def _net(kind: str, sharding: Any) -> ModelType:
    predict = method(
        x=LATENTS,
        t="Scalar[b]",
        ports={"cond": cond(embeds=f"Embeds[b,t,{WIDTH}]")},
        returns={"pred": LATENTS},
        path=lambda config, call: [p.name for p in net_parts(config)],
    )
    return model_type(
        kind, NetConfig, "x:y", parts=net_parts, methods={"predict": predict}, sharding=sharding,
        state={"h": f"Embeds[b,l,{WIDTH}]", "c": f"Embeds[b,{WIDTH}]", "skip": f"Embeds[b,l,{WIDTH}]",
               "text": f"Embeds[b,t,{WIDTH}]"},
    )  # fmt: skip


def _models() -> list[ModelType]:
    embeds = {"embeds": f"Embeds[b,4,{WIDTH}]"}
    combine = method(
        branches=f"Latents*[b,{CHANNELS},h,w]", i="Scalar?", returns={"pred": LATENTS}, rowwise=True
    )
    decode = method(
        latents=LATENTS, returns={"image": "Image[b,3,2*h,2*w]"}, path=lambda config, call: ["inp", "out"]
    )
    return [
        model_type("encoder.toy", Config, "x:y", methods={"forward": method(text="Text[b]", returns=embeds)}),
        _net("denoiser.toy", net_sharding),
        _net("denoiser.conv", conv_sharding),
        _net("denoiser.whole", None),
        model_type(
            "vae.toy", Config, "x:y", parts=vae_parts, methods={"decode": decode},
            sharding=lambda config: Sharding({"decode": 1}, 1, {"ulysses": "it has one head"}),
        ),
        model_type("sampler.toy", RuleConfig, "x:y", methods={}, weights=False),
        model_type("guidance.toy", Config, "x:y", methods={"combine": combine}, weights=False),
    ]  # fmt: skip


def _ops() -> list[OpType]:
    def pointwise(config: Config, uses: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        return {} if uses["rule"].pointwise else {"rowwise": False}

    def count(config: StepsConfig, uses: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        return {"turns.count": config.steps} | pointwise(config, uses, facts)

    rule = {"rule": "sampler"}
    return [
        op_type("toy.noise", "x:y", config=NoiseConfig, noise=True, like="Text[b]",
                returns={"x": f"Latents[b,{CHANNELS},$height,$height]"}),
        op_type("toy.start", "x:y", config=StepsConfig, uses=rule, facts=count, rowwise=True, x=LATENTS,
                returns={"state": "State", "x": LATENTS, "t": "Scalar[b]", "turns": "Scalar"}),
        op_type("toy.step", "x:y", uses=rule, facts=pointwise, rowwise=True, noise=True, state="State", pred=LATENTS,
                i="Scalar", returns={"state": "State", "x": LATENTS, "t": "Scalar[b]", "latents": LATENTS}),
        op_type("toy.keep", "x:y", x=LATENTS, returns={"x": f"Latents[r,{CHANNELS},h,w]", "rows": "Ids[r]"}),
        op_type("toy.mean", "x:y", x=LATENTS, returns={"small": "Bool", "m": f"Embeds[b,{WIDTH}]"}),
        op_type("toy.sheet", "x:y", image="Image[b,c,h,w]", returns={"image": "Image[1,c,y,x]"}),
    ]  # fmt: skip


SHARD_REGISTRY = registry_of(*_models(), *_ops())

HEAD = """
mmm: 1
name: toy
params:
  steps: {type: int, default: 4}
  height: {type: int, default: 8}
  joint: {type: bool, default: false}
  pointwise: {type: bool, default: true}
  net: {type: kind, role: denoiser, default: denoiser.toy}
inputs:
  prompt: {type: "Text[b]", default: [a, b, c]}
  negative: {type: "Text[b]", default: [x, y, z]}
models:
  text: {kind: encoder.toy}
  net: {kind: $params.net, config: {joint: $params.joint}}
  vae: {kind: vae.toy}
  rule: {kind: sampler.toy, config: {pointwise: $params.pointwise}}
  guide: {kind: guidance.toy}
nodes:
  cond: {call: text, in: {text: $in.prompt}}
  uncond: {call: text, in: {text: $in.negative}}
  noise: {op: toy.noise, config: {height: $params.height}, in: {like: $in.prompt}}
"""
TAIL = """
  image: {call: vae.decode, in: {latents: LAST}}
  sheet: {op: toy.sheet, in: {image: image}}
outputs:
  image: image
  sheet: {from: sheet, type: "Image[1,3,y,x]"}
"""


def drawing(loop: str = "denoise", start: str = "start", x: str = "noise", by: int = 2) -> str:
    """Nodes of a start and a loop of two branches; `by` is their indent."""
    text = f"""
{start}: {{op: toy.start, use: {{rule: rule}}, config: {{steps: $params.steps}}, in: {{x: {x}}}}}
{loop}:
  loop:
    each: {{i: {start}.turns}}
    carry: {{state: {start}.state, x: {start}.x, t: {start}.t}}
    nodes:
      pc: {{call: net.predict, in: {{x: $carry.x, t: $carry.t, cond: {{embeds: cond}}}}}}
      pu: {{call: net.predict, in: {{x: $carry.x, t: $carry.t, cond: {{embeds: uncond}}}}}}
      pred: {{call: guide.combine, in: {{branches: [pc, pu], i: $each.i}}}}
      step: {{op: toy.step, use: {{rule: rule}}, in: {{state: $carry.state, pred: pred, i: $each.i}}}}
    next: {{state: step.state, x: step.x, t: step.t}}
    out: {{latents: step.latents}}
"""
    return indent(text, " " * by)


DRAW = HEAD + drawing() + TAIL.replace("LAST", "denoise.latents")
"""Two branches of guidance, and one loop."""
TWICE = HEAD + drawing() + drawing("again", "start2") + """
  both: {call: guide.combine, in: {branches: [denoise.latents, again.latents]}}
""" + TAIL.replace("LAST", "both")  # fmt: skip
"""Two loops that know nothing of each other."""
NESTED = HEAD + """
  outside: {op: toy.start, use: {rule: rule}, config: {steps: 2}, in: {x: noise}}
  outer:
    loop:
      each: {j: outside.turns}
      carry: {x: noise}
      nodes:
""" + drawing(x="$carry.x", by=8) + """
      next: {x: denoise.latents}
      collect: {all: {from: denoise.latents, axis: 0}}
""" + TAIL.replace("LAST", "outer.x") + "  all: outer.all\n"  # fmt: skip
"""The loop in a loop of two turns."""
UNTIL = DRAW.replace("each: {i: start.turns}", "max: 5\n      until: enough.small").replace(
    "i: $each.i", "i: start.turns"
).replace("      next:", "        enough: {op: toy.mean, in: {x: step.x}}\n      next:")  # fmt: skip
"""The loop ends when a flag is true."""
ALONE = DRAW.replace("[pc, pu]", "[pc]")
"""One branch: what only the other needs does not run."""
GIVEN = DRAW.replace("inputs:", f'inputs:\n  x: {{type: "{LATENTS}"}}').replace("{x: noise}}", "{x: $in.x}}")
"""The latents are an input: the file does not say how high they are."""


def shard_graph(text: str = DRAW, registry: Registry = SHARD_REGISTRY, **params: Any) -> Graph:
    """Compile the text of a file."""
    return compile_graph(load_spec(text, params=params), registry)
