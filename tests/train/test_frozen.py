"""Which values are worth keeping, and that they are kept by sample."""

from __future__ import annotations

from pathlib import Path

import torch

from mmm_graph.graph.compile import compile_graph
from mmm_graph.runtime import Engine, build_models
from mmm_graph.train.frozen import FrozenCache, frozen_values
from mmm_graph.train.loader import Loader
from tests.train.toys import GRAPH, REGISTRY, Line, LineConfig, toy_spec

CLEAN = GRAPH.replace(
    "        f:    {call: body, in: {x: x}}", "        f:    {call: body, in: {x: $data.x}}"
)


def kept(path: Path, text: str, *trained: str) -> list[str]:
    graph = compile_graph(toy_spec(path, text=text), REGISTRY, "train.fit")
    return [str(ref) for ref in frozen_values(graph, REGISTRY, trained)]


def test_what_frozen_models_make_of_the_data_alone(tmp_path: Path) -> None:
    assert kept(tmp_path, CLEAN, "head") == ["f.features"]
    assert kept(tmp_path, CLEAN, "body", "head") == []
    assert kept(tmp_path, CLEAN, "body") == []  # the head is frozen, but it reads what is trained


def test_noise_and_what_follows_from_it_are_not_kept(tmp_path: Path) -> None:
    assert kept(tmp_path, GRAPH, "head") == []


def test_only_what_others_read_is_kept(tmp_path: Path) -> None:
    """Op cut stands between the frozen body and the head: its value is kept, the body's is not."""
    text = CLEAN.replace(
        "{features: f}}\n        mse",
        "{features: c}}\n        c:    {op: toy.cut, in: {pred: f}}\n        mse",
    )
    assert text != CLEAN
    assert kept(tmp_path, text, "head") == ["c.pred"]


def test_rows_are_those_of_the_samples_in_any_order(tmp_path: Path) -> None:
    graph = compile_graph(toy_spec(tmp_path, text=CLEAN), REGISTRY, "train.fit")
    models = build_models(graph.models, REGISTRY, base=tmp_path)
    engine = Engine(REGISTRY, models, cache_bytes=0)
    columns = {name: column.type for name, column in graph.inputs.items()}
    loader = Loader(Line(LineConfig()), columns, seed=3)
    values = frozen_values(graph, REGISTRY, ["head"])
    cache = FrozenCache(graph, values, engine, loader, torch.no_grad, chunk=3)
    body = models["body"].object
    for start in (0, 4, 8):
        batch = loader.at(start, 4)
        state = {"x": batch.values["x"]}
        for part in body.parts.values():
            state |= part(state)
        torch.testing.assert_close(cache.supply(batch)["f.features"], state["features"].detach())
