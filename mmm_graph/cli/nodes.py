"""`mmm nodes list | describe`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mmm_graph.errors import InputError, did_you_mean, problem
from mmm_graph.registry import Registry
from mmm_graph.registry.describe import AXES, TITLES, describe


@click.group("nodes", help="List the node types that plugins offer, or describe one.")
def nodes_group() -> None:
    """The group of `mmm nodes`."""


@nodes_group.command("list")
@click.option("--role", help="Only this role or family, such as sampler or loss.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def list_nodes(ctx: click.Context, role: str | None, as_json: bool) -> None:
    """List every kind with the plugin it comes from."""
    registry: Registry = ctx.obj.registry()
    kinds = registry.kinds(role)
    if role is not None and not kinds:
        roles = {k.partition(".")[0] for k in registry.kinds()}
        raise InputError(problem("E404", f"no kind has the role {role!r}", hint=did_you_mean(role, roles)))
    rows = [
        {
            "kind": k,
            "type": TITLES[type(registry.get(k))],
            "plugin": registry.owner(k).name,
            "doc": registry.get(k).doc,
        }
        for k in kinds
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    console, width = Console(highlight=False), max((len(k) for k in kinds), default=0)
    for row in rows:
        first = re.split(r"[.;:](?=\s|$)", row["doc"] or "", maxsplit=1)[0]
        line = Text(f"{row['kind']:<{width}}  ", "bold").append(f"{row['plugin']:<10} ", "dim")
        console.print(line.append(first, "not bold"), no_wrap=True, overflow="ellipsis")


@nodes_group.command("describe")
@click.argument("kind")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def describe_node(ctx: click.Context, kind: str, as_json: bool) -> None:
    """Show the ports, config, methods and origin of a kind."""
    facts = describe(ctx.obj.registry(), kind)
    if as_json:
        click.echo(json.dumps(facts, indent=2, default=str))
        return
    console = Console(highlight=False)
    plugin = facts["plugin"]
    title = Text(kind, "bold").append(f"  {facts['type']}", "dim")
    console.print(
        title.append(f" of plugin {plugin['name']} ({plugin['distribution']} {plugin['version']})", "dim")
    )
    for line in (facts["doc"], f"Source: {facts['source']}" if facts["source"] else ""):
        if line:
            console.print(Text(line))
    for index, (name, method) in enumerate(facts.get("methods", {}).items()):
        default = "  (default)" if index == 0 else ""
        console.print(Text(f"\nmethod {name}", "bold").append(default, "dim"))
        _body(console, method)
    _body(console, facts)
    console.print(Text(f"\n{_notes(facts)}", "dim"))
    _legend(console, facts)


def _body(console: Console, facts: Mapping[str, Any]) -> None:
    """Doc, ports and config of a method; ports, uses and config of an op."""
    if "kind" not in facts and facts["doc"]:
        console.print(Padding(Text(facts["doc"]), (0, 2)))
    for title, sign in (("inputs", "in"), ("returns", "out"), ("uses", "use")):
        if facts.get(title):
            table = _table(sign, "role" if sign == "use" else "type")
            for name, text in facts[title].items():
                table.add_row(Text(name), Text(text))
            console.print(Padding(table, (0, 2)))
    if facts["config"]:
        console.print(Padding(_config_table(facts["config"]), (1, 2, 0, 2)))


def _config_table(fields: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("config", "type = default")
    for field in fields:
        default = "" if field["required"] else f" = {json.dumps(field['default'], default=str)}"
        first = Text(field["type"] + default + (", required" if field["required"] else ""))
        about = "; ".join(t for t in (field["description"].rstrip("."), field["limits"]) if t)
        table.add_row(Text(field["name"]), first.append(f"\n{about}", "dim") if about else first)
    return table


def _notes(facts: Mapping[str, Any]) -> str:
    notes = []
    if facts["type"] == "model":
        notes.append("has weights" if facts["weights"] else "has no weights")
    if facts.get("parts"):
        notes.append("made of parts, so it can be cut into pipeline stages")
    if facts.get("noise") or any(m["noise"] for m in facts.get("methods", {}).values()):
        notes.append("draws noise keyed by seed, node and element")
    if facts.get("pure") is False:
        notes.append("never cached")
    code = facts.get("builder") or facts.get("function")
    return "; ".join([*notes, f"code: {code}"] if code else notes) or "expands to other nodes when compiled"


def _legend(console: Console, facts: Mapping[str, Any]) -> None:
    sides = [facts, *facts.get("methods", {}).values()]
    texts = [t for s in sides for side in ("inputs", "returns") for t in s.get(side, {}).values()]
    used = {n for t in texts for dims in re.findall(r"\[([^]]*)\]", t) for n in re.findall(r"\$?\w+", dims)}
    legend = [f"{name} {meaning}" for name, meaning in AXES.items() if name in used]
    if any(n.startswith("$") for n in used):
        legend.append("$x the config value x")
    if any(t.endswith("?") for t in texts):
        legend.append("? may be absent")
    if legend:
        console.print(Text("axes: " + ", ".join(legend), "dim"))


def _table(*titles: str) -> Table:
    """The first column keeps its width, the last folds."""
    table = Table(box=None, pad_edge=False)
    for index, title in enumerate(titles):
        table.add_column(title, style="" if index else "bold", header_style="dim", no_wrap=not index)
    return table
