"""A host and guests that can be attached to it, as declarations only: none of them can run."""

from __future__ import annotations

from mmm_graph.config import Config
from mmm_graph.registry import Part, Sharding, TextWork, method, model_type, registry_of


class HostConfig(Config):
    width: int = 8
    blocks: int = 4


class GuestConfig(Config):
    width: int | None = None
    media_dim: int | None = None
    tail: bool = False


def host_parts(config):
    h = {"h": 10 * config.width}
    return (
        Part("embed", ("x",), ("h",), 1, 1.0, sizes=h),
        *(Part(f"block{i}", ("h", f"cache.block{i}"), ("h", f"cache.block{i}"), 10, 100.0, sizes=h)
          for i in range(config.blocks)),
        Part("head", ("h",), ("y",), 2, 2.0),
    )  # fmt: skip


def host_path(config, call):
    return tuple(part.name for part in host_parts(config))


def guest_parts(config):
    width = config.width or 0
    own = ("h", "cache.look")
    sizes, text = {"h": 5 * width, "cache.look": 3}, TextWork(5, pairs=20.0, once_flops=10.0, once_params=2)
    look = Part("look", (*own, "media", "index"), own, 5, 50.0, 4, sizes=sizes, text=text)
    return (look, Part("tail", ("h",), ("h",), 1)) if config.tail else (look,)


def guest_path(config, call):
    return tuple(part.name for part in guest_parts(config))


X, Y, H = "Embeds[b,t,$width]", {"y": "Embeds[b,t,$width]"}, "Embeds[b,t,$width]"
HOST = model_type(
    "llm.toy",
    HostConfig,
    "x:y",
    parts=host_parts,
    state={"h": H},
    sharding=lambda config: Sharding(heads=4, refused={"ring": "no"}),
    methods={
        "logits": method(x=X, returns=Y, path=host_path),
        "embed": method(x=X, returns={"h": H}, path=lambda config, call: ("embed",)),
        "prefill": method(x=X, returns={**Y, "cache": "State"}, path=host_path),
        "step": method(x=X, cache="State", returns=Y, path=host_path),
        "score": method(x=X, returns=Y),
    },
)
GUEST = model_type(
    "adaptor.toy",
    GuestConfig,
    "x:y",
    parts=guest_parts,
    state={"h": H},
    sharding=lambda config: Sharding(heads=2),
    methods={
        "forward": method(
            h=H, media="Embeds[m,$media_dim]?", index="Ids[b,t]", returns={"h": H}, path=guest_path
        )
    },
    attaches="forward",
)
PART = model_type(
    "adaptor.part",
    GuestConfig,
    "x:y",
    parts=guest_parts,
    methods={
        "forward": method(
            h=H,
            media="Embeds[m,$media_dim]?",
            index="Ids[b,t]",
            returns={"h": H},
            path=lambda config, call: ("look",),
        )
    },
    attaches="forward",
)
OTHER = model_type(
    "adaptor.other", Config, "x:y", methods={"forward": method(x="Ids[b]", returns={"y": "Ids[b]"})}
)
WHOLE = model_type(
    "llm.whole", Config, "x:y", methods={"forward": method(x="Ids[b]", returns={"y": "Ids[b]"})}
)
REGISTRY = registry_of(HOST, GUEST, PART, OTHER, WHOLE)

HEAD = """
mmm: 1
inputs: {x: "Embeds[b,t,8]", media: "Embeds[m,6]", index: "Ids[b,t]"}
models:
  g: {kind: adaptor.toy, init: default}
  llm: {kind: llm.toy, init: default, attach: [ATTACH]}
nodes:
"""
LOGITS = "  y: {call: llm, in: {x: $in.x, media: $in.media, index: $in.index}}\noutputs: {y: y}\n"
