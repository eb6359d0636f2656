"""Runs graphs: pulls what is wanted, plans, lowers and executes; keeps results of pure nodes between runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from mmm_graph.errors import InputError, MmmError, problem
from mmm_graph.graph.graph import Graph
from mmm_graph.plan.place import Plan
from mmm_graph.registry.registry import Registry
from mmm_graph.runtime.build import Built
from mmm_graph.runtime.cache import Cache
from mmm_graph.runtime.events import Event, OnEvent, Request, Result
from mmm_graph.runtime.job import OWNERS
from mmm_graph.runtime.prepare import Call, Planner, Preparer
from mmm_graph.runtime.shards import Shards
from mmm_graph.runtime.together import Gather
from mmm_graph.runtime.values import Absent
from mmm_graph.runtime.work import Tools, Watching, Work
from mmm_graph.runtime.world import World

__all__ = ["Engine", "Event", "Request", "Result"]

CACHE_BYTES = 256 << 20


class Engine:
    """Runs requests on one machine, one run at a time: a second thread waits.

    Args:
        registry: node types.
        models: built models by name; those of branches that do not run are never loaded.
        device: where tensors are.
        cache_bytes: budget for results of pure nodes; 0 switches the cache off.
        on_event: told of what happens.
        check_shapes: compare what nodes make with their declared types, in the first turn of every request.
        world: the processes that a plan's ranks are; None = plans of several ranks run as threads of this process.
        gather: in data-parallel training: what ops that compare the samples of a batch see of the other ranks.
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
        world: World | None = None,
        gather: Gather | None = None,
    ) -> None:
        self.registry, self.models, self.device = registry, models, torch.device(device)
        self.on_event, self.check_shapes, self.world, self.gather = on_event, check_shapes, world, gather
        self.cache = Cache(0 if world is not None else cache_bytes)  # ranks must agree on what is left to do
        self._shards = Shards()
        self._lock = Lock()
        self._preparer = Preparer(registry, models, self.device, self.cache)

    def run(  # noqa: PLR0913 - one place where all that a run can be told is written down
        self,
        graph: Graph,
        requests: Sequence[Request],
        *,
        outputs: Sequence[str] | None = None,
        supply: Mapping[str, Any] | None = None,
        train: frozenset[str] = frozenset(),
        plan: Plan | Planner | None = None,
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
            plan: who does what, or what makes it for a graph; None = everything on rank 0.
            on_event: in place of the engine's own.
            cancel: asked before every node; True stops the run.
            isolate: a request that fails does not stop the others; its Result carries the error.

        Raises:
            InputError: E301-E309, names or inputs are wrong.
            RunError: E7xx, a node failed; E6xx, weights.
            Cancelled: `cancel` said so.
        """
        if len({r.id for r in requests}) != len(requests):
            raise InputError(problem("E311", "two requests have the same id"))
        emit = on_event or self.on_event
        call = Call(None if outputs is None else tuple(outputs), supply or {}, train, plan, emit is not None)
        failed: dict[str, MmmError] = {}
        self._preparer.forget_stale()
        jobs = []
        for request in requests:
            try:
                job = self._preparer.job(request.graph or graph, request, call)
                job.check()
                jobs.append(job)
            except MmmError as error:
                if not isolate:
                    raise
                failed[request.id] = error
        tools = Tools(
            self.registry,
            self.models,
            self.device,
            self.cache,
            self.check_shapes,
            self._shards,
            self.world,
            self.gather,
        )
        watching = Watching(emit, cancel, failed if isolate else None)
        with self._lock:
            found = Work(tools, jobs, train, watching).run()
        return {r.id: _result(found.get(r.id, {}), failed.get(r.id)) for r in requests}


def _result(found: Mapping[str, Any], error: MmmError | None) -> Result:
    values = {k: v for k, v in found.items() if not isinstance(v, Absent) and not k.startswith(OWNERS)}
    absent = {k: str(v) for k, v in found.items() if isinstance(v, Absent) and not k.startswith(OWNERS)}
    owners = {k: _owners(found, k) for k in values if isinstance(found.get(f"{OWNERS}{k} 0"), Tensor)}
    return Result(values, absent, owners, error)


def _owners(found: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """Batch element of each row: rows of the last routing, looked up in the one before it, and so on."""
    chain: list[list[int]] = []
    while isinstance(rows := found.get(f"{OWNERS}{name} {len(chain)}"), Tensor):
        chain.append(rows.tolist())
    elements = chain[0]
    for rows_before in chain[1:]:
        elements = [rows_before[r] for r in elements]
    return tuple(int(e) for e in elements)
