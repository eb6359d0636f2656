"""All sections of a file at once."""

from __future__ import annotations

from mmm_graph.errors import InputError, Problem, problem
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Graph
from mmm_graph.registry import Registry
from mmm_graph.spec.graph import GraphSpec


def section_names(spec: GraphSpec) -> list[str]:
    """Every section of the file that has nodes: main, train.STAGE, eval.NAME."""
    stages = spec.train.stages if spec.train else {}
    main = ["main"] if spec.nodes or spec.outputs else []
    return [*main, *(f"train.{s}" for s in stages), *(f"eval.{e}" for e in spec.eval)]


def compile_all(spec: GraphSpec, registry: Registry) -> dict[str, Graph]:
    """Compile every section.

    Raises:
        InputError: with the problems of all sections, each once; or the file has no section at all.
    """
    problems: list[Problem] = []
    graphs: dict[str, Graph] = {}
    for name in section_names(spec):
        try:
            graphs[name] = compile_graph(spec, registry, name)
        except InputError as error:
            problems += [p for p in error.problems if p not in problems]
    if not graphs and not problems:
        hint = "add `nodes:` and `outputs:`"
        problems.append(problem("E203", "the file has nothing to run, train or evaluate", spec.place(), hint))
    if problems:
        raise InputError(problems)
    return graphs
