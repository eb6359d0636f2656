"""Calls that run as one, and those that must not."""

from __future__ import annotations

import pytest

from mmm_graph.plan.flow import Flow
from mmm_graph.plan.ops import Run
from mmm_graph.plan.rewrite import find_batches
from mmm_graph.plan.select import select
from tests.plan.helpers import REGISTRY, make_blocks, programs
from tests.runtime.toys import DIFFUSION, toy_graph


def batches(text: str) -> set[tuple[str, ...]]:
    graph = toy_graph(text)
    flow = Flow(graph)
    return {
        b.members
        for b in find_batches(flow, REGISTRY, select(flow, [o.ref for o in graph.outputs.values()])).values()
    }


def test_guidance_branches_are_one_call() -> None:
    assert batches(DIFFUSION) == {("denoise/pc", "denoise/pu")}


def test_what_comes_from_outside_is_joined_once() -> None:
    program = programs([make_blocks(toy_graph(steps=4))])[0]
    runs = [i for i in program if isinstance(i, Run)]
    joined = [v.name for r in runs if r.fn == ("cat",) for _, v in r.writes]
    assert joined.count("denoise/pc&.cond.embeds") == 1 and joined.count("denoise/pc&.x") == 4
    assert sum(r.fn[0] == "slice" for r in runs) == 4


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (
            "pu: {call: unet.predict, in: {x: $carry.x,",
            "pu: {call: unet.predict, in: {x: start.x,",
        ),  # not only the condition
        (
            "uncond: {call: text, in: {text: $in.negative}}",
            "uncond: {call: text, in: {text: $in.negative}, when: $in.go}",
        ),
        ('negative: {type: "Text[b]", default: ""}', 'negative: "Text[b]?"'),  # may be absent
    ],
)
def test_what_is_not_provably_the_same_runs_in_turn(old: str, new: str) -> None:
    text = DIFFUSION.replace(old, new).replace("inputs: {", "inputs: {go: {type: Bool, default: true}, ")
    assert text.count(new) == 1
    assert batches(text) == set()


def test_an_input_that_may_be_absent_and_is_not_needed_hides_nothing() -> None:
    text = DIFFUSION.replace("{text: $in.negative}", "{text: $in.negative, mask: $in.mask}")
    text = text.replace("inputs: {", 'inputs: {mask: "Mask[b,t]?", ')
    assert text.count("$in.mask") == 1 and batches(text) == {("denoise/pc", "denoise/pu")}


def test_a_call_that_reads_the_other_is_not_joined_with_it() -> None:
    text = DIFFUSION.replace(
        "        pu: {call: unet.predict",
        "        mid: {op: toy.double, in: {x: pc}}\n        pu: {call: unet.predict",
    ).replace("branches: [pc, pu]", "branches: [mid, pu]")
    assert batches(text) == set()
