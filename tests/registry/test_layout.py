"""Tables of names, read from our side."""

from __future__ import annotations

import pytest
import torch

from mmm_graph.checkpoint.save import as_foreign
from mmm_graph.registry.layout import Cut, Layout, Theirs, below, turned

ROWS = {
    "block{i}.attn.q": Cut("blocks.{i}.attn.qkv", 0, 3),
    "block{i}.attn.v": Cut("blocks.{i}.attn.qkv", 2, 3),
    "block{i}.mlp": "blocks.{i}.mlp.0",
    "time": "blocks.{*}.time",
    "scale": "logit_scale",
    "out.weight": turned("projection"),
}


def test_prefixes_numbers_and_pieces() -> None:
    layout = Layout("x", ROWS, copies=lambda config: config)
    ours = [
        "block11.attn.q.weight",
        "block0.attn.v.bias",
        "block2.mlp.weight",
        "time.bias",
        "scale",
        "out.weight",
        "other.weight",
    ]
    assert layout.theirs(ours, 2) == {
        "block11.attn.q.weight": Theirs(("blocks.11.attn.qkv.weight",), (0,), 3),
        "block0.attn.v.bias": Theirs(("blocks.0.attn.qkv.bias",), (2,), 3),
        "block2.mlp.weight": Theirs(("blocks.2.mlp.0.weight",)),
        "time.bias": Theirs(("blocks.0.time.bias", "blocks.1.time.bias")),
        "scale": Theirs(("logit_scale",)),
        "out.weight": Theirs(("projection",), transposed=True),
    }


def test_rows_that_depend_on_the_config() -> None:
    layout = Layout("x", lambda config: {"in": f"blocks.{config}"})
    assert layout.theirs(["in.weight"], 7)["in.weight"].names == ("blocks.7.weight",)


@pytest.mark.parametrize(("name", "is_ignored"), [("a.3.ids", True), ("a.x.ids", False), ("a.3.idsy", False)])
def test_what_is_not_read(name: str, is_ignored: bool) -> None:
    assert Layout("x", {}, ignored=("a.{i}.ids",)).ignores(name) is is_ignored


def test_another_model_in_the_same_file_is_not_read() -> None:
    layout = Layout("x", {}, ignored=("other.*", "ids"))
    assert layout.ignores("other.a.weight") and layout.ignores("ids")
    assert not layout.ignores("another.a") and not layout.ignores("other")


def test_a_table_under_a_prefix() -> None:
    assert below("", "model", {"a": "b", "c": Cut("d", 1, 2)}) == {"a": "model.b", "c": Cut("model.d", 1, 2)}
    assert below("x", "", {"a": "b"}) == {"x.a": "b"}
    assert below("x", "y", {"a": turned("b")}) == {"x.a": turned("y.b")}


def test_a_matrix_that_is_turned_and_then_cut() -> None:
    theirs = torch.arange(24).reshape(4, 6)  # multiplied from the right: 4 in, 3 x 2 out
    places = [Theirs(("qkv",), (i,), 3, transposed=True) for i in range(3)]
    ours = [place.of(theirs) for place in places]
    assert [place.whole(tuple(x.shape)) for place, x in zip(places, ours, strict=True)] == [(4, 6)] * 3
    assert torch.equal(torch.cat([x.T for x in ours], 1), theirs) and ours[0].shape == (2, 4)
    rows = {f"{name}.weight": Cut("qkv.weight", i, 3, transposed=True) for i, name in enumerate("qkv")}
    tensors = dict(zip(rows, ours, strict=True))
    assert torch.equal(as_foreign(tensors, Layout("x", rows), None)["qkv.weight"], theirs)
