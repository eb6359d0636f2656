"""`mmm train FILE --dry-run`: the costs of stages as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmm_graph.cli.units import show_bytes, show_count, show_flops
from mmm_graph.train.dry_run import ModelCost, StageCost

HEADS = (
    *("model", "kind", "trained", "frozen", "forward", "backward", "x"),
    *("weights", "gradients", "optimiser", "average", "activations"),
)
NOTE = (
    "Work is that of one sample, at the sizes that the parts of a model are counted for; ops are not counted.\n"
    "Memory is that of one process without sharding. Activations are what parts declare for a micro-batch: at\n"
    "least so much. `?`: not declared."
)


def dry_run_lines(stages: Sequence[StageCost]) -> Iterator[str]:
    """A table for each stage, for people."""
    for stage in stages:
        yield from _stage_lines(stage)
    yield NOTE


def _stage_lines(stage: StageCost) -> Iterator[str]:
    micro = f" x {stage.accumulate}" if stage.accumulate > 1 else ""
    done = f" ({stage.done} done)" if stage.done else ""
    yield (
        f"stage {stage.name}: {stage.steps} steps{done} of {stage.batch}{micro} samples, {stage.samples} in all,"
        f" {stage.epochs:g} epochs of {stage.dataset}; {stage.precision}"
    )
    yield from _aligned([HEADS, *map(_cells, stage.models), _total(stage.models)])
    if stage.cached:
        once = sum(model.once for model in stage.models)
        yield f"  kept for each sample: {', '.join(stage.cached)}; {show_flops(once)} of forward work is done once"
    memory = sum(_held(model) for model in stage.models)
    each = stage.batch * stage.accumulate
    work = sum((model.forward or 0) + (model.backward or 0) for model in stage.models)
    yield f"  a step: {show_flops(work * each)}; in all: {show_flops(work * each * stage.steps)}"
    yield f"  memory: at least {show_bytes(memory)}"
    for model in stage.models:
        if model.unknown:
            yield f"  not declared: the work of {model.name} in {', '.join(model.unknown)}"
    yield ""


def _held(model: ModelCost) -> int:
    return model.weights + model.gradients + (model.optimiser or 0) + model.average + (model.activations or 0)


def _cells(model: ModelCost) -> tuple[str, ...]:
    work = [("?" if x is None else show_flops(x)) for x in (model.forward, model.backward)]
    held = (model.weights, model.gradients, model.optimiser, model.average, model.activations)
    memory = ["?" if x is None else show_bytes(x) if x else "-" for x in held]
    factor = "?" if model.factor is None else f"{model.factor:.3g}"
    counts = [show_count(x) if x else "-" for x in (model.trained, model.frozen)]
    return (model.name, model.kind, *counts, *work, factor, *memory)


def _total(models: Sequence[ModelCost]) -> tuple[str, ...]:
    def add(key: str) -> float:
        return float(sum(getattr(model, key) or 0 for model in models))

    counts = [show_count(add(key)) for key in ("trained", "frozen")]
    work = [show_flops(add(key)) for key in ("forward", "backward")]
    memory = [show_bytes(add(k)) for k in ("weights", "gradients", "optimiser", "average", "activations")]
    return ("total", "", *counts, *work, "", *memory)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [
            c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  " + "  ".join(cells).rstrip()
