"""Where models start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmm_graph.errors import InputError
from mmm_graph.graph.compile import compile_graph
from mmm_graph.train.learns import Learns
from mmm_graph.train.start import Start, build_started, earlier_outputs, find_starts, free_weights
from tests.train.toys import GRAPH, REGISTRY, toy_spec

THREE = (
    GRAPH
    + """\
    second: {extends: fit, train: {head: full}}
    third:  {extends: fit, init_from: fit, train: {head: full}}
"""
)


def starts(
    path: Path, text: str = GRAPH, *, trained: tuple[str, ...] = (), outputs: dict[str, str] | None = None
) -> dict[str, str]:
    spec = toy_spec(path, text=text)
    nodes = compile_graph(spec, REGISTRY, "train.fit").models.values()
    return {
        k: str(v)
        for k, v in find_starts(spec, REGISTRY, nodes, trained=trained, outputs=outputs or {}).items()
    }


def test_later_stages_replace_earlier_ones_and_init_from_has_the_last_word(tmp_path: Path) -> None:
    spec = toy_spec(tmp_path, text=THREE)
    assert earlier_outputs(spec, "fit", ["fit", "second"], None) == {}
    assert earlier_outputs(spec, "third", ["fit", "second"], None) == {"body": "fit", "head": "second"}
    assert earlier_outputs(spec, "third", ["fit", "second"], "fit") == {"body": "fit", "head": "fit"}
    assert earlier_outputs(spec, "third", ["second"], "fit") == {"head": "second"}


def test_trained_models_prefer_init_and_frozen_ones_weights(tmp_path: Path) -> None:
    text = GRAPH.replace(
        "encoder.body, init: default", "encoder.body, init: default, weights: 'file:b.safetensors'"
    )
    assert starts(tmp_path, text, trained=("body", "head")) == {
        "body": "init default",
        "head": "init default",
    }
    assert starts(tmp_path, text, trained=("head",))["body"] == "weights file:b.safetensors"
    assert starts(tmp_path, text, trained=("head",), outputs={"body": "fit"})["body"] == "stage fit"


def test_what_is_trained_beside_its_weights_prefers_them_to_a_random_start(tmp_path: Path) -> None:
    """A LoRA of a stage that no stage before has trained: `weights:`, else `init:`, though this stage trains it."""
    spec = toy_spec(tmp_path)
    nodes = compile_graph(spec, REGISTRY, "train.fit").models.values()
    found = find_starts(spec, REGISTRY, nodes, trained=("head",), beside=("body",), outputs={})
    assert {name: str(start) for name, start in found.items()} == {
        "body": "init default",
        "head": "init default",
    }
    both = "encoder.body, init: default, weights: 'file:b.safetensors'"
    spec = toy_spec(tmp_path, text=GRAPH.replace("encoder.body, init: default", both))
    nodes = compile_graph(spec, REGISTRY, "train.fit").models.values()
    found = find_starts(spec, REGISTRY, nodes, trained=("head",), beside=("body",), outputs={})
    assert str(found["body"]) == "weights file:b.safetensors"


def test_a_frozen_model_that_some_stage_trains_is_not_left_at_random(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"E816.*model body is needed as stage fit trains it"):
        starts(tmp_path, trained=("head",))


def test_trained_weights_are_float32_whatever_the_file_says(tmp_path: Path) -> None:
    spec = toy_spec(tmp_path, text=GRAPH.replace("init: default}", "init: default, dtype: bf16}"))
    graph = compile_graph(spec, REGISTRY, "train.fit")
    begin = {"body": Start("init", "default"), "head": Start("init", "default")}
    learns = {"body": Learns(None)}
    built = build_started(spec, REGISTRY, graph, begin, learns=learns, out=tmp_path, device="cpu", seed=0)
    dtypes = {name: str(next(one.object.parameters()).dtype) for name, one in built.items()}
    assert dtypes == {"body": "torch.float32", "head": "torch.bfloat16"}


def test_only_trained_parts_are_set_free(tmp_path: Path) -> None:
    spec = toy_spec(tmp_path)
    graph = compile_graph(spec, REGISTRY, "train.fit")
    begin = {"body": Start("init", "default"), "head": Start("init", "default")}
    learns = {"body": Learns(("block1", "last"))}
    built = build_started(spec, REGISTRY, graph, begin, learns=learns, out=tmp_path, device="cpu", seed=0)
    models = free_weights(built, learns)
    free = {n.split(".")[1] for n, w in models["body"].named_parameters() if w.requires_grad}
    assert free == {"block1", "last"}
    assert not any(w.requires_grad for w in built["head"].object.parameters())
    assert models["body"].training and not built["head"].object.training
