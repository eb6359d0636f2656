"""`mmm schema FILE`: a JSON Schema for that graph's kinds, for editors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from mmm_graph.cli.app import App
from mmm_graph.cli.options import GRAPH
from mmm_graph.cli.show import write_text
from mmm_graph.spec import load_spec
from mmm_graph.spec.schema import graph_schema


@click.command()
@GRAPH
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Default: .mmm/NAME.schema.json beside FILE; - prints.",
)
@click.pass_obj
def schema(app: App, file: Path, out: Path | None) -> None:
    """Write the JSON Schema of FILE and print the line that makes a YAML language server use it."""
    spec = load_spec(file)
    text = json.dumps(graph_schema(spec, app.registry()), indent=2) + "\n"
    if str(out) == "-":
        click.echo(text, nl=False)
        return
    target = out or file.parent / ".mmm" / f"{file.stem}.schema.json"
    write_text(target, text)
    relative = os.path.relpath(target, file.parent)
    click.echo(f"wrote {target}; put this line first in {file.name}:")
    click.echo(f"# yaml-language-server: $schema={relative}")
