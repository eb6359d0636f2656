"""`mmm show FILE`: the compiled graph as text, SVG, HTML or JSON; offline."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click

from mmm_graph.cli.app import App
from mmm_graph.cli.options import GRAPH, overrides, parse_sets
from mmm_graph.errors import InputError, problem
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph
from mmm_graph.spec import load_spec
from mmm_graph.view.html import to_html
from mmm_graph.view.json import dump_json
from mmm_graph.view.svg import to_svg
from mmm_graph.view.text import to_text

FORMATS = {".svg": to_svg, ".html": to_html, ".json": dump_json, ".txt": to_text}


@click.command()
@GRAPH
@overrides
@click.option("--section", default="main", show_default=True, help="main, train.STAGE or eval.NAME.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="A .svg, .html, .json or .txt file; default: the terminal.",
)
@click.pass_obj
def show(
    app: App, file: Path, sets: tuple[str, ...], params_file: Path | None, section: str, out: Path | None
) -> None:
    """Draw FILE: subgraphs as boxes, loops with their turns, ports and shapes on hover."""
    spec = load_spec(file, sets=parse_sets(sets), params_file=params_file)
    graph = compile_graph(spec, app.registry(), section)
    if out is None:
        click.echo(to_text(graph, shutil.get_terminal_size((100, 40)).columns))
        return
    write_text(out, _drawn(graph, out))
    click.echo(f"wrote {out}")


def _drawn(graph: Graph, out: Path) -> str:
    draw = FORMATS.get(out.suffix.lower())
    if draw is None:
        hint = "endings: " + ", ".join(FORMATS)
        raise InputError(problem("E101", f"{out}: no drawing has the ending {out.suffix!r}", hint=hint))
    return draw(graph)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise InputError(problem("E101", f"{path} cannot be written: {error}")) from error
