"""A file with all models of a pipeline -> a graph that reads all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import mmm_graph as mmm
from mmm_graph.api.convert import Imported, SingleFile, import_graph
from mmm_graph.errors import MmmError
from mmm_graph.registry import Registry, load_registry
from tests.foreign.folders import PLUGIN, single_file


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(extra_files=[PLUGIN])


def read(path: Path, registry: Registry, single: SingleFile | None = None) -> Imported:
    return import_graph(str(path), path.parent / "g.yaml", registry, single=single)


def test_the_graph_runs_with_the_weights_of_the_file(tmp_path: Path, registry: Registry) -> None:
    path = single_file(tmp_path / "their v1.5.safetensors", **{"average.dense.weight": torch.zeros(1)})
    made = read(path, registry)
    assert made.tree["name"] == "their-v1-5" and made.tree["params"]["steps"]["default"] == 2
    assert made.notes == ("the average (average.dense.weight) is left out: it is not used",)
    x, theirs = torch.randn(2, 3), load_file(path)
    found = mmm.load(made.tree, registry=registry, base=tmp_path).run(x=x)["y"]
    torch.testing.assert_close(found, x @ theirs["net.dense.weight"].T + theirs["net.dense.bias"])


def test_names_of_tensors_do_not_leave_the_comment(tmp_path: Path, registry: Registry) -> None:
    path = single_file(
        tmp_path / "a.safetensors", **{"average.\nparams: {x: {type: int}}\r\x00": torch.zeros(1)}
    )
    (tmp_path / "g.yaml").write_text(read(path, registry).text)
    assert mmm.load(tmp_path / "g.yaml", registry=registry).spec.params.keys() == {"steps"}


def refused(path: Path, registry: Registry, single: SingleFile | None = None) -> str:
    with pytest.raises(MmmError) as caught:
        read(path, registry, single)
    return str(caught.value)


def test_no_tensor_is_dropped_in_silence(tmp_path: Path, registry: Registry) -> None:
    path = single_file(tmp_path / "a.safetensors", network=torch.zeros(1), b=torch.zeros(1))
    said = refused(path, registry)
    assert "E612" in said and "no model of the graph would read: b, network" in said and "--ignore" in said
    notes = read(path, registry, SingleFile(ignore=("b", "netw"))).notes
    assert notes == ("b* (b) is left out: you said so", "netw* (network) is left out: you said so")


def test_tensors_that_do_not_fit_are_told_when_it_is_imported(tmp_path: Path, registry: Registry) -> None:
    path = single_file(tmp_path / "a.safetensors", **{"net.more": torch.zeros(1)})
    assert "E610" in refused(path, registry) and "1 not used (more)" in refused(path, registry)
    path = single_file(tmp_path / "b.safetensors")
    assert "of another shape" in refused(path, registry, SingleFile(prediction="v"))


def test_a_file_of_no_sort_that_is_known(tmp_path: Path, registry: Registry) -> None:
    save_file({"fish": torch.zeros(1)}, tmp_path / "a.safetensors")
    assert "E612" in refused(tmp_path / "a.safetensors", registry)
    assert "no sort of file that is known: fish" in refused(tmp_path / "a.safetensors", registry)


def test_a_file_that_is_damaged(tmp_path: Path, registry: Registry) -> None:
    path = single_file(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    assert "E605" in refused(path, registry)
    torch.save({}, tmp_path / "a.ckpt")
    assert "E604" in refused(tmp_path / "a.ckpt", registry)
