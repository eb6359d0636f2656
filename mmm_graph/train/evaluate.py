"""Run `eval:` sections: data through the compiled graph, metrics averaged over all rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from mmm_graph.errors import Cancelled, InputError, RunError, did_you_mean, problem
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.section import GROUPS
from mmm_graph.plan.arrange import arrange
from mmm_graph.registry import Registry
from mmm_graph.runtime import Built, Engine, Request
from mmm_graph.spec import GraphSpec
from mmm_graph.train.data import Sources
from mmm_graph.train.events import OnEvent, TrainEvent
from mmm_graph.train.loader import Batch, Loader
from mmm_graph.train.lora_file import lora_path
from mmm_graph.train.options import EvalOptions
from mmm_graph.train.reach import needed_models
from mmm_graph.train.seeds import derive_seed
from mmm_graph.train.start import build_started, find_starts
from mmm_graph.train.step import to_device


def evaluate(
    spec: GraphSpec,
    registry: Registry,
    name: str | None = None,
    *,
    options: EvalOptions | None = None,
    on_event: OnEvent | None = None,
    cancel: Callable[[], bool] | None = None,
) -> dict[str, float]:
    """Run one evaluation of a file, or all of them.

    Returns:
        The metrics, as `EVAL.METRIC`, in the order of the file, and after those of an evaluation with `by:` the same
        for each group, as `EVAL.METRIC[GROUP]`.

    Raises:
        InputError: E203, the file has no such evaluation; and what compiling and building find.
        RunError: E829, `by:` is not one value for each row.
        Cancelled: `cancel()` became true.
    """
    names = [name] if name is not None else list(spec.eval)
    if not names or any(n not in spec.eval for n in names):
        what = (
            f"the file has no evaluation {name!r}" if name is not None else "the file has no `eval:` section"
        )
        raise InputError(problem("E203", what, spec.place("eval"), did_you_mean(name or "", spec.eval)))
    options = options or EvalOptions()
    listen, stop = on_event or (lambda event: None), cancel or (lambda: False)
    tools = EvalTools(options, listen, stop, overlaid(spec, options), Sources(spec, registry))
    found: dict[str, float] = {}
    for one in names:
        found |= run_evaluation(spec, registry, one, {}, tools)
    return found


def overlaid(spec: GraphSpec, options: EvalOptions) -> dict[str, str]:
    """Models for which the folder of weights has a file, or a LoRA, and the name of that file."""
    if options.weights is None:
        return {}
    files = {name: (f"{name}.safetensors", lora_path(options.weights, name).name) for name in spec.models}
    there = {
        name: [file for file in own if (options.weights / file).is_file()] for name, own in files.items()
    }
    return {name: found[0] for name, found in there.items() if found}


@dataclass(frozen=True)
class EvalTools:
    """What one evaluation is run with.

    Attributes:
        outputs: models that come from the folder of weights, and which file or stage that is.
        sources: where its data is opened.
        stage, step: where in a training it stands.
    """

    options: EvalOptions
    on_event: OnEvent
    cancel: Callable[[], bool]
    outputs: Mapping[str, str]
    sources: Sources
    stage: str = ""
    step: int = 0


def run_evaluation(
    spec: GraphSpec, registry: Registry, name: str, ready: Mapping[str, Built], tools: EvalTools
) -> dict[str, float]:
    """Run one evaluation with the models in `ready`; the others are built."""
    options = tools.options
    graph = compile_graph(spec, registry, f"eval.{name}")
    source = tools.sources.open(graph, spec.eval[name].data, ("eval", name, "data"))
    needed = needed_models(graph)
    missing = [graph.models[n] for n in sorted(needed - ready.keys())]
    starts = find_starts(spec, registry, missing, outputs=tools.outputs)
    out = options.weights or Path()
    built = build_started(spec, registry, graph, starts, out=out, device=options.device, seed=options.seed)
    engine = Engine(
        registry, {**{n: ready[n] for n in needed & ready.keys()}, **built}, device=options.device
    )
    plan = None
    if options.plan is not None:
        said, called, place = options.plan
        plan = arrange(graph, registry, said, name=called, place=place, partial=True)
    means = Means(name, tuple(n for n in graph.outputs if n != GROUPS))
    loader = Loader(source.dataset, source.columns, shuffle=False)
    total = -(-len(loader) // source.batch)
    for number, batch in enumerate(loader.once(source.batch)):
        if tools.cancel():
            raise Cancelled(
                problem("E730", f"evaluation {name} was cancelled after {number} of {total} batches")
            )
        request = _request(name, batch, options)
        result = engine.run(graph, [request], plan=plan, cancel=tools.cancel)[request.id]
        means.add(result.values, len(batch.indices))
        tools.on_event(TrainEvent("eval_step", name, number + 1, total))
    metrics = means.values()
    tools.on_event(
        TrainEvent("eval", tools.stage or name, tools.step, 0, {f"eval.{k}": v for k, v in metrics.items()})
    )
    return {**metrics, **means.groups()}


def _request(name: str, batch: Batch, options: EvalOptions) -> Request:
    values = {k: to_device(v, torch.device(options.device)) for k, v in batch.values.items() if v is not None}
    seed = derive_seed(options.seed, "eval", name)
    return Request(f"{name}:{batch.indices[0]}", values, (seed,) * len(batch.indices), batch.indices)


class Means:
    """Means of metrics over rows; what a batch does not produce is averaged over the others."""

    def __init__(self, evaluation: str, names: Sequence[str]) -> None:
        self._evaluation, self._names = evaluation, names
        self._whole = {name: Mean() for name in names}
        self._of_group: dict[tuple[str, str], Mean] = {}

    def add(self, values: Mapping[str, object], rows: int) -> None:
        """Take in the metrics of a batch; one with a value for each row also counts in the groups of its rows."""
        groups = self._groups(values[GROUPS], rows) if GROUPS in values else []
        for name in self._names:
            if name not in values:
                continue
            value = torch.as_tensor(values[name], dtype=torch.float64)
            self._whole[name].add(float(value.mean()), rows)
            if groups and value.shape == (rows,):
                for group, one in zip(groups, value.tolist(), strict=True):
                    self._of_group.setdefault((group, name), Mean()).add(one, 1)

    def values(self) -> dict[str, float]:
        """Means of the metrics that were produced at least once."""
        return {f"{self._evaluation}.{name}": mean.value for name, mean in self._whole.items() if mean.rows}

    def groups(self) -> dict[str, float]:
        """The same of each group, in the order of their names."""
        found = sorted(self._of_group, key=lambda key: (key[0], self._names.index(key[1])))
        return {
            f"{self._evaluation}.{name}[{group}]": self._of_group[group, name].value for group, name in found
        }

    def _groups(self, value: object, rows: int) -> list[str]:
        found = value.tolist() if isinstance(value, torch.Tensor) else value
        if isinstance(found, (list, tuple)) and len(found) == rows:
            return [str(one) for one in found]
        got = f"{len(found)} values" if isinstance(found, (list, tuple)) else "one value"
        hint = "link a column of the data, such as $data.label"
        message = f"evaluation {self._evaluation}: `by:` gives {got} for a batch of {rows} rows"
        raise RunError(problem("E829", message, hint=hint))


class Mean:
    """A mean that grows."""

    def __init__(self) -> None:
        self.total, self.rows = 0.0, 0

    def add(self, mean: float, rows: int) -> None:
        self.total += mean * rows
        self.rows += rows

    @property
    def value(self) -> float:
        return self.total / self.rows
