"""Where each model of a stage starts (an earlier stage's output, `init:`, `weights:`), and building them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import nn

from mmm_graph.errors import InputError, Problem, problem
from mmm_graph.graph.graph import Graph, Lora, ModelNode
from mmm_graph.registry import Registry
from mmm_graph.runtime import Built, build_models
from mmm_graph.spec import GraphSpec
from mmm_graph.train.grow import grow, part_modules
from mmm_graph.train.learns import Learns
from mmm_graph.train.lora_file import check_own, continue_lora, is_attached, is_inside, lora_path


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
    return list(spec.train.stage(stage).trained) if spec.train else []


def find_starts(
    spec: GraphSpec,
    registry: Registry,
    models: Iterable[ModelNode],
    *,
    trained: Iterable[str] = (),
    beside: Iterable[str] = (),
    outputs: Mapping[str, str],
) -> dict[str, Start]:
    """Decide where each model starts from.

    Trained models: the earlier stage's output, else `init:`, else `weights:`. Frozen models: the earlier
    stage's output, else `weights:`; `init:` only if no stage of the file trains them, or what is trained here
    stands beside their weights.

    Args:
        trained: models whose own weights are trained.
        beside: models with weights that stay, and a LoRA or rows that are trained.

    Raises:
        InputError: E816, a model has no weights to start from.
    """
    starts: dict[str, Start] = {}
    problems: list[Problem] = []
    beside = set(beside)
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
        elif node.init is not None and (node.name in beside or node.name not in trained_by):
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
    learns: Mapping[str, Learns] | None = None,
    out: Path,
    device: str,
    seed: int,
) -> dict[str, Built]:
    """Build the models of `starts`. Those whose own weights are trained hold float32, whatever `dtype:` says.

    A LoRA that an earlier stage left in OUT runs beside frozen weights; into weights that are trained it is merged.

    Raises:
        RunError: E6xx, weights that are missing or do not fit; E854, a LoRA in OUT that would be overwritten.
    """
    learns = learns or {}
    overlaid = frozenset(n for n, start in starts.items() if start.source == "stage")
    fresh = frozenset(n for n, start in starts.items() if start.source == "init")
    nodes = {
        name: _prepared(node, learns.get(name), spec.base, out, name in overlaid)
        for name, node in graph.models.items()
    }
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


def _prepared(node: ModelNode, learns: Learns | None, base: Path, out: Path, is_overlaid: bool) -> ModelNode:
    """The node with the dtype that training needs, and with the LoRA that an earlier stage made."""
    file = lora_path(out, node.name)
    if learns is not None and learns.lora is not None:
        check_own(node, base, file)
        return _full_precision(node) if learns.is_whole else node
    is_told = is_attached(node, base, file) or not is_overlaid or not file.is_file()
    if not is_told and not is_inside(file, out / f"{node.name}.safetensors"):
        lora = Lora(f"file:{file.resolve()}", merge=learns is not None)
        node = replace(node, attach=(*node.attach, lora))
    return _full_precision(node) if learns is not None and learns.is_whole else node


def _full_precision(node: ModelNode) -> ModelNode:
    return replace(node, dtype=None) if node.dtype in ("f16", "bf16") else node


def earlier_loras(starts: Mapping[str, Start], out: Path) -> dict[str, Path]:
    """LoRAs in OUT that the earlier stage has made which a model starts from."""
    files = {name: lora_path(out, name) for name, start in starts.items() if start.source == "stage"}
    return {name: file for name, file in files.items() if file.is_file()}


def free_weights(
    built: Mapping[str, Built],
    learns: Mapping[str, Learns],
    *,
    seed: int = 0,
    continued: Mapping[str, Path] | None = None,
) -> dict[str, nn.Module]:
    """Freeze everything, then set free what learns, and add what learns beside it; returns these models.

    Args:
        seed: of the run, for factors of LoRAs.
        continued: files of LoRAs that are gone on with, by model.

    Raises:
        RunError: E854, a LoRA to go on with is of other layers, or of another rank.
    """
    for one in built.values():
        if isinstance(one.object, nn.Module):
            one.object.requires_grad_(False).eval()
    models: dict[str, nn.Module] = {}
    for name, what in learns.items():
        module = built[name].object
        assert isinstance(module, nn.Module)
        named = [("", module)] if what.parts is None else part_modules(module)
        for part, child in named:
            if what.parts is None or part in what.parts:
                child.requires_grad_(True)
        grow(module, what, model=name, seed=seed)
        if what.lora is not None and name in (continued or {}):
            assert continued is not None
            continue_lora(built[name], what.lora, continued[name])
        models[name] = module.train()
    return models
