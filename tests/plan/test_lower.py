"""Properties of the Programs, without running them: messages, dead-locks, lifetimes."""

from __future__ import annotations

import random

import pytest

from mmm_graph.graph.graph import Loop
from mmm_graph.plan.ops import Repeat, Run, Send, Value
from mmm_graph.plan.place import make_plan
from tests.plan.helpers import (
    REGISTRY,
    check_blocking,
    check_lifetimes,
    check_messages,
    make_blocks,
    programs,
)
from tests.runtime.graphs import HALVING, INSIDE, NESTED
from tests.runtime.test_placements import random_placement
from tests.runtime.toys import toy_graph


@pytest.mark.parametrize("seed", range(20))
def test_any_placement_of_slices(seed: int) -> None:
    rng = random.Random(seed)
    graphs = [toy_graph(steps=n) for n in (3, 5, 2)]
    placement = random_placement(rng, 3, 6)
    blocks = [
        make_blocks(g, make_plan(g, REGISTRY, placement, branches=rng.choice(["batched", "turn"])))
        for g in graphs
    ]
    for window in (1, 7, 64):
        found = programs(blocks, window)
        check_messages(found)
        check_blocking(found)
        start = {Value(str(i), n) for i, b in enumerate(blocks) for n in b.start}
        for program in found.values():
            check_lifetimes(program, start)


@pytest.mark.parametrize("text", [HALVING, NESTED, INSIDE])
@pytest.mark.parametrize("seed", range(6))
def test_any_placement_of_loops_until(text: str, seed: int) -> None:
    rng = random.Random(seed)
    graph = toy_graph(text)
    nodes = {n.path: rng.randrange(3) for n in graph.walk() if not isinstance(n, Loop)}
    found = programs([make_blocks(graph, make_plan(graph, REGISTRY, nodes=nodes))] * 2)
    check_messages(found)
    check_blocking(found)


def test_what_lives_does_not_grow_with_turns() -> None:
    def peak(steps: int) -> int:
        blocks = make_blocks(toy_graph(steps=steps))
        return check_lifetimes(programs([blocks])[0], {Value("0", n) for n in blocks.start})

    assert peak(3) == peak(40)


def test_inputs_die_after_their_last_reader() -> None:
    blocks = make_blocks(toy_graph(steps=1))
    program = programs([blocks])[0]
    freed = [v.name for item in program if not isinstance(item, Run | Repeat | Send) for v in item.values]
    assert {"$in.prompt", "$in.negative"} <= set(freed)


def test_consecutive_parts_on_a_rank_are_one_run_and_a_skip_goes_straight_to_its_reader() -> None:
    graph = toy_graph(steps=1)
    placement = {"unet": [([0], 0, 2), ([1], 2, 4), ([2], 4, 6)], "text": [([0], 0, 1)], "vae": [([2], 0, 1)]}
    found = programs([make_blocks(graph, make_plan(graph, REGISTRY, placement))])
    slices = {
        rank: [i.fn[2:] for i in p if isinstance(i, Run) and i.fn[0] == "slice"] for rank, p in found.items()
    }
    assert slices == {0: [(0, 2)] * 2, 1: [(2, 4)] * 2, 2: [(4, 6)] * 2}  # two branches, two streams
    skips = [
        (rank, i.to) for rank, p in found.items() for i in p if isinstance(i, Send) and "skip" in i.value.name
    ]
    assert skips == [(0, 2)] * 2  # one for each branch
    states = [i for p in found.values() for i in p if isinstance(i, Send) and i.value.name.endswith(".state")]
    assert not states, "a state does not travel"
