"""Equal content has equal keys, and nothing else has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Ref
from mmm_graph.runtime import build_models
from mmm_graph.train.cache_key import columns_behind, sample_digests, value_keys
from mmm_graph.train.loader import Batch
from tests.train.test_frozen import CLEAN
from tests.train.toys import REGISTRY, toy_spec

VALUE = Ref("f", "features")


def key(
    base: Path, text: str = CLEAN, precision: str = "f32", change: Callable[[torch.nn.Module], object] = id
) -> str:
    graph = compile_graph(toy_spec(base, text=text), REGISTRY, "train.fit")
    built = build_models(graph.models, REGISTRY, base=base)
    change(built["body"].object)
    (found,) = value_keys(graph, [VALUE], REGISTRY, built, precision).values()
    return found


def test_key_of_how_a_value_is_made(tmp_path: Path) -> None:
    same = key(tmp_path)
    assert key(tmp_path, CLEAN.replace("width", "wdth")) == same
    others = {
        key(tmp_path, precision="bf16"),
        key(tmp_path, CLEAN.replace("{kind: encoder.body, init", "{kind: encoder.body, dtype: bf16, init")),
        key(
            tmp_path,
            CLEAN.replace("{kind: encoder.body, init", "{kind: encoder.body, config: {blocks: 1}, init"),
        ),
        key(
            tmp_path, CLEAN.replace("{call: body, in: {x: $data.x}}", "{call: body.short, in: {x: $data.x}}")
        ),
        key(tmp_path, change=lambda body: body.parts["stem"].linear.bias.data.add_(1e-3)),
    }
    assert len(others) == 5 and same not in others


def test_key_of_a_sample_is_its_content(tmp_path: Path) -> None:
    graph = compile_graph(toy_spec(tmp_path, text=CLEAN), REGISTRY, "train.fit")
    assert columns_behind(graph, VALUE) == ("x",)
    x = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 2.0]])
    texts = ["a", "b", "a"]
    a, b, c = sample_digests(Batch({"x": x, "name": texts}, (0, 1, 2)), ["x"])
    assert a == b != c
    a, b, c = sample_digests(Batch({"x": x, "name": texts}, (5, 6, 7)), ["name", "x"])
    assert len({a, b, c}) == 3
    (alone,) = sample_digests(Batch({"x": x[2:], "name": ["a"]}, (9,)), ["name", "x"])
    assert alone == c
    assert sample_digests(Batch({"x": x.bfloat16()}, (0, 1, 2)), ["x"])[0] != a
