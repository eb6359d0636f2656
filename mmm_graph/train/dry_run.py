"""What training would cost: parameters, work, memory and steps of each stage and each of its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmm_graph.graph.attached import type_of
from mmm_graph.graph.graph import ModelNode
from mmm_graph.plan.cost import DTYPE_BYTES, weight_bytes
from mmm_graph.registry import Registry
from mmm_graph.runtime.build import build_models
from mmm_graph.runtime.construct import skeleton
from mmm_graph.spec import GraphSpec
from mmm_graph.train.backward import Walker, Work
from mmm_graph.train.numbers import Trained, count_trained, optimiser_bytes
from mmm_graph.train.options import TrainOptions
from mmm_graph.train.reach import needed_models
from mmm_graph.train.sample_outputs import SampleTools
from mmm_graph.train.stage import Stage
from mmm_graph.train.start import Beginning
from mmm_graph.train.trainer import Ready, prepare

FULL_BYTES = DTYPE_BYTES["f32"]


@dataclass(frozen=True)
class ModelCost:
    """A model of a stage. Bytes and numbers are what is declared; None = nobody says.

    Attributes:
        trained, frozen: weights, as numbers.
        forward, backward: multiply-adds x 2 for one sample, at the sizes that its parts are counted for.
        once: of `forward`, what the cache supplies from the second time on.
        factor: backward work / forward work: 0 without anything trained at or before it, 1 if it is frozen and only
            hands gradients on, 2 if all of it is trained.
        weights, gradients, optimiser, average: bytes; `average` is that of `ema`.
        activations: bytes that its parts declare and the backward pass needs, for a micro-batch: at least so many.
        unknown: calls whose work nobody declares.
    """

    name: str
    kind: str
    trained: int
    frozen: int
    forward: float | None
    backward: float | None
    once: float
    factor: float | None
    weights: int
    gradients: int
    optimiser: int | None
    average: int
    activations: int | None
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class StageCost:
    """A stage.

    Attributes:
        dataset: number of samples there are.
        samples, epochs: that are seen in all.
        done: steps of an earlier run that are not done again.
        cached: values that are computed once for each sample.
    """

    name: str
    steps: int
    done: int
    batch: int
    accumulate: int
    dataset: int
    samples: int
    epochs: float
    precision: str
    cached: tuple[str, ...]
    models: tuple[ModelCost, ...]

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def dry_run(
    spec: GraphSpec,
    registry: Registry,
    out: Path,
    *,
    stages: Sequence[str] | None = None,
    options: TrainOptions | None = None,
    sample_tools: SampleTools | None = None,
) -> list[StageCost]:
    """The costs of stages, in order; what training would refuse before its first step is refused.

    Models are built without their numbers: weights of files are found, and not read.

    Raises:
        InputError, RunError: as `train`.
    """
    chosen = options or TrainOptions()
    ready = prepare(spec, registry, out, stages=stages, options=chosen, sample_tools=sample_tools)
    for stage in ready.todo:
        _find_weights(spec, registry, stage, ready.begin[stage.name])
    return [_stage_cost(stage, registry, ready) for stage in ready.stages]


def _find_weights(spec: GraphSpec, registry: Registry, stage: Stage, begin: Beginning) -> None:
    """Files of weights are there; those that an earlier stage will write are not looked for."""
    sources = {name: start.source for name, start in begin.starts.items()}
    needed = frozenset(name for name, source in sources.items() if source != "stage")
    fresh = frozenset(name for name, source in sources.items() if source == "init")
    build_models(stage.graph.models, registry, base=spec.base, needed=needed, fresh=fresh)


def _stage_cost(stage: Stage, registry: Registry, ready: Ready) -> StageCost:
    graph = stage.graph
    named = sorted(name for name in needed_models(graph) if registry.models[graph.models[name].kind].weights)
    trained = {}
    for name in named:
        module = skeleton(graph.models[name], type_of(graph.models[name], registry))
        trained[name] = count_trained(module, stage.learns.get(name))
    work = Walker(
        graph,
        registry,
        lambda model, part: trained[model].share(part) if model in trained else 0.0,
        again=lambda model, part: part in stage.recompute.get(model, ()),
        cached=stage.cached,
    ).found
    state = optimiser_bytes(stage, {n: trained[n] for n in named if n in stage.learns})
    point = ready.found[stage.name]
    samples, dataset = stage.steps * stage.batch * stage.accumulate, stage.source.samples
    return StageCost(
        name=stage.name,
        steps=stage.steps,
        done=point.step if point is not None else 0,
        batch=stage.batch,
        accumulate=stage.accumulate,
        dataset=dataset,
        samples=samples,
        epochs=round(samples / max(1, dataset), 4),
        precision=stage.precision,
        cached=tuple(map(str, stage.cached)),
        models=tuple(
            _model_cost(stage, registry, graph.models[n], trained[n], work.get(n, Work()), state)
            for n in named
        ),
    )


def _model_cost(
    stage: Stage,
    registry: Registry,
    node: ModelNode,
    trained: Trained,
    work: Work,
    state: Mapping[str, int | None],
) -> ModelCost:
    learnt = sum(trained.parts.values())
    learns = stage.learns.get(node.name)
    item = FULL_BYTES if learns is not None and learns.is_whole else DTYPE_BYTES[node.dtype or "f32"]
    kept = weight_bytes(node, type_of(node, registry)) if node.quantize else trained.total * item
    beside = sum(w.numel() for own in trained.roles.values() for w in own) - sum(
        n for part, n in trained.sizes.items() if trained.share(part) >= 1
    )
    told = work.forward > 0
    return ModelCost(
        name=node.name,
        kind=node.kind,
        trained=learnt,
        frozen=trained.total - learnt + max(0, beside),
        forward=work.forward if told else None,
        backward=work.backward if told else None,
        once=work.once,
        factor=round(work.backward / work.forward, 3) if told else None,
        weights=kept + max(0, beside) * FULL_BYTES,
        gradients=learnt * FULL_BYTES,
        optimiser=state.get(node.name, 0),
        average=learnt * FULL_BYTES if stage.ema is not None else 0,
        activations=_activations(stage, work),
        unknown=tuple(work.unknown),
    )


def _activations(stage: Stage, work: Work) -> int | None:
    if work.learns and not work.kept:
        return None
    return work.kept * stage.batch * DTYPE_BYTES[stage.precision]
