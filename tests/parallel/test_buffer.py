import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmm_graph.parallel.buffer import outside
from mmm_graph.parallel.sharded import Groups, Sharded
from mmm_graph.plan.ops import ALL
from tests.parallel.scripts import PATCHES
from tests.parallel.toys import at
from tests.parallel.world import threads


@pytest.mark.dist
@pytest.mark.parametrize("case", PATCHES, ids=lambda case: case.name)
def test_patches_see_the_last_computation_of_the_others(case):
    for member, got in enumerate(threads(case.shape, case.run)):
        for a, b in zip(got, case.expected(member), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_alone_every_bit_is_that_of_the_formula():
    for case in PATCHES:
        if case.shape.ranks == 1:
            assert all(map(torch.equal, case.run(Groups()), case.expected(0))), case.name


def cases(*names):
    return [case for case in PATCHES if any(case.name.startswith(f"patches-{name}-") for name in names)]


@pytest.mark.dist
@pytest.mark.parametrize(
    "case", cases("patch2", "ulysses2", "ring2", "ring2-ulysses2"), ids=lambda case: case.name
)
def test_synchronous_evaluations_have_the_bits_of_an_unbuffered_plan(case):
    def work(groups):
        plain, buffered = Sharded(groups, case.tokens), Sharded(groups, case.config)
        step = (0, ALL)
        return case.evaluate(plain, groups, *step), case.evaluate(buffered, groups, *step)

    assert all(torch.equal(*pair) for pair in threads(case.shape, work))


@pytest.mark.dist
@pytest.mark.parametrize("case", cases("alone", "patch2", "ring2"), ids=lambda case: case.name)
def test_requests_in_flight_do_not_disturb_each_other(case):
    def together(groups):
        exchange = Sharded(groups, case.config)
        both = [
            [case.evaluate(exchange, groups, *task, request, seed) for request, seed in (("a", 1), ("b", 2))]
            for task in case.tasks()
        ]
        exchange.clear("a")
        assert exchange.state.get(at((0, 16), 0, request="b"), "layer", "kv") is not None
        exchange.clear("b")
        assert len(exchange.state) == 0
        return both

    def apart(groups):
        runs = [
            [case.evaluate(exchange, groups, *task, seed=seed) for task in case.tasks()]
            for seed in (1, 2)
            for exchange in [Sharded(groups, case.config)]
        ]
        return list(zip(*runs, strict=True))

    for both, runs in zip(threads(case.shape, together), threads(case.shape, apart), strict=True):
        assert all(
            torch.equal(a, b) for x, y in zip(both, runs, strict=True) for a, b in zip(x, y, strict=True)
        )


@pytest.mark.dist
@pytest.mark.parametrize("case", cases("alone", "patch2", "ring2"), ids=lambda case: case.name)
def test_a_cleared_request_starts_anew(case):
    def work(groups):
        exchange, runs = Sharded(groups, case.config), []
        for _ in range(2):
            runs.append([case.evaluate(exchange, groups, *task) for task in case.tasks()])
            exchange.clear("r")
        return runs

    for first, second in threads(case.shape, work):
        assert all(map(torch.equal, first, second))


@pytest.mark.dist
def test_members_of_a_ring_hold_every_token_once():
    case = cases("ring4")[2]  # uneven, with text

    def work(groups):
        exchange, member = Sharded(groups, case.config), groups.tokens.index
        for task in case.tasks():
            case.evaluate(exchange, groups, *task)
            held = exchange.state.get(exchange.at, "layer", "kv")
            assert held.lengths[member] == held.kv.shape[2]
            tokens = sorted(token for ranges in held.ranges for a, b in ranges for token in range(a, b))
            assert tokens == list(range(5 + 16 * 3))
        return held.ranges

    ranges = threads(case.shape, work)
    assert all(r == ranges[0] for r in ranges)


@given(
    st.lists(st.integers(0, 20), min_size=2, max_size=6, unique=True).map(sorted),
    st.integers(0, 19),
    st.data(),
)
def test_what_is_outside_a_hole(ends, start, data):
    stop = data.draw(st.integers(start + 1, 20))
    ranges = list(zip(ends[::2], ends[1::2], strict=False))
    left = [token for a, b in outside(ranges, (start, stop)) for token in range(a, b)]
    assert left == [token for a, b in ranges for token in range(a, b) if not start <= token < stop]
