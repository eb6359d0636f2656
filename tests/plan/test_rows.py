"""What may be cut: rows of image-shaped values, elements of a batch, and the nodes that can work on pieces."""

from __future__ import annotations

import pytest

from mmm_graph.errors import InputError
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.rows import INNER, PLAIN, Works, batch_dim, form_of, sharding, size_of
from mmm_graph.spec.ports import Dim, parse_dim, parse_port
from tests.plan.toys import GIVEN, SHARD_REGISTRY, UNIT, shard_graph

B = Dim(over=("b",))


@pytest.mark.parametrize(
    ("text", "rowed", "batched"),
    [
        ("Latents[b,4,h,w]", True, True), ("Image[1,3,8,8]", True, False), ("Embeds[b,t,8]", False, True),
        ("Text[b]", False, True), ("Times[s]", False, False), ("Latents*[b,4,h,w]", False, True), ("Any", False, False),
        ("Scalar[]", False, False), ("Video[b,f,3,h,w]", True, True), ("Latents[b,l,3]", False, True),
    ],
)  # fmt: skip
def test_forms(text: str, rowed: bool, batched: bool) -> None:
    form = form_of(parse_port(text), B)
    assert (form.rowed, form.batched) == (rowed, batched)


def test_state_is_handed_on_in_pieces_but_never_cut() -> None:
    assert form_of(parse_port("State")) == INNER and INNER.rowed and INNER.height is None
    assert form_of(None) == PLAIN


def test_what_nodes_can_do() -> None:
    works = Works(Flow(shard_graph()), SHARD_REGISTRY)
    assert (works["denoise/pc"].unit, works["denoise/pc"].base) == (UNIT, "x")
    assert (works["denoise/pred"].unit, works["denoise/pred"].base) == (1, "branches#0")
    assert (works["image"].unit, works["image"].base, works["image"].forms["image"].height) == (
        1, "latents", parse_dim("16"),
    )  # fmt: skip
    assert (works["cond"].unit, works["sheet"].unit, works["noise"].unit) == (0, 0, 0)
    assert works["denoise/step"].forms["state"].height == parse_dim("8")
    assert works["denoise/pc"].batch == works["denoise/step"].batch != works["cond"].batch
    assert works["sheet"].batch is works["noise"].batch is None


def test_a_sampler_that_looks_at_the_whole_takes_it_back() -> None:
    works = Works(Flow(shard_graph(pointwise=False)), SHARD_REGISTRY)
    assert works["denoise/step"].unit == 0 and works["denoise/step"].forms["state"] == INNER
    assert works["denoise/pred"].unit == 1


def test_a_model_that_says_nothing_shares_nothing() -> None:
    graph = shard_graph(net="denoiser.whole")
    assert Works(Flow(graph), SHARD_REGISTRY)["denoise/pc"].unit == 0
    assert sharding(graph, SHARD_REGISTRY, "net").heads == 0


def test_the_batch_is_what_all_outputs_share() -> None:
    graph = shard_graph()
    assert batch_dim(graph.node("denoise/step")) == batch_dim(graph.node("start"))
    assert batch_dim(graph.node("sheet")) is None  # one sheet of all


def test_lengths() -> None:
    assert size_of(parse_dim("2*h"), {"h": 6}, "x") == 12
    with pytest.raises(InputError, match=r"E515. the height of x is h/4, .*\n.*set it in"):
        size_of(parse_dim("h/4"), {"h": 6}, "x")
    with pytest.raises(InputError, match="E515"):
        size_of(shard_graph(GIVEN).inputs["x"].type.dims[2], {}, "x")  # type: ignore[index]
