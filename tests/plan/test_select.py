"""Pull: what is needed for what is asked."""

from __future__ import annotations

from mmm_graph.graph.graph import Ref
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.select import select
from tests.runtime.graphs import HALVING, NESTED
from tests.runtime.toys import toy_graph


def test_everything_for_the_image() -> None:
    graph = toy_graph()
    needs = select(Flow(graph), [graph.outputs["image"].ref])
    assert {n.path for n in graph.walk()} == set(needs.ports)
    assert needs.carry == {"denoise": frozenset(("state", "x", "t"))}
    assert needs.models == {"text", "unet", "vae", "rule", "guide"}
    assert needs.inputs == {Ref("$in", "prompt"), Ref("$in", "negative")}
    assert needs.ports["denoise/step"] == {"state", "x", "t", "latents"}


def test_previews_only_when_somebody_looks() -> None:
    graph = toy_graph()
    needs = select(Flow(graph), [graph.outputs["image"].ref], watched=True)
    assert "x0" in needs.ports["denoise/step"]


def test_what_is_given_is_not_needed() -> None:
    graph = toy_graph()
    needs = select(Flow(graph), [graph.outputs["image"].ref], ("denoise.latents",))
    assert set(needs.ports) == {"image"} and not needs.inputs and needs.models == {"vae"}


def test_a_carry_that_nobody_reads() -> None:
    graph = toy_graph(HALVING)
    needs = select(Flow(graph), [Ref("halve", "firsts")])
    assert needs.ports["halve/half"] == {"x", "small", "first"} and "twice" not in needs.ports


def test_nested_loops() -> None:
    needs = select(Flow(toy_graph(NESTED)), [Ref("outer", "x")])
    assert needs.carry == {"outer": frozenset("x"), "outer/inner": frozenset("y")}
