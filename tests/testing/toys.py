"""Node types of toy_nodes, honest or spoiled by the name of a class."""

from __future__ import annotations

from typing import Any

from mmm_graph.config import Config, Empty
from mmm_graph.registry import (
    NodeType,
    Part,
    SamplerConfig,
    Sharding,
    composite_type,
    data_type,
    method,
    model_type,
    op_type,
    sampler_type,
)


class LinearConfig(Config):
    in_dim: int | None = None
    out_dim: int | None = None


class DataConfig(Config):
    batch: int = 2
    size: int = 5


class OptimConfig(Config):
    lr: float = 0.1


class Twice(SamplerConfig):
    def evaluations(self, steps: int) -> int:
        return 2 * steps


class Whole(SamplerConfig):
    def pointwise(self) -> bool:
        return False


def linear(cls: str = "Linear", returns: str = "Embeds[b,l,$out_dim]") -> NodeType:
    forward = method(x="Embeds[b,l,$in_dim]", shift="Scalar[b]?", returns={"embeds": returns})
    return model_type("adaptor.toy", LinearConfig, f"toy_nodes:{cls}", methods={"forward": forward})


PARTS = (Part("embed", ("x", "mask"), ("h",), 36), Part("head", ("h",), ("pred",), 15))


def parts(
    *table: Part,
    cls: str = "TwoParts",
    path: tuple[str, ...] = ("embed", "head"),
    sharding: Sharding | None = None,
) -> NodeType:
    predict = method(
        x="Embeds[b,l,8]", mask="Mask[b,l]?", returns={"pred": "Embeds[b,l,3]"}, path=lambda m, c: path
    )
    return model_type(
        "denoiser.toy",
        Empty,
        f"toy_nodes:{cls}",
        methods={"predict": predict},
        parts=lambda config: table or PARTS,
        state={"h": "Embeds[b,l,4]"},
        sharding=None if sharding is None else lambda config: sharding,
    )


def sampler(cls: str, config: type[SamplerConfig] = SamplerConfig) -> NodeType:
    return sampler_type("sampler.toy", config, f"toy_nodes:{cls}")


def noisy(function: str) -> NodeType:
    return op_type(
        "toy.noise", f"toy_nodes:{function}", x="Embeds[b,l,d]", noise=True, returns={"y": "Embeds[b,l,d]"}
    )


def loss(function: str, returns: str = "Scalar[]") -> NodeType:
    ports = {"pred": "Embeds[b,l,d]", "target": "Embeds[b,l,d]"}
    return op_type("loss.toy", f"toy_nodes:{function}", ports=ports, returns={"loss": returns})


def data(cls: str, **columns: str) -> NodeType:
    return data_type("data.toy", DataConfig, f"toy_nodes:{cls}", columns=lambda config: columns)


def composite(expand: Any) -> NodeType:
    return composite_type("toy.twice", expand, x="Embeds[b,l,d]", y="Embeds[b,l,d]?")


def expand_well(config: Any, uses: Any, inputs: frozenset[str]) -> dict[str, Any]:
    nodes = {"a": {"op": "toy.noise", "in": {"x": "$in.y" if "y" in inputs else "$in.x"}}}
    return {"nodes": nodes, "out": {"y": "a"}}


def expand_badly(config: Any, uses: Any, inputs: frozenset[str]) -> dict[str, Any]:
    return {"nodes": {"a": {"op": "toy.noise", "in": {"x": "$in.y"}}}, "out": {"y": "a"}}


PICTURE = (Part("embed", ("x",), ("h",), 3 * 8 * 9 + 8), Part("mix", ("h",), ("pred",), 4 * (64 + 8) + 8))


def picture(cls: str = "Picture", sharding: Sharding | None = None) -> NodeType:
    """A model that ranks can share, or one that forgets something."""
    predict = method(
        x="Latents[b,3,h,w]",
        returns={"pred": "Latents[b,8,h,w]"},
        path=lambda m, c: [p.name for p in PICTURE],
    )
    return model_type(
        "denoiser.picture",
        Empty,
        f"toy_pictures:{cls}",
        methods={"predict": predict},
        parts=lambda config: PICTURE,
        sharding=lambda config: sharding or Sharding({"predict": 2}, 2, {"patches": "its convolutions"}),
    )


def image_op(function: str, *, noise: bool = False, facts: Any = None) -> NodeType:
    """An op that says that it works row by row."""
    image = "Image[b,3,h,w]"
    return op_type(
        "image.toy",
        f"toy_pictures:{function}",
        image=image,
        returns={"image": image},
        rowwise=True,
        noise=noise,
        facts=facts,
    )
