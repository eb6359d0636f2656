"""A training stage with everything resolved: GraphSpec + Registry -> Stage, or every mistake at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmm_graph.errors import InputError, Place, Problem, did_you_mean, problem
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph, Ref, links
from mmm_graph.registry import Registry
from mmm_graph.spec import GraphSpec, StageSpec, substitute
from mmm_graph.spec.training import GroupSpec
from mmm_graph.spec.watching import CacheSpec, SamplesSpec, StopSpec
from mmm_graph.train.data import Source, Sources
from mmm_graph.train.frozen import find_frozen
from mmm_graph.train.learns import Learns
from mmm_graph.train.player import Player, Term, make_player, written_players, wrong_names
from mmm_graph.train.recompute import find_recomputed
from mmm_graph.train.samples import varies
from mmm_graph.train.terms import supervised_shares

PRECISIONS = ("f32", "bf16")
LATER = ("plan",)


@dataclass(frozen=True)
class Stage:
    """What one training stage does.

    Attributes:
        graph: its outputs are the loss terms.
        source: the samples.
        players: who learns what, one after the other in a step.
        recompute: parts that compute again in the backward pass what they would keep, by model.
        shares: values named `supervised`: how many of the tokens are learnt.
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
    players: tuple[Player, ...]
    recompute: Mapping[str, tuple[str, ...]]
    shares: tuple[str, ...]
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
    def learns(self) -> Mapping[str, Learns]:
        """What is trained of which model."""
        return {name: learns for player in self.players for name, learns in player.learns.items()}

    @property
    def terms(self) -> Mapping[str, Term]:
        """Of the losses of all players, by name."""
        return {name: term for player in self.players for name, term in player.terms.items()}

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
    if written.shard and (written.updates or is_conditional(graph)):
        raise InputError(_cannot_shard(written, spec.place(*where, "shard")))
    source = sources.open(graph, written.data, (*where, "data"))
    _check_batches(written, source, spec.place(*where, "group"))
    per_epoch = source.samples / (source.batch * written.accumulate)
    steps = written.steps or math.ceil((written.epochs or 0) * per_epoch)
    players = [
        make_player(spec, registry, graph, one, steps=steps, stage=name)
        for one in written_players(spec, written, where)
    ]
    return Stage(
        name=name,
        graph=graph,
        source=source,
        players=tuple(players),
        recompute=find_recomputed(graph, registry, written.recompute, spec.place(*where, "recompute"), name),
        shares=supervised_shares(graph),
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
    """The stage with `$params.x` replaced where a name may be a param; players see to their own."""

    known: Any = substitute(written.precision, spec.values, lambda *_: spec.place(*where, "precision"))
    return written.model_copy(update={"precision": known})


def _unsupported(spec: GraphSpec, written: StageSpec, where: tuple[str, ...]) -> list[Problem]:
    """What the format has and this version does not do: refused, never ignored."""
    name = where[-1]
    keys = [key for key in LATER if getattr(written, key)]
    keys += ["microbatches"] if written.microbatches != 1 else []
    found: list[tuple[str, tuple[str, ...]]] = [(f"`{key}:`", (key,)) for key in keys]
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

    for key in ("data",) if written.updates else ("data", "loss", "train", "optim"):
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
    names += [("evaluation", n, ("eval",), spec.eval) for n in (written.eval.names if written.eval else ())]
    stages = spec.train.stages if spec.train else {}
    names += [("stage", n, ("init_from",), stages) for n in (written.init_from,) if n is not None]
    for what, name, keys, known in names:
        if name not in known:
            report("E811", f"there is no {what} {name!r}", keys, did_you_mean(name, known))
    if written.updates or written.optim is not None:
        for player in written_players(spec, written, where):
            found += wrong_names(spec, registry, player, where[-1])
    return found


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
    found = find_frozen(graph, registry, written.trained)
    if not found.values:
        why = [f"{ref}: {reason}" for ref, reason in found.left_out.items()]
        why += [f"{path} is no function of the sample: {cause}" for path, cause in found.blocked.items()]
        what = "`cache:` has nothing to keep: no frozen model makes rows of one size from the data alone"
        raise InputError(problem("E817", "; ".join([what, *why]), place, "leave it out"))
    return found.values


def may_lack(graph: Graph) -> bool:
    """Whether some rank may have nothing to learn from in a batch, or some model no rows of it: there are conditions,
    columns may be absent, or media are taken out of conversations, which may have none."""
    made = {
        Ref(node.path, port) for node in graph.walk() for port, type_ in node.outputs.items() if type_.many
    }
    return is_conditional(graph) or any(ref in made for node in graph.walk() for ref in links(node))


def is_conditional(graph: Graph) -> bool:
    """Whether there are conditions, or columns may be absent."""
    optional = any(port.type.optional for port in graph.inputs.values())
    return optional or any(node.when is not None for node in graph.walk())


def _cannot_shard(written: StageSpec, place: Place | None) -> Problem:
    why = "several players" if written.updates else "nodes that some ranks may skip"
    what = f"`shard: true` gathers weights on all ranks at once, and this stage has {why}"
    return problem("E862", what, place, "leave it out: whole models may differ in what their ranks run")
