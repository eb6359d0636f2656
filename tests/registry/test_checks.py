"""Each rule for node types, savers and the rest refuses its violation with a clear sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mmm_graph.config import Config, Empty
from mmm_graph.registry import (
    Importer,
    NodeType,
    PluginInfo,
    PortKind,
    SamplerConfig,
    Saver,
    WeightSource,
    composite_type,
    data_type,
    method,
    model_type,
    op_type,
    optim_type,
    sampler_type,
)
from mmm_graph.registry.checks import check_contribution, check_node_type
from mmm_graph.registry.registry import Contribution

OUT = {"y": "Embeds[b,l,d]"}
FORWARD = {"forward": method(x="Embeds[b,l,d]", returns=OUT)}


class Sizes(Config):
    width: int = 8
    batch: int = 4
    lr: float = 0.1

    @property
    def half(self) -> int:
        return self.width // 2


class Part(Config):
    """Of a node: how many it takes of the model's width."""

    parts: int = 2

    def share(self, model: Sizes) -> int:
        return model.width // self.parts


def model(methods: Any = FORWARD, **kwargs: Any) -> NodeType:
    return model_type("adaptor.x", Sizes, "pkg.model:X", methods=methods, **kwargs)


def op(kind: str = "loss.x", function: Any = "pkg.ops:f", **kwargs: Any) -> NodeType:
    return op_type(kind, function, **{"x": "Embeds[b,l,d]", "returns": OUT, **kwargs})


def dims(text: str, config: type[Config] = Empty) -> NodeType:
    return model({"forward": method(x=text, returns=OUT, config=config)})


GOOD: list[Callable[[], NodeType]] = [
    model,
    op,
    lambda: dims("Embeds[b,l,$width]"),
    lambda: dims("Embeds[b,l,$half]"),
    lambda: dims("Embeds[b,l,$share]", Part),
    lambda: sampler_type("sampler.x", SamplerConfig, "pkg.model:S"),
    lambda: data_type("data.x", Sizes, "pkg.data:D", columns=lambda config: {}),
    lambda: optim_type("optim.x", Sizes, "pkg.optim:O"),
    lambda: composite_type("llm.generate", lambda config, uses, inputs: {}, x="Ids[b,t]"),
    lambda: op(ports={"config": "Any"}),
]

BAD: dict[str, tuple[Callable[[], NodeType], str]] = {
    "upper case": (lambda: op("loss.MSE"), "'loss.MSE' is not a kind; expected role.name in lower case"),
    "no dot": (lambda: op("loss"), "'loss' is not a kind"),
    "builder is a class": (lambda: op(function=dict), "the builder|the function"),
    "builder is a dotted path": (lambda: op(function="pkg.ops.f"), "expected the text 'package.module:Name'"),
    "no methods": (lambda: model({}), "adaptor.x has no methods"),
    "method is a dict": (lambda: model({"forward": {}}), "is dict; expected method"),
    "unknown dim": (
        lambda: dims("Embeds[b,l,$depth]"),
        r"\$depth is no field of its config; fields are batch, lr",
    ),
    "unknown tag": (lambda: dims("Audio[b,1,n]{$rate}"), r"\$rate is no field of its config"),
    "a method of every config": (
        lambda: dims("Embeds[b,l,$copy]", Part),
        r"\$copy is no field of its config",
    ),
    "no output": (lambda: op(returns={}), "returns no port"),
    "keyword port": (lambda: op(ports={"in": "Any"}), "a port 'in'; expected a name"),
    "dotted port": (lambda: op(ports={"a.b": "Any"}), r"a port 'a\.b'"),
    "unknown port kind": (lambda: op(x=PortKind("Skeleton").port("[b]")), "unknown port kind 'Skeleton'"),
    "config clash": (lambda: op(config=Sizes, ports={"config": "Any"}), "port 'config' clashes"),
    "noise clash": (lambda: op(noise=True, ports={"noise": "Any"}), "port 'noise' clashes"),
    "role clash": (lambda: op(uses={"x": "sampler"}), "port 'x' clashes"),
    "parts not callable": (lambda: model(parts=[]), "expected a function"),
    "parts arity": (lambda: model(parts=lambda: ()), "parts of adaptor.x is called with 1 positional"),
    "path without parts": (
        lambda: model({"forward": method(x="Any", returns=OUT, path=lambda m, c: ())}),
        "declares a path, but adaptor.x declares no parts",
    ),
    "facts arity": (lambda: op(facts=lambda config: {}), "facts of loss.x is called with 3 positional"),
    "accumulation": (lambda: op(accumulation="sum"), "has accumulation 'sum'"),
    "plain class as config": (lambda: op(config=dict), "expected a subclass of mmm_graph.config.Config"),
    "sampler config": (
        lambda: sampler_type("sampler.x", Empty, "pkg.model:S"),
        "expected a subclass of mmm_graph.registry.node_type.SamplerConfig",
    ),
    "data family": (lambda: data_type("set.x", Sizes, "a:B", columns=len), "must be data.name"),
    "data batch": (lambda: data_type("data.x", Empty, "a:B", columns=len), "needs a field `batch: int`"),
    "optim lr": (lambda: optim_type("optim.x", Empty, "a:B"), "needs a field `lr: float`"),
    "expand arity": (lambda: composite_type("a.b", lambda config: {}), "called with 3 positional"),
}


@pytest.mark.parametrize("make", GOOD)
def test_good_types_pass(make: Callable[[], NodeType]) -> None:
    check_node_type(make())


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_bad_types_are_refused(make: Callable[[], NodeType], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        check_node_type(make())


def contribution(**kwargs: Any) -> Contribution:
    return Contribution(PluginInfo("p", "mmm-p", "1", "p.plugin"), **kwargs)


EXTRAS = {
    "port kind case": ({"port_kinds": [PortKind("skeleton")]}, "expected CamelCase"),
    "port kind taken": ({"port_kinds": [PortKind("Image")]}, "port kind 'Image' is built in"),
    "scheme taken": ({"weight_sources": [WeightSource("hf", "a:b")]}, "the scheme 'hf' is built in"),
    "scheme function": ({"weight_sources": [WeightSource("s3", "a.b")]}, "source s3 has the function"),
    "saver kind": ({"savers": [Saver("bvh", "Skeleton", "a:b")]}, "unknown port kind 'Skeleton'"),
    "saver format": ({"savers": [Saver(".png", "Image", "a:b")]}, "'.png' is not a file format"),
    "importer function": ({"importers": [Importer("Pipe", "ab")]}, "importer Pipe has the function"),
    "importer marks": (
        {"importers": [Importer("Pipe", "a:b", marks="unet.*")]},
        "importer Pipe has the marks",
    ),
}


@pytest.mark.parametrize(("kwargs", "message"), EXTRAS.values(), ids=EXTRAS)
def test_bad_extensions_are_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_contribution(contribution(**kwargs), frozenset())


def test_a_port_kind_of_another_plugin_may_be_used() -> None:
    kind = PortKind("Skeleton")
    part = contribution(nodes=(op(x=kind.port("[b,j,3]")),), savers=(Saver("bvh", "Skeleton", "a:b"),))
    assert check_contribution(part, frozenset({"Skeleton"})) is part
