"""`mmm import FOLDER`: a graph file from what diffusers or transformers saved."""

from __future__ import annotations

from pathlib import Path

import click

from mmm_graph.cli.app import App, emit
from mmm_graph.cli.options import as_json
from mmm_graph.cli.show import write_text
from mmm_graph.errors import InputError, problem

DTYPES = ("f32", "bf16", "f16", "f64")


@click.command("import")
@click.argument("source")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The graph file; - prints.")
@click.option("--dtype", type=click.Choice(DTYPES), help="Of all weights when they are loaded.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option("--online", is_flag=True, help="hf: may download.")
@as_json
@click.pass_obj
def import_(
    app: App, source: str, out: Path, dtype: str | None, force: bool, online: bool, as_json: bool
) -> None:
    """Write a graph file that runs the pipeline in SOURCE: a folder, or hf:org/repo. Weights stay where they are."""
    from mmm_graph.api.convert import import_graph

    printed = str(out) == "-"
    if not printed and out.suffix not in (".yaml", ".yml"):
        raise InputError(problem("E101", f"{out} should end in .yaml", hint=f"{out.name}.yaml"))
    if not printed and out.exists() and not force:
        raise InputError(problem("E101", f"{out} is there already", hint="choose another name, or --force"))
    target = Path("graph.yaml") if printed else out
    made = import_graph(source, target, app.registry(), dtype=dtype, online=online)
    if printed:
        click.echo(made.text, nl=False)
    else:
        write_text(out, made.text)
    if as_json:
        emit("done", outputs={"graph": str(out)}, notes=list(made.notes))
        return
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    if not printed:
        click.echo(f"wrote {out}; run it with: mmm run {out} --set prompt=...")
