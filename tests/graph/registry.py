"""Node types that the compiler's tests use; none of them can run."""

from __future__ import annotations

from mmm_graph.config import Config
from mmm_graph.registry import (
    GuidanceConfig,
    Part,
    SamplerConfig,
    Saver,
    composite_type,
    cond,
    data_type,
    method,
    model_type,
    op_type,
    registry_of,
    sampler_type,
)


class BridgeConfig(Config):
    in_dim: int | None = None
    out_dim: int = 8


class SizeConfig(Config):
    height: int = 32
    width: int = 32


class CodecConfig(Config):
    channels: int = 4
    factor: int = 8


class StepsConfig(Config):
    steps: int = 3


class LayerConfig(Config):
    layer: int = -1


class DataConfig(Config):
    batch: int = 2


class DenoiserConfig(Config):
    prediction: str = "epsilon"
    width: int = 48


class WordsConfig(Config):
    max_length: int | None = None

    @property
    def length(self):
        return self.max_length


def _path(config, call):
    if not -4 <= call.layer < 4:
        raise ValueError(f"layer {call.layer} is outside -4..3")
    return ["all"]


def _denoise(config, uses, linked):
    branches = uses["guidance"].config.branches()
    calls = {
        f"p{i}": {"call": f"{uses['denoiser'].name}.predict", "in": {"x": "$carry.x", "cond": f"$in.{name}"}}
        for i, name in enumerate(branches)
    }
    merge = {"op": "mix", "in": {"parts": list(calls)}}
    body = {"carry": {"x": "$in.x"}, "each": {"i": "$in.times"}, "nodes": {**calls, "merge": merge}}
    loop = {"loop": {**body, "next": {"x": "merge"}, "out": {"latents": "merge"}}}
    return {"nodes": {"loop": loop}, "out": {"latents": "loop.latents"}}


def _combine(config, uses, facts):
    if isinstance(facts.get("parts.prediction"), tuple):
        raise ValueError("the branches predict different things")
    return {"x.prediction": facts.get("parts.prediction")}


TEXT = model_type(
    "encoder.text",
    LayerConfig,
    "x:y",
    methods={
        "forward": method(
            text="Text[b]",
            config=LayerConfig,
            path=_path,
            returns={"embeds": "Embeds[b,t,48]", "pooled": "Embeds[b,48]"},
        )
    },
    parts=lambda config: [Part("all", ("text",), ("embeds", "pooled"))],
)
WORDS = model_type(
    "tokenizer.toy",
    WordsConfig,
    "x:y",
    methods={"encode": method(text="Text[b]", returns={"ids": "Ids[b,$length]"})},
    weights=False,
)
BRIDGE = model_type(
    "adaptor.linear",
    BridgeConfig,
    "x:y",
    methods={"forward": method(features="Embeds[b,l,$in_dim]", returns={"embeds": "Embeds[b,l,$out_dim]"})},
)
CODEC = model_type(
    "vae.toy",
    CodecConfig,
    "x:y",
    methods={
        "decode": method(
            latents="Latents[b,$channels,h/$factor,w/$factor]", returns={"image": "Image[b,3,h,w]"}
        ),
        "noise": method(
            like="Any",
            config=SizeConfig,
            returns={"latents": "Latents[b,$channels,$height/$factor,$width/$factor]"},
        ),
    },
)
DENOISER = model_type(
    "denoiser.toy",
    DenoiserConfig,
    "x:y",
    methods={
        "predict": method(
            x="Latents[b,c,h,w]",
            cond=cond(embeds="Embeds[b,t,$width]", mask="Mask[b,t]?"),
            returns={"pred": "Latents[b,c,h,w]"},
            facts=lambda config, call, have: {"pred.prediction": config.prediction},
        )
    },
)
GUIDE = model_type("guidance.two", GuidanceConfig, "x:y", methods={}, weights=False)
SAMPLER = sampler_type("sampler.toy", SamplerConfig, "x:y")
OPS = [
    op_type(
        "clock",
        "x:y",
        config=StepsConfig,
        returns={"times": "Times[s]"},
        facts=lambda config, uses, have: {"times.count": config.steps},
    ),
    op_type("mix", "x:y", parts="Latents*[b,c,h,w]", returns={"x": "Latents[b,c,h,w]"}, facts=_combine),
    op_type("grow", "x:y", x="Embeds[b,t,d]", returns={"x": "Embeds[b,2*t,d]"}),
    op_type("flags", "x:y", x="Embeds[b,t,d]", returns={"each": "Bool[b]", "all": "Bool[]"}),
    op_type("answer", "x:y", x="Any", returns={"each": "Bool[k]"}),
    op_type("pair", "x:y", a="Embeds[b,t,d]", b="Embeds[b,t,d]?", returns={"x": "Embeds[b,t,d]"}),
    op_type(
        "solve",
        "x:y",
        x="Latents[b,c,h,w]",
        uses={"sampler": "sampler"},
        returns={"x": "Latents[b,c,h,w]"},
        facts=lambda config, uses, have: {"rowwise": False, "x.solved": True},
    ),
    op_type("loss", "x:y", x="Any", returns={"loss": "Scalar[]"}),
    op_type("bundle", "x:y", x="Embeds[b,t,d]", returns={"cond": cond(embeds="Embeds[b,t,d]")}),
]
DENOISE = composite_type(
    "denoise",
    _denoise,
    uses={"denoiser": "denoiser", "guidance": "guidance"},
    x="Latents[b,c,h,w]",
    times="Times[s]",
    cond="Cond",
    uncond="Cond?",
)
DATA = data_type(
    "data.toy", DataConfig, "x:y", columns=lambda config: {"text": "Text[b]", "image": "Image[b,3,8,8]"}
)
PNG = Saver("png", "Image", "x:y")

REGISTRY = registry_of(
    TEXT, WORDS, BRIDGE, CODEC, DENOISER, GUIDE, SAMPLER, *OPS, DENOISE, DATA, savers=[PNG]
)
