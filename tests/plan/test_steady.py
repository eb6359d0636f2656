"""Which values are alike in every turn."""

from __future__ import annotations

from mmm_graph.plan.ops import Value
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.steady import Steady
from tests.plan.cases import blocks_of
from tests.plan.toys import DRAW, NESTED, SHARD_REGISTRY, UNTIL, shard_graph


def names(text: str = DRAW) -> set[str]:
    graph = shard_graph(text)
    placement = {"net": [((0,), 0, 3), ((1,), 3, 6)]}
    return set(Steady(blocks_of(graph, make_plan(graph, SHARD_REGISTRY, placement))).names)


def test_what_is_made_in_a_loop_from_what_keeps_its_shape() -> None:
    found = names()
    assert {
        "denoise/pc.h@0",
        "denoise/pc.pred",
        "denoise/pred.pred",
        "denoise/step.state",
        "denoise/step.x",
    } <= found
    assert not {n for n in found if not n.startswith("denoise/")}, (
        "outside there is one message, which is late"
    )


def test_a_condition_in_a_turn_takes_it_from_all_that_it_may_make_absent() -> None:
    text = DRAW.replace(
        "pu: {call", "ask: {op: toy.mean, in: {x: $carry.x}}\n        pu: {when: ask.small, call"
    )
    assert names(text) == set(), "without pu there is no pred, and then no x in the next turn"
    aside = DRAW.replace(
        "      next:",
        "        ask: {op: toy.mean, in: {x: $carry.x}}\n"
        "        pa: {when: ask.small, call: net.predict, in: {x: $carry.x, t: $carry.t, cond: {embeds: cond}}}\n"
        "      next:",
    ).replace("out: {latents", "out: {aside: pa, latents")
    found = names(aside.replace("  image: image", "  image: image\n  aside: denoise.aside"))
    assert "denoise/step.x" in found and "denoise/pa.pred" not in found


def test_what_is_routed_in_a_turn_has_another_size_in_each() -> None:
    text = DRAW.replace("      next:", "        k: {op: toy.keep, in: {x: step.x}}\n      next:").replace(
        "out: {latents", "out: {kept: k.x, latents"
    )
    found = names(text.replace("  image: image", "  image: image\n  kept: denoise.kept"))
    assert "denoise/step.x" in found and "denoise/k.x" not in found


def test_embeddings_of_an_op_may_grow() -> None:
    text = DRAW.replace("      next:", "        m: {op: toy.mean, in: {x: step.x}}\n      next:").replace(
        "out: {latents", "out: {m: m.m, latents"
    )
    found = names(text.replace("  image: image", "  image: image\n  m: denoise.m"))
    assert "denoise/step.x" in found and "denoise/m.m" not in found


def test_loops_in_loops_and_until() -> None:
    assert "outer/denoise/step.x" in names(NESTED)
    assert "denoise/step.x" in names(UNTIL)


def test_it_is_asked_for_values() -> None:
    graph = shard_graph()
    steady = Steady(blocks_of(graph, make_plan(graph, SHARD_REGISTRY)))
    assert steady(Value("0", "denoise/step.x", (3,), 1)) and not steady(Value("1", "cond.embeds"))
    assert not steady(Value("0", "denoise/step.x", (0,))), "start.x may be there although uncond is not"
