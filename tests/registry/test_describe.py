"""What `mmm nodes describe` is made of: fields with types, defaults, limits and descriptions from both places."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from mmm_graph.config import Config
from mmm_graph.errors import InputError
from mmm_graph.registry import method, model_type, op_type, registry_of
from mmm_graph.registry.describe import describe, fields


class Base(Config):
    """A base.

    Attributes:
        width: of the hidden layer,
            in values.
        low, high: ends of the range [px].

    More text: not a field.
    """

    width: int = 8
    low: float = Field(0.0, ge=0)
    high: float | None = Field(None, gt=0, le=4)


class Inner(Config):
    x: int = 1


class Full(Base):
    mode: Literal["sum", "mean"] = "mean"
    sizes: list[int] = Field([1, 2], description="one for each level")
    name: str
    inner: Inner = Inner()


def test_fields_say_type_default_limits_and_description() -> None:
    rows = {r["name"]: r for r in fields(Full)}
    assert rows["width"]["description"] == "of the hidden layer, in values."
    assert (rows["low"]["description"], rows["low"]["limits"]) == ("ends of the range [px].", ">= 0")
    assert (rows["high"]["type"], rows["high"]["limits"]) == ("float | null", "> 0, <= 4")
    assert rows["mode"]["type"] == "sum | mean"
    assert (rows["sizes"]["type"], rows["sizes"]["default"]) == ("list of int", [1, 2])
    assert rows["sizes"]["description"] == "one for each level"
    assert (rows["name"]["required"], rows["width"]["required"]) == (True, False)
    assert (rows["inner"]["type"], rows["inner"]["default"]) == ("mapping", {"x": 1})


def test_a_model_is_described_with_its_methods_and_its_plugin() -> None:
    forward = method(x="Embeds[b,l,$width]", returns={"y": "Embeds[b,l,d]"}, doc="One call.", config=Base)
    node = model_type(
        "adaptor.x", Base, "a.b:C", methods={"forward": forward}, doc="It adapts.", source="a paper"
    )
    facts = describe(registry_of(node), "adaptor.x")
    assert (facts["type"], facts["doc"], facts["source"], facts["weights"]) == (
        "model",
        "It adapts.",
        "a paper",
        True,
    )
    assert facts["plugin"] == {"name": "inline", "distribution": "inline", "version": "0"}
    assert facts["methods"]["forward"]["inputs"] == {"x": "Embeds[b,l,$width]"}
    assert [f["name"] for f in facts["methods"]["forward"]["config"]] == ["width", "low", "high"]


def test_an_unknown_kind_suggests_the_closest() -> None:
    registry = registry_of(op_type("loss.mse", "a:b", x="Scalar[]", returns={"y": "Scalar[]"}))
    with pytest.raises(
        InputError, match=r"E404\] no plugin registers the kind 'loss.mes'\n.*did you mean loss.mse"
    ):
        describe(registry, "loss.mes")
