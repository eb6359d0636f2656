"""`mmm plugins list | new`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmm_graph.registry import PluginInfo, Registry
from mmm_graph.registry.template import new_plugin


@click.group("plugins", help="List the installed plugins, or start a new one.")
def plugins_group() -> None:
    """The group of `mmm plugins`."""


@plugins_group.command("list")
@click.option("--failed", is_flag=True, help="Only those that failed to load.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_plugins(ctx: click.Context, failed: bool, as_json: bool) -> None:
    """List the plugins, what they bring, and why one failed to load."""
    registry: Registry = ctx.obj.registry()
    shown = [p for p in registry.plugins if p.status == "FAILED" or not failed]
    if as_json:
        click.echo(json.dumps([{**dataclasses.asdict(p), "place": _place(p)} for p in shown], indent=2))
        return
    console = Console(highlight=False, soft_wrap=False)
    table = Table(box=None, pad_edge=False)
    for title in ("plugin", "status", "from", "brings"):
        table.add_column(title, style="bold" if title == "plugin" else "", header_style="dim")
    for info in shown:
        style = "red" if info.status == "FAILED" else "green"
        table.add_row(info.name, Text(info.status, style), Text(info.origin), Text(_brings(info)))
    console.print(table if shown else "no plugin failed" if failed else "no plugins are installed")
    for found in registry.problems:
        console.print(Text(f"\n{found}"))


def _place(info: PluginInfo) -> str | None:
    return str(info.place) if info.place else None


def _brings(info: PluginInfo) -> str:
    """`3 adaptor, 2 loss, saver Image.png`: node kinds are counted by family."""
    families: dict[str, int] = {}
    others = [k for k in info.kinds if " " in k]
    for kind in info.kinds:
        if kind not in others:
            family = kind.partition(".")[0]
            families[family] = families.get(family, 0) + 1
    return ", ".join([*(f"{count} {family}" for family, count in families.items()), *others])


@plugins_group.command("new")
@click.argument("name")
@click.option("-o", "folder", type=click.Path(path_type=Path), default=Path(), help="Where to put mmm_NAME/.")
def new(name: str, folder: Path) -> None:
    """Write a complete plugin package mmm_NAME that passes its own tests."""
    written = new_plugin(name, folder)
    root = written[0].parent
    for path in written:
        click.echo(f"  {path}")
    click.echo(f"\nnext:\n  pip install -e '{root}[test]'\n  pytest {root}\n  mmm plugins list")
