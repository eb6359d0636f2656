"""What a user calls a value (`image`, `cond.embeds`, `noise`) -> the port that makes it."""

from __future__ import annotations

from mmm_graph.errors import InputError, did_you_mean, problem
from mmm_graph.graph.graph import Graph, Loop, Ref, walk


def find_value(graph: Graph, name: str) -> Ref:
    """The value of an output, an alias, a `node.port`, a `node` (its first port), or an input `$in.x`.

    Raises:
        InputError: E308, there is no such value; E309, it is inside a loop, where it has a value every turn.
    """
    if name in graph.outputs:
        return graph.outputs[name].ref
    if name in graph.aliases:
        return graph.aliases[name]
    path, _, port = name.rpartition(".")
    if path == graph.source and port in graph.inputs:
        return Ref(path, port)
    top = {n.path: n for n in graph.nodes}
    if path in top and port in top[path].outputs:
        return Ref(path, port)
    for node, first in [(n, p) for n in graph.nodes for p in list(n.outputs)[:1]]:
        if node.path == name:
            return Ref(name, first)
    first_port = next((ref for alias, ref in graph.aliases.items() if alias.rpartition(".")[0] == name), None)
    if first_port is not None:  # a subgraph or composite, which is no node any more
        return first_port
    for at in range(len(name)):  # ports of Cond values have a dot themselves
        if name[at] == "." and name[:at] in top and name[at + 1 :] in top[name[:at]].outputs:
            return Ref(name[:at], name[at + 1 :])
    _refuse(graph, name)
    raise AssertionError("unreachable")


def _refuse(graph: Graph, name: str) -> None:
    for loop in (n for n in graph.nodes if isinstance(n, Loop)):
        if any(name == n.path or name.startswith(n.path + ".") for n in walk(loop.body)):
            hint = f"give it a name under `out:` or `collect:` of {loop.path}"
            raise InputError(problem("E309", f"{name} is inside the loop {loop.path}", loop.place, hint))
    known = [*graph.outputs, *graph.aliases, *(a.rpartition(".")[0] for a in graph.aliases)]
    known += [text for n in graph.nodes for text in (n.path, *(f"{n.path}.{p}" for p in n.outputs))]
    hint = did_you_mean(name, known)
    raise InputError(problem("E308", f"there is no value {name!r}", hint=hint))
