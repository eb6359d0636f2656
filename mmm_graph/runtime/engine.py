"""Runs graphs: pulls what is wanted, plans, lowers and executes; keeps results of pure nodes between runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmm_graph.errors import InputError, MmmError, problem
from mmm_graph.graph.graph import Graph
from mmm_graph.plan.lower import project
from mmm_graph.plan.ops import At, Fn
from mmm_graph.plan.place import Plan
from mmm_graph.plan.schedule import order
from mmm_graph.registry.registry import Registry
from mmm_graph.runtime.bind import Binder, Bound, Context
from mmm_graph.runtime.build import Built
from mmm_graph.runtime.cache import Cache
from mmm_graph.runtime.events import Event, OnEvent, Request, Result
from mmm_graph.runtime.executor import Executor
from mmm_graph.runtime.job import OWNERS, Job, grad_paths, noise_keys
from mmm_graph.runtime.prepare import Call, Preparer
from mmm_graph.runtime.transport import Local, Transport, run_threads
from mmm_graph.runtime.values import Absent
from mmm_graph.runtime.watch import Watch

__all__ = ["Engine", "Event", "Request", "Result"]

CACHE_BYTES = 256 << 20


class Engine:
    """Runs requests on one machine.

    Args:
        registry: node types.
        models: built models by name; those of branches that do not run are never loaded.
        device: where tensors are.
        cache_bytes: budget for results of pure nodes; 0 switches the cache off.
        on_event: told of what happens.
        check_shapes: compare what nodes make with their declared types, in the first turn of every request.
    """

    def __init__(
        self,
        registry: Registry,
        models: Mapping[str, Built],
        *,
        device: str | torch.device = "cpu",
        cache_bytes: int = CACHE_BYTES,
        on_event: OnEvent | None = None,
        check_shapes: bool = True,
    ) -> None:
        self.registry, self.models, self.device = registry, models, torch.device(device)
        self.on_event, self.check_shapes = on_event, check_shapes
        self.cache = Cache(cache_bytes)
        self._preparer = Preparer(registry, models, self.device, self.cache)

    def run(
        self,
        graph: Graph,
        requests: Sequence[Request],
        *,
        outputs: Sequence[str] | None = None,
        supply: Mapping[str, Any] | None = None,
        train: frozenset[str] = frozenset(),
        plan: Plan | None = None,
        on_event: OnEvent | None = None,
        cancel: Callable[[], bool] | None = None,
        isolate: bool = False,
    ) -> dict[str, Result]:
        """Compute the outputs of all requests.

        Args:
            graph: of the requests that bring none of their own.
            outputs: names of outputs, or any values of the top level such as "cond.embeds"; None = all outputs.
            supply: values by the same names, used instead of computing them.
            train: names of models being trained; their nodes and all that depend on them run with autograd.
            plan: who does what; None = everything on rank 0. Several ranks run as threads of this process.
            on_event: in place of the engine's own.
            cancel: asked before every node; True stops the run.
            isolate: a request that fails does not stop the others; its Result carries the error.

        Raises:
            InputError: E301-E305, names or inputs are wrong.
            RunError: E7xx, a node failed; E6xx, weights.
            Cancelled: `cancel` said so.
        """
        if len({r.id for r in requests}) != len(requests):
            raise InputError(problem("E306", "two requests have the same id"))
        emit = on_event or self.on_event
        call = Call(None if outputs is None else tuple(outputs), supply or {}, train, plan, emit is not None)
        failed: dict[str, MmmError] = {}
        jobs = []
        for request in requests:
            try:
                jobs.append(self._preparer.job(request.graph or graph, request, call))
            except MmmError as error:
                if not isolate:
                    raise
                failed[request.id] = error
        found = _Work(self, jobs, call, _Watching(emit, cancel, failed if isolate else None)).run()
        return {r.id: _result(found.get(r.id, {}), failed.get(r.id)) for r in requests}



class _Work:
    """One run of some jobs."""

    def __init__(self, engine: Engine, jobs: Sequence[Job], call: Call, watch: _Watching) -> None:
        self.engine, self.jobs, self.call, self.watching = engine, jobs, call, watch
        self.found: dict[str, dict[str, Any]] = {job.request.id: {} for job in jobs}

    def run(self) -> dict[str, dict[str, Any]]:
        """Values by name for each request."""
        ranks = max((job.blocks.plan.ranks for job in self.jobs), default=1)
        with torch.set_grad_enabled(bool(self.call.train)):
            if ranks == 1:
                self._rank(0, 1, Local())
            else:
                run_threads(ranks, lambda rank, transport: self._rank(rank, ranks, transport))
        for built in self.engine.models.values():
            for job in self.jobs if built.exchange is not None else ():
                built.exchange.clear(job.request.id)
        return self.found

    def _rank(self, rank: int, ranks: int, transport: Transport) -> None:
        """What one rank does: every rank finds the global order for itself and keeps its own part."""
        emit, cancel, failed = self.watching
        watch = Watch(emit) if emit is not None else None
        start = {k: v for job in self.jobs for k, v in job.values().items()}
        sequence = order([job.stream().tasks() for job in self.jobs], ranks, start=start)
        calls = self._calls(watch)
        executor = Executor(calls, transport, start, watch=watch, cancel=cancel, failed=failed)
        with torch.set_grad_enabled(bool(self.call.train)):
            executor.execute(project(sequence, rank))

    def _calls(self, watch: Watch | None) -> dict[str, Binder]:
        """Callables of each request; requests of one graph share them."""
        seeds = {job.request.id: noise_keys(job.request) for job in self.jobs}
        binders: dict[int, Binder] = {}
        for job in self.jobs:
            flow = job.blocks.flow
            if id(job.blocks) not in binders:
                grad = grad_paths(flow, self.call.train, job.given) if self.call.train else None
                special: dict[str, Callable[[Fn], Bound]] = {"output": self._output, "store": self._store}
                if watch is not None:
                    special |= {"turn": watch.turn, "preview": watch.preview, "stream": watch.stream}
                engine = self.engine
                context = Context(
                    engine.registry, engine.models, engine.device, seeds, grad, engine.check_shapes, special
                )
                binders[id(job.blocks)] = Binder(flow, context)
        return {job.request.id: binders[id(job.blocks)] for job in self.jobs}

    def _output(self, fn: Fn) -> Bound:
        """("output", name): a value that was asked for."""
        name, emit = str(fn[1]), self.watching.emit

        def run(args: dict[str, Any], at: At) -> dict[str, Any]:
            self.found[at.request][name] = args["x"]
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
                    self.engine.cache.put(f"{keys[at.request]}.{port}", value)
            return {}

        return Bound(run, raw=True)


class _Watching(NamedTuple):
    emit: OnEvent | None
    cancel: Callable[[], bool] | None
    failed: dict[str, MmmError] | None


def _result(found: Mapping[str, Any], error: MmmError | None) -> Result:
    values = {k: v for k, v in found.items() if not isinstance(v, Absent) and not k.startswith(OWNERS)}
    absent = {k: str(v) for k, v in found.items() if isinstance(v, Absent) and not k.startswith(OWNERS)}
    owners = {k: _rows(found[OWNERS + k]) for k in values if isinstance(found.get(OWNERS + k), Tensor)}
    return Result(values, absent, owners, error)


def _rows(value: Tensor) -> tuple[int, ...]:
    return tuple(int(row) for row in value.tolist())
