"""A graph file -> the text of each noun that it becomes, free of places and paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmm_graph.graph.sections import compile_all
from mmm_graph.plan.describe import program
from mmm_graph.plan.ops import Free, Instruction, Reads, Recv, Repeat, Run, Send, Value
from mmm_graph.plan.place import make_plan
from mmm_graph.registry import Registry
from mmm_graph.spec import dump_tree, load_spec
from mmm_graph.view.json import dump_json

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FILES = ("graphs/digits/ddpm.yaml", "graphs/digits/ldm.yaml", "graphs/digits/dit.yaml")
UPDATE = "python -m tests.golden.update"
TURNS = "3"
"""Denoising steps of the programs: a first turn, one in between, and a last one."""


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
    return found


def program_lines(items: Iterator[Instruction] | tuple[Instruction, ...]) -> Iterator[str]:
    """One line an instruction, with every value that it reads, writes or forgets; `[i]` is the turn it belongs to."""
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
            yield f"{type(item).__name__.lower()} {_value(item.value)}"


def _pairs(pairs: Reads) -> str:
    return ", ".join(f"{key}={_value(value)}" for key, value in pairs)


def _value(value: Value) -> str:
    return value.name + "".join(f"[{i}]" for i in value.step)
