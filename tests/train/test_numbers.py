"""Trained weights and the memory of the optimiser, without a single number allocated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmm_graph.graph.attached import type_of
from mmm_graph.graph.compile import compile_graph
from mmm_graph.runtime import build_models
from mmm_graph.runtime.construct import skeleton
from mmm_graph.train.data import Sources
from mmm_graph.train.numbers import count_trained, optimiser_bytes
from mmm_graph.train.optimiser import build_optimiser
from mmm_graph.train.stage import Stage, make_stage
from mmm_graph.train.start import free_weights
from tests.train.toys import REGISTRY, toy_spec

BLOCK = 8 * 8 + 8


def prepared(base: Path, train: str) -> Stage:
    spec = toy_spec(base, sets={"train.stages.fit.train": train})
    return make_stage(spec, REGISTRY, "fit", Sources(spec, REGISTRY))


@pytest.mark.parametrize(
    ("train", "parts"),
    [
        ("{body: full}", {"stem": 32, "block0": BLOCK, "block1": BLOCK, "last": BLOCK}),
        ("{body: {parts: ['block*']}}", {"block0": BLOCK, "block1": BLOCK}),
        (
            "{body: {lora: {rank: 2, targets: [linear]}}}",
            {"stem": 22, "block0": 32, "block1": 32, "last": 32},
        ),
    ],
    ids=["full", "parts", "lora"],
)
def test_numbers_are_those_that_training_frees(tmp_path: Path, train: str, parts: dict[str, int]) -> None:
    stage = prepared(tmp_path, train)
    node = stage.graph.models["body"]
    own = count_trained(skeleton(node, type_of(node, REGISTRY)), stage.learns["body"])
    assert own.total == 32 + 3 * BLOCK and own.parts == parts
    built = build_models(stage.graph.models, REGISTRY, base=tmp_path)
    models = free_weights(built, stage.learns)
    real = {name: w for name, w in models["body"].named_parameters() if w.requires_grad}
    assert sum(w.numel() for w in real.values()) == sum(parts.values())
    player = stage.players[0]
    optimiser = build_optimiser(player.optim, player.config, models, player.groups)
    for weight in real.values():
        weight.grad = torch.ones_like(weight)
    optimiser.step()
    state = [x for s in optimiser.state.values() for x in s.values() if isinstance(x, torch.Tensor)]
    assert optimiser_bytes(stage, {"body": own}) == {"body": sum(x.numel() * x.element_size() for x in state)}


def test_shares(tmp_path: Path) -> None:
    stage = prepared(tmp_path, "{body: {parts: [stem]}, head: full}")
    graph = compile_graph(toy_spec(tmp_path), REGISTRY, "train.fit")
    found = {n: count_trained(skeleton(graph.models[n], type_of(graph.models[n], REGISTRY)), stage.learns[n])
             for n in ("body", "head")}  # fmt: skip
    assert [found["body"].share(part) for part in ("stem", "block0")] == [1.0, 0.0]
    assert found["head"].share("") == 1.0
