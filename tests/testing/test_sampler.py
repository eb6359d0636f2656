"""Samplers that break a promise of the state machine."""

from __future__ import annotations

import pytest

from mmm_graph.registry import NodeType
from mmm_graph.testing import check_node
from tests.testing.toys import Twice, Whole, sampler

BAD: dict[str, tuple[NodeType, str]] = {
    "evaluations": (sampler("EulerOneMore"), "asks 2 times for 1 steps, but its config says 1"),
    "evaluations config": (sampler("Euler", Twice), "asks 1 times for 1 steps, but its config says 2"),
    "misses x0": (sampler("EulerShort"), "every prediction was the same x0, yet after 1 steps"),
    "state in place": (sampler("EulerInPlace"), "changed the state that it was given"),
    "state shape": (sampler("EulerState"), r"state 'mean' is \[\]; expected a tensor shaped like x"),
    "put": (sampler("EulerDeaf"), r"put: evaluation 1 asks about \(or results in\) another latent"),
    "pointwise config": (sampler("Euler", Whole), "has pointwise True, but its config says False"),
    "not pointwise": (sampler("EulerMixes"), "declared pointwise, but a patch alone"),
}


@pytest.mark.parametrize(("node", "message"), BAD.values(), ids=BAD)
def test_spoiled_types_are_found_out(node: NodeType, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_node(node)
