"""A loaded graph file: what `mmm.load` returns and what the command line drives."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mmm_graph.api.inputs import make_request
from mmm_graph.api.origin import Origin, make_origin
from mmm_graph.errors import InputError, MmmError, Problem, did_you_mean, problem
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph, ModelNode
from mmm_graph.plan.place import Plan, make_plan
from mmm_graph.plan.flow import Flow
from mmm_graph.plan.select import select
from mmm_graph.graph.sections import compile_all
from mmm_graph.registry import Notifier, Registry, load_registry
from mmm_graph.runtime.build import Built, build_models
from mmm_graph.runtime.engine import Engine
from mmm_graph.runtime.events import Event, Request, Result
from mmm_graph.runtime.job import wanted_refs
from mmm_graph.runtime.names import find_value
from mmm_graph.spec import GraphSpec, dump_spec, load_spec

Observer = Callable[[Event], None]


class Session:
    """One graph file with its params, its compiled graph, and the models it has built so far.

    Params and inputs share a namespace: `run(steps=5, prompt="...")` compiles anew for the param (milliseconds) and
    keeps every model whose config did not change.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        params: Mapping[str, Any] | None = None,
        sets: Mapping[str, str] | None = None,
        params_file: Path | None = None,
        registry: Registry | None = None,
        device: str = "cpu",
        weights: Path | None = None,
        base: Path | None = None,
        name: str | None = None,
        cancel: Callable[[], bool] | None = None,
        warn: Callable[[Problem], None] | None = None,
    ) -> None:
        """Read a file.

        Args:
            source: a path, or the text of a file.
            params: values of params and inputs; sets: texts as on the command line; params_file: a YAML or JSON file.
            registry: default: all installed plugins.
            device: "cpu", "cuda", "cuda:1" ...
            weights: folder whose <model>.safetensors come before the file's own weights.
            base: folder of `file:` weights; default: that of the file.
            name: what the file is called in the origin of outputs.
            cancel: asked before every node; True stops a run.
            warn: told of plugins that fail while they observe.

        Raises:
            InputError: the file cannot be read.
        """
        self.source, self.name = source, name or str(source)
        self.registry = registry or load_registry()
        self.device = torch.device(device)
        self.weights = weights
        self._sets, self._params, self._params_file = dict(sets or {}), dict(params or {}), params_file
        self._base, self._cancel = base, cancel
        self._built: dict[str, Built] = {}
        self._expected: Mapping[str, str] = {}
        self._engine: Engine | None = None
        self._notifier = Notifier(self.registry, warn or (lambda found: None))
        self.spec = self._load({})
        self._graph: Graph | None = None

    @property
    def graph(self) -> Graph:
        """The compiled top level of the file.

        Raises:
            InputError: with every problem of the file.
        """
        if self._graph is None:
            self._graph = compile_graph(self.spec, self.registry)
        return self._graph

    @property
    def base(self) -> Path:
        """The folder that `file:` weights are relative to."""
        return self._base or self.spec.base

    def check(self) -> tuple[Problem, ...]:
        """Compile every section; returns the warnings.

        Raises:
            InputError: with the problems of all sections.
        """
        return tuple(w for graph in compile_all(self.spec, self.registry).values() for w in graph.warnings)

    def plan(self) -> Plan:
        """Who does what: on one device everything is on rank 0."""
        return make_plan(self.graph, self.registry)

    def run(
        self,
        *,
        seed: int | Sequence[int] = 0,
        outputs: Sequence[str] | None = None,
        supply: Mapping[str, Any] | None = None,
        on_event: Observer | None = None,
        **given: Any,
    ) -> dict[str, Any]:
        """Run the graph once.

        Args:
            seed: one number, or one per batch element.
            outputs: names of outputs, or links of any values such as "cond.embeds"; default: all outputs.
            supply: values by link, used instead of computing them.
            given: inputs and params by name.

        Returns:
            Values by output name; an output that was not produced is None.
        """
        result = self.result(seed=seed, outputs=outputs, supply=supply, on_event=on_event, given=given)
        return dict.fromkeys(result.absent) | result.values

    def result(
        self,
        *,
        seed: int | Sequence[int] = 0,
        outputs: Sequence[str] | None = None,
        supply: Mapping[str, Any] | None = None,
        on_event: Observer | None = None,
        given: Mapping[str, Any] | None = None,
        request_id: str = "0",
    ) -> Result:
        """Like `run`, with the reasons of what was not produced and the owners of routed rows."""
        graph, inputs = self._for(given or {})
        request = make_request(graph, inputs, seed, request_id)
        results = self._run([request], outputs, supply, on_event)
        return results[request_id]

    def map(
        self,
        requests: Iterable[Mapping[str, Any]],
        *,
        outputs: Sequence[str] | None = None,
        on_event: Observer | None = None,
    ) -> dict[str, Result]:
        """Run many requests through one pipeline; each maps names to inputs and params, and may have `seed`, `id`.

        A request that fails does not stop the others: its Result carries the error.
        """
        made: list[Request] = []
        names: list[str] = []
        failed: dict[str, Result] = {}
        for index, item in enumerate(requests):
            given = dict(item)
            name = str(given.pop("id", index))
            names.append(name)
            try:
                graph, inputs = self._for({k: v for k, v in given.items() if k != "seed"})
                made.append(make_request(graph, inputs, given.get("seed", 0), name))
            except MmmError as error:
                failed[name] = Result({}, {}, {}, error)
        found = self._run(made, outputs, None, on_event, isolate=True) if made else {}
        return {name: failed.get(name) or found[name] for name in names}

    def stream(self, **given: Any) -> Iterator[Event]:
        """Run in a thread and yield its events as they come; the last one is `done` with the outputs as data."""
        events: queue.Queue[Event | BaseException] = queue.Queue()

        def work() -> None:
            try:
                values = self.run(on_event=events.put, **given)
                events.put(Event("done", "0", "", data=values))
            except MmmError as error:
                events.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while True:
            event = events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if event.kind == "done":
                return

    def module(self, name: str) -> Any:
        """The built model of that name.

        Raises:
            InputError: the graph has no such model.
        """
        if name not in self.graph.models:
            raise InputError(problem("E209", f"there is no model {name!r}", hint=did_you_mean(name, self.graph.models)))
        self._engine_for(self.graph.models, frozenset((name,)))
        return self._built[name].object

    def expect(self, weights: Mapping[str, str]) -> None:
        """Refuse weights whose hashes are not these."""
        self._expected = weights

    def origin(self, given: Mapping[str, Any], seed: int | Sequence[int], outputs: Sequence[str] | None) -> Origin:
        """What a saved output of a run with these inputs carries."""
        values = {k: v for k, v in {**self.spec.values, **self.spec.given, **given}.items() if self._public(k)}
        run = {"values": values, "seed": seed, "outputs": outputs}
        hashes = {k: b.fingerprint for k, b in sorted(self._built.items()) if b.fingerprint}
        return make_origin(dump_spec(self.spec), self.name, run, hashes, self.registry.digest())

    def _public(self, name: str) -> bool:
        return name not in self.spec.params or self.spec.params[name].type != "secret"

    def _load(self, params: Mapping[str, Any]) -> GraphSpec:
        merged = {**self._params, **params}
        sets = {k: v for k, v in self._sets.items() if k not in params}
        return load_spec(self.source, sets=sets, params=merged, params_file=self._params_file)

    def _for(self, given: Mapping[str, Any]) -> tuple[Graph, dict[str, Any]]:
        """The graph for these params, and the inputs among the given names."""
        params = {k: v for k, v in given.items() if k in self.spec.params}
        inputs = {k: v for k, v in given.items() if k not in params}
        if not params:
            return self.graph, inputs
        return compile_graph(self._load(params), self.registry), inputs

    def _engine_for(self, models: Mapping[str, ModelNode], needed: frozenset[str]) -> Engine:
        """An engine that has the models of these graphs; models whose config is the same are kept."""
        for name in [k for k, built in self._built.items() if k in models and built.node != models[k]]:
            del self._built[name]
        todo = needed - self._built.keys()
        if todo:
            options = {"base": self.base, "device": self.device, "overlay": self.weights}
            self._built.update(build_models(models, self.registry, needed=todo, **options))
            self._check_hashes(todo)
        if self._engine is None:
            self._engine = Engine(self.registry, self._built, device=self.device)
        return self._engine

    def _check_hashes(self, names: frozenset[str]) -> None:
        for name in sorted(names & self._expected.keys()):
            if self._built[name].fingerprint != self._expected[name]:
                message = f"{name}: the weights are not those that made the picture"
                raise InputError(problem("E605", message, self._built[name].node.place, "put the old file back"))

    def _run(
        self,
        requests: Sequence[Request],
        outputs: Sequence[str] | None,
        supply: Mapping[str, Any] | None,
        on_event: Observer | None,
        isolate: bool = False,
    ) -> dict[str, Result]:
        models: dict[str, ModelNode] = {}
        needed: set[str] = set()
        for request in requests:
            graph = request.graph or self.graph
            models.update(graph.models)
            needed |= _models_for(graph, outputs, supply or {}, watched=on_event is not None)
        engine = self._engine_for(models, frozenset(needed))
        return engine.run(
            self.graph,
            requests,
            outputs=outputs,
            supply=supply,
            on_event=self._observed(on_event),
            cancel=self._cancel,
            isolate=isolate,
        )

    def _observed(self, on_event: Observer | None) -> Observer | None:
        """The caller's observer and those of the plugins."""
        if not any("mmm_run_event" in o.hooks for o in self.registry.observers):
            return on_event
        notify = self._notifier

        def tell(event: Event) -> None:
            if on_event is not None:
                on_event(event)
            notify("mmm_run_event", event)

        return tell


def load(path: str | Path, **options: Any) -> Session:
    """Load a graph file.

    Args:
        path: the file.
        options: those of Session: params, device, weights ...

    Raises:
        InputError: with every problem of the file.
    """
    session = Session(path, **options)
    _ = session.graph
    return session


def _models_for(
    graph: Graph, outputs: Sequence[str] | None, supply: Mapping[str, Any], *, watched: bool
) -> frozenset[str]:
    """Names of the models that these outputs may call."""
    wanted = list(wanted_refs(graph, outputs).values())
    return select(Flow(graph), wanted, [str(find_value(graph, k)) for k in supply], watched=watched).models
