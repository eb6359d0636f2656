"""A folder -> a graph file that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import mmm_graph as mmm
from mmm_graph.api.convert import import_graph
from mmm_graph.errors import InputError
from mmm_graph.registry import Registry, load_registry
from tests.foreign.folders import PLUGIN, checkpoint


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(extra_files=[PLUGIN])


def test_the_file_runs_with_their_weights(tmp_path: Path, registry: Registry) -> None:
    checkpoint(tmp_path / "in" / "their model")
    target = tmp_path / "graphs" / "g.yaml"
    made = import_graph(str(tmp_path / "in" / "their model"), target, registry)
    target.parent.mkdir()
    target.write_text(made.text)
    assert "weights: 'file:../in/their model/net'" in made.text and made.tree["name"] == "their-model"
    x = torch.randn(2, 3)
    theirs = load_file(tmp_path / "in" / "their model" / "net" / "diffusion_pytorch_model.safetensors")
    found = mmm.load(target, registry=registry).run(x=x)["y"]
    torch.testing.assert_close(found, x @ theirs["dense.weight"].T + theirs["dense.bias"])


def test_the_dtype_of_the_weights(tmp_path: Path, registry: Registry) -> None:
    made = import_graph(str(checkpoint(tmp_path / "c")), tmp_path / "g.yaml", registry, dtype="bf16")
    assert made.tree["models"]["net"]["dtype"] == "bf16"


@pytest.mark.parametrize(
    ("inner", "said"), [("nothing", "does not exist"), ("model_index.json", "is a file"), ("net", "TheirToy")]
)
def test_what_is_no_pipeline(tmp_path: Path, registry: Registry, inner: str, said: str) -> None:
    checkpoint(tmp_path)
    with pytest.raises(InputError) as caught:
        import_graph(str(tmp_path / inner), tmp_path / "g.yaml", registry)
    assert said in str(caught.value) and "E612" in str(caught.value)


def test_a_part_that_is_no_graph(tmp_path: Path, registry: Registry) -> None:
    checkpoint(tmp_path)
    config = tmp_path / "scheduler" / "scheduler_config.json"
    config.write_text('{"_class_name": "TheirScheduler", "steps": 3}')
    with pytest.raises(InputError, match="a part of a pipeline and no graph"):
        import_graph(str(tmp_path / "scheduler"), tmp_path / "g.yaml", registry)
