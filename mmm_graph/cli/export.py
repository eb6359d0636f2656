"""`mmm export FILE -o FOLDER`: the models of a graph as diffusers and transformers load them."""

from __future__ import annotations

from pathlib import Path

import click

from mmm_graph.cli.app import App, emit
from mmm_graph.cli.options import GRAPH, as_json, overrides, parse_sets


@click.command("export")
@GRAPH
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Only these; default: all that can be."
)
@click.option(
    "--weights", type=click.Path(path_type=Path), help="Folder of MODEL.safetensors that come first."
)
@overrides
@as_json
@click.pass_obj
def export(
    app: App,
    file: Path,
    out: Path,
    models: tuple[str, ...],
    weights: Path | None,
    sets: tuple[str, ...],
    params_file: Path | None,
    as_json: bool,
) -> None:
    """Write the models of FILE into a folder that diffusers and transformers load.

    Where they came from the folder of a pipeline (`mmm import`), its scheduler, tokenizers and index come along.
    """
    from mmm_graph.api.session import Session

    session = Session(
        file, sets=parse_sets(sets), params_file=params_file, registry=app.registry(), weights=weights
    )
    written = session.export(out, models or None)
    if as_json:
        emit("done", outputs={"folder": str(out)}, written=list(written))
    else:
        click.echo(f"wrote {out}: {', '.join(written)}")
