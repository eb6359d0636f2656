"""Opening the data of sections."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.errors import InputError, RunError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.spec import DataSpec
from mmm_graph.train.data import Source, Sources
from tests.train.toys import REGISTRY, toy_spec

WHERE = ("train", "stages", "fit", "data")


def opened(path: Path, *data: DataSpec) -> list[Source]:
    spec = toy_spec(path)
    graph = compile_graph(spec, REGISTRY, "train.fit")
    sources = Sources(spec, REGISTRY)
    return [sources.open(graph, one, WHERE) for one in data]


def line(**config: object) -> DataSpec:
    return DataSpec(op="data.line", config=config)


def test_columns_come_with_their_types(tmp_path: Path) -> None:
    (source,) = opened(tmp_path, line(batch=3))
    assert {name: type_.kind for name, type_ in source.columns.items()} == {
        "x": "Embeds",
        "y": "Embeds",
        "name": "Text",
    }
    assert (source.batch, len(source.dataset)) == (3, 10)


def test_equal_data_is_opened_once(tmp_path: Path) -> None:
    first, second, third = opened(tmp_path, line(), line(), line(count=5))
    assert first.dataset is second.dataset
    assert third.dataset is not first.dataset
    assert first.identity != third.identity


def test_files_are_relative_to_the_graph(tmp_path: Path) -> None:
    (tmp_path / "shift.txt").write_text("2.5")
    plain, shifted = opened(tmp_path, line(), line(path="file:shift.txt"))
    assert (shifted.dataset[0]["x"] - plain.dataset[0]["x"]).tolist() == pytest.approx([2.5] * 3)
    with pytest.raises(RunError, match=r"E822.*data.line cannot be opened: FileNotFoundError"):
        opened(tmp_path, line(path="file:missing.txt"))


def test_several_sources_and_each_are_refused(tmp_path: Path) -> None:
    spec = toy_spec(tmp_path)
    graph = compile_graph(spec, REGISTRY, "train.fit")
    with pytest.raises(InputError, match=r"E814.*several sources \(a, b\)"):
        Sources(spec, REGISTRY).open(graph, {"a": line(), "b": line()}, WHERE)
    with pytest.raises(InputError, match=r"E814.*no data"):
        Sources(spec, REGISTRY).open(graph, None, WHERE)
    with pytest.raises(InputError, match=r"E814.*`each:`"):
        opened(tmp_path, DataSpec(op="data.line", each="prepare"))
