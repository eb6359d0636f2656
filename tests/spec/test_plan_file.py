"""`--plan`: a plan of the graph file, or of a file of plans beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.errors import InputError, Place
from mmm_graph.spec import load_spec
from mmm_graph.spec.plan_file import find_plan, read_plan

GRAPH = """
mmm: 1
inputs: {x: "Text[b]"}
models: {}
nodes: {}
outputs: {}
parallel:
  plans:
    pipe2: {ranks: 2, pipe: {net: 2}}
    cfg2:  {ranks: 2, axes: {net: {cfg: 2}}}
"""
PLANS = """
parallel:
  plans:
    all8: {ranks: 8, axes: {net: {ring: 8}}}
"""


def test_a_plan_of_the_file() -> None:
    found = find_plan(load_spec(GRAPH), "cfg2")
    assert (found.name, found.spec.ranks, found.spec.axes["net"]["cfg"].size) == ("cfg2", 2, 2)
    assert found.place == Place("<text>", 10, 5)


def test_a_plan_of_another_file(tmp_path: Path) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text(PLANS, encoding="utf-8")
    spec = load_spec(GRAPH)
    for text in (f"{path}#all8", str(path)):  # with one plan its name may be left out
        found = find_plan(spec, text)
        assert (found.name, found.spec.ranks) == ("all8", 8)
        assert found.place is not None and found.place.line == 4


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("pipe3", "has no plan 'pipe3'", "did you mean pipe2?"),
        ("zzz", "has no plan 'zzz'", "cfg2, pipe2"),
        ("FILE#zzz", "has no plan 'zzz'", "all8"),
    ],
)
def test_there_is_no_such_plan(text: str, message: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text(PLANS, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        find_plan(load_spec(GRAPH), text.replace("FILE", str(path)))
    (found,) = caught.value.problems
    assert found.code == "E523" and message in found.message and hint in found.hint


def test_a_file_of_several_plans_needs_a_name(tmp_path: Path) -> None:
    path = tmp_path / "plans.yml"
    path.write_text(PLANS + "    two: {ranks: 2}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"E523.* has 2 plans"):
        find_plan(load_spec(GRAPH), str(path))


def test_a_graph_without_plans() -> None:
    with pytest.raises(InputError, match=r"E523.*has no plan 'x'\n.*write one under `parallel:`"):
        find_plan(load_spec(GRAPH.partition("parallel:")[0]), "x")


def test_what_is_wrong_with_a_file_of_plans_has_its_place(tmp_path: Path) -> None:
    path = tmp_path / "plans.yaml"
    path.write_text(PLANS.replace("ring", "rows"), encoding="utf-8")
    with pytest.raises(InputError, match=r"plans\.yaml:4:"):
        find_plan(load_spec(GRAPH), f"{path}#all8")
    path.write_text("mmm: 1\n" + PLANS, encoding="utf-8")
    with pytest.raises(InputError, match=r"plans\.yaml:1:1 .*mmm"):
        find_plan(load_spec(GRAPH), f"{path}#all8")


def test_a_plan_that_was_dumped_is_read_again() -> None:
    found = find_plan(load_spec(GRAPH), "pipe2")
    again = read_plan(found.dump(), Place("image.png"))
    assert (again.spec, again.name, again.place) == (found.spec, "pipe2", Place("image.png"))
    for broken in ({}, {"name": "x", "spec": {"ranks": 0}}):
        with pytest.raises(InputError, match="E523"):
            read_plan(broken, Place("image.png"))
