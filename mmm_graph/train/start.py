"""Where each model of a stage starts (an earlier stage's output, `init:`, `weights:`), and building them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from torch import nn

from mmm_graph.errors import InputError, Problem, problem
from mmm_graph.graph.graph import Graph, ModelNode
from mmm_graph.registry import Registry
from mmm_graph.runtime import Built, build_models
from mmm_graph.spec import GraphSpec


@dataclass(frozen=True)
class Start:
    """Where a model's weights come from; `detail` is the stage's name, how to initialise, or the source."""

    source: Literal["stage", "init", "weights", "none"]
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.source} {self.detail}".strip()


@dataclass(frozen=True)
class Beginning:
    """Where the models of a stage start from, and every model that earlier stages left in OUT."""

    starts: Mapping[str, Start]
    outputs: Mapping[str, str]


def earlier_outputs(
    spec: GraphSpec, stage: str, done: Iterable[str], init_from: str | None
) -> dict[str, str]:
    """Model -> the stage whose output it is, among stages that come before `stage` and are done.

    A later stage replaces what an earlier one made; `init_from` has the last word.
    """
    stages = list(spec.train.stages) if spec.train else []
    order = [*stages[: stages.index(stage)], *([init_from] if init_from is not None else [])]
    return {model: name for name in order if name in set(done) for model in _trained_by(spec, name)}


def _trained_by(spec: GraphSpec, stage: str) -> list[str]:
    return list(spec.train.stage(stage).train) if spec.train else []


def find_starts(
    spec: GraphSpec,
    registry: Registry,
    models: Iterable[ModelNode],
    *,
    trained: Iterable[str] = (),
    outputs: Mapping[str, str],
) -> dict[str, Start]:
    """Decide where each model starts from.

    Trained models: the earlier stage's output, else `init:`, else `weights:`. Frozen models: the earlier
    stage's output, else `weights:`; `init:` only if no stage of the file trains them.

    Raises:
        InputError: E816, a model has no weights to start from.
    """
    starts: dict[str, Start] = {}
    problems: list[Problem] = []
    trained_by = {
        model: s for s in (spec.train.stages if spec.train else ()) for model in _trained_by(spec, s)
    }
    for node in models:
        if not registry.models[node.kind].weights:
            starts[node.name] = Start("none")
        elif node.name in outputs:
            starts[node.name] = Start("stage", outputs[node.name])
        elif node.init is not None and node.name in set(trained):
            starts[node.name] = Start("init", node.init)
        elif node.weights is not None:
            starts[node.name] = Start("weights", node.weights)
        elif node.init is not None and node.name not in trained_by:
            starts[node.name] = Start("init", node.init)
        else:
            problems.append(_nothing(node, trained_by.get(node.name)))
    if problems:
        raise InputError(problems)
    return starts


def _nothing(node: ModelNode, stage: str | None) -> Problem:
    if stage is None:
        what = f"model {node.name} has neither `weights:` nor `init:`"
        return problem("E816", what, node.place, "write `init: default` to start from random weights")
    what = (
        f"model {node.name} is needed as stage {stage} trains it, and that stage has not run into this folder"
    )
    return problem(
        "E816",
        what,
        node.place,
        f"train stage {stage} first, or give the model `weights:` or the folder where it was trained",
    )


def build_started(
    spec: GraphSpec,
    registry: Registry,
    graph: Graph,
    starts: Mapping[str, Start],
    *,
    trained: Iterable[str] = (),
    out: Path,
    device: str,
    seed: int,
) -> dict[str, Built]:
    """Build the models of `starts`. Trained ones hold float32 weights, whatever `dtype:` says.

    Raises:
        RunError: E6xx, weights that are missing or do not fit.
    """
    keep = set(trained)
    nodes = {n: _full_precision(node) if n in keep else node for n, node in graph.models.items()}
    overlaid = frozenset(n for n, start in starts.items() if start.source == "stage")
    fresh = frozenset(n for n, start in starts.items() if start.source == "init")
    built: dict[str, Built] = {}
    for names, overlay in ((overlaid, out), (frozenset(starts) - overlaid, None)):
        if names:
            built |= build_models(
                nodes,
                registry,
                base=spec.base,
                device=device,
                seed=seed,
                overlay=overlay,
                needed=names,
                fresh=fresh,
            )
    return built


def _full_precision(node: ModelNode) -> ModelNode:
    return replace(node, dtype=None) if node.dtype in ("f16", "bf16") else node


def free_weights(
    built: Mapping[str, Built], trained: Mapping[str, tuple[str, ...] | None]
) -> dict[str, nn.Module]:
    """Freeze everything, then set free the trained parts; returns the trained models."""
    for one in built.values():
        if isinstance(one.object, nn.Module):
            one.object.requires_grad_(False).eval()
    models: dict[str, nn.Module] = {}
    for name, parts in trained.items():
        module = built[name].object
        assert isinstance(module, nn.Module)
        module.train()
        for part, child in (
            [("", module)] if parts is None else module.get_submodule("parts").named_children()
        ):
            if parts is None or any(fnmatchcase(part, p) for p in parts):
                child.requires_grad_(True)
        models[name] = module
    return models
