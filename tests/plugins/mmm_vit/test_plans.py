"""A graph with a vision tower: lengths are known when it is compiled, and every plan gives what one device gives."""

from __future__ import annotations

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.errors import InputError

SMALL = {"size": 20, "patch": 6, "width": 16, "depth": 3, "num_heads": 4, "hidden": 32}
PLANS = {
    "pipe3": {"ranks": 3, "pipe": {"net": 3}},
    "data2": {"ranks": 2, "axes": {"net": {"data": 2}}},
    "tensor3": {"ranks": 3, "axes": {"net": {"tensor": 3}}},  # 4 heads: 2, 1, 1
}


def described(plan=None, hidden=None, given=20, **config):
    """Both outputs of a tower, for pictures of any size."""
    chosen = {"layer": -2, "norm": False, "select": "patch"} if hidden is None else hidden
    found = {
        "mmm": 1,
        "name": "tower",
        "inputs": {"pictures": "Image*[m,3,h,w]"},
        "models": {
            "net": {"kind": "encoder.vit", "init": "default", "dtype": "f64", "config": {**SMALL, **config}}
        },
        "nodes": {
            "image": {
                "op": "image.preprocess",
                "in": {"image": "$in.pictures"},
                "config": {"shortest": given, "crop": given},
            },
            "pooled": {"call": "net.pooled", "in": {"image": "image"}},
            "features": {"call": "net.hidden", "in": {"image": "image"}, "config": chosen},
        },
        "outputs": {"pooled": "pooled", "features": "features"},
    }
    return found if plan is None else {**found, "parallel": {"plans": {"p": plan}}}


@pytest.mark.dist
@pytest.mark.parametrize("pool", ["class_normed_twice", "probe"])
def test_exact_plans(tmp_path, pool):
    form = {"pool": pool, "class_token": pool != "probe"}
    drawn = torch.Generator().manual_seed(0)
    pictures = [torch.rand(3, *size, generator=drawn) for size in ((9, 9), (40, 12), (20, 20))]
    first = mmm.load(described(**form))
    for weight in first.module("net").parameters():
        weight.data.add_(torch.randn(weight.shape, generator=drawn, dtype=weight.dtype) * 0.1)
    first.save(tmp_path)
    want = first.run(pictures=pictures)
    for name, plan in PLANS.items():
        found = mmm.load(described(plan, **form), weights=tmp_path, plan="p").run(pictures=pictures)
        for key in ("pooled", "features"):
            assert (found[key] - want[key]).abs().max() < 1e-10, (name, key)


def test_sharing_rows_is_refused_with_the_reason():
    session = mmm.load(described({"ranks": 2, "axes": {"net": {"patch": 2}}}), plan="p")
    with pytest.raises(InputError, match="tokens of the whole image") as caught:
        session.run(pictures=[torch.zeros(3, 20, 20)])
    assert caught.value.problems[0].code == "E519"


@pytest.mark.parametrize(
    ("hidden", "more", "type_"),
    [
        (None, {}, "Embeds[:m,9,16]"),
        ({"select": "full"}, {}, "Embeds[:m,10,16]"),
        ({"select": "full"}, {"class_token": False, "pool": "probe"}, "Embeds[:m,9,16]"),
        (None, {"size": 336, "patch": 14, "given": 336}, "Embeds[:m,576,16]"),
        (None, {"interpolate": True}, "Embeds[:m,features:length,16]"),
    ],
)
def test_the_number_of_tokens_is_known_to_the_compiler(hidden, more, type_):
    graph = mmm.load(described(hidden=hidden, **more)).graph
    assert str(graph.node("features").outputs["embeds"]) == type_


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ({"given": 22}, "E205", r"expects Image\[b,3,20,20\], got Image\[m,3,22,22\]"),
        ({"hidden": {"layer": 9}}, "E212", "layer 9 is not one of the 4 hidden states"),
        ({"pool": "none"}, "E212", "pool: none"),
    ],
)
def test_what_cannot_be_is_refused_when_the_graph_is_compiled(more, code, message):
    with pytest.raises(InputError, match=message) as caught:
        mmm.load(described(**more))
    assert caught.value.problems[0].code == code
