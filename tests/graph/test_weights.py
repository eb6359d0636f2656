"""A graph may leave out what the weights say: what it says itself counts, and what cannot be read is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import mmm_graph as mmm
from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.weights import configs_of_weights
from mmm_graph.registry import Registry, load_registry
from mmm_graph.spec import load_spec, to_yaml
from tests.foreign.folders import PLUGIN, checkpoint


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(extra_files=[PLUGIN])


def tree(**model: Any) -> dict[str, Any]:
    return {
        **{"mmm": 1, "inputs": {"x": "Embeds[b,d]"}, "outputs": {"y": "y"}},
        "params": {"at": {"type": "str", "default": "file:c/net"}},
        "models": {"net": {"kind": "encoder.toy", **model}},
        "nodes": {"y": {"call": "net", "in": {"x": "$in.x"}}},
    }


def compiled(folder: Path, registry: Registry, **model: Any) -> tuple[Any, list[str]]:
    """(the config of the model, warnings)."""
    graph = compile_graph(load_spec(tree(**model), base=folder), registry)
    return graph.models["net"].config, [str(w) for w in graph.warnings]


@pytest.mark.parametrize(
    ("model", "width", "scale"),
    [
        ({"weights": "file:c/net"}, 3, 1.0),
        ({"weights": "$params.at"}, 3, 1.0),
        ({"weights": "file:c/net/diffusion_pytorch_model.safetensors"}, 3, 1.0),
        ({"weights": "file:c/net", "config": {"scale": 2.0}}, 3, 2.0),
        ({"weights": "file:c/net", "config": {"width": 7}}, 7, 1.0),
    ],
)
def test_field_by_field(tmp_path: Path, registry: Registry, model: Any, width: int, scale: float) -> None:
    checkpoint(tmp_path / "c")
    config, warnings = compiled(tmp_path, registry, **model)
    assert (config.width, config.scale, warnings) == (width, scale, [])


def test_it_runs_with_the_sizes_of_the_weights(tmp_path: Path, registry: Registry) -> None:
    """And not with others, which are an error as ever; what is saved says them itself."""
    checkpoint(tmp_path / "c")
    x = torch.randn(2, 3)
    session = mmm.load(tree(weights="file:c/net", config={"scale": 2.0}), base=tmp_path, registry=registry)
    found = session.run(x=x)["y"]
    with pytest.raises(
        mmm.errors.RunError, match=r"E610.*linear.weight.: \[3, 3\] in the file, \[7, 7\] in the mo"
    ):
        mmm.load(tree(weights="file:c/net", config={"width": 7}), base=tmp_path, registry=registry).run(
            x=torch.randn(2, 7)
        )
    saved = session.save(tmp_path / "out")
    (tmp_path / "c" / "net" / "config.json").unlink()
    assert torch.equal(mmm.load(saved, registry=registry).run(x=x)["y"], found)


def test_what_a_saved_graph_has_to_say(tmp_path: Path, registry: Registry) -> None:
    """No more than what the weights said and the file did not; defaults go without saying."""
    checkpoint(tmp_path / "c", config={"hidden_size": 5})
    for model, said in (({}, {"net": {"width": 5}}), ({"config": {"width": 5}}, {})):
        spec = load_spec(tree(weights="file:c/net", **model), base=tmp_path)
        assert configs_of_weights(spec, registry, ["net"]) == said


def test_weights_that_are_not_there(tmp_path: Path, registry: Registry) -> None:
    """The graph can be checked; a word is lost only where its config is the default altogether."""
    config, warnings = compiled(tmp_path, registry, weights="file:c/net")
    assert config.width == 3
    (said,) = warnings
    assert "W615" in said and "net: file:c/net is not on this machine" in said and "models.net.config" in said
    for more in ({"config": {"scale": 2.0}}, {"init": "default"}):
        assert compiled(tmp_path, registry, weights="file:c/net", **more)[1] == []
    (said,) = compiled(tmp_path, registry, weights="s3:bucket/net")[1]
    assert "W615" in said
    (tmp_path / "c" / "net").mkdir(parents=True)
    (said,) = compiled(tmp_path, registry, weights="file:c/net")[1]
    assert "W615" in said and "net: " in said and "has no config.json" in said


@pytest.mark.parametrize(
    ("config", "code", "stands"),
    [
        ("{", "616", False),
        ('{"_class_name": "Other"}', "617", True),
        ('{"_class_name": "TheirToy"}', "618", True),
    ],
)
def test_a_config_that_cannot_be_read(
    tmp_path: Path, registry: Registry, config: str, code: str, stands: bool
) -> None:
    """It is an error; where the graph has a config and the file is not damaged, that stands, with a warning."""
    file = checkpoint(tmp_path / "c") / "net" / "config.json"
    file.write_text(config)
    graph = tmp_path / "graph.yaml"
    graph.write_text(to_yaml(tree(weights="file:c/net")))
    with pytest.raises(InputError, match=rf"graph.yaml:\d+:\d+ error.E{code}. net: ") as caught:
        compile_graph(load_spec(graph), registry)
    assert ("models.net.config" if stands else "fetch it again") in str(caught.value)
    if stands:
        found, (said,) = compiled(tmp_path, registry, weights="file:c/net", config={"scale": 2.0})
        assert "W619" in said and found.scale == 2.0
    else:
        with pytest.raises(InputError, match=f"E{code}"):
            compiled(tmp_path, registry, weights="file:c/net", config={"scale": 2.0})


def test_sizes_that_the_kind_refuses(tmp_path: Path, registry: Registry) -> None:
    checkpoint(tmp_path / "c", config={"hidden_size": "five"})
    with pytest.raises(InputError, match=r"E618.*the config in .*net is refused: width: "):
        compiled(tmp_path, registry, weights="file:c/net")
