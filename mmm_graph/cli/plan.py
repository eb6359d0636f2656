"""`mmm plan FILE`: who holds what and does what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mmm_graph.cli.app import App, emit
from mmm_graph.cli.options import GRAPH, as_json, overrides, parse_sets
from mmm_graph.graph.compile import compile_graph
from mmm_graph.plan.describe import describe_plan
from mmm_graph.plan.place import make_plan
from mmm_graph.spec import load_spec


@click.command()
@GRAPH
@overrides
@click.option("--section", default="main", show_default=True, help="main, train.STAGE or eval.NAME.")
@as_json
@click.pass_obj
def plan(
    app: App, file: Path, sets: tuple[str, ...], params_file: Path | None, section: str, as_json: bool
) -> None:
    """Print what each rank holds and its Program; equal turns of a loop are told once."""
    spec = load_spec(file, sets=parse_sets(sets), params_file=params_file)
    graph = compile_graph(spec, app.registry(), section)
    found = describe_plan(graph, app.registry(), make_plan(graph, app.registry()))
    if as_json:
        emit("done", **found)
        return
    click.echo(
        "params: " + (", ".join(f"{k}={v} ({spec.origins[k]})" for k, v in spec.values.items()) or "none")
    )
    for rank in found["ranks"]:
        _print_rank(rank)


def _print_rank(rank: dict[str, Any]) -> None:
    click.echo(f"\nrank {rank['rank']} holds")
    for held in rank["holds"]:
        size, work = _bytes(held["weight_bytes"]), _flops(held["flops_per_call"])
        click.echo(f"  {held['model']:<12} {held['kind']:<20} {size:>10} {work:>12} a call  {held['parts']}")
    total = sum(h["weight_bytes"] for h in rank["holds"])
    click.echo(f"  {'total':<12} {'':<20} {_bytes(total):>10}")
    click.echo(f"rank {rank['rank']} does")
    for line in rank["program"]:
        click.echo(f"  {line}")


def _bytes(number: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError


def _flops(number: float) -> str:
    for unit in ("FLOP", "kFLOP", "MFLOP", "GFLOP"):
        if number < 1000 or unit == "GFLOP":
            return f"{number:.3g} {unit}"
        number /= 1000
    raise AssertionError
