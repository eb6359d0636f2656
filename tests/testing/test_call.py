"""What comes back from a call is judged: names, shapes, kinds, inputs left alone, randomness."""

from __future__ import annotations

import pytest

from mmm_graph.registry import NodeType
from mmm_graph.testing import check_node
from tests.testing.toys import linear, loss, noisy

BAD: dict[str, tuple[NodeType, str]] = {
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
    "memory": (linear("Counts"), "two calls with the same inputs and seed gave different outputs"),
    "not finite": (linear("Endless"), "not finite"),
    "own noise": (noisy("add_own_noise"), "global generator of torch"),
    "unreduced": (loss("unreduced"), r"loss has the shape \[2, 8, 16\]"),
}


@pytest.mark.parametrize(("node", "message"), BAD.values(), ids=BAD)
def test_spoiled_types_are_found_out(node: NodeType, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_node(node)
