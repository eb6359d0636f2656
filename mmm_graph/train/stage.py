"""A training stage with everything resolved: GraphSpec + Registry -> Stage, or every mistake at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from mmm_graph.config import Config
from mmm_graph.errors import InputError, Place, Problem, did_you_mean, problem
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph, Op, Ref
from mmm_graph.registry import OptimType, Registry
from mmm_graph.spec import GraphSpec, StageSpec, substitute
from mmm_graph.train.configs import read_config
from mmm_graph.train.data import Source, Sources
from mmm_graph.train.frozen import frozen_values
from mmm_graph.train.reach import WHOLE, needed_nodes, part_names, reached_parts
from mmm_graph.train.schedule import SCHEDULES, warmup_steps

PRECISIONS = ("f32", "bf16")
LATER = ("updates", "shard", "plan")


@dataclass(frozen=True)
class Term:
    """A term of the loss: its weight, and the step from which it counts."""

    weight: float = 1.0
    after: int = 0


@dataclass(frozen=True)
class Stage:
    """What one training stage does.

    Attributes:
        graph: its outputs are the loss terms.
        source: the samples.
        trained: model -> names of the parts that are trained, None = the whole model.
        terms: of the loss, by name.
        optim, optim_config, groups: the optimiser, and what differs for single models.
        schedule, warmup: of the learning rate; warm-up in steps.
        clip: largest norm of the gradient.
        steps: optimiser steps, each over `accumulate` batches.
        ema, ema_after: decay of the averaged weights, and the step from which they are averaged.
        evals, eval_every: evaluations, and how many steps lie between them (None: only at the end).
        save_every: steps between checkpoints (None: only at the end and when interrupted).
        cached: values of frozen models that are computed once per sample.
    """

    name: str
    graph: Graph
    source: Source
    trained: Mapping[str, tuple[str, ...] | None]
    terms: Mapping[str, Term]
    optim: OptimType
    optim_config: Config
    groups: Mapping[str, Mapping[str, object]]
    schedule: str
    warmup: int
    clip: float | None
    steps: int
    accumulate: int
    precision: str
    ema: float | None
    ema_after: int
    evals: tuple[str, ...]
    eval_every: int | None
    save_every: int | None
    cached: tuple[Ref, ...]
    init_from: str | None
    place: Place | None

    @property
    def batch(self) -> int:
        """Samples of a micro-batch."""
        return self.source.batch


def make_stage(spec: GraphSpec, registry: Registry, name: str, sources: Sources) -> Stage:
    """Resolve and check a stage; the dataset is opened, no model is built.

    Raises:
        InputError: E203 no such stage; E810 to E817 what cannot be trained, and why; what compiling finds.
        RunError: E822, the dataset cannot be opened.
    """
    graph = compile_graph(spec, registry, f"train.{name}")
    assert spec.train is not None
    where = ("train", "stages", name)
    written = _with_params(spec, spec.train.stage(name), where)
    found = [*_unsupported(spec, written, where), *_wrong_names(spec, registry, written, where)]
    if found:
        raise InputError(found)
    trained = _trained(spec, registry, graph, written, where)
    _check_accumulation(registry, graph, written, spec.place(*where, "accumulate"))
    assert written.optim is not None
    kind = registry.optims[written.optim.op]
    config = read_config(spec, registry, kind.config, written.optim.config, (*where, "optim", "config"))
    source = sources.open(graph, written.data, (*where, "data"))
    per_epoch = len(source.dataset) / (source.batch * written.accumulate)
    steps = written.steps or math.ceil((written.epochs or 0) * per_epoch)
    return Stage(
        name=name,
        graph=graph,
        source=source,
        trained=trained,
        terms={k: Term(t.weight, t.after) for k, t in written.loss.items()},
        optim=kind,
        optim_config=config,
        groups=_groups(spec, registry, written, kind, config, where),
        schedule=written.optim.schedule,
        warmup=warmup_steps(written.optim.warmup, steps),
        clip=written.optim.clip,
        steps=steps,
        accumulate=written.accumulate,
        precision=written.precision or "f32",
        ema=written.ema.decay if written.ema else None,
        ema_after=written.ema.after if written.ema else 0,
        evals=written.eval.names if written.eval else (),
        eval_every=written.eval.every if written.eval else None,
        save_every=written.save_every,
        cached=_cached(registry, graph, written, spec.place(*where, "cache")),
        init_from=written.init_from,
        place=spec.place(*where),
    )


def _with_params(spec: GraphSpec, written: StageSpec, where: tuple[str, ...]) -> StageSpec:
    """The stage with `$params.x` replaced where a name may be a param (configs are read by themselves)."""

    def known(value: str | None, *keys: str) -> Any:
        return substitute(value, spec.values, lambda *_: spec.place(*where, *keys))

    changed: dict[str, Any] = {"precision": known(written.precision, "precision")}
    if written.optim is not None:
        names = {key: known(getattr(written.optim, key), "optim", key) for key in ("op", "schedule")}
        changed["optim"] = written.optim.model_copy(update=names)
    return written.model_copy(update=changed)


def _unsupported(spec: GraphSpec, written: StageSpec, where: tuple[str, ...]) -> list[Problem]:
    """What the format has and this version does not do: refused, never ignored."""
    name = where[-1]
    keys = [key for key in LATER if getattr(written, key)]
    keys += ["microbatches"] if written.microbatches != 1 else []
    found: list[tuple[str, tuple[str, ...]]] = [(f"`{key}:`", (key,)) for key in keys]
    found += [(f"`balance:` of {k}", ("loss", k, "balance")) for k, t in written.loss.items() if t.balance]
    for model, entries in written.train.items():
        kinds = {"lora": any(e.lora for e in entries), "rows": any(e.rows is not None for e in entries)}
        found += [(f"training {model} by `{kind}`", ("train", model)) for kind, used in kinds.items() if used]
        if model in spec.models and any(item.lora for item in spec.models[model].attach):
            found.append((f"training {model}, which has `attach: {{lora: ...}}`,", ("train", model)))
        if model in spec.models and spec.models[model].quantize:
            found.append((f"training {model}, whose weights are quantized,", ("train", model)))
    hint = "leave it out, or train the model with `full` or `{parts: ...}`"
    offloaded = [model for model, said in spec.models.items() if said.offload]
    return [
        problem(
            "E814",
            f"stage {name}: {model} is offloaded, which is for runs only",
            spec.place("models", model, "offload"),
            f"leave it out, or train with --set models.{model}.offload=false",
        )
        for model in offloaded
    ] + [
        problem("E814", f"stage {name}: {what} comes in a later version", spec.place(*where, *keys), hint)
        for what, keys in found
    ]


def _wrong_names(
    spec: GraphSpec, registry: Registry, written: StageSpec, where: tuple[str, ...]
) -> list[Problem]:
    """Names that mean nothing, and keys that are missing."""
    found: list[Problem] = []

    def report(code: str, message: str, keys: tuple[str, ...], hint: str = "") -> None:
        found.append(problem(code, f"stage {where[-1]}: {message}", spec.place(*where, *keys), hint))

    for key in ("data", "loss", "train", "optim"):
        if not getattr(written, key):
            report("E810", f"`{key}:` is missing", ())
    if written.steps is None and written.epochs is None:
        report("E810", "it does not say how long to train", (), "write `steps:` or `epochs:`")
    if written.precision not in (None, *PRECISIONS):
        report(
            "E810",
            f"it cannot train in {written.precision}",
            ("precision",),
            "write " + " or ".join(PRECISIONS),
        )
    names: list[tuple[str, str, tuple[str, ...], Mapping[str, object]]] = []
    names += [("model", n, ("train", n), spec.models) for n in written.train]
    names += [("evaluation", n, ("eval",), spec.eval) for n in (written.eval.names if written.eval else ())]
    stages = spec.train.stages if spec.train else {}
    names += [("stage", n, ("init_from",), stages) for n in (written.init_from,) if n is not None]
    if written.optim is not None:
        names += [("optimiser", written.optim.op, ("optim", "op"), registry.optims)]
        names += [("schedule", written.optim.schedule, ("optim", "schedule"), SCHEDULES)]
        names += [("trained model", n, ("optim", "groups", n), written.train) for n in written.optim.groups]
    for what, name, keys, known in names:
        if name not in known:
            report("E811", f"there is no {what} {name!r}", keys, did_you_mean(name, known))
    return found


def _trained(
    spec: GraphSpec, registry: Registry, graph: Graph, written: StageSpec, where: tuple[str, ...]
) -> dict[str, tuple[str, ...] | None]:
    """The trained parts of each model; every one must lie on the way to a loss."""
    found: list[Problem] = []
    trained: dict[str, tuple[str, ...] | None] = {}
    reached = reached_parts(graph, registry)
    for model, entries in written.train.items():
        place = spec.place(*where, "train", model)
        if not registry.models[graph.models[model].kind].weights:
            found.append(
                problem("E813", f"{model} ({graph.models[model].kind}) has no weights to train", place)
            )
            continue
        parts = part_names(graph, registry, model)
        patterns = ["*"] if any(e.full for e in entries) else [p for e in entries for p in e.parts or ()]
        idle = [p for p in patterns if not any(fnmatchcase(part, p) for part in parts)]
        found += [problem("E811", f"{model} has no part {p!r}", place, did_you_mean(p, parts)) for p in idle]
        chosen = tuple(part for part in parts if any(fnmatchcase(part, p) for p in patterns))
        lost = [part for part in chosen if part not in reached.get(model, ())]
        if lost:
            which = model if len(lost) == len(parts) else f"{model} parts {', '.join(lost)}"
            hint = "link it to a loss, or leave it out of `train:`"
            found.append(problem("E812", f"stage {where[-1]}: no loss reaches {which}", place, hint))
        trained[model] = None if patterns == ["*"] or parts == (WHOLE,) else chosen
    if found:
        raise InputError(found)
    return trained


def _groups(
    spec: GraphSpec,
    registry: Registry,
    written: StageSpec,
    kind: OptimType,
    config: Config,
    where: tuple[str, ...],
) -> dict[str, dict[str, object]]:
    """What the optimiser does differently for single models, checked with its own config class."""
    assert written.optim is not None
    base = {key: getattr(config, key) for key in config.model_fields_set}
    groups: dict[str, dict[str, object]] = {}
    for model, own in written.optim.groups.items():
        checked = read_config(spec, registry, kind.config, {**base, **own}, (*where, "optim", "groups"))
        groups[model] = {key: getattr(checked, key) for key in own}
    return groups


def _cached(registry: Registry, graph: Graph, written: StageSpec, place: Place | None) -> tuple[Ref, ...]:
    """What `cache: true` keeps."""
    values = frozen_values(graph, registry, written.train) if written.cache else ()
    if written.cache and not values:
        what = "`cache: true`, but no frozen model makes anything from the data alone with rows of one size"
        raise InputError(problem("E817", what, place, "leave it out"))
    return values


def _check_accumulation(registry: Registry, graph: Graph, written: StageSpec, place: Place | None) -> None:
    """A loss over pairs of samples is not the mean of its micro-batches."""
    if written.accumulate == 1:
        return
    for node in needed_nodes(graph):
        if isinstance(node, Op) and registry.ops[node.kind].accumulation != "mean":
            what = f"{node.path} ({node.kind}) compares the samples of a batch; accumulating would"
            hint = (
                "set `accumulate: 1` and a larger batch; feature-cached accumulation comes in a later version"
            )
            raise InputError(problem("E815", f"{what} change the loss", place, hint))
