"""Models of one checkpoint -> that checkpoint again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import mmm_graph as mmm
from mmm_graph.api.export_shared import find_shared
from mmm_graph.api.session import Session
from mmm_graph.registry import load_registry, resolve

SIZES = {"vocab_size": 9, "max_length": 5, "width": 8, "depth": 1, "num_heads": 2, "hidden": 8, "eos_id": 8}
GRAPH = {
    "mmm": 1,
    "inputs": {"ids": "Ids[b,t]"},
    "models": {
        "words": {"kind": "encoder.text", "weights": "file:in", "config": SIZES},
        "scale": {"kind": "projector.temperature", "weights": "file:in", "config": {}},
    },
    "nodes": {
        "enc": {"call": "words.pooled", "in": {"ids": "$in.ids"}},
        "t": {"call": "scale"},
        "y": {"op": "embeds.cosine_logits", "in": {"query": "enc", "keys": "enc", "scale": "t"}},
    },
    "outputs": {"y": "y"},
}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Two models in a folder that holds a third one, a tokenizer and a pickle."""
    kind = load_registry().models["encoder.text"]
    config = kind.config(**SIZES)
    state = resolve(kind.builder)(config).state_dict()
    shapes = {name.removeprefix("parts."): value for name, value in state.items()}
    rows = next(la for la in kind.layouts if la.name == "half of CLIPModel").theirs(shapes, config)
    tensors = {row.names[0]: shapes[name].clone() for name, row in rows.items()}
    tensors |= {"logit_scale": torch.tensor(1.5), "vision_model.x": torch.arange(3.0)}
    (tmp_path / "in").mkdir()
    save_file(tensors, tmp_path / "in" / "model.safetensors")
    (tmp_path / "in" / "config.json").write_text(json.dumps({"architectures": ["CLIPModel"]}))
    (tmp_path / "in" / "vocab.json").write_text("{}")
    (tmp_path / "in" / "pytorch_model.bin").write_bytes(b"")
    found = mmm.load(GRAPH, base=tmp_path)
    with torch.no_grad():
        for model in ("words", "scale"):
            for weight in found.module(model).parameters():
                weight.add_(1.0)
    return found


def test_all_that_shares_it_is_written_anew_and_the_rest_comes_along(
    tmp_path: Path, session: Session
) -> None:
    assert session.export(tmp_path / "out") == ("config.json", "model.safetensors", "vocab.json")
    old, new = (load_file(tmp_path / name / "model.safetensors") for name in ("in", "out"))
    assert old.keys() == new.keys() and torch.equal(new["vision_model.x"], old["vision_model.x"])
    assert all(torch.equal(new[n], old[n] + 1) for n in old if n != "vision_model.x")


def test_what_is_not_asked_for_stays_as_it_was(tmp_path: Path, session: Session) -> None:
    session.export(tmp_path / "out", ["words"])
    old, new = (load_file(tmp_path / name / "model.safetensors") for name in ("in", "out"))
    assert torch.equal(new["logit_scale"], old["logit_scale"])
    assert torch.equal(new["text_model.final_layer_norm.bias"], old["text_model.final_layer_norm.bias"] + 1)


def test_what_does_not_share_a_model_of_another_library(tmp_path: Path, session: Session) -> None:
    registry, nodes = load_registry(), session.graph.models
    shared = find_shared(nodes, registry, tmp_path)
    assert shared.keys() == {"words", "scale"} and shared["words"].members == {"words": "", "scale": ""}
    assert find_shared({"words": nodes["words"]}, registry, tmp_path) == {}
    (tmp_path / "in" / "config.json").unlink()  # a file of its own sort, such as a single file of a pipeline
    assert find_shared(nodes, registry, tmp_path) == {}
