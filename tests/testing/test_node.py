"""check_node passes honest types and names the broken promise of each spoiled one."""

from __future__ import annotations

from typing import Any

import pytest

from mmm_graph.config import Config, Empty
from mmm_graph.registry import (
    NodeType,
    Part,
    SamplerConfig,
    composite_type,
    data_type,
    method,
    model_type,
    op_type,
    optim_type,
    sampler_type,
)
from mmm_graph.testing import check_node


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


def linear(cls: str = "Linear", returns: str = "Embeds[b,l,$out_dim]") -> NodeType:
    forward = method(x="Embeds[b,l,$in_dim]", shift="Scalar[b]?", returns={"embeds": returns})
    return model_type("adaptor.toy", LinearConfig, f"toy_nodes:{cls}", methods={"forward": forward})


PARTS = (Part("embed", ("x", "mask"), ("h",), 36), Part("head", ("h",), ("pred",), 15))


def parts(*table: Part, cls: str = "TwoParts", path: tuple[str, ...] = ("embed", "head")) -> NodeType:
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


GOOD = {
    "model": linear(),
    "parts": parts(),
    "sampler": sampler("Euler"),
    "noise": noisy("add_noise"),
    "loss": loss("squared"),
    "data": data("Squares", x="Embeds[b,3]", name="Text[b]"),
    "optim": optim_type("optim.toy", OptimConfig, "toy_nodes:descent"),
    "composite": composite(expand_well),
}


@pytest.mark.parametrize("node", GOOD.values(), ids=GOOD)
def test_honest_types_pass(node: NodeType) -> None:
    check_node(node)


BAD: dict[str, tuple[NodeType, str]] = {
    "no builder": (linear("Nowhere"), "the builder 'toy_nodes:Nowhere' does not resolve"),
    "shape": (
        linear("WrongShape"),
        r"output embeds has the shape \[2, 8, 31\]; Embeds\[b,l,\$out_dim\] says 32",
    ),
    "rank": (linear(returns="Embeds[b,$out_dim]"), "which is not of the form"),
    "kind": (linear(returns="Ids[b,l,$out_dim]"), "Ids are whole numbers"),
    "port name": (linear("WrongPort"), "embeds is dict, not a tensor"),
    "in place": (linear("InPlace"), "changed its inputs in place"),
    "absent input": (linear("NeedsShift"), "failed on x.*shift=NoneType.*AttributeError"),
    "torch generator": (linear("GlobalTorch"), "draws from the global generator of torch"),
    "numpy generator": (linear("GlobalNumpy"), "draws from the global generator of numpy"),
    "random generator": (
        linear("GlobalRandom"),
        "building adaptor.toy draws from the global generator of random",
    ),
    "memory": (linear("Counts"), "two calls with the same inputs and seed gave different outputs"),
    "hidden weights": (linear("Hidden"), "is a tensor missing from its state dict"),
    "not finite": (linear("Endless"), "not finite"),
    "part order": (parts(*reversed(PARTS)), r"lists \['head', 'embed'\], the model has \['embed', 'head'\]"),
    "part size": (
        parts(PARTS[0], Part("head", ("h",), ("pred",), 12)),
        "part head says 12 weights and has 15",
    ),
    "part reads": (
        parts(Part("embed", ("x",), ("h",), 36), PARTS[1]),
        "part embed reads 'mask'; declared are x",
    ),
    "part unread": (parts(PARTS[0], Part("head", ("h", "x"), ("pred",), 15)), "declares that it reads 'x'"),
    "part writes": (parts(PARTS[0], Part("head", ("h",), ("out",), 15)), r"part head wrote \['pred'\]"),
    "outside": (parts(cls="OutsidePart"), "'extra.weight' belongs to no part"),
    "path": (parts(path=("embed", "tail")), "the path names 'tail', which is no part"),
    "short path": (parts(path=("embed",)), "no part of the path writes the output 'pred'"),
    "evaluations": (sampler("EulerOneMore"), "asks 2 times for 1 steps, but its config says 1"),
    "evaluations config": (sampler("Euler", Twice), "asks 1 times for 1 steps, but its config says 2"),
    "misses x0": (sampler("EulerShort"), "every prediction was the same x0, yet after 1 steps"),
    "state in place": (sampler("EulerInPlace"), "changed the state that it was given"),
    "state shape": (sampler("EulerState"), r"state 'mean' is \[\]; expected a tensor shaped like x"),
    "not pointwise": (sampler("EulerMixes"), "declared pointwise, but a patch alone"),
    "own noise": (noisy("add_own_noise"), "global generator of torch"),
    "detached": (loss("squared_detached"), "no gradient flows"),
    "unreduced": (loss("unreduced"), r"loss has the shape \[2, 8, 16\]"),
    "unreduced, any shape": (
        loss("unreduced", "Scalar"),
        r"the loss has the shape \[2, 8, 16\]; expected one number",
    ),
    "column shape": (data("Squares", x="Embeds[b,4]", name="Text[b]"), r"says 4 where it has 3"),
    "column name": (data("Squares", x="Embeds[b,3]"), r"has \['name', 'x'\]; declared are \['x'\]"),
    "random data": (data("NoisySquares", x="Embeds[b,3]", name="Text[b]"), "global generator of torch"),
    "optim": (optim_type("optim.toy", OptimConfig, "toy_nodes:ascent"), "did not lower the loss"),
    "composite link": (composite(expand_badly), r"links '\$in.y', but only \['x'\] are given"),
    "composite data": (
        composite(lambda c, u, i: {"nodes": {"a": len}, "out": {"y": "a"}}),
        "more than plain data",
    ),
}


@pytest.mark.parametrize(("node", "message"), BAD.values(), ids=BAD)
def test_spoiled_types_are_found_out(node: NodeType, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_node(node)


def test_config_and_dims_can_be_given() -> None:
    check_node(linear(), config={"in_dim": 3, "out_dim": 5}, dims={"b": 1, "l": 1})
    with pytest.raises(AssertionError, match="pass config="):
        check_node(linear(), config={"in_dim": "wide"})


def test_values_replace_random_inputs() -> None:
    import torch

    with pytest.raises(AssertionError, match=r"failed on x\[2, 8, 7\]"):
        check_node(linear(), values={"x": torch.zeros(2, 8, 7)})
