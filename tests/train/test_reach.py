"""Parts on the way to a loss."""

from __future__ import annotations

from pathlib import Path

from mmm_graph.graph.compile import compile_graph
from mmm_graph.train.reach import needed_models, needed_nodes, part_names, reached_parts
from tests.train.toys import GRAPH, REGISTRY, toy_spec


def test_all_parts_of_a_default_method_are_reached(tmp_path: Path) -> None:
    graph = compile_graph(toy_spec(tmp_path), REGISTRY, "train.fit")
    assert part_names(graph, REGISTRY, "body") == ("stem", "block0", "block1", "last")
    assert reached_parts(graph, REGISTRY) == {"body": {"stem", "block0", "block1", "last"}, "head": {""}}
    assert needed_models(graph) == {"body", "head"}


def test_nodes_that_no_loss_reads_do_not_count(tmp_path: Path) -> None:
    text = GRAPH.replace("{pred: p, target: $data.y}", "{pred: x, target: x}").replace(
        "size: {op: loss.size, in: {pred: p}}", "size: {op: loss.size, in: {pred: s}}"
    )
    text = text.replace(
        "        p:    {call", "        s:    {call: body.short, in: {x: x}}\n        p:    {call"
    )
    graph = compile_graph(toy_spec(tmp_path, text=text), REGISTRY, "train.fit")
    assert {node.path for node in needed_nodes(graph)} == {"x", "s", "mse", "size"}
    assert reached_parts(graph, REGISTRY) == {"body": {"stem", "last"}}
