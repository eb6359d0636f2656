"""Which values are worth keeping, and why others are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.graph.graph import Input, Ref
from mmm_graph.registry import load_registry
from mmm_graph.spec import load_spec
from mmm_graph.spec.ports import parse_port
from mmm_graph.train.data import Sources
from mmm_graph.train.frozen import find_frozen, frozen_values
from mmm_graph.train.stage import make_stage
from tests.train.toys import GRAPH, REGISTRY, toy_spec

CLEAN = GRAPH.replace(
    "        f:    {call: body, in: {x: x}}", "        f:    {call: body, in: {x: $data.x}}"
)


def kept(path: Path, text: str, *trained: str) -> list[str]:
    graph = compile_graph(toy_spec(path, text=text), REGISTRY, "train.fit")
    return [str(ref) for ref in frozen_values(graph, REGISTRY, trained)]


def test_what_frozen_models_make_of_the_data_alone(tmp_path: Path) -> None:
    assert kept(tmp_path, CLEAN, "head") == ["f.features"]
    assert kept(tmp_path, CLEAN, "body", "head") == []
    assert kept(tmp_path, CLEAN, "body") == []  # the head is frozen, but it reads what is trained


def test_noise_and_what_follows_from_it_are_not_kept(tmp_path: Path) -> None:
    assert kept(tmp_path, GRAPH, "head") == []


def test_only_what_others_read_is_kept(tmp_path: Path) -> None:
    """Op cut stands between the frozen body and the head: its value is kept, the body's is not."""
    text = CLEAN.replace(
        "{features: f}}\n        mse",
        "{features: c}}\n        c:    {op: toy.cut, in: {pred: f}}\n        mse",
    )
    assert text != CLEAN
    assert kept(tmp_path, text, "head") == ["c.pred"]


def test_a_node_that_is_no_function_of_the_sample_is_named(tmp_path: Path) -> None:
    """Noise ahead of the encoder, as a random augmentation is: the error says which node draws it."""
    sets = {"train.stages.fit.cache": "true", "train.stages.fit.train": "{head: full}"}
    spec = toy_spec(tmp_path, sets=sets)
    with pytest.raises(InputError, match=r"E817.*; f is no function of the sample: x draws noise"):
        make_stage(spec, REGISTRY, "fit", Sources(spec, REGISTRY))


def test_values_whose_rows_differ_in_size_are_left_out_with_a_reason(tmp_path: Path) -> None:
    graph = compile_graph(toy_spec(tmp_path, text=CLEAN), REGISTRY, "train.fit")
    node = graph.node("f")
    wide = replace(node, outputs={"features": parse_port("Embeds[b,t]")})
    nodes = tuple(wide if n.path == "f" else n for n in graph.nodes)
    found = find_frozen(replace(graph, nodes=nodes), REGISTRY, ["head"])
    assert found.values == ()
    assert found.left_out == {Ref("f", "features"): "rows of Embeds[b,t] differ in size from batch to batch"}
    optional = {**graph.inputs, "x": Input(parse_port("Embeds[b,3]?"))}
    found = find_frozen(replace(graph, inputs=optional), REGISTRY, ["head"])
    assert found.left_out == {Ref("f", "features"): "not every sample has x"}


def test_an_autoencoder_that_takes_the_mode_draws_nothing(root: Path) -> None:
    registry = load_registry()
    for sample, values in ((False, ["z.latents"]), (True, [])):
        sets = {"train.stages.diffusion.nodes.z.config": f"{{sample: {str(sample).lower()}}}"}
        graph = compile_graph(
            load_spec(root / "graphs/digits/dit.yaml", sets=sets), registry, "train.diffusion"
        )
        found = find_frozen(graph, registry, ["dit"])
        assert [str(ref) for ref in found.values] == values
        assert ("z" in found.blocked) == sample
        assert found.blocked["cond/enc"] == "words draws noise"
