"""What one device makes is what two ranks make; a layer that forgets the others is found out on some axis."""

from __future__ import annotations

import pytest

from mmm_graph.registry import NodeType, Sharding
from mmm_graph.testing import check_node
from mmm_graph.testing.ranks import axes_of
from tests.testing.toys import picture

OTHERS = {"patches": "its convolutions"}


def only(axis: str) -> Sharding:
    refused = {a: "not tried here" for a in ("patch", "ring", "ulysses", "tensor") if a != axis}
    return Sharding({"predict": 2}, 2, {**OTHERS, **refused})


BAD: dict[str, tuple[NodeType, str]] = {
    "halo": (
        picture("NoHalo"),
        r"predict on two ranks of the axis patch: output pred differs from that of one device by \d",
    ),
    "ring": (picture("OwnTokensOnly", only("ring")), "on two ranks of the axis ring: output pred differs"),
    "ulysses": (picture("OwnTokensOnly", only("ulysses")), "on two ranks of the axis ulysses: output pred"),
    "tensor": (picture("Unsummed", only("tensor")), "on two ranks of the axis tensor: output pred differs"),
    "patches": (
        picture("Picture", Sharding({"predict": 2})),
        "predict patch by patch failed on .*needs the whole image",
    ),
    "heads": (picture("OneHead"), "of the axis ulysses failed on .*1 heads"),
    "heads cut": (picture("OneHead", only("tensor")), "of the axis tensor failed on .*1 heads, too few"),
    "rows": (
        picture("Picture", Sharding({"predict": 16}, 2, OTHERS)),
        "predict, patch was to be tried on two pieces, but 16 rows are not twice 16",
    ),
}


def test_a_model_that_asks_its_exchange_passes() -> None:
    check_node(picture())
    check_node(picture(), dims={"h": 6, "w": 4})


@pytest.mark.parametrize(("node", "message"), BAD.values(), ids=BAD)
def test_what_forgets_the_other_ranks_is_found_out(node: NodeType, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_node(node)


def test_only_what_a_method_has_and_nobody_refuses_is_tried() -> None:
    assert axes_of(Sharding({"predict": 2}, 4), "predict") == (
        "patch",
        "ring",
        "ulysses",
        "patches",
        "tensor",
    )
    assert axes_of(Sharding({"predict": 2}, 1, {"ring": "why"}), "predict") == ("patch", "patches")
    assert axes_of(Sharding(heads=2), "predict") == ("tensor",)
    assert axes_of(Sharding({"decode": 2}, 0), "predict") == ()
