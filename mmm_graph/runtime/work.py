"""One run: jobs -> the Program of every rank -> values by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmm_graph.errors import InputError, MmmError, RunError, problem
from mmm_graph.parallel.exchange import Exchange
from mmm_graph.plan.lower import project
from mmm_graph.plan.offload import uses_of, with_leaves
from mmm_graph.plan.ops import At, Fn, Instruction, Move, Program, Value
from mmm_graph.plan.schedule import Step, order
from mmm_graph.registry.registry import Registry
from mmm_graph.runtime.bind import Binder, Context
from mmm_graph.runtime.bound import Bound
from mmm_graph.runtime.build import Built
from mmm_graph.runtime.cache import Cache
from mmm_graph.runtime.events import Event, OnEvent
from mmm_graph.runtime.executor import Executor
from mmm_graph.runtime.job import OWNERS, Job, grad_paths, noise_keys
from mmm_graph.runtime.shards import Shards
from mmm_graph.runtime.together import Gather
from mmm_graph.runtime.values import Absent
from mmm_graph.runtime.watch import Watch
from mmm_graph.runtime.world import LocalWorld, ThreadWorld, World

Make = Callable[[Fn], Bound]
KEPT_INSTRUCTIONS = 1024
"""A Program of up to so many instructions is kept for the next run; one takes about a kilobyte."""


class Tools(NamedTuple):
    """What the engine has."""

    registry: Registry
    models: Mapping[str, Built]
    device: torch.device
    cache: Cache
    check_shapes: bool
    shards: Shards
    world: World | None
    gather: Gather | None = None


class Watching(NamedTuple):
    """Who looks on: see Engine.run. `failed` takes the failures of requests; None = the first one is raised."""

    emit: OnEvent | None
    cancel: Callable[[], bool] | None
    failed: dict[str, MmmError] | None


class Work:
    """One run of some jobs."""

    def __init__(self, tools: Tools, jobs: Sequence[Job], train: frozenset[str], watching: Watching) -> None:
        self.tools, self.jobs, self.train, self.watching = tools, jobs, train, watching
        self.found: dict[str, dict[str, Any]] = {job.request.id: {} for job in jobs}
        self.built: set[Built] = set()

    def run(self) -> dict[str, dict[str, Any]]:
        """Values by name for each request; on several processes rank 0 has them.

        Raises:
            InputError: E522, the plan has more ranks than there are processes.
        """
        ranks = max((job.prepared.blocks.plan.ranks for job in self.jobs), default=1)
        world = self.tools.world
        if world is not None and ranks > world.size:
            message = f"the plan has {ranks} ranks, there are {world.size} processes"
            raise InputError(problem("E522", message, hint=f"start {ranks} processes"))
        is_good = False
        try:
            if world is None and ranks > 1:
                ThreadWorld(ranks, device=self.tools.device).run(self._rank)
            else:
                self._rank(world or LocalWorld(self.tools.device))
            is_good = not self.watching.failed
        finally:
            for model in self.built:
                model.prefixes.settle(is_good=is_good)
        return self.found

    def _binder(self, job: Job, world: World) -> Binder:
        """Callables of the job's graph on a rank, kept between runs."""
        prepared, tools = job.prepared, self.tools
        plan = prepared.blocks.plan
        plain = plan.is_whole and not plan.offload
        models = tools.models if plain else tools.shards.models(tools.models, plan, world)
        sources = frozenset(n for n, v in job.given.items() if isinstance(v, Tensor) and v.requires_grad)
        key = (world.rank, self.train, sources if self.train else frozenset())
        binder = prepared.binders.get(key)
        if binder is None or not binder.is_current(models):
            grad = grad_paths(prepared.blocks.flow, self.train, sources) if self.train else None
            context = Context(tools.registry, models, tools.device, grad, tools.check_shapes, tools.gather)
            binder = prepared.binders[key] = Binder(prepared.blocks.flow, context)
        binder.context.seeds[job.request.id] = noise_keys(job.request)
        return binder

    def _rank(self, world: World) -> None:
        """What one rank does: every rank finds the global order for itself and keeps its own part."""
        emit, cancel, failed = self.watching
        watch = Watch(emit) if emit is not None else None
        start = {k: v for job in self.jobs for k, v in job.values().items()}
        binders = {job.request.id: self._binder(job, world) for job in self.jobs}
        special: dict[str, Make] = {"output": self._output, "store": self._store}
        if watch is not None:
            special |= {"turn": watch.turn, "preview": watch.preview, "stream": watch.stream}
        exchanges = {
            id(b.exchange): b.exchange
            for binder in binders.values()
            for b in binder.context.models.values()
            if b.exchange is not None
        }.values()
        special["forget"] = lambda fn: Bound(
            lambda args, at: _forget(exchanges, at.request, at.node), raw=True
        )
        built = {b for binder in binders.values() for b in binder.context.models.values()}
        self.built.update(built)
        for model in built:
            model.prefixes.begin(is_alone=world.size == 1)
        special["leave"] = lambda fn: Bound(lambda args, at: _leave(built, str(fn[1])), raw=True)
        calls = {request: _Calls(binder, special) for request, binder in binders.items()}
        transport = world.transport()
        note = world.note if world.size > 1 else None
        goes_on = all(job.prepared.blocks.plan.in_flight is None for job in self.jobs)
        executor = Executor(
            calls, transport, start, watch=watch, cancel=cancel, failed=failed, note=note, goes_on=goes_on
        )
        self._open(world, start)
        try:
            with torch.set_grad_enabled(bool(self.train)), world.running():
                executor.execute(self._program(world, start))
                executor.finish()
            transport.flush()
            if failed is not None and self.tools.world is not None:
                _share_failures(world, failed)
        finally:
            _leave(built)
            for model in built:
                model.forget()
            for job in self.jobs:
                _forget(exchanges, job.request.id)
                transport.forget(job.request.id)
                binders[job.request.id].context.seeds.pop(job.request.id)

    def _open(self, world: World, start: Mapping[Value, Any]) -> None:
        """Connect ranks that send to each other; on devices each edge costs a communicator, so only those."""
        if world.size == 1:
            return
        edges: Iterable[tuple[int, int]] = permutations(range(world.size), 2)
        if world.device.type == "cuda":
            moves = (i for i in self._sequence(start) if isinstance(i, Move))
            edges = sorted({(move.source, move.to) for move in moves})
        world.open(edges)

    def _program(self, world: World, start: Mapping[Value, Any]) -> Iterable[Instruction]:
        """A rank's Program, lazily. Where nothing is cut it depends on the graph and the request's id only: a short one
        is kept."""
        program = project(self._sequence(start), world.rank)
        offloaded = {m: said for job in self.jobs for m, said in job.prepared.blocks.plan.offload.items()}
        if offloaded:
            uses = {job.request.id: uses_of(job.prepared.blocks.flow, offloaded) for job in self.jobs}
            program = with_leaves(program, lambda run: uses[run.at.request](run), offloaded)
        plain = all(job.prepared.blocks.plan.is_plain for job in self.jobs)
        if len(self.jobs) != 1 or world.size != 1 or not plain:
            return program
        kept, request = self.jobs[0].prepared.programs, self.jobs[0].request.id
        return kept[request] if request in kept else _recorded(program, kept, request)

    def _sequence(self, start: Mapping[Value, Any]) -> Iterator[Step]:
        """The global order of all jobs."""
        plans = [job.prepared.blocks.plan for job in self.jobs]
        ranks = max((plan.ranks for plan in plans), default=1)
        steady = {job.request.id: job.prepared.steady for job in self.jobs} if ranks > 1 else {}
        return order(
            [job.stream().tasks() for job in self.jobs],
            ranks,
            start=start,
            steady=lambda value: steady[value.request](value),
            in_flight=min((p.in_flight for p in plans if p.in_flight is not None), default=None),
        )

    def _output(self, fn: Fn) -> Bound:
        """("output", name): a value that was asked for."""
        name, emit = str(fn[1]), self.watching.emit

        shared = self.tools.cache.budget_bytes > 0 and not self.train

        def run(args: dict[str, Any], at: At) -> dict[str, Any]:
            value = args["x"]
            if shared and isinstance(value, Tensor):
                value = value.clone()  # the caller may change it, the cache may not
            self.found[at.request][name] = value
            if emit is not None and not name.startswith(OWNERS) and not isinstance(args["x"], Absent):
                emit(Event("output", at.request, name, data=args["x"]))
            return {}

        return Bound(run, raw=True)

    def _store(self, fn: Fn) -> Bound:
        """("store", path): results for the cache."""
        path = str(fn[1])
        keys = {job.request.id: job.store.get(path) for job in self.jobs}

        def run(args: dict[str, Any], at: At) -> dict[str, Any]:
            for port, value in args.items():
                if not isinstance(value, Absent):
                    self.tools.cache.put(f"{keys[at.request]}.{port}", value)
            return {}

        return Bound(run, raw=True)


def _forget(exchanges: Iterable[Exchange], request: str, loop: str = "") -> Mapping[str, Any]:
    """What was kept of a request that has ended, or of a loop of it."""
    for exchange in exchanges:
        exchange.clear(request, loop)
    return {}


def _leave(models: Iterable[Built], name: str | None = None) -> Mapping[str, Any]:
    """Offloaded weights leave the device: those of a model, or all when a run is over, however it ended."""
    for built in models:
        if built.room is not None and name in (None, built.node.name):
            built.room.leave()
    return {}


def _share_failures(world: World, failed: dict[str, MmmError]) -> None:
    """A request that failed on one rank has failed on all."""
    own = {r: [[p.code, p.message, p.hint] for p in e.problems] for r, e in failed.items()}
    for rank, found in enumerate(world.gather(own)):
        for request, problems in found.items():
            made = [
                problem(code, f"{message} (on rank {rank})", hint=hint) for code, message, hint in problems
            ]
            failed.setdefault(request, RunError(made))


def _recorded(program: Program, kept: dict[str, list[Instruction]], request: str) -> Program:
    """The same instructions; when all have passed and they are few they are kept, in place of the last ones."""
    seen: list[Instruction] = []
    for item in program:
        if len(seen) <= KEPT_INSTRUCTIONS:
            seen.append(item)
        yield item
    if len(seen) <= KEPT_INSTRUCTIONS:
        kept.clear()
        kept[request] = seen


class _Calls(dict[Fn, Bound]):
    """Callables of one request in one run: those of its graph, and those that serve this run."""

    def __init__(self, binder: Binder, special: Mapping[str, Make]) -> None:
        super().__init__()
        self.binder, self.special = binder, special

    def __missing__(self, fn: Fn) -> Bound:
        make = self.special.get(str(fn[0]))
        bound = self[fn] = make(fn) if make is not None else self.binder[fn]
        return bound
