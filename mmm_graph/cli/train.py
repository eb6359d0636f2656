"""`mmm train FILE -o DIR`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from mmm_graph.cli.app import App, emit, report
from mmm_graph.cli.options import GRAPH, as_json, overrides, parse_names, parse_sets, tf32, use_device
from mmm_graph.cli.ranks import agree_on, is_rank, start_ranks, world_of
from mmm_graph.spec import GraphSpec, load_spec

if TYPE_CHECKING:
    from mmm_graph.runtime.process_world import ProcessWorld


def _needed(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    if value is None and not ctx.params.get("dry_run"):
        raise click.MissingParameter(ctx=ctx, param=param)
    return value


@click.command()
@GRAPH
@overrides
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    callback=_needed,
    help="Folder for weights, logs, checkpoints.",
)
@click.option("--stages", help="Names of stages, with commas; default: all, in the order of the file.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1 ...")
@click.option("--threads", type=click.IntRange(1), help="CPU threads; default: PyTorch's choice.")
@tf32
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Of starts, shuffling and noise."
)
@click.option("--resume", is_flag=True, help="Go on from OUT: finished stages are skipped.")
@click.option(
    "--dtype",
    type=click.Choice(["f32", "f16", "bf16"]),
    default="f32",
    show_default=True,
    help="Of saved weights.",
)
@click.option(
    "--log-every",
    default=10,
    show_default=True,
    type=click.IntRange(1),
    help="Steps between rows of metrics.csv.",
)
@click.option(
    "--workers", type=click.IntRange(0), help="Processes that read data; default: what each stage says."
)
@click.option("--tensorboard", is_flag=True, help="Also write OUT/tensorboard.")
@click.option(
    "--cache-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of `cache: disk`, to be shared by trainings; default: OUT/cache.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    is_eager=True,
    help="Print parameters, work, memory and steps of each stage; train nothing.",
)
@click.option(
    "--nproc",
    type=click.IntRange(1),
    help="Train in so many processes of this machine, each on its share of a batch.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds after which a process that others wait for is given up.",
)
@as_json
@click.pass_obj
def train(app: App, /, **options: Any) -> int:
    """Train the stages of FILE into a folder: <model>.safetensors, graph.yaml, metrics.csv, loss curves."""
    from mmm_graph.api.save import check_folder

    spec = load_spec(options["file"], sets=parse_sets(options["sets"]), params_file=options["params_file"])
    if options["dry_run"]:
        return _dry_run(app, spec, options)
    check_folder(options["out"])
    if (options["nproc"] or 1) > 1 and not is_rank():
        tell = partial(report, as_json=options["as_json"])
        return start_ranks(app.words, options["nproc"], options["timeout"], tell, grace_s=options["timeout"])
    target = use_device(options["device"], options["threads"], options["tf32"])
    with world_of(options, target) as world:
        if world is None:
            return _train(app, spec, options, target)
        agree_on(world, app.registry(), spec)
        return _train(app, spec, options, str(world.device), world)


def _dry_run(app: App, spec: GraphSpec, options: Mapping[str, Any]) -> int:
    """The costs of stages; a folder is looked into for what is trained already, and may be left out."""
    from mmm_graph.api.samples import SAMPLE_TOOLS
    from mmm_graph.cli.dry_run import dry_run_lines
    from mmm_graph.train.dry_run import dry_run
    from mmm_graph.train.options import TrainOptions

    chosen = TrainOptions(seed=options["seed"], resume=options["resume"], dtype=options["dtype"])
    stages = parse_names("--stages", options["stages"])
    with TemporaryDirectory() as empty:
        out = options["out"] or Path(empty)
        costs = dry_run(spec, app.registry(), out, stages=stages, options=chosen, sample_tools=SAMPLE_TOOLS)
    if options["as_json"]:
        emit("done", stages=[cost.record() for cost in costs])
        return 0
    for line in dry_run_lines(costs):
        click.echo(line)
    return 0


def _train(
    app: App, spec: GraphSpec, options: Mapping[str, Any], device: str, world: ProcessWorld | None = None
) -> int:
    """What one process does: all of them the same, the first speaks."""
    from mmm_graph.api.samples import SAMPLE_TOOLS
    from mmm_graph.cli.training import JsonEvents, train_progress
    from mmm_graph.train.options import TrainOptions
    from mmm_graph.train.ranks import ALONE, Ranks
    from mmm_graph.train.trainer import train as run_training

    ranks = ALONE if world is None else Ranks(world.rank, world.size, device)
    chosen = TrainOptions(
        device=device,
        seed=options["seed"],
        resume=options["resume"],
        dtype=options["dtype"],
        log_every=options["log_every"],
        tensorboard=options["tensorboard"],
        workers=options["workers"],
        cache_dir=options["cache_dir"],
        command=shlex.join(["mmm", *_without_secrets(app.words, spec)]),
    )
    stages = parse_names("--stages", options["stages"])
    with JsonEvents() if options["as_json"] else train_progress() as listen:
        records = run_training(
            spec,
            app.registry(),
            options["out"],
            stages=stages,
            options=chosen,
            on_event=listen,
            ranks=ranks,
            sample_tools=SAMPLE_TOOLS,
        )
    if not ranks.is_first:
        return 0
    if options["as_json"]:
        losses = {f"{stage}.{k}": v for stage, record in records.items() for k, v in record.loss.items()}
        metrics = {k: v for record in records.values() for k, v in record.metrics.items()}
        emit("done", outputs={"folder": str(options["out"])}, metrics={**losses, **metrics})
        return 0
    for stage, record in records.items():
        whole = {k: v for k, v in record.metrics.items() if "[" not in k}  # those of groups are in train.json
        numbers = ", ".join(f"{k} {v:.4g}" for k, v in {**record.loss, **whole}.items())
        click.echo(f"{stage}: {record.steps} steps in {record.seconds:.0f} s: {numbers}")
    click.echo(f"weights, curves and graph.yaml: {options['out']}")
    return 0


def _without_secrets(words: Sequence[str], spec: GraphSpec) -> list[str]:
    """The command line as it may be written to a file."""
    secret = [name for name, param in spec.params.items() if param.type == "secret"]
    starts = [f"{option}{name}=" for option in ("", "--set=") for name in secret]
    hidden = {word: next((start for start in starts if word.startswith(start)), None) for word in words}
    return [word if hidden[word] is None else f"{hidden[word]}***" for word in words]
