"""`mmm plan FILE`: who holds what, sends what and does what; how busy the ranks of a plan would be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from mmm_graph.cli.app import App, emit, warn
from mmm_graph.cli.memory import too_large
from mmm_graph.cli.options import GRAPH, as_json, overrides, parse_sets, tf32
from mmm_graph.cli.show import write_text
from mmm_graph.cli.throughput import chosen, measured, throughput_lines
from mmm_graph.cli.units import show_bytes, show_flops
from mmm_graph.errors import InputError, problem
from mmm_graph.graph.compile import compile_graph
from mmm_graph.plan.arrange import arrange
from mmm_graph.plan.describe import Description, describe_plan
from mmm_graph.plan.devices import SHEETS
from mmm_graph.plan.place import make_plan
from mmm_graph.plan.predict import PROMPT
from mmm_graph.plan.throughput import Asked, predict_throughput
from mmm_graph.plan.trace import trace_of
from mmm_graph.spec import load_spec
from mmm_graph.spec.plan_file import find_plan


@click.command()
@GRAPH
@overrides
@click.option("--section", default="main", show_default=True, help="main, train.STAGE or eval.NAME.")
@click.option(
    "--plan", "name", metavar="NAME", help="A plan of the file, or other.yaml#name. Default: one rank."
)
@click.option(
    "--requests",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many are simulated together.",
)
@click.option(
    "--trace", type=click.Path(path_type=Path), help="Write the simulation for Perfetto or chrome://tracing."
)
@click.option(
    "--device",
    metavar="NAME,NAME",
    help="Whose memory the peaks are compared with, and what --throughput is of: cpu or cuda of this machine; by their "
    f"data sheets {', '.join(SHEETS)}; or those of --device-spec. Default: these, or cpu.",
)
@click.option(
    "--device-spec",
    type=click.Path(path_type=Path),
    help="YAML or JSON file that describes devices: see docs/running.md.",
)
@click.option(
    "--throughput",
    is_flag=True,
    help="Predict tokens and images a second on each --device; cpu and cuda are measured for it.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    help="Of --throughput: elements of a request; default: as the default inputs have.",
)
@click.option(
    "--prompt-tokens",
    type=click.IntRange(1),
    help=f"Of --throughput: what language models read before they answer; default: {PROMPT}, or what they can.",
)
@tf32
@as_json
@click.pass_obj
def plan(app: App, /, file: Path, as_json: bool, trace: Path | None, **options: Any) -> None:
    """Print what each rank holds, sends and does; equal turns of a loop are told once.

    Sizes are those of the default inputs. The peak is weights, values, and the work space that parts of models declare;
    nothing is loaded to find it. Efficiency is work / (ranks x time), simulated by the costs that models declare.
    """
    spec = load_spec(file, sets=parse_sets(options["sets"]), params_file=options["params_file"])
    graph = compile_graph(spec, app.registry(), options["section"])
    if options["name"] is None:
        made = make_plan(graph, app.registry())
    else:
        found = find_plan(spec, options["name"])
        made = arrange(graph, app.registry(), found.spec, name=found.name, place=found.place)
    devices = chosen(options["device"], options["device_spec"])
    told = describe_plan(graph, app.registry(), made, options["requests"])
    if trace is not None:
        _write_trace(trace, told, made.name or file.stem)
    peaks = [rank["peak"] for rank in told.data["ranks"]]
    for name, device in devices.items():
        for warning in too_large(peaks, name, made, device):
            warn(warning, as_json)
    data = dict(told.data)
    if options["throughput"]:
        of = measured(devices, graph, tf32=options["tf32"])
        asked = Asked(of, options["batch"], options["prompt_tokens"], options["requests"])
        data["throughput"] = predict_throughput(graph, app.registry(), made, asked)
    if as_json:
        emit("done", **data)
        return
    click.echo(
        "params: " + (", ".join(f"{k}={v} ({spec.origins[k]})" for k, v in spec.values.items()) or "none")
    )
    for line in (*plan_lines(data), *(throughput_lines(data["throughput"]) if options["throughput"] else ())):
        click.echo(line)


def _write_trace(path: Path, told: Description, name: str) -> None:
    if told.timeline is None:
        raise InputError(problem("E515", f"there is nothing to draw: {told.data['untold']}"))
    write_text(path, json.dumps(trace_of(told.timeline, name)) + "\n")


def plan_lines(data: Mapping[str, Any]) -> Iterator[str]:
    """The whole description, for people."""
    num = len(data["ranks"])
    batch = f"sizes are for a batch of {data['batch']}, as in the default inputs"
    if data["batch"] is None:
        batch = "sizes are for one element: no input has a default that says how many there are"
    flight = f", buffers for {data['in_flight']} requests in flight" if data["in_flight"] > 1 else ""
    name = f"plan {data['plan']['name']}" if data["plan"]["name"] else "no plan"
    yield f"{name}: {num} rank{'s' if num > 1 else ''}; {batch}{flight}"
    for loop in data["loops"]:
        yield f"\nloop {loop['loop']}"
        yield from (f"  {line}" for line in loop["lines"])
        if "efficiency" in loop and num > 1:
            yield f"  simulated by declared costs: efficiency {loop['efficiency']:.0%}"
    for rank in data["ranks"]:
        yield from _rank_lines(rank, told="untold" not in data)
    if "untold" in data:
        yield f"\nnobody can say yet what is sent and done: {data['untold']}"
    elif num > 1:
        yield from _simulated_lines(data)


def _rank_lines(rank: Mapping[str, Any], *, told: bool) -> Iterator[str]:
    yield f"\nrank {rank['rank']} holds"
    for held in rank["holds"]:
        size, work = show_bytes(held["weight_bytes"]), show_flops(held["flops_per_call"])
        text = f"  {held['model']:<12} {held['kind']:<20} {size:>10} {work:>12} a call  {held['parts']}"
        said = ", ".join(filter(None, (held["shared"], held["offload"])))
        text += f"  ({said})" if said else ""
        yield text + (f"  buffers {show_bytes(held['buffer_bytes'])}" if held["buffer_bytes"] else "")
    yield f"  {'total':<12} {'':<20} {show_bytes(sum(h['weight_bytes'] for h in rank['holds'])):>10}"
    buffers = sum(h["buffer_bytes"] for h in rank["holds"])
    if buffers:
        yield f"  {'buffers':<12} {'':<20} {show_bytes(buffers):>10}"
    for other in rank["exchanges"]:
        yield _exchange_line(other)
    if not told:
        return
    unknown = f", and of unknown size {', '.join(rank['unknown'])}" if rank["unknown"] else ""
    yield f"  {'values':<12} {'':<20} {show_bytes(rank['value_bytes']):>10} at the peak{unknown}"
    peak = rank["peak"]
    parts = [f"{name} {show_bytes(peak[name])}" for name in ("weights", "values", "buffers") if peak[name]]
    yield f"  {'at most':<12} {'':<20} {show_bytes(peak['bytes']):>10} in {peak['node']}: {', '.join(parts)}"
    if rank["sends"]:
        yield f"rank {rank['rank']} sends"
    for edge in rank["sends"]:
        yield from _edge_lines(edge)
    late = any("[-" in line for line in rank["program"])
    yield f"rank {rank['rank']} does" + (" ([-1]: of the patch or turn before)" if late else "")
    yield from (f"  {line}" for line in rank["program"])


def _exchange_line(found: Mapping[str, Any]) -> str:
    word = "rank" if len(found["ranks"]) == 1 else "ranks"
    ranks = ", ".join(map(str, found["ranks"]))
    size = (
        f"{show_bytes(found['call_bytes'])} of keys and values" if found["call_bytes"] else "of unknown size"
    )
    return f"  layers of {found['model']} exchange with {word} {ranks} ({found['axes']}): {size} a call"


def _edge_lines(edge: Mapping[str, Any]) -> Iterator[str]:
    yield f"  to rank {edge['to']}: {_sum(edge['total'])} in all"
    for loop, turn in edge["turns"].items():
        names = ", ".join(name.removeprefix(f"{loop}/") for name in turn["values"])
        yield f"    in a turn of {loop}: {_sum(turn)} ({names})"


def _sum(total: Mapping[str, Any]) -> str:
    messages = (
        f"{total['messages']} message{'s' if total['messages'] > 1 else ''}, {show_bytes(total['bytes'])}"
    )
    return messages + (f" and {total['unknown']} of unknown size" if total["unknown"] else "")


def _simulated_lines(data: Mapping[str, Any]) -> Iterator[str]:
    found, requests = data["simulated"], data["requests"]
    what = f"{requests} requests" if requests > 1 else "one request"
    yield f"\nsimulated by declared costs: {what}, efficiency {found['efficiency']:.0%}"
    for rank in found["ranks"]:
        yield f"  rank {rank['rank']} is busy {rank['busy_s'] / found['span_s']:.0%} of the time"
