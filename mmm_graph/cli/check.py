"""`mmm check FILE`: every section compiles, or every problem is printed."""

from __future__ import annotations

from pathlib import Path

import click

from mmm_graph.cli.app import App, emit, warn
from mmm_graph.cli.options import GRAPH, as_json, overrides, parse_sets
from mmm_graph.graph.sections import compile_all
from mmm_graph.plan.arrange import check_plans
from mmm_graph.spec import load_spec


@click.command()
@GRAPH
@overrides
@as_json
@click.pass_obj
def check(app: App, file: Path, sets: tuple[str, ...], params_file: Path | None, as_json: bool) -> None:
    """Check a graph file: syntax, kinds, links, types, sizes of every section; plans. Needs no weights and no torch."""
    spec = load_spec(file, sets=parse_sets(sets), params_file=params_file)
    graphs = compile_all(spec, app.registry())
    check_plans(spec, graphs.get("main"), app.registry())
    warnings = [*dict.fromkeys(w for g in graphs.values() for w in g.warnings)]
    for found in warnings:
        warn(found, as_json)
    counts = {name: sum(1 for _ in g.walk()) for name, g in graphs.items()}
    if as_json:
        emit("done", sections=counts, warnings=len(warnings))
    else:
        listing = ", ".join(f"{name} ({n} nodes)" for name, n in counts.items())
        click.echo(f"{file}: ok: {listing}")
