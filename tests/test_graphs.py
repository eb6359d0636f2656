"""Every shipped graph compiles and plans; the nouns of the digits graphs are those of tests/golden."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.sections import compile_all
from mmm_graph.plan.arrange import arrange
from mmm_graph.plan.describe import program
from mmm_graph.plan.place import make_plan
from mmm_graph.registry import Registry, load_registry
from mmm_graph.spec import load_spec
from mmm_graph.spec.plan_file import find_plan
from tests.golden.nouns import FILES, HERE, UPDATE, golden_texts
from tests.plan.helpers import check_blocking, check_messages

ROOT = Path(__file__).resolve().parent.parent
GRAPHS = sorted(
    p for folder in ("graphs", "docs/examples", "tests/graphs") for p in (ROOT / folder).rglob("*.yaml")
)


def _plan_names(path: Path) -> list[str]:
    parallel = load_spec(path).parallel
    return list(parallel.plans) if parallel is not None else []


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(strict=True)


@pytest.fixture(scope="module")
def texts(registry: Registry) -> dict[str, str]:
    return golden_texts(registry)


def test_the_digits_graphs_are_there():
    assert {ROOT / file for file in FILES} <= set(GRAPHS)


@pytest.mark.parametrize("path", GRAPHS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_section_compiles_and_plans(path: Path, registry: Registry):
    for graph in compile_all(load_spec(path), registry).values():
        assert [w for w in graph.warnings if w.code != "W615"] == []  # weights that are not here
        assert any(True for _ in program(graph, registry, make_plan(graph, registry)))


PLANNED = [(path, name) for path in GRAPHS for name in _plan_names(path)]


@pytest.mark.parametrize(("path", "name"), PLANNED, ids=lambda p: p.stem if isinstance(p, Path) else p)
def test_every_plan_is_legal_and_its_programs_fit_together(path: Path, name: str, registry: Registry):
    short = {name: "3" for name in ("steps", "max_new_tokens") if name in load_spec(path).params}
    spec = load_spec(path, sets=short)
    graph, named = compile_graph(spec, registry), find_plan(spec, name)
    plan = arrange(graph, registry, named.spec, name=name, place=named.place)
    programs = {rank: list(program(graph, registry, plan, rank)) for rank in range(plan.ranks)}
    check_messages(programs)
    check_blocking(programs)


def test_every_noun_has_a_golden_file(texts: dict[str, str]):
    kept = {p.name for p in HERE.iterdir() if p.suffix in (".json", ".txt")}
    assert sorted(texts) == sorted(kept), f"run: {UPDATE}"


@pytest.mark.parametrize("stem", [Path(file).stem for file in FILES])
def test_nouns_are_the_golden_ones(stem: str, texts: dict[str, str]):
    changed = []
    for name, text in texts.items():
        golden = HERE / name
        old = golden.read_text(encoding="utf-8") if golden.exists() else ""
        if name.startswith(f"{stem}.") and old != text:
            changed += difflib.unified_diff(
                old.splitlines(), text.splitlines(), name, "now", lineterm="", n=2
            )
    shown = "\n".join(
        [*changed[:60], f"... {len(changed) - 60} more lines"] if len(changed) > 60 else changed
    )
    assert not changed, f"if this is meant, run: {UPDATE}\n{shown}"


def test_golden_files_name_no_place():
    here = [p.name for p in HERE.iterdir() if p.is_file() and str(ROOT) in p.read_text(encoding="utf-8")]
    assert here == []
