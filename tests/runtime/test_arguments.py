"""State keys <-> Python arguments and results."""

from __future__ import annotations

from typing import Any

import pytest

from mmm_graph.graph.graph import Loop, Op, Ref
from mmm_graph.plan.ops import At
from mmm_graph.runtime.arguments import arguments, plain, spread
from mmm_graph.spec.ports import cond, parse_port

AT = At("r", "n", (7, 9))
PORTS = {
    "x": parse_port("Any"),
    "many": parse_port("Any*"),
    "i": parse_port("Scalar"),
    "gone": parse_port("Any?"),
    "cond": cond(embeds="Embeds[b,t,d]", mask="Mask[b,t]?"),
}


def test_every_form_of_an_input() -> None:
    inputs = {
        "x": Ref("a", "x"),
        "many": (Ref("a", "x"), Ref("b", "x"), Ref("$each", "j")),
        "i": Ref("$each", "i"),
        "cond.embeds": Ref("c", "e"),
        "cond.mask": Ref("c", "m"),
    }
    scope = (Loop("o", {}, {}, each=("i",)), Loop("p", {}, {}, each=("j",)))
    node = Op("n", inputs, {})
    args: dict[str, Any] = {"x": 1, "many#0": 2, "many#1": None, "cond.embeds": 3, "cond.mask": None}
    assert plain(node, PORTS, scope) == ("x",)
    found = {name: get(args, AT) for name, get in arguments(node, PORTS, scope)}
    assert found == {"many": [2, 9], "i": 7, "gone": None, "cond": {"embeds": 3, "mask": None}}


def test_a_cond_whose_fields_are_all_absent_is_none() -> None:
    node = Op("n", {"cond.embeds": Ref("c", "e")}, {})
    assert dict(arguments(node, PORTS, ()))["cond"]({"cond.embeds": None}, AT) is None


def test_results() -> None:
    assert spread({"y": parse_port("Any")})(5) == {"y": 5}
    assert spread({"y": parse_port("State")})({"y": 1, "z": 2}) == {"y": {"y": 1, "z": 2}}
    two = spread({"y": parse_port("Any"), "z": parse_port("Any?")})
    assert two({"y": 1}) == {"y": 1, "z": None} and two({"y": 1, "z": 2}) == {"y": 1, "z": 2}
    record = spread({"cond": cond(embeds="Embeds[b,t,d]")})
    assert record({"embeds": 1})["cond.embeds"] == 1 and record({"cond": {"embeds": 1}})["cond.embeds"] == 1


@pytest.mark.parametrize("result", [5, {"z": 1}])
def test_results_that_are_wrong(result: Any) -> None:
    with pytest.raises(TypeError, match=r"must return a mapping|without y"):
        spread({"y": parse_port("Any"), "z": parse_port("Any?")})(result)
