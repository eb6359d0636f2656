"""The files that training leaves: names, dtypes, links to other weights."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from mmm_graph.spec import load_spec
from mmm_graph.train.outputs import save_model, write_graph
from tests.train.toys import GRAPH, Body, BodyConfig, toy_spec


def test_names_lose_parts_and_floats_are_cast(tmp_path: Path) -> None:
    body = Body(BodyConfig(width=4, blocks=1))
    body.register_buffer("count", torch.tensor([3]))
    save_model(tmp_path / "b.safetensors", body, dtype="bf16", about={"steps": 3})
    state = load_file(tmp_path / "b.safetensors")
    assert state["stem.linear.weight"].dtype == torch.bfloat16
    assert state["count"].tolist() == [3]
    with safe_open(tmp_path / "b.safetensors", "pt") as file:
        assert file.metadata() == {"mmm": '{"steps": 3}'}


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 2, bias=False)
            self.b = self.a

    save_model(tmp_path / "t.safetensors", Tied(), dtype="f16", about={})
    assert len(load_file(tmp_path / "t.safetensors")) == 1


def test_other_files_are_found_from_the_new_folder(tmp_path: Path) -> None:
    text = GRAPH.replace(
        "kind: projector.head, init: default", "kind: projector.head, weights: 'file:w/head.safetensors'"
    )
    text = text.replace("description", "description").replace("name: toy", "name: '1e3'")
    spec = toy_spec(tmp_path / "graphs", text=text, sets={"lr": "0.5"})
    write_graph(spec, tmp_path / "out/run", ["body"])
    back = load_spec(tmp_path / "out/run/graph.yaml")
    assert back.models["head"].weights == "file:../../graphs/w/head.safetensors"
    assert back.models["body"].weights == "file:body.safetensors"
    assert back.name == "1e3"
    assert back.values == {"lr": 0.5}
