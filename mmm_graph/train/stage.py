"""A training stage with everything resolved: GraphSpec + Registry -> Stage, or every mistake at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmm_graph.config import Config
from mmm_graph.errors import InputError, Place, Problem, did_you_mean, problem
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph, Ref
from mmm_graph.registry import OptimType, Registry
from mmm_graph.spec import GraphSpec, StageSpec, substitute
from mmm_graph.spec.training import GroupSpec
from mmm_graph.spec.watching import CacheSpec, SamplesSpec, StopSpec
from mmm_graph.train.configs import read_config
from mmm_graph.train.data import Source, Sources
from mmm_graph.train.frozen import find_frozen
from mmm_graph.train.learns import Learns, find_learns
from mmm_graph.train.recompute import find_recomputed
from mmm_graph.train.samples import varies
from mmm_graph.train.schedule import SCHEDULES, warmup_steps
from mmm_graph.train.terms import check_terms, supervised_shares

PRECISIONS = ("f32", "bf16")
LATER = ("updates", "plan")


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
        learns: what is trained of which model.
        recompute: parts that compute again in the backward pass what they would keep, by model.
        shares: values named `supervised`: how many of the tokens are learnt.
        terms: of the loss, by name.
        optim, optim_config, groups: the optimiser, and what differs for single models.
        schedule, warmup: of the learning rate; warm-up in steps.
        clip: largest norm of the gradient.
        steps: optimiser steps, each over `accumulate` batches.
        ema, ema_after: decay of the averaged weights, and the step from which they are averaged.
        evals, eval_every: evaluations, and how many steps lie between them (None: only at the end).
        save_every: steps between checkpoints (None: only at the end and when interrupted).
        group, workers, bad_limit: of the data (Source.stream).
        cached, cache: values of frozen models that are computed once per sample, and where they are kept.
        samples: what is made of the top level while training, and how often.
        stop_if: when a loss has exploded.
    """

    name: str
    graph: Graph
    source: Source
    learns: Mapping[str, Learns]
    recompute: Mapping[str, tuple[str, ...]]
    shares: tuple[str, ...]
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
    group: GroupSpec | None
    workers: int
    bad_limit: float
    cached: tuple[Ref, ...]
    cache: CacheSpec | None
    samples: SamplesSpec | None
    stop_if: StopSpec | None
    init_from: str | None
    place: Place | None
    shard: bool = False

    @property
    def trained(self) -> Mapping[str, tuple[str, ...] | None]:
        """Model -> names of the parts that are trained as a whole, None = all of them."""
        return {name: learns.parts for name, learns in self.learns.items()}

    @property
    def whole(self) -> tuple[str, ...]:
        """Models whose own weights are trained."""
        return tuple(name for name, learns in self.learns.items() if learns.is_whole)

    @property
    def beside(self) -> tuple[str, ...]:
        """Models of which only a LoRA or rows are trained."""
        return tuple(name for name, learns in self.learns.items() if not learns.is_whole)

    @property
    def batch(self) -> int:
        """Samples of a micro-batch."""
        return self.source.batch


def make_stage(spec: GraphSpec, registry: Registry, name: str, sources: Sources) -> Stage:
    """Resolve and check a stage; the dataset is opened, no model is built.

    Raises:
        InputError: E203 no such stage; E810 to E817, E862 what cannot be trained, and why; what compiling finds.
        RunError: E822, the dataset cannot be opened.
    """
    graph = compile_graph(spec, registry, f"train.{name}")
    assert spec.train is not None
    where = ("train", "stages", name)
    written = _with_params(spec, spec.train.stage(name), where)
    found = [*_unsupported(spec, written, where), *_wrong_names(spec, registry, written, where)]
    if found:
        raise InputError(found)
    learns = find_learns(spec, registry, graph, written.train, (*where, "train"), name)
    places = {term: spec.place(*where, "loss", term) for term in written.loss}
    check_terms(graph, written.loss, frozenset(learns), name, places)
    if written.shard and may_lack(graph):
        raise InputError(_cannot_shard(spec.place(*where, "shard")))
    assert written.optim is not None
    kind = registry.optims[written.optim.op]
    config = read_config(spec, registry, kind.config, written.optim.config, (*where, "optim", "config"))
    source = sources.open(graph, written.data, (*where, "data"))
    _check_batches(written, source, spec.place(*where, "group"))
    per_epoch = source.samples / (source.batch * written.accumulate)
    steps = written.steps or math.ceil((written.epochs or 0) * per_epoch)
    return Stage(
        name=name,
        graph=graph,
        source=source,
        learns=learns,
        recompute=find_recomputed(graph, registry, written.recompute, spec.place(*where, "recompute"), name),
        shares=supervised_shares(graph),
        terms={k: Term(t.weight, t.after) for k, t in written.loss.items()},
        optim=kind,
        optim_config=config,
        groups=_groups(spec, registry, written, kind, config, where, learns),
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
        group=written.group,
        workers=written.workers,
        bad_limit=written.bad_limit,
        cached=_cached(registry, graph, written, source, spec.place(*where, "cache")),
        cache=written.cache,
        samples=written.samples,
        stop_if=written.stop_if,
        init_from=written.init_from,
        place=spec.place(*where),
        shard=written.shard,
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
        problem(
            "E814",
            f"stage {name}: {what} comes in a later version",
            spec.place(*where, *keys),
            "leave it out",
        )
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
        names += [
            ("trained model", n, ("optim", "groups", n), written.train)
            for n in written.optim.groups
            if not any(n.startswith(f"{model}.") for model in written.train)
        ]
    for what, name, keys, known in names:
        if name not in known:
            report("E811", f"there is no {what} {name!r}", keys, did_you_mean(name, known))
    return found


def _groups(
    spec: GraphSpec,
    registry: Registry,
    written: StageSpec,
    kind: OptimType,
    config: Config,
    where: tuple[str, ...],
    learns: Mapping[str, Learns],
) -> dict[str, dict[str, object]]:
    """What the optimiser does differently for models or some weights of them, checked with its own config class."""
    assert written.optim is not None
    base = {key: getattr(config, key) for key in config.model_fields_set}
    groups: dict[str, dict[str, object]] = {}
    for model, own in written.optim.groups.items():
        _check_group(model, learns, spec.place(*where, "optim", "groups", model), where[-1])
        checked = read_config(spec, registry, kind.config, {**base, **own}, (*where, "optim", "groups"))
        groups[model] = {key: getattr(checked, key) for key in own}
    return groups


def _check_group(key: str, learns: Mapping[str, Learns], place: Place | None, stage: str) -> None:
    """`model.what` must be something of the model that is trained; models were looked at before."""
    known = [f"{model}.{what}" for model, own in learns.items() for what in own.whats]
    if key not in learns and key not in known:
        what = f"stage {stage}: nothing that is trained is {key!r}"
        raise InputError(problem("E811", what, place, did_you_mean(key, [*learns, *known])))


def _check_batches(written: StageSpec, source: Source, place: Place | None) -> None:
    """What batches are grouped by must be a column; sources side by side have no order in common."""
    if written.group is None:
        return
    if source.beside:
        what = (
            "`group:` sorts the samples of one stream, and here the nodes read several sources side by side"
        )
        raise InputError(
            problem("E827", what, place, "read a mixture: `$data.x` instead of `$data.source.x`")
        )
    if written.group.by not in source.columns:
        what = f"there is no column {written.group.by!r} to group samples by"
        raise InputError(problem("E827", what, place, did_you_mean(written.group.by, source.columns)))


def _cached(
    registry: Registry, graph: Graph, written: StageSpec, source: Source, place: Place | None
) -> tuple[Ref, ...]:
    """What `cache:` keeps."""
    if written.cache is None:
        return ()
    if varies(source.dataset):
        what = f"`cache:` has nothing to keep: samples of {source.kind} are drawn anew in each epoch"
        raise InputError(
            problem("E817", what, place, "leave it out, or take the random steps out of `each:`")
        )
    found = find_frozen(graph, registry, written.train)
    if not found.values:
        why = [f"{ref}: {reason}" for ref, reason in found.left_out.items()]
        why += [f"{path} is no function of the sample: {cause}" for path, cause in found.blocked.items()]
        what = "`cache:` has nothing to keep: no frozen model makes rows of one size from the data alone"
        raise InputError(problem("E817", "; ".join([what, *why]), place, "leave it out"))
    return found.values


def may_lack(graph: Graph) -> bool:
    """Whether some rank may have nothing to learn from in a batch: there are conditions, or columns may be absent."""
    optional = any(port.type.optional for port in graph.inputs.values())
    return optional or any(node.when is not None for node in graph.walk())


def _cannot_shard(place: Place | None) -> Problem:
    what = "`shard: true` gathers weights on all ranks at once, and this stage has nodes that some ranks may skip"
    return problem("E862", what, place, "leave it out: whole models may differ in what their ranks run")
