"""`mmm train FILE -o DIR`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mmm_graph.cli.app import App, emit
from mmm_graph.cli.options import GRAPH, as_json, overrides, parse_names, parse_sets, tf32, use_device
from mmm_graph.spec import GraphSpec, load_spec


@click.command()
@GRAPH
@overrides
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
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
@click.option("--tensorboard", is_flag=True, help="Also write OUT/tensorboard.")
@as_json
@click.pass_obj
def train(app: App, /, **options: Any) -> int:
    """Train the stages of FILE into a folder: <model>.safetensors, graph.yaml, metrics.csv, loss curves."""
    from mmm_graph.api.save import check_folder
    from mmm_graph.cli.training import JsonEvents, train_progress
    from mmm_graph.train.options import TrainOptions
    from mmm_graph.train.trainer import train as run_training

    spec = load_spec(options["file"], sets=parse_sets(options["sets"]), params_file=options["params_file"])
    check_folder(options["out"])
    chosen = TrainOptions(
        device=use_device(options["device"], options["threads"], options["tf32"]),
        seed=options["seed"],
        resume=options["resume"],
        dtype=options["dtype"],
        log_every=options["log_every"],
        tensorboard=options["tensorboard"],
        command=shlex.join(["mmm", *_without_secrets(app.words, spec)]),
    )
    stages = parse_names("--stages", options["stages"])
    with JsonEvents() if options["as_json"] else train_progress() as listen:
        records = run_training(
            spec, app.registry(), options["out"], stages=stages, options=chosen, on_event=listen
        )
    if options["as_json"]:
        losses = {f"{stage}.{k}": v for stage, record in records.items() for k, v in record.loss.items()}
        metrics = {k: v for record in records.values() for k, v in record.metrics.items()}
        emit("done", outputs={"folder": str(options["out"])}, metrics={**losses, **metrics})
        return 0
    for stage, record in records.items():
        numbers = ", ".join(f"{k} {v:.4g}" for k, v in {**record.loss, **record.metrics}.items())
        click.echo(f"{stage}: {record.steps} steps in {record.seconds:.0f} s: {numbers}")
    click.echo(f"weights, curves and graph.yaml: {options['out']}")
    return 0


def _without_secrets(words: Sequence[str], spec: GraphSpec) -> list[str]:
    """The command line as it may be written to a file."""
    secret = [name for name, param in spec.params.items() if param.type == "secret"]
    starts = [f"{option}{name}=" for option in ("", "--set=") for name in secret]
    hidden = {word: next((start for start in starts if word.startswith(start)), None) for word in words}
    return [word if hidden[word] is None else f"{hidden[word]}***" for word in words]
