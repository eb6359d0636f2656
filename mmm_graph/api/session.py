"""A loaded graph file: what `mmm.load` returns and what the command line drives."""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import SecretStr

from mmm_graph.api.builder import Graph as GraphBuilder
from mmm_graph.api.export import choose, export_models
from mmm_graph.api.inputs import FILES, make_request
from mmm_graph.api.models import Models
from mmm_graph.api.needs import models_for, of_same_models
from mmm_graph.api.origin import Origin, make_origin
from mmm_graph.api.weights import check_weights, write_weights
from mmm_graph.errors import InputError, MmmError, Problem, did_you_mean, problem
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph, ModelNode
from mmm_graph.graph.sections import compile_all
from mmm_graph.graph.weights import configs_of_weights
from mmm_graph.plan.arrange import arrange, check_plans
from mmm_graph.plan.place import Plan, make_plan
from mmm_graph.registry import Notifier, Registry, load_registry
from mmm_graph.runtime.events import Event, Request, Result
from mmm_graph.runtime.world import World
from mmm_graph.spec import dump_spec, load_spec, with_values
from mmm_graph.spec.plan_file import NamedPlan, find_plan
from mmm_graph.view.svg import to_svg
from mmm_graph.view.text import to_text

if TYPE_CHECKING:
    from mmm_graph.train.record import StageRecord

Observer = Callable[[Event], None]
Branches = Literal["batched", "turn"]
KEPT = 32
"""How many compiled graphs are kept, one for each set of params."""


class Session:
    """One graph file with its params, its compiled graph, and the models it has built so far.

    Params and inputs share a namespace: `run(steps=5, prompt="...")` compiles anew for the param (milliseconds) and
    keeps every model whose config did not change.
    """

    def __init__(  # noqa: PLR0913 - what a user may say when a file is loaded
        self,
        source: str | Path | Mapping[str, Any] | GraphBuilder,
        *,
        params: Mapping[str, Any] | None = None,
        sets: Mapping[str, str] | None = None,
        params_file: Path | None = None,
        registry: Registry | None = None,
        device: str = "cpu",
        weights: str | Path | None = None,
        base: Path | None = None,
        name: str | None = None,
        branches: Branches = "batched",
        plan: str | NamedPlan | None = None,
        world: World | None = None,
        cancel: Callable[[], bool] | None = None,
        warn: Callable[[Problem], None] | None = None,
    ) -> None:
        """Read a file.

        Args:
            source: a path, the text of a file, what it holds as plain values, or a graph built in Python.
            params: values of params and inputs; sets: texts as on the command line; params_file: a YAML or JSON file.
            registry: default: all installed plugins.
            device: "cpu", "cuda", "cuda:1" ...
            weights: folder whose <model>.safetensors come before the file's own weights.
            base: folder of `file:` weights; default: that of the file.
            name: what the file is called in the origin of outputs.
            branches: "batched" runs guidance branches as one call where that is provably the same; "turn" one after
                the other, in less memory.
            plan: who does what: a plan of the file, or "other.yaml#name". Its ranks are threads of this process, unless
                `world` says otherwise.
            world: the processes that are the plan's ranks (`mmm_graph.runtime.world`); rank 0 gets the outputs.
            cancel: asked before every node; True stops a run.
            warn: told of plugins that fail while they observe.

        Raises:
            InputError: the file cannot be read, or the folder of weights; there is no such plan.
        """
        text = source.text() if isinstance(source, GraphBuilder) else source
        self.spec = load_spec(text, sets=sets, params=params, params_file=params_file, base=base)
        self.name = name or self.spec.file
        weights = None if weights is None else Path(weights)
        if weights is not None:
            check_weights(weights, self.spec.models)
        self.registry = registry or load_registry()
        self.device = torch.device(device)
        self.world = world
        self._models = Models(self.registry, self.base, self.device, weights, world)
        self.branches: Branches = branches
        self._named = find_plan(self.spec, plan) if isinstance(plan, str) else plan
        self._planner = self.plan  # one object, by which the engine knows what it has prepared
        self._cancel = cancel or (lambda: False)
        self._repeated: Origin | None = None
        self._notifier = Notifier(self.registry, warn or (lambda found: None))
        self._graphs: OrderedDict[str, Graph] = OrderedDict()

    @property
    def graph(self) -> Graph:
        """The compiled top level of the file.

        Raises:
            InputError: with every problem of the file.
        """
        return self._for({})[0]

    @property
    def base(self) -> Path:
        """The folder that `file:` weights are relative to."""
        return self.spec.base

    def check(self) -> tuple[Problem, ...]:
        """Compile every section and arrange every plan; returns the warnings.

        Raises:
            InputError: with the problems of all sections, or of all plans.
        """
        compiled = compile_all(self.spec, self.registry)
        check_plans(self.spec, compiled.get("main"), self.registry)
        return tuple(dict.fromkeys(w for graph in compiled.values() for w in graph.warnings))

    def plan(self, graph: Graph | None = None) -> Plan:
        """Who does what in the session's graph, or in that one; without a plan everything is on rank 0.

        Raises:
            InputError: E5xx, the graph cannot be run so.
        """
        graph = graph or self.graph
        if self._named is None:
            return make_plan(graph, self.registry, branches=self.branches)
        spec, name, place = self._named
        return arrange(graph, self.registry, spec, name=name, place=place, branches=self.branches)

    def show(self, section: str = "main", width: int = 100) -> str:
        """The compiled section as text; `mmm_graph.view` draws it as SVG and HTML, notebooks show the SVG."""
        return to_text(compile_graph(self.spec, self.registry, section), width)

    def _repr_svg_(self) -> str:
        return to_svg(self.graph)

    def train(self, *stages: str, out: str | Path, **options: Any) -> dict[str, StageRecord]:
        """Train stages (default: all) into a folder; the session runs the new weights from then on.

        Args:
            out: gets MODEL.safetensors, graph.yaml, metrics.csv, train.json, checkpoints.
            options: those of mmm_graph.train.options.TrainOptions: seed, resume, dtype ...

        Raises:
            InputError: the file cannot be trained, and why. RunError, Cancelled: see mmm_graph.train.
        """
        from mmm_graph.api.training import train_stages  # a second of imports that running has no use for

        folder, more = Path(out), {**options, "device": str(self.device)}
        records = train_stages(self.spec, self.registry, folder, stages, cancel=self._cancel, **more)
        self._models = Models(self.registry, self.base, self.device, folder, self.world)
        return records

    def save(self, folder: str | Path) -> Path:
        """Write every model's weights and a graph.yaml that uses them; returns the path of that file.

        LoRAs that are merged are in the weights, and no longer in the file; those that are live stay where they are.
        """
        from mmm_graph.train.outputs import write_graph

        target, nodes = Path(folder), self.graph.models
        saved = [name for name, node in nodes.items() if self.registry.models[node.kind].weights]
        write_weights({name: self._models.get(nodes, name) for name in saved}, target)
        write_graph(self.spec, target, saved, configs_of_weights(self.spec, self.registry, saved))
        return target / "graph.yaml"

    def export(self, folder: str | Path, models: Sequence[str] | None = None) -> tuple[str, ...]:
        """Write models (default: all that can be) as other libraries load them: see `mmm_graph.api.export`."""
        nodes = self.graph.models
        chosen = choose(nodes, self.registry, models, self.base)
        modules = {name: self._models.get(nodes, name).object for name in chosen}
        return export_models(modules, nodes, self.registry, self.base, Path(folder))

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
        return {**dict.fromkeys(result.absent), **result.values}

    def result(
        self,
        *,
        seed: int | Sequence[int] = 0,
        outputs: Sequence[str] | None = None,
        supply: Mapping[str, Any] | None = None,
        on_event: Observer | None = None,
        given: Mapping[str, Any] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Result:
        """Like `run`, with the reasons of what was not produced and the owners of routed rows."""
        graph, inputs = self._for(given or {})
        request = make_request(graph, inputs, seed, base=self.base)
        return self._run([request], outputs, supply, on_event, cancel=cancel)[request.id]

    def map(
        self,
        requests: Iterable[Mapping[str, Any]],
        *,
        outputs: Sequence[str] | None = None,
        on_event: Observer | None = None,
    ) -> dict[str, Result]:
        """Run many requests through one pipeline; each maps names to inputs and params, and may have `seed`, `id`.

        A request that fails does not stop the others: its Result carries the error.

        Raises:
            InputError: E311, two requests have the same id.
        """
        made: list[Request] = []
        found: dict[str, Result] = {}
        for index, item in enumerate(requests):
            given = {k: v for k, v in item.items() if k not in ("id", "seed")}
            name = str(item.get("id", index))
            if name in found:
                raise InputError(problem("E311", f"two requests have the id {name!r}"))
            try:
                graph, inputs = self._for(given)
                made.append(make_request(graph, inputs, item.get("seed", 0), name, base=self.base))
                found[name] = Result({})
            except MmmError as error:
                found[name] = Result({}, {}, {}, error)
        for group in of_same_models(made):
            found |= self._run(group, outputs, None, on_event, isolate=True)
        return found

    def stream(
        self,
        *,
        seed: int | Sequence[int] = 0,
        outputs: Sequence[str] | None = None,
        supply: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> Iterator[Event]:
        """Run in a thread and yield its events as they come; the last one is `done` with the outputs as data.

        Closing the iterator early stops the run at its next node. What the run raises is raised here.
        """
        events: queue.Queue[Event | None] = queue.Queue()
        stop = threading.Event()

        def work() -> Result:
            stopped: Callable[[], bool] = lambda: stop.is_set() or self._cancel()  # noqa: E731
            wishes: dict[str, Any] = {"seed": seed, "outputs": outputs, "supply": supply, "given": given}
            return self.result(**wishes, on_event=events.put, cancel=stopped)

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            future.add_done_callback(lambda _: events.put(None))
            try:
                while (event := events.get()) is not None:
                    yield event
            finally:
                stop.set()
        result = future.result()
        yield Event("done", "0", "", data={**dict.fromkeys(result.absent), **result.values})

    def module(self, name: str) -> Any:
        """The built model of that name.

        Raises:
            InputError: the graph has no such model.
        """
        models = self.graph.models
        if name not in models:
            raise InputError(problem("E209", f"there is no model {name!r}", hint=did_you_mean(name, models)))
        return self._models.get(models, name).object

    def repeat(self, origin: Origin) -> None:
        """Make again what that origin made: other weights are refused, and what is saved carries it."""
        self._repeated = origin
        self._models.expected = origin.weights

    def resident(self) -> dict[str, int]:
        """Bytes of the weights of the models that have been loaded: those of a branch that never ran are not."""
        return self._models.resident()

    def origin(
        self,
        given: Mapping[str, Any],
        seed: int | Sequence[int],
        outputs: Sequence[str] | None,
        absent: Collection[str] = (),
    ) -> Origin:
        """What a saved output of a run with these inputs carries; weights that only `absent` ones need are not read."""
        values = {
            k: v for k, v in {**self.spec.values, **self.spec.given, **given}.items() if self._public(k)
        }
        files = frozenset(k for k, port in self.graph.inputs.items() if port.type.kind in FILES)
        run = {"values": {} if self._repeated else values, "files": files, "seed": seed, "outputs": outputs}
        run["plan"] = None if self._named is None else self._named.dump()
        made = [name for name in (self.graph.outputs if outputs is None else outputs) if name not in absent]
        hashes = self._models.hashes(models_for(self.graph, made, {}, watched=False))
        origin = make_origin(dump_spec(self.spec), self.name, run, hashes, self.registry.digest())
        return replace(origin, values=self._repeated.values) if self._repeated else origin

    def _public(self, name: str) -> bool:
        return name not in self.spec.params or self.spec.params[name].type != "secret"

    def _for(self, given: Mapping[str, Any]) -> tuple[Graph, dict[str, Any]]:
        """The graph for the params among the given names, and the inputs."""
        params = {k: v for k, v in given.items() if k in self.spec.params}
        spec = with_values(self.spec, params) if params else self.spec
        inputs = {**spec.given, **{k: v for k, v in given.items() if k not in params}}
        key = repr(sorted((k, _revealed(v)) for k, v in spec.values.items()))
        if key not in self._graphs:
            self._graphs[key] = compile_graph(spec, self.registry)
        self._graphs.move_to_end(key)
        if len(self._graphs) > KEPT:
            self._graphs.popitem(last=False)
        return self._graphs[key], inputs

    def _run(
        self,
        requests: Sequence[Request],
        outputs: Sequence[str] | None,
        supply: Mapping[str, Any] | None,
        on_event: Observer | None,
        *,
        isolate: bool = False,
        cancel: Callable[[], bool] | None = None,
    ) -> dict[str, Result]:
        """Run requests whose graphs have the same models."""
        models: dict[str, ModelNode] = {}
        needed: set[str] = set()
        observer = self._notifier.beside("mmm_run_event", on_event)
        for request in requests:
            graph = request.graph or self.graph
            models.update(graph.models)
            needed |= models_for(graph, outputs, supply or {}, watched=observer is not None)
        with self._models.engine(models, frozenset(needed)) as engine:
            return engine.run(
                self.graph,
                requests,
                outputs=outputs,
                supply=supply,
                plan=None if self._named is None and self.branches == "batched" else self._planner,
                on_event=observer,
                cancel=cancel or self._cancel,
                isolate=isolate,
            )


def load(source: str | Path | Mapping[str, Any] | GraphBuilder, **options: Any) -> Session:
    """Load a graph.

    Args:
        source: the file, its text, or a graph built in Python.
        options: those of Session: params, device, weights ...

    Raises:
        InputError: with every problem of the file.
    """
    session = Session(source, **options)
    _ = session.graph
    return session


def _revealed(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
