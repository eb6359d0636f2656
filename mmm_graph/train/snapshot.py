"""A stage under way <-> Checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmm_graph.nn.chosen_rows import ChosenRows
from mmm_graph.nn.lora import LowRank
from mmm_graph.nn.quantized import QuantizedLinear
from mmm_graph.train.checkpoint import Checkpoint
from mmm_graph.train.ema import Ema
from mmm_graph.train.optimiser import Weights, load_optimiser_state, optimiser_state
from mmm_graph.train.player import Term
from mmm_graph.train.stage import Stage


def stage_identity(stage: Stage, seed: int) -> dict[str, str]:
    """What may not change when a stage is resumed."""
    trained = {name: stage.graph.models[name] for name in stage.trained}
    return {
        "seed": str(seed),
        "samples": f"{stage.source.identity}, {stage.batch} x {stage.accumulate} a step"
        + (f", by {stage.group.by} in {stage.group.batches} batches" if stage.group else ""),
        "models": ", ".join(
            f"{n} {node.kind} {node.config.model_dump_json()}" for n, node in trained.items()
        ),
        "what learns": "; ".join(f"{name}: {learns}" for name, learns in stage.learns.items()),
        "optimiser": "; ".join(player.identity() for player in stage.players),
        "loss terms": ", ".join(_said(name, term) for name, term in stage.terms.items()),
        "ema": f"{stage.ema} from {stage.ema_after}",
    }


def _said(name: str, term: Term) -> str:
    return f"{name} {term.weight} from {term.after}" + (
        f" balanced at {'.'.join(term.balance)}" if term.balance else ""
    )


def trainable(models: Mapping[str, nn.Module]) -> Weights:
    """Trainable weights by model and name, shared ones once."""
    return {n: {k: w for k, w in m.named_parameters() if w.requires_grad} for n, m in models.items()}


def flat(weights: Weights) -> dict[str, nn.Parameter]:
    """The same as `model/weight`."""
    return {f"{model}/{name}": weight for model, own in weights.items() for name, weight in own.items()}


def moving_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Buffers that training may change: none that belong to weights which stay, packed ones and LoRAs."""
    still = tuple(
        f"{path}." if path else ""
        for path, owner in module.named_modules()
        if isinstance(getattr(owner, "base", owner), STILL)
    )
    return {
        name: tensor for name, tensor in module.named_buffers() if not still or not name.startswith(still)
    }


STILL = (QuantizedLinear, LowRank, ChosenRows)
"""Modules whose buffers stay as they are."""


def take_snapshot(
    stage: Stage,
    models: Mapping[str, nn.Module],
    optimisers: Sequence[torch.optim.Optimizer],
    ema: Ema | None,
    *,
    step: int,
    seed: int,
    counters: Mapping[str, Any],
) -> Checkpoint:
    """The state after `step` steps. Tensors are the live ones: save it before going on."""
    weights = trainable(models)
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for optimiser in optimisers:
        own, plain = optimiser_state(optimiser, weights)
        tensors |= own
        numbers |= plain
    named: dict[str, Tensor] = {f"model/{name}": w.detach() for name, w in flat(weights).items()}
    for model, module in models.items():
        named |= {f"buffer/{model}/{name}": tensor for name, tensor in moving_buffers(module).items()}
    named |= {f"optim/{name}": tensor for name, tensor in tensors.items()}
    if ema is not None:
        named |= {f"ema/{name}": tensor for name, tensor in ema.averages.items()}
    counters = {**counters, "optim": numbers}
    return Checkpoint(stage.name, step, seed, stage_identity(stage, seed), counters, named)


@torch.no_grad()
def put_back(
    checkpoint: Checkpoint,
    models: Mapping[str, nn.Module],
    optimisers: Sequence[torch.optim.Optimizer],
    ema: Ema | None,
) -> None:
    """Load a checkpoint whose identity was checked into fresh objects.

    Raises:
        KeyError: a tensor is missing.
    """
    weights = trainable(models)
    saved = checkpoint.part("model")
    for name, weight in flat(weights).items():
        weight.copy_(saved[name])
    buffers = checkpoint.part("buffer")
    for model, module in models.items():
        for name, tensor in moving_buffers(module).items():
            tensor.copy_(buffers[f"{model}/{name}"])
    if ema is not None:
        ema.load(checkpoint.part("ema"))
    state = {**checkpoint.part("optim"), **checkpoint.counters["optim"]}
    for optimiser in optimisers:
        load_optimiser_state(optimiser, weights, state)
