"""`mmm eval FILE`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from mmm_graph.cli.app import App, emit
from mmm_graph.cli.interrupt import cancel_on_interrupt
from mmm_graph.cli.options import GRAPH, as_json, device, overrides, parse_sets, use_device
from mmm_graph.spec import load_spec
from mmm_graph.spec.plan_file import find_plan


@click.command("eval")
@GRAPH
@overrides
@device
@click.option("--name", help="One evaluation; default: all of the file.")
@click.option("--plan", "plan_name", metavar="NAME",
              help="A plan of the file, or other.yaml#name; its ranks run as threads of this process.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of everything random.")
@as_json
@click.pass_obj
def eval_(app: App, /, **options: Any) -> int:
    """Run the evaluations of FILE and print their metrics."""
    from mmm_graph.api.weights import check_weights
    from mmm_graph.cli.training import EvalProgress, JsonEvents
    from mmm_graph.train.evaluate import evaluate
    from mmm_graph.train.options import EvalOptions

    spec = load_spec(options["file"], sets=parse_sets(options["sets"]), params_file=options["params_file"])
    weights: Path | None = options["weights"]
    if weights is not None:
        check_weights(weights, spec.models)
    target = use_device(options["device"], options["threads"], options["tf32"])
    plan = find_plan(spec, options["plan_name"]) if options["plan_name"] is not None else None
    chosen = EvalOptions(device=target, seed=options["seed"], weights=weights, plan=plan)
    with cancel_on_interrupt() as cancel, JsonEvents() if options["as_json"] else EvalProgress() as listen:
        metrics = evaluate(
            spec, app.registry(), options["name"], options=chosen, on_event=listen, cancel=cancel.is_set
        )
    if options["as_json"]:
        emit("done", outputs={}, metrics=metrics)
        return 0
    for line in metric_lines(metrics):
        click.echo(line)
    return 0


def metric_lines(metrics: Mapping[str, float]) -> Iterator[str]:
    """A line for each metric; a table of evaluations, and their groups, and metrics where several of them share one."""
    rows: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        evaluation, _, metric = name.partition(".")
        metric, _, group = metric.removesuffix("]").partition("[")
        rows.setdefault(f"{evaluation} {group}".rstrip(), {})[metric] = value
    heads = list(dict.fromkeys(metric for row in rows.values() for metric in row))
    if len(heads) == len(metrics):
        width = max((len(name) for name in metrics), default=0)
        yield from (f"{name:<{width}}  {value:.4f}" for name, value in metrics.items())
        return
    first = max(map(len, rows))
    widths = [max(len(head), *(len(_cell(row, head)) for row in rows.values())) for head in heads]
    yield " " * first + "".join(f"  {head:>{width}}" for head, width in zip(heads, widths, strict=True))
    for name, row in rows.items():
        cells = (f"  {_cell(row, head):>{width}}" for head, width in zip(heads, widths, strict=True))
        yield (f"{name:<{first}}" + "".join(cells)).rstrip()


def _cell(row: Mapping[str, float], metric: str) -> str:
    return f"{row[metric]:.4f}" if metric in row else ""
