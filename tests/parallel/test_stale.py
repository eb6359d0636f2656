import dataclasses

import pytest
import torch

from mmm_graph.parallel.sharded import Sharded
from tests.parallel.scripts import DISPLACED, STEPS
from tests.parallel.world import threads


@pytest.mark.dist
@pytest.mark.parametrize("case", DISPLACED, ids=lambda case: case.name)
def test_displaced_patches_see_the_others_of_the_evaluation_before(case):
    for member, got in enumerate(threads(case.shape, case.run)):
        for a, b in zip(got, case.expected(member), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


ONE = DISPLACED[1]  # two members, uneven, with text


@pytest.mark.dist
def test_the_gather_of_an_evaluation_is_waited_for_at_the_next_one_or_at_the_end():
    def work(groups):
        waits = []

        class Spy:
            index, size = groups.outer.index, groups.outer.size

            def gather(self, x, shapes):
                pending = groups.outer.gather(x, shapes)
                return Pending(pending)

        class Pending:
            def __init__(self, pending):
                self.pending = pending

            def wait(self):
                waits.append(self)
                return self.pending.wait()

        exchange = Sharded(dataclasses.replace(groups, outer=Spy()), ONE.config)
        counts = []
        for step in range(3):
            ONE.evaluate(exchange, groups, step)
            counts.append(len(set(waits)))
        exchange.clear("r")
        return [*counts, len(set(waits)), len(exchange.state)]

    # The synchronous one is waited for at once, the second when the third runs, the third at the end.
    assert threads(ONE.shape, work) == [[1, 1, 2, 3, 0]] * 2


@pytest.mark.dist
def test_requests_in_flight_do_not_disturb_each_other():
    def together(groups):
        exchange = Sharded(groups, ONE.config)
        both = [
            [ONE.evaluate(exchange, groups, step, request, seed) for request, seed in (("a", 1), ("b", 2))]
            for step in range(STEPS)
        ]
        exchange.clear("a")
        exchange.clear("b")
        return both

    def apart(groups):
        runs = []
        for seed in (1, 2):
            exchange = Sharded(groups, ONE.config)
            runs.append([ONE.evaluate(exchange, groups, step, seed=seed) for step in range(STEPS)])
            exchange.clear("r")
        return list(zip(*runs, strict=True))

    for both, runs in zip(threads(ONE.shape, together), threads(ONE.shape, apart), strict=True):
        assert all(
            torch.equal(a, b) for x, y in zip(both, runs, strict=True) for a, b in zip(x, y, strict=True)
        )
