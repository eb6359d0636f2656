"""A graph -> the folder of another library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.api.session import Session
from mmm_graph.errors import InputError, RunError
from mmm_graph.registry import Registry, load_registry
from tests.foreign.folders import PLUGIN, checkpoint

NET = {
    "mmm": 1,
    "inputs": {"x": "Embeds[b,d]"},
    "models": {"net": {"kind": "encoder.toy", "init": "default", "config": {"width": 4}}},
    "nodes": {"y": {"call": "net", "in": {"x": "$in.x"}}},
    "outputs": {"y": "y"},
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(extra_files=[PLUGIN])


@pytest.fixture
def imported(tmp_path: Path, registry: Registry) -> Session:
    made = import_graph(str(checkpoint(tmp_path / "in")), tmp_path / "g.yaml", registry)
    return mmm.load(made.tree, base=tmp_path, registry=registry)


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_what_came_from_a_pipeline_is_one_again(tmp_path: Path, imported: Session) -> None:
    assert imported.export(tmp_path / "out") == ("model_index.json", "net", "scheduler")
    before, after = files(tmp_path / "in"), files(tmp_path / "out")
    weights = "net/diffusion_pytorch_model.safetensors"
    assert before.keys() == after.keys()
    assert all(before[name] == after[name] for name in before if name != weights)
    old, new = load_file(tmp_path / "in" / weights), load_file(tmp_path / "out" / weights)
    assert old.keys() == new.keys() and all(torch.equal(old[name], new[name]) for name in old)


def test_a_model_of_ours_gets_a_config_of_theirs(tmp_path: Path, registry: Registry) -> None:
    session = mmm.load(NET, registry=registry)
    assert session.export(tmp_path / "out") == ("net",)
    config = json.loads((tmp_path / "out" / "net" / "config.json").read_text())
    assert config == {"_class_name": "TheirToy", "hidden_size": 4, "act": "none"}
    tensors = load_file(tmp_path / "out" / "net" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(tensors["dense.weight"], session.module("net").linear.weight)


def test_what_is_refused(tmp_path: Path, imported: Session) -> None:
    with pytest.raises(InputError, match=r"E301.*no model 'nat'"):
        imported.export(tmp_path / "out", ["nat"])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    with pytest.raises(InputError, match=r"E101.*is there already"):
        imported.export(tmp_path / "full")
    assert not (tmp_path / "out").exists() and (tmp_path / "full" / "mine").read_text() == "x"


def test_a_failure_leaves_nothing(tmp_path: Path, imported: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RunError([])

    monkeypatch.setattr("mmm_graph.api.export.save_foreign", fail)
    with pytest.raises(RunError):
        imported.export(tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
