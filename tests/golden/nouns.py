"""A graph file -> the text of each noun that it becomes, free of places and paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.sections import compile_all
from mmm_graph.plan.arrange import arrange
from mmm_graph.plan.describe import program
from mmm_graph.plan.ops import ALL, WHOLE, Free, Instruction, Reads, Recv, Repeat, Run, Send, Value
from mmm_graph.plan.place import make_plan
from mmm_graph.registry import Registry
from mmm_graph.spec import dump_tree, load_spec
from mmm_graph.spec.plan_file import find_plan
from mmm_graph.view.json import dump_json

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = ("graphs/digits/ddpm.yaml", "graphs/digits/ldm.yaml", "graphs/digits/dit.yaml")
UPDATE = "python -m tests.golden.update"
TURNS = "3"
"""Denoising steps of the programs: a first turn, one in between, and a last one."""
PLANS = {"dit": ("pipe2", "cfg2_pipe2")}
"""Plans of a file whose Programs are kept for every rank."""


def golden_texts(registry: Registry) -> dict[str, str]:
    """File name in this folder -> what it should hold."""
    found: dict[str, str] = {}
    for file in FILES:
        found |= {f"{Path(file).stem}.{k}": text for k, text in _nouns(ROOT / file, registry).items()}
    return found


def _nouns(path: Path, registry: Registry) -> dict[str, str]:
    spec = load_spec(path)
    found = {"spec.json": dump_json(dump_tree(spec))}
    for section, graph in compile_all(spec, registry).items():
        found[f"{section}.graph.json"] = dump_json(graph)
        found[f"{section}.plan.json"] = dump_json(make_plan(graph, registry))
    for section, graph in compile_all(load_spec(path, sets={"steps": TURNS}), registry).items():
        items = program(graph, registry, make_plan(graph, registry))
        found[f"{section}.program.txt"] = "".join(f"{line}\n" for line in program_lines(items))
    for name in PLANS.get(path.stem, ()):
        found |= {f"main.{name}.{k}": text for k, text in _planned(path, registry, name).items()}
    return found


def _planned(path: Path, registry: Registry, name: str) -> dict[str, str]:
    """The plan of that name, and what each of its ranks does."""
    spec = load_spec(path, sets={"steps": TURNS})
    graph, named = compile_graph(spec, registry), find_plan(spec, name)
    plan = arrange(graph, registry, named.spec, name=name)
    found = {"plan.json": dump_json(plan)}
    for rank in range(plan.ranks):
        lines = program_lines(program(graph, registry, plan, rank))
        found[f"rank{rank}.program.txt"] = "".join(f"{line}\n" for line in lines)
    return found


def program_lines(items: Iterator[Instruction] | tuple[Instruction, ...]) -> Iterator[str]:
    """One line an instruction, with every value that it reads, writes or forgets.

    `[i]` is the turn a value belongs to, `/p1` its patch, `/0:4` its rows, `/1of2` its share of the batch.
    """
    for item in items:
        if isinstance(item, Run):
            yield f"run {' '.join(map(str, item.fn))}: {_pairs(item.reads)} -> {_pairs(item.writes)}"
        elif isinstance(item, Free):
            yield "free " + ", ".join(map(_value, item.values))
        elif isinstance(item, Repeat):
            yield f"repeat {item.node} until {item.flag and _value(item.flag)}, at most {item.limit}"
            yield from (f"  {line}" for line in program_lines(item.body))
        else:
            assert isinstance(item, Send | Recv)
            way = f"send to {item.to}" if isinstance(item, Send) else f"recv from {item.source}"
            yield f"{way}{' late' if item.late else ''}: {_value(item.value)}"


def _pairs(pairs: Reads) -> str:
    return ", ".join(f"{key}={_value(value)}" for key, value in pairs)


def _value(value: Value) -> str:
    place = "" if value.patch == ALL else f"/p{value.patch}"
    place += "" if value.span is None else f"/{value.span[0]}:{value.span[1]}"
    place += "" if value.share == WHOLE else f"/{value.share[0]}of{value.share[1]}"
    return value.name + "".join(f"[{i}]" for i in value.step) + place
